"""The movement of lips and the speech of a clip, 25 moments a second, as the lip-sync network that ships takes them.

The lips are landmarks of the evaluation's own face finder in the face's own frame, less their mean over the clip, so
that neither who is seen nor the pose of the head nor a steady smile counts. Nothing that takes part in an edit is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cdrl.assets import SYNC
from cdrl.datasets.prepared import PreparedClip
from cdrl.errors import InputError
from cdrl.evaluation.clip_features import track_landmarks
from cdrl.evaluation.geometry import estimate_poses, fit_layout
from cdrl.evaluation.landmarker import N_POINTS
from cdrl.evaluation.sync_metrics import Array, FaceFootage, embedding_times
from cdrl.representations import lip_sync
from cdrl.speech.audio import SAMPLE_RATE, Samples
from cdrl.speech.features import SpeechEncoder
from cdrl.speech.loading import load_speech_encoder

_REACH = 0.06  # seconds to the nearest frame with a face, beyond which a moment counts as not seen
_SPEED_WEIGHT = 2.0  # weight of the change from moment to moment beside the position
_MIN_FRAMES = 2  # frames with a face


@dataclass(frozen=True)
class LipClip:
    """One clip with sound, at n moments."""

    clip: str
    """Name of the clip."""
    person: str
    """DATASET/ACTOR."""
    synthetic: bool
    """Whether the person is synthetic."""
    lips: NDArray[np.float32]
    """Lip features [n, LIP_FEATURES] of `lip_features`."""
    visible: NDArray[np.bool_]
    """Whether a face is seen [n]."""
    speech: NDArray[np.float32]
    """Speech features [n, width]."""

    @classmethod
    def from_prepared(cls, clip: PreparedClip, lips: NDArray[np.float32], visible: NDArray[np.bool_]) -> LipClip:
        """Join lips that were seen with the speech of a prepared clip that has sound."""
        assert clip.speech is not None
        facts, times = clip.metadata, np.asarray(clip.times, np.float64)
        speech = _interpolate(clip.speech, times, embedding_times(float(times[-1]))).astype(np.float32)
        return cls(facts.id, f"{facts.dataset}/{facts.actor}", facts.synthetic, lips, visible, speech)


def read_lip_clip(clip: PreparedClip) -> LipClip | None:
    """Find the face in every picture of a prepared clip, about 2 ms each; None of a clip without sound."""
    if clip.speech is None:
        return None
    pictures = clip.images(range(clip.count))
    points = track_landmarks(lambda: iter(pictures)) if clip.count else np.empty((0, N_POINTS, 2))
    return LipClip.from_prepared(clip, *lip_features(points, clip.times))


def lip_features(points: Array, times: Array) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Measure the movement of lips at 0, 1/25, 2/25, … s.

    Args:
        points: Landmarks [T, 468, 2] in pixels; NaN where no face is seen.
        times: Times [T] of the frames in seconds.

    Returns:
        Position and speed of the lips [n, LIP_FEATURES] in distances between the eyes, interpolated where no face is
        seen; and whether one is seen [n].
    """
    moments = embedding_times(float(times[-1]) if len(times) else -1.0)
    usable = np.isfinite(points[:, 0, 0])
    if usable.sum() < _MIN_FRAMES:
        return np.zeros((len(moments), lip_sync.LIP_FEATURES), np.float32), np.zeros(len(moments), bool)
    a, b, x, y = estimate_poses(points, fit_layout(points))[usable].T[..., None]
    lips = points[usable][:, list(lip_sync.LIP_POINTS)] - np.stack([x, y], -1)
    power = a**2 + b**2
    across = (a * lips[..., 0] + b * lips[..., 1]) / power
    down = (a * lips[..., 1] - b * lips[..., 0]) / power
    known = np.asarray(times)[usable]
    rows = _interpolate(np.concatenate([across, down], 1), known, moments)
    nearest = known[np.searchsorted((known[:-1] + known[1:]) / 2, moments)]
    visible = np.abs(moments - nearest) <= _REACH
    rows = rows - rows[visible].mean(0) if visible.any() else rows
    change = np.gradient(rows, axis=0) if len(rows) > 1 else np.zeros_like(rows)
    return np.concatenate([rows, _SPEED_WEIGHT * change], 1).astype(np.float32), visible


def _interpolate(rows: NDArray[np.floating], times: Array, moments: Array) -> Array:
    """Rows [T, C] known at `times` [T] at other moments [n], linearly between them; the ends hold beyond."""
    return np.stack([np.interp(moments, times, column) for column in rows.T], 1)


class LipSyncEvaluator:
    """The `cdrl.evaluation.sync_metrics.SyncEvaluator` of the network that ships."""

    name = "cdrl"
    padded = False

    def __init__(self, network: lip_sync.LipSyncNetwork, encoder: SpeechEncoder) -> None:
        self._network, self._encoder = network, encoder

    @classmethod
    def load(cls, path: Path | None = None) -> LipSyncEvaluator:
        """Load the network at `path`, or the one that ships, and Whisper's features.

        Raises:
            ModelFileError: Whisper's file or the one that ships is missing.
            InputError: The network is another one, or was trained on other speech features.
        """
        network = lip_sync.load_lip_sync(path)
        encoder = load_speech_encoder("whisper")
        if encoder.name != network.config.speech:
            raise InputError(
                f"{path or SYNC}: trained on speech features {network.config.speech!r}, but files are heard by "
                f"{encoder.name!r}: prepare the data with --speech whisper and train it again"
            )
        return cls(network, encoder)

    def embed_video(self, footage: FaceFootage) -> Array:
        """Embed the pictures as [n, D]; NaN where no face is seen."""
        return lip_sync.embed_lips(self._network, *lip_features(footage.points, footage.times))

    def embed_audio(self, samples: Samples) -> Array:
        """Embed mono sound at 16 kHz as [m, D]."""
        heard = self._encoder(samples).resample(embedding_times(len(samples) / SAMPLE_RATE))
        return lip_sync.embed_speech(self._network, heard)
