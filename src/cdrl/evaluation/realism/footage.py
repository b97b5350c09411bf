"""The files of both sides: clips written again as they are, and edits of the very same frames.

Every clip is cut to its first seconds without loss. Real: cdrl's own writer with nothing to change, so that encoder and
settings are those of an edit. Edited: what each method makes of it. The same frames of a clip are on both sides, so
that who is seen and what they say tells nothing.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cdrl.datasets.splits import load_split
from cdrl.emotions import EMOTIONS, parse_emotion
from cdrl.errors import CdrlError, FaceError, InputError, InterruptedByUser, ModelFileError, UsageError
from cdrl.evaluation.benchmark_config import RealismConfig
from cdrl.evaluation.clip_tables import ClipRecord, select_real_clips
from cdrl.evaluation.method_benchmark import SHIPPED_NAME, parse_folders, remove_video
from cdrl.evaluation.methods import Edit, KeptEdits, Method, name_output
from cdrl.evaluation.realism.frames import FaceCrops, cut_faces, write_excerpt
from cdrl.request import RENDERERS

OWN_METHODS: Mapping[str, Mapping[str, Any]] = {"cdrl": {}, **{name: {"renderer": name} for name in RENDERERS}}
"""Name of an edit of this version, as `--methods` takes it → what it asks for beside the emotion (`Edit.request`)."""
_COPY = Edit("real", None, intensity=0.0)


@dataclass(frozen=True)
class ClipPlan:
    """What is made of one clip."""

    clip: ClipRecord
    emotions: tuple[str, ...]
    """It is edited to each of them."""
    evaluated: bool
    """Whether the person is left out of a training and judged by it."""


@dataclass(frozen=True)
class EditedFile:
    """One edit."""

    method: str
    emotion: str
    """The one asked for."""
    crops: FaceCrops | None
    """None where it failed."""
    failed: str | None = None
    """Why."""


@dataclass(frozen=True)
class Footage:
    """One clip on both sides."""

    plan: ClipPlan
    real: FaceCrops
    """Frames at twice as many moments as of an edit: these and, for the control, others between them."""
    moments: NDArray[np.intp]
    """[n,2] numbers of frames: in each row one that edits are looked at, too, and the next one that they are not."""
    edits: list[EditedFile] = field(default_factory=list)

    @property
    def person(self) -> str:
        """Who is seen."""
        return self.plan.clip.person


@dataclass
class ClipNotes:
    """What was left out."""

    unread: dict[str, str] = field(default_factory=dict)
    """Name of a clip → why it cannot be used."""
    unnamed: int = 0
    """Clips of people whose names nobody knows: they may be those who are left out."""


def choose_methods(config: RealismConfig) -> list[Method]:
    """Return the methods that `--methods` names.

    Raises:
        UsageError: One is unknown or there twice, or a folder is missing.
    """
    title = "cdrl" if config.priors else SHIPPED_NAME
    methods: list[Method] = [
        Edit(title.replace("cdrl", name), config.priors, intensity=config.intensity, request=OWN_METHODS[name])
        for name in config.methods
        if name in OWN_METHODS
    ]
    others = [name for name in config.methods if name not in OWN_METHODS]
    if bare := [name for name in others if "=" not in name]:
        raise UsageError(
            f"--methods {bare[0]!r}: choose {', '.join(OWN_METHODS)}, or write NAME=DIR, or NAME=FILE of a renderer"
        )
    for name, path in parse_folders("--methods", others):
        if path.is_file():  # a renderer
            methods.append(Edit(name, config.priors, intensity=config.intensity, request={"renderer": str(path)}))
        else:
            methods.append(KeptEdits(name, path))
    names = [method.name for method in methods]
    if not names or len(set(names)) < len(names):
        raise UsageError(f"--methods {' '.join(config.methods)}: name one or more, each once")
    for method in methods:
        if isinstance(method, KeptEdits) and not method.folder.is_dir():
            raise UsageError(f"--methods {method.name}={method.folder}: no such folder")
    return methods


def plan_clips(config: RealismConfig, clips: Sequence[ClipRecord], notes: ClipNotes) -> list[ClipPlan]:
    """List the clips of the people left out, then those of everybody else.

    Neutral is asked only of clips that are known to show something else: most others show nothing to take out.

    Raises:
        InputError: Nobody of the set has labeled clips, or there is nobody else to train on.
        UsageError: An option makes no sense.
    """
    for name in ("clips", "training_clips", "training_edits", "seconds", "frames"):
        if getattr(config, name) <= 0:
            raise UsageError(f"--{name.replace('_', '-')} {getattr(config, name)}: choose more than 0")
    people, asked = load_split("shipped"), tuple(dict.fromkeys(map(parse_emotion, config.emotions)))
    chosen = {"tune": people.validation, "report": people.test}.get(config.set)
    labeled = defaultdict(list)
    for clip in select_real_clips(clips, EMOTIONS):
        if chosen is None or clip.person in chosen:
            labeled[clip.person].append(clip)
    plans = [
        ClipPlan(clip, tuple(emotion for emotion in asked if emotion != clip.emotion), True)
        for person in sorted(labeled)
        for clip in islice(_alternate_emotions(labeled[person]), config.clips)
    ]
    others, turn, taken = defaultdict(list), cycle(asked), {plan.clip.path.stem for plan in plans}
    for clip in clips:
        if not clip.person or clip.person.startswith("other"):
            notes.unnamed += 1
        elif clip.person not in labeled and clip.path.stem not in taken:
            taken.add(clip.path.stem)
            others[clip.person].append(clip)
    for same in others.values():
        for clip in islice(_alternate_emotions(same), config.training_clips):
            useless = {clip.emotion, "neutral"} if clip.emotion in ("", "neutral") else {clip.emotion}
            count = min(config.training_edits, len(set(asked) - useless))
            fitting = (emotion for emotion in turn if emotion not in useless)
            plans.append(ClipPlan(clip, tuple(islice(fitting, count)), False))
    if not labeled:
        raise InputError(
            f"{config.data}: none of the people of --set {config.set} has clips of known emotions: choose another set"
        )
    if len(labeled) + len(others) < 2:
        raise InputError(
            f"{config.data}: all clips are of {next(iter(labeled))}: a detector learns from other people, so add some"
        )
    return [plan for plan in plans if plan.emotions]


def _alternate_emotions(clips: Iterable[ClipRecord]) -> Iterator[ClipRecord]:
    """The clips, each emotion in turn, neutral first; those of the same emotion and words only after all others."""
    queues: dict[str, list[ClipRecord]] = defaultdict(list)
    seen, again = set[tuple[str, str]](), list[ClipRecord]()
    for clip in sorted(clips, key=lambda clip: clip.emotion != "neutral"):
        label = (clip.emotion, clip.sentence)
        (again if clip.sentence and label in seen else queues[clip.emotion]).append(clip)
        seen.add(label)
    while any(queues.values()):
        yield from [queue.pop(0) for queue in queues.values() if queue]
    yield from again


def gather_footage(
    plans: Sequence[ClipPlan], methods: Sequence[Method], config: RealismConfig, folder: Path, notes: ClipNotes
) -> list[Footage]:
    """Write and cut the files of both sides.

    Args:
        plans: What is made of which clip.
        methods: Each makes every edit.
        config: Says how much of a clip is used, and whether files are kept.
        folder: Where files are written.
        notes: Gets the clips that cannot be used.

    Returns:
        Of each clip that shows a face, both sides.

    Raises:
        ModelFileError: A model is missing: no edit would be any better.
        InterruptedByUser: Somebody wants to stop.
    """
    footage = []
    for number, plan in enumerate(plans, 1):
        sys.stderr.write(f"{number} of {len(plans)}: {plan.clip.person}, {plan.clip.path.name}\n")
        excerpt = folder / f"{plan.clip.path.stem}.mp4"
        try:
            count = write_excerpt(plan.clip.path, excerpt, config.seconds)
            clip = _copy_clip(plan, excerpt, count, config, folder)
            for method in methods:
                clip.edits.extend(_edit_clip(clip, method, excerpt, config, folder))
            footage.append(clip)
        except (ModelFileError, InterruptedByUser):
            raise
        except CdrlError as error:
            notes.unread[plan.clip.path.name] = str(error)
        finally:
            remove_video(excerpt)
    return footage


def _copy_clip(plan: ClipPlan, excerpt: Path, count: int, config: RealismConfig, folder: Path) -> Footage:
    """Write the clip again with nothing changed."""
    output = folder / name_output(excerpt.stem, "real", "copy")
    remove_video(output)
    try:
        _COPY(excerpt, "neutral", output, plan.clip.person)
        places = np.linspace(0, count - 1, 2 * config.frames).round().astype(np.intp)
        crops = cut_faces(output, np.unique(places).tolist())
    finally:
        if config.keep is None:
            remove_video(output)
    pairs = places.reshape(-1, 2)
    seen = np.isin(pairs, crops.frames).all(1) & (pairs[:, 0] < pairs[:, 1])
    if not seen.any():
        raise FaceError(f"{plan.clip.path}: shows a face too seldom, or has too few frames")
    return Footage(plan, crops, pairs[seen])


def _edit_clip(
    clip: Footage, method: Method, excerpt: Path, config: RealismConfig, folder: Path
) -> Iterator[EditedFile]:
    """Edit the clip to each emotion; a `CdrlError` makes a failed edit that says why."""
    for emotion in clip.plan.emotions:
        output = folder / name_output(excerpt.stem, emotion, method.name)
        remove_video(output)
        try:
            method(excerpt, emotion, output, clip.person)
            yield EditedFile(method.name, emotion, cut_faces(output, clip.moments[:, 0].tolist()))
        except (ModelFileError, InterruptedByUser):
            raise
        except CdrlError as error:
            yield EditedFile(method.name, emotion, None, str(error))
        finally:
            if config.keep is None:
                remove_video(output)
