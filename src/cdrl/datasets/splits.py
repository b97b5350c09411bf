"""Who is trained on, tuned on, and only reported on: a split by person, never by clip.

The shipped splits of real people stand in `people.json` beside this file and nowhere else. Synthetic subjects are split
by their number (or a hash of their name), so that more of them can be made without anybody changing sides.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal, Protocol

from cdrl.errors import InputError, UsageError
from cdrl.files import loads_untrusted, small_text

Split = Literal["train", "validation", "test"]
Person = tuple[str, str]
"""Data set and actor."""

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
SYNTHETIC = "synthetic"
"""The data set of synthetic subjects."""

_SHARES = (0.70, 0.85)  # of synthetic subjects: up to the first number train, up to the second validation, else test
_HELD = 0.15  # of the people of a data set: for each of test and validation of a drawn split
_LARGEST_FILE = 1 << 20  # bytes
_GOLDEN = (5**0.5 - 1) / 2  # its multiples fill [0, 1) evenly


@dataclass(frozen=True)
class PeopleSplit:
    """Which real people are trained on, tuned on, and only reported on; synthetic subjects are split by number."""

    test: frozenset[str] = frozenset()
    """Names of the people whom numbers are reported on."""
    validation: frozenset[str] = frozenset()
    """Names of the people whom methods are tuned on."""
    validation_datasets: frozenset[str] = frozenset()
    """Whole data sets whose people methods are tuned on."""

    def assign(self, actor: str, dataset: str = "") -> Split:
        """Assign a person to a split; a name means one person, whatever data set they are seen in.

        Args:
            actor: The person's name.
            dataset: The data set's name; `SYNTHETIC` for synthetic subjects.
        """
        if dataset == SYNTHETIC:
            return SPLITS[sum(_place(actor) >= share for share in _SHARES)]
        if actor in self.test:
            return "test"
        return "validation" if actor in self.validation or dataset in self.validation_datasets else "train"

    def to_json(self) -> dict[str, list[str]]:
        """The names of each part, sorted."""
        return {item.name: sorted(getattr(self, item.name)) for item in fields(self)}


def load_split(spec: str = "auto", people: Iterable[Person] = ()) -> PeopleSplit:
    """Load a split by person.

    Args:
        spec: "shipped": the people whom this project's own numbers are reported and tuned on; everybody else is
            trained on. "mead": the paper's six actors of MEAD to report on; of all others, whom the paper trains on,
            two are left to tune on. "seeded" or "seeded:N": 70 % of the people of each data set to train on, 15 % to
            tune and 15 % to report on, drawn by seed N (0). A path: a JSON file with lists of names, `test`,
            `validation` and, as one likes, `validation_datasets`; everybody else is trained on. "auto": shipped where
            that leaves real people for all three, or there are none; else seeded, where the shipped people of test
            keep their place.
        people: (data set, actor) of everybody in the data; seeded and auto need them.

    Raises:
        UsageError: There is no such split, or a file names somebody who is not in the data.
        InputError: The file is no split.
    """
    real = sorted({person for person in people if person[0] != SYNTHETIC})
    name, _, seed = spec.partition(":")
    if name == "seeded" and (not seed or seed.isdigit()):
        return _draw_split(real, int(seed or 0), frozenset())
    if spec in ("shipped", "mead"):
        return _load_shipped()[spec]
    if spec == "auto":
        shipped = _load_shipped()["shipped"]
        present = {shipped.assign(actor, dataset) for dataset, actor in real}
        return shipped if len(present) in (0, len(SPLITS)) else _draw_split(real, 0, shipped.test)
    if not Path(spec).is_file():
        raise UsageError(f"--split {spec}: no such file; or choose auto, shipped, mead, seeded or seeded:N")
    try:
        split = _parse_split(loads_untrusted(small_text(Path(spec), _LARGEST_FILE, "split")), spec)
    except ValueError as error:
        raise InputError(f"{spec}: no JSON ({error})") from error
    check_people(sorted(split.test | split.validation), {actor for _, actor in real}, f"--split {spec}:")
    return split


@cache
def _load_shipped() -> dict[str, PeopleSplit]:
    raw = json.loads(files("cdrl.datasets").joinpath("people.json").read_text(encoding="utf-8"))
    return {name: _parse_split(lists, name) for name, lists in raw.items()}


def _parse_split(raw: object, name: str) -> PeopleSplit:
    known = {item.name for item in fields(PeopleSplit)}
    if not isinstance(raw, dict) or not raw.keys() <= known or not raw.keys() & {"test", "validation"}:
        raise InputError(f"{name}: no split: a JSON object with lists of names, test and validation")
    for key, names in raw.items():
        if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
            raise InputError(f"{name}: {key} is no list of names")
    split = PeopleSplit(**{key: frozenset(names) for key, names in raw.items()})
    if both := sorted(split.test & split.validation):
        raise InputError(f"{name}: {both[0]} stands in test and in validation")
    return split


def _draw_split(people: Sequence[Person], seed: int, test: frozenset[str]) -> PeopleSplit:
    """Draw a split of each data set in turn; who has a place already, in another data set or in `test`, keeps it."""
    datasets: dict[str, list[str]] = {}
    for dataset, actor in sorted(people, key=lambda person: (person[0], _hash(f"{seed}:{person[1]}"))):
        datasets.setdefault(dataset, []).append(actor)
    placed: dict[str, Split] = dict.fromkeys(test & {actor for _, actor in people}, "test")
    for actors in datasets.values():
        held = {part: max(1, round(_HELD * len(actors))) for part in ("test", "validation")}
        new = [actor for actor in actors if actor not in placed]
        for part in ("test", "validation"):
            wanted = held[part] - sum(placed.get(actor) == part for actor in actors)
            wanted = min(max(wanted, 0), max(len(new) - 1, 0))  # one at least is left to train on
            placed |= dict.fromkeys(new[:wanted], part)
            new = new[wanted:]
        placed |= dict.fromkeys(new, "train")
    parts = {part: frozenset(actor for actor, own in placed.items() if own == part) for part in ("test", "validation")}
    return PeopleSplit(**parts)


def _place(actor: str) -> float:
    """A synthetic subject's place in [0, 1): even over those numbered one after the other, however few they are."""
    number = re.search(r"(\d+)$", actor)
    if number:
        return int(number[1]) * _GOLDEN % 1
    return _hash(actor)


def _hash(text: str) -> float:
    """A number in [0, 1) that looks drawn and is the same everywhere."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


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


def list_people(clips: Iterable[HasActor]) -> tuple[str, ...]:
    """List the people seen in clips as `DATASET/ACTOR`, sorted."""
    return tuple(sorted({f"{clip.dataset}/{clip.actor}" for clip in clips}))


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
