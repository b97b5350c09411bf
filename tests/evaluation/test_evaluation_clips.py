"""The evaluators on the bundled sample (CREMA-D actor 1001); skipped where their model files are not installed."""

import json
from dataclasses import fields, replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from cdrl.cli import main as cli
from cdrl.errors import FaceError, InputError, InputNotFoundError, UsageError
from cdrl.evaluation import clip_features, landmarker, measures
from cdrl.evaluation.benchmark_config import TableConfig
from cdrl.evaluation.clip_features import ClipFeatures, FeatureCache, extract_features
from cdrl.evaluation.clip_tables import parse_sentence_number, read_clips
from cdrl.evaluation.clips import decode_frames, encode_copy
from cdrl.evaluation.evaluators import CLASSES
from cdrl.evaluation.geometry import FaceLayout
from cdrl.evaluation.method_benchmark import evaluate_methods
from cdrl.evaluation.methods import NoEdit, name_output
from cdrl.evaluation.score import compare_features, score_clip
from cdrl.media import Writer, probe, read

EXAMPLES = Path(__file__).parents[2] / "examples"
NEUTRAL, HAPPY = EXAMPLES / "1001_DFA_NEU_XX.flv", EXAMPLES / "1001_DFA_HAP_XX.flv"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("copy") / "copy.mp4"
    encode_copy(NEUTRAL, path)
    return path


@pytest.fixture(scope="module")
def happy(evaluators: None) -> ClipFeatures:
    return extract_features(lambda: decode_frames(HAPPY))


def test_the_detector_has_its_896_anchors_row_by_row() -> None:
    anchors = landmarker.make_anchors()
    assert anchors.shape == (896, 2)
    assert anchors[0] == pytest.approx([1 / 32, 1 / 32]) and anchors[2] == pytest.approx([3 / 32, 1 / 32])
    assert anchors[512] == pytest.approx([1 / 16, 1 / 16]) and anchors[-1] == pytest.approx([15 / 16, 15 / 16])


def test_overlapping_detections_are_averaged_by_score_and_others_left_out() -> None:
    raw, scores = np.zeros((4, 16)), np.array([0.9, 0.6, 0.8, 0.2])
    raw[:, 2:4] = 64  # boxes of half the picture
    anchors = np.array([[0.5, 0.5], [0.52, 0.5], [0.1, 0.1], [0.5, 0.5]])
    best = landmarker.merge_detections(raw, np.log(scores / (1 - scores)), anchors)
    assert best is not None
    best = best.ravel()
    assert best[0] == pytest.approx((0.9 * 0.5 + 0.6 * 0.52) / 1.5) and best[2] == pytest.approx(0.5)
    assert best[4] == pytest.approx(best[0])  # key points ride on the same anchors
    assert landmarker.merge_detections(raw, np.full(4, -3.0), anchors) is None


def test_flow_moments_of_known_flows() -> None:
    y = np.linspace(-0.5, 0.5, 80, dtype=np.float32)[:, None]
    opening = np.zeros((80, 96, 2), np.float32)
    opening[..., 1] = 3 * y
    spread, slope = clip_features.measure_flow(opening)
    assert slope == pytest.approx(3, rel=1e-5) and spread == pytest.approx(float((3 * y).std()), rel=1e-5)
    nod = np.full((80, 96, 2), 2, np.float32)
    assert clip_features.measure_flow(nod) == pytest.approx((0, 0), abs=1e-6)


@pytest.mark.parametrize("count", [1, 2])
def test_a_clip_of_one_or_two_frames_has_numbers_or_null_and_why(evaluators: None, tmp_path: Path, count: int) -> None:
    short, numbers = tmp_path / "short.mp4", tmp_path / "numbers.json"
    with Writer(short, probe(NEUTRAL)) as writer, read(NEUTRAL) as frames:
        for frame in islice(frames, count):
            writer.write(frame)
    assert cli.main(["evaluate", "edit", str(short), str(short), "--emotion", "happy", "--json", str(numbers)]) == 0
    found = json.loads(numbers.read_text())
    why = found.pop("reasons", {})
    assert found["flicker"] is None and found["lip_opening_r"] is None and found["closures_kept"] == 1
    assert why.keys() == {name for name, value in found.items() if value is None} and all(why.values())


def test_a_plain_copy_is_nearly_the_source(evaluators: None, copy: Path) -> None:
    score = score_clip(NEUTRAL, copy, "happy")
    assert score["found"] == 1 and score["edited"] == 0 and score["frames"] == score["frames_output"]
    assert min(score[name] for name in ("lip_opening_r", "lip_flow_r", "closures_kept", "identity")) > 0.95
    assert score["p_target"] == pytest.approx(score["p_target_source"], abs=0.05)


def test_another_take_is_not_taken_for_a_copy_and_looks_happy(evaluators: None) -> None:
    score = score_clip(NEUTRAL, HAPPY, "happy")
    assert score["lip_flow_r"] < 0.9 and score["edited"] > 0.9
    assert score["p_target"] > score["p_target_source"] + 0.3
    assert score["identity"] > 0.95


def test_a_lag_is_taken_out(evaluators: None) -> None:
    frames = list(decode_frames(NEUTRAL))
    source = extract_features(lambda: iter(frames))
    late = extract_features(lambda: iter([*frames[:1] * 3, *frames[:-3]]), source.layout)
    right, wrong = (compare_features(source, late, "sad", lag)["lip_opening_r"] for lag in (3, 0))
    assert right > 0.99 > wrong


def test_frames_without_a_face_are_told(evaluators: None) -> None:
    frames = [frame if t % 10 else np.zeros_like(frame) for t, frame in enumerate(decode_frames(NEUTRAL))]
    seen = extract_features(lambda: iter(frames))
    assert not seen.has_face[::10].any() and seen.has_face[1::10].all()
    assert np.isfinite(measures.lip_opening(seen.points)[seen.has_face]).all()
    with pytest.raises(FaceError, match="no face in any of 3 frames"):
        extract_features(lambda: iter([np.zeros((64, 64, 3), np.uint8)] * 3))


def test_an_observation_survives_the_disk(happy: ClipFeatures, tmp_path: Path) -> None:
    clip_features.save_features(happy, tmp_path / "x.npz")
    again = clip_features.load_features(tmp_path / "x.npz")
    assert again.layout.face_size == happy.layout.face_size
    assert again.points == pytest.approx(happy.points, rel=1e-5, nan_ok=True)
    assert np.array_equal(again.thumbs, happy.thumbs)
    cache = FeatureCache(tmp_path / "store")
    assert np.array_equal(cache.extract(HAPPY).emotion, cache.extract(HAPPY).emotion)
    assert len(list((tmp_path / "store").glob("*.npz"))) == 1


def test_unreadable_files_and_unknown_emotions_are_refused(happy: ClipFeatures, tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError, match="no such file"):
        list(decode_frames(tmp_path / "none.mp4"))
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(InputError, match="not a video"):
        list(decode_frames(tmp_path / "text.mp4"))
    with pytest.raises(UsageError, match="bored"):
        compare_features(happy, happy, "bored")


def test_sentence_numbers() -> None:
    assert parse_sentence_number("clips/mead/stccl_M003_source_sad_033__source.mp4") == "033"
    assert parse_sentence_number("xref_ASCCL_Cross-ID_M003_source_angry_017.mp4") == "017"
    assert parse_sentence_number("lipnet_bbaf2n.mpg") == ""


class Refusing:
    """A method that always fails."""

    name = "refusing"

    def __call__(self, source: Path, emotion: str, output: Path, person: str) -> None:
        raise FaceError("nobody there")


class Copying:
    """A method that writes the real happy take."""

    name = "cdrl stand-in"

    def __call__(self, source: Path, emotion: str, output: Path, person: str) -> None:
        encode_copy(HAPPY, output)


@pytest.mark.slow
def test_the_table_end_to_end(evaluators: None, tmp_path: Path) -> None:
    (tmp_path / "clips.csv").write_text(
        "path,dataset,actor,emotion,content_id,sentence\n"
        f"{NEUTRAL},crema_d,1001,neutral,DFA,Don't forget a jacket\n"
        f"{HAPPY},crema_d,1001,happy,DFA,DON'T FORGET A JACKET\n"
    )
    assert [clip.emotion for clip in read_clips(tmp_path)] == ["neutral", "happy"]
    places = {"json": tmp_path / "t.json", "markdown": tmp_path / "t.md", "cache": tmp_path / "cache"}
    pairs = ("cdrl stand-in:refusing",)
    config = TableConfig(data=tmp_path, set="report", emotions=("happy",), pairs=pairs, **places)
    with pytest.raises(UsageError, match="no method NED"):
        evaluate_methods(replace(config, pairs=("NED:refusing",)), [Copying(), Refusing()])
    result = evaluate_methods(config, [Copying(), Refusing(), NoEdit()])
    block = result["summary"]["blocks"]["all"]
    ours, refused, untouched = (block["methods"][name] for name in ("cdrl stand-in", "refusing", "no edit"))
    for name in ("lip_opening_r", "lip_flow_r", "closures_kept", "flicker", "sharpness"):
        assert untouched["measures"][name]["mean"] == pytest.approx(1, abs=1e-5)
    assert untouched["measures"]["edited"]["mean"] == 0
    assert ours["share"] == pytest.approx(1, abs=0.1) and ours["failed"] == 0
    # The stand-in is the real happy take itself: near to it in every space, and its own truth once warped back.
    assert ours["measures"]["fad"]["mean"] < 0.05 and ours["measures"]["csim"]["mean"] > 0.7
    assert "csim" not in refused["measures"] and result["floor"]["frames"] == [3, 3]
    assert "lip_flow_r" in block["paired"]["cdrl stand-in − refusing"]
    assert refused["failed"] == 1 and refused["measures"]["p_target"]["mean"] == 0
    assert "nobody there" in (tmp_path / "t.md").read_text() and (tmp_path / "t.json").stat().st_size > 500
    assert set(CLASSES) == set(result["real"][0]["p"])


def test_methods_do_not_keep_their_files_over_each_other():
    names = {name_output("clip/1 a", "happy", method) for method in ("ours - both", "ours + both", "ours")}
    assert names == {"clip_1_a_happy_ours_-_both.mp4", "clip_1_a_happy_ours_+_both.mp4", "clip_1_a_happy_ours.mp4"}


def test_damaged_features_are_extracted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"a clip")
    layout = FaceLayout(np.zeros((5, 2)), 64)
    arrays = {field.name: np.ones((2, 3)) for field in fields(ClipFeatures) if field.name != "layout"}
    monkeypatch.setattr(clip_features, "extract_features", lambda *_: ClipFeatures(**arrays, layout=layout))
    cache = FeatureCache(tmp_path / "kept")
    cache.extract(tmp_path / "clip.mp4")
    (entry,) = (tmp_path / "kept").iterdir()
    entry.write_bytes(entry.read_bytes()[:100])
    assert (cache.extract(tmp_path / "clip.mp4").points == 1).all()
