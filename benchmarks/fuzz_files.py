"""Everything beside clips that a command reads: projects, lists, models, sidecars, photos, names; for `fuzz.py`."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from fuzz_clips import EDIT, HEAD, SIZES, convert_format, cut, extreme_numbers, flipped
from fuzz_corpus import BATCH, EDITED, HEIGHT, SIDECAR, WIDTH, Case, Corpus, Expected, Maker, quoted

from cdrl import assets
from cdrl.provenance.xmp import BOX

TRAPS: tuple[Any, ...] = (
    *("../secret.mp4", "link.mp4", "loop.mp4", "/dev/zero", "/dev/stdin", "/etc/passwd", "pipe", ".", "", "a\x00b"),
    *("concat:talk.mp4|talk.mp4", "http://127.0.0.1:9/x.mp4", "file:talk.mp4", "-i", "x" * 5000, "\x1b[2J"),
    "talk%03d.mp4",
    *(None, True, -1, 2**63, 10**400, 1e308, [], {}, [[]], {"a": "b"}, "9" * 5000, "1e999999999", "NaN", "\ud800"),
    *("0-1e999999999:happy", "0-:reference", "0-1:happy," * 3000, "happy+" * 3000, "happy:1e999", "translator", "９"),
)
PLACES = {"link.mp4": "../outside.mp4", "loop.mp4": "loop.mp4"}
PROJECT: dict[str, Any] = {
    "version": 1,
    "source": "talk.mp4",
    "emotion": "happy",
    "intensity": 0.8,
    "regions": ["brows", "eyes"],
    "face": "largest",
    "enroll": {"sad": "face.jpg"},
    "model": "prior",
}


def photos(random: Random, corpus: Corpus, index: int) -> Case:
    """A damaged photo as the reference, or as an example of the person."""
    name = list(corpus.photos)[index % len(corpus.photos)]
    content = corpus.photos[name]
    match random.randrange(6):
        case 0:
            content = flipped(random, content, 0, 128)
        case 1:
            content = cut(random, name, content)
        case 2:
            content = convert_format(random, name, content)
        case 3:
            content = extreme_numbers(random, name, content)
        case 4:
            told = random.choice((*SIZES, 40_000))
            for code in (">I", "<I", ">H", "<H"):
                for true in (WIDTH, HEIGHT):
                    content = content.replace(struct.pack(code, true), struct.pack(code, min(told, 65535)), 1)
        case _:
            content += random.randbytes(HEAD)
    way = [["--reference", name], ["--emotion", "sad", "--enroll", f"angry={name}"]][random.randrange(2)]
    files = {name: content, "talk.mp4": corpus.clips["talk.mp4"]}
    return Case(["edit", "talk.mp4", *way, "-o", "out.mp4"], files)


def names(random: Random, corpus: Corpus, index: int) -> Case:
    """What is no file's name, or no file, in the place of each input; a good clip lies beside."""
    given = (
        *("concat:talk.mp4|talk.mp4", "file:talk.mp4", "subfile,,start,0,end,9999,,:talk.mp4"),
        "http://127.0.0.1:9/x.mp4",
        *("data:video/mp4;base64,AAAA", "pipe:0", "fd:0", "crypto:talk.mp4", "cache:talk.mp4", "talk%03d.mp4"),
        "glob:*.mp4",
        *("pipe", "device", "folder", "empty", "loop", "nowhere", "x" * 5000, "a\x00b", "\x1b[31m\n.mp4", "/dev/stdin"),
    )
    name = given[index % len(given)]
    lines = (["edit", name, *EDIT], ["verify", name], ["edit", "--project", name, "-o", "out.mp4"])
    further = (["edit", "talk.mp4", "--reference", name, "-o", "out.mp4"], ["edit", "talk.mp4", *EDIT, "--prior", name])
    words = [*lines, *further, ["edit", "talk.mp4", *EDIT, "--model", name]][index // len(given) % 6]
    clip = corpus.clips["talk.mp4"]
    files = {"talk.mp4": clip, "talk001.mp4": clip, "empty": b"", "folder/x": b""}
    links = {"device": "/dev/zero", "loop": "loop"}
    return Case(words, files, links, ["pipe"], expected="refusal")


def projects(random: Random, corpus: Corpus, index: int) -> Case:
    """A project with a trap in it, or damaged; every eighth is good."""
    content = dict(PROJECT)
    if index % 8:
        key = random.choice([*content, "reference", "segments", "prior", "model", "color", "output"])
        content[key] = random.choice(TRAPS)
        if key in ("segments", "reference"):
            content.pop("emotion")
        if key == "enroll" or random.random() < 0.1:
            content["enroll"] = {random.choice(("sad", "SAD", "x" * 9000, "neutral")): random.choice(TRAPS)}
    text = json.dumps(content).encode()
    if index % 8 == 1:
        text = random.choice((
            *(flipped(random, text, 0, len(text)), cut(random, "", text), b"[" * 10**5, b'{"a":' * 10**5),
            *(text.replace(b"0.8", b"9" * 10**5), text.replace(b"0.8", b"1e999"), text + b"{}", b'"' * (2 << 20)),
            *(b'{"version": 1, "version": 2, ' + text[1:], random.randbytes(999), b"\xff" + text, b"", b"null", b"NaN"),
        ))  # fmt: skip
    files = {"edit.json": text, "talk.mp4": corpus.clips["talk.mp4"], "face.jpg": corpus.photos["face.jpg"]}
    words = ["edit", "--project", "edit.json", "-o", "out.mp4"]
    return Case(words, files, dict(PLACES), ["pipe"], "anything" if index % 8 else "success")


def lists(random: Random, corpus: Corpus, index: int) -> Case:
    """A batch's list with a trap in it; every twentieth is good."""
    row = {"source": "talk.mp4", "output": "a.mp4", "emotion": "happy", "intensity": "0.5", "face": "largest"}
    if index % 20:
        key = random.choice([*row, "reference", "project", "enroll", "model", "prior", "segments", "regions", "color"])
        row[key] = str(random.choice((*TRAPS, "../a.mp4", "angry=../face.jpg", "angry=/dev/zero", "a;b", '"', "a\nb")))
    text = quoted(row).encode("utf-8", "surrogatepass")
    if index % 5 == 1:
        text = random.choice((
            *(flipped(random, text, 0, len(text)), cut(random, "", text), random.randbytes(999), b'"' + text, text * 3),
            *(b"source,output\n" + b"x" * (1 << 18) + b",y\n", b"," * 10**5, b"source\n" + b"\n" * 10**6, b"\0" * 1000),
            *(b"source,output,emotion\n" + b"a.mp4,b.mp4,sad\n" * 10**5, b"x" * (17 << 20)),
        ))  # fmt: skip
    files = {"jobs.csv": text, "talk.mp4": corpus.clips["talk.mp4"]}
    expected: Expected = "anything" if index % 20 else "success"
    return Case(BATCH, files, dict(PLACES), ["pipe"], expected, ["out/*"], ["out", "out/*journal*"])


def priors(random: Random, corpus: Corpus, index: int) -> Case:
    """A damaged or poisoned emotion prior."""
    content = assets.verified_bytes(assets.PRIOR)
    with np.load(io.BytesIO(content)) as file:
        arrays = {name: file[name] for name in file.files}
    if index % 2:
        content = cut(random, "", content) if random.randrange(3) else flipped(random, content, 0, len(content))
    else:
        name = random.choice(list(arrays))
        arrays[name] = poisoned(random, arrays[name])
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, array in arrays.items():
                packed = io.BytesIO()
                np.save(packed, array, allow_pickle=True)
                archive.writestr(f"{member}.npy", packed.getvalue())
            if index % 4:
                archive.writestr(f"{name}.npy ", bytes(1 << 27))  # once more, and a thousand times as large
        content = target.getvalue()
    files = {"p.npz": content, "talk.mp4": corpus.clips["talk.mp4"]}
    return Case(["edit", "talk.mp4", *EDIT, "--prior", "p.npz"], files)


def poisoned(random: Random, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """An array as a file may hold it and nobody can use it, or only just."""
    match random.randrange(8):
        case 0:
            return np.full_like(array, np.nan)
        case 1:
            return array.astype(np.float64) * 1e300
        case 2:
            return array.astype(np.float32) * np.float32(random.choice((1e4, 1e30, -1e4, 0)))
        case 3:
            return array.ravel()
        case 4:
            return np.zeros((1 << 24,), np.float32)
        case 5:
            return np.array([Evil()], object)
        case 6:
            return array.astype("U8")
        case _:
            return array[:0]


class Evil:
    """Runs a command where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("unpickled"),)


def translators(random: Random, corpus: Corpus, index: int) -> Case:
    """A damaged translator."""
    content = assets.verified_bytes(assets.TRANSLATOR)
    match index % 4:
        case 0:
            content = flipped(random, content, 0, 2000)
        case 1:
            content = flipped(random, content, len(content) - 4000, len(content))
        case 2:
            content = convert_format(random, "", content)
        case _:
            content = random.choice((cut(random, "", content), random.randbytes(5000), content * 2, b"\x08" * 10**6))
    files = {"m.onnx": content, "talk.mp4": corpus.clips["talk.mp4"]}
    return Case(["edit", "talk.mp4", *EDIT, "--model", "m.onnx"], files)


def checkpoints(random: Random, corpus: Corpus, index: int) -> Case:
    """Pickles that run code and other damage for `convert`; safetensors for who loads them."""
    if index % 2:
        plain = pickle.dumps({"a": Evil()}, protocol=random.choice((0, 2, 4)))
        deep = b"\x80\x02" + b"(" * 10**5
        content = random.choice((plain, deep, flipped(random, plain, 0, len(plain)), random.randbytes(999), b"PK\3\4"))
        return Case(["convert", "x.pth", "-o", "x.safetensors"], {"x.pth": content})
    content = assets.verified_bytes(assets.CONTENT)
    (size,) = struct.unpack_from("<Q", content)
    match index % 6:
        case 0:
            content = flipped(random, content, 0, size)
        case 2:
            content = struct.pack("<Q", random.choice((0, 2**63, size + 1, 10**8, 1))) + content[8:]
        case _:
            content = random.choice(
                (cut(random, "", content), b"\x10" + bytes(7) + b"[" * 10**6, convert_format(random, "", content))
            )
    return Case(["load", "x.safetensors"], {"x.safetensors": content})


def sidecars(random: Random, corpus: Corpus, index: int) -> Case:
    """An edited clip with a damaged sidecar, or the other way round; every eighth is whole."""
    video, beside = corpus.edited[EDITED], corpus.edited[SIDECAR]
    content: Any = json.loads(beside)
    match index % 8:
        case 0:
            return Case(["verify", EDITED], {EDITED: video, SIDECAR: beside}, expected="success")
        case 1:
            beside = random.choice(
                (flipped(random, beside, 0, len(beside)), cut(random, "", beside), random.randbytes(999))
            )
        case 2:
            beside = random.choice((b"[" * 10**6, b" " * (2 << 20), b'{"a":' * 10**5, b"", b"null", b"1" * 10**6))
        case 3 | 4:
            content[random.choice(list(content))] = random.choice(TRAPS)
            beside = json.dumps(content).encode()
        case 5:
            content["edit"][random.choice(list(content["edit"]))] = random.choice(TRAPS)
            beside = json.dumps(content).encode()
        case 6:
            video = flipped(random, video, 0, len(video))
        case _:
            traps = {SIDECAR: random.choice(("/dev/zero", SIDECAR, "/etc/shadow", "."))}
            return Case(["verify", EDITED], {EDITED: video}, traps, expected="refusal")
    return Case(["verify", EDITED], {EDITED: video, SIDECAR: beside})


def labels(random: Random, corpus: Corpus, index: int) -> Case:
    """A film with XMP that attacks whoever reads it: looked at, or edited once more."""
    film, packet = corpus.clips["talk.mp4"], corpus.edited[EDITED].split(BOX.bytes)[-1]
    entities = b'<!DOCTYPE x [<!ENTITY a "aaaa">' + b"".join(
        b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 99) for n in range(9)
    )
    content = random.choice((
        *(flipped(random, packet, 0, len(packet)), cut(random, "", packet), entities + b"]><x>&j;</x>"),
        *(b"<a>" * 10**5, b"<a>" * 10**5 + b"</a>" * 10**5, packet.replace(b"<rdf:li>", b"<rdf:li>" + b"[" * 10**5)),
        *(packet.replace(b"happy", random.choice((b"\x1b[2J", b"\xff\xfe", b"&#0;", b"x" * 10**6))), packet + packet),
        *(packet.replace(b"segments", random.choice((b"x", b"version"))), b"x" * (3 << 20)),
    ))  # fmt: skip
    box = struct.pack(">I4s", 24 + len(content), b"uuid") + BOX.bytes + content
    words = ["verify", "x.mp4"] if index % 2 else ["edit", "x.mp4", *EDIT]
    return Case(words, {"x.mp4": film + box})


KINDS: dict[str, Maker] = {
    "photos": photos,
    "names, pipes, devices, links": names,
    "projects": projects,
    "batch lists": lists,
    "priors": priors,
    "translators": translators,
    "checkpoints": checkpoints,
    "sidecars": sidecars,
    "labels inside": labels,
}
"""Kind → what makes the inputs of that kind."""
