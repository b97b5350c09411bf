"""Where the head is, so that what moves in it can be measured: a clip's own face frame and the way back into it.

The face frame's unit is the distance between the eyes' centres, its origin lies midway between them, x to the picture's
right along the eye line, y down. A clip's template is the median face in that frame; a frame's pose is the similarity
that takes the template's rigid points (nose bridge, lid corners, temples) to the picture.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Image = NDArray[np.uint8]

_RIGHT_EYE, _LEFT_EYE = (33, 133), (362, 263)  # lid corners, mesh indices
RIGID = (33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 127, 356, 162, 389, 234, 454)
FACE_HALF = 1.45  # half the side of the aligned face, face-frame units
_SMOOTHING = 7  # frames, Savitzky-Golay of order 2 over the pose: takes out the judge's jitter, keeps nods


@dataclass(frozen=True)
class Layout:
    """What a source fixes for everything that is compared with it.

    `template` [468,2] in the face frame; `face_size` the side in pixels of the aligned face on which sharpness is read,
    about the source's own resolution (at most 384), so that nothing is enlarged.
    """

    template: Array
    face_size: int


def to_face_frame(points: Array) -> Array:
    """Landmarks in pixels [T,468,2] → face frame of each frame's own eyes [T,468,2]; NaN of eyes in one place."""
    right = points[:, _RIGHT_EYE].mean(1)
    left = points[:, _LEFT_EYE].mean(1)
    axis = left - right
    square = (axis**2).sum(-1)[:, None]
    unit = np.where(square > 0, square, np.nan)
    moved = points - ((left + right) / 2)[:, None]
    x = (moved * axis[:, None]).sum(-1) / unit
    y = (moved[..., 1] * axis[:, :1] - moved[..., 0] * axis[:, 1:]) / unit
    return np.stack([x, y], -1)


def layout_of(points: Array) -> Layout:
    """The layout a source clip fixes; `points` [T,468,2] pixels, NaN where the face was lost."""
    seen = points[np.isfinite(points[:, 0, 0])]
    eyes = np.linalg.norm(seen[:, _LEFT_EYE].mean(1) - seen[:, _RIGHT_EYE].mean(1), axis=-1)
    size = int(np.clip(round(float(np.median(eyes)) * FACE_HALF * 2 / 8) * 8, 64, 384))
    return Layout(np.median(to_face_frame(seen), axis=0), size)


def poses(points: Array, layout: Layout) -> Array:
    """[T,4] similarity (a, b, x, y) of each frame: picture = [[a, -b], [b, a]] template + (x, y); smoothed over time.

    Least squares over `RIGID`; frames without a face are interpolated so that a crop exists, and masked by the caller.
    """
    template = layout.template[list(RIGID)]
    mean = template.mean(0)
    centred = template - mean
    power = (centred**2).sum()
    rigid = points[:, RIGID]
    centre = rigid.mean(1)
    moved = rigid - centre[:, None]
    a = (moved * centred).sum((1, 2)) / power
    b = (moved[..., 1] * centred[:, 0] - moved[..., 0] * centred[:, 1]).sum(1) / power
    x = centre[:, 0] - a * mean[0] + b * mean[1]
    y = centre[:, 1] - b * mean[0] - a * mean[1]
    pose = np.stack([a, b, x, y], -1)
    seen = np.flatnonzero(np.isfinite(a))
    times = np.arange(len(pose))
    filled = np.stack([np.interp(times, seen, pose[seen, k]) for k in range(4)], -1)
    return smooth(filled)


def smooth(series: Array, window: int = _SMOOTHING) -> Array:
    """Savitzky-Golay filter of order 2 over time, [T,K] → [T,K]; the ends follow the parabola of the first/last window.

    Series shorter than the window come back unchanged.
    """
    if len(series) < window:
        return series
    powers = np.vander(np.arange(window) - window // 2, 3, increasing=True).astype(np.float64)
    fit = powers @ np.linalg.pinv(powers)  # [window,window]: row k gives the parabola's value at k
    half = window // 2
    result = np.empty_like(series)
    for start in range(len(series) - window + 1):
        result[start + half] = fit[half] @ series[start : start + window]
    result[:half] = fit[:half] @ series[:window]
    result[len(series) - half :] = fit[window - half :] @ series[-window:]
    return result


def crop_map(pose: Array, centre: tuple[float, float], half_width: float, size: tuple[int, int]) -> Array:
    """[2,3] affine map from pixels of a (width, height) crop to the picture; the crop is centred in the face frame."""
    a, b, x, y = pose
    unit = 2 * half_width / size[0]  # face-frame units a crop pixel
    turn = np.array([[a, -b], [b, a]])
    offset = turn @ (np.array(centre) - unit * np.array(size) / 2) + [x, y]
    return np.column_stack([turn * unit, offset])


def sample(picture: Image, affine: Array, size: tuple[int, int]) -> Image:
    """A (width, height) crop of a picture [H,W] or [H,W,3]; `affine` [2,3] takes crop pixels to picture pixels.

    Where the crop is more than twice as coarse as the picture, the part it needs is first reduced by area, for bilinear
    sampling would skip pixels. Outside the picture the edge repeats.
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
