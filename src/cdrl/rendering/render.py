"""One frame: landmarks and where they should go in, the same frame with that expression out."""

import numpy as np

from cdrl.face.bundle import Floats
from cdrl.media import Frame
from cdrl.rendering.flow import backward_flow
from cdrl.rendering.mouth import Donor, fill_mouth, skin_luma
from cdrl.rendering.texture import project
from cdrl.rendering.warp import Plane, apply_gain, paste, warp


def planes_of(frame: Frame) -> list[Plane]:
    """The frame's planes, ready to be rendered into."""
    form = frame.format
    luma = Plane(frame.planes[0], (1, 1), float(form.black), float(form.maximum))
    step, zero = (form.sx, form.sy), float(form.chroma_zero)
    return [luma, *(Plane(data, step, zero, float(form.maximum)) for data in frame.planes[1:])]


def render(frame: Frame, points: Floats, displacement: Floats, gain: Floats, teeth: Donor | None = None) -> bool:
    """Renders into the frame's planes, in place; outside the head's ring no sample changes.

    `points`, `displacement` [478, 2] in pixels; `gain` [SIZE, SIZE], log of luma in texture space; `teeth`: a
    mouth of the same person with clear teeth. False, and nothing done, where the face lies outside the picture.
    """
    flow = backward_flow(points, displacement, frame.width, frame.height)
    if flow is None:
        return False
    planes = planes_of(frame)
    shading = np.exp(project(gain, flow))
    target = points + displacement
    pixels = [apply_gain(plane, warp(plane, flow, points, target), shading) for plane in planes]
    if teeth is not None:
        fill_mouth(planes, pixels, flow, teeth, points, target, skin_luma(frame, points))
    paste(planes, flow, pixels)
    return True
