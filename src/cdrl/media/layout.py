"""From a decoder's picture to a `Frame`'s planes: which layouts pass as they are, which are converted, and turning."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Interpolation
from numpy.typing import NDArray

from cdrl.media.frames import Frame, Matrix, PixelFormat, Plane, chroma_site

PLANAR = re.compile(r"^(?:yuvj?(?P<chroma>410|411|420|422|440|444)p|gray)(?P<depth>9|10|12|14|16)?(?:le)?$")
SUBSAMPLING = {"410": (4, 4), "411": (4, 1), "420": (2, 2), "422": (2, 1), "440": (1, 2), "444": (1, 1)}
ALPHA = re.compile(r"yuva|ya\d|gbrap|rgba|bgra|argb|abgr|pal8|ayuv|vuya|y4\w*a|yaf")
CHROMA = {ratio: name for name, ratio in SUBSAMPLING.items()}
# ITU-T H.273 matrix coefficients. The rare ones (SMPTE 240M, YCgCo, ICtCp) have no entry: they are edited as BT.709,
# said so in a note, and their tag is kept, so the untouched picture shows as before.
MATRICES: dict[int, Matrix] = {1: "bt709", 4: "bt601", 5: "bt601", 6: "bt601", 9: "bt2020", 10: "bt2020"}
_SPACES = {"bt601": "ITU601", "bt709": "ITU709", "bt2020": "BT2020"}  # PyAV's names
_EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
UNSPECIFIED = 2
FULL_RANGE = 2


def layout_name(chroma: tuple[int, int] | None, depth: int) -> str:
    """FFmpeg's name of planar YUV with `chroma` = (sx, sy), or of gray for None, at `depth` bits."""
    suffix = "" if depth == 8 else f"{depth}le"
    if chroma is None:
        return f"gray{suffix}"
    return f"yuv{CHROMA[chroma]}p{suffix}"


def planar_layout(name: str) -> tuple[str, int, int, int]:
    """(planar name, depth, sx, sy) of what a decoded layout `name` is delivered in: YUV as it was, or made of RGB."""
    match = PLANAR.match(name)
    if match:
        depth = int(match["depth"] or 8)
        chroma = SUBSAMPLING[match["chroma"]] if match["chroma"] else None
        return layout_name(chroma, depth), depth, *(chroma or (1, 1))
    described = av.VideoFormat(name)
    bits = max((component.bits for component in described.components), default=8)
    depth = next((step for step in (8, 10, 12, 16) if bits <= step), 16)
    if is_rgb(name):
        return layout_name((1, 1), depth), depth, 1, 1
    if len(described.components) <= 2:
        return layout_name(None, depth), depth, 1, 1
    chroma = (256 // described.chroma_width(256), 256 // described.chroma_height(256))
    chroma = chroma if chroma in CHROMA else (1, 1)
    return layout_name(chroma, depth), depth, *chroma


def is_rgb(name: str) -> bool:
    """Whether samples of a layout are no YUV, so that they are converted."""
    described = av.VideoFormat(name)
    return described.is_rgb or described.has_palette or name.startswith(("xyz", "bayer"))


def has_alpha(name: str) -> bool:
    """Whether a layout can hold transparency."""
    return ALPHA.match(name) is not None


def may_be_transparent(picture: av.VideoFrame, codec: str) -> bool:
    """Whether a clip that begins with this picture holds transparency; a palette always could, and does if it shows."""
    if picture.format.name != "pal8" and codec != "gif":
        return has_alpha(picture.format.name)
    alpha = picture.reformat(format="rgba").to_ndarray()[..., 3]
    return bool((alpha != 255).any())


def extract_alpha(picture: av.VideoFrame, form: PixelFormat, size: tuple[int, int], turn: Orientation) -> Plane:
    """A copy of a decoded picture's transparency, upright, at the depth of `form`; `size` (w, h) before turning."""
    if is_rgb(picture.format.name) and form.depth in (8, 16) and (picture.width, picture.height) == size:
        # FFmpeg's scaler, on the way to YUV, would make the upper half of all numbers larger by one.
        opaque: Plane = decoded_rgb(picture, turn)[..., 3].copy()
        return opaque
    name = alpha_name(replace(form, name=layout_name((1, 1), form.depth)))
    if not picture.format.name.startswith("yuva") or not picture.format.name.endswith(name.removeprefix("yuva444p")):
        picture = picture.reformat(format=name)
    if (picture.width, picture.height) != size:
        picture = picture.reformat(width=size[0], height=size[1], format=name)
    return turn.apply(view(picture.planes[3], form))


def alpha_name(form: PixelFormat) -> str:
    """FFmpeg's name of a layout of YUV with transparency."""
    return form.name.replace("yuv", "yuva", 1)


def pixel_format(name: str, color_range: int, colorspace: int, height: int) -> tuple[PixelFormat, str]:
    """The format of frames decoded as layout `name` with FFmpeg's color tags, and a note ('' for none).

    RGB becomes YUV of limited range, which every player knows.
    """
    planar, depth, sx, sy = planar_layout(name)
    full = (color_range == FULL_RANGE or name.startswith("yuvj")) and not is_rgb(name)
    if planar.startswith("gray") and color_range == 0:
        full = True  # untagged gray comes from pictures and cameras, and FFmpeg shows it as full range
    matrix = untagged_matrix(height)
    note = ""
    if colorspace in MATRICES:
        matrix = MATRICES[colorspace]
    elif colorspace not in (0, UNSPECIFIED, 3):
        note = f"color matrix {colorspace} is unusual: the edit takes it for BT.709"
        matrix = "bt709"
    return PixelFormat(planar, depth, sx, sy, full, matrix), note


def untagged_matrix(height: int) -> Matrix:
    """What players take pictures without a tag for: standard definition for BT.601, high definition for BT.709."""
    return "bt709" if height > 576 else "bt601"


@dataclass(frozen=True)
class Orientation:
    """How a picture as stored becomes upright: transpose, then mirror. All 8 orientations, without loss."""

    transpose: bool = False
    mirror_x: bool = False
    mirror_y: bool = False

    @classmethod
    def from_display_matrix(cls, data: bytes) -> Orientation | None:
        """The turn of a 3×3 display matrix (9 native int32); None when it is no multiple of a quarter turn."""
        a, b, _, c, d = np.frombuffer(data[:20], np.int32).astype(float)
        if a and d and abs(b) + abs(c) < 0.01 * (abs(a) + abs(d)):
            return cls(False, bool(a < 0), bool(d < 0))
        if b and c and abs(a) + abs(d) < 0.01 * (abs(b) + abs(c)):
            return cls(True, bool(c < 0), bool(b < 0))
        return None

    def then(self, other: Orientation) -> Orientation:
        """This turn, and `other` after it."""
        x, y = (self.mirror_y, self.mirror_x) if other.transpose else (self.mirror_x, self.mirror_y)
        return Orientation(self.transpose ^ other.transpose, x ^ other.mirror_x, y ^ other.mirror_y)

    @property
    def degrees(self) -> int:
        """Clockwise degrees of the turn, 0, 90, 180 or 270; a mirror image counts as its unmirrored neighbor."""
        if self.transpose:
            return 90 if self.mirror_x else 270
        return 180 if self.mirror_y else 0

    def format(self, stored: PixelFormat) -> PixelFormat:
        """The format after turning: 4:2:2 lying on its side is 4:4:0."""
        if not self.transpose or stored.gray or stored.sx == stored.sy:
            return stored
        sx, sy = stored.sy, stored.sx
        return replace(stored, name=layout_name((sx, sy), stored.depth), sx=sx, sy=sy)

    def apply(self, plane: Plane) -> Plane:
        """`plane` [H,W] or picture [H,W,C] upright, in memory of its own."""
        if self.transpose:
            plane = plane.swapaxes(0, 1)
        if self.mirror_x:
            plane = plane[:, ::-1]
        if self.mirror_y:
            plane = plane[::-1]
        return plane.copy(order="C")


def extract_planes(picture: av.VideoFrame, stored: PixelFormat, turn: Orientation) -> tuple[Plane, ...]:
    """Copies of a decoded picture's planes, upright. `stored` is the format before turning."""
    if picture.format.name != stored.name and not picture.format.name.startswith("yuvj"):
        picture = convert_format(picture, stored)
    return tuple(turn.apply(view(plane, stored)) for plane in picture.planes)


def convert_format(
    picture: av.VideoFrame, target: PixelFormat, size: tuple[int, int] | None = None, source: PixelFormat | None = None
) -> av.VideoFrame:
    """`picture` in another layout (and size): YUV samples keep their numbers, RGB becomes `target`'s YUV.

    `source` is the picture's own format where its matrix or range may not be that of `target`: then the samples change,
    and the colors stay.
    """
    is_full = is_rgb(picture.format.name) or (source is not None and source.full_range)
    becomes_limited = is_full and not target.full_range
    width, height = size or (picture.width, picture.height)
    # One range on both sides: swscale must never rescale what the stream's own tag already explains.
    return picture.reformat(
        width,
        height,
        target.name,
        src_colorspace=_SPACES[(source or target).matrix],
        dst_colorspace=_SPACES[target.matrix],
        interpolation=_EXACT,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.MPEG if becomes_limited else ColorRange.JPEG,
        threads=1,
    )


def decoded_rgb(picture: av.VideoFrame, turn: Orientation) -> Plane:
    """The numbers of an RGB picture as they were decoded, upright: [H,W,3], or [H,W,4] where it can be transparent."""
    deep = max(component.bits for component in picture.format.components) > 8
    name = ("rgba" if has_alpha(picture.format.name) else "rgb") + ("64le" if deep else "")
    name = {"rgb": "rgb24", "rgb64le": "rgb48le"}.get(name, name)
    pixels: NDArray[Any] = picture.reformat(format=name).to_ndarray()
    return turn.apply(pixels)


def yuv_to_rgb_picture(picture: av.VideoFrame, form: PixelFormat) -> Plane:
    """RGB [H,W,3] of a picture of format `form`, of 8 bits as uint8, of more as uint16 on the scale of 16."""
    range_of = ColorRange.JPEG if form.full_range else ColorRange.MPEG
    converted = picture.reformat(
        format="rgb24" if form.depth == 8 else "rgb48le",
        src_colorspace=_SPACES[form.matrix],
        interpolation=_EXACT,
        src_color_range=range_of,
        dst_color_range=ColorRange.JPEG,
        threads=1,
    )
    pixels: NDArray[Any] = converted.to_ndarray()
    return pixels


def with_full_chroma(frame: Frame, depth: int, *, interlaced: bool = False) -> Frame:
    """The frame in 4:4:4, of at least `depth` bits; its chroma is interpolated from where `chroma_site` says it stands.

    FFmpeg's scaler, told nothing of where chroma stands, would move it by half a pixel. Of `interlaced` frames each
    field is interpolated by itself: one's chroma is none of the other's.
    """
    form = frame.format
    if interlaced and form.sy == 2 and frame.height % 4 == 0:
        lines = [tuple(plane[first::2].copy(order="C") for plane in frame.planes) for first in (0, 1)]
        top, bottom = (with_full_chroma(replace(frame, planes=planes), depth) for planes in lines)
        return replace(top, planes=tuple(map(_weave, top.planes, bottom.planes)))
    fine = replace(form, name=layout_name((1, 1), max(depth, form.depth)), depth=max(depth, form.depth), sx=1, sy=1)
    luma, *chroma = (raise_depth(plane, form, fine.depth) for plane in frame.planes)
    if form.gray:
        chroma = [np.full_like(luma, fine.chroma_zero)] * 2
    elif (form.sx, form.sy) != (1, 1):
        (x, y), size = chroma_site((form.sx, form.sy)), (frame.width, frame.height)
        place = np.array([[1 / form.sx, 0, -x / form.sx], [0, 1 / form.sy, -y / form.sy]])
        how = {"flags": cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, "borderMode": cv2.BORDER_REPLICATE}
        chroma = [np.minimum(cv2.warpAffine(plane, place, size, **how), fine.maximum) for plane in chroma]
    return replace(frame, planes=(luma, *chroma), format=fine)


def _weave(top: Plane, bottom: Plane) -> Plane:
    """A plane whose lines come from two fields in turn."""
    woven: NDArray[Any] = np.stack((top, bottom), axis=1).reshape(2 * len(top), -1)
    return woven


def raise_depth(plane: Plane, form: PixelFormat, depth: int) -> Plane:
    """A plane of frames of `form` on the scale of `depth` bits: black, gray and white stay what they are."""
    if depth <= form.depth:
        return plane
    factor = ((1 << depth) - 1) / form.maximum if form.full_range else 1 << depth - form.depth
    raised: NDArray[np.uint16] = np.rint(plane.astype(np.float32) * np.float32(factor)).astype(np.uint16)
    return raised


def view(plane: av.video.plane.VideoPlane, form: PixelFormat) -> Plane:
    """A plane's own memory as [rows, columns], the padding at each line's end left off."""
    lines: NDArray[Any] = np.frombuffer(memoryview(plane), form.dtype).reshape(plane.height, -1)
    return lines[:, : plane.width]


def fill_picture(frame: Frame, size: tuple[int, int], layout: PixelFormat) -> av.VideoFrame:
    """A picture of `size` (width, height) with the frame's samples, on the scale of `layout`; edges are repeated."""
    picture = av.VideoFrame(*size, layout.name)
    for index, plane in enumerate(picture.planes):
        target = view(plane, layout)
        if index >= len(frame.planes):
            target[:] = layout.chroma_zero
            continue
        samples = raise_depth(frame.planes[index], frame.format, layout.depth)
        rows, columns = samples.shape
        target[:rows, :columns] = samples
        target[rows:, :columns] = samples[-1:]
        target[:, columns:] = target[:, columns - 1 : columns]
    return picture


def add_alpha(picture: av.VideoFrame, frame: Frame, name: str, form: PixelFormat) -> av.VideoFrame:
    """A picture of `form` in the layout `name` with the frame's transparency; edges are repeated."""
    whole = av.VideoFrame(picture.width, picture.height, name)
    for index, plane in enumerate(picture.planes):
        view(whole.planes[index], form)[:] = view(plane, form)
    target = view(whole.planes[3], form)
    target[:] = form.maximum
    if frame.alpha is not None:
        rows, columns = frame.alpha.shape
        scaled = frame.alpha * np.float32(form.maximum / frame.format.maximum) + np.float32(0.5)
        target[:rows, :columns] = frame.alpha if form.depth == frame.format.depth else scaled
        target[rows:, :columns] = target[rows - 1 : rows, :columns]
        target[:, columns:] = target[:, columns - 1 : columns]
    return whole
