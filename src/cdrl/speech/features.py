"""What is said, as vectors: the protocol of every speech encoder, and features at the times of video frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cdrl.errors import InputError
from cdrl.speech.audio import Samples


@dataclass(frozen=True)
class SpeechFeatures:
    """Feature vectors at a steady rate."""

    values: NDArray[np.float32]
    """The vectors [m, width]."""
    rate: Fraction
    """Vectors per second."""
    start: Fraction
    """Time of the center of the first vector in seconds."""

    def resample(self, times: Sequence[Fraction] | ArrayLike) -> NDArray[np.float32]:
        """Interpolate the features linearly; the first and the last vector hold before and after them.

        Args:
            times: Times [T] in seconds.

        Returns:
            The features at these times, float32 [T, width].

        Raises:
            InputError: There are no vectors, as the sound is shorter than one step of the encoder.
        """
        seconds = np.asarray([float(time) for time in np.ravel(np.asarray(times, dtype=object))])
        if len(self.values) == 0:
            raise InputError("no speech features: the sound is shorter than one step; choose a longer clip")
        position = np.clip((seconds - float(self.start)) * float(self.rate), 0, len(self.values) - 1)
        low = np.floor(position).astype(np.intp)
        high = np.minimum(low + 1, len(self.values) - 1)
        share = (position - low).astype(np.float32)[:, None]
        return self.values[low] * (1 - share) + self.values[high] * share


class SpeechEncoder(Protocol):
    """A network or transform that turns sound into features."""

    @property
    def name(self) -> str:
        """Network and layer, as manifests record it: "whisper-tiny.en/4, ...", "xlsr-53/20", "log-mel"."""
        ...

    @property
    def width(self) -> int:
        """Length of a feature vector."""
        ...

    def __call__(self, samples: Samples) -> SpeechFeatures:
        """Compute the features of mono sound at 16 kHz, float32 [n] in [-1, 1], of any length."""
        ...


def plan_passes(count: int, length: int, context: int) -> Iterator[tuple[int, int, int, int]]:
    """Split a long sequence into passes that overlap, so that each kept vector sees its surroundings.

    Args:
        count: Vectors in all.
        length: Vectors in one pass.
        context: Vectors on each side of a pass that are computed but not kept.

    Yields:
        The first vector of a pass, the last one plus 1, how many to skip, and how many to keep after those.
    """
    done = 0
    while done < count:
        first = max(0, min(done - context, count - length))
        last = min(count, first + length)
        end = count if last == count else last - context
        yield first, last, done - first, end - done
        done = end
