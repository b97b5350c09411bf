"""Frames of every layout, and faces whose landmarks are known."""

import numpy as np

from cdrl.face.landmarks import Region
from cdrl.face.mesh import canonical_points
from cdrl.media import Frame, PixelFormat
from cdrl.rendering.texture import SIZE

WIDTH, HEIGHT = 320, 240
NONE = np.zeros((478, 2), np.float32)  # displacement
FLAT = np.zeros((SIZE, SIZE), np.float32)  # shading
LAYOUTS = {
    "4:2:0": PixelFormat("yuv420p", 8, 2, 2),
    "4:4:4": PixelFormat("yuv444p", 8, 1, 1, full_range=True),
    "gray": PixelFormat("gray", 8, 1, 1, full_range=True),
    "10 bit": PixelFormat("yuv420p10le", 10, 2, 2),
    "4:2:2, 16 bit": PixelFormat("yuv422p16le", 16, 2, 1),
    "4:1:1": PixelFormat("yuv411p", 8, 4, 1),
    "4:1:0": PixelFormat("yuv410p", 8, 4, 4),
}


def noise(form: PixelFormat, width: int = WIDTH, height: int = HEIGHT) -> Frame:
    """A frame of noise over all values its format can hold."""
    generator = np.random.default_rng(0)
    shapes = [(height, width)] + ([] if form.gray else [form.chroma_shape(height, width)] * 2)
    return Frame(tuple(generator.integers(0, form.maximum + 1, shape, form.dtype) for shape in shapes), form)


def unchanged(frame: Frame, before: Frame) -> bool:
    """Whether every sample is what it was."""
    return all(map(np.array_equal, frame.planes, before.planes))


def face_at(x: float, y: float, scale: float = 8.0):
    """Landmarks [478, 2] of a frontal canonical face, `scale` pixels per centimeter."""
    return (canonical_points()[:, :2] * scale + [x, y]).astype(np.float32)


def locate_landmarks(detector, frame):
    """Landmarks [478, 3], looked for as the tracker does: once more in the region of the first look."""
    first = detector.estimate_landmarks(frame, detector.detect_faces(frame)[0]).points
    return detector.estimate_landmarks(frame, Region.of_landmarks(first)).points
