"""The losses against explicit pairs, their gradients, and batches that are hardly batches."""

import math

import pytest

torch = pytest.importorskip("torch")

from cdrl.representations import losses  # noqa: E402


def cosine(a, b):
    return float(a @ b / a.norm() / b.norm())


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def log_share(row, place):
    """Log of the softmax of a list at a place."""
    return row[place] - math.log(sum(map(math.exp, row)))


def draw(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


def test_emotion_aware_contrast_is_the_mean_over_pairs():
    x, y, z = draw(5, 3), draw(5, 3).flip(0) + 0.3, draw(5, 3) - 0.4
    near, far = (mean(max(cosine(a, b), 0) for a, b in zip(x, other, strict=True)) for other in (y, z))
    assert float(losses.emotion_aware_contrast(x, y, z)) == pytest.approx(1 - near + far)


@pytest.mark.parametrize(
    "alike", [set(), {(0, 4), (4, 0), (2, 3), (3, 2)}, {(i, j) for i in range(6) for j in range(6)}]
)
def test_moment_contrast_tells_every_moment_from_all_others_but_those_that_may_be_the_same(alike):
    first, second = draw(2, 3, 4), draw(2, 3, 4).flip(1) * 2
    a, b = first.reshape(6, 4), second.reshape(6, 4)
    total = 0.0
    for here, there in ((a, b), (b, a)):
        for i in range(6):
            negatives = [j for j in range(6) if j != i and (i, j) not in alike]
            others = [cosine(here[i], side[j]) / 0.2 for side in (there, here) for j in negatives]
            total -= log_share([cosine(here[i], there[i]) / 0.2, *others], 0) / 12
    same = torch.tensor([[(i, j) in alike for j in range(6)] for i in range(6)])
    assert float(losses.moment_contrast(first, second, 0.2, same)) == pytest.approx(total)
    assert alike or float(losses.moment_contrast(first, second, 0.2)) == pytest.approx(total)


def test_emotion_augmented_contrast_by_hand():
    features, prompts, emotion = draw(5, 4, 3), draw(4, 3), torch.tensor([0, 2, 2, 3, 0])
    scores = [[cosine(features[i, k], prompts[k]) / 0.3 for k in range(4)] for i in range(5)]
    forward = -mean(log_share(scores[i], emotion[i]) for i in range(5))
    columns = list(zip(*scores, strict=True))
    classes = [-mean(log_share(columns[k], i) for i in range(5) if emotion[i] == k) for k in (0, 2, 3)]
    found = losses.emotion_augmented_contrast(features, prompts, emotion, 0.3)
    assert float(found) == pytest.approx((forward + mean(classes)) / 2)


def test_sentence_contrast_by_hand():
    images, texts, groups = draw(4, 3), draw(4, 3) + 0.2, torch.tensor([0, 1, 0, 2])
    scores = [[cosine(images[i], texts[j]) / 0.2 for j in range(4)] for i in range(4)]
    total = 0.0
    for rows in (scores, list(zip(*scores, strict=True))):
        for i in range(4):
            total -= mean(log_share(rows[i], j) for j in range(4) if groups[j] == groups[i]) / 8
    assert float(losses.sentence_contrast(images, texts, groups, 0.2)) == pytest.approx(total)


def test_a_group_of_equal_rows_costs_the_logarithm_of_its_size_as_the_docstring_says():
    for sizes in ([4], [2, 2], [1, 1, 1]):
        groups = torch.tensor([number for number, size in enumerate(sizes) for _ in range(size)])
        rows = torch.eye(5)[groups]
        least = sum(size * math.log(size) for size in sizes) / len(groups)
        assert float(losses.sentence_contrast(rows, rows, groups, 0.01)) == pytest.approx(least, abs=1e-6)
    assert "log n for one group of equal rows" in " ".join(losses.sentence_contrast.__doc__.split())


def test_what_a_face_adds_to_knowing_whose_it_is():
    logits, emotion = draw(3, 4), torch.tensor([1, 2, 0])
    priors = torch.tensor([[0.5, 0.25, 0.25, 0.0], [0.0, 0.0, 1.0, 0.0], [0.25] * 4], dtype=torch.float64)
    total = 0.0
    for row, mine, prior in zip(logits.tolist(), emotion.tolist(), priors.tolist(), strict=True):
        odds = [math.exp(value) * share for value, share in zip(row, prior, strict=True)]
        for k in range(4):
            wanted = 0.9 * (k == mine) + 0.1 * prior[k]
            total -= wanted * math.log(odds[k] / sum(odds)) / 3 if wanted else 0.0
    assert float(losses.person_aware_entropy(logits, emotion, priors, 0.1)) == pytest.approx(total, rel=1e-5)
    alone = losses.person_aware_entropy(logits[1:2].requires_grad_(), emotion[1:2], priors[1:2])
    alone.backward()
    assert float(alone) == pytest.approx(0)


@pytest.mark.parametrize(
    ("loss", "shapes", "further"),
    [
        (losses.emotion_aware_contrast, [(4, 3)] * 3, ()),
        (losses.moment_contrast, [(2, 2, 3)] * 2, ()),
        (losses.moment_contrast, [(2, 2, 3)] * 2, (0.2, torch.eye(4, dtype=torch.bool).flip(0))),
        (losses.moment_contrast, [(2, 2, 3)] * 2, (0.2, torch.ones(4, 4, dtype=torch.bool))),
        (losses.emotion_augmented_contrast, [(3, 2, 4), (2, 4)], (torch.tensor([1, 0, 1]),)),
        (losses.sentence_contrast, [(3, 4)] * 2, (torch.tensor([1, 0, 1]),)),
    ],
)
def test_gradients(loss, shapes, further):
    inputs = [(draw(*shape) + 0.1 * k).requires_grad_() for k, shape in enumerate(shapes)]
    assert torch.autograd.gradcheck(lambda *given: loss(*given, *further), inputs)


@pytest.mark.parametrize("emotion", [[], [3], [2, 2, 2]])
def test_batches_that_are_hardly_batches_are_finite(emotion):
    count, numbers = len(emotion), torch.tensor(emotion, dtype=torch.long)
    features, prompts, x = (draw(*shape).float().requires_grad_() for shape in ((count, 7, 5), (7, 5), (count, 5)))
    found = [
        losses.emotion_aware_contrast(x, x, x),
        losses.moment_contrast(x[:, None], x[:, None]),
        losses.emotion_augmented_contrast(features, prompts, numbers),
        losses.sentence_contrast(x, draw(count, 5).float(), numbers),
        losses.person_aware_entropy(features[:, :, 0], numbers, torch.full((count, 7), 1 / 7), 0.1),
    ]
    sum(found).backward()
    assert all(math.isfinite(value.item()) for value in found)
    assert all(part.grad.isfinite().all() for part in (features, prompts, x))


def test_features_of_length_zero_are_finite():
    x = torch.zeros(2, 2, 3, requires_grad=True)
    losses.moment_contrast(x, x).backward()
    assert x.grad.isfinite().all()
