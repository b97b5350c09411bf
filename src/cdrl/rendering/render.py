"""One frame: landmarks and where they should go in, the same frame with that expression out."""

import cv2
import numpy as np

from cdrl.face.bundle import Floats
from cdrl.media import Frame
from cdrl.rendering.flow import backward_flow
from cdrl.rendering.mouth import Donor, fill_mouth, skin_luma
from cdrl.rendering.texture import project
from cdrl.rendering.warp import Plane, apply_gain, warp


def planes_of(frame: Frame) -> list[Plane]:
    """The frame's luma, and a copy of its chroma as one plane of two channels: what moves alike is moved at once."""
    form = frame.format
    luma = Plane(frame.planes[0], (1, 1), float(form.black), float(form.maximum))
    if form.grey:
        return [luma]
    both = cv2.merge(frame.planes[1:])
    return [luma, Plane(both, (form.sx, form.sy), float(form.chroma_zero), float(form.maximum))]


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
    # Skin in a fold is darker and not greyer, so its chroma stays; lit skin keeps its saturation.
    gains = (shading, np.maximum(shading, 1))
    pixels = [
        apply_gain(plane, warp(plane, flow, points, target), light, flow.window)
        for plane, light in zip(planes, gains, strict=False)
    ]
    if teeth is not None:
        fill_mouth(planes, pixels, flow, teeth, points, target, skin_luma(frame, points))
    # Beyond the ring the shift is 0 and the gain 1: there the window's samples are the frame's own, bit for bit.
    frame.planes[0][planes[0].cut(flow.window)] = pixels[0]
    for channel, data in enumerate(frame.planes[1:]):
        data[planes[1].cut(flow.window)] = pixels[1][..., channel]
    return True
