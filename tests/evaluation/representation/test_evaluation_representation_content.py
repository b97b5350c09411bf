"""A model that reads the mouth, one that only listens and one that reads the emotion are told apart."""

import numpy as np
import pytest
from made_people import MadeContent, made_clip, made_people

from cdrl.evaluation.representation import content, retrieval, similarity
from cdrl.evaluation.representation.features import ALONE, FIXED, OWN, SHUFFLED, SILENT, content_features, one_sound
from cdrl.evaluation.representation.moments import gather, judged

READS = ("mouth", "sound", "emotion")


@pytest.fixture(scope="module")
def moments():
    return gather("synthetic", made_people(), 70)


@pytest.fixture(scope="module")
def rows(moments):
    models = {name: MadeContent(name) for name in READS}
    seen = content_features(models, moments, one_sound({"synthetic": moments}), lambda count: None)
    asked = content.Questions.of(moments, (0,), 0)
    found = []
    for name in models:
        found += content.similarity_rows(name, moments, asked, seen[name])
        found += content.attention_rows(name, moments, seen[name])[0]
        found += content.leakage_rows(name, moments, asked, seen[name], True, 0)
    return {(row.model, row.measure, row.condition): row for row in found}


def value(rows, *key):
    return rows[key].found.value


def test_who_reads_the_mouth_passes_whatever_is_heard(rows):
    for condition in (OWN, FIXED, SHUFFLED, SILENT):
        assert value(rows, "mouth", content.RETRIEVAL, condition) == 1
    assert value(rows, "mouth", content.SAME, OWN) == pytest.approx(1, abs=1e-3)
    assert value(rows, "mouth", content.OTHER, OWN) < 0.1
    assert value(rows, "mouth", content.OTHER_SHAPE, OWN) < value(rows, "mouth", content.OTHER, OWN)
    barred = [row for row in rows.values() if row.model == "mouth" and row.bar]
    assert all(row.bar.met(row.found) for row in barred), [row for row in barred if not row.bar.met(row.found)]
    assert rows["mouth", content.SAME, OWN].found.unit == "people"


def test_who_only_listens_is_found_out_when_the_sound_is_taken_away(rows):
    assert value(rows, "sound", content.RETRIEVAL, OWN) == 1
    assert value(rows, "sound", content.RETRIEVAL, ALONE) == 1
    for condition in (FIXED, SILENT):
        assert value(rows, "sound", content.RETRIEVAL, condition) == pytest.approx(1 / 32)
    row = rows["sound", content.RETRIEVAL, SHUFFLED]
    assert row.found.value < 0.15
    assert row.bar.met(row.found) is False


def test_who_reads_the_emotion_fails_at_content_and_leaks(rows):
    assert value(rows, "emotion", content.SAME, OWN) < 0.1
    assert value(rows, "emotion", content.OTHER, OWN) == pytest.approx(1, abs=1e-3)
    assert value(rows, "emotion", content.RETRIEVAL, OWN) < 0.1
    for kind in ("linear", "small network"):
        leaked, clean = (rows[name, content.EMOTION_READ, f"{kind}, {OWN}"] for name in ("emotion", "mouth"))
        assert leaked.found.value > 0.95
        assert leaked.bar.met(leaked.found) is False
        assert clean.found.value < clean.chance + 0.1
        assert rows["mouth", content.RAW_EMOTION, kind].found.value > 1 / 3 + 0.25


def test_candidates_are_32_and_none_is_near_the_match_or_the_match_again(moments):
    asked = retrieval.queries(moments)
    assert asked.candidates.shape == (len(asked.query), 32)
    assert asked.skipped == 0
    assert asked.tolerance.min() >= 0.2 - 1e-6
    for query, candidates in zip(asked.query[::7], asked.candidates[::7], strict=True):
        assert len(set(candidates.tolist())) == 32
        clips = [moments.clips[moments.clip[row]].metadata for row in candidates]
        own = moments.clips[moments.clip[query]].metadata
        assert {clip.actor for clip in clips} == {own.actor}
        assert {clip.emotion for clip in clips} == {clips[0].emotion} != {own.emotion}
        truths = [
            moments.clips[moments.clip[row]].ground_truth.position[moments.frame[row]] for row in (query, candidates[0])
        ]
        assert truths[0] == truths[1]


def test_a_short_lone_clip_gives_few_queries_or_none_and_counts_those_left_out():
    short = gather("synthetic", [made_clip("P", name, 1, count=36) for name in ("happy", "sad")], 60)
    asked = retrieval.queries(short)
    assert len(asked.query) + asked.skipped == 24 and asked.skipped > 0
    assert (asked.tolerance >= 0.2 - 1e-6).all()
    shorter = gather("synthetic", [made_clip("P", name, 1, count=20) for name in ("happy", "sad")], 60)
    assert (len(retrieval.queries(shorter).query), retrieval.queries(shorter).skipped) == (0, 24)


def test_other_moments_are_far_away_or_of_other_words(moments):
    pairs = similarity.other_content(moments)
    same_clip = moments.clip[pairs.first] == moments.clip[pairs.second]
    apart = np.abs(moments.time[pairs.first] - moments.time[pairs.second])
    assert (apart[same_clip] >= 0.2 - 1e-6).all()
    one, two = (
        np.array([moments.clips[moments.clip[row]].metadata.sentence_id for row in rows])
        for rows in (pairs.first, pairs.second)
    )
    assert (one != two)[~same_clip].all()
    assert same_clip.any() and (~same_clip).any()


def test_clips_without_sound_are_judged_by_the_silent_query_alone():
    silent = gather("real", made_people(1, dataset="mead", sound=False), 60)
    seen = content_features({"content": MadeContent("mouth")}, silent, None, lambda count: None)["content"]
    assert set(seen.vectors) == {SILENT}
    rows = content.similarity_rows("content", silent, content.Questions.of(silent, (0,), 0), seen)
    assert {row.condition for row in rows} == {SILENT}
    assert {row.people for row in rows} == {"real: mead"}


def test_attention_in_the_lower_face_and_what_an_even_map_would_give(rows, moments):
    row = rows["mouth", content.LOOKS, OWN]
    assert row.found.value > 0.95
    assert 0.1 < row.chance < 0.8
    upside = content_features({"x": MadeContent("mouth")}, moments, None, lambda count: None)["x"]
    turned = upside.attention[SILENT].reshape(-1, 16, 16)[:, ::-1].reshape(len(moments), -1)
    seen = type(upside)(upside.vectors, {SILENT: turned}, upside.grid, upside.pooled)
    assert content.attention_rows("x", moments, seen)[0][0].found.value < 0.01


def test_thinning_keeps_whole_sentences_and_everybody():
    clips = made_people(4, sentences=(1, 2, 3), count=12)
    kept = judged(clips, 60, 4 * 3 * 12)["synthetic"]
    assert len(kept.clips) == 12
    assert {clip.metadata.actor for clip in kept.clips} == {"P0", "P1", "P2", "P3"}
    assert all(len(group) == 3 for group in kept.groups())
