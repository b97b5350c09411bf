"""Layers: what an edit changed on transparent ground, to be put over the source in another program.

A pixel of a layer is opaque or transparent, nothing between, and black where it is transparent. So a layer over its
source is the whole edit, exactly, and there is nothing in it to be multiplied by its alpha.
"""

from __future__ import annotations

from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from cdrl.media.frames import PixelFormat, Plane
from cdrl.media.layout import view

_GAPS = (9, 60)  # pixels, and share of the height: gaps up to this size are closed


def layer_pixels(edited: Plane, source: Plane) -> Plane:
    """RGBA [H,W,4] of a layer, of the depth of what it is made of.

    Args:
        edited: RGB or RGBA [H,W,3 or 4], uint8 or uint16.
        source: The same before the edit; where it is transparent itself, the layer is as transparent.
    """
    opaque = _opaque_place((edited[..., :3] != source[..., :3]).any(axis=2))
    full = np.iinfo(edited.dtype).max
    alpha = source[..., 3] if source.shape[2] == 4 else np.full(opaque.shape, full, edited.dtype)
    return np.where(opaque[..., None], np.dstack([edited[..., :3], alpha]), edited.dtype.type(0))


def layer_picture(edited: av.VideoFrame, source: av.VideoFrame, form: PixelFormat) -> av.VideoFrame:
    """The same of a picture in 4:4:4 with transparency, which is changed, and one without; `form` is that of both."""
    above, below = ([view(plane, form) for plane in picture.planes] for picture in (edited, source))
    opaque = _opaque_place(np.logical_or.reduce([one != two for one, two in zip(above, below, strict=False)]))
    for plane, ground in zip(above, (form.black, form.chroma_zero, form.chroma_zero, 0), strict=True):
        plane[~opaque] = ground
    return edited


def is_half_transparent(alpha: NDArray[Any], full: float) -> bool:
    """Whether transparency, 0 to `full`, is something between: no layer over such a place gives back its alpha."""
    return bool(((alpha > 0) & (alpha < full)).any())


def _opaque_place(changed: NDArray[np.bool_]) -> NDArray[Any]:
    """Where a layer is opaque: where a pixel was changed, and in small gaps between, so that the layer is one piece."""
    side = max(_GAPS[0], changed.shape[0] // _GAPS[1]) | 1  # odd: an even shape has no center, and would move the edge
    shape = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return np.asarray(cv2.morphologyEx(changed.astype(np.uint8), cv2.MORPH_CLOSE, shape), bool)
