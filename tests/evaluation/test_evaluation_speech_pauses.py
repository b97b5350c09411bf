"""Frames in the silences of a clip's sound, by a sound whose silences are known."""

from pathlib import Path

import numpy as np
import pytest

from cdrl.errors import InputError
from cdrl.evaluation import speech_pauses
from cdrl.evaluation.speech_pauses import label_silences


@pytest.fixture
def sound(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """The sound that is read, of clips of 10 frames a second; none, and the files have no sound."""
    samples: list[np.ndarray] = []

    def read(path: Path) -> np.ndarray:
        if not samples:
            raise InputError(f"{path}: it has no sound")
        return samples[0]

    monkeypatch.setattr(speech_pauses, "read_samples", read)
    monkeypatch.setattr(speech_pauses, "read_frame_rate", lambda path: 10)
    return samples


def test_frames_are_labeled_by_the_silence_that_they_lie_in(sound: list[np.ndarray]) -> None:
    volume = np.concatenate([np.full(round(16000 * s), v) for s, v in ((0.5, 0), (0.3, 0.2), (0.4, 0.001), (0.6, 0.2))])
    sound.append(volume.astype(np.float32) * np.resize([1, -1], len(volume)))
    labels = label_silences(Path("clip"), Path("sound"), 25)
    assert labels.tolist() == [1] * 5 + [0] * 3 + [2] * 4 + [0] * 13  # after the sound's end nothing is known


@pytest.mark.parametrize("samples", [None, np.zeros(16000, np.float32), np.full(100, 0.5, np.float32)])
def test_without_speech_no_frame_lies_in_a_silence(sound: list[np.ndarray], samples: np.ndarray | None) -> None:
    if samples is not None:
        sound.append(samples)
    assert not label_silences(Path("clip"), Path("clip"), 25).any()
