"""One numbered picture: its numbers, and its file as PNG or EXR with what it says of itself."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cdrl.errors import OutputError
from cdrl.files import file_sha256, sync
from cdrl.media.exr import edit_exr, edited_light, read_attributes, write_exr
from cdrl.media.frames import Frame, Plane
from cdrl.media.layers import is_half_transparent, layer_pixels
from cdrl.media.layout import fill_picture, with_full_chroma, yuv_to_rgb_picture
from cdrl.media.limits import Limits
from cdrl.media.numbering import EXR
from cdrl.media.png import (
    COLOR_CHUNKS,
    Chunk,
    color_profile,
    insert_chunks,
    light_chunks,
    read_chunks,
    read_texts,
    text_chunk,
)
from cdrl.media.probing import VideoInfo
from cdrl.media.scene_light import PRIMARIES, REC709, display_to_light, signal_to_light
from cdrl.media.sequences import read_picture_texts


@dataclass
class PictureEncoder:
    """Writes the frames of a clip as pictures of one kind; several threads may write at the same time."""

    info: VideoInfo
    """The clip."""
    suffix: str
    """Ending of the pictures, which chooses the kind: `.png` or `.exr`."""
    layer: bool = False
    """Whether only what differs from the source's picture is written."""
    limits: Limits = Limits()  # noqa: RUF009 - frozen
    is_half_transparent: bool = False
    """Whether a layer was written where its source is half transparent."""

    @property
    def is_exr(self) -> bool:
        """Whether EXR is written."""
        return self.suffix.lower() == EXR

    def origin(self, number: int) -> Path | None:
        """The source's picture of a number, where it has pictures."""
        return None if self.info.sequence is None else self.info.sequence.pattern.file(number)

    def held_texts(self, number: int) -> Mapping[str, str]:
        """What the source's picture of a number says of itself."""
        origin = self.origin(number)
        return {} if origin is None else read_picture_texts(origin)

    def keeps(self, *, edited: bool) -> bool:
        """Whether a picture is the source's own file: an EXR that no edit has changed."""
        return not edited and not self.layer and self.is_exr and self._is_from_exr

    def write(
        self, path: Path, number: int, frame: Frame, source: Frame | None, texts: Mapping[str, str], *, edited: bool
    ) -> str:
        """Write a picture.

        Args:
            path: Its file.
            number: Its number.
            frame: The frame after the edit.
            source: The same before it.
            texts: What the picture says of itself, by keyword, beside what the source's picture says.
            edited: Whether the edit changed it.

        Returns:
            Its SHA-256.
        """
        origin = self.origin(number)
        if origin is not None and self.keeps(edited=edited):
            shutil.copyfile(origin, path)
        elif self.is_exr:
            self._write_exr(path, origin if self._is_from_exr else None, frame, source, texts)
        else:
            self._write_png(path, number, frame, source, texts)
        sync(path)
        return file_sha256(path)

    @property
    def _is_from_exr(self) -> bool:
        return self.info.sequence is not None and self.info.sequence.is_exr

    def _compose(self, frame: Frame, source: Frame | None) -> tuple[Plane, Plane | None]:
        """The numbers of a picture, and those before the edit where a layer is asked for."""
        interlaced = bool(self.info.first_field)
        pixels = compose_picture(frame, source, interlaced=interlaced)
        below = frame if source is None else source
        return pixels, compose_picture(below, below, interlaced=interlaced) if self.layer else None

    def _layer(self, pixels: Plane, below: Plane) -> Plane:
        """RGBA of a layer; see `layer_pixels`."""
        layer = layer_pixels(pixels, below)
        if below.shape[2] == 4 and is_half_transparent(layer[..., 3], np.iinfo(layer.dtype).max):
            self.is_half_transparent = True
        return layer

    def _write_png(self, path: Path, number: int, frame: Frame, source: Frame | None, texts: Mapping[str, str]) -> None:
        pixels, below = self._compose(frame, source)
        if below is not None:
            pixels = self._layer(pixels, below)
        order = cv2.COLOR_RGBA2BGRA if pixels.shape[2] == 4 else cv2.COLOR_RGB2BGR
        written, encoded = cv2.imencode(".png", cv2.cvtColor(pixels, order))
        if not written:
            raise OutputError(f"{path.name}: the picture cannot be encoded")
        chunks = [chunk for chunk in self._chunks(number) if not read_texts([chunk]).keys() & texts.keys()]
        chunks += [text_chunk(keyword, text) for keyword, text in texts.items()]
        path.write_bytes(insert_chunks(encoded.tobytes(), chunks))

    def _chunks(self, number: int) -> list[Chunk]:
        """What a PNG says beside its pixels: as the source's PNG does, else how its colors are meant."""
        info, color, profile = self.info, self.info.color, self.info.icc_profile[16:20]
        origin = self.origin(number)
        if origin is not None:
            chunks = [
                chunk
                for chunk in read_chunks(origin)
                if (chunk.kind in COLOR_CHUNKS or chunk.kind.endswith(b"Xt"))
                and (chunk.kind != b"iCCP" or profile != b"GRAY")  # which says nothing of RGB
            ]
            if chunks:
                return chunks
        if profile == b"RGB ":
            return [color_profile(info.icc_profile)]
        levels = [] if info.hdr is None else light_chunks(info.hdr)
        if color.primaries in (0, 2) or color.transfer in (0, 2):
            return levels
        return [Chunk(b"cICP", bytes([color.primaries, color.transfer, 0, 1])), *levels]

    def _write_exr(
        self, path: Path, origin: Path | None, frame: Frame, source: Frame | None, texts: Mapping[str, str]
    ) -> None:
        """Write an EXR; `origin` is the source's, where there is one."""
        pixels, below = self._compose(frame, source)
        own = None if source is None else source.pixels
        if origin is None or own is None:
            pixels = pixels if below is None else self._layer(pixels, below)
            light, alpha = self._light_of(pixels)
            write_exr(path, light, alpha, {**self._attributes(), **texts})
        elif below is None:
            edit_exr(origin, path, own, pixels, texts, self.limits)
        else:
            light, alpha = edited_light(origin, own, pixels, self.limits)
            opaque = self._layer(pixels, below)[..., 3] > 0
            alpha = np.where(opaque, np.float32(1) if alpha is None else alpha, np.float32(0))
            light = np.where(opaque[..., None], light, np.float32(0))  # also where the source is no number
            write_exr(path, light, alpha, {**read_attributes(origin), **texts})

    def _light_of(self, pixels: Plane) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """The light of RGB or RGBA, multiplied by its transparency, and that."""
        rgb = pixels[..., :3]
        light = signal_to_light(rgb) if self._is_from_exr else display_to_light(rgb, self.info.color.transfer)
        if pixels.shape[2] == 3:
            return light, None
        alpha = np.asarray(pixels[..., 3] / np.float32(np.iinfo(pixels.dtype).max), np.float32)
        return light * alpha[..., None], alpha

    def _attributes(self) -> dict[str, Any]:
        """What an EXR that is no copy says beside its pixels."""
        info = self.info
        rate = {} if info.rate is None else {"framesPerSecond": info.rate}
        return {
            "chromaticities": PRIMARIES.get(info.color.primaries, REC709),
            "pixelAspectRatio": float(info.sample_aspect),
            **rate,
        }


def compose_picture(frame: Frame, source: Frame | None, *, interlaced: bool = False) -> Plane:
    """The numbers of a picture, [H,W,3] RGB or [H,W,4] RGBA, of 8 bits as uint8, of more as uint16.

    Args:
        frame: The frame after the edit.
        source: The frame before it; where it has its own RGB, that is changed by as much as the edit changes the frame.
        interlaced: Whether the frame is woven of two fields.
    """
    own = None if source is None else source.pixels
    if own is None or source is None:
        rgb = frame_rgb(frame, interlaced=interlaced)
        if frame.alpha is None:
            return rgb
        alpha = np.rint(frame.alpha * (np.iinfo(rgb.dtype).max / frame.format.maximum)).astype(rgb.dtype)
        opaque: Plane = np.dstack([rgb, alpha])
        return opaque
    if frame is source:
        return own
    signed = np.int16 if own.dtype == np.uint8 else np.int32
    change: NDArray[Any] = frame_rgb(frame).astype(signed)
    change -= frame_rgb(source)
    change += own[..., :3]
    result = own.copy()
    result[..., :3] = np.clip(change, 0, np.iinfo(own.dtype).max, out=change)
    return result


def frame_rgb(frame: Frame, *, interlaced: bool = False) -> Plane:
    """A frame as RGB [H,W,3], of 8 bits as uint8, of more as uint16; `interlaced`: whether two fields are woven."""
    fine = with_full_chroma(frame, frame.format.depth, interlaced=interlaced)
    return yuv_to_rgb_picture(fill_picture(fine, (frame.width, frame.height), fine.format), fine.format)
