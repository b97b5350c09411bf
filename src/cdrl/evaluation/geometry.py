"""Where the head is, so that what moves in it can be measured: a clip's own face frame and the way back into it.

The face frame's unit is the distance between the eyes' centers, its origin lies midway between them, x to the picture's
right along the eye line, y down. A clip's template is the median face in that frame; a frame's pose is the similarity
that takes the template's rigid points (nose bridge, lid corners, temples) to the picture.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.signal import savgol_filter

Array = NDArray[np.float64]
Image = NDArray[np.uint8]

RIGHT_EYE, LEFT_EYE = (33, 133), (362, 263)
"""Mesh indices of the lid corners; the person's right eye is the picture's left one."""
INNER_LIPS = (13, 14)
"""Mesh indices of the middle of the inner lips, upper and lower."""
RIGID = (33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 127, 356, 162, 389, 234, 454)
FACE_HALF = 1.45
"""Half the side of the aligned face, in face-frame units."""
_SMOOTHING = 7  # frames, Savitzky-Golay of order 2 over the pose: takes out the landmarker's jitter, keeps nods


@dataclass(frozen=True)
class FaceLayout:
    """What a source fixes for everything that is compared with it."""

    template: Array
    """[468,2] median face in the face frame."""
    face_size: int
    """Side in pixels of the aligned face on which sharpness is measured: about the source's own resolution, at most
    384, so that nothing is enlarged."""


def eye_centers(points: Array) -> tuple[Array, Array]:
    """Return the centers of the right and the left eye, [...,2] each, of landmarks [...,468,2]."""
    return points[..., RIGHT_EYE, :].mean(-2), points[..., LEFT_EYE, :].mean(-2)


def eye_distance(points: Array) -> Array:
    """Return the distance between the two eyes' centers [...], in pixels, of landmarks [...,468,2]."""
    right, left = eye_centers(points)
    return np.asarray(np.linalg.norm(left - right, axis=-1))


def to_face_frame(points: Array) -> Array:
    """Express landmarks in the face frame of each frame's own eyes.

    Args:
        points: [T,468,2] landmarks in pixels.

    Returns:
        [T,468,2] in eye distances; NaN where both eyes are in one place.
    """
    right, left = eye_centers(points)
    axis = left - right
    square = (axis**2).sum(-1)[:, None]
    unit = np.where(square > 0, square, np.nan)
    offsets = points - ((left + right) / 2)[:, None]
    x = (offsets * axis[:, None]).sum(-1) / unit
    y = (offsets[..., 1] * axis[:, :1] - offsets[..., 0] * axis[:, 1:]) / unit
    return np.stack([x, y], -1)


def fit_layout(points: Array) -> FaceLayout:
    """Return the layout that a source clip fixes, of landmarks [T,468,2] in pixels, NaN where the face was lost."""
    visible = points[np.isfinite(points[:, 0, 0])]
    size = int(np.clip(round(float(np.median(eye_distance(visible))) * FACE_HALF * 2 / 8) * 8, 64, 384))
    return FaceLayout(np.median(to_face_frame(visible), axis=0), size)


def estimate_poses(points: Array, layout: FaceLayout) -> Array:
    """Fit the template to each frame by least squares over `RIGID`, and smooth the result over time.

    Args:
        points: [T,468,2] landmarks in pixels, NaN where the face was lost; one frame must have one.
        layout: Of the source.

    Returns:
        [T,4] similarities (a, b, x, y): picture = [[a, -b], [b, a]] template + (x, y). Frames without a face are
        interpolated so that a crop exists; clips shorter than 7 frames are not smoothed.
    """
    template = layout.template[list(RIGID)]
    mean = template.mean(0)
    centered = template - mean
    power = (centered**2).sum()
    rigid = points[:, RIGID]
    center = rigid.mean(1)
    offsets = rigid - center[:, None]
    a = (offsets * centered).sum((1, 2)) / power
    b = (offsets[..., 1] * centered[:, 0] - offsets[..., 0] * centered[:, 1]).sum(1) / power
    x = center[:, 0] - a * mean[0] + b * mean[1]
    y = center[:, 1] - b * mean[0] - a * mean[1]
    pose = np.stack([a, b, x, y], -1)
    visible = np.flatnonzero(np.isfinite(a))
    interpolated = np.stack([np.interp(np.arange(len(pose)), visible, pose[visible, k]) for k in range(4)], -1)
    if len(interpolated) < _SMOOTHING:
        return interpolated
    return np.asarray(savgol_filter(interpolated, _SMOOTHING, 2, axis=0))


def crop_affine(pose: Array, center: tuple[float, float], half_width: float, size: tuple[int, int]) -> Array:
    """Return the affine map [2,3] from pixels of a crop to the picture.

    Args:
        pose: [4] similarity (a, b, x, y) of the frame.
        center: Of the crop, in the face frame.
        half_width: Of the crop, in face-frame units.
        size: (width, height) of the crop in pixels.
    """
    a, b, x, y = pose
    unit = 2 * half_width / size[0]  # face-frame units a crop pixel
    turn = np.array([[a, -b], [b, a]])
    offset = turn @ (np.array(center) - unit * np.array(size) / 2) + [x, y]
    return np.column_stack([turn * unit, offset])


def sample_crop(picture: Image, affine: Array, size: tuple[int, int]) -> Image:
    """Cut a (width, height) crop out of a picture [H,W] or [H,W,3].

    Where the crop is more than twice as coarse as the picture, the part it needs is first reduced by area, for bilinear
    sampling would skip pixels. Outside the picture the edge repeats.

    Args:
        picture: Gray or RGB.
        affine: [2,3] map from crop pixels to picture pixels.
        size: (width, height) of the crop in pixels.
    """
    affine = affine.copy()
    shrink = float(np.hypot(affine[0, 0], affine[1, 0])) / 2
    if shrink > 1:
        corners = np.array([[0, 0, 1], [size[0], 0, 1], [0, size[1], 1], [size[0], size[1], 1]]) @ affine.T
        limit = np.array(picture.shape[1::-1])
        low = np.clip(np.floor(corners.min(0) - 2 * shrink).astype(int), 0, limit - 2)
        high = np.clip(np.ceil(corners.max(0) + 2 * shrink).astype(int), low + 2, limit)
        part = picture[low[1] : high[1], low[0] : high[0]]
        target = np.maximum(np.round((high - low) / shrink).astype(int), 1)
        picture = np.asarray(cv2.resize(part, target.tolist(), interpolation=cv2.INTER_AREA), np.uint8)
        ratio = target / (high - low)
        affine[:, 2] = (affine[:, 2] - low + 0.5) * ratio - 0.5
        affine[:, :2] *= ratio[:, None]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(picture, affine, size, flags=flags, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def sample_square(picture: Image, center: Array, half: float, side: int) -> Image:
    """Cut the upright square of that center [2] and half side in picture pixels out; `side` is the crop's in pixels."""
    affine = crop_affine(np.array([1.0, 0.0, *center]), (0.0, 0.0), half, (side, side))
    return sample_crop(picture, affine, (side, side))
