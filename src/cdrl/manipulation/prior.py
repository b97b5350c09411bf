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

from cdrl.arrays import Array, array_namespace, match_array, scale, to_double
from cdrl.assets import PRIOR, user_bytes, verified_bytes
from cdrl.emotions import EMOTIONS
from cdrl.errors import ModelFileError, OutputError
from cdrl.face.apertures import remove_apertures
from cdrl.face.bundle import Floats
from cdrl.face.landmarks import BLENDSHAPES
from cdrl.face.mesh import POINTS, region_weights
from cdrl.files import atomic_write
from cdrl.manipulation.expression_change import ExpressionChange, mouth_component, mouth_limit, rms_millimeters
from cdrl.plan import smoothstep
from cdrl.rendering.texture import SIZE

MAX_BYTES, MAX_UNPACKED = 1 << 23, 1 << 26
"""Most bytes of a prior's file, and of its arrays; ours has under half a million, and ten times as many unpacked."""

_FLOAT32_ARRAYS = {
    "mean",
    "reading",
    "reading_changes",
    "enrollment_gain",
    "closed_lip_fraction",
}  # the others are kept as float16

# What zip files raise where they are damaged, encrypted, or packed in a way that is not known.
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, RuntimeError, NotImplementedError)

_NEUTRAL_AMOUNT, _WHOLE_AMOUNT = 0.2, 0.8  # what neutral talk and a whole emotion are read as: the estimate shrinks
_NOISE = (0.6, 1.4)  # mm, root mean squares of what neutral faces are read as, and of expressions
# Half seconds of one clip differ by up to 1 mm, and from another emotion by 2 to 3 mm.
_WORDS = (0.8, 1.8)  # mm, the same of what words add within a clip, and of expressions

EXPRESSIVE = tuple(name for name in EMOTIONS if name != "neutral")
"""The emotions that have an offset: all but neutral."""


@dataclass(frozen=True)
class EnrollmentExample:
    """How a person was seen to show an emotion."""

    emotion: str
    """One of `EXPRESSIVE`."""
    mean_shape: Floats
    """[478, 3] cm: mean pose-free shape of a photo or of a stretch of talk."""
    photo: bool
    """Whether it was a photo, which says less than a clip."""


@dataclass(frozen=True)
class Adaptation:
    """How a person shows each emotion otherwise than the prior has it; e runs over `EXPRESSIVE`.

    The arrays are NumPy's or tensors, with leading dimensions for a batch of people.
    """

    code: Array
    """[..., e, c] on top of the offsets, in deviations of the expression modes; the mouth takes no part."""
    strength: Array
    """[..., e, regions] logarithms of factors on the offsets in each region of the face."""
    lip_opening: Array
    """[..., e] cm on top of the lip opening."""
    lids: Array
    """[..., e] logarithms of factors on the lid ratio."""
    shading: Array
    """[..., e] logarithms of factors on the gain."""


@dataclass(frozen=True)
class EmotionPrior:
    """What emotions do to the mean person. Lengths are cm of the canonical face; e runs over `EXPRESSIVE`.

    For training the arrays may be tensors; `adapt` and `blend_weights` take either.
    """

    offset: Floats
    """[e, 478, 3]: displacement of the pose-free shape from neutral in a whole emotion, apertures left alone."""
    lip_opening: Floats
    """[e]: how much farther lips part in the mean over talk."""
    lid_ratio: Floats
    """[e]: lid aperture over the neutral one."""
    gain: Floats
    """[e, SIZE, SIZE]: log of luma, emotional over neutral, in texture space."""
    brow_movement: Floats
    """[e, 478, 3]: part of the offset that landmarks do not follow where people show it, see `shown_brow_movement`."""
    mean: Floats
    """[478, 3]: mean neutral shape."""
    identity: Floats
    """[i, 478, 3]: modes in which neutral shapes differ, scaled to one standard deviation each."""
    expression: Floats
    """[c, 478, 3]: orthonormal basis of expressions."""
    expression_deviation: Floats
    """[c]: standard deviation along the basis."""
    shape_modes: Floats
    """[k, 478, 3]: orthonormal basis of shapes, in which a mean shape is read."""
    shown_modes: Floats
    """[m, 478, 3]: orthonormal basis of what people were seen to show beside their neutral shape, with apertures."""
    reading: Floats
    """[k + 53, m + e]: linear map from a mean shape's code, mean blendshapes and a one to what is shown: its code, and
    the amount of each emotion."""
    reading_changes: Floats
    """[k, m]: linear map from how the code of a shape differs, in the mean over about a second, to how the code of what
    is shown does."""
    enrollment_gain: Floats
    """[2, regions] in 0..1: how far the offset goes towards an example of the person, for a photo and for a clip."""
    closed_lip_fraction: Floats
    """[e] in 0..1: share of the mouth's offset that closed lips show."""
    sha256: str = ""
    """Of the file it was read from."""

    def save(self, path: Path, *, overwrite: bool = True) -> None:
        """Write the prior to a file, whole or not at all, with float16 where that loses nothing that can be seen.

        Args:
            path: Where to; the name should end in .npz.
            overwrite: Whether a file may be replaced.

        Raises:
            OutputExistsError: The file exists and may not be replaced.
            OutputError: It cannot be written.
        """
        small = {
            name: getattr(self, name).astype(np.float32 if name in _FLOAT32_ARRAYS else np.float16)
            for name in array_names()
        }
        buffer = io.BytesIO()  # a name without .npz would be given that ending
        np.savez_compressed(buffer, allow_pickle=False, **small)
        if buffer.tell() > MAX_BYTES:
            raise OutputError(f"{path}: the prior takes {buffer.tell():,} bytes and {MAX_BYTES:,} are read")
        atomic_write(path, [buffer.getvalue()], overwrite=overwrite)

    @classmethod
    def load(cls, path: Path | None = None) -> EmotionPrior:
        """Read a prior.

        Args:
            path: Its file; the shipped one by default.

        Returns:
            The prior, checked for shapes and plausible numbers.

        Raises:
            ModelFileError: The file is missing, damaged, or no prior.
        """
        try:
            data = verified_bytes(PRIOR) if path is None else user_bytes(path, MAX_BYTES)
            arrays = _unpack(data)
        except (OSError, ValueError, KeyError, EOFError, TypeError, *_ZIP_ERRORS) as error:
            name = path or PRIOR
            raise ModelFileError(f"{name}: not an emotion prior ({error}); fit one with `cdrl train prior`") from error
        emotions, people, modes = len(EXPRESSIVE), arrays["identity"].shape[:1], arrays["expression_deviation"].size
        regions, read = len(region_weights()), arrays["shape_modes"].shape[:1]
        shown = arrays["shown_modes"].shape[:1]
        # Shape, least and largest number: those of faces, many times over; beyond, results would not be finite.
        expected: dict[str, tuple[tuple[int, ...], float, float]] = {
            "offset": ((emotions, POINTS, 3), -20, 20),
            "lip_opening": ((emotions,), -20, 20),
            "lid_ratio": ((emotions,), 0.05, 20),
            "gain": ((emotions, SIZE, SIZE), -5, 5),
            "brow_movement": ((emotions, POINTS, 3), -20, 20),
            "mean": ((POINTS, 3), -100, 100),
            "identity": ((*people, POINTS, 3), -100, 100),
            "expression": ((modes, POINTS, 3), -100, 100),
            "expression_deviation": ((modes,), -100, 100),
            "shape_modes": ((*read, POINTS, 3), -2, 2),
            "shown_modes": ((*shown, POINTS, 3), -2, 2),
            "reading": ((sum(read) + len(BLENDSHAPES) + 1, sum(shown) + emotions), -1000, 1000),
            "reading_changes": ((sum(read), sum(shown)), -1000, 1000),
            "enrollment_gain": ((2, regions), -100, 100),
            "closed_lip_fraction": ((emotions,), 0, 1),
        }
        for name, (shape, low, high) in expected.items():
            array, again = arrays[name], "fit it again with `cdrl train prior`"
            if array.shape != shape or not np.isfinite(array).all():
                raise ModelFileError(f"{path or PRIOR}: a prior for another mesh; {again}")
            if not array.size or array.min() < low or array.max() > high:
                raise ModelFileError(f"{path or PRIOR}: its numbers are no face's; {again}")
        return cls(**arrays, sha256=hashlib.sha256(data).hexdigest())

    def adapt(self, change: Adaptation) -> EmotionPrior:
        """Return the prior of one person, or of many: the arrays of a batch of adaptations have its leading dimensions.

        Takes NumPy arrays, or tensors where the prior's arrays are tensors.
        """
        xp = array_namespace(change.code)
        strength = xp.exp(change.strength) @ match_array(region_matrix(), change.strength)
        own = self.offset * strength[..., None]
        added = xp.tensordot(change.code * self.expression_deviation, self.expression, axes=1)
        added = added - mouth_component(added)
        return replace(
            self,
            offset=remove_apertures(own + added),
            lip_opening=self.lip_opening + change.lip_opening,
            lid_ratio=self.lid_ratio * xp.exp(change.lids),
            gain=self.gain * xp.exp(change.shading)[..., None, None],
        )

    def enroll(self, examples: Sequence[EnrollmentExample], neutral_shape: Floats) -> EmotionPrior:
        """Return the prior of a person who was seen to show emotions.

        Region by region the offset goes as far towards an example as `enrollment_gain` says, for one photo says little
        of a mouth that talks. Where brows go beyond their landmarks is not seen in it, and stays as the prior has it.

        Args:
            examples: What was seen; several of one emotion are taken one after the other.
            neutral_shape: [478, 3] cm, the person's neutral shape.
        """
        offset = self.offset.copy()
        for example in examples:
            index = EXPRESSIVE.index(example.emotion)
            own = remove_apertures(example.mean_shape - neutral_shape) + self.brow_movement[index]
            share = self.enrollment_gain[0 if example.photo else 1] @ region_matrix()
            offset[index] = remove_apertures(offset[index] + share[:, None] * (own - offset[index]))
        return replace(self, offset=offset)

    def read_expression(self, mean_shape: Floats, blendshapes: Floats) -> tuple[Floats, Floats]:
        """Read what a stretch of talk shows, whoever it is.

        Args:
            mean_shape: [478, 3] cm, mean pose-free shape.
            blendshapes: [52], mean ARKit coefficients.

        Returns:
            The amount [e] of each emotion in 0..1, and the displacement [478, 3] cm from the person's neutral shape,
            with apertures. Both are least-squares estimates that shrink: what is unlike all that was seen in fitting is
            taken for the person.
        """
        return apply_reading(self.reading, self.shape_modes, self.shown_modes, mean_shape - self.mean, blendshapes)

    def read_change(self, difference: Floats) -> Floats:
        """Read what a person shows now beyond what they showed before: [478, 3] cm, with apertures.

        Args:
            difference: [478, 3] cm between the mean shapes of two stretches of their talk.
        """
        code = self.shape_modes.reshape(len(self.shape_modes), -1) @ difference.ravel() @ self.reading_changes
        shown: Floats = np.tensordot(code, self.shown_modes, axes=1).astype(np.float32)
        return shown * _share_of_expression(shown, _WORDS)

    def shown_brow_movement(self, amounts: Mapping[str, float]) -> Floats:
        """Return how far brows move beyond their landmarks, [478, 3] cm, in people who show these amounts of emotion.

        A frown draws brows together and their inner ends down, and the landmark network hardly follows.
        """
        movement: Floats = np.tensordot(_list_amounts(amounts), self.brow_movement, axes=1)
        return movement

    def closed_lip_suppression(self, amounts: Mapping[str, float]) -> float:
        """Return the share, in 0..1, of the mouth's offset that closed lips do not show in a blend of emotions."""
        return float(_normalize(amounts) @ (1 - self.closed_lip_fraction))

    def blend_emotions(self, amounts: Mapping[str, float]) -> ExpressionChange:
        """Return what a blend of emotions (name → amount, 1 is a whole emotion) does; 'neutral' adds nothing."""
        return self.blend_weights(_list_amounts(amounts))

    def blend_weights(self, weights: Array) -> ExpressionChange:
        """Return what blends of emotions do.

        Amounts add up linearly, but for the mouth, which more than one whole emotion draws little farther.

        Args:
            weights: [..., e] amount of each emotion, of the kind of the prior's arrays.

        Returns:
            One change for each leading index of the weights.
        """
        xp = array_namespace(weights)
        offset = _weighted_sum(weights, self.offset)
        closed_lip_reduction = _weighted_sum(weights * (1 - self.closed_lip_fraction), self.offset)
        limit = mouth_limit(to_double(weights.sum(-1)))
        return ExpressionChange(
            offset - scale(mouth_component(offset), 1 - limit),
            scale(mouth_component(closed_lip_reduction), limit),
            to_double(xp.vecdot(weights, self.lip_opening)),
            to_double(xp.exp(xp.vecdot(weights, xp.log(self.lid_ratio)))),
            _weighted_sum(weights, self.gain),
        )


def apply_reading(
    reading: Floats, shape_modes: Floats, shown_modes: Floats, shape: Floats, blendshapes: Floats
) -> tuple[Floats, Floats]:
    """Return what `EmotionPrior.read_expression` does of a shape [478, 3] cm relative to the mean, by its arrays."""
    code = shape_modes.reshape(len(shape_modes), -1) @ shape.ravel()
    read = np.concatenate([code, blendshapes, [1.0]]) @ reading
    displacement = np.tensordot(read[: len(shown_modes)], shown_modes, axes=1)
    amounts = np.clip((read[len(shown_modes) :] - _NEUTRAL_AMOUNT) / (_WHOLE_AMOUNT - _NEUTRAL_AMOUNT), 0, 1)
    share = _share_of_expression(displacement, _NOISE)
    return (share * amounts).astype(np.float32), (share * displacement).astype(np.float32)


def _share_of_expression(displacement: Floats, noise: tuple[float, float]) -> float:
    """Return the share, in 0..1, of a displacement [478, 3] cm that is no noise of reading it, by its size."""
    return smoothstep(rms_millimeters(remove_apertures(displacement)), *noise)


def _weighted_sum(weights: Array, stack: Array) -> Array:
    """Return the sum [..., m, n] of matrices [..., e, m, n] with weights [..., e]."""
    total = weights[..., None, :] @ stack.reshape(*stack.shape[:-2], -1)
    return total.reshape(*total.shape[:-2], *stack.shape[-2:])


def _list_amounts(amounts: Mapping[str, float]) -> Floats:
    """Return the amount [e] of each emotion in a blend, 0 of those that are not named."""
    return np.array([amounts.get(name, 0.0) for name in EXPRESSIVE], np.float32)


def _normalize(amounts: Mapping[str, float]) -> Floats:
    """Return the share [e] of each emotion in a blend; zeros where there are none."""
    weights = _list_amounts(amounts)
    shares: Floats = weights / (float(weights.sum()) or 1.0)
    return shares


def _unpack(data: bytes) -> dict[str, Floats]:
    """Return the arrays of an npz by field; no more than `MAX_UNPACKED` is read, whatever size a file claims."""
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


def region_matrix() -> Floats:
    """Return the soft membership [regions, 478] of points in the order of `region_weights`; columns add up to one."""
    return np.array(list(region_weights().values()), np.float32)


def array_names() -> list[str]:
    """Return the fields of a prior that its file holds."""
    return [field.name for field in fields(EmotionPrior) if field.name != "sha256"]
