"""Clips that generators are trained on: the person, the emotion shown already, and the place of every landmark."""

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
from cdrl.manipulation.expression_change import ExpressionChange
from cdrl.manipulation.manipulator import shown_expression
from cdrl.manipulation.person import Person, discount_expression, estimate_person
from cdrl.manipulation.prior import EmotionPrior
from cdrl.rendering.texture import log_texture, measure_relief
from cdrl.training.progress import track

_RELIEF_FRAMES = 6  # frames in which the relief is measured
_MAX_YAW = 30.0  # degrees: faces turned further are not trained on
_MAX_PERSON_FRAMES = 100  # frames from which a person is estimated


@dataclass(frozen=True)
class FrontalClip:
    """A prepared clip of one person with runs of frontal frames."""

    clip: PreparedClip
    person: Person
    shown: ExpressionChange
    """The emotion that the person shows already."""
    frames: NDArray[np.intp]
    """Frames [n] at which runs of consecutive frontal frames may begin."""
    shapes: Floats
    """Pose-free shapes [T, 478, 3] in cm."""
    axes: Floats
    """Projections [T, 3, 2] from displacements in cm to pixels."""

    @property
    def person_name(self) -> str:
        """The person as DATASET/ACTOR."""
        return f"{self.clip.metadata.dataset}/{self.clip.metadata.actor}"


def find_frontal_clips(
    clips: Sequence[PreparedClip], prior: EmotionPrior, length: int, console: Console
) -> list[FrontalClip]:
    """Find the clips in which a face is seen from the front for a number of consecutive frames.

    Args:
        clips: Clips to search.
        prior: The prior that explains what people show.
        length: Consecutive frames.
        console: Where progress is printed.
    """
    frontal_clips = []
    for clip in track(clips, "estimating people", console):
        points = clip.landmarks
        poses = [estimate_pose(frame) for frame in points]
        frontal = np.array([abs(pose.yaw) < _MAX_YAW for pose in poses])
        frames = _find_runs(frontal & _follows_previous(clip), length)
        if not len(frames):
            continue
        shapes = np.array([pose.normalize(frame) for pose, frame in zip(poses, points, strict=True)], np.float32)
        axes = np.array([(pose.scale * pose.rotation).T[:, :2] for pose in poses], np.float32)
        some = np.flatnonzero(frontal)[:_MAX_PERSON_FRAMES]
        few = some[:: len(some) // _RELIEF_FRAMES + 1]
        relief = float(np.median([_measure_relief(clip.image(int(i)), points[i]) for i in few]))
        person = discount_expression(estimate_person(shapes[some], clip.blendshapes[some].mean(0), prior, relief))
        frontal_clips.append(FrontalClip(clip, person, shown_expression(person, prior), frames, shapes, axes))
    return frontal_clips


def _find_runs(good: NDArray[np.bool_], length: int) -> NDArray[np.intp]:
    """Where `length` good frames in a row begin."""
    if len(good) < length:
        return np.zeros(0, np.intp)
    return np.flatnonzero(np.lib.stride_tricks.sliding_window_view(good, length).all(1))


def _follows_previous(clip: PreparedClip) -> NDArray[np.bool_]:
    """Whether each frame [T] follows the one before without a cut or a gap."""
    step = np.diff(clip.times, prepend=clip.times[0])
    same = np.diff(clip.shots, prepend=clip.shots[0]) == 0
    usual = np.median(step[1:]) if clip.count > 1 else 0.0
    return np.asarray(same & (step <= 1.5 * usual))


def _measure_relief(picture: NDArray[np.uint8], points: Floats) -> float:
    return measure_relief(log_texture(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32), points))
