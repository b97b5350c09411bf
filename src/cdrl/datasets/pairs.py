"""Which frames of two takes are the same moment: the paper's aligned pairs (section 4.1, by dynamic time warping)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from cdrl.datasets.prepared import GroundTruth, PreparedClip
from cdrl.errors import UsageError
from cdrl.face.apertures import lips
from cdrl.face.mesh import INNER_CORNERS, INNER_LIPS, LEFT_CORNERS, RIGHT_CORNERS
from cdrl.speech.dtw import compute_dtw_path, map_frames

_BAND = 0.3  # how far two takes of a sentence may run apart, as a share of the longer one
_SMOOTH = np.array([1, 4, 6, 4, 1]) / 16  # over frames; the landmarks tremble more than the mouth does
_STILL = 0.03  # of the distance between the eyes: a mouth that moves less within `_AROUND` is not speaking
_AROUND = 0.24  # seconds on each side
_RADIUS = 3.0  # of the sphere that mouth motion is lifted to, over the longest of its vectors


def group_by_content(clips: Iterable[PreparedClip]) -> list[list[PreparedClip]]:
    """Group the takes in which one actor says the same words, seen from the same side.

    Args:
        clips: Clips; those without a label and those of unknown words are in no group.

    Returns:
        Groups with two emotions or more, in the order of `clips`.
    """
    groups: dict[tuple[str, str, str, str], list[PreparedClip]] = {}
    for clip in clips:
        labels = clip.metadata
        if labels.emotion and labels.sentence_id:
            groups.setdefault((labels.dataset, labels.actor, labels.sentence_id, labels.view), []).append(clip)
    return [group for group in groups.values() if len({clip.metadata.emotion for clip in group}) > 1]


def align_frames(a: PreparedClip, b: PreparedClip) -> NDArray[np.intp]:
    """Find the frames of two takes that show the same moment of the same words.

    By the exact frame map where both clips have one (frames of silence before and after the words are left out), else
    by time warping of the speech features, else, where one clip is silent, of the motion of the mouth.

    Args:
        a: One take.
        b: Another take of the same words.

    Returns:
        Pairs [k, 2] (frame of `a`, frame of `b`), in the order of `a`.

    Raises:
        UsageError: A silent clip has too few frames.
    """
    if a.ground_truth is not None and b.ground_truth is not None:
        return align_by_position(a.ground_truth, b.ground_truth)
    if a.speech is not None and b.speech is not None:
        path = align_speech(a.speech, b.speech)
    else:
        path = align_mouth_motion(_measure_clip(a), _measure_clip(b))
    return np.stack([np.arange(a.count, dtype=np.intp), map_frames(path, a.count)], 1)


def align_speech(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.intp]:
    """Align two takes of a sentence by what is heard.

    Args:
        a: Speech features [T, width] at the frames of one take.
        b: The same of the other take.

    Returns:
        The path [k, 2] through both takes.
    """
    return compute_dtw_path(a, b, _BAND)


def align_mouth_motion(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.intp]:
    """Align two takes of a sentence by what is seen.

    Args:
        a: Motion [T, 4] of the mouth in one take; see `measure_mouth_motion`.
        b: The same of the other take.

    Returns:
        The path [k, 2] through both takes.
    """
    return compute_dtw_path(*_lift_to_sphere(a, b), _BAND, center=False)


def align_by_position(a: GroundTruth, b: GroundTruth) -> NDArray[np.intp]:
    """Align two takes of a sentence by the exact place in it.

    Returns:
        Pairs [k, 2]: for each spoken frame of `a` the nearest of `b`, where there is one within a frame's step.
    """
    spoken_a, spoken_b = _spoken(a), _spoken(b)
    if not len(spoken_a) or not len(spoken_b):
        return np.empty((0, 2), np.intp)
    order = spoken_b[np.argsort(b.position[spoken_b], kind="stable")]
    places = b.position[order].astype(np.float64)
    step = np.median(np.diff(places)) if len(places) > 1 else 0.0
    targets = a.position[spoken_a].astype(np.float64)
    right = np.clip(np.searchsorted(places, targets), 1, max(len(places) - 1, 1)) if len(places) > 1 else 0 * spoken_a
    left = np.maximum(right - 1, 0)
    nearest = np.where(np.abs(places[left] - targets) <= np.abs(places[right] - targets), left, right)
    within = np.abs(places[nearest] - targets) <= step + 1e-9
    return np.stack([spoken_a[within], order[nearest[within]]], 1).astype(np.intp)


def _spoken(truth: GroundTruth) -> NDArray[np.intp]:
    """Frames from the first spoken to the last, with a place."""
    spoken = np.flatnonzero(truth.speaking)
    if not len(spoken):
        return spoken
    frames = np.arange(spoken[0], spoken[-1] + 1)
    return frames[np.isfinite(truth.position[frames])]


def measure_mouth_opening(landmarks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Measure how far mouths are open.

    Args:
        landmarks: [..., 478, 3].

    Returns:
        [...] mean distance of the inner lips over that of the eyes' outer corners; 0 is closed.
    """
    eyes = np.linalg.norm(landmarks[..., 33, :2] - landmarks[..., 263, :2], axis=-1)
    opening: NDArray[np.float32] = lips().opening(landmarks) / np.maximum(eyes, 1e-6)
    return opening


def detect_speaking(clip: PreparedClip) -> NDArray[np.bool_]:
    """Detect in which frames the person speaks: [T], the ground truth, else whether the mouth moves around a frame."""
    if clip.ground_truth is not None:
        return np.asarray(clip.ground_truth.speaking, bool)
    opening = measure_mouth_opening(clip.landmarks)
    times = np.asarray(clip.times)
    low, high = np.searchsorted(times, times - _AROUND), np.searchsorted(times, times + _AROUND, "right")
    return np.array([np.ptp(opening[a:b]) > _STILL for a, b in zip(low, high, strict=True)], bool)


def _measure_clip(clip: PreparedClip) -> NDArray[np.float32]:
    if clip.count < 3:
        raise UsageError(f"clip {clip.metadata.id} has {clip.count} frames with a face: too few to align")
    return measure_mouth_motion(clip.landmarks, clip.times)


def measure_mouth_motion(landmarks: NDArray[np.float32], times: NDArray[np.float64]) -> NDArray[np.float32]:
    """Measure what the mouth does, whatever its size, place and turn.

    Args:
        landmarks: [T, 478, 3], or [T, 468, 2] in the picture alone.
        times: [T] seconds.

    Returns:
        [T, 4] opening and width of the inner lips and how fast they change, each over its own spread in the clip.
    """
    points = landmarks.astype(np.float64)
    eyes = points[:, list(RIGHT_CORNERS)].mean(1) - points[:, list(LEFT_CORNERS)].mean(1)
    # Three-dimensional distances: a turned head shortens them less than their picture.
    unit = np.maximum(np.linalg.norm(eyes, axis=1), 1e-6)
    upper, lower = (points[:, list(contour)] for contour in INNER_LIPS)
    opening = np.linalg.norm(upper - lower, axis=2).mean(1) / unit
    width = np.linalg.norm(points[:, INNER_CORNERS[0]] - points[:, INNER_CORNERS[1]], axis=1) / unit
    shape = np.stack([_smooth(opening), _smooth(width)], 1)
    speed = np.gradient(shape, times, axis=0) if len(times) > 1 else np.zeros_like(shape)
    motion = np.concatenate([shape, speed], 1)
    # Another emotion smiles wider and opens less: each take is measured on its own scale.
    spread = motion - motion.mean(0)
    scaled: NDArray[np.float32] = (spread / np.maximum(spread.std(0), 1e-6)).astype(np.float32)
    return scaled


def _smooth(curve: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.convolve(np.pad(curve, len(_SMOOTH) // 2, mode="edge"), _SMOOTH, mode="valid")


def _lift_to_sphere(a: NDArray[np.float32], b: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Put vectors on one large sphere, where their cosine distance grows as their squared Euclidean one.

    Direction alone would compare the trembling of a mouth at rest.
    """
    longest = max(float(np.linalg.norm(a, axis=1).max()), float(np.linalg.norm(b, axis=1).max()), 1e-6)
    radius = _RADIUS * longest
    first, second = (
        np.concatenate([each, np.sqrt(radius**2 - np.square(each).sum(1, keepdims=True))], 1).astype(np.float32)
        for each in (a, b)
    )
    return first, second
