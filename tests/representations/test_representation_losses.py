"""The contrastive losses against explicit pairs, their gradients, and batches that are hardly batches."""

import math

import pytest

torch = pytest.importorskip("torch")

from cdrl.representations import losses  # noqa: E402


def cosine(a, b):
    return float(a @ b / a.norm() / b.norm())


def draw(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape) + shape[0]), dtype=torch.float64)


def test_emotion_aware_contrast_is_the_mean_over_pairs():
    x, y, z = draw(5, 3), draw(5, 3).flip(0) + 0.3, draw(5, 3) - 0.4
    near = sum(max(cosine(a, b), 0) for a, b in zip(x, y, strict=True)) / 5
    far = sum(max(cosine(a, b), 0) for a, b in zip(x, z, strict=True)) / 5
    assert float(losses.emotion_aware_contrast(x, y, z)) == pytest.approx(1 - near + far)


def test_moment_contrast_tells_every_moment_from_all_others():
    first, second = draw(2, 3, 4), draw(2, 3, 4).flip(1) * 2
    a, b = first.reshape(6, 4), second.reshape(6, 4)
    total = 0.0
    for here, there in ((a, b), (b, a)):
        for i in range(6):
            twin = math.exp(cosine(here[i], there[i]) / 0.2)
            others = sum(math.exp(cosine(here[i], there[j]) / 0.2) for j in range(6) if j != i)
            within = sum(math.exp(cosine(here[i], here[j]) / 0.2) for j in range(6) if j != i)
            total -= math.log(twin / (twin + others + within)) / 12
    assert float(losses.moment_contrast(first, second, 0.2)) == pytest.approx(total)


@pytest.mark.parametrize(
    ("loss", "shapes"),
    [
        (losses.emotion_aware_contrast, [(4, 3)] * 3),
        (losses.moment_contrast, [(2, 2, 3)] * 2),
    ],
)
def test_gradients(loss, shapes):
    inputs = [(draw(*shape) + 0.1 * k).requires_grad_() for k, shape in enumerate(shapes)]
    assert torch.autograd.gradcheck(loss, inputs)


@pytest.mark.parametrize("count", [0, 1])
def test_batches_that_are_hardly_batches_are_finite(count):
    x = draw(2, 3)[:count].requires_grad_()
    found = [
        losses.emotion_aware_contrast(x, x, x),
        losses.moment_contrast(x[:, None], x[:, None]),
    ]
    sum(found).backward()
    assert all(math.isfinite(value.item()) for value in found)
    assert x.grad.isfinite().all()


def test_features_of_length_zero_are_finite():
    x = torch.zeros(2, 2, 3, requires_grad=True)
    losses.moment_contrast(x, x).backward()
    assert x.grad.isfinite().all()
