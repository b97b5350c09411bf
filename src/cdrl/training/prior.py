"""Fits the emotion prior on labeled clips of people who also have neutral ones.

It needs no torch. Each person counts once, whatever the number of their clips.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from cdrl.assets import register_asset
from cdrl.datasets.splits import check_people
from cdrl.errors import UsageError
from cdrl.face.bundle import Floats
from cdrl.face.mesh import POINTS
from cdrl.manipulation.prior import EXPRESSIVE, EmotionPrior
from cdrl.rendering.texture import skin_mask
from cdrl.training.emotion_offsets import (
    EMPHASIS,
    combine_offsets,
    fit_closed_lip_attenuation,
    make_table,
    measure_offsets,
    people_with_emotions,
    tabulate_mouths,
)
from cdrl.training.example_fitting import (
    DEFAULT_WEIGHTS,
    ReferenceSample,
    collect_reference_samples,
    fit_enrollment_gain,
    fit_gain,
    fit_reference_weights,
    rms_millimeters,
    tabulate_enrollment,
    tabulate_references,
)
from cdrl.training.observations import ClipObservation, LabeledClip, observe_clips, read_clips
from cdrl.training.options import DEFAULT_PRIOR_OUTPUT, PriorOptions
from cdrl.training.progress import track
from cdrl.training.release import check_target

_RIDGE = 10.0
_DEVIATION_FLOOR = 0.02  # added to a blendshape's deviation: those that hardly vary say little
_MIN_PEOPLE = 2
_IDENTITY_MODES, _EXPRESSION_MODES = 20, 40
_BRIGHTENING = 0.45  # factor on brightening: highlights look like wet patches
_SPREAD_WEIGHT = 0.5  # weight of the spread over people beside their median
_BLUR = 1.0  # texels: finer detail differs from person to person
_MAX_GAIN = 0.45  # of log luma: stronger ones are hair, teeth or moved brows
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
        console.print(tabulate_enrollment(seen, _fit_basis(seen, ())))
        if samples := make_reference_samples(seen):
            console.print(tabulate_references(samples))
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
    return replace(
        _fit_basis(seen, exclude),
        enrollment_gain=fit_enrollment_gain(seen, exclude),
        reference_weights=fit_reference_weights(make_reference_samples(seen, exclude)),
    )


def make_reference_samples(seen: Sequence[ClipObservation], exclude: Collection[str] = ()) -> list[ReferenceSample]:
    """Take every labeled clip as a reference, by a prior without its person.

    Args:
        seen: All observations.
        exclude: People who are excluded; so are those without whom no prior can be fitted.
    """
    samples = []
    for person in sorted(people_with_emotions(seen) - set(exclude)):
        try:
            samples += collect_reference_samples(seen, person, _fit_basis(seen, {*exclude, person}))
        except UsageError:
            continue
    return samples


def _fit_basis(seen: Sequence[ClipObservation], exclude: Collection[str]) -> EmotionPrior:
    """Fit all but what is learned from people who are excluded in turn."""
    offsets: list[Floats] = []
    lip, lid, gains = [], [], []
    for emotion in EXPRESSIVE:
        measured = list(measure_offsets(seen, emotion, exclude).values())
        if not measured:
            raise UsageError(
                f"nobody shows both {emotion} and neutral: add such clips to clips.csv, or exclude fewer people"
            )
        emphasis = EMPHASIS[emotion]
        offsets.append(combine_offsets([change.offset for change in measured], emotion))
        lip.append(emphasis.opening * np.mean([change.lip_opening for change in measured]))
        lid.append(np.exp(emphasis.lids * np.mean([np.log(change.lid_ratio) for change in measured])))
        gain = emphasis.shading * _combine_gains([change.gain for change in measured]) * skin_mask()
        gain = np.where(gain > 0, _BRIGHTENING * gain, gain)
        gain = cv2.GaussianBlur(gain.astype(np.float32), (0, 0), _BLUR)
        gains.append(_MAX_GAIN * np.tanh(gain / _MAX_GAIN))
    mean, identity, expression, deviation = _fit_modes(seen, exclude, np.array(offsets))
    closed_lips = [fit_closed_lip_attenuation(seen, emotion, exclude) for emotion in EXPRESSIVE]
    return EmotionPrior(
        offset=np.array(offsets, np.float32),
        lip_opening=np.array(lip, np.float32),
        lid_ratio=np.array(lid, np.float32),
        gain=np.array(gains, np.float32),
        mean=mean,
        identity=identity,
        expression=expression,
        expression_deviation=deviation,
        blendshape_to_emotion=fit_blendshape_regression(seen, exclude),
        emphasis=np.array([EMPHASIS[emotion].regions for emotion in EXPRESSIVE], np.float32),
        enrollment_gain=np.tile(fit_gain([]), (2, 1)),
        reference_weights=DEFAULT_WEIGHTS,
        closed_lip_fraction=np.array(closed_lips, np.float32),
    )


def fit_blendshape_regression(seen: Sequence[ClipObservation], exclude: Collection[str] = ()) -> Floats:
    """Fit the ridge regression from mean blendshapes (and a one) to the emotion that a clip is labeled with.

    Every person counts alike in every emotion, whatever the number of their clips; neutral clips are all zeros.

    Args:
        seen: All observations.
        exclude: People who are excluded.

    Returns:
        Coefficients [53, e].
    """
    labeled = [item for item in seen if item.emotion and item.person not in exclude]
    given = np.array([item.blendshapes for item in labeled], np.float64)
    wanted = np.array([[item.emotion == name for name in EXPRESSIVE] for item in labeled], np.float64)
    counts = Counter((item.person, item.emotion) for item in labeled)
    weight = np.array([1 / counts[item.person, item.emotion] for item in labeled])
    center, scale = given.mean(0), given.std(0) + _DEVIATION_FLOOR
    inputs = np.column_stack([(given - center) / scale, np.ones(len(given))])
    ridge = _RIDGE * np.diag([*np.ones(given.shape[1]), 0.0])
    solved = np.linalg.solve(inputs.T * weight @ inputs + ridge, inputs.T * weight @ wanted)
    slopes = solved[:-1] / scale[:, None]
    return np.vstack([slopes, solved[-1] - center @ slopes]).astype(np.float32)


def _fit_modes(
    seen: Sequence[ClipObservation], exclude: Collection[str], offsets: Floats
) -> tuple[Floats, Floats, Floats, Floats]:
    """Mean neutral shape, identity modes scaled to one deviation, expression basis, deviations along it."""
    neutral: dict[str, list[Floats]] = {}
    moving = []
    for item in seen:
        if item.person in exclude:
            continue
        shapes = item.shapes.astype(np.float32)
        mean = shapes.mean(0)
        moving.append((shapes - mean).reshape(len(shapes), -1))
        shown = offsets[EXPRESSIVE.index(item.emotion)] if item.emotion in EXPRESSIVE else 0
        if item.emotion not in EXPRESSIVE or not any(o.person == item.person and o.emotion == "neutral" for o in seen):
            neutral.setdefault(item.person, []).append(mean - shown)
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


def _combine_gains(gains: list[Floats]) -> Floats:
    """The median over people, less where they disagree: a fold of one person is a smudge on all others."""
    stacked = np.array(gains)
    median = np.median(stacked, 0)
    spread = np.median(np.abs(stacked - median), 0)
    combined: Floats = median * np.abs(median) / (np.abs(median) + _SPREAD_WEIGHT * spread + 1e-6)
    return combined
