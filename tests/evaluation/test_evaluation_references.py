"""FAD, CSIM and the warped truth, against the long way round and against a warp known beforehand."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cdrl.evaluation import measures, references
from cdrl.evaluation.clip_features import ClipFeatures
from cdrl.evaluation.clip_tables import ClipRecord
from cdrl.evaluation.geometry import FaceLayout
from cdrl.evaluation.references import Groups, References, align_ground_truth, compare_to_real
from cdrl.face.mesh import INNER_LIPS

RANDOM = np.random.default_rng(17)


def seen(
    recognition: np.ndarray,
    expression: np.ndarray,
    points: np.ndarray | None = None,
    thumbs: np.ndarray | None = None,
) -> ClipFeatures:
    points = np.zeros((40, 468, 2)) if points is None else points
    count = np.zeros(len(points))
    layout = FaceLayout(np.zeros((468, 2)), 64)
    thumbs = RANDOM.integers(0, 255, (len(points), 64, 64), np.uint8) if thumbs is None else thumbs
    return ClipFeatures(points, count[:, None], count, count, count, thumbs, count, recognition, expression, layout)


def made(frames: int = 6, faces: int = 6) -> ClipFeatures:
    return seen(RANDOM.normal(size=(frames, 4)), RANDOM.normal(size=(faces, 4)))


def encoded_again(clip: ClipFeatures) -> ClipFeatures:
    """The same footage from another file: no value is what it was."""
    noise = RANDOM.integers(-9, 9, clip.thumbs.shape)
    thumbs = (clip.thumbs * 0.9 + 5 + noise).clip(0, 255).astype(np.uint8)
    return seen(clip.identity + 0.01, clip.expression + 0.01, clip.points, thumbs)


@pytest.fixture(autouse=True)
def frame_rates(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Frames a second of clips, by name; 25 of all others."""
    rates: dict[str, int] = {}
    monkeypatch.setattr(references, "read_frame_rate", lambda path: rates.get(path.name, 25))
    return rates


def known_clips(rows: list[ClipRecord], files: dict[str, ClipFeatures]) -> References:
    """References of clips whose features are known, by name."""
    return References([], rows, SimpleNamespace(extract=lambda path: files[path.name]))


def test_csim_is_the_mean_cosine_of_all_pairs() -> None:
    x, y = RANDOM.normal(size=(7, 3)), RANDOM.normal(size=(5, 3)) + 1
    cosines = [a @ b / (np.linalg.norm(a) * np.linalg.norm(b)) for a in x for b in y]
    assert measures.pairwise_cosine(x, y) == pytest.approx(np.mean(cosines))


def test_csim_draws_a_hundred_of_each_and_the_same_ones_again() -> None:
    x, y = RANDOM.normal(size=(400, 2)), np.array([[1.0, 0.0]])
    drawn = measures.pairwise_cosine(x, y)
    assert drawn == measures.pairwise_cosine(x, y) != measures.pairwise_cosine(x, y, most=400)


def test_fad_takes_as_many_frames_on_each_side_and_says_how_many() -> None:
    few, many = RANDOM.normal(size=(4, 128)), RANDOM.normal(size=(30, 128))
    values = compare_to_real((few, few), (many, many))
    assert values["fad_frames"] == 4 and np.isfinite(values["fad"]) and values["fad"] > 0
    drawn = [set(map(tuple, rows)) for rows in measures.match_counts(few, many)]
    assert drawn[0] == set(map(tuple, few)) and drawn[1] < set(map(tuple, many)) and len(drawn[1]) == 4
    assert "fad" not in compare_to_real((few[:1], few), (many, many))


def test_fad_of_fewer_frames_than_dimensions_by_hand() -> None:
    x, shift = np.zeros((2, 5)), np.array([3.0, 0, 0, 0, 4.0])
    x[1, 1] = 2.0  # covariance: 2 in one direction, nothing elsewhere
    assert measures.frechet_distance(x, x + shift) == pytest.approx(25)
    assert measures.frechet_distance(x, np.zeros((2, 5))) == pytest.approx(1 + 2)


def clip(name: str, emotion: str, person: str = "a", words: str = "w") -> ClipRecord:
    return ClipRecord(Path(name), "mead", person, emotion, "1", words)


def test_a_cell_is_all_clips_of_a_method_person_and_emotion_and_who_has_no_real_clip_gets_none() -> None:
    real, first, second = made(6, 9), made(3, 5), made(3, 5)
    groups, rows = Groups(known_clips([clip("real", "sad")], {"real": real, "source": made()})), []
    for output, person in ((first, "a"), (second, "a"), (first, "b")):
        rows.append({"block": "x", "method": "m", "person": person, "emotion": "sad", "measures": {}})
        groups.add(rows[-1], Path("source"), output)
    groups.fill_scores()
    both = np.concatenate([first.identity, second.identity])
    assert rows[0]["measures"] == rows[1]["measures"]
    assert rows[0]["measures"]["fad"] == pytest.approx(measures.frechet_distance(both, real.identity))
    assert rows[2]["measures"] == {}


def test_what_was_edited_is_no_real_clip_to_be_near_to() -> None:
    one, two = made(), made()
    groups = Groups(known_clips([clip("one", "sad"), clip("two", "sad")], {"one": one, "two": two}))
    row = {"block": "x", "method": "copy", "person": "a", "emotion": "sad", "measures": {}}
    groups.add(row, Path("one"), one)
    groups.fill_scores()
    assert row["measures"]["fad"] == pytest.approx(measures.frechet_distance(one.identity, two.identity))


def test_a_copy_of_what_was_edited_is_no_real_clip_whatever_it_is_called() -> None:
    one, two = made(), made()
    files = {"source": one, "other name": encoded_again(one), "two": two}
    known = known_clips([clip("other name", "sad"), clip("two", "sad")], files)
    groups = Groups(known)
    row = {"block": "x", "method": "copy", "person": "a", "emotion": "sad", "measures": {}}
    groups.add(row, Path("source"), one)
    groups.fill_scores()
    assert row["measures"]["fad"] == pytest.approx(measures.frechet_distance(one.identity, two.identity))
    assert list(known.repeated) == ["other name"] and "made of source" in known.repeated["other name"]


def test_a_real_clip_that_is_there_twice_counts_once() -> None:
    one, two = made(), made()
    files = {"one": one, "again": encoded_again(one), "two": two, "output": made()}
    known = known_clips([clip(name, "sad") for name in ("one", "again", "two")], files)
    found = known.estimate_floor(["a"])
    assert found["fad"] == pytest.approx(measures.frechet_distance(one.identity, two.identity))
    assert known.repeated == {"again": "counted once: the same footage as one"}


def test_the_source_under_another_name_does_not_say_who_its_person_is() -> None:
    source, other = made(), made()
    files = {"s": source, "copy": encoded_again(source), "other": other}
    known = known_clips([], files)
    known.clips = [clip("copy", "neutral"), clip("other", "neutral")]
    unknown = ClipRecord(Path("s"), "", "a", "neutral", "")
    assert np.array_equal(known.find_other_identity(unknown), other.identity)
    known = known_clips([], files)
    known.clips = [clip("copy", "neutral")]
    assert known.find_other_identity(unknown) is None
    known.clips = [ClipRecord(Path("other"), "mead", "a", "neutral", "2")]
    assert np.array_equal(known.find_other_identity(clip("s", "neutral")), other.identity)


def test_the_floor_leaves_out_what_is_in_no_mean() -> None:
    takes = {name: made() for name in ("one", "two", "calm", "calmer")}
    rows = [clip(name, "neutral" if "calm" in name else "sad") for name in takes]
    known = known_clips(rows, takes)
    sad = measures.frechet_distance(takes["one"].identity, takes["two"].identity)
    assert known.estimate_floor(["a"], ("neutral",))["fad"] == pytest.approx(sad)
    assert known.estimate_floor(["a"])["fad"] != pytest.approx(sad)


def test_the_floor_is_of_different_clips_where_there_are_two() -> None:
    one, two = made(), made()
    known = known_clips([clip("one", "sad"), clip("two", "sad")], {"one": one, "two": two})
    found = known.estimate_floor(["a"])
    assert found["fad"] == pytest.approx(measures.frechet_distance(one.identity, two.identity))
    assert found["frames"] == [6, 6] and known.estimate_floor(["b"])["fad"] is None


def distance(points: np.ndarray, other: np.ndarray) -> float:
    return measures.mouth_distance(measures.mouth_shape(points), measures.mouth_shape(other))


def talking(phase: np.ndarray, offset: float = 0.0) -> np.ndarray:
    """Landmarks [T,468,2] of a mouth whose opening and width depend on the phase alone; eyes 50 pixels apart."""
    points = np.zeros((len(phase), 468, 2))
    points[:, [33, 133, 362, 263]] = [[-35, 0], [-15, 0], [15, 0], [35, 0]]
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    opening = 6 + 5 * np.sin(7 * phase) + 3 * np.sin(17 * phase)
    width = 22 + 4 * np.sin(11 * phase)
    for k, index in enumerate(measures.LIPS):
        points[:, index, 0] = width * np.cos(angles[k]) + offset * (np.cos(angles[k]) > 0)
        points[:, index, 1] = 60 + opening * np.sin(angles[k])
    for upper, lower in zip(*INNER_LIPS, strict=True):
        points[:, upper, 1], points[:, lower, 1] = 60 - opening, 60 + opening
    points[:, 78, 0], points[:, 308, 0] = -width, width
    return points


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(references, "read_speech", lambda path: None)


def test_a_known_warp_is_undone_by_the_mouths_motion(silent: None) -> None:
    ours = np.linspace(0, 3, 90)
    theirs = 3 * np.linspace(0, 1, 110) ** 1.15
    source, real = talking(ours), talking(theirs)
    source[10] = np.nan
    takes = clip("s", "neutral"), clip("r", "sad")
    found = align_ground_truth(takes[0], source, takes[1], real)
    assert np.isnan(found[10]).all()
    nearest = real[np.abs(theirs[None] - ours[:, None]).argmin(1)]
    assert distance(source, found) < 1.5 * distance(source, nearest) + 0.5
    still = distance(source, real[:90])
    assert distance(source, found) < 0.35 * still
    assert align_ground_truth(takes[0], source[:4], takes[1], real) is None


def test_the_mouths_distance_is_a_share_of_the_eyes_whatever_size_place_and_turn() -> None:
    points = talking(np.linspace(0, 3, 20))
    turn = np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    assert distance(points, points @ turn.T * 1.7 + 30) == pytest.approx(0, abs=1e-9)
    wider = talking(np.linspace(0, 3, 20), offset=5.0)
    shift = (wider - points)[:, list(measures.LIPS), 0]  # [T,40] to the side
    by_hand = np.abs(shift - shift.mean(1, keepdims=True)).mean() / 50 * 100
    assert distance(points, wider) == pytest.approx(by_hand)


def test_only_the_same_words_of_the_same_person_in_that_emotion_are_a_truth(silent: None) -> None:
    source, real = talking(np.linspace(0, 3, 60)), talking(np.linspace(0, 3, 80), offset=4.0)
    files = {"s": seen(None, None, source), "r": seen(None, None, real)}
    rows = [clip("r", "sad"), clip("r", "happy", words="x"), clip("r", "angry", person="b")]
    known = known_clips(rows, files)
    own = clip("s", "neutral")
    found = known.score_mouth(own, files["s"], files["s"], "sad")
    assert found["mouth_distance"] == found["mouth_distance_source"] > 0
    late = seen(None, None, np.concatenate([source[:3], source]))
    lagging = known.score_mouth(own, files["s"], late, "sad", 3)
    assert lagging["mouth_distance"] == pytest.approx(found["mouth_distance"])
    assert known.score_mouth(own, files["s"], files["s"], "happy") == {}
    assert known.score_mouth(own, files["s"], files["s"], "angry") == {}


def raising_brows(count: int, speed: float) -> ClipFeatures:
    """A face that raises both brows by `speed` pixels in each frame."""
    points = talking(np.linspace(0, 3, count))
    brows = [70, 63, 105, 66, 107, 46, 53, 52, 65, 55, 336, 296, 334, 293, 300, 285, 295, 282, 283, 276]
    points[:, brows, 0] = np.repeat([-25, 25], 10)
    points[:, brows, 1] = -20 - speed * np.arange(count)[:, None]
    return seen(None, None, points)


def test_brows_are_compared_with_those_of_the_real_take_at_its_own_pace(frame_rates: dict[str, int]) -> None:
    files = {"r": raising_brows(60, 2.0), "q": raising_brows(60, 1.0), "s": raising_brows(40, 0.5)}
    known = known_clips([clip("r", "sad"), clip("q", "sad")], files)
    output = raising_brows(40, 3.0)
    assert known.score_brows(clip("s", "neutral"), output, "sad") == pytest.approx(3 / 1.5)
    assert known.score_brows(clip("s", "neutral"), output, "happy") is None
    frame_rates["r"] = 50  # twice as many frames for the same motion: 4 pixels in a frame of the source
    assert known.score_brows(clip("s", "neutral"), output, "sad") == pytest.approx(3 / 2.5)
    again = seen(None, None, files["s"].points, files["s"].thumbs)
    itself = known_clips([clip("s2", "sad")], {"s": files["s"], "s2": again})
    assert itself.score_brows(clip("s", "sad"), output, "sad") is None
