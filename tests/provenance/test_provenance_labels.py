"""Every container says what was edited; what the source says of itself stays; all of it comes whole or not at all."""

import errno
import json
import zlib

import av
import pytest

from cdrl.errors import InputError, OutputError, OutputExistsError
from cdrl.media import read
from cdrl.plan import EditPlan
from cdrl.provenance import DIGITAL_SOURCE_TYPE, sidecar_path, verify, xmp
from cdrl.provenance.marks import read_mark

PLAN = EditPlan.parse(segments="0.1-0.3:sad, 0.3-:happy:0.6+surprised:0.4", regions="mouth,brows", intensity=0.5)
# Frames come every 0.04 s: the first that is changed is shown at 0.12 s, the last one ends at 0.48 s.
WORDS = (
    "the brows and mouth made to show sad (0.5) from 0.12 s to 0.32 s, "
    "happy (0.3) and surprised (0.2) from 0.32 s to 0.48 s, in 9 of 12 frames"
)


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
    assert [segment["start"] for segment in mark.edits[0]["segments"]] == [0.12, 0.32]
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


@pytest.mark.parametrize(("first", "second"), [("one.mkv", "two.mp4"), ("one.mp4", "two.webm"), ("one.mkv", "two.mov")])
def test_edits_are_told_in_another_container(clip, sealed, tmp_path, first, second):
    edited = sealed(sealed(clip(), tmp_path / first), tmp_path / second)
    mark = read_mark(edited)
    assert (len(mark.edits), mark.source_type) == (2, DIGITAL_SOURCE_TYPE)


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
    assert xmp.parse_xmp(found)[0] == DIGITAL_SOURCE_TYPE


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
    assert xmp.parse_xmp(text) == (None, [])
    edit = {"tool": "cdrl", "version": "0"}
    assert xmp.parse_xmp(xmp.packet(text, edit, "words", "type")) == ("type", [edit])


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "webm"])
def test_where_no_frame_was_changed_nothing_says_it_was_edited(clip, sealed, tmp_path, suffix):
    output = sealed(clip(metadata={"title": "My talk"}), tmp_path / f"out.{suffix}", PLAN, changed=False)
    mark = read_mark(output)
    assert (mark.source_type, mark.edits, mark.is_cdrl) == (None, [], False)
    assert labels(output)["comment"].startswith("copied with cdrl") and labels(output)["title"] == "My talk"
    sidecar = json.loads(sidecar_path(output).read_text())
    assert (sidecar["digital_source_type"], sidecar["edit"]["segments"]) == (None, [])
    assert sidecar["frames"] == {"edited": 0, "total": 12}
    assert verify(output).status == "verified"


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_copy_of_an_edited_video_tells_the_edit_it_had(clip, sealed, tmp_path, suffix):
    first = sealed(clip(), tmp_path / f"first.{suffix}")
    second = sealed(first, tmp_path / f"second.{suffix}", PLAN, changed=False)
    mark = read_mark(second)
    assert mark.edits == read_mark(first).edits and mark.source_type == DIGITAL_SOURCE_TYPE
    assert verify(second).status == "verified"


def test_checksums_of_matroska_hold_after_the_labels_were_filled_in(clip, sealed, tmp_path):
    content = sealed(clip(), tmp_path / "out.mkv", PLAN).read_bytes()
    tags = content.rindex(b"\x12\x54\xc3\x67") + 4  # behind the ID of Tags, which the table of contents names, too
    length = 9 - content[tags].bit_length()
    size = int.from_bytes(content[tags : tags + length], "big") & ((1 << 7 * length) - 1)
    inside = content[tags + length : tags + length + size]
    assert inside[:2] == b"\xbf\x84"  # a CRC-32
    assert int.from_bytes(inside[2:6], "little") == zlib.crc32(inside[6:])


def test_a_thousand_segments_fit_into_every_container(clip, sealed, tmp_path):
    plan = EditPlan.parse(segments=", ".join(f"{n}-{n + 1}:happy:0.4+surprised:0.3" for n in range(1000)))
    for suffix in ("mov", "mkv"):
        assert verify(sealed(clip(), tmp_path / f"out.{suffix}", plan)).status == "verified"


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


@pytest.mark.parametrize("full", ["append_box", "encode_sidecar"])
def test_a_disk_that_fills_up_at_the_end_leaves_nothing(clip, sealed, tmp_path, monkeypatch, full):
    def no_space(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    where = "cdrl.provenance.xmp" if full == "append_box" else "cdrl.provenance.finalizing"
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
