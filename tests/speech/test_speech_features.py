"""Features at any times, and the choice of an encoder."""

import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest

from cdrl.errors import InputError, UsageError
from cdrl.speech.features import SpeechFeatures
from cdrl.speech.loading import load_speech_encoder
from cdrl.speech.mel import compute_log_mel

RAMP = SpeechFeatures(np.arange(10, dtype=np.float32)[:, None] * np.float32([1, -2]), Fraction(50), Fraction(1, 100))


def test_at_interpolates_and_holds_the_ends() -> None:
    found = RAMP.resample([Fraction(1, 100), Fraction(1, 50), Fraction(-3), Fraction(9)])
    assert found.dtype == np.float32
    assert np.allclose(found, [[0, 0], [0.5, -1], [0, 0], [9, -18]])
    assert np.array_equal(RAMP.resample(np.array([0.01, 0.02, -3.0, 9.0])), found)
    assert RAMP.resample([]).shape == (0, 2)


def test_no_features_at_all_are_refused() -> None:
    with pytest.raises(InputError, match="shorter than one step"):
        SpeechFeatures(np.zeros((0, 2), np.float32), Fraction(50), Fraction(0)).resample([0.0])


@pytest.mark.parametrize("spec", ["", "wisper", "xlsr", "mel:something"])
def test_an_unknown_encoder_is_refused(spec) -> None:
    with pytest.raises(UsageError, match="choose whisper, xlsr"):
        load_speech_encoder(spec)


def test_log_mel_is_whispers() -> None:
    from transformers import WhisperFeatureExtractor

    samples = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    theirs = WhisperFeatureExtractor()(samples, sampling_rate=16_000, padding=False, return_tensors="np")
    assert np.allclose(compute_log_mel(samples), theirs["input_features"][0].T, atol=1e-4)


def test_log_mel_encoder_needs_no_torch() -> None:
    program = (
        "import sys, numpy; from cdrl.speech.loading import load_speech_encoder; "
        "f = load_speech_encoder('mel')(numpy.zeros(16000, 'f')); assert f.values.shape == (100, 80); "
        "assert not {'torch', 'transformers', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
