"""The emotion representation: shapes and lengths, gradients, losses by brute force, its checkpoint."""

import math

import pytest

torch = pytest.importorskip("torch")

from cdrl.emotions import EMOTIONS  # noqa: E402
from cdrl.errors import InputError  # noqa: E402
from cdrl.representations.checkpoints import save_model  # noqa: E402
from cdrl.representations.emotion import EmotionConfig, EmotionModel, load_emotion  # noqa: E402
from cdrl.representations.emotion_losses import (  # noqa: E402
    emotion_augmented_contrast,
    person_aware_entropy,
    sentence_contrast,
)
from cdrl.representations.vlm import FaceLanguageModel, VlmConfig, load_vlm  # noqa: E402

torch.set_num_threads(1)
SMALL = VlmConfig(32, 16, ((1, 3, 1, 1, 8), (1, 3, 2, 2, 12)), 8, 24)


def drawn(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


@pytest.fixture
def vlm():
    torch.manual_seed(0)
    model = FaceLanguageModel(SMALL).eval().requires_grad_(False)
    for norm in (m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        torch.nn.init.uniform_(norm.bias)
    model.digest = "0" * 64
    return model


@pytest.fixture
def model(vlm):
    torch.manual_seed(1)
    made = EmotionModel(EmotionConfig("embedded", vlm.digest, 16, 12, 6), vlm).eval().requires_grad_(False)
    made.head.prompts.copy_(torch.nn.functional.normalize(torch.randn(7, 16), dim=1))
    return made


def test_shapes_and_lengths(model):
    images = torch.rand(3, 3, 224, 224)
    feature = model.encode(images)
    vectors = model.class_vectors(feature)
    assert feature.shape == (3, 16)
    assert vectors.shape == (3, 7, 16)
    assert torch.allclose(vectors.norm(dim=2), torch.ones(3, 7), atol=1e-5)
    assert model.features(images).shape == (3, 7 * 16)
    assert torch.allclose(model.logits(images), (vectors * model.prompts).sum(2) / 0.07, atol=1e-4)
    assert torch.allclose(model.similarity(images, images, "happy"), torch.ones(3), atol=1e-5)
    one = model.class_vectors(model.encode(images[:1])) * model.prompts
    other = model.class_vectors(model.encode(images[1:2])) * model.prompts
    wanted = torch.nn.functional.cosine_similarity(one[:, 2], other[:, 2], dim=1)
    assert torch.allclose(model.similarity(images[:1], images[1:2], 2), wanted, atol=1e-5)


def test_gradients_reach_the_picture_and_no_weight(model):
    images = torch.rand(1, 3, 224, 224, requires_grad=True)
    (1 - model.similarity(images, torch.rand(1, 3, 224, 224), "sad")).sum().backward()
    assert images.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_network_of_one_emotion_touches_no_other(model):
    feature = torch.randn(2, 16)
    before = model.class_vectors(feature)
    model.head.networks.weights[0][3] += 1
    moved = (model.class_vectors(feature) - before).abs().amax((0, 2)) > 1e-6
    assert moved.tolist() == [number == 3 for number in range(7)]


def cosine(a, b):
    return float(a @ b / a.norm() / b.norm())


def test_emotion_augmented_contrast_by_hand():
    features, prompts, emotion = drawn(5, 4, 3), drawn(4, 3), torch.tensor([0, 2, 2, 3, 0])
    scores = [[cosine(features[i, k], prompts[k]) / 0.3 for k in range(4)] for i in range(5)]
    forward = -sum(math.log(math.exp(scores[i][emotion[i]]) / sum(map(math.exp, scores[i]))) for i in range(5)) / 5
    classes = []
    for k in (0, 2, 3):
        total = sum(math.exp(scores[i][k]) for i in range(5))
        mine = [-math.log(math.exp(scores[i][k]) / total) for i in range(5) if emotion[i] == k]
        classes.append(sum(mine) / len(mine))
    found = emotion_augmented_contrast(features, prompts, emotion, 0.3)
    assert float(found) == pytest.approx((forward + sum(classes) / 3) / 2)


def test_sentence_contrast_by_hand():
    images, texts, groups = drawn(4, 3), drawn(4, 3) + 0.2, torch.tensor([0, 1, 0, 2])
    scores = [[cosine(images[i], texts[j]) / 0.2 for j in range(4)] for i in range(4)]
    total = 0.0
    for rows in (scores, [list(column) for column in zip(*scores, strict=True)]):
        for i in range(4):
            positives = [j for j in range(4) if groups[j] == groups[i]]
            logs = [rows[i][j] - math.log(sum(map(math.exp, rows[i]))) for j in positives]
            total -= sum(logs) / len(logs) / 8
    assert float(sentence_contrast(images, texts, groups, 0.2)) == pytest.approx(total)


def test_a_group_of_equal_rows_costs_the_logarithm_of_its_size_as_the_docstring_says():
    for sizes in ([4], [2, 2], [1, 1, 1]):
        groups = torch.tensor([number for number, size in enumerate(sizes) for _ in range(size)])
        rows = torch.eye(5)[groups]
        least = sum(size * math.log(size) for size in sizes) / len(groups)
        assert float(sentence_contrast(rows, rows, groups, 0.01)) == pytest.approx(least, abs=1e-6)
    assert "log n for one group of equal rows" in " ".join(sentence_contrast.__doc__.split())


def test_what_a_face_adds_to_knowing_whose_it_is():
    logits, emotion = drawn(3, 4), torch.tensor([1, 2, 0])
    priors = torch.tensor([[0.5, 0.25, 0.25, 0.0], [0.0, 0.0, 1.0, 0.0], [0.25] * 4], dtype=torch.float64)
    total = 0.0
    for row, mine, prior in zip(logits.tolist(), emotion.tolist(), priors.tolist(), strict=True):
        odds = [math.exp(value) * share for value, share in zip(row, prior, strict=True)]
        for k in range(4):
            wanted = 0.9 * (k == mine) + 0.1 * prior[k]
            total -= wanted * math.log(odds[k] / sum(odds)) / 3 if wanted else 0.0
    assert float(person_aware_entropy(logits, emotion, priors, 0.1)) == pytest.approx(total, rel=1e-5)
    alone = person_aware_entropy(logits[1:2].requires_grad_(), emotion[1:2], priors[1:2])
    alone.backward()
    assert float(alone) == pytest.approx(0)


def test_the_tower_sees_neither_colour_nor_light(vlm):
    images = torch.rand(2, 3, 32, 32)
    luma = (images * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True).expand(-1, 3, -1, -1)
    assert torch.allclose(vlm.image(images), vlm.image(0.4 + 0.5 * luma), atol=1e-2)


def test_gradients_of_the_losses():
    emotion = torch.tensor([1, 0, 1])
    inputs = drawn(3, 2, 4).requires_grad_(), drawn(2, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda f, p: emotion_augmented_contrast(f, p, emotion), inputs)
    inputs = drawn(3, 4).requires_grad_(), drawn(3, 4).neg().requires_grad_()
    assert torch.autograd.gradcheck(lambda i, t: sentence_contrast(i, t, emotion), inputs)


@pytest.mark.parametrize("emotion", [[], [3], [2, 2, 2]])
def test_batches_that_are_hardly_batches(emotion):
    count = len(emotion)
    features = drawn(count, 7, 5).float().requires_grad_()
    prompts = drawn(7, 5).float().requires_grad_()
    numbers = torch.tensor(emotion, dtype=torch.long)
    images, texts = drawn(count, 5).float().requires_grad_(), drawn(count, 5).float()
    for value in (
        emotion_augmented_contrast(features, prompts, numbers),
        sentence_contrast(images, texts, numbers),
        person_aware_entropy(features[:, :, 0], numbers, torch.full((count, 7), 1 / 7), 0.1),
    ):
        value.backward()
        assert math.isfinite(float(value))
    gradients = [features.grad, prompts.grad, images.grad]
    assert all(gradient is None or gradient.isfinite().all() for gradient in gradients)


def written(model, path, **changes):
    tensors = model.head.state_dict()
    save_model(path, tensors, "emotion", {**vars(model.config), **changes})
    return path


def test_a_checkpoint_is_what_was_saved(model, vlm, tmp_path):
    found = load_emotion(written(model, tmp_path / "emotion.safetensors"), vlm)
    images = torch.rand(2, 3, 224, 224)
    assert torch.allclose(found.features(images), model.features(images), atol=2e-3)  # float16
    assert len(EMOTIONS) == len(found.prompts)


def test_other_checkpoints_are_refused(model, vlm, tmp_path):
    path = written(model, tmp_path / "emotion.safetensors", vlm_sha256="1" * 64)
    with pytest.raises(InputError, match="another vision-language model"):
        load_emotion(path, vlm)
    path = written(model, tmp_path / "wider.safetensors", middle=8)
    with pytest.raises(InputError, match="does not fit"):
        load_emotion(path, vlm)
    (tmp_path / "pickle.pt").write_bytes(b"PK\x03\x04")
    with pytest.raises(InputError, match="cdrl convert"):
        load_emotion(tmp_path / "pickle.pt", vlm)
    with pytest.raises(InputError, match="'emotion', but 'vlm' is needed"):
        load_vlm(path)


def test_the_vlm_comes_back_with_its_digest(vlm, tmp_path):
    from dataclasses import asdict

    path = tmp_path / "vlm.safetensors"
    save_model(path, vlm.state_dict(), "vlm", asdict(SMALL))
    found = load_vlm(path)
    assert len(found.digest) == 64
    assert found.spec == str(path)
    images = torch.rand(2, 3, 48, 48)
    assert torch.allclose(found.image(images), vlm.image(images), atol=5e-3)
