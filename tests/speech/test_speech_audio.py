"""The sound of a clip: mono, 16 kHz, on the pictures' clock; what has none is refused."""

import av
import numpy as np
import pytest
from made_sound import encode_black, write_sound

from cdrl.errors import InputError, InputNotFoundError, LimitError
from cdrl.media.limits import Limits
from cdrl.speech.audio import SAMPLE_RATE, read_samples


def tone(seconds: float, rate: int, channels: int = 1) -> np.ndarray:
    wave = 10_000 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)
    return np.repeat(wave.astype(np.int16)[:, None], channels, axis=1)


def test_a_real_clip(sample) -> None:
    samples = read_samples(sample)
    assert samples.dtype == np.float32
    assert len(samples) / SAMPLE_RATE == pytest.approx(2.06, abs=0.05)
    assert 0.05 < np.abs(samples).max() <= 1


def test_stereo_at_another_rate(tmp_path) -> None:
    samples = read_samples(write_sound(tmp_path / "a.wav", tone(1, 44_100, channels=2), 44_100))
    expected = tone(1, SAMPLE_RATE)[:, 0] / 32768
    assert len(samples) == pytest.approx(SAMPLE_RATE, abs=20)
    assert np.abs(samples[500:-500] - expected[500 : len(samples) - 500]).max() < 0.01


def test_sound_that_starts_late_is_silent_before(tmp_path) -> None:
    samples = read_samples(write_sound(tmp_path / "a.mkv", tone(0.5, SAMPLE_RATE), SAMPLE_RATE, 0.4, picture=True))
    onset = np.flatnonzero(np.abs(samples) > 0.01)[0] / SAMPLE_RATE
    assert onset == pytest.approx(0.4, abs=0.002)
    assert len(samples) / SAMPLE_RATE == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize("picture", [True, False])
def test_parts_with_clocks_of_their_own_sound_one_after_the_other(sample, tmp_path, picture) -> None:
    part, joined = tmp_path / "part.ts", tmp_path / "joined.ts"
    with av.open(str(sample)) as source, av.open(str(part), "w") as output:
        sound = output.add_stream_from_template(source.streams.audio[0])
        video = output.add_stream("mpeg2video", rate=25) if picture else None
        if video is not None:
            encode_black(output, video, 51)
        for packet in source.demux(audio=0):
            if packet.size:
                packet.stream = sound
                output.mux(packet)
    joined.write_bytes(part.read_bytes() * 2)
    once, twice = read_samples(part), read_samples(joined)
    middle = slice(SAMPLE_RATE // 2, SAMPLE_RATE)
    later = len(twice) - len(once)
    assert later / SAMPLE_RATE == pytest.approx(len(once) / SAMPLE_RATE, abs=0.05)
    assert np.corrcoef(once[middle], twice[middle])[0, 1] > 0.99
    assert np.corrcoef(once[middle], twice[later:][middle])[0, 1] > 0.9


def test_a_file_cut_off_keeps_what_is_there(sample, tmp_path) -> None:
    whole = sample.read_bytes()
    cut = tmp_path / "cut.flv"
    cut.write_bytes(whole[: len(whole) // 2])
    assert 0.5 < len(read_samples(cut)) / SAMPLE_RATE < 1.6


def test_what_has_no_sound_is_refused(tmp_path) -> None:
    silent = write_sound(tmp_path / "a.mkv", tone(0, SAMPLE_RATE), SAMPLE_RATE, picture=True)
    with pytest.raises(InputError, match="sound"):
        read_samples(silent)
    with pytest.raises(InputNotFoundError, match="no such file"):
        read_samples(tmp_path / "none.mp4")
    with pytest.raises(LimitError, match="max_seconds"):
        read_samples(write_sound(tmp_path / "b.wav", tone(3, SAMPLE_RATE), SAMPLE_RATE), Limits(max_seconds=1))
