"""Numbered pictures as a film: what a pattern of names stands for, and which files of a folder those are.

Nothing here is left to FFmpeg: a pattern is expanded to a list of regular files of one folder.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from cdrl.errors import InputError, InputNotFoundError, LimitError, UsageError
from cdrl.files import file_sha256
from cdrl.media.limits import Limits

EXR = ".exr"
PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp", EXR)
"""Endings of pictures that can be numbered."""
DEFAULT_RATE = Fraction(25)
"""Frames a second of numbered pictures where nothing else is said."""
MOST_PICTURES = 200_000
"""Pictures of a sequence: two hours at 25 frames a second."""
MOST_NAMES = 1_000_000
"""Names that are looked at in a folder."""
_PLACE = re.compile(r"%(?:0(?P<width>[1-9]))?d|#{1,9}")
_NUMBER = re.compile(r"[0-9]{1,9}")
_NUMBERED = re.compile(r"(?P<prefix>.*?)(?P<number>[0-9]{1,9})(?P<suffix>\.\w+)", re.DOTALL)


@dataclass(frozen=True)
class NumberPattern:
    """Names that differ by a number: `shot_%04d.png`."""

    folder: Path
    prefix: str
    digits: int
    """Least digits of a number; missing ones are filled with zeros."""
    suffix: str

    @classmethod
    def parse(cls, path: Path) -> NumberPattern | None:
        """The pattern that a path writes with `%04d`, `%d` or `####`; None for an ordinary name.

        Of several places the last one counts, `%04d` before `####`, so that what `path` gives is read as it was meant.
        """
        places = list(_PLACE.finditer(path.name))
        if not places or path.suffix.lower() not in PICTURES:
            return None
        place = max(places, key=lambda one: (one[0].startswith("%"), one.start()))
        digits = len(place[0]) if place[0].startswith("#") else int(place["width"] or 1)
        return cls(path.parent, path.name[: place.start()], digits, path.name[place.end() :])

    @property
    def path(self) -> Path:
        """The pattern as a path, written with `%04d`."""
        place = "%d" if self.digits == 1 else f"%0{self.digits}d"
        return self.folder / f"{self.prefix}{place}{self.suffix}"

    @property
    def name(self) -> str:
        """What all pictures are called, without number and ending; of bare numbers their folder's name."""
        return self.prefix.rstrip("._- ") or self.folder.absolute().name or "pictures"

    def file(self, number: int) -> Path:
        """The picture of a number."""
        return self.folder / f"{self.prefix}{number:0{self.digits}d}{self.suffix}"

    def is_like(self, other: NumberPattern) -> bool:
        """Whether both name files of one folder that differ in nothing but their numbers."""
        is_beside = self.folder.resolve() == other.folder.resolve()
        return is_beside and (self.prefix, self.suffix) == (other.prefix, other.suffix)

    def holds(self, path: Path) -> bool:
        """Whether a path is the pattern, or that of a picture that fits."""
        is_beside = path.parent.resolve() == self.folder.resolve()
        return is_beside and (path.name == self.path.name or self.number_of(path.name) is not None)

    def number_of(self, name: str) -> int | None:
        """The number in a file's name; None where the name does not fit."""
        if not (name.startswith(self.prefix) and name.endswith(self.suffix)):
            return None
        text = name[len(self.prefix) : len(name) - len(self.suffix)]
        number = int(text) if _NUMBER.fullmatch(text) else -1
        return number if text == f"{number:0{self.digits}d}" else None


@dataclass(frozen=True)
class ImageSequence:
    """Numbered pictures without a gap, which are the frames of a film."""

    pattern: NumberPattern
    first: int
    """Number of the first picture."""
    count: int
    rate: Fraction
    """Frames a second."""
    rate_is_assumed: bool = False
    """Whether nobody said the rate."""

    @property
    def path(self) -> Path:
        """The pattern, for messages and records."""
        return self.pattern.path

    @property
    def is_exr(self) -> bool:
        """Whether the pictures are EXR, which hold light."""
        return self.path.suffix.lower() == EXR

    def file(self, index: int) -> Path:
        """The picture of a frame, counted from 0."""
        return self.pattern.file(self.first + index)

    def files(self) -> Iterator[Path]:
        """All pictures, in order."""
        return map(self.file, range(self.count))

    def holds(self, path: Path) -> bool:
        """Whether a path is, or would be, one of the pictures."""
        return self.pattern.holds(path)

    def sha256(self) -> str:
        """SHA-256 of the pictures' own SHA-256, in order, a line of hexadecimal digits each."""
        return list_sha256(map(file_sha256, self.files()))


def list_sha256(digests: Iterable[str]) -> str:
    """One SHA-256 for many: of their hexadecimal digits, a line each."""
    return hashlib.sha256("".join(f"{digest}\n" for digest in digests).encode()).hexdigest()


def find_sequence(source: Path, rate: Fraction | None, limits: Limits) -> ImageSequence | None:
    """The pictures that a user's word for a source stands for: a pattern of names, or a folder of numbered pictures.

    Args:
        source: A file's name, a pattern or a folder.
        rate: Frames a second; None: `DEFAULT_RATE`.
        limits: What the source may hold.

    Returns:
        The sequence, whose pictures are regular files of one folder; None where `source` is the name of a file.

    Raises:
        InputNotFoundError: No picture fits the pattern.
        InputError: Pictures are missing between others, are no regular files or lie elsewhere, or a folder holds none
            or several sequences.
        LimitError: There are too many of them.
        UsageError: A rate is given for a file, which has its own.
    """
    is_folder = source.is_dir()
    written = None if is_folder or source.exists() else NumberPattern.parse(source)
    if not is_folder and written is None:
        if rate is not None:
            raise UsageError(f"{source} has a frame rate of its own: --frame-rate is for numbered pictures")
        return None
    pattern, numbers = _only_sequence(source) if written is None else (written, _numbers_of(written))
    most = min(MOST_PICTURES, limits.max_frames)
    if len(numbers) > most:
        raise LimitError(f"{pattern.path} has {len(numbers):,} pictures, the limit is {most:,}: split the sequence")
    if len(numbers) < 2:
        raise InputError(f"{pattern.path} is a single picture ({pattern.file(numbers[0]).name}): a film has several")
    if gap := next((one + 1 for one, two in pairwise(numbers) if two != one + 1), None):
        missing = numbers[-1] - numbers[0] + 1 - len(numbers)
        many = "a picture is" if missing == 1 else f"{missing:,} pictures are"
        raise InputError(
            f"{pattern.path}: {many} missing between {pattern.file(numbers[0]).name} and "
            f"{pattern.file(numbers[-1]).name}, first {pattern.file(gap).name}: add what is missing, or number the "
            "pictures without a gap"
        )
    sequence = ImageSequence(pattern, numbers[0], len(numbers), rate or DEFAULT_RATE, rate is None)
    _check_files(sequence)
    return sequence


def numbered_name(path: Path) -> str:
    """The pattern that one picture of a sequence fits, as in `shot_%04d.png`; '' for a name without a number."""
    match = _NUMBERED.fullmatch(path.name)
    if match is None or match["suffix"].lower() not in PICTURES:
        return ""
    return NumberPattern(path.parent, match["prefix"], len(match["number"]), match["suffix"]).path.name


def list_names(folder: Path) -> Iterator[str]:
    """Names in a folder, without hidden ones."""
    try:
        with os.scandir(folder) as entries:
            for count, entry in enumerate(entries):
                if count >= MOST_NAMES:
                    raise LimitError(f"{folder} holds more than {MOST_NAMES:,} files: give the sequence its own folder")
                if not entry.name.startswith("."):
                    yield entry.name
    except FileNotFoundError:
        raise InputNotFoundError(f"{folder}: no such folder; check its name") from None
    except OSError as error:
        raise InputError(f"{folder} cannot be read ({error.strerror}); check its name and permissions") from None


def _numbers_of(pattern: NumberPattern) -> list[int]:
    numbers = sorted(number for name in list_names(pattern.folder) if (number := pattern.number_of(name)) is not None)
    if not numbers:
        raise InputNotFoundError(
            f"{pattern.path}: no picture in {pattern.folder} fits, as {pattern.file(1).name} would; check the name"
        )
    return numbers


def _only_sequence(folder: Path) -> tuple[NumberPattern, list[int]]:
    """The only sequence in a folder, and its numbers."""
    groups: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for name in list_names(folder):
        match = _NUMBERED.fullmatch(name)
        if match is not None and match["suffix"].lower() in PICTURES:
            groups[match["prefix"], match["suffix"]].append(match["number"])
    patterns = {
        NumberPattern(folder, prefix, min(map(len, numbers)), suffix): numbers
        for (prefix, suffix), numbers in groups.items()
        if len(numbers) > 1
    }
    if not patterns:
        raise InputError(
            f"{folder} is a folder without numbered pictures ({', '.join(PICTURES)}): name a video, or a folder of them"
        )
    if len(patterns) > 1:
        named = sorted(pattern.path.name for pattern in patterns)
        raise InputError(f"{folder} holds {len(named)} sequences ({', '.join(named[:3])}, ...): name one of them")
    ((pattern, numbers),) = patterns.items()
    odd = next((number for number in numbers if number != f"{int(number):0{pattern.digits}d}"), None)
    if odd is not None:
        raise InputError(
            f"{folder} holds pictures with {pattern.digits} and with {len(odd)} digits: name one pattern, as in "
            f"{pattern.path.name}"
        )
    return pattern, sorted(map(int, numbers))


def _check_files(sequence: ImageSequence) -> None:
    """Raises InputError for a picture that is no regular file, or a link that leads elsewhere."""
    folder = sequence.pattern.folder.resolve()
    for path in sequence.files():
        if path.is_symlink() and path.resolve().parent != folder:
            raise InputError(f"{path} is a link that leads out of its folder: put the picture itself there")
        if not path.is_file():
            raise InputError(f"{path} is no regular file: take it away, or put the picture there")
