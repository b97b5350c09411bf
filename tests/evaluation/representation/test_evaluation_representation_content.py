"""A model that reads the mouth, one that only listens and one that reads the emotion are told apart."""

import numpy as np
import pytest
from made_people import MadeContent, made_clip, made_people

from cdrl.evaluation.representation import content, features, similarity
from cdrl.evaluation.representation.features import ALONE, FIXED, OWN, SHUFFLED, SILENT
from cdrl.evaluation.representation.frame_index import index_blocks, index_frames

READS = ("mouth", "sound", "emotion")


@pytest.fixture(scope="module")
def index():
    return index_frames("synthetic", made_people(), 70)


def compute(models, index, fixed=None):
    return features.compute_content_features(models, index, fixed, lambda count: None)


@pytest.fixture(scope="module")
def rows(index):
    models = {name: MadeContent(name) for name in READS}
    seen = compute(models, index, features.choose_fixed_sound({"synthetic": index}))
    pairs = content.TestPairs.draw(index, 0)
    measured = []
    for name in models:
        measured += content.measure_similarity(name, index, pairs, seen[name])
        if name != "sound":  # of which nothing is asked
            measured += content.measure_leakage(name, index, pairs, seen[name], True, 0)
    return {(row.model, row.measure, row.condition): row for row in measured}


def value(rows, *key):
    return rows[key].estimate.value


def test_who_reads_the_mouth_passes_whatever_is_heard(rows):
    for condition in (OWN, FIXED, SHUFFLED, SILENT):
        assert value(rows, "mouth", content.RETRIEVAL, condition) == 1
    assert value(rows, "mouth", content.SAME, OWN) == pytest.approx(1, abs=1e-3)
    assert value(rows, "mouth", content.OTHER, OWN) < 0.1
    assert value(rows, "mouth", content.OTHER_VISEME, OWN) < value(rows, "mouth", content.OTHER, OWN)
    asked = [row for row in rows.values() if row.model == "mouth" and row.threshold]
    assert asked and not [row for row in asked if not row.threshold.passes(row.estimate)]
    assert rows["mouth", content.SAME, OWN].estimate.unit == "people"


def test_who_only_listens_is_found_out_when_the_sound_is_taken_away(rows):
    assert value(rows, "sound", content.RETRIEVAL, OWN) == 1
    assert value(rows, "sound", content.RETRIEVAL, ALONE) == 1
    for condition in (FIXED, SILENT):
        assert value(rows, "sound", content.RETRIEVAL, condition) == pytest.approx(1 / 32)
    row = rows["sound", content.RETRIEVAL, SHUFFLED]
    assert row.estimate.value < 0.15
    assert row.threshold.passes(row.estimate) is False


def test_who_reads_the_emotion_fails_at_content_and_leaks(rows):
    assert value(rows, "emotion", content.SAME, OWN) < 0.1
    assert value(rows, "emotion", content.OTHER, OWN) == pytest.approx(1, abs=1e-3)
    assert value(rows, "emotion", content.RETRIEVAL, OWN) < 0.1
    for kind in ("linear", "small network"):
        leaked, clean = (rows[name, content.EMOTION_READ, f"{kind}, {OWN}"] for name in ("emotion", "mouth"))
        assert leaked.estimate.value > 0.95
        assert leaked.threshold.passes(leaked.estimate) is False
        assert clean.estimate.value < clean.chance + 0.1
        assert rows["mouth", content.RAW_EMOTION, kind].estimate.value > 1 / 3 + 0.25


def test_candidates_are_32_and_none_is_near_the_match_or_the_match_again(index):
    queries = similarity.draw_queries(index)
    assert queries.candidates.shape == (len(queries.table), 32)
    assert queries.skipped == 0
    assert queries.table["tolerance"].min() >= 0.2 - 1e-6
    for query, candidates in zip(queries.table["row"][::7], queries.candidates[::7], strict=True):
        assert len(set(candidates.tolist())) == 32
        clips = [index.clips[index.clip[row]].metadata for row in candidates]
        own = index.clips[index.clip[query]].metadata
        assert {clip.actor for clip in clips} == {own.actor}
        assert {clip.emotion for clip in clips} == {clips[0].emotion} != {own.emotion}
        said = [index.clips[index.clip[row]].ground_truth.position[index.frame[row]] for row in (query, candidates[0])]
        assert said[0] == said[1]


def test_a_short_lone_clip_gives_few_queries_or_none_and_counts_those_left_out():
    short = index_frames("synthetic", [made_clip("P", name, 1, count=36) for name in ("happy", "sad")], 60)
    queries = similarity.draw_queries(short)
    assert len(queries.table) + queries.skipped == 24 and queries.skipped > 0
    assert (queries.table["tolerance"] >= 0.2 - 1e-6).all()
    shorter = index_frames("synthetic", [made_clip("P", name, 1, count=20) for name in ("happy", "sad")], 60)
    none = similarity.draw_queries(shorter)
    assert (len(none.table), none.skipped) == (0, 24)


def test_other_moments_are_far_away_or_of_other_words(index):
    pairs = similarity.find_other_content(index)
    first, second = pairs["first"].to_numpy(), pairs["second"].to_numpy()
    same_clip = index.clip[first] == index.clip[second]
    apart = np.abs(index.time[first] - index.time[second])
    assert (apart[same_clip] >= 0.2 - 1e-6).all()
    sentences = np.array([clip.metadata.sentence_id for clip in index.clips])
    one, two = sentences[index.clip[first]], sentences[index.clip[second]]
    assert (one != two)[~same_clip].all()
    assert same_clip.any() and (~same_clip).any()


def test_clips_without_sound_are_measured_by_the_silent_query_alone():
    silent = index_frames("real", made_people(1, dataset="mead", sound=False), 60)
    seen = compute({"content": MadeContent("mouth")}, silent)["content"]
    assert set(seen.vectors) == {SILENT}
    rows = list(content.measure_similarity("content", silent, content.TestPairs.draw(silent, 0), seen))
    assert {row.condition for row in rows} == {SILENT}
    assert {row.people for row in rows} == {"real: mead"}


def test_thinning_keeps_whole_sentences_and_everybody():
    clips = made_people(4, sentences=(1, 2, 3), count=12)
    index = index_blocks(clips, 60, 4 * 3 * 12)["synthetic"]
    assert len(index.clips) == 12
    assert {clip.metadata.actor for clip in index.clips} == {"P0", "P1", "P2", "P3"}
    assert all(len(group) == 3 for group in index.content_groups())
