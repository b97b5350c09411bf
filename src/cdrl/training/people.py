"""Opens the data of a recipe, refuses people who are on both sides of a split, and records who was trained on."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from cdrl.datasets.prepared import PreparedClip, PreparedDataset
from cdrl.datasets.splits import PeopleSplit
from cdrl.errors import ModelFileError, UsageError
from cdrl.evaluation.evaluators import FaceRecognizer
from cdrl.evaluation.people_check import PersonClip, find_crossings, find_matches, recognize_prepared
from cdrl.pretrained import MODELS
from cdrl.training.array_cache import ArrayRequest, cached_array
from cdrl.training.progress import track

_MAX_CLIPS = 4  # of a person that are compared with other people's
_VERSION = 1  # raise it whenever what is compared changes


class DataOptions(Protocol):
    """Options of a recipe that say what it is trained on."""

    @property
    def data(self) -> tuple[Path, ...]:
        """Prepared folders."""

    @property
    def split(self) -> str:
        """The split by person."""

    @property
    def check_people(self) -> bool:
        """Whether the faces of people of different splits are compared."""

    @property
    def cache(self) -> Path:
        """Folder that keeps what was seen in the faces."""


def open_data(options: DataOptions) -> PreparedDataset:
    """Open the prepared folders of a recipe, and compare the people of different splits.

    Raises:
        CdrlError: What `PreparedDataset.open` raises.
        UsageError: One person seems to stand in two splits under two names.
    """
    # Every process opens the data; the main one alone says how far it is.
    console = Console(soft_wrap=True, quiet=os.environ.get("RANK", "0") != "0")
    data = PreparedDataset.open(options.data, options.split, lambda shards: track(shards, "checking shards", console))
    if options.check_people:
        _refuse_crossings(data, options.cache, console)
    return data


def _refuse_crossings(data: PreparedDataset, cache: Path, console: Console) -> None:
    """Refuse data in which the faces of two real people in different splits are those of one."""
    clips = _select_clips(data.clips)
    if len({clip.metadata.split for clip in clips}) < 2:
        return

    def recognize(done: int) -> Iterator[NDArray[np.float32]]:
        return (recognize_prepared(clip)[None].astype(np.float32) for clip in clips[done:])

    network, names = MODELS[FaceRecognizer.weights].sha256, [clip.metadata.id for clip in clips]
    key = f"{_VERSION} {data.digest} {network} {names}".encode()
    try:
        vectors = cached_array(cache, ArrayRequest("people", "comparing people", key, len(clips), recognize), console)
    except ModelFileError as error:
        console.print(f"the people of different splits were not compared: {error}", highlight=False)
        return
    labels = [clip.metadata for clip in clips]
    seen = [PersonClip(each.id, each.dataset, each.actor, vectors[row]) for row, each in enumerate(labels)]
    crossings = find_crossings(find_matches(seen), data.people)
    if crossings:
        first, second = (data.people.assign(c.actor, c.dataset) for c in (crossings[0].first, crossings[0].second))
        more = f"; {len(crossings) - 1} more" if len(crossings) > 1 else ""
        raise UsageError(
            f"{crossings[0]}, and are in different splits ({first} and {second}){more}: give them one name in "
            "clips.csv and prepare again, put both in one split with --split FILE, or, where they are two people, add "
            "--no-check-people"
        )


def _select_clips(clips: Iterable[PreparedClip]) -> list[PreparedClip]:
    """Some clips of each real person, evenly over all of them."""
    groups: dict[tuple[str, str], list[PreparedClip]] = {}
    for clip in clips:
        if not clip.metadata.synthetic:
            groups.setdefault((clip.metadata.dataset, clip.metadata.actor), []).append(clip)
    return [
        own[index]
        for own in groups.values()
        for index in np.unique(np.linspace(0, len(own) - 1, min(len(own), _MAX_CLIPS)).round().astype(int))
    ]


def record_people(people: PeopleSplit, trained: Iterable[str]) -> dict[str, list[str]]:
    """Record who was in which split, for the settings of a run.

    Args:
        people: The split that was used.
        trained: Names of the real people who are trained on.

    Returns:
        The lists of `PeopleSplit.to_json`, and in "train" those who are trained on.
    """
    return {**people.to_json(), "train": sorted(set(trained))}


def list_trained(data: PreparedDataset, exclude: Collection[str] = ()) -> list[str]:
    """List the names of the real people to train on, without those excluded as DATASET/ACTOR."""
    labels = [clip.metadata for clip in data.select("train", synthetic=False)]
    return sorted({each.actor for each in labels if f"{each.dataset}/{each.actor}" not in exclude})
