"""`cdrl verify`: 0 where all that is said holds, else 9 and one line that says what is wrong."""

import json

import av
import pytest

from cdrl.cli.main import main
from cdrl.provenance import sidecar_path
from cdrl.provenance.record import FORMAT


@pytest.fixture
def edited(clip, sealed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return sealed(clip("talk.mp4"), tmp_path / "happy.mp4")


def refused(capsys, *words):
    """The complaint of a `cdrl verify` that ends with 9."""
    assert main(["verify", *words]) == 9
    out, err = capsys.readouterr()
    assert err.startswith("cdrl: error: ")
    assert err.count("\n") == 1
    return out, err


def test_a_file_as_written_is_verified_and_told_in_words(edited, capsys):
    assert main(["verify", "happy.mp4", "--source", "talk.mp4"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "happy.mp4: verified" in out
    assert "the face made to show happy (1) from 0 s to 0.48 s, in 12 of 12 frames" in out
    assert "from talk.mp4" in out


def test_moved_together_it_is_still_verified(edited, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    moved = edited.rename(tmp_path / "elsewhere" / "other.mp4")
    sidecar_path(edited).rename(sidecar_path(moved))
    assert main(["verify", str(moved)]) == 0


def test_json_tells_the_same(edited, capsys):
    assert main(["verify", "happy.mp4", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["status"], found["problem"], found["c2pa"]) == ("verified", "", None)
    assert found["sidecar"]["edit"] == found["edits"][0]
    assert found["sidecar"]["format"] == FORMAT
    out, _ = refused(capsys, "talk.mp4", "--json")
    assert json.loads(out)["status"] == "unmarked"


def test_an_untouched_video_has_no_provenance(edited, capsys):
    assert "has no provenance" in refused(capsys, "talk.mp4")[1]


def test_another_source_is_told(edited, clip, capsys):
    clip("other.mp4", frames=5)
    assert "not the file that the video was made of" in refused(capsys, "happy.mp4", "--source", "other.mp4")[1]


@pytest.mark.parametrize("keep", [-1, 1000, 40])
def test_a_truncated_file(edited, capsys, keep):
    edited.write_bytes(edited.read_bytes()[:keep])
    assert "changed or cut off" in refused(capsys, "happy.mp4")[1]


def converted(source, target):
    """The picture encoded again, labels copied as converters do."""
    with av.open(str(source)) as given, av.open(str(target), "w") as output:
        output.metadata.update(given.metadata)
        stream = output.add_stream("libx264", rate=25)
        stream.width, stream.height = given.streams.video[0].width, given.streams.video[0].height
        for frame in given.decode(video=0):
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def test_a_file_encoded_again(edited, capsys, tmp_path):
    converted(edited, tmp_path / "again.mp4")
    out, err = refused(capsys, "again.mp4")
    assert "says “edited with cdrl" in err
    assert "cannot" not in out
    (tmp_path / "again.mp4").replace(edited)
    assert "is not the file that happy.mp4.provenance.json speaks of" in refused(capsys, "happy.mp4")[1]


def test_without_its_sidecar_nothing_can_be_checked(edited, capsys):
    sidecar_path(edited).unlink()
    out, err = refused(capsys, "happy.mp4")
    assert "without its sidecar nothing can be checked" in err
    assert "made to show happy" in out


def test_a_sidecar_that_tells_another_edit(edited, capsys):
    content = json.loads(sidecar_path(edited).read_text())
    content["edit"]["segments"][0]["amounts"] = {"neutral": 1.0}
    sidecar_path(edited).write_text(json.dumps(content))
    assert "tells another edit than the file itself" in refused(capsys, "happy.mp4")[1]


DAMAGED = {
    "empty": b"",
    "half": b'{"format": "cdrl-prov',
    "list": b"[]",
    "other": b"{}",
    "no text": b"\xff\xfe\x00",
    "later": b'{"format": "cdrl-provenance/99"}',
    "no hash": json.dumps({"format": FORMAT, "input": {"sha256": "../x"}, "output": {}}).encode(),
    "numbers": json.dumps({"format": FORMAT, "input": {"sha256": 5}, "output": 7, "edit": {}}).encode(),
    "deep": b"[" * 200_000,
    "huge": b" " * (1 << 21),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_sidecar(edited, capsys, content):
    sidecar_path(edited).write_bytes(content)
    assert "happy.mp4.provenance.json is damaged" in refused(capsys, "happy.mp4")[1]


FORGED = {
    "no list": "{}",
    "numbers": "[1, null]",
    "text": '[{"segments": "abc", "regions": 5, "version": []}]',
    "too large": '[{"segments": [{"amounts": {"sad": 1%s}, "start": 0, "end": 0}], "regions": [], "version": 1}]'
    % ("0" * 400),
    "deep": "[" * 60 + "]" * 60,
    "deeper": "[" * 100_000,
}


@pytest.mark.parametrize("edits", FORGED.values(), ids=FORGED)
def test_a_forged_record_is_said_to_be_none(clip, capsys, edits):
    out, err = refused(capsys, str(clip("forged.mkv", metadata={"CDRL_EDITS": edits})), "--json")
    assert json.loads(out)["status"] in {"unproven", "unmarked"}
    assert "has no provenance" in err or "does not understand" in err


def test_a_link_to_a_video_finds_its_sidecar(edited, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "link.mp4").symlink_to(edited)
    assert main(["verify", "elsewhere/link.mp4"]) == 0


def test_nothing_in_a_forged_label_reaches_the_terminal(clip, capsys):
    _, err = refused(capsys, str(clip("forged.mkv", metadata={"comment": "edited with cdrl \x1b[2Jall is well"})))
    assert "\x1b" not in err


@pytest.mark.parametrize(("name", "code"), [("nowhere.mp4", 3), (".", 3), ("text.mp4", 3)])
def test_what_is_no_video(edited, tmp_path, name, code):
    (tmp_path / "text.mp4").write_text("no video")
    assert main(["verify", name]) == code
