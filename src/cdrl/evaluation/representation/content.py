"""All that is measured of a content model, as rows of the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cdrl.evaluation.finite import finite
from cdrl.evaluation.representation import attention, closing, gradient, leakage, retrieval, similarity
from cdrl.evaluation.representation.estimates import Bar, Estimate, Row, Values, mean_estimate, missing
from cdrl.evaluation.representation.features import ALONE, FIXED, OWN, SHUFFLED, SILENT, ContentFeatures
from cdrl.evaluation.representation.moments import SYNTHETIC, Moments
from cdrl.evaluation.representation.probes import KINDS
from cdrl.representations.content import ContentModel

SAME, OTHER, OTHER_SHAPE = (
    "same content, other emotion: cosine",
    "other content, same emotion: cosine",
    "other content and other viseme, same emotion: cosine",
)
RETRIEVAL = f"matching moment in another emotion, top-1 of {retrieval.CANDIDATES}"
SHUT, BROWS = "lips shut in the picture: fall of the cosine", "brows moved as much: fall of the cosine"
LOOKS = "attention in the lower face"
SLOPE, SEEN = "gradient opens and shuts the mouth: derivative", "gradient opens and shuts the mouth: seen at the end"
ENDED = "gradient opens and shuts the mouth: where the descent ends"
EMOTION_READ, RAW_EMOTION = "emotion read from content", "emotion read from the raw encoder"
VISEME_READ = "viseme read from content"

RIGHT_WAY = 0.8  # share of frames in which the gradient must open or shut the mouth as it should
MUCH_LESS = 1 / 3  # of the fall by shut lips: what moved brows may cost

BARS = {
    (SAME, OWN): Bar("at least", 0.90),
    (OTHER, OWN): Bar("at most", 0.10),
    (RETRIEVAL, OWN): Bar("at least", 0.8),
    (RETRIEVAL, FIXED): Bar("at least", 0.5),
    (RETRIEVAL, SHUFFLED): Bar("at least", 0.5),
    (SHUT, OWN): Bar("at least", 0.2),
    (LOOKS, OWN): Bar("at least", 0.7),
}
"""What is asked on made people, by measure and sound."""
_CHANCE = 1 / retrieval.CANDIDATES


@dataclass(frozen=True)
class Questions:
    """What a block asks of every content model: the same pairs, queries and pictures for all of them."""

    same: similarity.Pairs
    other: similarity.Pairs
    other_shape: similarity.Pairs
    queries: retrieval.Queries
    shut: Sequence[closing.ShutPair]
    emotion: leakage.Task
    viseme: leakage.Task

    @classmethod
    def of(cls, moments: Moments, offsets: Sequence[int], seed: int) -> Questions:
        """The questions that the moments of a block allow; the same for the same seed. `offsets`: frames around a
        moment that the models see."""
        other = similarity.other_content(moments, seed)
        return cls(
            similarity.same_content(moments),
            other,
            similarity.other_viseme(moments, other),
            retrieval.queries(moments, seed),
            closing.shut_pairs(moments, offsets),
            leakage.emotion_task(moments, seed=seed),
            leakage.viseme_task(moments, seed=seed),
        )

    def to_json(self) -> dict[str, Any]:
        """How many questions there are, and how near to the match the wrong candidates come."""
        gaps = self.queries.tolerance[np.isfinite(self.queries.tolerance)]
        return {
            "pairs of the same moment": len(self.same.first),
            "pairs of different moments": len(self.other.first),
            "queries": len(self.queries.query),
            "queries left out for want of 31 other moments": self.queries.skipped,
            "nearest wrong candidate of the same clip, seconds": finite(float(gaps.min())) if len(gaps) else None,
            "pictures with lips shut": len(self.shut),
            "emotions probed": list(self.emotion.names),
            "visemes probed": len(self.viseme.names),
            "moments probed": [len(self.emotion.rows), len(self.viseme.rows)],
        }


def labels(block: str, people: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(label, beginning of the people's names): made people together, real ones by data set."""
    if block == SYNTHETIC:
        return [(block, "")]
    return [(f"{block}: {name}", f"{name}/") for name in sorted({person.split("/")[0] for person in people})]


def only(values: Values, beginning: str) -> Values:
    """The people whose names begin so."""
    return {person: clips for person, clips in values.items() if person.startswith(beginning)}


def similarity_rows(name: str, moments: Moments, asked: Questions, seen: ContentFeatures) -> list[Row]:
    """Cosines of same and other content, and retrieval, with every sound."""
    rows = []
    measures = ((SAME, asked.same), (OTHER, asked.other), (OTHER_SHAPE, asked.other_shape), (RETRIEVAL, asked.queries))
    everybody = {moments.person(int(moments.rows(number)[0])): 0 for number in range(len(moments.clips))}
    for label, beginning in labels(moments.block, everybody):
        for measure, questions in measures:
            for condition in (OWN, FIXED, SHUFFLED, SILENT, ALONE):
                vectors = seen.vectors.get(condition)
                found = {} if vectors is None else only(questions.values(vectors), beginning)
                what = "pairs of clips" if measure in (SAME, RETRIEVAL) else "clips"
                row = _similarity_row(name, moments.block, label, measure, condition, mean_estimate(found, what))
                rows += [row] if row.found.value is not None or row.bar else []
    return rows


def _similarity_row(name: str, block: str, label: str, measure: str, condition: str, found: Estimate) -> Row:
    chance = _CHANCE if measure == RETRIEVAL else None
    if block == SYNTHETIC:
        bar = BARS.get((measure, condition))
        if found.value is None and bar:
            found = missing("no clip with this sound that is said in two emotions")
        return Row(name, measure, label, condition, found, bar, chance)
    # Real people have no exact truth: the match must be found far more often than by chance, no more is asked.
    real = measure == RETRIEVAL and condition in (OWN, SILENT) and found.value is not None
    return Row(name, measure, label, condition, found, Bar("interval above", _CHANCE) if real else None, chance)


def closing_rows(
    models: Mapping[str, ContentModel], moments: Moments, asked: Questions
) -> tuple[list[Row], dict[str, Any]]:
    """What shutting the lips, and moving the brows as much, takes from the cosine; and what the detector sees of it."""
    rows = []
    pairs = asked.shut
    lost = closing.drops(models, moments, asked.shut)
    for name, conditions in lost.items():
        for condition in (OWN, SILENT):
            found = [missing("no frame with an open mouth")] * 2
            if condition in conditions:
                both = conditions[condition]
                found = [mean_estimate(closing.by_person(moments, pairs, numbers)) for numbers in both]
            barred = condition == OWN and moments.block == SYNTHETIC
            if not barred and found[0].value is None:
                continue
            most = (found[0].value or 0.0) * MUCH_LESS
            rows += [
                Row(name, SHUT, moments.block, condition, found[0], BARS[SHUT, OWN] if barred else None),
                Row(name, BROWS, moments.block, condition, found[1], Bar("at most", most) if barred else None),
            ]
    if not pairs:
        return rows, {}
    before, after = closing.really_shut(moments, pairs)
    return rows, {"opening seen before": before, "opening seen with lips shut": after}


def attention_rows(
    name: str, moments: Moments, seen: ContentFeatures
) -> tuple[list[Row], dict[str, attention.Attention]]:
    """The share of attention in the lower face, and the maps by condition."""
    rows, maps = [], {}
    for condition in (OWN, SILENT):
        if condition in seen.attention:
            found = attention.measure(moments, seen.attention[condition], seen.grid)
            if found is not None:
                maps[condition] = found
                rows.append(
                    Row(
                        name, LOOKS, moments.block, condition, mean_estimate(found.shares), BARS[LOOKS, OWN], found.even
                    )
                )
    return rows, maps


def gradient_rows(name: str, moments: Moments, paths: list[gradient.Path]) -> list[Row]:
    """In how many frames the gradient goes the right way."""
    rows = []
    bars = {"derivative": (SLOPE, True), "descent": (ENDED, False), "opening seen": (SEEN, True)}
    for way, (measure, barred) in bars.items():
        found = mean_estimate(gradient.shares(moments, paths, way)) if paths else missing("no mouth opens and shuts")
        bar = Bar("at least", RIGHT_WAY) if barred and moments.block == SYNTHETIC else None
        rows.append(Row(name, measure, moments.block, "the start's sound on both sides", found, bar, 0.5))
    return rows


def leakage_rows(
    name: str, moments: Moments, asked: Questions, seen: ContentFeatures, raw: bool, seed: int
) -> list[Row]:
    """What probes read from content; with `raw` also from the encoder beneath it."""
    rows = []
    emotion, viseme = asked.emotion, asked.viseme
    allowed, needed = Bar("at most", emotion.chance + leakage.MARGIN), Bar("at least", emotion.chance + leakage.GAIN)
    for kind in KINDS:
        for condition in (OWN, SILENT):
            vectors = seen.vectors.get(condition)
            if vectors is None or np.isnan(vectors[emotion.rows]).any():
                continue
            label = f"{kind}, {condition}"
            found = leakage.read(emotion, vectors[emotion.rows], kind, seed)
            rows.append(Row(name, EMOTION_READ, moments.block, label, found, allowed, emotion.chance))
            if not viseme.reason:
                found = leakage.read(viseme, vectors[viseme.rows], kind, seed)
                rows.append(Row(name, VISEME_READ, moments.block, label, found, None, viseme.chance))
        if raw:
            found = leakage.read(emotion, seen.pooled[emotion.rows], kind, seed)
            rows.append(Row(name, RAW_EMOTION, moments.block, kind, found, needed, emotion.chance))
    return rows
