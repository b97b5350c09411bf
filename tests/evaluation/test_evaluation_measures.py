"""Every measure against its definition worked out the long way, or against an answer known beforehand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdrl.evaluation import measures

RANDOM = np.random.default_rng(5)


def mesh(gap: float, width: float, eyes: float = 50.0) -> np.ndarray:
    """Landmarks [468,2] of a face with this lip gap and mouth width in eye distances, scaled to pixels."""
    points = np.zeros((468, 2))
    points[[33, 133]] = [[-0.7 * eyes, 0], [-0.3 * eyes, 0]]
    points[[362, 263]] = [[0.3 * eyes, 0], [0.7 * eyes, 0]]
    for upper, lower in ((82, 87), (13, 14), (312, 317)):
        points[upper], points[lower] = [0, eyes], [0, eyes + gap * eyes]
    points[61], points[291] = [-width / 2 * eyes, eyes], [width / 2 * eyes, eyes]
    return points


@pytest.mark.parametrize("eyes", [20.0, 300.0])
def test_opening_and_width_are_shares_of_the_eye_distance(eyes: float) -> None:
    points = np.stack([mesh(0.0, 0.8, eyes), mesh(0.25, 1.0, eyes)])
    assert measures.lip_opening(points) == pytest.approx([0, 0.25])
    assert measures.lip_width(points) == pytest.approx([0.8, 1.0])


def test_opening_does_not_depend_on_head_pose() -> None:
    turn = np.array([[math.cos(0.4), -math.sin(0.4)], [math.sin(0.4), math.cos(0.4)]])
    points = mesh(0.2, 0.9)[None]
    assert measures.lip_opening(points @ turn * 1.7 + 30) == pytest.approx(measures.lip_opening(points))


def test_pearson_by_brute_force_skips_frames_without_a_face() -> None:
    x, y = RANDOM.normal(size=30), RANDOM.normal(size=30)
    x[4] = y[9] = np.nan
    pairs = [(a, b) for a, b in zip(x, y, strict=True) if not (math.isnan(a) or math.isnan(b))]
    mean_a = sum(a for a, _ in pairs) / len(pairs)
    mean_b = sum(b for _, b in pairs) / len(pairs)
    top = sum((a - mean_a) * (b - mean_b) for a, b in pairs)
    bottom = math.sqrt(sum((a - mean_a) ** 2 for a, _ in pairs) * sum((b - mean_b) ** 2 for _, b in pairs))
    assert measures.pearson(x, y) == pytest.approx(top / bottom)


def test_pearson_is_zero_where_the_output_lacks_it_and_none_where_the_source_does() -> None:
    long, short = np.arange(20.0), np.arange(5.0)
    assert measures.pearson(long, np.ones(20)) == 0
    assert measures.pearson(long, np.where(long < 5, long, np.nan)) == 0
    assert measures.pearson(np.ones(20), long) is None
    assert measures.pearson(short, short) is None


def test_closures_by_brute_force() -> None:
    source = np.abs(RANDOM.normal(0.1, 0.08, 200))
    output = source + RANDOM.normal(0, 0.04, 200)
    level = float(np.percentile(source, 5))
    closed = [t for t in range(200) if source[t] <= level + 0.02]
    kept = [t for t in closed if output[t] <= level + 0.05]
    assert measures.closures_kept(source, output) == pytest.approx(len(kept) / len(closed))


def test_closures_of_the_source_itself_are_all_kept_and_of_a_lost_face_none() -> None:
    source = np.linspace(0, 0.4, 50)
    assert measures.closures_kept(source, source) == 1
    assert measures.closures_kept(source, np.full(50, np.nan)) == 0
    assert measures.closures_kept(np.full(50, np.nan), source) is None


def talking_face(count: int, eyes: float = 50.0) -> np.ndarray:
    """Landmarks [T,468,2] of a face that moves at random, its eyes' centers `eyes` pixels apart."""
    points = RANDOM.normal(scale=eyes / 10, size=(count, 468, 2)) + RANDOM.normal(scale=eyes, size=(468, 2))
    points[:, [33, 133, 362, 263]] = np.array([[-0.7, 0], [-0.3, 0], [0.3, 0], [0.7, 0]]) * eyes
    return points


def distance(first: np.ndarray, second: np.ndarray) -> float:
    return math.hypot(*(first - second))


def test_lip_dynamics_by_brute_force_over_all_pairs_and_unseen_frames_left_out() -> None:
    points = talking_face(12)
    lips, deviations = measures.LIPS, []
    for i in range(40):
        for j in range(i):
            lengths = [distance(frame[lips[i]], frame[lips[j]]) / 50 for frame in points]
            mean = sum(lengths) / 12
            deviations.append(math.sqrt(sum((length - mean) ** 2 for length in lengths) / 12))
    expected = sum(deviations) / 780
    assert measures.lip_dynamics(points) == pytest.approx(expected)
    lost = np.insert(points, [0, 5, 5], np.nan, axis=0)
    assert measures.lip_dynamics(lost) == pytest.approx(expected)
    assert measures.lip_dynamics(points * 3 + 20) == pytest.approx(expected)
    assert measures.lip_dynamics(points[:7]) is None


def test_brow_dynamics_by_brute_force_without_changes_over_a_lost_face() -> None:
    points = talking_face(14)
    points[6] = np.nan
    sides = (
        ((46, 52, 53, 55, 63, 65, 66, 70, 105, 107), np.array([-25, 0])),
        ((276, 282, 283, 285, 293, 295, 296, 300, 334, 336), np.array([25, 0])),
    )
    changes = []
    for brow, eye in sides:
        heights = [distance(sum(frame[k] for k in brow) / 10, eye) / 50 for frame in points]
        changes += [abs(heights[t + 1] - heights[t]) for t in range(13) if t not in (5, 6)]
    assert measures.brow_dynamics(points) == pytest.approx(sum(changes) / 22)
    assert measures.brow_dynamics(points[7:]) is None  # seven frames, six changes


@pytest.mark.parametrize("measure", [measures.lip_dynamics, measures.brow_dynamics])
def test_dynamics_are_a_ratio_over_common_frames(measure) -> None:
    source = talking_face(30)
    mean = source.mean(0)
    output = mean + (source - mean) / 2  # half as lively
    output[20:] = np.nan
    expected = measure(output[:20]) / measure(source[:20])
    assert measures.dynamics_ratio(measure, source, output) == pytest.approx(expected)
    assert measures.dynamics_ratio(measure, source, source) == 1
    still = np.repeat(source[:1], 30, axis=0)
    assert measures.dynamics_ratio(measure, source, still) == pytest.approx(0, abs=1e-9)
    assert measures.dynamics_ratio(measure, source, np.full_like(source, np.nan)) == 0
    assert measures.dynamics_ratio(measure, still, source) is None
    assert measures.dynamics_ratio(measure, source[:6], source[:6]) is None


def test_silences_are_300_ms_thirty_decibels_under_the_loudest() -> None:
    rate = 16000
    loud, room, breath = (volume * RANDOM.choice([-1.0, 1.0], 2 * rate) for volume in (0.5, 0.014, 0.018))
    pieces = [loud[:8000], room[:4800], loud[:8000], room[:4480], loud[:8000], breath[:9600], loud[:1600], room[:6400]]
    found = measures.find_silences(np.concatenate(pieces).astype(np.float32), rate)
    assert found == [(0.5, 0.8), (pytest.approx(2.78), pytest.approx(3.18))]  # 280 ms are too short, breath too loud
    assert measures.find_silences(room, rate) == [] == measures.find_silences(np.zeros(rate), rate)
    assert measures.find_silences(np.zeros(0), rate) == []


def test_silent_lips_by_brute_force_about_the_mean_of_each_silence() -> None:
    gap = np.array([0.1, 0.3, 9.0, 0.5, 0.5, np.nan, 0.8, 7.0, 0.2])
    labels = np.array([1, 1, 0, 2, 2, 2, 2, 0, 3])
    first, second = [0.1, 0.3], [0.5, 0.5, 0.8]
    deviations = [abs(g - 0.2) for g in first] + [abs(g - 0.6) for g in second]  # one frame alone says nothing
    assert measures.silent_lips(gap, labels) == pytest.approx(100 * sum(deviations) / 5)
    assert measures.silent_lips(gap, np.zeros(9, int)) is None
    assert measures.silent_lips(np.full(9, 0.4), labels) == 0


def test_probability_is_a_mean_over_seen_frames() -> None:
    emotion = np.array([[0.2, 0.8], [np.nan, np.nan], [0.6, 0.4]])
    assert measures.mean_probability(emotion, 0) == pytest.approx(0.4)
    assert measures.mean_probability(np.full((3, 2), np.nan), 0) == 0


def test_identity_is_a_mean_of_cosines_whatever_the_lengths() -> None:
    reference = np.array([[2.0, 0.0], [0.0, 5.0]])  # mean direction: 45 degrees
    vectors = np.array([[3.0, 0.0], [1.0, 1.0]])
    assert measures.identity_cosine(vectors, reference) == pytest.approx((math.sqrt(0.5) + 1) / 2)


def test_flicker_by_brute_force_and_steady_motion_has_none() -> None:
    source, output = RANDOM.normal(size=(6, 4, 3)), RANDOM.normal(size=(6, 4, 3))

    def brute(clip: np.ndarray) -> float:
        return float(np.mean([np.abs(clip[t - 1] - 2 * clip[t] + clip[t + 1]).mean() for t in range(1, 5)]))

    assert measures.flicker_ratio(source, output) == pytest.approx(brute(output) / brute(source))
    steady = np.arange(6.0)[:, None, None] * np.ones((1, 4, 3))
    assert measures.second_difference(steady) == pytest.approx(np.zeros(4))
    assert measures.flicker_ratio(source, 2 * source) == pytest.approx(2)


def test_flicker_ignores_frames_around_a_lost_face() -> None:
    source = RANDOM.normal(size=(12, 4, 3))
    output = source.copy()
    output[5] = np.nan
    assert measures.flicker_ratio(source, output) == pytest.approx(1)


def test_sharpness_is_a_ratio_of_means() -> None:
    assert measures.sharpness_ratio(np.array([2.0, 4.0, 9.0]), np.array([1.0, 2.0, np.nan])) == pytest.approx(0.5)


def test_edited_share_counts_frames_with_a_face() -> None:
    source = np.full((4, 8, 8), 100, np.uint8)
    output = source.copy()
    output[:2] += 5
    assert measures.edited_share(source, output, np.array([True, True, True, False])) == pytest.approx(2 / 3)
    assert measures.edited_share(source, source, np.ones(4, bool)) == 0


def test_frechet_distance_of_shifted_and_of_scaled_samples() -> None:
    x = RANDOM.normal(size=(400, 3))
    assert measures.frechet_distance(x, x) == pytest.approx(0, abs=1e-9)
    assert measures.frechet_distance(x, x + [1, 2, 0]) == pytest.approx(5)
    trace = float(np.trace(np.cov(x, rowvar=False)))  # of N(0, S) and N(0, 4S): tr(S + 4S − 2·2S) = tr S
    shift = float((x.mean(0) ** 2).sum())
    assert measures.frechet_distance(x, 2 * x) == pytest.approx(trace + shift)


def test_frechet_distance_agrees_with_the_matrix_root() -> None:
    linalg = pytest.importorskip("scipy.linalg")
    x, y = RANDOM.normal(size=(60, 4)), RANDOM.normal(size=(50, 4)) @ RANDOM.normal(size=(4, 4))
    a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    difference = x.mean(0) - y.mean(0)
    expected = difference @ difference + np.trace(a + b - 2 * np.real(linalg.sqrtm(a @ b)))
    assert measures.frechet_distance(x, y) == pytest.approx(expected, rel=1e-6)


def clips(draw: st.DrawFn, count: int) -> np.ndarray:
    """A series [count, 4, 3]: frozen, black, constant but for one frame, random; with faces lost here and there."""
    kind = draw(st.sampled_from(["black", "frozen", "random", "one blink"]))
    random = np.random.default_rng(draw(st.integers(0, 9)))
    values = random.normal(size=(count, 4, 3))
    if kind != "random":
        values[:] = 0 if kind == "black" else random.normal(size=(1, 4, 3))
    if kind == "one blink":
        values[:1] += 1
    values[draw(st.lists(st.integers(0, count - 1), max_size=count)) if count else []] = np.nan
    return values


@st.composite
def degenerate_pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    count = draw(st.integers(0, 12))
    return clips(draw, count), clips(draw, count)


@settings(max_examples=150, deadline=None)
@given(degenerate_pairs())
def test_no_measure_of_degenerate_clips_is_anything_but_a_number_or_none(pair: tuple[np.ndarray, np.ndarray]) -> None:
    source, output = pair
    one, other = source[:, 0, 0], output[:, 0, 0]
    rows = source.reshape(-1, 12), output.reshape(-1, 12)
    eyes = np.zeros((len(source), 468, 2)) + one[:, None, None]  # all points in one place
    thumbs = np.nan_to_num(source).astype(np.uint8), np.nan_to_num(output).astype(np.uint8)
    with np.errstate(all="raise"):
        found = [
            measures.pearson(one, other),
            measures.closures_kept(one, other),
            measures.flicker_ratio(source, output),
            measures.sharpness_ratio(np.abs(one), np.abs(other)),
            measures.edited_share(*thumbs, np.isfinite(one)),
            measures.identity_cosine(*rows),
            measures.pairwise_cosine(*rows),
            measures.mouth_distance(source, output),
            measures.pearson(measures.lip_opening(eyes), other),
            measures.mouth_distance(measures.mouth_shape(eyes), measures.mouth_shape(eyes)),
            measures.silent_lips(one, np.ones(len(one), int)),
            measures.dynamics_ratio(measures.lip_dynamics, eyes, eyes),
            measures.dynamics_ratio(measures.brow_dynamics, eyes, eyes),
            measures.mean_probability(rows[0][:, :2], 1),
        ]
    assert all(value is None or math.isfinite(value) for value in found)
    if not np.isfinite(one).any():
        assert [value for value in found[:9] if value is not None] == []
    if len(source) and (source == source[0]).all():
        assert measures.flicker_ratio(source, output) is None
