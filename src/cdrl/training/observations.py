"""What a labelled clip says about its person and emotion: pose-free shapes and a mean shading, kept in a cache."""

from __future__ import annotations

import csv
import hashlib
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from cdrl.assets import LANDMARKS, listed
from cdrl.emotions import parse_emotion
from cdrl.errors import CdrlError, InputError, InputNotFoundError, OutputError, UsageError
from cdrl.face.bundle import Floats
from cdrl.face.landmarks import BundleDetector
from cdrl.face.pose import estimate_pose
from cdrl.face.tracking import FaceTracker
from cdrl.media import read
from cdrl.rendering.texture import log_texture
from cdrl.training.kept import keep_npz

RATE = Fraction(15)  # shapes a second: neighbouring frames repeat one another
_TEXTURE_EVERY = 2  # shapes between two textures
_VERSION = b"3"  # raise when what is kept changes
_MAX_YAW = 35.0  # degrees


@dataclass(frozen=True)
class Observation:
    """One clip. `shapes` [n, 478, 3] pose-free, cm; `texture` [SIZE, SIZE] median log luma;
    `blendshapes` [52] mean; `emotion` "" if none."""

    clip: str
    person: str
    emotion: str
    shapes: Floats
    texture: Floats
    blendshapes: Floats


@dataclass(frozen=True)
class Clip:
    """A row of the table."""

    path: Path
    person: str
    emotion: str


def read_table(data: Path) -> list[Clip]:
    """The clips of `DIR/clips.csv`: columns `path` (relative to DIR), `actor` and `emotion`, others ignored.

    An empty actor makes the clip a person of its own. Rows with an emotion outside the seven are left out.
    Raises UsageError where the table or one of the columns is missing.
    """
    table = data / "clips.csv"
    if not table.is_file():
        raise InputNotFoundError(f"{table}: no such table; --data takes a folder with clips.csv (path,actor,emotion)")
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table}: not a table of comma-separated values in UTF-8 ({error})") from error
    missing = {"path", "actor", "emotion"} - set(rows[0] if rows else ())
    if missing:
        raise UsageError(f"{table}: no column {', '.join(sorted(missing))}; write path,actor,emotion")
    clips = []
    for row in rows:
        if not row["path"]:
            continue  # a short or an empty line
        actor = (row["actor"] or "").strip()
        if not actor or " " in actor:  # "other actor" and the like name nobody
            actor = row["path"]
        try:
            emotion = parse_emotion(row["emotion"]) if (row["emotion"] or "").strip() else ""
        except UsageError:
            continue
        clips.append(Clip(data / row["path"], actor, emotion))
    return clips


def observe_all(clips: list[Clip], cache: Path) -> Iterator[Observation | str]:
    """Observations clip by clip, or one line saying why a clip gives none. Raises OutputError where nothing can be
    kept in `cache`."""
    detector = BundleDetector()
    seen_by = _VERSION + listed()[LANDMARKS].sha256.encode()
    for clip in clips:
        try:
            stored = cache / f"{hashlib.sha256(seen_by + clip.path.read_bytes()).hexdigest()[:24]}.npz"
            found = _cached(stored)
            if found is None:
                found = _observe(clip.path, detector)
                keep_npz(stored, shapes=found[0], texture=found[1], blendshapes=found[2])
        except OutputError:
            raise
        except (CdrlError, OSError) as error:
            yield f"{clip.path}: left out ({error})"
        else:
            yield Observation(clip.path.name, clip.person, clip.emotion, *found)


def _cached(stored: Path) -> tuple[Floats, Floats, Floats] | None:
    """What is stored; None where there is nothing or it is damaged, and the clip has to be watched again."""
    try:
        with np.load(stored, allow_pickle=False) as file:
            return file["shapes"], file["texture"], file["blendshapes"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None


def _observe(path: Path, detector: BundleDetector) -> tuple[Floats, Floats, Floats]:
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
        shapes.append(pose.normalise(track.points))
        blendshapes.append(detector.blendshapes(track.points))
        if len(shapes) % _TEXTURE_EVERY:
            black, white = frame.format.black, frame.format.white
            luma = (frame.planes[0].astype(np.float32) - black) * (255 / (white - black))
            textures.append(log_texture(luma, track.points))
    if len(shapes) < 3:
        raise InputNotFoundError(f"a face seen from the front in {len(shapes)} frames only")
    return np.array(shapes, np.float16), np.median(textures, 0).astype(np.float16), np.mean(blendshapes, 0)
