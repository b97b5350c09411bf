"""Renders one frame: from landmarks and where they should go to the frame with that expression."""

import cv2
import numpy as np

from cdrl.face.bundle import Floats
from cdrl.face.segmentation import Segmentation
from cdrl.media import Frame
from cdrl.rendering.eyeball import expose_eyeballs
from cdrl.rendering.flow import compute_backward_flow
from cdrl.rendering.layers import find_layers
from cdrl.rendering.mouth import fill_mouth
from cdrl.rendering.mouth_patch import MouthPatch
from cdrl.rendering.neural import RenderedFace
from cdrl.rendering.teeth import PlacedTeeth, expose_teeth
from cdrl.rendering.texture import project_texture
from cdrl.rendering.warp import Plane, apply_gain, split_gain, warp_plane


def split_planes(frame: Frame) -> list[Plane]:
    """Return a frame's luma, and a copy of its chroma as one plane of two channels, so that both move at once."""
    form = frame.format
    luma = Plane(frame.planes[0], (1, 1), float(form.black), float(form.maximum))
    if form.gray:
        return [luma]
    both = cv2.merge(frame.planes[1:])
    return [luma, Plane(both, (form.sx, form.sy), float(form.chroma_zero), float(form.maximum))]


def render(
    frame: Frame,
    points: Floats,
    displacement: Floats,
    gain: Floats,
    mouth_patch: MouthPatch | None = None,
    segmentation: Segmentation | None = None,
    teeth: PlacedTeeth | None = None,
) -> RenderedFace | None:
    """Render an expression into a frame's planes, in place; outside the head's margin no sample changes.

    Nor does a sample of an occluder, and the background does not move.

    Args:
        frame: The frame.
        points: [478, 2] landmarks, pixels.
        displacement: [478, 2] how far each moves, pixels.
        gain: [SIZE, SIZE] log of luma, in texture space.
        mouth_patch: A mouth of the same person with clear teeth.
        segmentation: Occluders and background, if they are known.
        teeth: Where the person's upper teeth lie in the frame, if that is known.

    Returns:
        How it was rendered; None, and nothing done, where the face lies outside the picture.
    """
    flow = compute_backward_flow(points, displacement, frame.width, frame.height)
    if flow is None:
        return None
    layers = None if segmentation is None else find_layers(segmentation, flow)
    shading = project_texture(gain, flow)
    if layers is not None:
        flow, shading = layers.hold(flow), shading * layers.gain_weight
    planes = split_planes(frame)
    target = points + displacement
    gains = split_gain(np.exp(shading))
    pixels = [
        apply_gain(plane, warp_plane(plane, flow, points, target), factor, flow.window)
        for plane, factor in zip(planes, gains, strict=False)
    ]
    expose_eyeballs(planes, pixels, flow.window, points, target)
    fill_mouth(frame, planes, pixels, flow, mouth_patch, points, target, teeth is not None)
    if teeth is not None:
        expose_teeth(frame, planes, pixels, flow.window, teeth, points, target)
    if layers is not None:
        layers.restore(planes, pixels, flow.window)
    # Beyond the margin the shift is 0 and the gain 1: there the window's samples are the frame's own, bit for bit.
    frame.planes[0][planes[0].window_slices(flow.window)] = pixels[0]
    for channel, data in enumerate(frame.planes[1:]):
        data[planes[1].window_slices(flow.window)] = pixels[1][..., channel]
    return RenderedFace(flow, shading, target, None if layers is None else layers.gain_weight)
