"""Time warping: the cheapest path, and the true one on copies stretched by a known path."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_sound import RATE, stretched

from cdrl.errors import InputError, LimitError, ModelFileError, UsageError
from cdrl.speech.audio import read_samples
from cdrl.speech.dtw import compute_dtw_path, map_frames
from cdrl.speech.loading import load_speech_encoder

FRAMES = 25  # a second


def cost(distance: np.ndarray, path: np.ndarray) -> float:
    total = distance[0, 0]
    for (i, j), (k, m) in itertools.pairwise(path):
        total += distance[k, m] * (k - i + m - j)
    return total


def cheapest(distance: np.ndarray) -> float:
    """The definition, cell by cell."""
    n, m = distance.shape
    costs = np.full((n, m), np.inf)
    costs[0, 0] = distance[0, 0]
    for i in range(n):
        for j in range(m):
            for di, dj in ((1, 1), (1, 0), (0, 1)):
                if i >= di and j >= dj:
                    costs[i, j] = min(costs[i, j], costs[i - di, j - dj] + (di + dj) * distance[i, j])
    return costs[-1, -1]


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 1000))
def test_the_path_is_the_cheapest(n, m, seed) -> None:
    random = np.random.default_rng(seed)
    a, b = random.normal(size=(n, 3)), random.normal(size=(m, 3))
    path = compute_dtw_path(a, b, center=False)
    assert path[0].tolist() == [0, 0]
    assert path[-1].tolist() == [n - 1, m - 1]
    steps = np.diff(path, axis=0)
    assert ((steps >= 0) & (steps <= 1)).all()
    assert (steps.sum(axis=1) > 0).all()
    distance = 1 - (a @ b.T) / np.linalg.norm(a, axis=1)[:, None] / np.linalg.norm(b, axis=1)
    assert cost(distance, path) == pytest.approx(cheapest(distance), abs=1e-4)


@given(st.integers(1, 30), st.integers(1, 30), st.floats(0.01, 0.3))
def test_the_band_keeps_near_the_straight_line_and_always_leaves_a_way(n, m, band) -> None:
    random = np.random.default_rng(n * m)
    path = compute_dtw_path(random.normal(size=(n, 2)), random.normal(size=(m, 2)), band=band)
    off = np.abs(path[:, 0] * (m - 1) - path[:, 1] * (n - 1)) / max(1, min(n, m) - 1)
    slope = (max(n, m) - 1) / max(1, min(n, m) - 1)
    assert off.max() <= max(2, slope, band * max(n, m))


@pytest.mark.parametrize("spec", ["whisper", "mel"])
@pytest.mark.parametrize("emotion", ["NEU", "HAP", "ANG"])
def test_stretched_speech_is_matched_to_a_frame(spec, emotion, repository) -> None:
    try:
        encoder = load_speech_encoder(spec)
    except ModelFileError as error:
        pytest.skip(str(error))
    samples = read_samples(repository / "examples" / f"1001_DFA_{emotion}_XX.flv")
    speeds = np.random.default_rng(len(emotion)).permutation([0.65, 0.85, 1.2, 1.5])
    before = np.linspace(0, len(samples), 5)
    after = np.concatenate([[0], np.cumsum(np.diff(before) / speeds)])
    copy = stretched(samples, lambda t: float(np.interp(t, after, before)), int(after[-1]))
    times, copy_times = (np.arange(int(len(x) / RATE * FRAMES)) / FRAMES for x in (samples, copy))
    path = compute_dtw_path(encoder(copy).resample(copy_times), encoder(samples).resample(times))
    truth = np.interp(copy_times * RATE, after, before) / RATE * FRAMES
    assert np.median(np.abs(map_frames(path, len(copy_times)) - truth)) <= 1


def test_matching_takes_the_middle_of_a_run() -> None:
    assert map_frames([[0, 0], [0, 1], [0, 2], [1, 3], [2, 3]], 3).tolist() == [1, 3, 3]
    with pytest.raises(UsageError, match="all 4 frames"):
        map_frames([[0, 0], [1, 1], [2, 2]], 4)


def test_what_cannot_be_aligned_is_refused() -> None:
    with pytest.raises(InputError, match="empty"):
        compute_dtw_path(np.zeros((0, 3)), np.zeros((4, 3)))
    with pytest.raises(UsageError, match="one encoder"):
        compute_dtw_path(np.zeros((4, 3)), np.zeros((4, 2)))
    with pytest.raises(UsageError, match="band"):
        compute_dtw_path(np.zeros((4, 3)), np.zeros((4, 3)), band=0)
    with pytest.raises(LimitError, match="too long"):
        compute_dtw_path(np.zeros((20_000, 1)), np.zeros((20_000, 1)))
    assert len(compute_dtw_path(np.zeros((5, 3)), np.zeros((5, 3)))) == 5  # nothing but silence: straight on
