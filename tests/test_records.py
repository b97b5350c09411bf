"""What is said of an edit is what was done: counted frames, the clip's own length, faces that are there."""

import json

import pytest

from cdrl.cli.main import main
from cdrl.provenance import sidecar_path, verify


def refuse(capsys, output, *words):
    """The one line of a `cdrl edit` that ends with an error and writes nothing, and its exit code."""
    code = main(["edit", *map(str, words), "-o", str(output)])
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and err.startswith("cdrl: error: ")
    assert list(output.parent.iterdir()) == []
    return code, err


@pytest.mark.parametrize("segments", ["50-100:happy", "0-1:sad, 50-:happy", "1-100:happy"])
def test_a_part_of_the_plan_outside_the_clip_is_an_error(sample, tmp_path, capsys, segments):
    code, err = refuse(capsys, tmp_path / "out.mp4", sample, "--segments", segments)
    assert code == 2 and "which is 2.04 s long" in err


def test_a_segment_between_two_frames_is_an_error_and_not_an_edit(sample, tmp_path, capsys):
    code, err = refuse(capsys, tmp_path / "out.mp4", sample, "--segments", "1.001-1.002:happy")
    assert code == 2 and "holds no frame" in err


def test_only_what_was_changed_is_recorded(sample, tmp_path, capsys):
    output, report = tmp_path / "out.mp4", tmp_path / "report.json"
    asked = "0.5-1:angry, 1.2-1.5:neutral"  # the second is what the clip shows already
    given = ["--segments", asked, "--intensity", "0.6", "--report", str(report)]
    assert main(["edit", str(sample), *given, "-o", str(output)]) == 0
    assert "nothing was changed in the segment '1.2-1.5:neutral'" in capsys.readouterr().err
    sidecar = json.loads(sidecar_path(output).read_text())
    (segment,) = sidecar["edit"]["segments"]
    assert list(segment["amounts"]) == ["angry"] and 0.5 <= segment["start"] < segment["end"] <= 1
    assert sidecar["frames"] == segment["frames"] | {"total": 61} == sidecar["edit"]["frames"]
    told = json.loads(report.read_text())
    assert segment["frames"] == {"edited": 14, "total": 15}  # of the last one so little was asked that nothing changed
    assert told["frames"]["edited"] == 14
    assert [span["frames"]["edited"] for span in told["segments"]] == [14, 0]
    assert "from 0.527 s to 0.961 s, in 14 of 61 frames" in " ".join(verify(output).lines())


def test_where_no_frame_was_changed_nothing_says_it_was_edited(sample, tmp_path, capsys):
    output = tmp_path / "out.mp4"
    assert main(["edit", str(sample), "--emotion", "neutral", "-o", str(output)]) == 0
    assert "no frame was changed" in capsys.readouterr().err
    assert json.loads(sidecar_path(output).read_text())["digital_source_type"] is None
    found = verify(output)
    assert (found.status, found.source_type) == ("verified", None)
    assert "copied with cdrl" in " ".join(found.lines())


def test_how_many_faces_there_are_is_said_where_one_is_asked_for_that_is_not(sample, tmp_path, capsys):
    code, err = refuse(capsys, tmp_path / "out.mp4", sample, "--emotion", "happy", "--face", "3")
    assert code == 4 and "at most 1 face is seen" in err and "no face 3" in err
