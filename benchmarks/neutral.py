"""How near an edit to neutral comes to the person's real neutral take, with and without their neutral face given.

python benchmarks/neutral.py DATA --people W009,W011,M030 --prior 'priors/prior_without_{person}.npz'

DATA has clips.csv; of each person the neutral take and the emotional takes of the same words are used. The neutral face
is given as the neutral take itself and as a photo: the frame of that take whose mouth is most at rest, by blendshapes.
Mouth width and lip opening, in distances of the eyes' centers, are read off the written files by a landmarker that
plays no part in an edit. The prior is to be one fitted without the person.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import tyro
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

import cdrl
from cdrl.evaluation.landmarker import Landmarker
from cdrl.evaluation.measures import lip_opening, lip_width
from cdrl.face.landmarks import BLENDSHAPES, BundleDetector
from cdrl.face.tracking import FaceTracker
from cdrl.media import read

MOUTH_SHAPES = [place for place, name in enumerate(BLENDSHAPES) if name.startswith(("mouth", "jaw"))]
BAR = 0.04  # distances of the eyes: how near the mouth width is to come


@dataclass(frozen=True)
class Options:
    """Edit emotional takes to neutral and compare the mouth with the real neutral take."""

    data: tyro.conf.Positional[Path]
    """Folder with clips.csv."""
    people: str = "W009,W011,M030"
    """Who is edited."""
    sentence: str = "001"
    """Number of the sentence that all takes say."""
    prior: str | None = None
    """A prior's file for each person, with {person} in its name; without it the one that ships."""


@dataclass(frozen=True)
class Mouth:
    """Means over a clip, in distances of the eyes' centers."""

    width: float
    opening: float


def main(options: Options) -> int:
    """Edit, measure, print."""
    headings = ("person", "source", "estimated", "photo", "clip", "real neutral", "source emotion")
    table = Table(*headings, title="mouth width (lip opening), in distances of the eyes", title_justify="left")
    errors: dict[str, list[float]] = {}
    with TemporaryDirectory() as folder:
        for person in options.people.split(","):
            for emotion, found, real in edits_of(person, options, Path(folder)):
                cells = (f"{mouth.width:.3f} ({mouth.opening:.3f})" for mouth in found.values())
                table.add_row(person, *cells, f"{real.width:.3f} ({real.opening:.3f})", emotion)
                for way, mouth in found.items():
                    errors.setdefault(way, []).append(abs(mouth.width - real.width))
    console = Console(width=120)
    console.print(table)
    for way, values in errors.items():
        within = f"within {BAR}: {sum(value <= BAR for value in values)}/{len(values)}"
        console.print(f"{way}: mean error of the width {np.mean(values):.3f}, worst {np.max(values):.3f}, {within}")
    return 0


def edits_of(person: str, options: Options, folder: Path) -> Iterator[tuple[str, dict[str, Mouth], Mouth]]:
    """Emotion, mouths by way of telling the neutral, and the real neutral mouth."""
    takes = takes_of(person, options)
    editor = cdrl.load(None if options.prior is None else options.prior.format(person=person))
    neutral = takes.pop("neutral")
    real = measure(neutral)
    photo = folder / f"{person}.png"
    cv2.imwrite(str(photo), frame_at_rest(neutral)[..., ::-1])
    for emotion, take in sorted(takes.items()):
        found = {"source": measure(take)}
        for way, given in {"estimated": {}, "photo": {"neutral": photo}, "clip": {"neutral": neutral}}.items():
            output = folder / f"{person}_{emotion}_{way}.mp4"
            editor.edit(take, emotion="neutral", enroll=given).save(output)
            found[way] = measure(output)
        yield emotion, found, real


def takes_of(person: str, options: Options) -> dict[str, Path]:
    """Emotion → the take of the sentence, of one recording session."""
    with (options.data / "clips.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["actor"] == person and row["kind"] == "real"]
    wanted = [row for row in rows if row["path"].endswith(f"_{options.sentence}.mp4") and int(row["width"]) == 256]
    return {row["emotion"]: options.data / row["path"] for row in wanted if row["emotion"] != "contempt"}


def frame_at_rest(path: Path) -> NDArray[np.uint8]:
    """The frame, RGB, whose blendshapes of mouth and jaw are smallest."""
    tracker, best, chosen = FaceTracker(BundleDetector()), np.inf, None
    with read(path) as frames:
        for frame in frames:
            track = tracker.step(frame)
            if track is None:
                continue
            activity = float(tracker.detector.estimate_blendshapes(track.points)[MOUTH_SHAPES].sum())
            if activity < best:
                best, chosen = activity, frame
    assert chosen is not None
    return chosen.rgb()


def measure(path: Path) -> Mouth:
    """The mouth of a clip, by the landmarker of the evaluation."""
    look = Landmarker()
    with read(path) as frames:
        points = [found for frame in frames if (found := look(frame.rgb())) is not None]
    shape = np.array(points, np.float64)[..., :2]
    return Mouth(float(lip_width(shape).mean()), float(lip_opening(shape).mean()))


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options)))
