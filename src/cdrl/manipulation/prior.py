"""The emotion prior: what each emotion does to a face, fitted over people by `cdrl train prior`."""

from __future__ import annotations

import hashlib
import io
import lzma
import math
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from numpy.lib.format import read_array_header_1_0, read_array_header_2_0, read_magic

from cdrl.assets import PRIOR, user_bytes, verified_bytes
from cdrl.emotions import EMOTIONS
from cdrl.errors import AssetError, OutputError
from cdrl.face.apertures import lids, lips, without_apertures
from cdrl.face.bundle import Floats
from cdrl.face.landmarks import BLENDSHAPES
from cdrl.face.mesh import LEFT_CORNERS, POINTS, RIGHT_CORNERS, region_weights
from cdrl.files import atomic_write
from cdrl.rendering.texture import SIZE

KNEE = 0.45  # cm above closed at which lips count as half parted
BACK = 0.2  # cm above closed at which half of what gives way to shut lips is back
WIDE = 0.6  # cm above closed at which a mouth is half of the way to wide open
ROOM = 0.45  # the share of what is back that a wide open mouth has room for
STRETCH = 0.25  # of a whole emotion: how much farther than it a mouth is drawn at most, whatever is asked for
MOST_CLOSING = 0.45  # cm: to take an emotion out, parted lips are closed by less, or openings would change order
LOW_BROWS, UPPER_LIDS = [52, 65, 282, 295], [159, 158, 386, 385]  # lower edges of the brows, upper lids under them
BROW_ROOM, BROW_SOFT = 0.45, 0.4  # shares of the way from brow to lid: given in full, and at most beyond
# Shares of an eye's width that lids part: given in full, and at most beyond. In real surprise they part by .23 to .31
# (medians of clips), and in 160 clips hardly a frame by more than .36: wider is a doll's eye, and draws the iris out.
EYE_ROOM, EYE_SOFT = 0.3, 0.06
EYE_CORNERS = RIGHT_CORNERS, LEFT_CORNERS
LEAST_OPENING = 0.05  # cm: openings are not divided by less
MAX_BYTES, MAX_UNPACKED = 1 << 23, 1 << 26
"""Most bytes of a prior's file, and of its arrays; ours has three hundred thousand, and ten times as many unpacked."""
_WHOLE = {"mean", "reading", "emphasis", "belief", "following", "shut"}  # arrays that are kept as float32

# What zip files raise where they are damaged, encrypted, or packed in a way that is not known.
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, RuntimeError, NotImplementedError)

EXPRESSIVE = tuple(name for name in EMOTIONS if name != "neutral")


@dataclass(frozen=True)
class EmotionPrior:
    """Fitted arrays; e runs over `EXPRESSIVE`, lengths in centimetres of the canonical face.

    `offset` [e, 478, 3]: displacement of the pose-free shape from neutral, apertures left alone.
    `lip_opening` [e]: how much farther parted lips part, cm. `lid_ratio` [e]: lid aperture over the source's own.
    `gain` [e, SIZE, SIZE]: log of luma, emotional over neutral, in texture space.
    `mean` [478, 3], `identity` [i, 478, 3], `expression` [c, 478, 3]: mean neutral shape, modes of people scaled to
    one standard deviation, and an orthonormal basis of expressions with `expression_deviation` [c] along it.
    `reading` [53, e]: linear map from mean blendshapes (and a one) to amounts of emotion.
    `emphasis` [e, regions]: how much stronger than measured the offset is, region by region. `belief` [2, regions]: how
    far a photo and a clip of a person are believed over the offset. `following` [3, regions]: what makes up the offset
    of a reference; see `manipulation.reference`. `shut` [e]: the share of the mouth's offset that shut lips show.
    `sha256`: of the file it was read from.
    """

    offset: Floats
    lip_opening: Floats
    lid_ratio: Floats
    gain: Floats
    mean: Floats
    identity: Floats
    expression: Floats
    expression_deviation: Floats
    reading: Floats
    emphasis: Floats
    belief: Floats
    following: Floats
    shut: Floats
    sha256: str = ""

    def save(self, path: Path, *, overwrite: bool = True) -> None:
        """Write the file `path`, whole or not at all, with float16 where that loses nothing that can be seen.

        Raises OutputExistsError where it exists and `overwrite` is False, and OutputError where it cannot be written.
        """
        arrays = {name: getattr(self, name) for name in array_names()}
        small = {name: array.astype(np.float32 if name in _WHOLE else np.float16) for name, array in arrays.items()}
        buffer = io.BytesIO()  # a name without .npz would be given that ending
        np.savez_compressed(buffer, allow_pickle=False, **small)
        if buffer.tell() > MAX_BYTES:
            raise OutputError(f"{path}: the prior takes {buffer.tell():,} bytes and {MAX_BYTES:,} are read")
        atomic_write(path, [buffer.getvalue()], overwrite=overwrite)

    @classmethod
    def load(cls, path: Path | None = None) -> EmotionPrior:
        """The prior in `path`, or the shipped one. `AssetError` when it is missing or not a prior."""
        try:
            data = verified_bytes(PRIOR) if path is None else user_bytes(path, MAX_BYTES)
            arrays = _unpacked(data)
        except (OSError, ValueError, KeyError, EOFError, TypeError, *_ZIP_ERRORS) as error:
            name = path or PRIOR
            raise AssetError(f"{name}: not an emotion prior ({error}); fit one with `cdrl train prior`") from error
        emotions, people, modes = len(EXPRESSIVE), arrays["identity"].shape[:1], arrays["expression_deviation"].size
        wanted: dict[str, tuple[int, ...]] = {
            "offset": (emotions, POINTS, 3),
            "lip_opening": (emotions,),
            "lid_ratio": (emotions,),
            "gain": (emotions, SIZE, SIZE),
            "mean": (POINTS, 3),
            "identity": (*people, POINTS, 3),
            "expression": (modes, POINTS, 3),
            "expression_deviation": (modes,),
            "reading": (len(BLENDSHAPES) + 1, emotions),
            "emphasis": (emotions, len(region_weights())),
            "belief": (2, len(region_weights())),
            "following": (3, len(region_weights())),
            "shut": (emotions,),
        }
        if any(arrays[name].shape != shape or not np.isfinite(arrays[name]).all() for name, shape in wanted.items()):
            raise AssetError(f"{path or PRIOR}: a prior for another mesh; fit it again with `cdrl train prior`")
        if not all(_plausible(name, array) for name, array in arrays.items()):
            raise AssetError(f"{path or PRIOR}: its numbers are no face's; fit it again with `cdrl train prior`")
        return cls(**arrays, sha256=hashlib.sha256(data).hexdigest())

    def adapted(self, change: Adaptation) -> EmotionPrior:
        """The prior of one person."""
        code = (change.code * self.expression_deviation).reshape(len(EXPRESSIVE), -1)
        strength = np.exp(change.strength) @ region_table()
        own = self.offset * strength[:, :, None] + np.tensordot(code, self.expression, 1)
        return replace(
            self,
            offset=np.array([without_apertures(part) for part in own]),
            lip_opening=self.lip_opening + change.opening,
            lid_ratio=self.lid_ratio * np.exp(change.lids),
            gain=self.gain * np.exp(change.shading)[:, None, None],
        )

    def enrolled(self, examples: Sequence[Example], neutral: Floats) -> EmotionPrior:
        """The prior of somebody with that neutral shape [478, 3] who was seen to show emotions: region by region the
        offset goes as far towards an example as one is worth, for one photo says little of a mouth that talks."""
        offset = self.offset.copy()
        for example in examples:
            place = EXPRESSIVE.index(example.emotion)
            own = self.emphasised({example.emotion: 1.0}, without_apertures(example.mean - neutral))
            share = self.belief[0 if example.photo else 1] @ region_table()
            offset[place] = without_apertures(offset[place] + share[:, None] * (own - offset[place]))
        return replace(self, offset=offset)

    def emphasised(self, amounts: Mapping[str, float], offset: Floats) -> Floats:
        """An offset [478, 3] measured in a blend of emotions, as strong as that is laid on; as it is where there are
        none."""
        shares = _shares(amounts)
        strength = shares @ self.emphasis if shares.any() else np.ones(self.emphasis.shape[1], np.float32)
        found: Floats = offset * (strength @ region_table())[:, None]
        return found

    def eased(self, amounts: Mapping[str, float]) -> float:
        """The share of the mouth's offset that shut lips do without in a blend of emotions, in 0..1."""
        return float(_shares(amounts) @ (1 - self.shut))

    def pattern(self, amounts: Mapping[str, float]) -> Pattern:
        """What a blend of emotions does, amounts added up linearly ('neutral' adds nothing), but of more than one whole
        emotion the mouth is given little more: lips stretched further tear out of the face."""
        weights = np.array([amounts.get(name, 0.0) for name in EXPRESSIVE], np.float32)
        offset = np.tensordot(weights, self.offset, 1)
        over = max(float(weights.sum()) - 1, 0.0)
        given = (1 + over / (1 + over / STRETCH)) / (1 + over)
        return Pattern(
            offset - (1 - given) * of_the_mouth(offset),
            given * of_the_mouth(np.tensordot(weights * (1 - self.shut), self.offset, 1)),
            float(weights @ self.lip_opening),
            float(np.exp(weights @ np.log(self.lid_ratio))),
            np.tensordot(weights, self.gain, 1),
        )


def _shares(amounts: Mapping[str, float]) -> Floats:
    """The share [e] of each emotion in a blend; zeros where there are none."""
    weights = np.array([amounts.get(name, 0.0) for name in EXPRESSIVE], np.float32)
    found: Floats = weights / (float(weights.sum()) or 1.0)
    return found


def of_the_mouth(offset: Floats) -> Floats:
    """The mouth's share of an offset [478, 3]."""
    found: Floats = offset * region_weights()["mouth"][:, None]
    return found


def _unpacked(data: bytes) -> dict[str, Floats]:
    """The arrays of an npz, of which no more is unpacked than `MAX_UNPACKED`: a small file can claim any size."""
    arrays, left = {}, MAX_UNPACKED
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for name in array_names():
            with archive.open(f"{name}.npy") as member:
                content = member.read(left + 1)
            left -= len(content)
            if left < 0:
                raise ValueError(f"its arrays take more than {MAX_UNPACKED:,} bytes")
            header = io.BytesIO(content)
            read_header = {(1, 0): read_array_header_1_0, (2, 0): read_array_header_2_0}[read_magic(header)]
            shape, _, kind = read_header(header)
            if math.prod(shape) * kind.itemsize != len(content) - header.tell():
                raise ValueError(f"{name} is not as large as it says")
            with np.errstate(over="ignore"):  # what is too large is no number, and refused as such
                arrays[name] = np.load(io.BytesIO(content), allow_pickle=False).astype(np.float32)
    return arrays


def _plausible(name: str, array: Floats) -> bool:
    """Whether numbers are of the size that faces have, many times over: what is beyond ends in no numbers at all."""
    if not array.size:
        return False
    if name == "lid_ratio":
        return bool((array > 0.05).all() and (array < 20).all())
    if name == "shut":
        return bool((array >= 0).all() and (array <= 1).all())
    return bool((np.abs(array) < {"gain": 5, "offset": 20, "lip_opening": 20}.get(name, 100)).all())


def region_table() -> Floats:
    """[regions, 478]: soft membership, in the order of `region_weights`; the columns add up to one."""
    return np.array(list(region_weights().values()), np.float32)


def array_names() -> list[str]:
    """What a prior's file holds."""
    return [field.name for field in fields(EmotionPrior) if field.name != "sha256"]


@dataclass(frozen=True)
class Example:
    """How a person was seen to show an emotion: mean pose-free shape [478, 3] of a photo or a stretch of talk, cm."""

    emotion: str
    mean: Floats
    photo: bool


@dataclass(frozen=True)
class Adaptation:
    """How a person shows each emotion otherwise than the prior has it; e runs over `EXPRESSIVE`.

    `code` [e, c]: on top of the offsets, in deviations of the expression modes; `strength` [e, regions]: logarithms of
    factors on the offsets in each of the face's regions; `opening` [e]: on top of the lip opening, cm; `lids`,
    `shading` [e]: logarithms of factors on the lid ratio and on the gain.
    """

    code: Floats
    strength: Floats
    opening: Floats
    lids: Floats
    shading: Floats


@dataclass(frozen=True)
class Pattern:
    """An expression to lay over a face: `offset` [478, 3] cm without apertures, and `eased` [478, 3], what of it shut
    lips do without; `lip_opening` cm, `lid_ratio`, and `gain` [SIZE, SIZE] (log of luma)."""

    offset: Floats
    eased: Floats
    lip_opening: float
    lid_ratio: float
    gain: Floats

    def plus(self, other: Pattern, amount: float) -> Pattern:
        """This pattern with `amount` of another on top."""
        return Pattern(
            self.offset + amount * other.offset,
            self.eased + amount * other.eased,
            self.lip_opening + amount * other.lip_opening,
            self.lid_ratio * other.lid_ratio**amount,
            self.gain + amount * other.gain,
        )

    def displacement(self, shape: Floats, closed: float) -> Floats:
        """Displacement [478, 3] in cm for a pose-free shape [478, 3] of a person whose lips, when closed, show an
        opening of `closed` cm."""
        opening = float(lips().opening(shape))
        farther = max(self.lip_opening, -MOST_CLOSING) * parted(opening, closed)
        opened = lips().opened_by((farther / max(opening, LEAST_OPENING)) * lips().vectors(shape))
        lidded = lids().opened_by((_eye_room(shape, self.lid_ratio) - 1) * lids().vectors(shape))
        offset = self.offset - (1 - back(opening, closed) * room(opening, closed)) * self.eased
        moved: Floats = offset * _brow_room(shape, self.offset)[:, None] + opened + lidded
        return moved


def _brow_room(shape: Floats, offset: Floats) -> Floats:
    """[478] in (0, 1]: how much of an offset a face has room for. Brows that lie low over the eyes can't come down as
    far as the mean person's; beyond about half of the way to the lid the rest is given up softly."""
    way = (shape[UPPER_LIDS, 1] - shape[LOW_BROWS, 1]).mean()
    asked = (offset[LOW_BROWS, 1] - offset[UPPER_LIDS, 1]).mean()
    share = float(asked / max(float(way), LEAST_OPENING))
    if share <= BROW_ROOM:
        return np.ones(POINTS, np.float32)
    over = share - BROW_ROOM
    given = BROW_ROOM + over / (1 + over / BROW_SOFT)
    room: Floats = 1 - (1 - given / share) * region_weights()["brows"]
    return room


def _eye_room(shape: Floats, ratio: float) -> float:
    """The lid ratio that the eyes of a shape have room for: never beyond what eyes open, nor narrower for it."""
    wide = np.mean([np.linalg.norm(shape[one] - shape[other]) for one, other in EYE_CORNERS])
    share = float(lids().opening(shape)) / max(float(wide), LEAST_OPENING)
    over = ratio * share - EYE_ROOM
    if ratio <= 1 or over <= 0:
        return ratio
    return max(1.0, (EYE_ROOM + over / (1 + over / EYE_SOFT)) / share)


def parted(opening: float, closed: float) -> float:
    """How far lips count as parted, 0 (closed) to 1: x³/(1 + x³) of the opening above closed lips.

    Emotional talk opens parted lips by a constant and leaves closed ones closed; the curve is smooth and so flat at
    the start that a bilabial stays one, and rises slowly enough for openings to keep their order.
    """
    return _rise((opening - closed) / KNEE, 3)


def back(opening: float, closed: float) -> float:
    """The share that parted lips show of what gives way to shut ones, 0 (closed) to 1: x²/(1 + x²). People smile on as
    soon as their lips part by a millimetre or two."""
    return _rise((opening - closed) / BACK, 2)


def room(opening: float, closed: float) -> float:
    """The share of it that a mouth has room for, which stretches no further sideways when it opens wide, in 0..1."""
    return 1 - (1 - ROOM) * _rise((opening - closed) / WIDE, 3)


def _rise(x: float, power: int) -> float:
    x = max(x, 0.0)
    return x**power / (1 + x**power)
