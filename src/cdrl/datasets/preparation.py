"""One clip prepared: face found, aligned and cut out, speech read off at the frames' times, everything in one part."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cdrl.datasets.alignment import in_square, picture, squares
from cdrl.datasets.clip import Clip
from cdrl.datasets.prepared import SIZE
from cdrl.datasets.shards import part_bytes
from cdrl.errors import CdrlError, FaceError, InputError, UsageError
from cdrl.face.bundle import Floats
from cdrl.face.landmarks import BundleDetector
from cdrl.face.tracking import FaceTracker
from cdrl.media import Frame, VideoInfo, probe, read
from cdrl.speech.audio import read_samples
from cdrl.speech.features import SpeechEncoder
from cdrl.speech.loading import load_speech_encoder

_VERSION = 1  # raise it whenever what is made of a clip changes
_QUALITY = 92  # of the JPEGs
_FEWEST = 3  # frames with a face: motion needs them
_SILENCE = 1e-4  # loudest sample under which there is nothing to hear
_TRUTH = ("position", "visemes", "speaking", "weights")
_ROUNDING = 1.05  # a clip of 30.3 frames a second is one of 30


@dataclass(frozen=True)
class Settings:
    """What a prepared clip depends on, beside the clip."""

    speech: str = "whisper"
    """Speech encoder, as `cdrl.speech.loading.load_speech_encoder` takes it."""
    every: int = 1
    """Keep only every N-th frame."""
    max_rate: int = 30
    """Frames a second at most: a faster clip is thinned to the next whole fraction of its rate below."""
    max_seconds: float = 60.0
    """What comes later in a clip is left out."""

    def __post_init__(self) -> None:
        if self.every < 1 or self.max_rate < 1 or self.max_seconds <= 0:
            raise UsageError("--every and --max-rate must be whole numbers from 1, --max-seconds more than 0")

    def facts(self) -> dict[str, Any]:
        """As the manifest records them; loads the speech encoder, so that a missing one is told before the work."""
        changing = {"speech": _encoder(self.speech).name, "size": SIZE, "quality": _QUALITY, "version": _VERSION}
        return {**asdict(self), **changing}


@dataclass(frozen=True)
class Part:
    """A finished clip: the bytes of its tar members, and what there is to say about it."""

    data: bytes
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Failure:
    """Why a clip gives nothing, in one line."""

    reason: str


@dataclass
class _Seen:
    """What the first pass finds: frames with a face, and how many were looked at (of how many)."""

    indices: list[int]
    times: list[Fraction]
    points: list[Floats]
    shots: list[int]
    runs: list[int]
    looked: int = 0
    total: int = 0
    ended: bool = True


def prepare_clip(clip: Clip, settings: Settings) -> Part | Failure:
    """Prepare `clip`; whatever is wrong with it comes back as a Failure."""
    cv2.setNumThreads(1)
    try:
        return _prepared(clip, settings)
    except CdrlError as error:
        return Failure(" ".join(str(error).split()).removeprefix(f"{clip.path}").lstrip(": "))


def clip_facts(clip: Clip) -> dict[str, Any]:
    """What a part records of its clip: when it differs from the clip's now, the part is out of date."""
    return {
        "dataset": clip.dataset,
        "actor": clip.actor,
        "emotion": clip.emotion,
        "intensity": clip.intensity,
        "sentence": clip.sentence,
        "sentence_id": clip.sentence_id,
        "view": clip.view,
        "bytes": clip.path.stat().st_size,
    }


def _prepared(clip: Clip, settings: Settings) -> Part:
    info = probe(clip.path)
    remarks = [f"clips with a flaw ({note})" for note in info.notes]
    seen = _look(info, settings, remarks)
    if len(seen.indices) < _FEWEST:
        raise FaceError(f"a face in {len(seen.indices)} of {seen.looked} frames only")
    if not seen.ended:
        remarks.append(f"clips longer than {settings.max_seconds:g} s, of which the rest is left out")
    times = np.array([float(time) for time in seen.times])
    places = squares(np.stack(seen.points), times, np.array(seen.runs))
    detector = _detector()
    arrays: dict[str, NDArray[Any]] = {
        "times": times,
        "landmarks": np.stack([in_square(p, s) for p, s in zip(seen.points, places, strict=True)]),
        "blendshapes": np.stack([detector.blendshapes(points) for points in seen.points]).astype(np.float16),
        "shots": np.array(seen.shots, np.int64),
    }
    speech = _speech(clip, info, settings, times, remarks)
    if speech is not None:
        arrays["speech"] = speech.astype(np.float16)
    if clip.truth is not None:
        arrays |= _truth(clip.truth, seen)
    wanted = dict(zip(seen.indices, places, strict=True))
    pictures = [_jpeg(picture(f, wanted[f.index])) for f in _frames(info, settings) if f.index in wanted]
    facts = {
        "clip": clip_facts(clip),
        "rate": str(info.rate or ""),
        "frames": len(pictures),
        "frames_seen": seen.looked,
        "sound": speech is not None,
    }
    return Part(part_bytes(clip.id, facts, pictures, arrays), tuple(remarks))


def _frames(info: VideoInfo, settings: Settings) -> Iterator[Frame]:
    stop = Fraction(settings.max_seconds).limit_denominator(1000)
    with read(info, stop=stop) as frames:
        yield from frames


def _step(info: VideoInfo, settings: Settings) -> int:
    """Frames from one that is kept to the next."""
    rate = info.rate or Fraction(25)
    return settings.every * max(1, -int(-(float(rate) / (settings.max_rate * _ROUNDING)) // 1))


def _look(info: VideoInfo, settings: Settings, remarks: list[str]) -> _Seen:
    """The first pass: where the face is."""
    tracker, seen, step, run = FaceTracker(_detector()), _Seen([], [], [], [], []), _step(info, settings), -1
    stop = Fraction(settings.max_seconds).limit_denominator(1000)
    with read(info, stop=stop) as frames:
        for frame in frames:
            seen.total += 1
            if frame.index % step:
                tracker.skip(frame)
                continue
            seen.looked += 1
            track = tracker.step(frame)
            if track is None:
                continue
            # A face found anew need not be where the last one was.
            run += track.fresh or run < 0
            seen.indices.append(frame.index)
            seen.times.append(frame.time)
            seen.points.append(track.points)
            seen.shots.append(track.shot)
            seen.runs.append(run)
        remarks += [f"clips with a flaw ({note})" for note in frames.notes if note not in info.notes]
    seen.ended = info.duration is None or info.duration <= stop
    return seen


def _speech(
    clip: Clip, info: VideoInfo, settings: Settings, times: NDArray[np.float64], remarks: list[str]
) -> NDArray[np.float32] | None:
    """Speech features at the frames' times; None, with a remark, where there is nothing to hear."""
    if clip.sound is None and not info.audio:
        return None
    try:
        samples = read_samples(clip.sound or clip.path)
    except InputError as error:
        remarks.append(f"clips without speech ({' '.join(str(error).split()).split(': ', 1)[-1]})")
        return None
    samples = samples[: int((times[-1] + 1) * 16000)]
    if not len(samples) or float(np.abs(samples).max()) < _SILENCE:
        remarks.append("clips without speech (its sound is silence)")
        return None
    return _encoder(settings.speech)(samples).resample(times)


def _truth(path: Path, seen: _Seen) -> dict[str, NDArray[Any]]:
    """The ground truth of the kept frames. Raises InputError where it does not belong to the clip."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in _TRUTH}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path.name}: no ground truth ({error})") from error
    for name, array in arrays.items():
        if len(array) < seen.total or (seen.ended and len(array) != seen.total):
            raise InputError(f"{path.name}: {name} has {len(array)} rows for {seen.total} frames")
    return {name: array[seen.indices] for name, array in arrays.items()}


def _jpeg(image: NDArray[np.uint8]) -> bytes:
    written, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not written:
        raise InputError("a picture cannot be encoded as JPEG")
    return bytes(data.tobytes())


@cache
def _detector() -> BundleDetector:
    """One a process."""
    return BundleDetector()


@cache
def _encoder(spec: str) -> SpeechEncoder:
    """One a process."""
    return load_speech_encoder(spec)
