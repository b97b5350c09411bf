"""Who is trained on, who is tuned on, and who is only reported on: by person, never by clip.

The split of real people stands in `people.json` beside this file and nowhere else. People made by `cdrl data synth` are
split by their number (or a hash of their name), so that more of them can be made without anybody changing sides.
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

Part = Literal["train", "validation", "test"]

PARTS: tuple[Part, ...] = ("train", "validation", "test")
SYNTHETIC = "synthetic"
"""The data set of made people."""

_SHARES = (0.70, 0.85)  # of made people: up to the first number train, up to the second validation, the rest test
_GOLDEN = (5**0.5 - 1) / 2  # whose multiples fill [0, 1) evenly


@dataclass(frozen=True)
class People:
    """The split of real people. `tune_datasets`: whole collections of unnamed people that belong to *tune*."""

    report: tuple[str, ...]
    tune: tuple[str, ...]
    tune_datasets: tuple[str, ...]

    def part(self, person: str, dataset: str = "") -> Literal["fit", "tune", "report"]:
        """Which part a person (of a dataset) belongs to."""
        if person in self.report:
            return "report"
        return "tune" if person in self.tune or dataset in self.tune_datasets else "fit"


@cache
def read_people() -> People:
    """The split of this package."""
    raw = json.loads(files("cdrl.datasets").joinpath("people.json").read_text(encoding="utf-8"))
    return People(tuple(raw["report"]), tuple(raw["tune"]), tuple(raw["tune_datasets"]))


def part(actor: str, dataset: str) -> Part:
    """The part a person belongs to; the same in every run and on every machine."""
    if dataset == SYNTHETIC:
        return PARTS[sum(_place(actor) >= share for share in _SHARES)]
    parts: dict[str, Part] = {"fit": "train", "tune": "validation", "report": "test"}
    return parts[read_people().part(actor, dataset)]


def _place(actor: str) -> float:
    """A made person's place in [0, 1): even over people numbered one after the other, however few they are."""
    number = re.search(r"(\d+)$", actor)
    if number:
        return int(number[1]) * _GOLDEN % 1
    return int.from_bytes(hashlib.sha256(actor.encode()).digest()[:8], "big") / 2**64


class Acted(Protocol):
    """Whatever knows who is seen: a `Clip`, or the facts of a prepared one."""

    @property
    def dataset(self) -> str: ...
    @property
    def actor(self) -> str: ...


def people_of(clips: Iterable[Acted], wanted: Part | None = None) -> tuple[str, ...]:
    """The people seen in `clips` as `DATASET/ACTOR`, sorted; of one part only, where it is given."""
    found = {(clip.dataset, clip.actor) for clip in clips}
    return tuple(sorted(f"{d}/{a}" for d, a in found if wanted is None or part(a, d) == wanted))


def check_people(names: Iterable[str], known: Collection[str], flag: str) -> None:
    """Raise UsageError for the first of `names` that is nobody's among `known`, with the names it comes close to.

    A name with a slip of the pen would leave out nobody, and people meant to be kept back would be trained on.
    """
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.5)
            close = close or [other for other in sorted(known) if other.rpartition("/")[2] == name.rpartition("/")[2]]
            meant = f"did you mean {' or '.join(close)}?" if close else f"known are {', '.join(sorted(known)[:5])} ..."
            raise UsageError(f"{flag} {name}: nobody of that name is in the data; {meant}")
