"""Clips that are damaged or lie, for `fuzz.py`: each kind makes any number of inputs, the same for the same seed."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Callable
from random import Random

import av
from fuzz_corpus import HEIGHT, WIDTH, Case, Corpus, Maker

Mutation = Callable[[Random, str, bytes], bytes]

EDIT = ["--emotion", "happy", "-o", "out.mp4"]
HEAD = 1024  # bytes that count as a file's header
INDEX = re.compile(rb"moov|moof|idx1|indx|\x1c\x53\xbb\x6b|\x16\x54\xae\x6b|\x33\x00\x08\x90|\x06\x0e\x2b\x34\x02\x53")
NAMES = re.compile(
    rb"moov|trak|mdia|minf|stbl|stsd|stts|ctts|stsc|stsz|stco|co64|stss|edts|elst|mvhd|tkhd|mdhd|hdlr|dref|udta|meta|"
    rb"moof|traf|trun|tfhd|tfdt|mvex|trex|mfra|avcC|esds|mdat|ftyp|free|LIST|hdrl|strl|strh|strf|movi|idx1|avih|00dc"
)
EXTREMES = (0, 1, 2, 7, 255, 256, 0x7FFF, 0xFFFF, 10**6, 2**21, 2**26, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1)
SIZES = (0, 1, 2, 15, 17, 4096, 8192, 16384, 65535)


def damaged(mutation: Mutation) -> Maker:
    """A kind of input: any clip of the shelf, changed; every fifth is sent to the app."""

    def make(random: Random, corpus: Corpus, index: int) -> Case:
        names = list(corpus.clips)
        name = names[index % len(names)]
        content = mutation(random, name, corpus.clips[name])
        words = ["upload", name] if index % 5 == 4 else ["edit", name, *EDIT]
        return Case(words, {name: content})

    return make


def flipped(random: Random, content: bytes, begin: int, end: int) -> bytes:
    """Up to thirty bits of a stretch turned over."""
    changed = bytearray(content)
    for _ in range(random.choice((1, 2, 5, 30))):
        changed[random.randrange(begin, max(begin + 1, min(end, len(changed))))] ^= 1 << random.randrange(8)
    return bytes(changed)


def index_of(random: Random, content: bytes) -> tuple[int, int]:
    """Where one of a file's tables lies."""
    places = [match.start() for match in INDEX.finditer(content)] or [len(content) * 9 // 10]
    begin = random.choice(places)
    return begin, min(len(content), begin + HEAD)


def in_header(random: Random, name: str, content: bytes) -> bytes:
    return flipped(random, content, 0, HEAD)


def in_payload(random: Random, name: str, content: bytes) -> bytes:
    return flipped(random, content, HEAD, len(content))


def in_index(random: Random, name: str, content: bytes) -> bytes:
    return flipped(random, content, *index_of(random, content))


def cut(random: Random, name: str, content: bytes) -> bytes:
    return content[: random.randrange(1, len(content))]


def convert_format(random: Random, name: str, content: bytes) -> bytes:
    """Two stretches exchanged, one twice, one gone, or one of zeros."""
    first, second, third = sorted(random.randrange(len(content)) for _ in range(3))
    before, left, right, after = content[:first], content[first:second], content[second:third], content[third:]
    match random.randrange(4):
        case 0:
            return before + right + left + after
        case 1:
            return before + left + left + right + after
        case 2:
            return before + right + after
        case _:
            return before + bytes(len(left)) + right + after


def extreme_numbers(random: Random, name: str, content: bytes) -> bytes:
    """Sizes and counts of boxes and chunks, or any four bytes of a header, set to what nobody expects."""
    changed = bytearray(content)
    named = [match.start() for match in NAMES.finditer(content)]
    for _ in range(random.choice((1, 1, 3))):
        value = random.choice((*EXTREMES, len(content), random.getrandbits(32)))
        if named and random.random() < 0.7:
            place = random.choice(named) + random.choice((-4, 4, 8, 12, 16))
        else:
            begin, end = random.choice(((0, HEAD), index_of(random, content)))
            place = random.randrange(begin, max(begin + 1, end - 8))
        if 0 <= place <= len(changed) - 4:
            struct.pack_into(random.choice("<>") + "I", changed, place, value)
    return bytes(changed)


def times(random: Random, name: str, content: bytes) -> bytes:
    """The tables of times with other numbers; where there are none, the packets with other times."""
    tables = [match.start() for match in re.finditer(rb"stts|ctts|elst|mdhd|mvhd|tkhd|tfdt|trun|tfhd", content)]
    if tables and random.random() < 0.6:
        changed = bytearray(content)
        for _ in range(random.choice((1, 4))):
            place = random.choice(tables) + 4 * random.randrange(1, 8)
            if place + 4 <= len(changed):
                struct.pack_into(">I", changed, place, random.choice((*EXTREMES, random.getrandbits(32))))
        return bytes(changed)
    return remuxed(random, name, content)


def remuxed(random: Random, name: str, content: bytes) -> bytes:
    """The packets in NUT or Matroska, with times that stand still, run back, leap, or are missing."""
    target = io.BytesIO()
    way, leap = random.randrange(5), random.choice((1000, 10**6, 2**31, 2**40))
    made = random.choice(("matroska", "nut", "mpegts", "mov"))
    with av.open(io.BytesIO(content), "r") as source, av.open(target, "w", format=made) as output:
        try:
            stream = output.add_stream_from_template(source.streams.video[0], opaque=True)
            for number, packet in enumerate(source.demux(video=0)):
                dts = packet.dts
                if dts is None:
                    continue
                packet.stream = stream
                shown = (0, dts - number * leap, dts + number * leap, random.randrange(-leap, leap), leap)[way]
                packet.pts, packet.dts = shown, number if way in (0, 4) else dts
                output.mux(packet)
        except (av.FFmpegError, ValueError, OverflowError):
            pass  # what the muxer does not take is left out; what was written so far is the input
    return target.getvalue() or content[: len(content) // 2]


def sizes(random: Random, name: str, content: bytes) -> bytes:
    """A width or height other than the picture's, wherever the header tells it."""
    changed = bytearray(content)
    true, told = random.choice((WIDTH, HEIGHT)), random.choice((*SIZES, random.randrange(1, 3000)))
    everywhere = random.random() < 0.5
    if name.endswith(".y4m"):
        letter = b"W" if true == WIDTH else b"H"
        return content.replace(letter + str(true).encode(), letter + str(told).encode(), 1)
    for code in (">H", "<H", ">I", "<I"):
        old, new = struct.pack(code, true), struct.pack(code, told)
        places = [match.start() for match in re.finditer(re.escape(old), content)]
        near = [
            place for place in places if place < 2 * HEAD or any(m.start() < place for m in INDEX.finditer(content))
        ]
        for place in near if everywhere else near[:1]:
            changed[place : place + len(new)] = new
    return bytes(changed)


def two_in_one(random: Random, corpus: Corpus, index: int) -> Case:
    """One file behind another."""
    first, second = random.choice(list(corpus.clips)), random.choice(list(corpus.clips))
    return Case(["edit", first, *EDIT], {first: corpus.clips[first] + corpus.clips[second]})


def misnamed(random: Random, corpus: Corpus, index: int) -> Case:
    """A good clip under the ending of something else."""
    name = random.choice(list(corpus.clips))
    ending = random.choice(
        (".mp4", ".avi", ".txt", ".png", ".m3u8", ".json", ".sdp", ".exe", "", ".mp3", ".gif", ".ts")
    )
    return Case(["edit", f"x{ending}", *EDIT], {f"x{ending}": corpus.clips[name]})


def noise(random: Random, corpus: Corpus, index: int) -> Case:
    """Random bytes behind a clip's or photo's own first ones."""
    content = random.choice([*corpus.clips.values(), *corpus.photos.values()])
    count = random.choice((0, 10, 1000, 100_000))
    made = content[: random.choice((4, 12, 40, 200))] + random.randbytes(count)
    return Case(["edit", "x.mp4", *EDIT], {"x.mp4": made})


LISTS = (
    "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{}\n#EXT-X-ENDLIST\n",
    '\ufeff\n #EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-MAP:URI="{}"\n#EXTINF:1,\n{}\n',
    "ffconcat version 1.0\nfile '{}'\n",
    "file '{}'\n",
    "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=video 5004 RTP/AVP 96\r\n",
    '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><BaseURL>{}</BaseURL></MPD>',
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY y SYSTEM "file://{}">]><smil><video src="{}"/>&y;</smil>',
    "[playlist]\nFile1={}\nNumberOfEntries=1\n",
    "[Reference]\nRef1={}?MSWMExt=.asf\n",
    "RTSPtext\nrtsp://127.0.0.1/{}\n",
    '<asx version="3.0"><entry><ref href="{}"/></entry></asx>',
    'FILE "{}" BINARY\n  TRACK 01 AUDIO\n',
    "<svg xmlns='http://www.w3.org/2000/svg'><image href='{}'/></svg>",
    "#!/bin/sh\ntouch followed\n# {}\n",
)


def playlists(random: Random, corpus: Corpus, index: int) -> Case:
    """Text that leads to another file, which lies there and would play."""
    target = random.choice(("talk.mp4", "file:talk.mp4", "./talk.mp4", "http://127.0.0.1:9/talk.mp4", "/etc/passwd"))
    text = LISTS[index % len(LISTS)].replace("{}", target)
    name = "x" + random.choice((".mp4", ".m3u8", ".txt", ".sdp", ".mpd", ".avi", ".jpg", ".mkv", ".srt"))
    text += random.choice(("", "\n" * 5000, "# comment\n" * 500))
    files = {name: text.encode(), "talk.mp4": corpus.clips["talk.mp4"]}
    return Case(["edit", name, *EDIT], files, expected="refusal")


def bombs(random: Random, corpus: Corpus, index: int) -> Case:
    """Films whose tables tell of millions of samples, each table in its way."""
    name = random.choice(("talk.mp4", "fragments.mp4", "talk.mov"))
    changed, many = bytearray(corpus.clips[name]), random.choice((2**21 - 1, 2**22, 10**7, 8 * 10**7, 2**31 - 1))
    places = [match.start() for match in re.finditer(rb"stsz|stts|ctts|trun|stsc|stss|elst|sidx|trex", changed)]
    for place in random.sample(places, min(len(places), random.choice((1, 3, 9)))):
        first = random.choice((1, 0, 0x100, 2))
        for offset, value in random.choice(
            (((8, 1), (12, many)), ((12, many),), ((4, first), (8, many)), ((16, many),))
        ):
            if place + offset + 4 <= len(changed):
                struct.pack_into(">I", changed, place + offset, value)
    return Case(["edit", name, *EDIT], {name: bytes(changed)})


def valid(random: Random, corpus: Corpus, index: int) -> Case:
    """A good clip, edited in any of the ways there are."""
    names = list(corpus.clips)
    name = names[index % len(names)]
    files = {name: corpus.clips[name]}
    ways: list[list[str]] = [
        ["--emotion", random.choice(("happy", "sad", "angry:0.5", "fear+surprised"))],
        ["--segments", "0-0.2:sad, 0.2-:happy:0.6+surprised:0.4"],
        ["--emotion", "sad", "--regions", "brows,eyes", "--intensity", "0.4"],
        ["--reference", "face.png"],
        ["--emotion", "happy", "--enroll", "happy=face.jpg", "--model", "translator"],
    ]
    way = ways[index // len(names) % len(ways)]
    files |= {photo: corpus.photos[photo] for photo in ("face.png", "face.jpg") if any(photo in word for word in way)}
    output = "out" + random.choice((".mp4", ".mkv", ".mov"))
    results = [output, f"{output}.provenance.json"]
    return Case(["edit", name, *way, "-o", output], files, expected="success", results=results)


MUTATIONS: dict[str, Mutation] = {
    "bits flipped in the header": in_header,
    "bits flipped in the payload": in_payload,
    "bits flipped in the index": in_index,
    "cut off": cut,
    "stretches moved, doubled, lost, zeroed": convert_format,
    "sizes and counts at extremes": extreme_numbers,
    "times scrambled": times,
    "width and height that lie": sizes,
}
KINDS: dict[str, Maker] = {kind: damaged(mutation) for kind, mutation in MUTATIONS.items()} | {
    "two files in one": two_in_one,
    "wrong ending": misnamed,
    "noise behind a header": noise,
    "playlists and text": playlists,
    "tables of millions": bombs,
    "valid": valid,
}
"""Kind → what makes the inputs of that kind."""
