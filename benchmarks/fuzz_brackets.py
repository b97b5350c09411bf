"""Brackets, depth and odd names wherever somebody else's words are read, for `fuzz.py`.

JSON that is nested too deep or never closed, and brackets in strings, where they are only text; in labels, sidecars,
projects, lists, manifests, journals and performances. Names of files with all that a file system takes.
"""

from __future__ import annotations

import io
import json
import re
import struct
from glob import escape
from itertools import count
from random import Random
from typing import Any

import av
from fuzz_clips import EDIT, cut, flipped
from fuzz_corpus import BATCH, EDITED, EDITED_MKV, JOBS, SIDECAR, TAKES, Case, Corpus, Expected, Maker, quoted
from fuzz_files import PROJECT

from cdrl.datasets.shards import FORMAT
from cdrl.provenance.xmp import BOX

DEPTHS = (1, 5, 48, 49, 50, 51, 52, 60, 200, 990, 1000, 5000, 10**5)
LABELS = ("comment", "title", "description", "CDRL_EDITS", "DIGITAL_SOURCE_TYPE", "xmp", "artist", "encoder")
LARGEST_LABEL = 200_000  # characters
REORDERED = 80  # milliseconds by which x264 decodes ahead
TEXTS = (
    *("[" * 60, "]" * 60, "{" * 60, "[]" * 30, "[{(", "a[1-9]", "[!a]", "{a,b}", "*", "?", "**", "~", "$HOME", "`id`"),
    *("it's", 'say "hi"', "a\\b", "a\\", "two\nlines", "tab\there", "100%", "%s%n%d", "%03d", "{0}", "{}", "$(id)"),
    "&",
    *("-", "--", "-i", "--overwrite", "-o", "a;b", "a|b", "a,b", "a:b", "0:1", "a=b", "happy=x", "#", "!", "<a>", " "),
    *(" lead", "trail ", "...", "..a", ".hidden", "é", "e\u0301", "\u202e", "\u200b", "😀" * 20, "\x1b[31m", "\x7f"),
    "\r",
    *("\udcff", "caf\udce9", "\udc80[", "x" * 200, "[" * 200, "é" * 90, "CON", "nul", "a.part", ".0123456789ab.part"),
)


def nested(random: Random) -> str:
    """JSON, or what begins like it, with brackets within brackets or within strings."""
    opening = random.choice(("[", "{", '{"a":', "[{", '[{"[":', "[[],", '{"a":1,"b":', "[\n"))
    depth = random.choice(DEPTHS)
    closing = "".join(
        {"[": "]", "{": "}"}.get(letter, "") for letter in reversed(re.sub('"[^"]*"|\\[\\]', "", opening))
    )
    match random.randrange(7):
        case 0:
            return opening * depth
        case 1:
            return opening * depth + "1" + closing * depth
        case 2:
            return json.dumps(opening * depth)
        case 3:
            return (
                '["' + random.choice(("\\", '\\"', "\\\\", "\\u005b")) * depth + "[" * depth + random.choice(('"]', ""))
            )
        case 4:
            return "]" * depth + "}" * depth
        case 5:
            return "[" * depth + '"' + "]" * depth + '"'
        case _:
            return "".join(random.choice('[]{}",:\\ \n0a.-eE\x00\ud83d😀') for _ in range(random.choice((9, 99, 2000))))


def bracketed(random: Random, document: Any) -> str:
    """A document with brackets in one of its texts, in one of its keys, in place of a part, or anywhere."""
    text = json.dumps(document)
    match random.randrange(4):
        case 0:
            strings = list(re.finditer(r'"[^"\\]*"', text))
            at = random.choice(strings).span()
            return text[: at[0]] + json.dumps(random.choice((*TEXTS, nested(random)))) + text[at[1] :]
        case 1:
            values = list(re.finditer(r'(?<=: )("[^"\\]*"|[-0-9.]+|true|false|null)', text))
            at = random.choice(values).span()
            return text[: at[0]] + nested(random) + text[at[1] :]
        case 2:
            place = random.randrange(len(text))
            return text[:place] + nested(random) + text[place:]
        case _:
            return nested(random)


def coded(text: str) -> bytes:
    """UTF-8, or what is none."""
    return text.encode("utf-8", "surrogatepass")


def labels(random: Random, corpus: Corpus, index: int) -> Case:
    """A clip whose labels are bracketed; looked at, edited, or edited and looked at."""
    name = random.choice((EDITED_MKV, "talk.mkv", "talk.mp4", "talk.mov", "talk.webm", "talk.flv"))
    content = corpus.edited[name] if name == EDITED_MKV else corpus.clips[name]
    record = json.loads(corpus.edited[SIDECAR])["edit"]
    told = {random.choice(LABELS): random.choice((nested, lambda random: bracketed(random, [record])))(random)}
    if index % 4 == 0:
        told = {"CDRL_EDITS": bracketed(random, [record])} | told
    if index % 7 == 0:
        told |= {random.choice(TEXTS): random.choice(TEXTS)}
    content = relabeled(name, content, told)
    name = "x" + name[name.rindex(".") :]
    if index % 3:
        return Case(["verify", name, *random.choice(([], ["--json"]))], {name: content})
    return Case(["edit", name, *EDIT], {name: content}, expected="success", then=[["verify", "out.mp4"]])


def relabeled(name: str, content: bytes, told: dict[str, str]) -> bytes:
    """The clip with these labels, too."""
    target = io.BytesIO()
    muxer = {"mkv": "matroska"}.get(name[name.rindex(".") + 1 :], name[name.rindex(".") + 1 :])
    flags = {"movflags": "use_metadata_tags"} if muxer in ("mp4", "mov") else {}
    with av.open(io.BytesIO(content), "r") as source, av.open(target, "w", format=muxer, options=flags) as output:
        clean = {str(key).replace("\x00", ""): text.replace("\x00", "")[:LARGEST_LABEL] for key, text in told.items()}
        for key, text in (dict(source.metadata) | clean).items():
            output.metadata[legible(key)] = legible(text)
        streams = {stream.index: output.add_stream_from_template(stream) for stream in source.streams}
        missing = count(-REORDERED, REORDERED // 2)
        for packet in source.demux():
            if packet.size:
                if packet.dts is None:  # Matroska's first two, where pictures are reordered
                    packet.dts = next(missing)
                packet.stream = streams[packet.stream.index]
                output.mux(packet)
    return target.getvalue()


def legible(text: str) -> str:
    """Without what PyAV can't pass on."""
    return text.encode("utf-8", "replace").decode()


def packets(random: Random, corpus: Corpus, index: int) -> Case:
    """An edited MP4 whose XMP holds bracketed records; its digest fits no more, so the sidecar is left out."""
    film = corpus.edited[EDITED]
    packet = film.split(BOX.bytes)[-1]
    record = json.loads(corpus.edited[SIDECAR])["edit"]
    text = random.choice((nested(random), bracketed(random, record), bracketed(random, record)))
    if random.random() < 0.8:
        text = text.replace("&", "&amp;").replace("<", "&lt;")
    inside = random.choice(
        (b"<rdf:li>%s</rdf:li>", b"<rdf:li>%s</rdf:li>" * 9, b"<rdf:li><rdf:li>%s</rdf:li></rdf:li>")
    )
    packet = re.sub(rb"<rdf:li>.*</rdf:li>", lambda _: inside.replace(b"%s", coded(text)), packet, flags=re.DOTALL)
    box = struct.pack(">I4s", 24 + len(packet), b"uuid") + BOX.bytes + packet
    words = ["verify", "x.mp4"] if index % 3 else ["edit", "x.mp4", *EDIT]
    return Case(words, {"x.mp4": corpus.clips["talk.mp4"] + box})


def sidecars(random: Random, corpus: Corpus, index: int) -> Case:
    """An edited clip beside a bracketed sidecar."""
    beside = coded(bracketed(random, json.loads(corpus.edited[SIDECAR])))
    words = ["verify", EDITED, *random.choice(([], ["--json"], ["--source", "talk.mp4"]))]
    files = {EDITED: corpus.edited[EDITED], SIDECAR: beside, "talk.mp4": corpus.clips["talk.mp4"]}
    return Case(words, files)


def projects(random: Random, corpus: Corpus, index: int) -> Case:
    """A bracketed project."""
    text = coded(bracketed(random, PROJECT))
    files = {"edit.json": text, "talk.mp4": corpus.clips["talk.mp4"], "face.jpg": corpus.photos["face.jpg"]}
    words = ["edit", "--project", "edit.json", "-o", "out.mp4", *random.choice(([], ["--dry-run"]))]
    return Case(words, files)


def lists(random: Random, corpus: Corpus, index: int) -> Case:
    """A batch's list with brackets and odd names in it, or with a bracketed project."""
    name = clip_name(random)
    row = {"source": name, "output": f"{random.choice(TEXTS)}.mp4", "emotion": "happy"}
    files = {name: corpus.clips["talk.mp4"], "talk.mp4": corpus.clips["talk.mp4"]}
    if index % 3 == 1:
        row = {"source": "talk.mp4", "output": "a.mp4", "project": "edit.json"}
        files["edit.json"] = coded(bracketed(random, {"version": 1, "emotion": "happy", "intensity": 0.8}))
    elif index % 3 == 2:
        row[random.choice(list(row))] = random.choice((nested(random), random.choice(TEXTS)))
    files["jobs.csv"] = quoted(row).encode("utf-8", "replace")
    return Case(BATCH, files, results=["out/*"], always=["out", "out/*journal*"])


def manifests(random: Random, corpus: Corpus, index: int) -> Case:
    """A prepared folder's manifest that is bracketed, which preparation is to go on with or to begin anew."""
    shard = {"name": "shard-00000.tar", "bytes": 10_240, "sha256": "0" * 64}
    settings = {"speech": "mel", "layout": "plain", "every": 1, "max_rate": 30, "max_seconds": 60.0}
    manifest = {"format": FORMAT, "settings": settings, "shards": [shard], "clips": [], "failures": {}}
    text = coded(bracketed(random, manifest | {"complete": False}))
    files = {"set/actor/happy/1.mp4": b"no clip", "out/manifest.json": text}
    words = ["data", "prepare", "set", "--output", "out", "--speech", "mel", "--workers", "1"]
    words += random.choice(([], ["--restart"]))
    return Case(words, files, expected="refusal", always=["out/*.lock"], changes=["out/*"])


def journals(random: Random, corpus: Corpus, index: int) -> Case:
    """A batch's folder whose journal, or a sidecar, is damaged or bracketed; the same command comes once more."""
    files = {f"out/{name}": content for name, content in corpus.batched.items()}
    name = random.choice([name for name in files if "journal" in name] or list(files))
    content = files[name]
    words = list(re.finditer(rb"[\x20-\x7e]{8,}", content))
    match index % 5:
        case 0:
            content = flipped(random, content, 0, len(content))
        case 1:
            content = cut(random, "", content)
        case 2:
            begin, end = random.choice(words).span()
            content = content[:begin] + (b"[" * (end - begin)) + content[end:]
        case 3:
            content = random.choice((b"", coded(nested(random)), random.randbytes(5000), content * 2))
        case _:
            begin, end = random.choice(words).span()
            content = content[:begin] + random.randbytes(end - begin) + content[end:]
    files[name] = content
    files |= {"jobs.csv": JOBS.encode(), "talk.mp4": corpus.clips["talk.mp4"]}

    always, changes = ["out/*journal*"], ["out/*"]
    return Case(BATCH, files, results=["out/*"], always=always, changes=changes, home=corpus.home)


def performances(random: Random, corpus: Corpus, index: int) -> Case:
    """A performance as avatars take it, bracketed or damaged: read by the calls of `cdrl.export`."""
    name = random.choice(TAKES)
    content = corpus.takes[name]
    if name.endswith(".json") and index % 4:
        content = coded(bracketed(random, json.loads(content)))
    else:
        begin = random.randrange(len(content))
        swap = content[:begin] + coded(random.choice((nested(random), *TEXTS))) + content[begin:]
        content = random.choice((flipped(random, content, 0, len(content)), cut(random, "", content), swap, swap))
    return Case(["performance", name], {name: content})


def clip_name(random: Random) -> str:
    """A name that a file system takes."""
    texts = [random.choice(TEXTS) for _ in range(random.choice((1, 1, 2)))]
    name = "".join(texts).replace("/", "").replace("\x00", "")
    while len(name.encode("utf-8", "surrogateescape")) > 220:
        name = name[:-1]
    return f"{name}.mp4"


def file_names(random: Random, corpus: Corpus, index: int) -> Case:
    """A good clip, photo, project or result of an odd name: done, and verified; or, where it looks like an option,
    taken for one."""
    name = clip_name(random)
    photo = name[:-4] + ".png"
    clip, face = corpus.clips["talk.mp4"], corpus.photos["face.png"]
    project = json.dumps({"version": 1, "source": name, "emotion": "sad"}).encode()
    ways: list[tuple[list[str], dict[str, bytes], list[list[str]]]] = [
        (["edit", name, *EDIT], {name: clip}, [["verify", "out.mp4", "--source", name]]),
        (["edit", "talk.mp4", "-e", "sad", "-o", name], {}, [["verify", name]]),
        (["edit", "talk.mp4", "--reference", photo, "-o", "out.mp4"], {photo: face}, []),
        (["edit", "talk.mp4", *EDIT, "--enroll", f"sad={photo}"], {photo: face}, []),
        (["edit", "--project", "edit.json", "-o", "out.mp4"], {"edit.json": project, name: clip}, []),
        (["export", name, "-e", "happy", "-o", "take.json", "--format", "json"], {name: clip}, []),
        (["verify", name], {name: corpus.edited[EDITED], f"{name}.provenance.json": corpus.edited[SIDECAR]}, []),
        (["data", "check", "set", "--probe"], {f"set/actor/happy/{name}": clip}, []),
    ]
    words, more, then = ways[index % len(ways)]
    results = [escape(name), f"{escape(name)}.provenance.json", "out.mp4*", "take.json"]
    odd = any("\ud800" <= letter <= "\udfff" for letter in name) or name.startswith("-")
    good = not odd and index % len(ways) not in (6, 7) and len(name) <= 200
    expected: Expected = "success" if good else "anything"
    return Case(words, {"talk.mp4": clip} | more, expected=expected, results=results, then=then)


def folders(random: Random, corpus: Corpus, index: int) -> Case:
    """A folder of clips with odd names, for a batch."""
    names = {clip_name(random) for _ in range(2)}
    folder = random.choice([text for text in TEXTS if text not in (" ", "..a") and len(text) < 60]).replace("/", "")
    files = {f"{folder}/{name}": corpus.clips["talk.mp4"] for name in names}
    words = ["batch", folder, "--output-folder", "out", "-e", "happy", "--jobs", "1"]
    return Case(words, files, results=["out/*"], always=["out", "out/*journal*"])


KINDS: dict[str, Maker] = {
    "brackets in labels": labels,
    "brackets in XMP": packets,
    "brackets in sidecars": sidecars,
    "brackets in projects": projects,
    "brackets in batch lists": lists,
    "manifests": manifests,
    "journals": journals,
    "performances": performances,
    "file names": file_names,
    "folders with odd names": folders,
}
"""Kind → what makes the inputs of that kind."""
