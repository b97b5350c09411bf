"""`cdrl evaluate transfer`: which takes are edited, what is compared with the real takes, how people are averaged."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from cdrl.cli.main import main
from cdrl.errors import FaceError, InputError, UsageError
from cdrl.evaluation import references
from cdrl.evaluation.benchmark_config import TransferConfig
from cdrl.evaluation.clip_features import ClipFeatures
from cdrl.evaluation.clip_tables import ClipRecord
from cdrl.evaluation.clips import encode_copy
from cdrl.evaluation.evaluators import CLASSES
from cdrl.evaluation.geometry import FaceLayout
from cdrl.evaluation.methods import Edit
from cdrl.evaluation.references import References
from cdrl.evaluation.transfer import (
    TransferTask,
    compare_mouths,
    list_tasks,
    parse_emotion_pairs,
    rank_correlation,
    score_transfer,
    summarize_transfer,
)
from cdrl.evaluation.transfer_report import render_transfer

RANDOM = np.random.default_rng(20)
EXAMPLES = Path(__file__).parents[2] / "examples"
CODES = {"neutral": "NEU", "happy": "HAP", "sad": "SAD"}


def face(width: np.ndarray | float, opening: np.ndarray) -> np.ndarray:
    """Landmarks [T,468,2]: eyes 100 pixels apart, a mouth so wide and so far open (eye distances)."""
    points = np.zeros((len(opening), 468, 2))
    points[:, [33, 133, 362, 263], 0] = [-70, -30, 30, 70]
    points[:, 61, 0], points[:, 291, 0] = -50 * np.asarray(width), 50 * np.asarray(width)
    for upper, lower in ((82, 87), (13, 14), (312, 317)):
        points[:, upper, 1], points[:, lower, 1] = 100 - 50 * opening, 100 + 50 * opening
    return points


def seen(points: np.ndarray, identity: tuple[float, ...] = (1.0, 0.0), **emotions: float) -> ClipFeatures:
    """A clip whose frames all show the emotions with those probabilities."""
    count = np.arange(float(len(points)))
    probabilities = np.tile([emotions.get(name, 0.0) for name in CLASSES], (len(points), 1))
    upper, thumbs = np.zeros((len(points), 2, 2)), np.zeros((len(points), 2, 2), np.uint8)
    layout = FaceLayout(np.zeros((468, 2)), 64)
    vectors = np.array([identity]), np.array([identity])
    return ClipFeatures(points, probabilities, count, count, upper, thumbs, count, *vectors, layout)


def clip(name: str, emotion: str, person: str = "W009", words: str = "w", sentence: str = "1") -> ClipRecord:
    return ClipRecord(Path(name), "mead", person, emotion, sentence, words)


def test_rank_correlation_is_spearman_over_common_frames() -> None:
    x, y = RANDOM.normal(size=30), RANDOM.normal(size=30)
    x[3] = y[7] = np.nan
    both = np.isfinite(x) & np.isfinite(y)
    assert rank_correlation(x, y) == pytest.approx(spearmanr(x[both], y[both]).statistic)
    assert rank_correlation(x, np.exp(x)) == pytest.approx(1)
    assert np.isnan(x[3])
    assert rank_correlation(np.ones(30), y) is None and rank_correlation(x, np.ones(30)) == 0


def test_mouths_are_compared_by_their_means_and_frame_by_frame() -> None:
    opening = np.array([0.0, 0.2, 0.4])
    after, truth = face(np.array([0.7, 0.8, 0.9]), opening / 2), face(np.array([0.9, 0.8, 0.7]), opening)
    scores = compare_mouths(face(1.0, opening), after, truth)
    assert (scores["width_source"], scores["width"], scores["width_real"]) == pytest.approx((1.0, 0.8, 0.8))
    assert scores["width_error"] == pytest.approx(0) and scores["width_error_source"] == pytest.approx(0.2)
    assert scores["width_distance"] == pytest.approx(0.4 / 3) and scores["width_distance_source"] == pytest.approx(0.2)
    assert scores["opening_error"] == pytest.approx(0.1) and scores["opening_error_source"] == pytest.approx(0)
    assert scores["nearer"] == 1


def test_nearer_is_asked_where_the_source_is_further_off() -> None:
    still = np.full(4, 0.1)
    assert compare_mouths(face(0.9, still), face(0.6, still), face(0.8, still))["nearer"] == 0
    assert compare_mouths(face(0.84, still), face(0.8, still), face(0.8, still))["nearer"] is None
    # Width is off by .06 and gets worse; opening is off by more and gets better.
    better = compare_mouths(face(0.86, still), face(0.9, still + 0.15), face(0.8, still + 0.2))
    assert better["nearer"] == 1


def test_frames_without_a_face_in_any_of_the_three_are_left_out() -> None:
    points = [face(width, np.full(3, 0.1)) for width in (1.0, 0.9, 0.8)]
    for index, one in enumerate(points[:2]):
        one[index] = np.nan
    points[0][2] += 5
    assert compare_mouths(*points)["width_error"] == pytest.approx(0.1)
    points[2][2] = np.nan
    assert compare_mouths(*points) == {}


CLIPS = [
    *(clip(emotion, emotion) for emotion in ("happy", "neutral", "sad")),
    clip("other words", "disgusted", words="v", sentence="2"),
    clip("elsewhere", "angry", person="M030"),
    clip("and neutral", "neutral", person="M030"),
    clip("unknown words", "fear", words=""),
    clip("a stranger", "happy", person="X1"),
    clip("the stranger again", "sad", person="X1"),
]


def named(tasks: list[TransferTask]) -> list[tuple[str, str]]:
    return [(task.source.path.name, task.emotion) for task in tasks]


def test_takes_of_the_same_words_are_edited_to_each_other() -> None:
    config = TransferConfig(data=Path("d"))
    assert sorted(named(list_tasks(config, CLIPS))) == [
        *(("happy", "neutral"), ("happy", "sad"), ("neutral", "happy")),
        *(("neutral", "sad"), ("sad", "happy"), ("sad", "neutral")),
    ]
    report = named(list_tasks(replace(config, set="report"), CLIPS))
    assert sorted(report) == [("and neutral", "angry"), ("elsewhere", "neutral")]
    assert len(list_tasks(replace(config, set="all"), CLIPS)) == 10
    assert named(list_tasks(replace(config, emotions=("hap", "sad")), CLIPS)) == [("happy", "sad"), ("sad", "happy")]
    assert named(list_tasks(replace(config, pairs=("all:neutral",)), CLIPS)) == [
        ("happy", "neutral"),
        ("sad", "neutral"),
    ]
    with pytest.raises(InputError, match="same words in two"):
        list_tasks(replace(config, emotions=("happy", "disgusted")), CLIPS)


def test_the_reference_is_the_real_take_of_the_same_words() -> None:
    shown = {clip.path: clip for clip in CLIPS}
    for task in list_tasks(TransferConfig(data=Path("d"), by_reference=True), CLIPS):
        assert task.reference is not None
        reference = shown[task.reference]
        assert (reference.emotion, reference.person) == (task.emotion, task.source.person)
        assert reference.words == task.source.words


def test_the_neutral_take_is_shown_where_it_is_not_the_source() -> None:
    tasks = list_tasks(TransferConfig(data=Path("d"), enroll_neutral=True), CLIPS)
    assert {task.source.emotion: task.neutral for task in tasks} == {
        "happy": Path("neutral"),
        "sad": Path("neutral"),
        "neutral": None,
    }
    assert not any(task.neutral for task in list_tasks(TransferConfig(data=Path("d")), CLIPS))


def test_pairs_of_emotions() -> None:
    emotions = ("neutral", "happy", "sad")
    assert len(parse_emotion_pairs((), emotions)) == 6
    pairs = parse_emotion_pairs(("all:neutral", "hap:sad", "sad:neutral"), emotions)
    assert pairs == [("happy", "neutral"), ("happy", "sad"), ("sad", "neutral")]


@pytest.mark.parametrize("text", ["happy", "happy:happy", "happy:fear", "happy:sad:neutral", "happy:bored", ":"])
def test_pairs_that_are_none(text: str) -> None:
    with pytest.raises(UsageError):
        parse_emotion_pairs((text,), ("neutral", "happy", "sad"))


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> References:
    """The takes of one person: their mouths move alike, happy ones are wider; one neutral clip of other words."""
    opening = 0.1 + 0.05 * np.sin(np.arange(40) / 3)
    files = {
        "neutral": seen(face(0.8, opening), (0.0, 1.0), neutral=0.6, happy=0.1),
        "happy": seen(face(1.0, opening), (3.0, 4.0), happy=0.9),
        "elsewhere": seen(face(0.8, opening), (1.0, 0.0), neutral=0.5),
    }
    clips = [clip("neutral", "neutral"), clip("happy", "happy"), clip("elsewhere", "neutral", words="v", sentence="2")]
    cache = SimpleNamespace(extract=lambda path: files[path.name])
    monkeypatch.setattr(references, "read_frame_rate", lambda path: 25)
    monkeypatch.setattr(references, "read_speech", lambda path: None)
    monkeypatch.setattr(References, "_select", lambda self, takes, without: [(t, files[t.path.name]) for t in takes])
    return References(clips, clips, cache)


def test_a_perfect_edit_is_the_real_take(known: References) -> None:
    task = TransferTask(known.clips[1], "neutral")
    source, real = (known.cache.extract(Path(name)) for name in ("happy", "neutral"))
    scores = score_transfer(task, source, real, known)
    assert scores["width_error"] == pytest.approx(0, abs=1e-6)
    assert scores["width_error_source"] == pytest.approx(0.2)
    assert scores["nearer"] == 1 and scores["opening_order"] == pytest.approx(1) and scores["closures_kept"] == 1
    probabilities = [scores[f"p_{what}{of}"] for what in ("target", "left") for of in ("_source", "", "_real")]
    assert probabilities == pytest.approx([0.0, 0.6, 0.6, 0.9, 0.1, 0.1])
    # The reference is the neutral clip of other words.
    assert scores["identity"] == scores["identity_real"] == pytest.approx(0)


def test_identity_of_a_neutral_take_is_not_measured_by_itself(known: References) -> None:
    known.clips = known.clips[:2]
    source, real = (known.cache.extract(Path(name)) for name in ("happy", "neutral"))
    scores = score_transfer(TransferTask(known.clips[1], "neutral"), source, source, known)
    assert scores["identity"] == pytest.approx(0.8) and "identity_real" not in scores
    other = score_transfer(TransferTask(known.clips[0], "happy"), real, source, known)
    assert other["identity_real"] == pytest.approx(0.8)


def test_an_edit_whose_real_take_cannot_be_aligned_has_the_other_measures(known: References) -> None:
    blind = seen(np.full((4, 468, 2), np.nan))
    scores = score_transfer(TransferTask(known.clips[1], "neutral"), blind, blind, known)
    assert "width_error" not in scores and scores["p_target_real"] == pytest.approx(0.6)


def row(person: str, origin: str, target: str, failed: str | None = None, **values: float) -> dict[str, Any]:
    facts = {"person": person, "source_emotion": origin, "emotion": target, "source": "s", "failed": failed}
    return {**facts, "measures": values}


def test_people_and_pairs_count_once() -> None:
    rows = [
        *(row("a", "happy", "sad", width_error=0.1, nearer=1, p_target=0.4, p_target_real=0.8) for _ in range(3)),
        row("a", "sad", "happy", width_error=0.3, p_target=0.4, p_target_real=0.8),
        row("b", "happy", "sad", width_error=0.4, nearer=0, p_target=0.2, p_target_real=0.4),
        row("b", "sad", "happy", "nobody there", p_target=0.0),
    ]
    summary = summarize_transfer(rows)
    assert list(summary) == ["all", "to happy", "to sad", "from happy", "from sad", "happy → sad", "sad → happy"]
    everything = summary["all"]
    assert everything["measures"]["width_error"]["people"] == pytest.approx({"a": 0.2, "b": 0.4})
    assert everything["measures"]["width_error"]["mean"] == pytest.approx(0.3)
    assert (everything["edits"], everything["failed"], everything["differ"]) == (6, 1, 4)
    assert summary["from happy"]["share"] == pytest.approx(0.5)
    assert summary["sad → happy"]["measures"]["p_target"]["mean"] == pytest.approx(0.2)
    facts = {"set": "tune", "method": "cdrl", "intensity": 1.0, "enroll_neutral": False, "renderer": "default"}
    facts |= {"judges": {"emotion": "fer"}, "by_reference": True}
    text = render_transfer(
        {
            **facts,
            "unread": {"x.mp4": "no face"},
            "repeated": {"y.mp4": "counted once"},
            "rows": rows,
            "summary": summary,
        }
    )
    lines = [line.split("|") for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(summary) and len({len(line) for line in lines}) == 1
    assert (
        "s, happy: nobody there" in text
        and "x.mp4, left out: no face" in text
        and "clip y.mp4, counted once" in text
        and "nan" not in text
    )


def test_a_table_of_failures_alone() -> None:
    summary = summarize_transfer([row("a", "happy", "sad", "nobody there", p_target=0.0)])
    assert summary["all"]["share"] is None and summary["all"]["failed"] == 1 and summary["all"]["differ"] == 0


def write_table(folder: Path) -> None:
    lines = [f"{EXAMPLES / f'1001_DFA_{code}_XX.flv'},crema_d,1001,{name},DFA,A jacket" for name, code in CODES.items()]
    (folder / "clips.csv").write_text("\n".join(["path,dataset,actor,emotion,content_id,sentence", *lines]))


@pytest.mark.slow
def test_transfer_end_to_end(evaluators: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_table(tmp_path)
    told = []

    def edit(self: Edit, source: Path, emotion: str, output: Path, person: str) -> None:
        told.append((source.name, emotion, self.enroll.get("neutral")))
        if emotion == "sad":
            raise FaceError("nobody there")
        encode_copy(EXAMPLES / f"1001_DFA_{CODES[emotion]}_XX.flv", output)

    monkeypatch.setattr(Edit, "__call__", edit)
    places = {"json": tmp_path / "t.json", "markdown": tmp_path / "t.md", "cache": tmp_path / "cache"}
    words = ["--set", "report", "--pairs", "happy:all", "--enroll-neutral", "--keep", str(tmp_path / "kept")]
    words += [word for name, path in places.items() for word in (f"--{name}", str(path))]
    assert main(["evaluate", "transfer", "--data", str(tmp_path), *words]) == 10
    neutral = EXAMPLES / "1001_DFA_NEU_XX.flv"
    assert told == [("1001_DFA_HAP_XX.flv", emotion, neutral) for emotion in ("neutral", "sad")]
    result = json.loads((tmp_path / "t.json").read_text())
    to_neutral, to_sad = (row["measures"] for row in result["rows"])
    # The stand-in is the real take, not warped to the source's time: near to it in width and emotion.
    assert to_neutral["width_error"] < 0.03 and to_neutral["p_target"] == pytest.approx(
        to_neutral["p_target_real"], abs=0.1
    )
    assert to_sad["p_target"] == 0 and result["rows"][1]["failed"] == "nobody there"
    assert to_neutral["plausibility"] is None and "plausibility by none: the data hold 0 people" in (
        report := (tmp_path / "t.md").read_text()
    )
    assert "nobody there" in report
    assert [path.name for path in (tmp_path / "kept").iterdir() if path.suffix == ".mp4"] != []


def test_a_missing_prior_is_said_before_anything_is_edited(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_table(tmp_path)
    words = ["--data", str(tmp_path), "--set", "report", "--priors", str(tmp_path)]
    assert main(["evaluate", "transfer", *words]) == 7
    said = capsys.readouterr().err
    assert "prior_without_1001.npz is missing" in said and said.count("\n") == 1


def test_a_file_without_a_place_is_said_before_anything_is_edited(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_table(tmp_path)
    words = ["--data", str(tmp_path), "--set", "report", "--json", str(tmp_path / "none" / "t.json")]
    assert main(["evaluate", "transfer", *words]) == 5
    assert "not a place for a file" in capsys.readouterr().err


def test_nobody_in_the_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_table(tmp_path)
    assert main(["evaluate", "transfer", "--data", str(tmp_path)]) == 3
    assert "none of the people of --set tune" in capsys.readouterr().err
