"""Frames of the same moment are found on time-stretched copies, whose right answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_prepared import make_prepared, pack

from cdrl.datasets.pairs import align_by_position, align_frames, group_by_content
from cdrl.datasets.preparation import PreparationSettings, prepare_clip
from cdrl.datasets.prepared import GroundTruth, PreparedDataset
from cdrl.datasets.table import read_dataset
from cdrl.errors import ModelFileError
from cdrl.speech.audio import SAMPLE_RATE, read_samples
from cdrl.speech.loading import load_speech_encoder

RATE = 30


def stretch(u: np.ndarray) -> np.ndarray:
    """Seconds of the copy → seconds of the take: at first half as fast, then faster; [0, 2.6] → [0, 2]."""
    return np.interp(u, (0, 1.0, 1.8, 2.6), (0, 0.5, 1.35, 2.0))


def stretched_sound(samples: np.ndarray, seconds: float) -> np.ndarray:
    """The same sound in another time at the same pitch: short grains laid over one another, each moved to where it fits
    the one before best."""
    grain, hop = 640, 320
    window = np.hanning(grain).astype(np.float32)
    out, weight = np.zeros(int(seconds * SAMPLE_RATE) + grain, np.float32), np.zeros(int(seconds * SAMPLE_RATE) + grain)
    samples = np.pad(samples, (grain, 2 * grain))
    for at in range(0, int(seconds * SAMPLE_RATE), hop):
        first = grain + int(stretch(np.array(at / SAMPLE_RATE)) * SAMPLE_RATE)
        if at:
            wanted = out[at : at + hop]
            shifts = range(-160, 161, 4)
            first += max(shifts, key=lambda shift: float(samples[first + shift : first + shift + hop] @ wanted))
        out[at : at + grain] += window * samples[first : first + grain]
        weight[at : at + grain] += window
    return out / np.maximum(weight, 0.1)


def turned(landmarks: np.ndarray) -> np.ndarray:
    """The same face smaller, elsewhere, leaning, and turned by 12 degrees."""
    roll, yaw = np.radians(8), np.radians(12)
    around_z = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    around_y = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    return (landmarks * 0.8) @ (around_z @ around_y).T + (20, 11, 0)


def error(pairs: np.ndarray, truth: np.ndarray) -> float:
    """Median over frames of the copy, in frames."""
    return float(np.median(np.abs(pairs[:, 1] - truth[pairs[:, 0]])))


@pytest.fixture(scope="module")
def take(repository, tmp_path_factory):
    """A real take: landmarks [60, 478, 3], and its sound."""
    clip = next(c for c in read_dataset(repository / "examples").clips if c.emotion == "neutral")
    sample = prepare_clip(clip, PreparationSettings(speech="mel")).data
    folder = pack(tmp_path_factory.mktemp("take"), [(clip.id, sample)])
    return PreparedDataset.open([folder]).clips[0], read_samples(clip.path)


def made_clips(folder: Path, **how):
    return PreparedDataset.open([make_prepared(folder, **how)]).clips


def pair_of(folder: Path, take, copy_landmarks, copy_times, speech, copy_speech):
    """The stretched copy and the take as prepared clips."""
    first = {"times": take.times, "landmarks": take.landmarks, "speech": speech}
    second = {"times": copy_times, "landmarks": copy_landmarks, "speech": copy_speech}
    return made_clips(folder, given=(second, first))


@pytest.fixture(scope="module")
def stretched(take):
    """Times of the copy's frames, the take's frame at each (a real number), landmarks of the copy."""
    times = np.arange(0, 2.6, 1 / RATE)
    places = np.interp(stretch(times), take[0].times, np.arange(take[0].count))
    marks = take[0].landmarks.reshape(take[0].count, -1)
    low = np.floor(places).astype(int)
    high, share = np.minimum(low + 1, take[0].count - 1), (places - low)[:, None]
    copied = (marks[low] * (1 - share) + marks[high] * share).reshape(-1, 478, 3)
    noise = np.random.default_rng(0).normal(scale=0.25, size=copied.shape)
    return times, places, (turned(copied) + noise).astype(np.float32)


def test_mouth_motion_of_a_silent_clip(take, stretched, tmp_path):
    times, places, landmarks = stretched
    copy, original = pair_of(tmp_path, take[0], landmarks, times, None, None)
    assert copy.speech is None
    pairs = align_frames(copy, original)
    assert len(pairs) == len(times) and (np.diff(pairs[:, 1]) >= 0).all()
    assert error(pairs, places) <= 1


@pytest.mark.parametrize("spec", ["mel", "whisper"])
def test_speech(take, stretched, tmp_path, spec):
    times, places, landmarks = stretched
    try:
        encoder = load_speech_encoder(spec)
    except ModelFileError as missing:
        pytest.skip(str(missing))
    original_speech = encoder(take[1]).resample(take[0].times)
    copy_speech = encoder(stretched_sound(take[1], 2.6)).resample(times)
    # The mouth says nothing here: only the sound can tell.
    still = np.repeat(landmarks[:1], len(times), 0)
    copy, original = pair_of(tmp_path, take[0], still, times, original_speech, copy_speech)
    assert error(align_frames(copy, original), places) <= 1


def test_the_exact_map_goes_before_everything(tmp_path):
    groups = group_by_content(made_clips(tmp_path, actors=("p1",), frames=40))
    assert [len(group) for group in groups] == [3, 3]
    a, b, _ = groups[0]
    pairs = align_frames(a, b)
    apart = a.ground_truth.position[pairs[:, 0]] - b.ground_truth.position[pairs[:, 1]]
    assert len(pairs) > 30 and np.abs(apart).max() < 0.03


def test_silence_is_no_moment():
    def truth(position, speaking):
        return GroundTruth(np.array(position, np.float32), None, np.array(speaking, bool), None)

    a = truth([0, 0, 1, 2, 3, 4, 4], [0, 0, 1, 0, 1, 1, 0])
    b = truth([0, 2.1, 3, 4.2, 9], [0, 1, 1, 1, 1])
    assert align_by_position(a, b).tolist() == [[2, 1], [3, 1], [4, 2], [5, 3]]
    assert align_by_position(truth([0, 0], [0, 0]), b).shape == (0, 2)
    assert align_by_position(truth([2], [1]), truth([2], [1])).tolist() == [[0, 0]]


def test_groups_need_the_same_words_person_and_view(tmp_path):
    clips = made_clips(tmp_path, actors=("p1", "p2"), emotions=("happy",), sentences=2)
    assert group_by_content(clips) == []
    clips += made_clips(tmp_path / "more", actors=("p1",), emotions=("sad",), sentences=1)
    assert [[clip.metadata.emotion for clip in group] for group in group_by_content(clips)] == [["happy", "sad"]]
