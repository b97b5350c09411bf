"""From any emotion to any other: edits of a person's real takes, beside their real take of the same words.

Nothing is compared with a number that faces do not reach: what the mouth does, how plain the emotion is and how much of
the source's is left stand beside the real take's, which is warped to the source's time (`references`).
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from cdrl.datasets.splits import load_split
from cdrl.emotions import EMOTIONS, parse_emotion
from cdrl.errors import CdrlError, InputError, InterruptedByUser, ModelFileError, UsageError
from cdrl.evaluation import measures
from cdrl.evaluation.benchmark import load_evaluators, name_evaluators, write_numbers
from cdrl.evaluation.benchmark_config import TransferConfig
from cdrl.evaluation.clip_features import ClipFeatures
from cdrl.evaluation.clip_tables import ClipRecord, read_clips, select_neutral_clips, select_real_clips
from cdrl.evaluation.evaluators import CLASSES
from cdrl.evaluation.json_numbers import finite_or_none
from cdrl.evaluation.method_benchmark import SHIPPED_NAME, open_output_folder, remove_video
from cdrl.evaluation.methods import Edit, name_output
from cdrl.evaluation.plausibility import Plausibility
from cdrl.evaluation.references import References, align_ground_truth
from cdrl.evaluation.score import Scores, align_frames, compare_features
from cdrl.evaluation.summary import average_people, estimate_mean
from cdrl.evaluation.transfer_report import render_transfer

Array = NDArray[np.float64]
Row = dict[str, Any]

_MOUTH = {"width": measures.lip_width, "opening": measures.lip_opening}
_DIFFERENT = 0.05  # eye distances: takes whose mouths differ by less leave an edit nothing to come nearer by
_FAILURE = {"lip_flow_r": 0.0, "opening_order": 0.0, "closures_kept": 0.0, "p_target": 0.0}


@dataclass(frozen=True)
class TransferTask:
    """A real take, and the emotion that it is to show."""

    source: ClipRecord
    """The take that is edited."""
    emotion: str
    """What is asked for: the person's takes of the same words show it."""
    neutral: Path | None = None
    """The person's neutral take that the edit is shown; None where it goes without."""
    reference: Path | None = None
    """The person's take that the edit is to be like; None where it is asked for by the emotion's label."""


def evaluate_transfer(config: TransferConfig) -> Row:
    """Edit real takes to each other emotion and compare with the real takes; write the files asked for.

    Args:
        config: What to edit and where to write.

    Returns:
        `set`, `method`, `intensity`, `enroll_neutral`, `by_reference`, `judges`, `unread` and `repeated` clips, the
        `summary` of `summarize_transfer`, and the `rows`.

    Raises:
        ModelFileError: A model is missing.
        InputError: The data folder is not what it should be, or nobody in it says the same words in two emotions.
        UsageError: An option makes no sense.
    """
    clips = read_clips(config.data)
    tasks = list_tasks(config, clips)
    title, request = SHIPPED_NAME if config.priors is None else "cdrl", {"renderer": config.renderer}
    method = Edit(title, config.priors, intensity=config.intensity, request=request)
    for task in tasks:
        method.find_models(task.source.person)  # before hours are spent
    networks, cache = load_evaluators(config)
    references, plausibility = References(clips, select_real_clips(clips, EMOTIONS), cache), Plausibility(clips, cache)
    with open_output_folder(config.keep) as folder:
        keep = config.keep is not None
        rows = [_evaluate_task(task, method, references, plausibility, folder, keep) for task in tasks]
    result = {
        "set": config.set,
        "method": method.name,
        "intensity": config.intensity,
        "renderer": config.renderer or "default",
        "enroll_neutral": config.enroll_neutral,
        "by_reference": config.by_reference,
        "judges": {**name_evaluators(networks), "plausibility": plausibility.name},
        "unread": dict(references.unread),
        "repeated": dict(references.repeated),
        "summary": summarize_transfer(rows),
        "rows": rows,
    }
    write_numbers(config, result, render_transfer(result))
    return result


def parse_emotion_pairs(texts: Sequence[str], emotions: Sequence[str]) -> list[tuple[str, str]]:
    """Read texts `FROM:TO` as pairs of two different ones of the emotions, in their order.

    Args:
        texts: `all` stands for each emotion; none for every pair.
        emotions: Names or aliases.

    Raises:
        UsageError: A text is none of the kind, or an emotion is unknown or not among `emotions`.
    """
    known = [parse_emotion(emotion) for emotion in emotions]
    if not texts:
        return list(permutations(known, 2))
    wanted = set()
    for text in texts:
        sides = [known if side == "all" else [parse_emotion(side)] for side in text.split(":")]
        found = {(a, b) for a in sides[0] for b in sides[-1] if a != b and {a, b} <= set(known)}
        if len(sides) != 2 or not found:
            raise UsageError(f"--pairs {text!r}: write FROM:TO, two different ones of {', '.join(known)}, or all")
        wanted |= found
    return [pair for pair in permutations(known, 2) if pair in wanted]


def list_tasks(config: TransferConfig, clips: Sequence[ClipRecord]) -> list[TransferTask]:
    """List every real take of the set's people with each emotion in which they say the same words.

    Raises:
        InputError: There is none.
        UsageError: An option makes no sense.
    """
    people, pairs = load_split("shipped"), parse_emotion_pairs(config.pairs, config.emotions)
    chosen = {"tune": people.validation, "report": people.test}.get(config.set)
    takes = defaultdict(list)
    for clip in select_real_clips(clips, EMOTIONS):
        if clip.words and (chosen is None or clip.person in chosen):
            takes[clip.person, clip.dataset, clip.words].append(clip)
    tasks = []
    for same in takes.values():
        neutral = [*select_neutral_clips(same, same[0].person), *select_neutral_clips(clips, same[0].person)]
        shown = neutral[0].path if config.enroll_neutral and neutral else None
        shows = {clip.emotion: clip.path for clip in reversed(same)}  # of several takes the first
        for source, (origin, target) in ((clip, pair) for pair in pairs for clip in same):
            if source.emotion == origin and target in shows:
                reference = shows[target] if config.by_reference else None
                tasks.append(TransferTask(source, target, None if origin == "neutral" else shown, reference))
    if not tasks:
        raise InputError(
            f"{config.data}: none of the people of --set {config.set} says the same words in two of the emotions asked "
            "for: choose another set or other emotions, or enter the words as `sentence` in clips.csv"
        )
    return tasks


def _evaluate_task(
    task: TransferTask, method: Edit, references: References, plausibility: Plausibility, folder: Path, keep: bool
) -> Row:
    """Edit one take and compare; a `CdrlError` makes a failed row that says why."""
    source, emotion = task.source, task.emotion
    sys.stderr.write(f"{source.person}: {source.emotion} → {emotion}, {source.path.name}\n")
    row: Row = {"method": method.name, "person": source.person, "source_emotion": source.emotion, "emotion": emotion}
    row |= {"source": source.path.name, "enrolled": task.neutral.name if task.neutral else None, "failed": None}
    row["reference"] = task.reference.name if task.reference else None
    output = folder / name_output(source.path.stem, emotion, method.name)
    remove_video(output)
    try:
        before = references.cache.extract(source.path)
        enroll = {"neutral": task.neutral} if task.neutral else {}
        replace(method, enroll=enroll, reference=task.reference)(source.path, emotion, output, source.person)
        after = references.cache.extract(output, before.layout)
        takes = [take.points for _, take in references.find_takes(source, emotion)]
        seen = plausibility.compare(source.person, before.points, after.points, takes)
        if emotion != "neutral":  # of which the mean expression is no direction
            for name, points in (("", after.points), ("_source", before.points)):
                seen[f"likeness{name}"] = plausibility.measure_likeness(source.person, before.points, points, takes)
        neutral = plausibility.find_neutral(source.person, before.points)
        row["plausibility_reference"] = neutral.origin if neutral is not None else None
        return {**row, "measures": {**score_transfer(task, before, after, references), **seen}}
    except (ModelFileError, InterruptedByUser):
        raise
    except CdrlError as error:
        return {**row, "failed": str(error), "measures": dict(_FAILURE)}
    finally:
        if not keep:
            remove_video(output)


def score_transfer(task: TransferTask, source: ClipFeatures, output: ClipFeatures, references: References) -> Scores:
    """Compute every measure of one edit; where there are several real takes, means over them.

    Args:
        task: What was edited, and to what.
        source: Features of the source.
        output: Features of the edit, in the source's layout.
        references: The person's real clips.

    Returns:
        `lip_flow_r`, `opening_order` and `closures_kept` beside the source; the measures of `compare_mouths`;
        `p_target`, `p_left` (of the source's emotion) and `p_neutral`; `identity`, the cosine to neutral takes of other
        words or, where the person has none, of these. `_source` and `_real` are the same of the source and of the real
        take.
    """
    clip = task.source
    compared = compare_features(source, output, task.emotion)
    scores: Scores = {name: compared[name] for name in ("lip_flow_r", "closures_kept")}
    here, there = align_frames(source, output, 0)
    points, edited = source.points[here], output.points[there]
    scores["opening_order"] = rank_correlation(measures.lip_opening(points), measures.lip_opening(edited))
    identity, only_these = references.find_identity(clip.person, clip.sentence), False
    if identity is None:
        identity, only_these = references.find_identity(clip.person), True
    scores |= _describe(output, task, identity)
    scores |= {f"{name}_source": value for name, value in _describe(source, task, None).items()}
    takes = []
    for take, real in references.find_takes(clip, task.emotion):
        seen = _describe(real, task, None if only_these and take.emotion == "neutral" else identity)
        warped = align_ground_truth(clip, source.points, take, real.points)
        mouths = {} if warped is None else compare_mouths(points, edited, warped[here])
        takes.append({**mouths, **{f"{name}_real": value for name, value in seen.items()}})
    return scores | {name: finite_or_none(value) for name, value in pd.DataFrame(takes, dtype=float).mean().items()}


def _describe(features: ClipFeatures, task: TransferTask, identity: Array | None) -> Scores:
    """What one clip shows of the emotions that matter, and whom."""
    emotions = {"p_target": task.emotion, "p_left": task.source.emotion, "p_neutral": "neutral"}
    scores: Scores = {
        name: measures.mean_probability(features.emotion, CLASSES.index(emotion)) for name, emotion in emotions.items()
    }
    return scores if identity is None else {**scores, "identity": measures.identity_cosine(features.identity, identity)}


def compare_mouths(source: Array, output: Array, real: Array) -> Scores:
    """Compare how wide the mouth is, and how far open, over the frames in which all three show a face.

    Args:
        source: [T,468,2] landmarks in pixels, NaN without a face.
        output: [T,468,2] of the edit.
        real: [T,468,2] of the real take, warped to the source's time.

    Returns:
        In eye distances, of `width` and of `opening`: the mean of the output, and `_source` and `_real`; `_error`, the
        difference of the output's mean from the real one, `_error_source` that of the source; `_distance`, the mean
        difference frame by frame, likewise. `nearer`: 1 where the output's error is less than the source's, else 0, in
        whichever of the two the source is further off; None where it is less than .05 off in both. Empty where the
        three have no frame in common.
    """
    scores: Scores = {}
    errors = []
    for name, measure in _MOUTH.items():
        values = np.stack([measure(points) for points in (source, output, real)])
        values = values[:, np.isfinite(values).all(0)]
        if not values.size:
            return {}
        before, after, truth = values.mean(1).tolist()
        scores |= {f"{name}_source": before, name: after, f"{name}_real": truth}
        scores |= {f"{name}_error": abs(after - truth), f"{name}_error_source": abs(before - truth)}
        distances = np.abs(values - values[2]).mean(1).tolist()
        scores |= {f"{name}_distance": distances[1], f"{name}_distance_source": distances[0]}
        errors.append((abs(before - truth), abs(after - truth)))
    off, error = max(errors)
    return {**scores, "nearer": None if off < _DIFFERENT else float(error < off)}


def rank_correlation(source: Array, output: Array) -> float | None:
    """Correlate the ranks of two series [T] over the frames where both are finite (Spearman), as `pearson` does."""
    both = np.isfinite(source) & np.isfinite(output)
    ranked = source.copy(), output.copy()
    for values in ranked:
        values[both] = rankdata(values[both])
    return measures.pearson(*ranked)


def summarize_transfer(rows: Sequence[Row]) -> Row:
    """Average over people: of all edits, by target (`to X`), by source (`from X`) and by pair (`X → Y`).

    Returns:
        Group → `edits`, how many `failed`, how many `differ` (have `nearer`), `share` (p(target) over the real takes'),
        and of each measure `estimate_mean` of each person's mean over pairs of the mean over clips.
    """
    table = pd.DataFrame([dict.fromkeys(("nearer", "p_target_real")) | row["measures"] for row in rows]).astype(float)
    table["person"] = [row["person"] for row in rows]
    table["emotion"] = [f"{row['source_emotion']} → {row['emotion']}" for row in rows]
    failed = np.array([row["failed"] is not None for row in rows])
    summary: Row = {}
    for name, inside in _group_rows(rows):
        people = average_people(table[inside])
        known = {measure: means for measure in people if len(means := people[measure].dropna())}
        shown, real = people[["p_target", "p_target_real"]].dropna().mean()
        summary[name] = {
            "edits": int(inside.sum()),
            "failed": int(failed[inside].sum()),
            "differ": int(table.loc[inside, "nearer"].notna().sum()),
            "share": float(shown / real) if real > 0 else None,
            "measures": {measure: estimate_mean(means) for measure, means in known.items()},
        }
    return summary


def _group_rows(rows: Sequence[Row]) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Name of each group and which rows are in it."""
    origins, targets = (np.array([row[key] for row in rows]) for key in ("source_emotion", "emotion"))
    yield "all", np.ones(len(rows), bool)
    yield from ((f"to {emotion}", targets == emotion) for emotion in EMOTIONS if emotion in targets)
    yield from ((f"from {emotion}", origins == emotion) for emotion in EMOTIONS if emotion in origins)
    for origin, target in permutations(EMOTIONS, 2):
        if (inside := (origins == origin) & (targets == target)).any():
            yield f"{origin} → {target}", inside
