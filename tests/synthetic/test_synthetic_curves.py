"""Words become phones in time, phones mouths, emotions join them: the truth is exact; lips that must meet do."""

from __future__ import annotations

import numpy as np
import pytest

from cdrl.emotions import EMOTIONS
from cdrl.errors import InputError, UsageError
from cdrl_synthetic.clip_writer import compute_curves, cut_sound, measure_loudness
from cdrl_synthetic.expression import combine_weights, sample_style
from cdrl_synthetic.forced_alignment import align_recording, load_decoder
from cdrl_synthetic.head import UNITS
from cdrl_synthetic.planning import SyntheticSettings, compute_frame_times, make_plan, place_phones
from cdrl_synthetic.visemes import (
    SHAPES,
    VISEMES,
    Phones,
    classify_visemes,
    compute_closure,
    compute_mouth_weights,
    expand_sides,
)

JAW = UNITS.index("jawOpen")
WORDS = ("SIL", "B", "AA", "B", "AA", "F", "IY", "SIL")
BOUNDS = np.array([0, 0.3, 0.38, 0.6, 0.68, 0.9, 1.0, 1.2, 1.6])


@pytest.fixture
def phones():
    return Phones(WORDS, BOUNDS)


def test_words_are_found_in_real_speech(spoken):
    for take in spoken:
        assert " ".join(take.symbols) == "D OW N T F ER G EH T AH JH AE K AH T"
        assert take.words == ("don't", "forget", "a", "jacket")
        assert 0 < take.bounds[0] < take.bounds[-1] < 2.5
        assert (np.diff(take.bounds) > 0).all()
    assert len({take.bounds[-1] for take in spoken}) > 3, "takes differ in timing"


def test_a_recording_is_aligned_alike_whatever_was_aligned_before_it(spoken):
    for take in spoken:
        load_decoder.cache_clear()
        assert align_recording(take.recording) == take


def test_position_maps_takes_onto_each_other_exactly(spoken):
    settings = SyntheticSettings(people=2, clips=12, emotions=6, seconds=2.0)
    (first, *_), *_ = [person.clips for person in make_plan(settings, spoken, ("makehuman",))]
    for person in make_plan(settings, spoken, ("makehuman",)):
        result = [place_phones(clip, 2.0)[0] for clip in person.clips]
        assert len({item.symbols for item in result}) == 1, "the same words in every emotion"
        for item in result:
            # At the start of phone k the position is k, whatever the take.
            np.testing.assert_allclose(item.positions_at(item.bounds), np.arange(len(item.bounds)), atol=1e-4)
            assert item.bounds[0] == 0 and item.bounds[-1] == 2.0
    assert first.content_id.startswith("dont_forget_a_jacket:")


def test_visemes_follow_position(phones):
    times = compute_frame_times(1.6)
    index = phones.indices_at(times)
    assert set(np.unique(classify_visemes(phones, times)[index == 0])) == {VISEMES.index("silence")}
    assert (index == np.minimum(phones.positions_at(times).astype(int), len(WORDS) - 1)).all()


def test_the_mouth_opens_in_vowels_and_closes_in_bilabials(phones):
    times = compute_frame_times(1.6, 100)
    weights = compute_mouth_weights(phones, times, np.ones(len(times), np.float32), 1.0)
    middle = {k: int(100 * (BOUNDS[k] + BOUNDS[k + 1]) / 2) for k in range(8)}
    assert weights[middle[2], JAW] > 0.4 > 0.15 > weights[middle[0], JAW]
    assert compute_closure(phones, times)[middle[3]] == 1
    assert compute_closure(phones, times)[middle[2]] == 0
    assert compute_closure(phones, times, "labiodental")[middle[5]] == 1


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_no_emotion_keeps_closed_lips_open(phones, emotion, head):
    """On the mesh itself: lips are as near each other in b as at rest, and far apart in the vowel."""
    times = compute_frame_times(1.6)
    speech = compute_mouth_weights(phones, times, np.ones(len(times), np.float32), 1.25)
    jaw = np.linalg.norm(head.units[JAW], axis=1)
    lip = (head.lips > 0.5) & (np.abs(head.vertices[:, 0]) < 0.5) & (head.kind == 0)
    upper, lower = lip & (jaw < 0.25 * jaw.max()), lip & (jaw > 0.5 * jaw.max())

    def gap(weights):
        mesh = head.vertices + np.tensordot(weights, head.units, 1)
        return np.linalg.norm(mesh[upper][:, None] - mesh[lower][None], axis=2).min()

    rest, closed = gap(np.zeros(len(UNITS))), compute_closure(phones, times)
    for seed in range(3):
        shape = sample_style(np.random.default_rng(seed)).shapes[emotion]
        emotional = np.tile(shape, (len(times), 1))
        weights = combine_weights(speech, emotional, closed, compute_closure(phones, times, "labiodental"))
        assert closed.max() == 1
        for frame in np.flatnonzero(closed == 1):
            assert gap(weights[frame]) < rest + 0.1  # cm
        assert gap(weights[int(25 * 0.49)]) > rest + 0.7
        assert weights.min() >= 0 and weights.max() <= 1


def test_emotions_differ_and_people_do(spoken):
    one, other = (sample_style(np.random.default_rng(seed)) for seed in (1, 2))
    for emotion in EMOTIONS[1:]:
        assert np.abs(one.shapes[emotion] - other.shapes[emotion]).max() > 0.1
        assert np.abs(one.shapes[emotion] - one.shapes["neutral"]).max() > 0.4
    smile = {UNITS.index("mouthSmileLeft"), UNITS.index("mouthSmileRight")}
    assert set(np.flatnonzero(expand_sides({"mouthSmile": 1}))) == smile
    assert (SHAPES[VISEMES.index("silence")] == 0).all()


def test_sound_and_face_belong_together(spoken):
    plan = make_plan(SyntheticSettings(people=1, clips=6, emotions=6), spoken, ("makehuman",))[0].clips[0]
    samples, phones = cut_sound(plan, 2.0)
    curves = compute_curves(plan, sample_style(np.random.default_rng(0)), phones, samples, 2.0)
    assert samples.shape == (96_000,) and curves.weights.shape == (50, 52)
    loud = measure_loudness(samples, curves.times)
    speaking = curves.visemes != 0
    assert loud[~speaking].mean() < 0.1 < loud[speaking].mean()
    assert (np.diff(curves.position) > 0).all()


def test_a_plan_is_fair(spoken):
    plan = make_plan(SyntheticSettings(people=14, clips=112, emotions=4), spoken, ("makehuman", "ict"))
    clips = [clip for person in plan for clip in person.clips]
    counts = [sum(clip.emotion == emotion for clip in clips) for emotion in EMOTIONS]
    assert len(clips) == 112 and counts == [16] * 7
    assert {person.head for person in plan} == {"makehuman", "ict"}
    for person in plan:
        for clip in person.clips:
            acted = clip.take.recording.emotion
            # A take acted in the clip's own emotion is used where there is one; nobody acted surprise.
            assert acted == clip.emotion or clip.emotion == "surprised"
    assert plan == make_plan(SyntheticSettings(people=14, clips=112, emotions=4), spoken, ("makehuman", "ict"))
    assert plan != make_plan(SyntheticSettings(people=14, clips=112, emotions=4, seed=2), spoken, ("makehuman", "ict"))


@pytest.mark.parametrize(
    "settings", [{"emotions": 0}, {"emotions": 8}, {"people": 0}, {"clips": 10}, {"seconds": 0.1}, {"size": 65}]
)
def test_senseless_settings_are_refused(settings):
    with pytest.raises(UsageError):
        SyntheticSettings(**settings)


def test_one_take_is_too_few(spoken):
    with pytest.raises(InputError, match="two takes or more"):
        make_plan(SyntheticSettings(people=1, clips=4), spoken[:1], ("makehuman",))
