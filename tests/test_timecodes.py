"""Times of segments as people write them, before and after the clip's frame rate is known."""

from fractions import Fraction

import pytest

from cdrl.errors import UsageError
from cdrl.plan import EditPlan

NTSC = Fraction(30000, 1001)


def parsed(text):
    """The plan, or what it is refused with."""
    try:
        return EditPlan.parse(segments=text)
    except UsageError as error:
        return str(error)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("0:05-1:02.5:happy", "5-62.5:happy"),
        ("01:02:10-:sad:0.5", "3730-:sad:0.5"),
        ("0:00 – 0:01:happy:0.6+sad:0.4", "0-1:happy:0.6+sad:0.4"),
        ("90:00-1:30:01:fear", "5400-5401:fear"),
        ("0-1:happy:60%+sad:40%:50%", "0-1:happy:.6+sad:.4:.5"),
    ],
)
def test_clock_times_and_percentages_are_read_as_seconds_and_shares(text, same):
    assert parsed(text) == parsed(same)
    assert not isinstance(parsed(text), str)


@pytest.mark.parametrize(
    ("rate", "text", "start"),
    [
        (Fraction(25), "00:00:01:05-:happy", Fraction(6, 5)),
        (NTSC, "01:00:00:00-:happy", Fraction(108000) / NTSC),
        (NTSC, "00:10:00;00-:happy", Fraction(17982) / NTSC),
        (NTSC, "00:01:00;02-:happy", Fraction(1800) / NTSC),
        (NTSC * 2, "00:01:00;04-:happy", Fraction(3600) / (NTSC * 2)),
    ],
)
def test_a_timecode_counts_the_clips_frames(rate, text, start):
    plan = parsed(text)
    assert not isinstance(plan, str), plan
    assert plan.at_rate(rate).segments[0].start == start


def test_a_plan_that_counts_frames_is_not_carried_out_before_the_rate_is_known():
    plan = parsed("1.01-00:00:01:05:happy")
    assert not isinstance(plan, str), plan
    with pytest.raises(UsageError, match="frame rate"):
        plan.weights(1)
    assert plan.at_rate(Fraction(25)).weights(Fraction(221, 200)) == {"happy": pytest.approx(1)}


@pytest.mark.parametrize(
    ("rate", "text", "said"),
    [
        (Fraction(25), "00:00:01:25-:happy", "no such frame"),
        (Fraction(25), "00:00:01;05-:happy", "drop-frame"),
        (NTSC, "00:01:00;00-:happy", "leaves out"),
        (None, "00:00:01:05-:happy", "no frame rate"),
        (Fraction(25), "0-00:00:01:20:happy,1.5-2:sad", "overlap"),
        (Fraction(25), "00:00:01:20-1.5:happy", "runs backwards"),
    ],
)
def test_a_timecode_that_does_not_fit_the_clip_is_refused(rate, text, said):
    plan = parsed(text)
    assert not isinstance(plan, str), plan
    with pytest.raises(UsageError, match=said):
        plan.at_rate(rate)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0-0:75:happy", "go up to 59"),
        ("0-1:2:3:4:5:happy", "no time"),
        ("0-1.2.3:happy", "no time"),
        ("0-1:05", "names no emotion"),
        ("0:05-0:04:happy", "backwards"),
        ("00:00:02:10-00:00:02:05:happy", "backwards"),
        ("-0:05-1:happy", "negative"),
    ],
)
def test_senseless_times_are_refused_in_one_line(text, said):
    assert said in parsed(text)
