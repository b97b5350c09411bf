"""Fits the emotion prior on labeled clips of people who also have neutral ones.

It needs no torch. Each person counts once, whatever the number of their clips.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from cdrl.assets import register_asset
from cdrl.datasets.splits import check_people
from cdrl.errors import UsageError
from cdrl.face.bundle import Floats
from cdrl.face.mesh import POINTS
from cdrl.manipulation.expression_change import rms_millimeters
from cdrl.manipulation.prior import EXPRESSIVE, EmotionPrior
from cdrl.training.emotion_offsets import (
    STRENGTH,
    combine_offsets,
    fit_closed_lip_attenuation,
    make_table,
    measure_offsets,
    people_with_emotions,
    strengthen,
    tabulate_mouths,
)
from cdrl.training.example_fitting import fit_enrollment_gain, tabulate_enrollment
from cdrl.training.expression_reading import (
    ExpressionReading,
    fit_expression_reading,
    mean_neutral_shapes,
    tabulate_neutral,
)
from cdrl.training.observations import ClipObservation, LabeledClip, observe_clips, read_clips
from cdrl.training.options import DEFAULT_PRIOR_OUTPUT, PriorOptions
from cdrl.training.progress import track
from cdrl.training.release import check_target
from cdrl.training.shading import fit_shading

_MIN_PEOPLE = 2
_IDENTITY_MODES, _EXPRESSION_MODES = 20, 40
_EACH = "each"


def fit_priors(options: PriorOptions) -> None:
    """Fit, validate and register the priors that the options ask for.

    Raises:
        CdrlError: An option, the data or the output is wrong.
    """
    console = Console(soft_wrap=True)
    clips = read_clips(options.data)
    excluded = _plan_outputs(options, clips)
    _check_outputs(options, excluded)
    seen: list[ClipObservation] = []
    for item in track(observe_clips(clips, options.cache), "watching clips", console, len(clips)):
        if isinstance(item, str):
            console.print(item, highlight=False)
        else:
            seen.append(item)
    if options.validate:
        console.print(tabulate_offsets(seen))
        console.print(tabulate_enrollment(seen, fit_prior(seen)))
        console.print(tabulate_neutral(seen))
        console.print(tabulate_mouths(seen))
    for path, people in excluded.items():
        if options.exclude == _EACH and not people <= people_with_emotions(seen):
            continue  # of clips that could not be measured
        fit_prior(seen, people).save(path, overwrite=options.overwrite)
        count = len(people_with_emotions(seen) - people)
        register_asset(path, options.license, f"cdrl train prior on {len(seen)} clips, {count} people with emotions")
        console.print(f"wrote {path}", highlight=False)


def _plan_outputs(options: PriorOptions, clips: Sequence[LabeledClip]) -> dict[Path, set[str]]:
    """Which priors are written, and who is excluded from each; refuses unknown names."""
    if options.exclude != _EACH:
        people = {name.strip() for name in options.exclude.split(",") if name.strip()}
        check_people(sorted(people), {clip.person for clip in clips}, "--exclude")
        return {options.output: people}
    everybody = sorted(people_with_emotions(clips))
    for person in everybody:
        if {"/", "\\"} & set(person):
            raise UsageError(f"--exclude each: {person!r} cannot be part of a file's name; name that actor otherwise")
    return {options.output.with_name(f"prior_without_{person}.npz"): {person} for person in everybody}


def _check_outputs(options: PriorOptions, paths: Collection[Path]) -> None:
    """Refuse before any work what could not be written in the end, or would replace something unasked."""
    if options.output.suffix != ".npz":
        raise UsageError(f"--output {options.output}: a prior is an .npz file; give it that ending")
    if options.output == DEFAULT_PRIOR_OUTPUT:
        DEFAULT_PRIOR_OUTPUT.parent.mkdir(exist_ok=True)
    for path in paths:
        check_target(path, options.overwrite, "--output")


def fit_prior(seen: Sequence[ClipObservation], exclude: Collection[str] = ()) -> EmotionPrior:
    """Fit the prior over all people but those excluded.

    Args:
        seen: All observations.
        exclude: People who are excluded.

    Raises:
        UsageError: Nobody shows one of the emotions and neutral.
    """
    offsets: list[Floats] = []
    lip, lid, movements, gains = [], [], [], []
    for emotion in EXPRESSIVE:
        measured = list(measure_offsets(seen, emotion, exclude).values())
        if not measured:
            raise UsageError(
                f"nobody shows both {emotion} and neutral: add such clips to clips.csv, or exclude fewer people"
            )
        offsets.append(combine_offsets([change.offset for change in measured], emotion))
        strength = STRENGTH[emotion]
        lip.append(strength.opening * np.mean([change.lip_opening for change in measured]))
        lid.append(np.exp(strength.lids * np.mean([np.log(change.lid_ratio) for change in measured])))
        movements.append(strengthen(np.mean([change.brow_movement for change in measured], 0), emotion))
        gains.append(fit_shading([change.gain for change in measured]))
    known = [item for item in seen if item.person not in exclude]
    center = np.mean([item.shapes.astype(np.float32).mean(0) for item in known], 0)
    reading = fit_expression_reading(known, center)
    mean, identity, expression, deviation = _fit_modes(known, center, reading)
    closed_lips = [fit_closed_lip_attenuation(seen, emotion, exclude) for emotion in EXPRESSIVE]
    return EmotionPrior(
        offset=np.array(offsets, np.float32),
        lip_opening=np.array(lip, np.float32),
        lid_ratio=np.array(lid, np.float32),
        gain=np.array(gains, np.float32),
        brow_movement=np.array(movements, np.float32),
        mean=mean,
        identity=identity,
        expression=expression,
        expression_deviation=deviation,
        shape_modes=reading.shape_modes,
        shown_modes=reading.shown_modes,
        reading=reading.move_mean(mean - center).reading,
        reading_changes=reading.reading_changes,
        enrollment_gain=fit_enrollment_gain(seen, exclude),
        closed_lip_fraction=np.array(closed_lips, np.float32),
    )


def _fit_modes(
    seen: Sequence[ClipObservation], center: Floats, reading: ExpressionReading
) -> tuple[Floats, Floats, Floats, Floats]:
    """Mean neutral shape, identity modes scaled to one deviation, expression basis, deviations along it."""
    known = mean_neutral_shapes(seen)
    neutral: dict[str, list[Floats]] = {}
    moving = []
    for item in seen:
        shapes = item.shapes.astype(np.float32)
        mean = shapes.mean(0)
        moving.append((shapes - mean).reshape(len(shapes), -1))
        own = known.get(item.person)
        if own is None:
            own = mean - reading.read(mean - center, item.blendshapes.mean(0))
        neutral.setdefault(item.person, []).append(own)
    if len(neutral) < _MIN_PEOPLE:
        raise UsageError(
            f"the clips show {len(neutral)} people: {_MIN_PEOPLE} at least are needed to tell people apart"
        )
    people = np.array([np.mean(shapes, 0) for shapes in neutral.values()])
    mean = people.mean(0)
    _, size, modes = np.linalg.svd((people - mean).reshape(len(people), -1), full_matrices=False)
    identity = modes[:_IDENTITY_MODES] * (size[:_IDENTITY_MODES, None] / np.sqrt(len(people) - 1))
    stacked = np.concatenate(moving)
    some = stacked[:: max(len(stacked) // 3000, 1)]
    _, size, modes = np.linalg.svd(some, full_matrices=False)
    deviation = size[:_EXPRESSION_MODES] / np.sqrt(len(some))
    shape = (-1, POINTS, 3)
    return mean, identity.reshape(shape), modes[:_EXPRESSION_MODES].reshape(shape), deviation


def tabulate_offsets(seen: Sequence[ClipObservation]) -> Table:
    """Tabulate how near the others' mean offset comes to an excluded person's own, beside no edit at all."""
    title = "leave one person out: rms distance to the person's own offset, mm"
    table = make_table(title, "emotion", "person", "no edit", "mean of others", "cosine", "lip opening", "own")
    for emotion in EXPRESSIVE:
        for person, own in measure_offsets(seen, emotion).items():
            others = list(measure_offsets(seen, emotion, {person}).values())
            if not others:
                continue
            guess = np.mean([change.offset for change in others], 0)
            error, size = rms_millimeters(own.offset - guess), rms_millimeters(own.offset)
            cosine = float((own.offset * guess).sum() / np.linalg.norm(own.offset) / np.linalg.norm(guess))
            opening = float(np.mean([change.lip_opening for change in others]))
            row = size, error, cosine, opening, own.lip_opening
            table.add_row(emotion, person, *(f"{value:.2f}" for value in row))
    return table
