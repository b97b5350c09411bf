"""What is said, as vectors: one protocol for every speech encoder, read off at the times of video frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cdrl.errors import InputError, UsageError
from cdrl.speech.audio import Samples


@dataclass(frozen=True)
class SpeechFeatures:
    """Feature vectors at a steady rate."""

    values: NDArray[np.float32]
    """[m, width]"""
    rate: Fraction
    """Rows a second."""
    start: Fraction
    """Seconds of the centre of row 0."""

    def at(self, times: Sequence[Fraction] | ArrayLike) -> NDArray[np.float32]:
        """The features at `times` [T], in seconds: float32 [T, width].

        Rows are interpolated linearly; before the first and after the last row, that row holds.
        """
        seconds = np.asarray([float(time) for time in np.ravel(np.asarray(times, dtype=object))])
        if len(self.values) == 0:
            raise InputError("no speech features: the sound is shorter than one step; choose a longer clip")
        place = np.clip((seconds - float(self.start)) * float(self.rate), 0, len(self.values) - 1)
        low = np.floor(place).astype(np.intp)
        high = np.minimum(low + 1, len(self.values) - 1)
        share = (place - low).astype(np.float32)[:, None]
        return self.values[low] * (1 - share) + self.values[high] * share


class SpeechEncoder(Protocol):
    """Sound in, features out; how is the encoder's own affair."""

    @property
    def name(self) -> str:
        """Network and layer, as manifests record it: "whisper-tiny.en/4, ...", "xlsr-53/20", "log-mel"."""
        ...

    @property
    def width(self) -> int:
        """Numbers in one feature vector."""
        ...

    def __call__(self, samples: Samples) -> SpeechFeatures:
        """Features of mono sound at 16 kHz, float32 [n] in [-1, 1], of any length."""
        ...


def speech_encoder(spec: str = "whisper", threads: int = 1, local_files_only: bool = False) -> SpeechEncoder:
    """The encoder that `spec` names: "whisper", "xlsr:FOLDER_OR_HUB_ID", or "mel" (which needs no torch).

    `threads` is what torch may use for it; torch counts them for the whole process. `local_files_only` keeps XLSR
    from asking the hub. Raises UsageError for another spec, AssetError where a model file is missing or wrong.
    """
    kind, _, source = spec.partition(":")
    if kind == "mel" and not source:
        from cdrl.speech.mel import MelEncoder  # noqa: PLC0415 - each brings its own libraries

        return MelEncoder()
    if kind == "whisper" and not source:
        from cdrl.speech.whisper import WhisperEncoder  # noqa: PLC0415

        return WhisperEncoder.load(threads)
    if kind == "xlsr" and source:
        from cdrl.speech.xlsr import XlsrEncoder  # noqa: PLC0415

        return XlsrEncoder.load(source, threads=threads, local_files_only=local_files_only)
    raise UsageError(f"no speech encoder {spec!r}: choose whisper, xlsr:FOLDER (or a hub's id), or mel")
