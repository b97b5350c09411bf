"""The losses of content, of emotions, and of pictures and sentences: pure functions, each a few lines over pairs."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def emotion_aware_contrast(anchor: Tensor, same: Tensor, other: Tensor) -> Tensor:
    """The paper's content loss: (1 − mean cos(x, y)) + mean max(cos(x, z), 0).

    anchor x [n, d]: content 1 in emotion 1; same y [n, d]: content 1 in emotion 2; other z [n, d]: content 2 in
    emotion 2. The negative shares its emotion with the positive, so that emotion can't tell them apart. In [0, 2];
    0 where n = 0. Paper: emotion-aware contrastive loss of CCRL, with cosines clamped to [0, 1] as released.
    """
    if len(anchor) == 0:
        return anchor.sum()
    near = functional.cosine_similarity(anchor, same, dim=1).clamp(min=0)
    far = functional.cosine_similarity(anchor, other, dim=1).clamp(min=0)
    return 1 - near.mean() + far.mean()


def moment_contrast(first: Tensor, second: Tensor, temperature: float = 0.07, same: Tensor | None = None) -> Tensor:
    """InfoNCE over moments, with the hard negatives of the same clips.

    first [g, k, d]: k moments of each of g clips; second [g, k, d]: the same moments in clips of the same person and
    words in another emotion. For each moment of `first`, its twin in `second` is told from all other moments of
    `second` (those of its own clip have the twin's emotion) and of `first` (those of its own clip have its own emotion
    and person), and the other way round. −log softmax of cos / temperature, mean over both directions; ≥ 0, and 0
    where there is one moment alone. Gradients are finite for any input that is not exactly zero.

    same [g · k, g · k], symmetric: which moments may show the same content; they are no negatives of one another, in
    either direction. A moment's twin always counts.
    """
    if first.numel() == 0:
        return first.sum()
    x, y = (functional.normalize(side.flatten(0, 1), dim=1) for side in (first, second))
    twins = torch.arange(len(x), device=x.device)
    itself = torch.eye(len(x), dtype=torch.bool, device=x.device)
    alike = itself if same is None else itself | same
    total = x.new_zeros(())
    for here, there in ((x, y), (y, x)):
        across = (here @ there.T / temperature).masked_fill(alike & ~itself, -torch.inf)
        within = (here @ here.T / temperature).masked_fill(alike, -torch.inf)
        total = total + functional.cross_entropy(torch.cat([across, within], 1), twins)
    return total / 2


def sentence_contrast(images: Tensor, texts: Tensor, groups: Tensor, temperature: float = 0.07) -> Tensor:
    """Pictures [n, d] told from others' sentences [n, d], and sentences from others' pictures.

    Row i of `texts` describes row i of `images`; rows with equal `groups` [n] are described alike, so each of them is
    a positive of the others. With G(i) the rows of i's group and p(j | i) = exp(cos(i, j) / temperature) / Σ over k of
    exp(cos(i, k) / temperature): −mean over i of the mean over j in G(i) of log p(j | i), mean over both directions;
    CLIP's loss (Radford et al. 2021) where all groups differ. At least the mean over i of log |G(i)|, which is reached
    where all of a group are alike and far from the rest: log n for one group of equal rows. 0 where n = 0.
    """
    if len(images) == 0:
        return images.sum()
    cosine = functional.normalize(images, dim=1) @ functional.normalize(texts, dim=1).T / temperature
    same = (groups[:, None] == groups[None, :]).to(cosine.dtype)
    share = same / same.sum(1, keepdim=True)
    both = (cosine.log_softmax(1), cosine.log_softmax(0).T)
    return -torch.stack([(share * side).sum(1).mean() for side in both]).mean()


def emotion_augmented_contrast(features: Tensor, prompts: Tensor, emotion: Tensor, temperature: float = 0.07) -> Tensor:
    """InfoNCE over emotion classes, both directions normalized (paper: emotion-augmented contrastive loss of CERL).

    features [n, c, d]: of each face, what each class's head makes of it; prompts [c, d]; emotion [n] class numbers.
    s[i, k] = cos(features[i, k], prompts[k]) / temperature. Picture → class: −log softmax over k at the face's class,
    mean over faces. Class → picture: for every class present, −log of the softmax over the faces, mean over the class's
    faces, then over the classes present, so at least the mean over them of log(faces of the class). The two are
    averaged. ≥ 0; 0 where n = 0; finite for one face, one class, or a class without faces.
    """
    if len(features) == 0:
        return features.sum() + prompts.sum() * 0
    cosine = (functional.normalize(features, dim=2) * functional.normalize(prompts, dim=1)).sum(2) / temperature
    forward = functional.cross_entropy(cosine, emotion)
    over_faces = cosine.log_softmax(0).gather(1, emotion[:, None]).squeeze(1)
    present = torch.unique(emotion)
    backward = -torch.stack([over_faces[emotion == number].mean() for number in present]).mean()
    return (forward + backward) / 2


def person_aware_entropy(logits: Tensor, emotion: Tensor, priors: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy of what the face adds to knowing whose it is.

    logits [n, c], emotion [n], priors [n, c]: how often the face's person shows each emotion. Mean over faces of
    −Σ t log softmax(logits + log prior), over the emotions that the person shows, with t the label, softened by
    `smoothing` towards the prior (logit adjustment, Menon et al. 2021, by person). Whoever shows one emotion alone adds
    0, and so does the unsoftened part of a label that its person's prior says is never shown. ≥ 0; 0 where n = 0.
    """
    if len(logits) == 0:
        return logits.sum()
    shown = priors > 0
    adjusted = torch.where(shown, logits.float() + priors.clamp(min=1e-9).log(), -torch.inf)
    chances = torch.where(shown, adjusted.log_softmax(1), 0.0)
    target = (1 - smoothing) * functional.one_hot(emotion, logits.shape[1]) + smoothing * priors
    return -(target * chances).sum(1).mean()
