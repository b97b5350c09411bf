"""Measurements of labeled clips: pose-free shapes, mean shading and blendshapes, cached by the clip's content."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from cdrl.assets import LANDMARKS, load_manifest
from cdrl.emotions import parse_emotion
from cdrl.errors import CdrlError, InputNotFoundError, OutputError, UsageError
from cdrl.face.bundle import Floats
from cdrl.face.landmarks import BundleDetector
from cdrl.face.pose import estimate_pose
from cdrl.face.tracking import FaceTracker
from cdrl.media import read
from cdrl.rendering.texture import measure_texture
from cdrl.training.array_cache import read_npz, write_npz
from cdrl.training.tables import read_table

RATE = Fraction(15)  # shapes per second: adjacent frames repeat one another
_TEXTURE_INTERVAL = 2  # shapes between two textures
_VERSION = b"4"  # raise it when the measurements change
_MAX_YAW = 35.0  # degrees


@dataclass(frozen=True)
class ClipObservation:
    """The measurements of one clip."""

    clip: str
    """Name of the file."""
    person: str
    emotion: str
    """The label; empty where there is none."""
    shapes: Floats
    """Pose-free shapes [n, 478, 3] in cm."""
    texture: Floats
    """Median log luma [SIZE, SIZE] in the space of the mean mesh."""
    blendshapes: Floats
    """Blendshapes [n, 52] at each shape."""


def stack_shapes(seen: Sequence[ClipObservation], person: str, emotion: str) -> Floats:
    """Return the pose-free shapes [n, 478, 3] in cm of all frames in which a person shows an emotion."""
    shapes = [item.shapes for item in seen if (item.person, item.emotion) == (person, emotion)]
    return np.concatenate(shapes).astype(np.float32)


@dataclass(frozen=True)
class LabeledClip:
    """A row of the table of clips."""

    path: Path
    person: str
    emotion: str
    """The label; empty where there is none."""


def read_clips(data: Path) -> list[LabeledClip]:
    """Read the clips of `DIR/clips.csv`: columns `path` (relative to DIR), `actor` and `emotion`, others ignored.

    An empty actor makes the clip a person of its own. Rows with an emotion outside the seven are left out.

    Args:
        data: The folder DIR.

    Raises:
        InputNotFoundError: There is no table.
        UsageError: One of the columns is missing.
    """
    clips = []
    for row in read_table(data / "clips.csv", ("path", "actor", "emotion"), "--data"):
        if not row["path"]:
            continue  # a short or an empty line
        actor = row["actor"]
        if not actor or " " in actor:  # "other actor" and the like are no names
            actor = row["path"]
        try:
            emotion = parse_emotion(row["emotion"]) if row["emotion"] else ""
        except UsageError:
            continue
        clips.append(LabeledClip(data / row["path"], actor, emotion))
    return clips


def observe_clips(clips: list[LabeledClip], cache: Path) -> Iterator[ClipObservation | str]:
    """Measure clips, or read their measurements from the cache.

    Args:
        clips: The clips.
        cache: Folder that keeps the measurements.

    Yields:
        The measurements of each clip, or one line that says why it has none.

    Raises:
        OutputError: The cache cannot be written.
    """
    detector = BundleDetector()
    key = _VERSION + load_manifest()[LANDMARKS].sha256.encode()
    for clip in clips:
        try:
            stored = cache / f"{hashlib.sha256(key + clip.path.read_bytes()).hexdigest()[:24]}.npz"
            arrays = read_npz(stored, "shapes", "texture", "blendshapes")
            if arrays is None:
                arrays = _observe(clip.path, detector)
                write_npz(stored, shapes=arrays[0], texture=arrays[1], blendshapes=arrays[2])
        except OutputError:
            raise
        except (CdrlError, OSError) as error:
            yield f"{clip.path}: left out ({error})"
        else:
            yield ClipObservation(clip.path.name, clip.person, clip.emotion, *arrays)


def _observe(path: Path, detector: BundleDetector) -> list[Floats]:
    """Measure shapes, texture and blendshapes, see `ClipObservation`."""
    tracker = FaceTracker(detector)
    shapes, textures, blendshapes, due = [], [], [], Fraction(-1)
    for frame in read(path):
        if frame.time < due:
            continue
        due = frame.time + 1 / RATE
        track = tracker.step(frame)
        if track is None:
            continue
        pose = estimate_pose(track.points)
        if abs(pose.yaw) > _MAX_YAW:
            continue
        shapes.append(pose.normalize(track.points))
        blendshapes.append(detector.estimate_blendshapes(track.points))
        if len(shapes) % _TEXTURE_INTERVAL:
            textures.append(measure_texture(frame, track.points))
    if len(shapes) < 3:
        raise InputNotFoundError(f"a face seen from the front in {len(shapes)} frames only")
    measured = shapes, np.median(textures, 0), blendshapes
    return [np.array(values, np.float16) for values in measured]
