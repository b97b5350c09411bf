"""The neural renderer: what a warp cannot know of a face with another expression is drawn by a network.

The network (`cdrl train renderer`) sees the warped and shaded face, how far every pixel was moved, how it was shaded,
and where lips, lids and brows are to be. It answers with a residual: lips, lids, brows and folds as they look in real
faces with that expression. What lies between the lips is left to `cdrl.rendering.mouth`, for a network that does not
know somebody's teeth draws gray ones. The residual is added to the planes at the frame's own resolution, so the frame
keeps its own detail and grain; where the edit does nothing, so does the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from cdrl.assets import RENDERER
from cdrl.errors import ModelFileError
from cdrl.face.bundle import Floats
from cdrl.face.landmarks import Region
from cdrl.face.mesh import (
    EYE_CONTOURS,
    INNER_CORNERS,
    INNER_LIPS,
    LEFT_BROW,
    MOUTH_CONTOUR,
    MOUTH_CORNERS,
    OUTER_LIPS,
    RIGHT_BROW,
)
from cdrl.face.segmentation import find_region
from cdrl.media import Frame
from cdrl.media.frames import chroma_site, rgb_to_yuv
from cdrl.networks import open_network
from cdrl.rendering.flow import Flow
from cdrl.rendering.texture import find_headroom

SIDE = 224
"""Pixels a side of the aligned picture that the network sees, the landmark box and 10 % on each side."""
CHANNELS = 5
"""Maps beside the picture: shift across and down, shading, contours, the mouth's opening."""
_SHIFT_UNIT, _SHADING_UNIT = 0.05, 0.25  # of the picture's side, and log of luma: what counts as 1
_MOVED, _SHADED = 0.006, 0.05  # of the side, and log of luma, from which on the network has all its say
_FADE = 6.0  # nodes inside the edge of the face over which it gets its say
_COARSEST, _MAX_FINE = 1.5, 4  # frame pixels for a pixel seen, from which on more are read
_SKIN_BLUR = 8.0  # pixels over which is averaged how bright skin is
_FIXED_POINT = 4  # fractional bits of contours given to OpenCV
_LINES = (
    *(((*contour, contour[0])) for contour in EYE_CONTOURS),
    *((INNER_CORNERS[0], *half, INNER_CORNERS[1]) for half in INNER_LIPS),
    *((MOUTH_CORNERS[0], *half, MOUTH_CORNERS[1]) for half in OUTER_LIPS),
    *(brow[start : start + 5] for brow in (RIGHT_BROW, LEFT_BROW) for start in (0, 5)),
)


@dataclass(frozen=True)
class RenderedFace:
    """How a face was rendered by the warp: what the neural renderer goes by."""

    flow: Flow
    """Where the pixels came from, occluders and background held."""
    shading: Floats
    """[h, w] log of luma on the flow's grid."""
    target: Floats
    """[478, 2] landmarks after, picture pixels."""
    weight: Floats | None = None
    """[h, w] in 0..1: 0 in occluders, on the flow's grid; None where there are none."""


@dataclass(frozen=True)
class Conditions:
    """What the network is told beside the picture, in the aligned picture's pixels."""

    maps: Floats
    """[CHANNELS, SIDE, SIDE]."""
    activity: Floats
    """[SIDE, SIDE] in 0..1: factor on the residual; 0 where the edit does nothing, between the lips, and outside the
    face."""


def describe_rendering(face: RenderedFace, region: Region) -> Conditions:
    """Describe what a warp did to a face, for the network.

    Args:
        face: What was done.
        region: Where the aligned picture lies in the frame.
    """
    flow = face.flow
    side = region.side
    speed = np.linalg.norm(flow.shift, axis=2) / (_MOVED * side)
    share = np.clip(np.maximum(speed, np.abs(face.shading) / _SHADED), 0, 1).astype(np.float32)
    share = cv2.blur(share, (9, 9))
    covered = flow.coverage.scatter(np.ones((flow.coverage.nodes.size, 1), np.float32))[..., 0]
    inside = cv2.distanceTransform((covered > 0).astype(np.uint8), cv2.DIST_L2, 3) / _FADE
    activity = share * np.minimum(inside, 1)
    if face.weight is not None:
        activity = activity * face.weight
    # Shifts along the aligned picture's own axes: a head that is tilted moves alike.
    cosine, sine = np.cos(region.angle), np.sin(region.angle)
    x, y = flow.shift[..., 0], flow.shift[..., 1]
    across, down = cosine * x + sine * y, cosine * y - sine * x
    unit = _SHIFT_UNIT * side
    grids = np.stack([across / unit, down / unit, face.shading / _SHADING_UNIT, activity], 2).astype(np.float32)
    own = np.vstack([flow.matrix, [0, 0, 1]]).astype(np.float64)
    to_grid = (np.linalg.inv(own) @ np.vstack([region.matrix(SIDE), [0, 0, 1]]))[:2]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    maps = cv2.warpAffine(grids, to_grid, (SIDE, SIDE), flags=flags, borderMode=cv2.BORDER_CONSTANT)
    lines, opening = _draw_face(region.to_crop(face.target, SIDE))
    lips = 1 - cv2.dilate(opening, np.ones((3, 3), np.uint8))
    return Conditions(np.stack([*maps[..., :3].transpose(2, 0, 1), lines, opening]), maps[..., 3] * lips)


def _draw_face(points: Floats) -> tuple[Floats, Floats]:
    """Draw the contours of lids, lips and brows, and the mouth's opening, [SIDE, SIDE] each in 0..1.

    Args:
        points: [478, 2] landmarks in the aligned picture's pixels.
    """
    fixed = np.round(np.clip(points, -SIDE, 2 * SIDE) * (1 << _FIXED_POINT)).astype(np.int32)
    lines, opening = np.zeros((SIDE, SIDE), np.uint8), np.zeros((SIDE, SIDE), np.uint8)
    cv2.polylines(
        lines, [fixed[list(line)] for line in _LINES], isClosed=False, color=255, thickness=1,
        lineType=cv2.LINE_AA, shift=_FIXED_POINT,
    )  # fmt: skip
    cv2.fillPoly(opening, [fixed[list(MOUTH_CONTOUR)]], 255, cv2.LINE_AA, _FIXED_POINT)
    return lines.astype(np.float32) / 255, opening.astype(np.float32) / 255


def read_aligned(frame: Frame, region: Region) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return the aligned picture of a frame, RGB [SIDE, SIDE, 3]."""
    fine = SIDE * int(np.clip(np.ceil(region.side / SIDE / _COARSEST), 1, _MAX_FINE))
    picture = frame.rgb_crop(region.matrix(fine), (fine, fine))
    if fine > SIDE:
        picture = np.asarray(cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)
    return picture


class NeuralRenderer:
    """Corrects rendered faces by the network."""

    def __init__(self, path: Path | None = None) -> None:
        """Prepare; nothing is loaded before `load`, or the first face.

        Args:
            path: A file that `cdrl train renderer` published; None for the network that ships.
        """
        self._path = path

    @property
    def name(self) -> str:
        """What a report calls it: `neural`, or the name of the file."""
        return "neural" if self._path is None else self._path.name

    def load(self) -> None:
        """Load the network.

        Raises:
            ModelFileError: The file is missing, or is no renderer.
        """
        _ = self._session

    @cached_property
    def _session(self) -> Any:
        session = open_network(RENDERER if self._path is None else self._path)
        if [i.name for i in session.get_inputs()] != ["picture", "maps"]:
            raise ModelFileError(f"{self._path}: no renderer; give a file that `cdrl train renderer` published")
        return session

    def refine(self, frame: Frame, face: RenderedFace) -> None:
        """Correct a rendered face, in the frame's planes, in place.

        Args:
            frame: The frame, rendered by the warp.
            face: How that was done.
        """
        region = find_region(face.target)
        conditions = describe_rendering(face, region)
        if not conditions.activity.any():
            return
        picture = read_aligned(frame, region)
        residual: Floats = self._session.run(None, {"picture": picture[None], "maps": conditions.maps[None]})[0][0]
        skin = cv2.GaussianBlur(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (0, 0), _SKIN_BLUR)
        share = conditions.activity * find_headroom(skin.astype(np.float32))
        add_residual(frame, residual.transpose(1, 2, 0) * share[..., None], region, face.flow)


def add_residual(frame: Frame, residual: Floats, region: Region, flow: Flow) -> None:
    """Add a residual to a frame's planes within a flow's window, in place.

    Args:
        frame: The frame.
        residual: [SIDE, SIDE, 3] difference in RGB, of 1, in the aligned picture's pixels; 0 at its border.
        region: Where the aligned picture lies in the frame.
        flow: Whose window holds all of it.
    """
    form, window = frame.format, flow.window
    linear = rgb_to_yuv(form.matrix, form.full_range)[:, :3] * (255 * 2.0 ** (form.depth - 8))
    ycc = cv2.transform(residual.astype(np.float32), linear)
    to_crop = np.linalg.inv(np.vstack([region.matrix(SIDE), [0, 0, 1]]).astype(np.float64))
    _add_to_plane(frame.planes[0], ycc[..., 0], to_crop, (window.x0, window.y0, window.x1, window.y1), (1, 1), form)
    for channel, plane in enumerate(frame.planes[1:], 1):
        part = (
            window.x0 // form.sx, window.y0 // form.sy, -(-window.x1 // form.sx), -(-window.y1 // form.sy),
        )  # fmt: skip
        _add_to_plane(plane, ycc[..., channel], to_crop, part, (form.sx, form.sy), form)


def _add_to_plane(
    plane: Any, values: Floats, to_crop: Floats, part: Sequence[int], step: tuple[int, int], form: Any
) -> None:
    """Add `values` [SIDE, SIDE] to a part (x0, y0, x1, y1, in samples) of a plane, in place."""
    x0, y0, x1, y1 = part
    first_x, first_y = chroma_site(step)
    place = np.array([[step[0], 0, x0 * step[0] + first_x], [0, step[1], y0 * step[1] + first_y], [0, 0, 1]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    added = cv2.warpAffine(
        values, (to_crop @ place)[:2], (x1 - x0, y1 - y0), flags=flags, borderMode=cv2.BORDER_CONSTANT
    )
    samples = plane[y0:y1, x0:x1]
    samples[:] = np.clip(np.round(samples + added), 0, form.maximum).astype(samples.dtype)
