"""What is measured of a content model, as rows of the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cdrl.evaluation.estimates import Measurement, Threshold, mean_estimate, missing
from cdrl.evaluation.json_numbers import finite_or_none
from cdrl.evaluation.representation import leakage, similarity
from cdrl.evaluation.representation.features import CONDITIONS, FIXED, OWN, SHUFFLED, SILENT, ContentFeatures
from cdrl.evaluation.representation.frame_index import SYNTHETIC, FrameIndex

SAME, OTHER = "same content, other emotion: cosine", "other content, same emotion: cosine"
OTHER_VISEME = "other content and other viseme, same emotion: cosine"
RETRIEVAL = f"matching moment in another emotion, top-1 of {similarity.CANDIDATES}"
EMOTION_READ, RAW_EMOTION = "emotion read from content", "emotion read from the raw encoder"
VISEME_READ = "viseme read from content"

THRESHOLDS = {
    (SAME, OWN): Threshold("at least", 0.90),
    (OTHER, OWN): Threshold("at most", 0.10),
    (RETRIEVAL, OWN): Threshold("at least", 0.8),
    (RETRIEVAL, FIXED): Threshold("at least", 0.5),
    (RETRIEVAL, SHUFFLED): Threshold("at least", 0.5),
}
"""What is asked on synthetic people, by measure and sound."""
ABOVE_CHANCE = Threshold("interval above", 1 / similarity.CANDIDATES)
"""What is asked of retrieval on real people, of whom no exact truth is known."""


@dataclass(frozen=True)
class TestPairs:
    """What every content model is measured on in a block: the same pairs, queries and frames for all of them."""

    frames: Mapping[str, pd.DataFrame]
    """Measure (`SAME`, `OTHER`, `OTHER_VISEME`) → the pairs of frames whose cosines it is the mean of."""
    queries: similarity.Queries
    """Queries of retrieval."""
    emotion: leakage.ProbeTask
    """Frames whose emotion a probe reads."""
    viseme: leakage.ProbeTask
    """Frames whose viseme a probe reads."""

    @classmethod
    def draw(cls, index: FrameIndex, seed: int) -> TestPairs:
        """Draw what the frames of a block allow; the same for the same seed."""
        other = similarity.find_other_content(index, seed)
        same, other_viseme = similarity.find_same_content(index), similarity.select_other_visemes(index, other)
        return cls(
            {SAME: same, OTHER: other, OTHER_VISEME: other_viseme},
            similarity.draw_queries(index, seed),
            leakage.make_emotion_task(index, seed=seed),
            leakage.make_viseme_task(index, seed=seed),
        )

    def compute_values(self, measure: str, vectors: NDArray[np.float32]) -> pd.DataFrame:
        """Compute the hits of retrieval, or the cosines of pairs, of unit vectors [N, D]: `person`, `clip`, `value`."""
        if measure == RETRIEVAL:
            return self.queries.hit_values(vectors)
        pairs = self.frames[measure]
        return pairs.assign(value=np.einsum("nd,nd->n", vectors[pairs["first"]], vectors[pairs["second"]]))

    def to_json(self) -> dict[str, Any]:
        """Return how many there are, and how near to the match the wrong candidates come."""
        return {
            "pairs of the same moment": len(self.frames[SAME]),
            "pairs of different moments": len(self.frames[OTHER]),
            "queries": len(self.queries.table),
            "queries left out for want of 31 other moments": self.queries.skipped,
            "nearest wrong candidate of the same clip, seconds": finite_or_none(self.queries.table["tolerance"].min()),
            "emotions probed": list(self.emotion.names),
            "visemes probed": len(self.viseme.names),
            "moments probed": [len(self.emotion.cases), len(self.viseme.cases)],
        }


def measure_similarity(
    name: str, index: FrameIndex, pairs: TestPairs, features: ContentFeatures
) -> Iterator[Measurement]:
    """Measure the cosines of same and other content, and retrieval, with every sound; real people by data set."""
    datasets = sorted({clip.metadata.dataset for clip in index.clips})
    groups = {f"{index.block}: {dataset}": f"{dataset}/" for dataset in datasets}
    thresholds = dict.fromkeys([(RETRIEVAL, OWN), (RETRIEVAL, SILENT)], ABOVE_CHANCE)
    if index.block == SYNTHETIC:
        groups, thresholds = {SYNTHETIC: ""}, THRESHOLDS
    for people, prefix in groups.items():
        for measure in (*pairs.frames, RETRIEVAL):
            unit = "pairs of clips" if measure in (SAME, RETRIEVAL) else "clips"
            for condition in CONDITIONS:
                threshold = thresholds.get((measure, condition))
                if condition in features.vectors:
                    values = pairs.compute_values(measure, features.vectors[condition])
                    estimate = mean_estimate(values[values["person"].str.startswith(prefix)], unit)
                if condition not in features.vectors or estimate.value is None:
                    if threshold is None or index.block != SYNTHETIC:
                        continue
                    estimate = missing("no clip with this sound that is said in two emotions")
                chance = 1 / similarity.CANDIDATES if measure == RETRIEVAL else None
                yield Measurement(name, measure, people, condition, estimate, threshold, chance)


def measure_leakage(
    name: str, index: FrameIndex, pairs: TestPairs, features: ContentFeatures, raw: bool, seed: int
) -> Iterator[Measurement]:
    """Measure what probes read from content; with `raw` also from the encoder beneath it."""
    emotion, viseme = pairs.emotion, pairs.viseme
    limit = Threshold("at most", emotion.chance + leakage.MARGIN)
    needed = Threshold("at least", emotion.chance + leakage.GAIN)
    for kind in leakage.KINDS:
        for condition in (OWN, SILENT):
            vectors = features.vectors.get(condition)
            if vectors is None or np.isnan(vectors[emotion.rows]).any():
                continue
            for measure, task, threshold in ((EMOTION_READ, emotion, limit), (VISEME_READ, viseme, None)):
                if task is emotion or not task.reason:
                    accuracy = leakage.probe_accuracy(task, vectors[task.rows], kind, seed)
                    label = f"{kind}, {condition}"
                    yield Measurement(name, measure, index.block, label, accuracy, threshold, task.chance)
        if raw:
            accuracy = leakage.probe_accuracy(emotion, features.pooled[emotion.rows], kind, seed)
            yield Measurement(name, RAW_EMOTION, index.block, kind, accuracy, needed, emotion.chance)
