"""Who is trained on, tuned on, and only reported on: a split by person, never by clip.

The split of real people stands in `people.json` beside this file and nowhere else. Synthetic subjects are split by
their number (or a hash of their name), so that more of them can be made without anybody changing sides.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal, Protocol

from cdrl.errors import UsageError

Split = Literal["train", "validation", "test"]

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
SYNTHETIC = "synthetic"
"""The data set of synthetic subjects."""

_SHARES = (0.70, 0.85)  # of synthetic subjects: up to the first number train, up to the second validation, else test
_GOLDEN = (5**0.5 - 1) / 2  # its multiples fill [0, 1) evenly


@dataclass(frozen=True)
class HeldOutPeople:
    """The real people who are not trained on."""

    test: tuple[str, ...]
    """Names of the people whom numbers are reported on."""
    validation: tuple[str, ...]
    """Names of the people whom methods are tuned on."""
    validation_datasets: tuple[str, ...]
    """Whole collections of unnamed people that methods are tuned on."""


@cache
def load_held_out_people() -> HeldOutPeople:
    """Load the split of real people that the package ships."""
    raw = json.loads(files("cdrl.datasets").joinpath("people.json").read_text(encoding="utf-8"))
    return HeldOutPeople(**{name: tuple(people) for name, people in raw.items()})


def assign_split(actor: str, dataset: str = "") -> Split:
    """The split that a person belongs to; the same in every run and on every machine.

    Args:
        actor: The person's name within the data set.
        dataset: The data set's name; `SYNTHETIC` for synthetic subjects.
    """
    if dataset == SYNTHETIC:
        return SPLITS[sum(_place(actor) >= share for share in _SHARES)]
    people = load_held_out_people()
    if actor in people.test:
        return "test"
    return "validation" if actor in people.validation or dataset in people.validation_datasets else "train"


def _place(actor: str) -> float:
    """A synthetic subject's place in [0, 1): even over those numbered one after the other, however few they are."""
    number = re.search(r"(\d+)$", actor)
    if number:
        return int(number[1]) * _GOLDEN % 1
    return int.from_bytes(hashlib.sha256(actor.encode()).digest()[:8], "big") / 2**64


class HasActor(Protocol):
    """What names the person who is seen: a `Clip`, or the metadata of a prepared one."""

    @property
    def dataset(self) -> str:
        """The data set's name."""
        ...

    @property
    def actor(self) -> str:
        """The person's name within the data set."""
        ...


def list_people(clips: Iterable[HasActor], split: Split | None = None) -> tuple[str, ...]:
    """The people seen in clips.

    Args:
        clips: The clips.
        split: The split whose people are wanted; None for all.

    Returns:
        `DATASET/ACTOR` of each, sorted.
    """
    people = {(clip.dataset, clip.actor) for clip in clips}
    return tuple(sorted(f"{d}/{a}" for d, a in people if split is None or assign_split(a, d) == split))


def check_people(names: Iterable[str], known: Collection[str], flag: str) -> None:
    """Check that people who are named exist: a misspelt name would exclude nobody, and go unnoticed.

    Args:
        names: The names.
        known: `DATASET/ACTOR` of the people in the data.
        flag: The option that names them, for the message.

    Raises:
        UsageError: A name is unknown; the message has those that it comes close to.
    """
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.5)
            close = close or [other for other in sorted(known) if other.rpartition("/")[2] == name.rpartition("/")[2]]
            hint = f"did you mean {' or '.join(close)}?" if close else f"known are {', '.join(sorted(known)[:5])} ..."
            raise UsageError(f"{flag} {name}: nobody of that name is in the data; {hint}")
