"""The contrastive losses: pure functions, every one a few lines over explicit pairs."""

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


def moment_contrast(first: Tensor, second: Tensor, temperature: float = 0.07) -> Tensor:
    """InfoNCE over moments, with the hard negatives of the same clips.

    first [g, k, d]: k moments of each of g clips; second [g, k, d]: the same moments in clips of the same person and
    words in another emotion. For each moment of `first`, its twin in `second` is told from all other moments of
    `second` (those of its own clip have the twin's emotion) and of `first` (those of its own clip have its own emotion
    and person), and the other way round. −log softmax of cos / temperature, mean over both directions; ≥ 0, and 0
    where there is one moment alone. Gradients are finite for any input that is not exactly zero.
    """
    if first.numel() == 0:
        return first.sum()
    x, y = (functional.normalize(side.flatten(0, 1), dim=1) for side in (first, second))
    twins = torch.arange(len(x), device=x.device)
    itself = torch.eye(len(x), dtype=torch.bool, device=x.device)
    total = x.new_zeros(())
    for here, there in ((x, y), (y, x)):
        within = (here @ here.T / temperature).masked_fill(itself, -torch.inf)
        total = total + functional.cross_entropy(torch.cat([here @ there.T / temperature, within], 1), twins)
    return total / 2
