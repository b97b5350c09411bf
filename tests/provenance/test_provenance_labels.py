"""Every container says what was edited; what the source says of itself stays; all of it comes whole or not at all."""

import errno
import json

import av
import pytest

from cdrl.errors import InputError, OutputError, OutputExistsError
from cdrl.manipulation.plan import EditPlan
from cdrl.media import read
from cdrl.provenance import DIGITAL_SOURCE_TYPE, sidecar_path, verify, xmp
from cdrl.provenance.marks import read_mark

PLAN = EditPlan.parse(segments="0.1-0.3:sad, 0.3-:happy:0.6+surprised:0.4", regions="mouth,brows", intensity=0.5)
WORDS = "the brows and mouth made to show sad (0.5) from 0.1 s to 0.3 s, happy (0.3) and surprised (0.2) from 0.3 s to"


def labels(path):
    """What another reader finds: FFmpeg's own, as ffprobe shows it."""
    with av.open(str(path), options={"export_xmp": "1"}) as container:
        return {key.lower(): text for key, text in container.metadata.items()}


@pytest.mark.parametrize("suffix", ["mp4", "m4v", "mov", "mkv", "webm"])
def test_every_container_says_what_was_edited_and_when(clip, sealed, tmp_path, suffix):
    source = clip(metadata={"title": "My talk", "artist": "me"}, audio=["libopus"])
    output = sealed(source, tmp_path / f"out.{suffix}", PLAN)
    found = labels(output)
    assert (found["title"], found["artist"]) == ("My talk", "me")
    assert WORDS in found["comment"]
    told = found["xmp"] if suffix in ("mp4", "m4v", "mov") else found["digital_source_type"]
    assert DIGITAL_SOURCE_TYPE in told
    mark = read_mark(output)
    assert mark.source_type == DIGITAL_SOURCE_TYPE
    assert [segment["start"] for segment in mark.edits[0]["segments"]] == [0.1, 0.3]
    assert mark.edits[0]["regions"] == ["brows", "mouth"]
    assert sum(1 for _ in read(output)) == 12
    assert verify(output).status == "verified"


def test_equal_edits_are_equal_files(clip, sealed, tmp_path):
    source = clip()  # one for both: x264's macroblock trees, on by default, may vary with load
    one, two = (sealed(source, tmp_path / name) for name in ("one.mp4", "two.mp4"))
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_the_edit_of_an_edit_tells_both_and_a_comment_of_the_authors_stays(clip, sealed, tmp_path, suffix):
    first = sealed(clip(metadata={"comment": "take 3"}), tmp_path / "first.mp4")
    second = sealed(first, tmp_path / f"second.{suffix}", PLAN)
    mark = read_mark(second)
    assert [sorted(edit["segments"][-1]["amounts"]) for edit in mark.edits] == [["happy"], ["happy", "surprised"]]
    found = labels(second)
    assert found["comment"] == "take 3"
    assert WORDS in found["description"]


def test_xmp_of_the_source_stays_and_only_its_source_type_gives_way(clip, sealed, tmp_path):
    source = clip()
    theirs = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" '
        'xmlns:i="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" i:DigitalSourceType="urn:capture">'
        "<dc:rights>mine &amp; yours</dc:rights></rdf:Description></rdf:RDF></x:xmpmeta>"
    )
    xmp.append_box(source, theirs)
    found = labels(sealed(source, tmp_path / "out.mov"))["xmp"]
    assert "mine &amp; yours" in found
    assert "urn:capture" not in found
    assert xmp.told_by(found)[0] == DIGITAL_SOURCE_TYPE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<x",
        "<a/>",
        '<!DOCTYPE a [<!ENTITY b "bbbb">]><a>&b;</a>',
        "<x:xmpmeta " + "y" * xmp.LARGEST,
        '<r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#">' + "<a>" * 20_000 + "</a>" * 20_000 + "</r:RDF>",
    ],
    ids=["nothing", "half", "other", "entities", "large", "deep"],
)
def test_a_hostile_packet_costs_nothing_and_is_left_out(text):
    assert xmp.told_by(text) == (None, [])
    edit = {"tool": "cdrl", "version": "0"}
    assert xmp.told_by(xmp.packet(text, edit, "words", "type")) == ("type", [edit])


def test_an_edit_that_changes_nothing_is_no_composite(clip, sealed, tmp_path):
    assert read_mark(sealed(clip(), tmp_path / "out.mp4", EditPlan.parse("happy", intensity=0))).source_type is None


def test_a_source_that_changes_meanwhile_leaves_nothing(clip, sealed, tmp_path):
    source, output = clip(), tmp_path / "out.mp4"
    with pytest.raises(InputError, match="was changed while it was edited"):
        sealed(source, output, before_close=lambda: source.open("ab").write(b"more"))
    assert [path.name for path in tmp_path.iterdir()] == [source.name]


def test_a_sidecar_that_cannot_be_written_leaves_no_video(clip, sealed, tmp_path):
    source, output = clip(), tmp_path / "out.mp4"
    with pytest.raises(OutputError, match=r"out\.mp4"):
        sealed(source, output, before_close=lambda: sidecar_path(output).mkdir())
    assert not output.exists()
    sidecar_path(output).rmdir()
    assert [path.name for path in tmp_path.iterdir()] == [source.name]


def test_a_name_that_leaves_no_room_for_the_sidecars_is_refused_at_once(clip, sealed, tmp_path):
    with pytest.raises(OutputError, match="name too long"):
        sealed(clip(), tmp_path / f"{'a' * 240}.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["talk.mp4"]


@pytest.mark.parametrize("full", ["append_box", "encoded"])
def test_a_disk_that_fills_up_at_the_end_leaves_nothing(clip, sealed, tmp_path, monkeypatch, full):
    def no_space(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    where = "cdrl.provenance.xmp" if full == "append_box" else "cdrl.provenance.seal"
    monkeypatch.setattr(f"{where}.{full}", no_space)
    source = clip()
    with pytest.raises(OutputError, match="disk is full"):
        sealed(source, tmp_path / "out.mp4")
    assert [path.name for path in tmp_path.iterdir()] == [source.name]


def test_a_sidecar_that_exists_is_only_replaced_when_asked(clip, sealed, tmp_path):
    source, output = clip(), tmp_path / "out.mp4"
    sidecar_path(output).write_text("mine")
    with pytest.raises(OutputExistsError, match="provenance"):
        sealed(source, output)
    assert sidecar_path(output).read_text() == "mine"
    assert not output.exists()
    sealed(source, output, overwrite=True)
    assert json.loads(sidecar_path(output).read_text())["models"] == [{"name": "prior.npz", "sha256": "0" * 64}]
