"""Performances for avatars: ARKit coefficients, head and eyes of every frame, before and after an edit.

The edited performance is read off the landmarks that the edit moves, so nothing is rendered. Written as Live Link Face
writes its takes (CSV), or as JSON; docs/guides/avatars.md says what is known of either, and what is inferred.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from cdrl.errors import FaceError, InputError
from cdrl.face.bundle import Floats
from cdrl.face.landmarks import BLENDSHAPES, BundleDetector
from cdrl.face.pose import estimate_pose
from cdrl.face.tracking import FaceTracker
from cdrl.files import atomic_write, loads_untrusted, small_bytes, small_text
from cdrl.media import ImageSequence, Limits, VideoInfo, read
from cdrl.pipeline.job import EditJob, ProgressCallback

# fmt: off
ARKIT = (
    "EyeBlinkLeft", "EyeLookDownLeft", "EyeLookInLeft", "EyeLookOutLeft", "EyeLookUpLeft", "EyeSquintLeft",
    "EyeWideLeft", "EyeBlinkRight", "EyeLookDownRight", "EyeLookInRight", "EyeLookOutRight", "EyeLookUpRight",
    "EyeSquintRight", "EyeWideRight", "JawForward", "JawRight", "JawLeft", "JawOpen", "MouthClose", "MouthFunnel",
    "MouthPucker", "MouthRight", "MouthLeft", "MouthSmileLeft", "MouthSmileRight", "MouthFrownLeft", "MouthFrownRight",
    "MouthDimpleLeft", "MouthDimpleRight", "MouthStretchLeft", "MouthStretchRight", "MouthRollLower", "MouthRollUpper",
    "MouthShrugLower", "MouthShrugUpper", "MouthPressLeft", "MouthPressRight", "MouthLowerDownLeft",
    "MouthLowerDownRight", "MouthUpperUpLeft", "MouthUpperUpRight", "BrowDownLeft", "BrowDownRight", "BrowInnerUp",
    "BrowOuterUpLeft", "BrowOuterUpRight", "CheekPuff", "CheekSquintLeft", "CheekSquintRight", "NoseSneerLeft",
    "NoseSneerRight", "TongueOut",
)
"""The 52 coefficients of ARKit, in [0, 1], in Live Link Face's order; left and right are the person's own."""
ANGLES = (
    "HeadYaw", "HeadPitch", "HeadRoll", "LeftEyeYaw", "LeftEyePitch", "LeftEyeRoll", "RightEyeYaw", "RightEyePitch",
    "RightEyeRoll",
)
"""Radians, as Live Link Face signs them, for head and eyes alike. Positive yaw: to the person's own right; pitch: down;
roll: towards the person's own left shoulder."""
# fmt: on
COLUMNS = ARKIT + ANGLES
"""What is known of a face in a frame: 61 numbers."""

# How the app's eye angles (radians) follow its own `EyeLook` coefficients: least squares over both eyes of 900 frames
# of a Live Link Face recording, MIT, A. Donciu-Julin; root mean square of what is left .0025 (yaw), .0048 (pitch) and
# .0007 (roll).
_OUTWARD, _INWARD, _APART = -0.581, 0.628, -0.065  # yaw of the left eye; the right eye's is the mirror image
_UP, _DOWN, _LEVEL = -0.437, 0.637, -0.010  # pitch of either eye
_ROLL = 0.965  # roll over yaw times pitch: an eye does not twist, but a rotation written as three angles does
_USUAL_RATE = Fraction(25)  # frames a second, where a file says nothing
_TICKS = 60  # that a timecode's frame field counts in a second, whatever the rate of frames
_PARTS = 1000  # of a tick
_TIMECODE = re.compile(r"(\d{2,9}):([0-5]\d):([0-5]\d):([0-5]\d)(?:\.(\d{3}))?")
_FRACTION = re.compile(r"-?\d{1,30}(?:/\d{1,30})?")
_MAX_BYTES = 1 << 29  # of a performance; one of an hour has some fifty million
_JSON_FORMAT = "cdrl performance 2"  # 1 had head and eyes turn the other way


@dataclass(frozen=True)
class Performance:
    """What a face does over a clip."""

    rate: Fraction
    """Frames a second; the mean, where it varies. `times` are exact whatever it is."""
    times: tuple[Fraction, ...]
    """Seconds from the clip's start, one a frame."""
    faces: tuple[Floats | None, ...]
    """[61] a frame, in the order of `COLUMNS`; None where no face is seen."""

    @property
    def missing(self) -> int:
        """Frames without a face."""
        return sum(face is None for face in self.faces)


def extract_performances(
    source: Path | ImageSequence,
    job: EditJob | None,
    face: str,
    limits: Limits,
    progress: ProgressCallback | None = None,
) -> tuple[Performance, Performance | None]:
    """Read performances off the landmarks of a clip; nothing is rendered.

    Args:
        source: The clip, as `cdrl.media.read` takes it.
        job: An edit of that clip; None for none.
        face: Which of several faces is followed; see `cdrl.face.selection`.
        limits: What the clip may hold.
        progress: Called after each frame with the number of frames, and of all frames where that is known.

    Returns:
        The source's performance, and the edited one of `job`.

    Raises:
        InputError: As `cdrl.media.read` does.
        FaceError: No frame shows a face.
    """
    detector = BundleDetector()
    tracker = FaceTracker(detector, face)
    times: list[Fraction] = []
    before: list[Floats | None] = []
    after: list[Floats | None] = []
    with ExitStack() as stack:
        frames = stack.enter_context(read(source if job is None else job.info, limits))
        stages = None if job is None else stack.enter_context(job.stages(tracker))
        for frame in frames:
            tracked = None if stages is None else stages.track(frame)
            track = tracker.step(frame) if tracked is None else tracked.track
            times.append(frame.time)
            if track is None:
                before.append(None)
                after.append(None)
            else:
                coefficients = arkit(detector.estimate_blendshapes(track.points))
                angles = head_and_eyes(track.points, coefficients)
                before.append(np.concatenate([coefficients, angles]))
                if stages is not None and tracked is not None:
                    move = stages.manipulate(tracked)
                    points = track.points if move is None else track.points + move.displacement
                    # An edit turns neither the head nor the eyes.
                    after.append(np.concatenate([arkit(detector.estimate_blendshapes(points)), angles]))
            if progress is not None:
                progress(len(times), frames.info.frame_count)
        rate = clip_rate(frames.info)
    performance = Performance(rate, tuple(times), tuple(before))
    if performance.missing == len(times):
        raise FaceError(f"{source}: no face in any of {len(times)} frames, so there is no performance to write")
    return performance, None if job is None else Performance(rate, tuple(times), tuple(after))


def clip_rate(info: VideoInfo) -> Fraction:
    """Frames a second; the standard rate that is meant where a clock of milliseconds has blurred it."""
    rate = info.rate or _USUAL_RATE
    nominal = max(round(rate), 1)
    meant = (Fraction(nominal), Fraction(nominal * 1000, 1001))
    return next((standard for standard in meant if abs(rate / standard - 1) < Fraction(1, 10_000)), rate)


def arkit(blendshapes: Floats) -> Floats:
    """The bundle's coefficients [52] in the order of `ARKIT`; `TongueOut`, which the bundle does not tell, is 0."""
    known = {name.lower(): value for name, value in zip(BLENDSHAPES, blendshapes, strict=True)}
    return np.array([known.get(name.lower(), 0.0) for name in ARKIT], np.float32)


def head_and_eyes(points: Floats, coefficients: Floats) -> Floats:
    """The angles of head and eyes.

    Args:
        points: Landmarks [478, 3] in pixels.
        coefficients: Their coefficients [52] as `arkit` gives them, which tell how the eyes are turned in the head.

    Returns:
        Radians [9] in the order of `ANGLES`, and with their signs.
    """
    pose = estimate_pose(points)
    head = np.radians([pose.yaw, -pose.pitch, pose.roll])
    known = dict(zip(ARKIT, coefficients, strict=True))
    eyes = [angle for side, mirror in (("Left", 1), ("Right", -1)) for angle in _eye(known, side, mirror)]
    return np.array([*head, *eyes], np.float32)


def _eye(known: dict[str, float], side: str, mirror: int) -> tuple[float, float, float]:
    """Yaw, pitch and roll of an eye."""
    outward, inward, up, down = (float(known[f"EyeLook{way}{side}"]) for way in ("Out", "In", "Up", "Down"))
    yaw = mirror * (_OUTWARD * outward + _INWARD * inward + _APART)
    pitch = _UP * up + _DOWN * down + _LEVEL
    return yaw, pitch, _ROLL * yaw * pitch


def timecode(time: Fraction) -> str:
    """HH:MM:SS:FF.mmm of a time in seconds since the clip's start: sixtieths of a second, and thousandths of those.

    So the app counts whatever the rate of frames; at 30 frames a second every other number is passed over. It is a
    clock: it never drifts from the clip, and nobody needs the rate to read it.
    """
    whole, parts = divmod(round(max(time, Fraction(0)) * _TICKS * _PARTS), _PARTS)
    seconds, tick = divmod(whole, _TICKS)
    minutes, second = divmod(seconds, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{second:02d}:{tick:02d}.{parts:03d}"


def parse_timecode(text: str) -> Fraction:
    """Seconds of a timecode, at most 1/120000 s off what was written; ValueError for anything else."""
    match = _TIMECODE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r:.40} is no timecode HH:MM:SS:FF.mmm of sixtieths of a second")
    hours, minutes, seconds, tick, parts = (int(part or 0) for part in match.groups())
    return (hours * 60 + minutes) * 60 + seconds + Fraction(tick * _PARTS + parts, _TICKS * _PARTS)


def _frame_time(time: Fraction, rate: Fraction) -> Fraction:
    """The time of the frame that a timecode, rounded as it is, means at that rate; itself where it means none."""
    exact = round(time * rate) / rate
    return exact if abs(exact - time) <= Fraction(1, 2 * _TICKS * _PARTS) else time


def write_livelink(path: Path, performance: Performance, overwrite: bool = True) -> None:
    """A CSV as Live Link Face records it. A frame without a face is a row of zeros.

    Raises OutputError, and OutputExistsError where the file exists and is not to be overwritten.
    """
    atomic_write(path, _livelink_lines(performance), overwrite=overwrite)


def _livelink_lines(performance: Performance) -> Iterator[bytes]:
    yield ",".join(("Timecode", "BlendShapeCount", *COLUMNS)).encode() + b"\n"
    nobody = np.zeros(len(COLUMNS), np.float32)
    for time, face in zip(performance.times, performance.faces, strict=True):
        values = ",".join(f"{value:.6f}" for value in (nobody if face is None else face))
        yield f"{timecode(time)},{len(COLUMNS)},{values}\n".encode()


def read_livelink(path: Path, rate: Fraction) -> Performance:
    """A Live Link Face CSV. InputError for any other file.

    Args:
        path: The file.
        rate: Frames a second of the take, which the file itself does not say. Times that are multiples of 1 / `rate`
            but for a timecode's rounding come back exactly; others are as they are written.
    """
    times: list[Fraction] = []
    faces: list[Floats | None] = []
    number = 1
    lines = small_text(path, _MAX_BYTES, "take").splitlines()
    try:
        header = [word.strip().lower() for word in lines[0].split(",")] if lines else []
        places = [header.index(name.lower()) for name in COLUMNS]
        for number, line in enumerate(lines[1:], 2):  # noqa: B007 - the complaint names the line
            words = line.split(",")
            values = np.array([float(words[place]) for place in places], np.float32)
            if not np.isfinite(values).all():
                raise ValueError("a value is not a finite number")
            times.append(_frame_time(parse_timecode(words[0]), rate))
            faces.append(values if values.any() else None)
    except (ValueError, IndexError) as error:
        raise InputError(f"{path}, line {number}: not as Live Link Face writes it ({error}); export it again") from None
    return Performance(rate, tuple(times), tuple(faces))


def write_json(path: Path, source: Performance, edited: Performance | None = None, overwrite: bool = True) -> None:
    """Both performances in one JSON file; a frame without a face is null. Raises as `write_livelink`."""
    content = {
        "format": _JSON_FORMAT,
        "rate": str(source.rate),
        "names": COLUMNS,
        "times": [str(time) for time in source.times],
        "source": _rows(source),
        "edited": None if edited is None else _rows(edited),
    }
    atomic_write(path, [json.dumps(content).encode() + b"\n"], overwrite=overwrite)


def _rows(performance: Performance) -> list[list[float] | None]:
    return [None if face is None else [round(float(value), 6) for value in face] for face in performance.faces]


def read_json(path: Path) -> tuple[Performance, Performance | None]:
    """What `write_json` wrote: the source's performance and the edited one. InputError for any other file."""
    text = small_bytes(path, _MAX_BYTES, "performance")
    try:
        content = loads_untrusted(text)
        if content["format"] != _JSON_FORMAT or tuple(content["names"]) != COLUMNS:
            raise ValueError(f"it does not say that it is {_JSON_FORMAT!r}")
        rate, times = _fraction(content["rate"]), tuple(_fraction(time) for time in content["times"])
        source = Performance(rate, times, _faces(content["source"], len(times)))
        edited = content["edited"]
        return source, None if edited is None else Performance(rate, times, _faces(edited, len(times)))
    except (ValueError, KeyError, TypeError, ZeroDivisionError, RecursionError) as error:
        raise InputError(f"{path}: not a performance that cdrl export wrote ({error}); export it again") from None


def _fraction(text: str) -> Fraction:
    """A time as `write_json` writes it; others, as 1e999999999, can take for ever to read."""
    if not _FRACTION.fullmatch(text):
        raise ValueError(f"{text!r:.40} is no fraction")
    return Fraction(text)


def _faces(rows: list[Any], count: int) -> tuple[Floats | None, ...]:
    faces = tuple(None if row is None else np.array(row, np.float32) for row in rows)
    if len(faces) != count or any(face is not None and face.shape != (len(COLUMNS),) for face in faces):
        raise ValueError("its rows do not fit its times and names")
    return faces
