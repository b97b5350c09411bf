"""What numbered pictures say of their edit, each for itself and all together, and what `verify` makes of it."""

import itertools
import json
import shutil
from dataclasses import replace

import pytest

from cdrl.cli.main import main
from cdrl.errors import InputError
from cdrl.media import EncoderOptions, Limits, SequenceWriter, find_sequence, probe, read
from cdrl.media.png import read_chunks, read_texts
from cdrl.media.sequences import read_picture_texts
from cdrl.plan import EditPlan, EditTally
from cdrl.provenance import DIGITAL_SOURCE_TYPE, ModelFile, PictureProvenance, verify, xmp
from cdrl.provenance.marks import parse_labels

MODELS = [ModelFile("prior.npz", "0" * 64)]


@pytest.fixture
def pictures(clip, tmp_path):
    """A film of twelve frames as marked pictures, edited in the first 0.2 s: the folder."""
    return mark_pictures(probe(clip("talk.mp4", audio=["aac"])), tmp_path / "out")


def mark_pictures(info, folder, segments="0-0.2:happy", most=99, overwrite=False, name="shot_%02d.png"):
    """The first `most` frames of a clip as marked pictures; returns their folder."""
    plan = EditPlan.parse(segments=segments)
    with read(info, keep_rgb=True) as frames:
        tally = EditTally(plan)
        marker = PictureProvenance(frames.info, folder / name, plan, tally, MODELS)
        settings = {"marker": marker, "overwrite": overwrite}
        with SequenceWriter(marker.output, frames.info, EncoderOptions("sequence"), **settings) as writer:
            for frame in itertools.islice(frames, most):
                end, edited = frame.time + frame.duration * frame.time_base, bool(plan.weights(frame.time))
                tally.add(frame.time, end, edited)
                writer.write(frame, frame, edited=edited)
    return folder


def test_of_an_older_longer_result_nothing_is_left_and_what_is_not_of_it_stays(pictures, tmp_path):
    shutil.copy(pictures / "shot_01.png", pictures / "shot_20.png")
    mark_pictures(probe(tmp_path / "talk.mp4"), pictures, most=9, overwrite=True)
    assert sorted(path.name for path in pictures.glob("shot_*.png"))[-2:] == ["shot_09.png", "shot_20.png"]


def test_each_picture_says_what_was_done_to_it(pictures):
    edited, left = (read_texts(read_chunks(pictures / f"shot_{number}.png")) for number in ("02", "09"))
    assert DIGITAL_SOURCE_TYPE in edited["xmp"]
    assert "happy (1) from 0.04 s to 0.08 s, in 1 of 1 frames" in edited["comment"]
    assert DIGITAL_SOURCE_TYPE not in left["xmp"]
    assert left["comment"].startswith("copied with cdrl")


def test_exr_says_it_in_its_attributes_and_tells_of_earlier_edits(clip, tmp_path):
    mark_pictures(probe(clip("talk.mp4")), tmp_path / "out", name="shot_%02d.exr")
    texts = read_picture_texts(tmp_path / "out" / "shot_02.exr")
    assert DIGITAL_SOURCE_TYPE in texts["xmp"]
    assert "happy (1) from 0.04 s to 0.08 s, in 1 of 1 frames" in texts["comment"]
    assert [verify(tmp_path / "out" / name).status for name in ("", "shot_02.exr", "shot_09.exr")] == ["verified"] * 3
    again = probe(find_sequence(tmp_path / "out", None, Limits()))
    mark_pictures(again, tmp_path / "again", "0.3-0.4:sad", name="shot_%02d.exr")
    left, edited = (tmp_path / "again" / f"shot_{number}.exr" for number in ("02", "09"))
    assert left.read_bytes() == (tmp_path / "out" / left.name).read_bytes()
    assert [list(edit["segments"][0]["amounts"]) for edit in verify(tmp_path / "again").edits] == [["happy"], ["sad"]]
    assert [list(edit["segments"][0]["amounts"]) for edit in verify(edited).edits] == [["sad"]]


@pytest.mark.parametrize("name", ["", "shot_##.png", "shot_%02d.png", "shot_02.png", "shot_12.png"])
def test_folder_pattern_and_picture_are_verified(pictures, name, capsys):
    assert main(["verify", str(pictures / name), "--source", str(pictures.parent / "talk.mp4")]) == 0
    assert "verified" in capsys.readouterr().out


def test_what_is_changed_missing_or_foreign_is_named(pictures):
    (pictures / "shot_03.png").unlink()
    shutil.copy(pictures / "shot_01.png", pictures / "shot_08.png")
    shutil.copy(pictures / "shot_01.png", pictures / "shot_13.png")
    verdict = verify(pictures)
    assert verdict.status == "changed"
    for said in ("1 picture missing, first shot_03", "changed, first shot_08", "not of this edit, first shot_13"):
        assert said in verdict.problem
    assert verify(pictures / "shot_08.png").status == verify(pictures / "shot_13.png").status == "changed"
    assert verify(pictures / "shot_02.png").status == "verified"
    other = verify(pictures / "shot_02.png", source=pictures / "shot_01.png")
    assert "not the file that the video was made of" in other.problem


def test_sound_beside_pictures_is_checked(pictures):
    sound = pictures / "shot.wav"
    whole = sound.read_bytes()
    sound.write_bytes(whole[:-2] + b"no")
    assert "the sound shot.wav is changed" in verify(pictures).problem
    sound.unlink()
    assert (verify(pictures).status, "the sound shot.wav is missing" in verify(pictures).problem) == ("changed", True)
    sidecar = pictures / "shot_%02d.png.provenance.json"
    sidecar.write_text(sidecar.read_text().replace('"shot.wav"', '"../in.wav"'))
    assert "is no file beside it" in verify(pictures).problem


def test_a_second_edit_that_changes_nothing_leaves_the_source_type(pictures, tmp_path):
    info = probe(find_sequence(pictures, None, Limits()))
    again = mark_pictures(info, tmp_path / "again", "9-:sad")
    said = json.loads((again / "shot_%02d.png.provenance.json").read_text())
    assert said["digital_source_type"] == DIGITAL_SOURCE_TYPE
    assert verify(again).source_type == DIGITAL_SOURCE_TYPE


def test_without_the_sidecar_pictures_are_unproven(pictures):
    sidecar = pictures / "shot_%02d.png.provenance.json"
    said = json.loads(sidecar.read_text())
    assert said["edit"]["frames"] == {"edited": 5, "total": 12}
    assert (said["output"]["frame_rate"], len(said["output"]["pictures"])) == ("25", 12)
    sidecar.write_text(json.dumps(said | {"output": said["output"] | {"pictures": {"shot_01.png": "no"}}}))
    assert verify(pictures).status == "damaged"
    sidecar.unlink()
    assert verify(pictures).status == verify(pictures / "shot_01.png").status == "unproven"
    assert verify(pictures / "shot_12.png").status == "unmarked"
    with pytest.raises(InputError):
        verify(pictures.parent / "none_%d.png")


def test_what_is_made_of_edited_pictures_tells_of_their_edit(pictures):
    info = probe(find_sequence(pictures, None, Limits()))
    assert parse_labels(info.labels).edits[0]["segments"][0]["amounts"] == {"happy": 1}


@pytest.mark.parametrize("form", ["matroska", "mp4"])
def test_pictures_of_an_edited_film_tell_of_its_edits(clip, tmp_path, form):
    """Each of them, also where the second edit leaves it alone: it is no more a recording than before."""
    info, earlier = probe(clip("talk.mp4")), {"tool": "cdrl", "version": "0", "segments": [{}]}
    labels = {"CDRL_EDITS": json.dumps([earlier]), "DIGITAL_SOURCE_TYPE": DIGITAL_SOURCE_TYPE}
    if form == "mp4":
        labels = {"xmp": xmp.packet("", earlier, "edited with cdrl 0", DIGITAL_SOURCE_TYPE)}
    folder = mark_pictures(replace(info, labels=labels), tmp_path / "out")
    for number, count in (("02", 2), ("09", 1)):
        mark = parse_labels(read_texts(read_chunks(folder / f"shot_{number}.png")))
        assert (mark.edits[0], len(mark.edits), mark.source_type) == (earlier, count, DIGITAL_SOURCE_TYPE)
    assert verify(folder).edits[0] == earlier
    assert len(verify(folder).edits) == 2


def test_edits_of_later_pictures_are_told_of(clip, tmp_path):
    folder = mark_pictures(probe(clip("talk.mp4")), tmp_path / "out", "0.3-:happy")
    info = probe(find_sequence(folder, None, Limits()))
    assert len(parse_labels(info.labels).edits) == 1
