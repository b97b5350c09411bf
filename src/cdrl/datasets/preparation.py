"""One clip prepared: face tracked, aligned and cut out, speech features at the frames' times, all in one sample."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cdrl.datasets.clip import LABELS, Clip
from cdrl.datasets.face_crops import crop_face, find_crops, transform_to_crop
from cdrl.datasets.prepared import SIZE, GroundTruth
from cdrl.datasets.shards import encode_sample
from cdrl.errors import CdrlError, FaceError, InputError, UsageError
from cdrl.face.bundle import Floats
from cdrl.face.landmarks import BundleDetector
from cdrl.face.tracking import FaceTracker
from cdrl.media import VideoInfo, probe, read
from cdrl.speech.audio import read_samples
from cdrl.speech.features import SpeechEncoder
from cdrl.speech.loading import load_speech_encoder

_VERSION = 1  # raise it whenever what is made of a clip changes
_QUALITY = 92  # of the JPEGs
_FEWEST = 3  # frames with a face: motion needs them
_SILENCE = 1e-4  # loudest sample under which there is nothing to hear
_ROUNDING = 1.05  # a clip of 30.3 frames a second is one of 30


@dataclass(frozen=True)
class PreparationSettings:
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

    @property
    def stop(self) -> Fraction:
        """`max_seconds`, exactly."""
        return Fraction(self.max_seconds).limit_denominator(1000)

    def to_dict(self) -> dict[str, Any]:
        """The settings as a manifest records them.

        The speech encoder is loaded for its name, so that a missing one is reported before the work.

        Raises:
            ModelFileError: A file of the speech encoder is missing.
        """
        constants = {"speech": _load_encoder(self.speech).name, "size": SIZE, "quality": _QUALITY, "version": _VERSION}
        return {**asdict(self), **constants}


@dataclass(frozen=True)
class Sample:
    """A finished clip."""

    data: bytes
    """The clip's tar members; see `cdrl.datasets.shards`."""
    remarks: tuple[str, ...] = ()
    """What a user should know about the clip, in words that are counted over clips."""
    fault: str = ""
    """Why it was prepared without its sound, which is damaged; empty where nothing is wrong."""


@dataclass(frozen=True)
class Failure:
    """A clip that could not be prepared."""

    reason: str
    """Why, in one line."""


@dataclass(frozen=True)
class _FaceFrame:
    """A frame with a face: `run` counts detections, within which landmarks move steadily."""

    index: int
    time: Fraction
    points: Floats
    shot: int
    run: int


def prepare_clip(clip: Clip, settings: PreparationSettings) -> Sample | Failure:
    """Prepare a clip; what is wrong with it is returned, not raised."""
    cv2.setNumThreads(1)
    try:
        return _prepare(clip, settings)
    except CdrlError as error:
        return Failure(_strip_path(error, clip.path))


def clip_metadata(clip: Clip) -> dict[str, Any]:
    """What a sample records of its clip: where that differs from the clip's now, the sample is out of date."""
    return {name: getattr(clip, name) for name in LABELS} | {"bytes": clip.path.stat().st_size}


def _prepare(clip: Clip, settings: PreparationSettings) -> Sample:
    info = probe(clip.path)
    remarks = [f"clips with a flaw ({note})" for note in info.notes]
    faces, tracked, total = _track_face(info, settings, remarks)
    if len(faces) < _FEWEST:
        raise FaceError(f"a face in {len(faces)} of {tracked} frames only")
    ended = info.duration is None or info.duration <= settings.stop
    if not ended:
        remarks.append(f"clips longer than {settings.max_seconds:g} s, of which the rest is left out")
    times = np.array([float(face.time) for face in faces])
    crops = find_crops(np.stack([face.points for face in faces]), times, np.array([face.run for face in faces]))
    detector = _load_detector()
    arrays: dict[str, NDArray[Any]] = {
        "times": times,
        "landmarks": np.stack([transform_to_crop(f.points, crop) for f, crop in zip(faces, crops, strict=True)]),
        "blendshapes": np.stack([detector.estimate_blendshapes(face.points) for face in faces]).astype(np.float16),
        "shots": np.array([face.shot for face in faces], np.int64),
    }
    speech, fault = _encode_speech(clip, info, settings, times, remarks)
    if speech is not None:
        arrays["speech"] = speech.astype(np.float16)
    if clip.truth is not None:
        arrays |= _read_ground_truth(clip.truth, [face.index for face in faces], total, ended)
    crop_of = {face.index: crop for face, crop in zip(faces, crops, strict=True)}
    with read(info, stop=settings.stop) as frames:
        images = [_encode_jpeg(crop_face(f, crop_of[f.index])) for f in frames if f.index in crop_of]
    metadata = {
        "clip": clip_metadata(clip),
        "rate": str(info.rate or ""),
        "frames": len(images),
        "frames_seen": tracked,
        "sound": speech is not None,
    }
    return Sample(encode_sample(clip.id, metadata, images, arrays), tuple(remarks), fault)


def _track_face(
    info: VideoInfo, settings: PreparationSettings, remarks: list[str]
) -> tuple[list[_FaceFrame], int, int]:
    """Frames with a face; how many frames a face was looked for in; and how many there are."""
    rate = float(info.rate or 25)
    step = settings.every * max(1, -int(-(rate / (settings.max_rate * _ROUNDING)) // 1))
    tracker, faces, tracked, total, run = FaceTracker(_load_detector()), list[_FaceFrame](), 0, 0, -1
    with read(info, stop=settings.stop) as frames:
        for frame in frames:
            total += 1
            if frame.index % step:
                tracker.skip(frame)
                continue
            tracked += 1
            track = tracker.step(frame)
            if track is not None:
                # A face that is detected anew need not be where the last one was.
                run += track.redetected or run < 0
                faces.append(_FaceFrame(frame.index, frame.time, track.points, track.shot, run))
        remarks += [f"clips with a flaw ({note})" for note in frames.notes if note not in info.notes]
    return faces, tracked, total


def _encode_speech(
    clip: Clip, info: VideoInfo, settings: PreparationSettings, times: NDArray[np.float64], remarks: list[str]
) -> tuple[NDArray[np.float32] | None, str]:
    """Speech features at the frames' times, None where there is nothing to hear; and what is wrong with the sound."""
    if clip.sound is None and not info.audio:
        return None, ""
    path = clip.sound or clip.path
    try:
        samples = read_samples(path)
    except InputError as error:
        return None, f"prepared without its sound, {path.name}: {_strip_path(error, path)}"
    samples = samples[: int((times[-1] + 1) * 16000)]
    if not len(samples) or float(np.abs(samples).max()) < _SILENCE:
        remarks.append("clips without speech (its sound is silence)")
        return None, ""
    return _load_encoder(settings.speech)(samples).resample(times), ""


def _strip_path(error: CdrlError, path: Path) -> str:
    """What an error says of a file, in one line, without its name."""
    return " ".join(str(error).split()).removeprefix(f"{path}").lstrip(": ")


def _read_ground_truth(path: Path, indices: Sequence[int], total: int, ended: bool) -> dict[str, NDArray[Any]]:
    """The ground truth of frames. Raises InputError where it does not belong to the clip of `total` frames."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {field.name: file[field.name] for field in fields(GroundTruth)}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path.name}: no ground truth ({error})") from error
    for name, array in arrays.items():
        if len(array) < total or (ended and len(array) != total):
            raise InputError(f"{path.name}: {name} has {len(array)} rows for {total} frames")
    return {name: array[list(indices)] for name, array in arrays.items()}


def _encode_jpeg(image: NDArray[np.uint8]) -> bytes:
    written, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not written:
        raise InputError("a picture cannot be encoded as JPEG")
    return bytes(data.tobytes())


@cache
def _load_detector() -> BundleDetector:
    """One a process."""
    return BundleDetector()


@cache
def _load_encoder(spec: str) -> SpeechEncoder:
    """One a process."""
    return load_speech_encoder(spec)
