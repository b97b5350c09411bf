"""One recording is known again in other encodings, and two takes are not taken for one."""

from types import SimpleNamespace

import numpy as np
import pytest

from cdrl.evaluation.same_footage import SAME, Signature, correlate_footage, describe_footage, is_same_footage

RANDOM = np.random.default_rng(3)


def film(count: int = 80, seed: int = 0) -> np.ndarray:
    """Thumbnails [T,64,64] of a face whose parts move slowly: each at random, about the same face whatever the seed."""
    face = np.random.default_rng(99).normal(128, 40, (16, 16))
    steps = np.random.default_rng(seed).normal(size=(count + 20, 16, 16))
    motion = np.stack([steps[t : t + 20].mean(0) for t in range(count)]) * 40
    return np.kron((face + motion).clip(0, 255), np.ones((4, 4)))


def describe(thumbs: np.ndarray, rate: float = 25.0, lost: tuple[int, ...] = ()) -> Signature:
    seen = np.ones(len(thumbs), bool)
    seen[list(lost)] = False
    thumbs = np.where(seen[:, None, None], thumbs, 0)
    return describe_footage(SimpleNamespace(thumbs=thumbs.clip(0, 255).astype(np.uint8), has_face=seen), rate)


@pytest.mark.parametrize(
    ("copy", "rate"),
    [
        (film(), 25.0),
        (film() + RANDOM.normal(0, 6, (80, 64, 64)), 25.0),
        (film() * 0.6 + 40, 25.0),
        (film()[::2], 12.5),
        (np.repeat(film(), 2, axis=0), 50.0),
        (film()[15:], 25.0),
        (film()[:50], 25.0),
    ],
    ids=["copy", "compressed", "darker", "half the rate", "twice the rate", "late", "short"],
)
def test_a_copy_is_the_same_footage_however_it_was_made(copy: np.ndarray, rate: float) -> None:
    assert is_same_footage(describe(film()), describe(copy, rate)) and is_same_footage(
        describe(copy, rate), describe(film())
    )


def test_another_take_of_the_same_face_is_not() -> None:
    found = [
        correlate_footage(describe(film()), describe(film(count, seed))) for seed in (1, 2, 3) for count in (40, 90)
    ]
    assert max(found) < SAME - 0.2


def test_frames_without_a_face_say_nothing() -> None:
    assert correlate_footage(describe(film()), describe(film(), lost=(3, 4, 50))) > 0.9
    assert correlate_footage(describe(film()), describe(film(), lost=tuple(range(80)))) == 0


def test_a_short_clip_is_known_again_only_as_it_was() -> None:
    assert is_same_footage(describe(film(8)), describe(film(8)))
    assert not is_same_footage(describe(film(8)), describe(film(9)))


def test_what_is_too_short_or_stands_still_is_like_nothing() -> None:
    still = np.repeat(film()[:1], 80, axis=0)
    assert correlate_footage(describe(still), describe(still)) == 0 and not is_same_footage(*[describe(still)] * 2)
    assert correlate_footage(describe(film(8)), describe(film(8))) == 0
    assert correlate_footage(describe(film()), np.zeros((0, 0), np.float32)) == 0


def test_the_correlation_is_the_best_over_shifts_by_brute_force() -> None:
    first, second = (RANDOM.normal(size=(n, 256)).astype(np.float32) for n in (30, 20))
    found = []
    for shift in range(-29, 20):
        pairs = [(first[t], second[t + shift]) for t in range(30) if 0 <= t + shift < 20]
        if len(pairs) >= 12:
            a, b = (np.concatenate(side) for side in zip(*pairs, strict=True))
            found.append(float(a @ b) / float(np.linalg.norm(a) * np.linalg.norm(b)))
    assert correlate_footage(first, second) == pytest.approx(max(found), rel=1e-4)
