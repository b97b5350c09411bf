"""`cdrl train prior`: fits the emotion prior on labelled clips of people who also have neutral ones.

setup → observe → fit → validate, top to bottom. No torch. Each person counts once, whatever the number of their clips.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table
from tyro.conf import FlagCreatePairsOff

from cdrl.assets import record
from cdrl.datasets.splits import check_people
from cdrl.errors import UsageError
from cdrl.face.bundle import Floats
from cdrl.face.mesh import POINTS
from cdrl.manipulation.prior import EXPRESSIVE, EmotionPrior
from cdrl.rendering.texture import skin_mask
from cdrl.training.changes import EMPHASIS, changes, laid_on, mouths_table, people_with_emotions, shut
from cdrl.training.enrolment import belief, believed, enrolment_table
from cdrl.training.following import HALVES, Followed, followed, following, following_table
from cdrl.training.observations import Clip, Observation, observe_all, read_table
from cdrl.training.progress import track
from cdrl.training.publish import LICENCE, check_target

OUTPUT = Path("runs/prior.npz")
_RIDGE = 10.0
_QUIET = 0.02  # deviation of a blendshape below which it hardly speaks
_FEWEST = 2  # people
_IDENTITY_MODES, _EXPRESSION_MODES = 20, 40
_LIGHT = 0.45  # of brightening: highlights look like wet patches
_DISSENT = 0.5  # weight of the spread over people beside their median
_SMOOTH = 1.0  # texels: what is finer than this differs from person to person
_GAIN_LIMIT = 0.45  # of log luma: stronger ones are hair, teeth or moved brows


@dataclass(frozen=True)
class Options:
    """Fit the emotion prior."""

    data: Path
    """Folder with clips.csv (columns path, actor, emotion) and the clips it names."""
    output: Path = OUTPUT
    """Where the prior is written; it is entered into the list of model files beside it, manifest.json."""
    overwrite: FlagCreatePairsOff[bool] = False
    """Replace what is there already."""
    cache: Path = Path("runs/prior")
    """What was seen in each clip, kept so that a second fit takes seconds."""
    leave: str = ""
    """People to leave out, separated by commas; `each` writes one prior per person, without that person, beside OUTPUT
    as prior_without_PERSON.npz."""
    licence: str = LICENCE
    """SPDX identifier of the licence under which the fitted file may be used: that of the data, as a rule."""
    validate: bool = True
    """Print the leave-one-person-out validation."""


def run(options: Options) -> int:
    """The command."""
    console = Console(soft_wrap=True)
    clips = read_table(options.data)
    left = _left_out(options, clips)
    _check_outputs(options, left)
    seen: list[Observation] = []
    for item in track(observe_all(clips, options.cache), "watching clips", console, len(clips)):
        if isinstance(item, str):
            console.print(item, highlight=False)
        else:
            seen.append(item)
    if options.validate:
        console.print(validation(seen))
        console.print(enrolment_table(seen, _fitted(seen, ())))
        if shown := as_references(seen):
            console.print(following_table(shown))
        console.print(mouths_table(seen))
    for path, people in left.items():
        if options.leave == "each" and not people <= people_with_emotions(seen):
            continue  # of clips that could not be watched
        fit(seen, people).save(path, overwrite=options.overwrite)
        count = len(people_with_emotions(seen) - people)
        record(path, options.licence, f"cdrl train prior on {len(seen)} clips, {count} people with emotions")
        console.print(f"wrote {path}", highlight=False)
    return 0


def _left_out(options: Options, clips: Sequence[Clip]) -> dict[Path, set[str]]:
    """Which priors are written, and who is left out of each. Raises UsageError for a name that nobody has."""
    if options.leave != "each":
        people = {name.strip() for name in options.leave.split(",") if name.strip()}
        check_people(sorted(people), {clip.person for clip in clips}, "--leave")
        return {options.output: people}
    everybody = sorted(people_with_emotions(clips))
    for person in everybody:
        if {"/", "\\"} & set(person):
            raise UsageError(f"--leave each: {person!r} cannot be part of a file's name; name that actor otherwise")
    return {options.output.with_name(f"prior_without_{person}.npz"): {person} for person in everybody}


def _check_outputs(options: Options, paths: Collection[Path]) -> None:
    """Refuse before any work what could not be written in the end, or would replace something unasked."""
    if options.output.suffix != ".npz":
        raise UsageError(f"--output {options.output}: a prior is an .npz file; give it that ending")
    if options.output == OUTPUT:
        OUTPUT.parent.mkdir(exist_ok=True)
    for path in paths:
        check_target(path, options.overwrite, "--output")


def fit(seen: Sequence[Observation], leave: Collection[str] = ()) -> EmotionPrior:
    """The prior over all people but those left out."""
    fitted = _fitted(seen, leave)
    return replace(fitted, belief=belief(seen, leave), following=following(as_references(seen, leave)))


def as_references(seen: Sequence[Observation], leave: Collection[str] = ()) -> list[Followed]:
    """Every labelled clip as a reference, by a prior without its person; people without whom there is none are left
    out."""
    found = []
    for person in sorted(people_with_emotions(seen) - set(leave)):
        try:
            found += followed(seen, person, _fitted(seen, {*leave, person}))
        except UsageError:
            continue
    return found


def _fitted(seen: Sequence[Observation], leave: Collection[str]) -> EmotionPrior:
    """All but what is learned from people who are left out in turn."""
    offsets: list[Floats] = []
    lip, lid, gains = [], [], []
    for emotion in EXPRESSIVE:
        found = list(changes(seen, emotion, leave).values())
        if not found:
            raise UsageError(
                f"nobody shows both {emotion} and neutral: add such clips to clips.csv, or leave out fewer"
            )
        emphasis = EMPHASIS[emotion]
        offsets.append(laid_on([change.offset for change in found], emotion))
        lip.append(emphasis.opening * np.mean([change.lip_opening for change in found]))
        lid.append(np.exp(emphasis.lids * np.mean([np.log(change.lid_ratio) for change in found])))
        gain = emphasis.shading * _agreed([change.gain for change in found]) * skin_mask()
        gain = np.where(gain > 0, _LIGHT * gain, gain)
        gain = cv2.GaussianBlur(gain.astype(np.float32), (0, 0), _SMOOTH)
        gains.append(_GAIN_LIMIT * np.tanh(gain / _GAIN_LIMIT))
    mean, identity, expression, deviation = _modes(seen, leave, np.array(offsets))
    stronger = np.array([EMPHASIS[emotion].regions for emotion in EXPRESSIVE], np.float32)
    return EmotionPrior(
        np.array(offsets, np.float32), np.array(lip, np.float32), np.array(lid, np.float32),
        np.array(gains, np.float32), mean, identity, expression, deviation, reading(seen, leave),
        stronger, np.tile(believed([]), (2, 1)), HALVES,
        np.array([shut(seen, emotion, leave) for emotion in EXPRESSIVE], np.float32),
    )  # fmt: skip


def reading(seen: Sequence[Observation], leave: Collection[str] = ()) -> Floats:
    """[53, e]: ridge regression from mean blendshapes (and a one) to which emotion a clip is labelled with.

    Every person counts alike in every emotion, whatever the number of their clips; neutral clips are all zeros.
    """
    labelled = [item for item in seen if item.emotion and item.person not in leave]
    given = np.array([item.blendshapes for item in labelled], np.float64)
    wanted = np.array([[item.emotion == name for name in EXPRESSIVE] for item in labelled], np.float64)
    alike = Counter((item.person, item.emotion) for item in labelled)
    weight = np.array([1 / alike[item.person, item.emotion] for item in labelled])
    centre, scale = given.mean(0), given.std(0) + _QUIET
    inputs = np.column_stack([(given - centre) / scale, np.ones(len(given))])
    ridge = _RIDGE * np.diag([*np.ones(given.shape[1]), 0.0])
    solved = np.linalg.solve(inputs.T * weight @ inputs + ridge, inputs.T * weight @ wanted)
    slopes = solved[:-1] / scale[:, None]
    found: Floats = np.vstack([slopes, solved[-1] - centre @ slopes]).astype(np.float32)
    return found


def _modes(
    seen: Sequence[Observation], leave: Collection[str], offsets: Floats
) -> tuple[Floats, Floats, Floats, Floats]:
    """Mean neutral shape, identity modes scaled to one deviation, expression basis, deviations along it."""
    neutral: dict[str, list[Floats]] = {}
    moving = []
    for item in seen:
        if item.person in leave:
            continue
        shapes = item.shapes.astype(np.float32)
        mean = shapes.mean(0)
        moving.append((shapes - mean).reshape(len(shapes), -1))
        shown = offsets[EXPRESSIVE.index(item.emotion)] if item.emotion in EXPRESSIVE else 0
        if item.emotion in EXPRESSIVE and any(o.person == item.person and o.emotion == "neutral" for o in seen):
            continue
        neutral.setdefault(item.person, []).append(mean - shown)
    if len(neutral) < _FEWEST:
        raise UsageError(f"the clips show {len(neutral)} people: {_FEWEST} at least are needed to tell people apart")
    people = np.array([np.mean(shapes, 0) for shapes in neutral.values()])
    mean = people.mean(0)
    _, size, modes = np.linalg.svd((people - mean).reshape(len(people), -1), full_matrices=False)
    identity = modes[:_IDENTITY_MODES] * (size[:_IDENTITY_MODES, None] / np.sqrt(len(people) - 1))
    stacked = np.concatenate(moving)
    _, size, modes = np.linalg.svd(stacked[:: max(len(stacked) // 3000, 1)], full_matrices=False)
    deviation = size[:_EXPRESSION_MODES] / np.sqrt(len(stacked[:: max(len(stacked) // 3000, 1)]))
    shape = (-1, POINTS, 3)
    return mean, identity.reshape(shape), modes[:_EXPRESSION_MODES].reshape(shape), deviation


def validation(seen: Sequence[Observation]) -> Table:
    """How near the others' mean offset comes to a left-out person's own, beside no edit at all."""
    table = Table(title="leave one person out: rms distance to the person's own offset, mm")
    for column in ("emotion", "person", "no edit", "mean of others", "cosine", "lip opening", "own"):
        table.add_column(column, justify="right")
    for emotion in EXPRESSIVE:
        for person, own in changes(seen, emotion).items():
            others = list(changes(seen, emotion, {person}).values())
            if not others:
                continue
            guess = np.mean([change.offset for change in others], 0)
            error, size = (10 * float(np.sqrt(np.square(o).sum(1).mean())) for o in (own.offset - guess, own.offset))
            cosine = float((own.offset * guess).sum() / np.linalg.norm(own.offset) / np.linalg.norm(guess))
            opening = float(np.mean([change.lip_opening for change in others]))
            table.add_row(
                emotion,
                person,
                f"{size:.2f}",
                f"{error:.2f}",
                f"{cosine:.2f}",
                f"{opening:.2f}",
                f"{own.lip_opening:.2f}",
            )
    return table


def _agreed(gains: list[Floats]) -> Floats:
    """The median over people, less where they disagree: a fold of one person is a smudge on all others."""
    stacked = np.array(gains)
    middle = np.median(stacked, 0)
    spread = np.median(np.abs(stacked - middle), 0)
    found: Floats = middle * np.abs(middle) / (np.abs(middle) + _DISSENT * spread + 1e-6)
    return found
