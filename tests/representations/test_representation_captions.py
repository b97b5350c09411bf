"""Captions: what stands out is said, what is usual is not; every emotion has several descriptions of its own."""

import numpy as np
import pytest

from cdrl.emotions import EMOTIONS
from cdrl.errors import UsageError
from cdrl.face.landmarks import BLENDSHAPES
from cdrl.representations.captions import TRAITS, Captioner, describe_emotion, list_descriptions, measure_traits


def faces(count=200):
    return np.abs(np.random.default_rng(0).normal(0, 0.05, (count, 52))).astype(np.float32)


def face(**units):
    made = np.zeros(52, np.float32)
    for name, value in units.items():
        for unit in (name, f"{name}Left", f"{name}Right"):
            if unit in BLENDSHAPES:
                made[BLENDSHAPES.index(unit)] = value
    return made


def test_what_the_face_does_is_said_from_the_brows_down():
    write = Captioner.fit(faces())
    assert write(face(jawOpen=0.8, browDown=0.6)) == "brows drawn down and together, jaw dropped, mouth wide open"
    smile = write(face(mouthSmile=0.9))
    assert smile == "lip corners drawn up in a smile, mouth closed"
    everything = write(face(**dict.fromkeys(("browDown", "eyeWide", "noseSneer", "mouthFrown", "mouthStretch"), 0.9)))
    assert sum(trait.high in everything for trait in TRAITS) == 4


def test_a_usual_face_is_not_described_by_chance():
    write = Captioner.fit(faces())
    usual = np.median(faces(), 0)
    assert write(usual) == "nothing in the face stands out"


def test_who_is_rare_counts_as_much_as_who_is_seen_often():
    often, rare = np.tile(face(jawOpen=0.2), (90, 1)), np.tile(face(jawOpen=0.9), (10, 1))
    weights = np.array([1 / 90] * 90 + [1 / 10] * 10)
    column = next(i for i, trait in enumerate(TRAITS) if trait.low)
    both = np.concatenate([often, rare])
    assert Captioner.fit(both).high[column] < Captioner.fit(both, weights).high[column]


def test_sides_are_averaged():
    made = face()
    made[BLENDSHAPES.index("mouthSmileLeft")] = 0.6
    column = next(i for i, trait in enumerate(TRAITS) if "smile" in trait.high)
    assert measure_traits(made[None])[0, column] == pytest.approx(0.3)


def test_no_face_cannot_tell_what_is_usual():
    with pytest.raises(UsageError, match="blendshapes"):
        Captioner.fit(np.zeros((0, 52), np.float32))


def test_descriptions_are_many_and_nobody_elses():
    texts, numbers = list_descriptions()
    assert len(set(texts)) == len(texts) == len(numbers)
    assert all(len(describe_emotion(emotion)) >= 10 for emotion in EMOTIONS)
    assert texts[numbers.index(1)] == describe_emotion("angry")[0]
