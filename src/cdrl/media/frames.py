"""A frame as its planes (Y, Cb, Cr at their own resolution and depth), and RGB only where someone needs to see it."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Matrix = Literal["bt601", "bt709", "bt2020"]
Plane = NDArray[np.uint8] | NDArray[np.uint16]

LUMA_WEIGHTS: dict[str, tuple[float, float]] = {  # kr, kb of ITU-R BT.601, BT.709, BT.2020
    "bt601": (0.299, 0.114),
    "bt709": (0.2126, 0.0722),
    "bt2020": (0.2627, 0.0593),
}
BORDERS = {"replicate": cv2.BORDER_REPLICATE, "black": cv2.BORDER_CONSTANT}


@dataclass(frozen=True)
class PixelFormat:
    """What the numbers in the planes mean.

    `sx`, `sy`: luma pixels per chroma sample across and down (2, 2 is 4:2:0). `matrix`: which RGB they stand for.
    """

    name: str = "yuv420p"
    """FFmpeg's name of the layout, little endian: yuv420p, yuv422p10le, gray, ..."""
    depth: int = 8
    """Bits per sample, 8 to 16, in the low bits of uint8 (8) or uint16 (above)."""
    sx: int = 2
    sy: int = 2
    full_range: bool = False
    """True: 0 is black and 2^depth - 1 white. False: 16 and 235, times 2^(depth-8)."""
    matrix: Matrix = "bt709"

    @functools.cached_property
    def gray(self) -> bool:
        """True when there is no chroma."""
        return self.name.startswith("gray")

    @functools.cached_property
    def black(self) -> int:
        """Luma of black."""
        return 0 if self.full_range else 16 << (self.depth - 8)

    @functools.cached_property
    def white(self) -> int:
        """Luma of white."""
        return self.maximum if self.full_range else 235 << (self.depth - 8)

    @functools.cached_property
    def chroma_zero(self) -> int:
        """Cb and Cr of any gray."""
        return 128 << (self.depth - 8)

    @functools.cached_property
    def maximum(self) -> int:
        """Largest number a sample can hold."""
        return (1 << self.depth) - 1

    @functools.cached_property
    def dtype(self) -> type[np.uint8] | type[np.uint16]:
        """Type of the planes."""
        return np.uint8 if self.depth == 8 else np.uint16

    def chroma_shape(self, height: int, width: int) -> tuple[int, int]:
        """(rows, columns) of Cb and Cr beside a luma plane of `height` × `width`."""
        return -(-height // self.sy), -(-width // self.sx)


@functools.lru_cache(maxsize=16)
def chroma_site(step: tuple[int, int]) -> tuple[float, float]:
    """Where the first chroma sample stands, in luma pixels (x, y) from the first luma pixel's center.

    `step`: luma pixels a chroma sample, across and down. MPEG's siting, which players take where a file names none:
    columns of chroma stand on the first of their luma columns, rows in the middle between theirs. For (1, 1) it is
    (0, 0).
    """
    return 0.0, (step[1] - 1) / 2


@functools.lru_cache(maxsize=16)
def yuv_to_rgb(matrix: Matrix, full_range: bool) -> NDArray[np.float32]:
    """[3,4] affine map from 8-bit (Y, Cb, Cr, 1) to 8-bit RGB, 0–255."""
    kr, kb = LUMA_WEIGHTS[matrix]
    kg = 1 - kr - kb
    luma, chroma, black = (1.0, 1.0, 0) if full_range else (255 / 219, 255 / 224, 16)
    linear = np.array(
        [
            [luma, 0, 2 * (1 - kr) * chroma],
            [luma, -2 * kb * (1 - kb) / kg * chroma, -2 * kr * (1 - kr) / kg * chroma],
            [luma, 2 * (1 - kb) * chroma, 0],
        ]
    )
    offset = -linear @ np.array([black, 128, 128])
    return np.column_stack([linear, offset]).astype(np.float32)


@functools.lru_cache(maxsize=16)
def rgb_to_yuv(matrix: Matrix, full_range: bool) -> NDArray[np.float32]:
    """[3,4] affine map from 8-bit (R, G, B, 1) to 8-bit YCbCr; the inverse of `yuv_to_rgb`."""
    forward = yuv_to_rgb(matrix, full_range).astype(np.float64)
    inverse = np.linalg.inv(forward[:, :3])
    return np.column_stack([inverse, -inverse @ forward[:, 3]]).astype(np.float32)


@dataclass(slots=True, eq=False)
class Frame:
    """One picture of a clip, upright, in memory of its own: edit the planes in place as you like."""

    planes: tuple[Plane, ...]
    """Y [H,W], then Cb and Cr [ceil(H/sy), ceil(W/sx)]; C-contiguous; gray formats have Y only."""
    format: PixelFormat
    pts: int = 0
    """When it is shown, in units of `time_base`, on the source's own clock."""
    time_base: Fraction = Fraction(1, 1000)
    """Seconds per unit of `pts` and `duration`."""
    index: int = 0
    """0, 1, 2, ... in order of showing."""
    duration: int | None = None
    """How long it is shown, where the source says so."""
    time: Fraction = Fraction(0)
    """Seconds since the clip's start, as a player shows it."""
    alpha: Plane | None = None
    """How opaque each luma pixel is [H,W], 0 to the format's `maximum`; None where all is."""
    packet: bytes = b""
    """What it was decoded from, where that stands alone in a codec for editing."""
    pixels: NDArray[np.uint8] | NDArray[np.uint16] | None = None
    """RGB [H,W,3] or RGBA [H,W,4], of which the planes were made: where the clip has such and `read(keep_rgb=True)`
    asks for it. An edit leaves it as it was decoded."""
    captions: bytes = b""
    """CEA-608 and CEA-708 captions that come with it, as triplets of ATSC A/53."""

    @property
    def width(self) -> int:
        """Luma columns."""
        return int(self.planes[0].shape[1])

    @property
    def height(self) -> int:
        """Luma rows."""
        return int(self.planes[0].shape[0])

    def copy(self) -> Frame:
        """The same frame with planes of its own."""
        return replace(self, planes=tuple(plane.copy() for plane in self.planes))

    def rgb(self) -> NDArray[np.uint8]:
        """The whole frame as RGB [H,W,3] uint8: for pictures; the frame loop takes `rgb_crop`."""
        return self.rgb_crop(np.eye(2, 3), (self.width, self.height))

    def rgb_crop(
        self,
        matrix: NDArray[np.floating],
        size: tuple[int, int],
        border: Literal["replicate", "black"] = "replicate",
    ) -> NDArray[np.uint8]:
        """A warped crop as RGB [h,w,3] uint8, bilinear; only the crop is converted, never the frame.

        `matrix` [2,3] takes crop pixel (x, y, 1) to frame luma pixel (pixel centers at whole numbers). `size` is
        (w, h). Beyond the frame's edge, `border` repeats the edge or is black.
        """
        return np.asarray(self._convert_crop(matrix, size, BORDERS[border], np.uint8), np.uint8)

    def rgb_crop_exact(self, matrix: NDArray[np.floating], size: tuple[int, int]) -> NDArray[np.float32]:
        """The same crop with all the depth that the frame has, as RGB [h,w,3] float32, 0–255; the edge is repeated."""
        return np.asarray(self._convert_crop(matrix, size, cv2.BORDER_REPLICATE, np.float32), np.float32)

    def _convert_crop(
        self, matrix: NDArray[np.floating], size: tuple[int, int], border: int, dtype: type[np.uint8 | np.float32]
    ) -> NDArray[Any]:
        luma = self._warped(0, matrix, size, border, dtype)
        if self.format.gray:
            ycc = cv2.merge((luma, np.full_like(luma, 128), np.full_like(luma, 128)))
        else:
            chroma = (self._chroma_crop(channel, matrix, size, border, dtype) for channel in (1, 2))
            ycc = cv2.merge((luma, *chroma))
        return np.asarray(cv2.transform(ycc, yuv_to_rgb(self.format.matrix, self.format.full_range)))

    def _chroma_crop(
        self,
        channel: int,
        matrix: NDArray[np.floating],
        size: tuple[int, int],
        border: int,
        dtype: type[np.uint8 | np.float32],
    ) -> NDArray[Any]:
        """Cb or Cr under the crop. Subsampled chroma is warped at its own, coarser pitch: four times cheaper."""
        form = self.format
        # Crop chroma sample (i, j) sits at crop pixel (sx i + (sx-1)/2, sy j + (sy-1)/2), where cv2.resize assumes it.
        pitch = np.array([[form.sx, 0, (form.sx - 1) / 2], [0, form.sy, (form.sy - 1) / 2], [0, 0, 1]])
        to_luma = matrix @ pitch
        to_luma[:, 2] -= chroma_site((form.sx, form.sy))
        to_chroma = to_luma / np.array([[form.sx], [form.sy]])
        coarse = self._warped(channel, to_chroma, (-(-size[0] // form.sx), -(-size[1] // form.sy)), border, dtype)
        if form.sx == form.sy == 1:
            return coarse
        fine = cv2.resize(
            coarse, (coarse.shape[1] * form.sx, coarse.shape[0] * form.sy), interpolation=cv2.INTER_LINEAR
        )
        return np.asarray(fine[: size[1], : size[0]])

    def _warped(
        self,
        channel: int,
        matrix: NDArray[np.floating],
        size: tuple[int, int],
        border: int,
        dtype: type[np.uint8 | np.float32],
    ) -> NDArray[Any]:
        """One plane under `matrix` (already in that plane's pixels), on the scale of 8 bits."""
        outside = self.format.chroma_zero if channel else self.format.black
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        warped = cv2.warpAffine(
            self.planes[channel],
            np.asarray(matrix, np.float64),
            size,
            flags=flags,
            borderMode=border,
            borderValue=(outside,),
        )
        scale = 2.0 ** (8 - self.format.depth)
        if dtype is np.float32:
            return np.asarray(warped * np.float32(scale), np.float32)
        if self.format.depth > 8:
            warped = cv2.convertScaleAbs(warped, alpha=scale)
        return np.asarray(warped, np.uint8)

    @classmethod
    def from_rgb(cls, image: NDArray[np.uint8], matrix: Matrix = "bt709") -> Frame:
        """A frame from RGB [H,W,3] uint8 (or gray [H,W]): 4:4:4, full range, 8 bit. For photos and tests."""
        if image.ndim == 2:
            image = np.repeat(image[..., None], 3, axis=2)
        ycc = cv2.transform(np.ascontiguousarray(image[..., :3]), rgb_to_yuv(matrix, True))
        planes = tuple(np.ascontiguousarray(ycc[..., channel], np.uint8) for channel in range(3))
        return cls(planes, PixelFormat("yuv444p", 8, 1, 1, True, matrix))
