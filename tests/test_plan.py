"""The edit plan: what is understood and refused, and that its weights move as promised."""

import math
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdrl.emotions import EMOTIONS, MAX_INTENSITY
from cdrl.errors import UsageError
from cdrl.plan import REFERENCE, REGIONS, EditPlan


def weights(text, *times):
    plan = EditPlan.parse(segments=text)
    return [plan.weights(Fraction(str(time))) for time in times]


def test_one_emotion_for_the_whole_clip():
    plan = EditPlan.parse("HAP", intensity=0.8)
    assert plan.weights(Fraction(0)) == plan.weights(Fraction(10**6)) == {"happy": 0.8}
    assert plan.regions == set(REGIONS)
    assert plan.reference is None


def test_neutral_is_a_real_edit():
    assert EditPlan.parse("neutral").weights(Fraction(1)) == {"neutral": 1.0}


def test_intensity_zero_changes_nothing():
    plan = EditPlan.parse("happy", intensity=0)
    assert plan.changes_nothing
    assert plan.weights(Fraction(1)) == {}
    assert plan.names == {"happy"}


def test_blend_and_intensity_multiply():
    plan = EditPlan.parse("happy:0.6+surprised:0.4", intensity=0.5)
    assert plan.weights(Fraction(3)) == pytest.approx({"happy": 0.3, "surprised": 0.2})


def test_reference():
    plan = EditPlan.parse(reference="angry.mp4", intensity=1.2)
    assert plan.reference == Path("angry.mp4")
    assert plan.weights(Fraction(0)) == {REFERENCE: 1.2}


def test_reference_in_one_segment():
    plan = EditPlan.parse(reference="photo.jpg", segments="0-1:reference:0.5, 2-:happy")
    assert plan.weights(Fraction(0)) == {REFERENCE: 0.5}
    assert plan.weights(Fraction(3)) == {"happy": 1}


@pytest.mark.parametrize("regions", ["brows,eyes", " Eyes , BROWS", ["brows", "eyes"], ("eyes", "brows", "eyes")])
def test_regions(regions):
    assert EditPlan.parse("sad", regions=regions).regions == {"brows", "eyes"}


@pytest.mark.parametrize("regions", [(), "all", ["all"]])
def test_no_region_is_the_whole_face(regions):
    assert EditPlan.parse("sad", regions=regions).regions == set(REGIONS)


def test_the_grammar_of_segments():
    at = weights("0-2.5:neutral, 2.5-6:surprised:1.2, 7-8:happy:0.6+surprised:0.4, 9-:sad+fear:1.2", 1, 4, 6.5, 7.5, 20)
    assert at[0] == {"neutral": 1}
    assert at[1] == pytest.approx({"surprised": 1.2})
    assert at[2] == {}
    assert at[3] == pytest.approx({"happy": 0.6, "surprised": 0.4})
    assert at[4] == pytest.approx({"sad": 0.6, "fear": 0.6})


def test_segments_in_any_order_and_with_units():
    assert EditPlan.parse(segments="3s – 4.s:sad,.0-1:happy") == EditPlan.parse(segments="0-1:happy, 3-4:sad")


def test_cross_fade_is_centred_on_a_shared_border():
    at = weights("0-2:happy,2-4:sad", "1.8", "1.9", 2, "2.2")
    assert at[0] == {"happy": 1}
    assert at[1] == pytest.approx({"happy": 1 - 0.15625, "sad": 0.15625})
    assert at[2] == pytest.approx({"happy": 0.5, "sad": 0.5})
    assert at[3] == {"sad": 1}


def test_fade_towards_a_gap_lies_inside_the_segment():
    at = weights("1-3:happy", "0.99", 1, "1.2", "1.4", "2.6", "2.8", 3)
    assert at == [{}, {}, {"happy": 0.5}, {"happy": 1}, {"happy": 1}, {"happy": pytest.approx(0.5)}, {}]


def test_a_segment_at_the_clips_start_is_there_at_once():
    assert weights("0-2:happy", 0) == [{"happy": 1}]


def test_very_short_segment_still_reaches_its_middle():
    at = weights("1-1.1:happy", 1, "1.05", "1.1")
    assert at == [{}, {"happy": 1}, {}]


def test_very_short_segment_between_two_others():
    at = weights("0-1:happy,1-1.1:fear,1.1-2:sad", "0.95", 1, "1.05", "1.1", "1.15")
    assert [sorted(weight) for weight in at] == [["happy"], ["fear", "happy"], ["fear"], ["fear", "sad"], ["sad"]]


def test_same_emotion_over_a_border_does_not_dip():
    at = weights("0-2:happy,2-4:happy", *(Fraction(n, 100) for n in range(150, 250)))
    assert all(weight["happy"] == pytest.approx(1) for weight in at)


REFUSED = [
    ({}, "nothing is asked for"),
    ({"emotion": "happy", "segments": "0-1:sad"}, "choose one"),
    ({"emotion": "happy", "reference": "a.mp4"}, "choose one"),
    ({"emotion": ""}, "missing"),
    ({"emotion": "hapy"}, "did you mean happy"),
    ({"emotion": "reference"}, "unknown emotion"),
    ({"emotion": "happy", "intensity": 1.6}, "out of range"),
    ({"emotion": "happy", "intensity": -0.1}, "out of range"),
    ({"emotion": "happy", "intensity": math.nan}, "out of range"),
    ({"emotion": "happy", "intensity": math.inf}, "out of range"),
    ({"emotion": "happy", "intensity": "1"}, "out of range"),
    ({"emotion": "happy:1.2", "intensity": 1.5}, "comes to 1.8"),
    ({"emotion": "happy", "regions": "brow"}, r"unknown region 'brow' \(did you mean brows\?\)"),
    ({"emotion": "happy", "regions": "brows,,eyes"}, "unknown region ''"),
    ({"emotion": "happy", "regions": [""]}, "unknown region ''"),
    ({"segments": ""}, "no segment"),
    ({"segments": "0-1:happy,"}, "cannot read the segment ''"),
    ({"segments": "happy"}, "cannot read"),
    ({"segments": "0-1"}, "cannot read"),
    ({"segments": "0:1:happy"}, "cannot read"),
    ({"segments": "a-b:happy"}, "cannot read"),
    ({"segments": "0-1e9:happy"}, "cannot read"),
    ({"segments": "0-nan:happy"}, "cannot read"),
    ({"segments": f"0-{'9' * 50}:happy"}, "cannot read"),
    ({"segments": "-1-2:happy"}, "negative"),
    ({"segments": "1--2:happy"}, "negative"),
    ({"segments": "2-1:happy"}, "later than its start"),
    ({"segments": "1-1:happy"}, "later than its start"),
    ({"segments": "0-2:happy,1-3:sad"}, "overlap"),
    ({"segments": "0-:happy,1-3:sad"}, "overlap"),
    ({"segments": "0-1:happy,0-1:sad"}, "overlap"),
    ({"segments": "0-1:hapy"}, "did you mean happy"),
    ({"segments": "0-1:"}, "name is missing"),
    ({"segments": "0-1:happy:2"}, "out of range"),
    ({"segments": "0-1:happy:1.2", "intensity": 1.5}, "'0-1:happy:1.2' comes to 1.8"),
    ({"segments": "0-1:reference"}, "add --reference"),
    ({"segments": "0-1:happy", "reference": "a.mp4"}, "no segment uses it"),
]


@pytest.mark.parametrize(("wish", "message"), REFUSED)
def test_refused_in_one_line(wish, message):
    with pytest.raises(UsageError, match=message) as caught:
        EditPlan.parse(**wish)
    assert "\n" not in str(caught.value)


@st.composite
def segment_texts(draw):
    """Segments of 50 ms or more, some of them touching, and the time at which they end."""
    time, parts = draw(st.integers(0, 20)), []
    for _ in range(draw(st.integers(1, 6))):
        end = time + draw(st.integers(1, 40))
        emotion = draw(st.sampled_from(EMOTIONS))
        amount = draw(st.integers(0, 15)) / 10
        parts.append((time, end, f"{time / 20:.2f}-{end / 20:.2f}:{emotion}:{amount}"))
        time = end + draw(st.sampled_from([0, 0, 1, 7]))
    return parts


STEP = Fraction(1, 1000)
# The steepest fade is the 50 ms one: it rises within 25 ms, at 1.5 times its mean slope, from up to 1.5 to nothing.
STEEPEST = 1.5 * MAX_INTENSITY * float(STEP) / 0.025


@given(segment_texts(), st.integers(0, 14000))
def test_weights_are_continuous_and_bounded(parts, tick):
    plan = EditPlan.parse(segments=",".join(text for _, _, text in parts))
    now, then = plan.weights(tick * STEP), plan.weights((tick + 1) * STEP)
    assert sum(now.values()) <= MAX_INTENSITY + 1e-9
    assert all(value > 0 for value in now.values())
    for name in now.keys() | then.keys():
        assert abs(now.get(name, 0) - then.get(name, 0)) <= STEEPEST * 2 + 1e-9


@given(segment_texts(), st.integers(0, 14000))
def test_gaps_stay_untouched(parts, tick):
    plan = EditPlan.parse(segments=",".join(text for _, _, text in parts))
    time = tick * STEP
    if not any(Fraction(start, 20) <= time < Fraction(end, 20) for start, end, _ in parts):
        assert plan.weights(time) == {}


@given(segment_texts())
def test_float_and_fraction_times_agree(parts):
    plan = EditPlan.parse(segments=",".join(text for _, _, text in parts))
    for tick in range(0, 400, 7):
        exact, rounded = plan.weights(Fraction(tick, 40)), plan.weights(tick / 40)
        for name in exact.keys() | rounded.keys():
            assert exact.get(name, 0) == pytest.approx(rounded.get(name, 0), abs=1e-9)


@given(st.text(max_size=40))
def test_any_text_is_understood_or_refused(text):
    try:
        plan = EditPlan.parse(segments=text)
    except UsageError as error:
        assert "\n" not in str(error)
    else:
        assert sum(plan.weights(Fraction(1)).values()) <= MAX_INTENSITY
