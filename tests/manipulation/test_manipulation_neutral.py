"""The person's neutral face, given as a photo or clip, is what an edit takes an emotion back to."""

import json

import cv2
import numpy as np
import pytest

import cdrl
from cdrl.cli.main import main
from cdrl.face.landmarks import BundleDetector
from cdrl.face.tracking import FaceTracker
from cdrl.media import read
from cdrl.project import read_project

LIP_CORNERS, EYES = (61, 291), ((33, 133), (362, 263))


@pytest.fixture(scope="module")
def takes(repository):
    """The same words by one person: happy and neutral."""
    return {name: repository / "examples" / f"1001_DFA_{name}_XX.flv" for name in ("HAP", "NEU")}


@pytest.fixture(scope="module")
def photo(takes, tmp_path_factory):
    """The first frame of the neutral take, before the first word."""
    path = tmp_path_factory.mktemp("photo") / "neutral.png"
    with read(takes["NEU"]) as frames:
        cv2.imwrite(str(path), next(frames).rgb()[..., ::-1])
    return path


@pytest.fixture(scope="module")
def own_width(takes):
    """Take → the width of its mouth."""
    return {name: mouth_width(read(path)) for name, path in takes.items()}


def mouth_width(frames):
    """Mean distance of the lip corners, in distances of the eyes' centers."""
    tracker = FaceTracker(BundleDetector())
    tracks = [track for frame in frames if (track := tracker.step(frame)) is not None]
    points = np.array([track.points[:, :2] for track in tracks])
    right, left = (points[:, list(corners)].mean(1) for corners in EYES)
    corners = points[:, LIP_CORNERS[0]] - points[:, LIP_CORNERS[1]]
    return float((np.linalg.norm(corners, axis=1) / np.linalg.norm(left - right, axis=1)).mean())


def edited_width(source, **request):
    return mouth_width(edited.frame for edited in cdrl.load().edit(source, **request).frames())


def test_a_smile_is_taken_out_to_the_neutral_that_was_given(takes, photo, own_width):
    real = own_width["NEU"]
    estimated = edited_width(takes["HAP"], emotion="neutral")
    for given in (takes["NEU"], photo):
        width = edited_width(takes["HAP"], emotion="neutral", enroll={"neutral": given})
        assert abs(width - real) <= 0.04 < abs(own_width["HAP"] - real)
        assert abs(width - real) < abs(estimated - real)


def test_a_smile_that_is_asked_for_does_not_come_on_top_of_their_own(takes, own_width):
    """Of the two smiles there is one."""
    request = {"emotion": "happy", "enroll": {"neutral": takes["NEU"]}}
    on_neutral = edited_width(takes["NEU"], **request)
    assert edited_width(takes["HAP"], **request) <= max(on_neutral, own_width["HAP"]) + 0.02


def test_a_clip_that_is_its_own_neutral_hardly_changes(takes, own_width):
    width = edited_width(takes["NEU"], emotion="neutral", enroll={"neutral": takes["NEU"]})
    assert width == pytest.approx(own_width["NEU"], abs=0.01)


def test_command_project_and_report_name_the_neutral(takes, photo, tmp_path, capsys):
    output, report, project = tmp_path / "out.mp4", tmp_path / "report.json", tmp_path / "edit.json"
    words = ["edit", str(takes["HAP"]), "--emotion", "neutral", "--enroll", f"neutral={photo}"]
    assert main([*words, "-o", str(output), "--report", str(report), "--save-project", str(project)]) == 0
    assert json.loads(report.read_text())["neutral"] == "neutral.png"
    assert read_project(project).enroll == {"neutral": photo}
    assert json.loads((tmp_path / "out.mp4.provenance.json").read_text())["edit"]["enrolled"] == ["neutral"]
    assert "mouth that speaks" not in capsys.readouterr().err


def test_a_photo_of_a_mouth_that_speaks_is_said(takes, tmp_path, capsys):
    photo = tmp_path / "word.png"
    with read(takes["HAP"]) as frames:
        widest = max(frames, key=lip_gap)
    cv2.imwrite(str(photo), widest.rgb()[..., ::-1])
    words = ["edit", str(takes["HAP"]), "--emotion", "neutral", "--enroll", f"neutral={photo}"]
    assert main([*words, "-o", str(tmp_path / "out.mp4")]) == 0
    assert "word.png shows a mouth that speaks" in capsys.readouterr().err


def lip_gap(frame):
    track = FaceTracker(BundleDetector()).step(frame)
    return 0.0 if track is None else float(track.points[14, 1] - track.points[13, 1])
