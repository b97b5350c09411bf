"""Names, aliases and blends: what is understood, and what is refused in one line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdrl.emotions import ALIASES, DESCRIPTORS, EMOTIONS, MAX_INTENSITY, parse_blend, parse_emotion
from cdrl.errors import UsageError


def test_every_emotion_has_its_descriptors_and_every_alias_its_emotion():
    assert set(DESCRIPTORS) == set(EMOTIONS)
    assert set(ALIASES.values()) == set(EMOTIONS)
    assert not set(ALIASES) & set(EMOTIONS)


@pytest.mark.parametrize("name", EMOTIONS)
def test_a_name_is_its_own(name):
    assert parse_emotion(f" {name.upper()} ") == name


@pytest.mark.parametrize(
    ("text", "name"),
    [("ANG", "angry"), ("DIS", "disgusted"), ("FEA", "fear"), ("HAP", "happy"), ("NEU", "neutral"), ("SAD", "sad")]
    + [("calm", "neutral"), ("fearful", "fear"), ("anger", "angry"), ("disgust", "disgusted"), ("08", "surprised")],
)
def test_names_of_other_collections(text, name):
    assert parse_emotion(text) == name


@pytest.mark.parametrize(("text", "hint"), [("hapy", "happy"), ("angri", "angry"), ("suprise", "surprised")])
def test_unknown_name_suggests_the_nearest(text, hint):
    with pytest.raises(UsageError, match=rf"unknown emotion '{text}' \(did you mean {hint}\?\): choose from neutral"):
        parse_emotion(text)


def test_a_name_like_none_of_ours_gets_no_guess():
    with pytest.raises(UsageError) as caught:
        parse_emotion("qqqq")
    assert "did you mean" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "amounts"),
    [
        ("happy", {"happy": 1}),
        ("happy:1.2", {"happy": 1.2}),
        ("happy:0.8:1.5", {"happy": 1.2}),
        ("happy+surprised", {"happy": 0.5, "surprised": 0.5}),
        ("happy+surprised:1.2", {"happy": 0.6, "surprised": 0.6}),
        ("happy:0.6+surprised:0.4", {"happy": 0.6, "surprised": 0.4}),
        ("HAP : 0.6 + sur:.4 : 0.5", {"happy": 0.3, "surprised": 0.2}),
        ("sad:0", {"sad": 0}),
    ],
)
def test_blends(text, amounts):
    assert parse_blend(text) == pytest.approx(amounts)


@pytest.mark.parametrize(
    "text",
    ["", "+", "happy+", "happy+happy", "happy+joy", "happy:", "happy:x", "happy:nan", "happy:inf", "happy:-0.1"]
    + ["happy:1.6", "happy:1+sad:1", "happy:0.5+sad", "happy:1:1:1", "happy:1:1+sad:1", "happy::1", "reference", "0.5"],
)
def test_senseless_blends_are_refused_in_one_line(text):
    with pytest.raises(UsageError) as caught:
        parse_blend(text)
    assert "\n" not in str(caught.value)


def test_further_names_where_the_caller_has_some():
    assert parse_blend("reference:0.7", extra=("reference",)) == {"reference": 0.7}


@given(st.text(max_size=40))
def test_any_text_is_understood_or_refused(text):
    try:
        amounts = parse_blend(text)
    except UsageError:
        return
    assert set(amounts) <= set(EMOTIONS)
    assert 0 <= sum(amounts.values()) <= MAX_INTENSITY + 1e-9
