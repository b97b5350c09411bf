"""EXR pictures, by OpenEXR: their scene-linear light as a signal, and an edit of it put back into the rest of the file.

The numbers stand for light of the primaries that the file names (`chromaticities`), else of BT.709, as OpenEXR has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from cdrl.errors import CdrlError, InputError, LimitError
from cdrl.extras import require_modules
from cdrl.media.decoding import error_text
from cdrl.media.frames import Plane
from cdrl.media.layout import Orientation, pixel_format
from cdrl.media.limits import Limits
from cdrl.media.opening import EXR_MAGIC, check_path
from cdrl.media.probing import FASTEST, ColorTags, VideoInfo, check_pixels
from cdrl.media.scene_light import light_to_signal, primaries_to_rec709, signal_to_light

COLOR, ALPHA = ("R", "G", "B"), "A"
_BT709, _SRGB = 1, 13  # ITU-T H.273: matrix and primaries, transfer characteristics of the signal
_TYPES = {"HALF": np.float16, "FLOAT": np.float32}
_LOSSLESS = ("NO", "RLE", "ZIPS", "ZIP", "PIZ", "HTJ2K32", "HTJ2K256")  # compressions that give back every bit
_BRIGHTEST = 1e6  # light that stands for an infinite one, of white: more than any signal tells
_MOST_BYTES = 2 << 30
"""Of all channels of a picture."""
_TEXTS = {"comments": "comment"}
"""Attribute of OpenEXR → how other pictures call the text."""
_FAULTS = (RuntimeError, OSError, ValueError, TypeError, KeyError)
"""What OpenEXR raises for files that it cannot read."""


@dataclass(frozen=True)
class _Form:
    """How the picture lies in the first part of a file."""

    size: tuple[int, int]
    """Width and height of the display window, which is what is seen."""
    seen: tuple[slice, slice]
    """Rows and columns of what is seen that the file holds."""
    held: tuple[slice, slice]
    """The same rows and columns among those of the file."""
    shape: tuple[int, int]
    """Rows and columns of the file."""
    color: tuple[str, ...]
    """The names of its channels of color and transparency."""
    others: tuple[str, ...]
    """The names of all other channels, of all parts."""
    matrix: NDArray[np.float32] | None
    """From the file's primaries to BT.709's; None where they are these."""
    header: Mapping[str, Any]
    """The attributes."""


def describe_exr(path: Path, limits: Limits) -> VideoInfo:
    """What `probe` says of a picture, without decoding it; `rate` is None where the file names none.

    Raises:
        UsageError: OpenEXR is not installed.
        InputError: It is no EXR, or holds no picture in RGB.
        LimitError: It is larger than the limits allow.
    """
    form = _read_form(path, limits)
    layout = "rgba64le" if ALPHA in form.color else "rgb48le"
    planes, _ = pixel_format(layout, 0, _BT709, form.size[1])
    aspect = Fraction(float(form.header.get("pixelAspectRatio", 1.0))).limit_denominator(1000)
    return VideoInfo(
        path=path, container="exr", codec="exr", width=form.size[0], height=form.size[1], rotation=0,
        orientation=Orientation(), sample_aspect=aspect if aspect > 0 else Fraction(1), rate=_rate(form.header),
        time_base=Fraction(1, 25), start=Fraction(0), lead=Fraction(0), duration=None, frame_count=1, format=planes,
        color=ColorTags(0, _BT709, _BT709, _SRGB), stream_index=0, tracks=(), photo=True, first_field="", rebased=False,
        notes=(), pixels=layout, alpha=ALPHA in form.color, channels=form.others,
    )  # fmt: skip


def decode_exr(path: Path, limits: Limits) -> av.VideoFrame:
    """The picture as a signal: RGB, or RGBA with straight alpha, of 16 bits.

    Raises:
        UsageError: OpenEXR is not installed.
        InputError: It cannot be decoded to its end.
        LimitError: It is larger than the limits allow.
    """
    form = _read_form(path, limits)
    light, alpha = _read_light(path, form)
    if alpha is not None:
        light /= np.where(alpha > 0, alpha, np.float32(1))[..., None]
    if form.matrix is not None:
        light = np.nan_to_num(light, posinf=_BRIGHTEST, neginf=-_BRIGHTEST) @ form.matrix.T
    signal = np.zeros((*form.size[::-1], len(form.color)), np.uint16)
    signal[form.seen][..., :3] = light_to_signal(light)
    if alpha is None:
        return av.VideoFrame.from_ndarray(signal, "rgb48le")
    signal[form.seen][..., 3] = np.rint(np.clip(alpha, 0, 1) * 65535)
    return av.VideoFrame.from_ndarray(signal, "rgba64le")


def read_exr_texts(path: Path) -> Mapping[str, str]:
    """The texts among the attributes, by names as `cdrl.media.png.read_texts` has them; none of another file.

    Raises:
        UsageError: OpenEXR is not installed.
        InputError: The file is damaged.
    """
    if not is_exr(path):
        return {}
    header = _headers(path)[0]
    return {_TEXTS.get(name, name): text for name, text in header.items() if isinstance(text, str) and name != "name"}


def is_exr(path: Path) -> bool:
    """Whether a file begins as an EXR does."""
    with path.open("rb") as file:
        return file.read(len(EXR_MAGIC)) == EXR_MAGIC


def edit_exr(source: Path, target: Path, before: Plane, after: Plane, texts: Mapping[str, str], limits: Limits) -> None:
    """Write a copy of a picture with what an edit changed.

    Where the signal is unchanged every bit of every channel stays; elsewhere the light becomes brighter or darker by
    what the signal tells. All channels, parts, types and attributes stay; tiles become lines, and a compression that
    loses becomes one that doesn't, for it would change what was not edited.

    Args:
        source: The picture.
        target: The copy.
        before: The signal of it [H,W,3 or 4], as `decode_exr` gives it.
        after: The same after the edit.
        texts: Texts to be put among the attributes.
        limits: What the picture may hold.

    Raises:
        InputError: The picture cannot be read.
    """
    import OpenEXR  # noqa: PLC0415 - of an extra

    form = _read_form(source, limits)
    change = _light_change(form, before, after)
    parts = _read_parts(source)
    if (stored := parts[0].channels.get(ALPHA)) is not None:
        change *= np.asarray(stored.pixels[form.held], np.float32)[..., None]
    moved = (before[..., :3] != after[..., :3]).any(axis=2)[form.seen]
    for index, name in enumerate(COLOR):
        pixels = parts[0].channels[name].pixels
        largest = np.finfo(pixels.dtype).max
        held = pixels[form.held]
        held[moved] = np.clip(held[moved].astype(np.float32) + change[moved, index], -largest, largest)
    for part in parts:
        if part.header["type"] == OpenEXR.tiledimage:
            part.header["type"] = OpenEXR.scanlineimage
            part.header.pop("tiles", None)
        if part.header["compression"].name.removesuffix("_COMPRESSION") not in _LOSSLESS:
            part.header["compression"] = OpenEXR.ZIP_COMPRESSION
    parts[0].header.update(_attributes(texts))
    _write(OpenEXR.File(parts), target)


def edited_light(
    source: Path, before: Plane, after: Plane, limits: Limits
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """The light [H,W,3] of a picture after an edit, and its transparency [H,W]; arguments as of `edit_exr`."""
    form = _read_form(source, limits)
    held, opacity = _read_light(source, form)
    change = _light_change(form, before, after)
    light = np.zeros((*form.size[::-1], 3), np.float32)
    light[form.seen] = held + (change if opacity is None else change * opacity[..., None])
    if opacity is None:
        return light, None
    alpha = np.zeros(form.size[::-1], np.float32)
    alpha[form.seen] = opacity
    return light, alpha


def write_exr(
    target: Path, light: NDArray[np.float32], alpha: NDArray[np.float32] | None, attributes: Mapping[str, Any]
) -> None:
    """Write a picture in half floats.

    Args:
        target: The file.
        light: RGB [H,W,3], multiplied by alpha.
        alpha: Transparency [H,W], 0..1; None for none.
        attributes: Attributes by OpenEXR's names; texts by names as other pictures have them.

    Raises:
        UsageError: OpenEXR is not installed.
    """
    require_exr()
    import OpenEXR  # noqa: PLC0415 - of an extra

    channels = {name: light[..., index] for index, name in enumerate(COLOR)}
    if alpha is not None:
        channels[ALPHA] = alpha
    largest = np.finfo(np.float16).max
    halves = {
        name: np.ascontiguousarray(np.clip(numbers, -largest, largest), np.float16)
        for name, numbers in channels.items()
    }
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage, **_attributes(attributes)}
    _write(OpenEXR.File(header, halves), target)


def read_attributes(path: Path) -> Mapping[str, Any]:
    """What a layer over a picture must say as the picture does: its primaries, rate, timecode and shape of pixels."""
    names = ("chromaticities", "framesPerSecond", "timeCode", "pixelAspectRatio")
    header = _headers(path)[0]
    return {name: header[name] for name in names if name in header}


def require_exr() -> None:
    """Raises UsageError where OpenEXR is not installed."""
    require_modules("a sequence of EXR", "OpenEXR")


def _attributes(texts: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes by OpenEXR's names."""
    names = {text: name for name, text in _TEXTS.items()}
    return {names.get(name, name): value for name, value in texts.items()}


def _headers(path: Path) -> list[Mapping[str, Any]]:
    """The attributes of each part."""
    require_exr()
    import OpenEXR  # noqa: PLC0415 - of an extra

    try:
        with OpenEXR.File(str(path), separate_channels=True, header_only=True) as file:
            headers: list[Mapping[str, Any]] = [dict(part.header) for part in file.parts]
    except _FAULTS as error:
        raise _undecodable(path, error) from None
    if not headers:
        raise _undecodable(path, "it has no parts")
    return headers


def _read_form(path: Path, limits: Limits) -> _Form:
    headers = _headers(check_path(path, limits))
    try:
        return _describe_form(path, headers, limits)
    except CdrlError:
        raise
    except (LookupError, ValueError, TypeError, AttributeError) as error:
        raise _undecodable(path, error) from None


def _describe_form(path: Path, headers: list[Mapping[str, Any]], limits: Limits) -> _Form:
    """The form that the attributes of all parts tell. Raises InputError and LimitError."""
    header = headers[0]
    (left, top), (right, bottom) = (map(int, corner) for corner in header["displayWindow"])
    size = (right - left + 1, bottom - top + 1)
    check_pixels(*size, path, limits)
    if "deep" in str(header["type"]):
        raise InputError(f"{path} holds deep pixels, which have no single color: render it flat")
    n_bytes = 0
    for part in headers:
        height, width = _shape(part)
        check_pixels(width, height, path, limits)
        if (tile := part.get("tiles")) is not None:
            check_pixels(tile.xSize, tile.ySize, path, limits)
        n_bytes += 4 * width * height * len(part["channels"])
    if n_bytes > _MOST_BYTES:
        raise LimitError(f"{path} holds {n_bytes:,} bytes of channels, the limit is {_MOST_BYTES:,}: leave some out")
    channels = {channel.name: channel for channel in header["channels"]}
    names = tuple(name for part in headers for name in (channel.name for channel in part["channels"]))
    if not channels.keys() >= set(COLOR):
        raise InputError(
            f"{path}: its first part holds no channels R, G and B (it holds {', '.join(sorted(channels))[:200]}): "
            "write it in RGB"
        )
    if any(channel.xSampling != 1 or channel.ySampling != 1 for channel in channels.values()):
        raise InputError(f"{path} holds channels of different resolutions: write it in RGB")
    color = tuple(name for name in (*COLOR, ALPHA) if name in channels)
    (x, y), _ = (map(int, corner) for corner in header["dataWindow"])
    shape = _shape(header)
    rows, columns = _overlap(y - top, shape[0], size[1]), _overlap(x - left, shape[1], size[0])
    others = [name for name in names if name not in color]
    return _Form(
        size, (rows[0], columns[0]), (rows[1], columns[1]), shape, color, tuple(others),
        primaries_to_rec709(header.get("chromaticities", ())), header,
    )  # fmt: skip


def _shape(header: Mapping[str, Any]) -> tuple[int, int]:
    """Rows and columns of a part."""
    (left, top), (right, bottom) = (map(int, corner) for corner in header["dataWindow"])
    return bottom - top + 1, right - left + 1


def _overlap(begin: int, length: int, seen: int) -> tuple[slice, slice]:
    """What of `length` lines from `begin` on lies among the `seen` ones, counted there and from `begin`."""
    first, last = max(0, begin), max(0, begin, min(seen, begin + length))
    return slice(first, last), slice(first - begin, last - begin)


def _read_light(path: Path, form: _Form) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """RGB [h,w,3] of what is seen that the file holds, as it has it, and its transparency [h,w]."""
    import OpenEXR  # noqa: PLC0415 - of an extra

    try:
        with closing(OpenEXR.InputFile(str(path))) as file:
            if not file.isComplete():
                raise _undecodable(path, "a part of it is missing")
            channels = file.header()["channels"]
            types = [_TYPES.get(str(channels[name].type)) for name in form.color]
            stored = file.channels(list(form.color))
    except CdrlError:
        raise
    except _FAULTS as error:
        raise _undecodable(path, error) from None
    if None in types:
        raise InputError(f"{path}: its colors are whole numbers, not light: write them as half floats")
    planes = [
        np.frombuffer(data, kind).reshape(form.shape)[form.held] for data, kind in zip(stored, types, strict=True)
    ]
    alpha = np.asarray(planes[3], np.float32) if len(planes) > 3 else None
    return np.stack(planes[:3], axis=2, dtype=np.float32), alpha


def _read_parts(path: Path) -> list[Any]:
    """All parts of a file with their channels."""
    import OpenEXR  # noqa: PLC0415 - of an extra

    expected = len(_headers(path))
    try:
        parts = list(OpenEXR.File(str(path), separate_channels=True).parts)
    except _FAULTS as error:
        raise _undecodable(path, error) from None
    if len(parts) != expected:  # OpenEXR leaves out what it cannot decode
        raise _undecodable(path, "a part of it is damaged")
    return parts


def _light_change(form: _Form, before: Plane, after: Plane) -> NDArray[np.float32]:
    """By how much the light of what a file holds changes, RGB of its own primaries."""
    above, below = (signal_to_light(signal[form.seen][..., :3]) for signal in (after, before))
    change = np.subtract(above, below)
    return np.asarray(change if form.matrix is None else change @ np.linalg.inv(form.matrix).T, np.float32)


def _rate(header: Mapping[str, Any]) -> Fraction | None:
    """Frames a second, where the file names them."""
    rate = header.get("framesPerSecond")
    usable = isinstance(rate, Fraction) and 0 < rate <= FASTEST
    return rate if usable else None


def _write(file: Any, target: Path) -> None:
    """Write a file; OpenEXR's errors as those of the system."""
    try:
        file.write(str(target))
    except RuntimeError as error:
        raise OSError(str(error)) from error


def _undecodable(path: Path, error: Exception | str) -> InputError:
    why = error if isinstance(error, str) else error_text(error)
    return InputError(f"{path} cannot be decoded ({why}): write this picture again, then edit")
