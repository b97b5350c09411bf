"""Plausibility on made people whose expressions are known: what is inside the region, and who is in the fit."""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cdrl.errors import FaceError
from cdrl.evaluation import clip_features, plausibility
from cdrl.evaluation.clip_features import FeatureCache
from cdrl.evaluation.clip_tables import ClipRecord
from cdrl.evaluation.geometry import LEFT_EYE, RIGHT_EYE, RIGID
from cdrl.evaluation.plausibility import ExpressionModel, NeutralFace, Plausibility, average_neutral

RANDOM = np.random.default_rng(9)
SHAPE = RANDOM.uniform(-1, 1, (468, 2))
SHAPE[[*RIGHT_EYE, *LEFT_EYE]] = [(-0.7, 0), (-0.3, 0), (0.3, 0), (0.7, 0)]
SHAPE[[4, 5, 1, 195]] = (0, 0.5)
NEUTRAL = NeutralFace(SHAPE, "neutral clips")
DEPTH = RANDOM.normal(size=468)
DEPTH[[*RIGHT_EYE, *LEFT_EYE]] = 0
DEPTH[[4, 5, 1, 195]] = 1
MODES = RANDOM.normal(size=(12, 468, 2)) * 0.02
MODES[:, RIGID] = 0


def express(frames: int, size: float = 1, turn: float = 0.02) -> np.ndarray:
    """Displacements [T,468,2] of one person: expressions, and a head that turns to the sides."""
    shown = np.tensordot(RANDOM.normal(size=(frames, 12)), MODES, 1) * size
    shown[..., 0] += RANDOM.normal(size=(frames, 1)) * turn * DEPTH
    return shown


def film(displacements: np.ndarray) -> np.ndarray:
    """Landmarks in pixels."""
    return (SHAPE + displacements) * 80 + [100, 120]


@pytest.fixture(scope="module")
def model() -> ExpressionModel:
    return ExpressionModel.fit([express(frames) for frames in (40, 60, 80, 60, 60, 60, 60, 60)])


def test_people_left_out_are_inside_and_doubled_expressions_are_not(model: ExpressionModel) -> None:
    real = model.measure(film(express(600)), NEUTRAL)
    assert real is not None and real >= 0.96
    doubled = model.measure(film(express(600, size=2)), NEUTRAL)
    assert doubled is not None and doubled < 0.3
    assert model.people == 8


def test_a_turned_head_is_no_expression(model: ExpressionModel) -> None:
    turned = np.zeros((1, 468, 2))
    turned[..., 0] = 0.12 * DEPTH
    assert model.contains(turned).all()
    turned[:, RIGID] = 0  # the same motion of brows and mouth while the head is still
    assert not model.contains(turned).any()


def test_frames_that_cannot_be_judged_do_not_count(model: ExpressionModel) -> None:
    wild = express(2, size=5)
    points = film(np.concatenate([np.zeros((1, 468, 2)), wild, np.zeros((1, 468, 2))]))
    assert model.measure(points, NEUTRAL) == 0.5
    points[1] = np.nan
    points[2, [4, 5, 1, 195], 0] += 40  # half an eye distance aside
    assert model.measure(points, NEUTRAL) == 1
    assert model.measure(points[1:3], NEUTRAL) is None


def test_the_neutral_face_is_that_of_neutral_clips_where_there_are_any() -> None:
    smile = express(1)
    clips = [("happy", film(smile)), ("neutral", film(np.zeros((9, 468, 2))))]
    neutral, mean = average_neutral(clips), average_neutral([("sad", clips[1][1]), clips[0]])
    assert neutral is not None and neutral.origin == "neutral clips" and neutral.shape == pytest.approx(SHAPE)
    assert mean is not None and mean.origin == "real clips"  # each clip counts once
    assert mean.shape - SHAPE == pytest.approx(smile[0] / 2)
    assert average_neutral([("neutral", np.full((3, 468, 2), np.nan))]) is None


def know(frames: dict[str, int]) -> Plausibility:
    """A clip of each person, with that many frames; 0 frames show no face."""
    records = [ClipRecord(Path(person), "d", person, "", "") for person in frames]

    def sample(path: Path) -> np.ndarray:
        if not frames[str(path)]:
            raise FaceError("no face")
        return film(express(frames[str(path)]))

    return Plausibility(records, SimpleNamespace(sample_landmarks=sample))


def test_who_is_judged_tuned_on_or_unknown_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[list[int]] = []

    def fit(people: Sequence[np.ndarray]) -> SimpleNamespace:
        fitted.append([len(person) for person in people])
        return SimpleNamespace(measure=lambda points, neutral: len(points) / 100)

    monkeypatch.setattr(plausibility.ExpressionModel, "fit", fit)
    known = know({**dict(zip("abcdef", range(11, 17), strict=True)), "W009": 20, "M003": 21, "": 22, "other x": 23})
    points = film(express(50))
    assert known.measure("a", points, points) == 0.5
    assert fitted == [[12, 13, 14, 15, 16]]
    for person in ("W009", "M003", "W009"):
        known.measure(person, points, points)
    assert fitted[1:] == [[11, 12, 13, 14, 15, 16]]  # once: none of them is in it
    assert "6 people" in known.name
    origins = [known.find_neutral(person, points) for person in ("a", "stranger")]
    assert [found.origin for found in origins if found] == ["real clips", "the source"]
    assert known.compare("a", points, points[:20], [points[:30], points[:40]]) == pytest.approx(
        {"plausibility": 0.2, "plausibility_source": 0.5, "plausibility_real": 0.35}
    )


def test_likeness_is_of_the_mean_expression_however_strong_and_whichever_way_the_head_is_turned() -> None:
    known = know(dict(zip("abcdefgh", range(40, 48), strict=True)) | {"W009": 0})
    smile, frown, turned = MODES[0], MODES[1], np.zeros((468, 2))
    turned[:, 0] = 0.01 * DEPTH
    still = film(np.zeros((9, 468, 2)))  # of whom no clip is known, the source is the neutral face

    def like(shown: np.ndarray, *real: np.ndarray) -> float | None:
        clips = [film(np.repeat(each[None], 9, 0)) for each in (shown, *real)]
        return known.measure_likeness("stranger", still, clips[0], clips[1:])

    assert like(0.5 * smile + turned, smile) == pytest.approx(1, abs=0.02)
    assert like(-smile, smile) == pytest.approx(-1, abs=0.02)
    assert like(smile, smile, frown) == pytest.approx(0.5, abs=0.1)
    assert like(smile) is None
    assert known.measure_likeness("stranger", still, np.full((9, 468, 2), np.nan), [still]) is None


def test_too_few_people_have_no_region() -> None:
    known = know({"a": 11, "b": 12, "c": 13, "d": 14, "e": 0, "W009": 20})
    points = film(express(5))
    assert known.compare("W009", points, points, [points]) == {"plausibility": None, "plausibility_source": None}
    assert known.name == "none: the data hold 4 people to fit real expressions on, fewer than 5"
    with pytest.raises(ValueError, match="fewer than 5"):
        ExpressionModel.fit([express(20)] * 4)


def test_landmarks_of_eight_frames_a_second_are_kept(
    tmp_path: Path, write_video: Callable[[Path, Sequence[np.ndarray]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    shades = np.arange(0, 200, 10)
    write_video(tmp_path / "clip.mp4", [np.full((64, 64, 3), shade, np.uint8) for shade in shades])
    seen: list[float] = []

    def track(frames: clip_features.Frames) -> np.ndarray:
        seen.extend(frame.mean() for frame in frames())
        return np.stack([np.full((468, 2), np.nan if shade < 20 else shade) for shade in seen])

    monkeypatch.setattr(clip_features, "track_landmarks", track)
    cache = FeatureCache(tmp_path / "kept")
    points = cache.sample_landmarks(tmp_path / "clip.mp4")
    assert seen == pytest.approx(list(shades[::3]), abs=3) and len(points) == len(shades[::3]) - 1
    assert (cache.sample_landmarks(tmp_path / "clip.mp4") == points).all() and len(seen) == len(shades[::3])
    write_video(tmp_path / "dark.mp4", [np.zeros((64, 64, 3), np.uint8)] * 4)
    seen.clear()
    with pytest.raises(FaceError, match="no face in any of 2 sampled frames"):
        cache.sample_landmarks(tmp_path / "dark.mp4")
