"""Clips as a generator's training sees them: who performs, what they show already, where every landmark lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from cdrl.datasets.prepared import PreparedClip
from cdrl.face.bundle import Floats
from cdrl.face.pose import estimate_pose
from cdrl.manipulation.edit import shown_pattern
from cdrl.manipulation.person import Person, describe, expression_model
from cdrl.manipulation.prior import EmotionPrior, Pattern
from cdrl.rendering.texture import log_texture, relief
from cdrl.training.progress import track

_LOOKS = 6  # frames of which the relief is measured
_FRONTAL = 30.0  # degrees of yaw: turned faces further are not trained on
_SURVEYED = 100  # frames that a person is described by


@dataclass(frozen=True)
class Performance:
    """A prepared clip of one person. `frames` [n]: where runs of consecutive frontal frames may begin; `shapes`
    [T, 478, 3] cm and `axes` [T, 3, 2]: the pose-free shapes, and what takes displacements (cm) to pixels."""

    clip: PreparedClip
    person: Person
    shown: Pattern
    frames: NDArray[np.intp]
    shapes: Floats
    axes: Floats

    @property
    def who(self) -> str:
        """DATASET/ACTOR."""
        return f"{self.clip.facts.dataset}/{self.clip.facts.actor}"


def performances(
    clips: Sequence[PreparedClip], prior: EmotionPrior, length: int, console: Console
) -> list[Performance]:
    """Those of the clips in which a face is seen from the front for `length` consecutive frames."""
    model = expression_model(prior)
    found = []
    for clip in track(clips, "describing people", console):
        points = clip.landmarks
        poses = [estimate_pose(frame) for frame in points]
        frontal = np.array([abs(pose.yaw) < _FRONTAL for pose in poses])
        frames = _runs(frontal & _steady(clip), length)
        if not len(frames):
            continue
        shapes = np.array([pose.normalise(frame) for pose, frame in zip(poses, points, strict=True)], np.float32)
        axes = np.array([(pose.scale * pose.rotation).T[:, :2] for pose in poses], np.float32)
        some = np.flatnonzero(frontal)[:_SURVEYED]
        depth = float(np.median([_relief(clip.image(int(i)), points[i]) for i in some[:: len(some) // _LOOKS + 1]]))
        person = describe(shapes[some], clip.blendshapes[some].mean(0), model, depth)
        found.append(Performance(clip, person, shown_pattern(person, prior), frames, shapes, axes))
    return found


def _runs(good: NDArray[np.bool_], length: int) -> NDArray[np.intp]:
    """Where `length` good frames in a row begin."""
    if len(good) < length:
        return np.zeros(0, np.intp)
    return np.flatnonzero(np.lib.stride_tricks.sliding_window_view(good, length).all(1))


def _steady(clip: PreparedClip) -> NDArray[np.bool_]:
    """[T] whether a frame goes on from the one before: no cut and no gap between them."""
    step = np.diff(clip.times, prepend=clip.times[0])
    same = np.diff(clip.shots, prepend=clip.shots[0]) == 0
    usual = np.median(step[1:]) if clip.count > 1 else 0.0
    return np.asarray(same & (step <= 1.5 * usual))


def _relief(picture: NDArray[np.uint8], points: Floats) -> float:
    return relief(log_texture(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32), points))
