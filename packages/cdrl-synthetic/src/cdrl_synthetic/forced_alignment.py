"""Recordings of known words: tables, samples, and when each phone is said.

Word times come from pocketsphinx's alignment of the known text. Its phone times are poor, so phones stand inside their
word by typical lengths, moved half-way to the alignment's where that has the same phones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cdrl.csv_tables import read_rows
from cdrl.emotions import parse_emotion
from cdrl.errors import InputError, InputNotFoundError, UsageError
from cdrl.parallel import Executor
from cdrl.speech.audio import read_samples
from cdrl_synthetic.visemes import VISEME_OF, VOWELS

RATE = 16_000
_TYPICAL = {"B": 70, "P": 80, "M": 70, "F": 95, "V": 65, "TH": 80, "DH": 45, "T": 65, "D": 55, "N": 60, "K": 80,
            "G": 65, "NG": 75, "HH": 60, "CH": 110, "JH": 85, "SH": 110, "ZH": 85, "S": 105, "Z": 85, "R": 60, "L": 65,
            "W": 65, "Y": 55, "ER": 110, "AH": 70, "IH": 75, "UH": 80}  # fmt: skip
_VOWEL = 125  # ms, of any other vowel
_CHUNK = 40  # recordings aligned at once by a process


@dataclass(frozen=True)
class Recording:
    """One utterance."""

    path: Path
    """A file with sound."""
    sentence: str
    """What is said, in lower case."""
    voice: str
    """Whose voice it is."""
    emotion: str = ""
    """The speaker's; empty where none is acted."""
    intensity: int | None = None
    """2 (normal) or 3 (strong); None where it is unknown."""


@dataclass(frozen=True)
class AlignedRecording:
    """A recording with its n phones in time."""

    recording: Recording
    """Where it comes from."""
    words: tuple[str, ...]
    """The sentence's words."""
    symbols: tuple[str, ...]
    """[n] phones as the dictionary has them."""
    word: tuple[int, ...]
    """[n] the index of each phone's word."""
    bounds: tuple[float, ...]
    """[n + 1] seconds, rising."""


def read_recordings(folder: Path, flag: str) -> list[Recording]:
    """Read the table of recordings in a folder.

    `ravdess_speech.csv` (path, actor, emotion, intensity, sentence) has acted emotions, `speech.csv` (path, sentence,
    take) one neutral voice.

    Args:
        folder: Where the table is; paths are relative to it.
        flag: The option that names the folder, for messages.

    Raises:
        InputNotFoundError: The folder, its table or a recording is missing.
        InputError: A row lacks a path or a sentence, or its emotion is unknown.
    """
    if not folder.is_dir():
        raise InputNotFoundError(f"{flag} {folder}: no such folder; it holds recordings and a table of what is said")
    tables = [folder / name for name in ("speech.csv", "ravdess_speech.csv") if (folder / name).is_file()]
    if not tables:
        raise InputNotFoundError(f"{flag} {folder}: neither speech.csv nor ravdess_speech.csv in it; see docs")
    recordings = [_parse_row(folder, row, number, tables[0]) for number, row in read_rows(tables[0])]
    missing = [item.path for item in recordings if not item.path.is_file()]
    if missing or not recordings:
        what = f"{len(missing)} recordings are missing, the first {missing[0]}" if missing else "lists nothing"
        raise InputNotFoundError(f"{tables[0]}: {what}")
    return recordings


def _parse_row(folder: Path, row: dict[str, str], number: int, table: Path) -> Recording:
    if not row.get("path") or not row.get("sentence"):
        raise InputError(f"{table}: line {number}: needs a path and a sentence")
    try:
        emotion = parse_emotion(row["emotion"]) if row.get("emotion") else ""
    except UsageError as error:
        raise InputError(f"{table}: line {number}: {error}") from None
    level = {"strong": 3, "normal": 2}.get(row.get("intensity", ""))
    voice = row.get("actor") or row.get("voice") or "voice"
    sentence = " ".join(row["sentence"].lower().strip(" .!?").split())
    return Recording(folder / row["path"], sentence, voice, emotion, level)


def load_samples(path: Path, rate: int = RATE) -> NDArray[np.int16]:
    """Load a recording as mono samples.

    Args:
        path: A file with sound.
        rate: Samples a second.

    Raises:
        InputError: There is no sound in the file.
    """
    return np.round(read_samples(path, rate=rate) * 32767).astype(np.int16)


@cache
def load_decoder() -> Any:
    """Load the aligner, once a process."""
    import pocketsphinx  # noqa: PLC0415  a model of 50 MB that only alignment needs

    return pocketsphinx.Decoder(lm=None, loglevel="FATAL")


def look_up_phones(sentence: str) -> list[list[str]] | None:
    """Look up the phones of each word in the dictionary; None where it does not know a word."""
    result = [load_decoder().lookup_word(word) for word in sentence.split()]
    return [phones.split() for phones in result] if all(result) else None


def align_recording(recording: Recording) -> AlignedRecording | None:
    """Find when each phone is said; None where the words cannot be found in the recording, or not believably."""
    words, phones = recording.sentence.split(), look_up_phones(recording.sentence)
    if phones is None:
        return None
    samples = load_samples(recording.path).tobytes()
    decoder = load_decoder()
    # The decoder estimates noise over all that it has heard: without this, the phones of a recording would depend on
    # those that the same process aligned before it.
    decoder.reinit_feat()
    decoder.set_align_text(recording.sentence)
    try:
        _decode(decoder, samples)
        decoder.set_alignment()
        _decode(decoder, samples)
        aligned = _copy_words(decoder.get_alignment(), set(words))
    except RuntimeError:
        return None
    if [item.name for item in aligned] != words:
        return None
    spoken = _place_phones(recording, words, phones, aligned)
    return spoken if is_plausible(spoken) else None


@dataclass(frozen=True)
class _AlignedWord:
    """An aligned word: start and length in hundredths of a second, its phones and their lengths."""

    name: str
    start: int
    duration: int
    phones: tuple[str, ...]
    lengths: tuple[int, ...]


def _copy_words(alignment: Any, words: set[str]) -> list[_AlignedWord]:
    """The alignment's words without its silences. Its items dangle once it is gone, so nothing of it is kept."""
    result = []
    for item in alignment or ():
        name, start, duration = item.name.split("(")[0], item.start, item.duration
        phones = [(phone.name, phone.duration) for phone in item]
        if name in words:
            result.append(_AlignedWord(name, start, duration, tuple(p for p, _ in phones), tuple(d for _, d in phones)))
    return result


def _decode(decoder: Any, samples: bytes) -> None:
    decoder.start_utt()
    decoder.process_raw(samples, full_utt=True)
    decoder.end_utt()


def _place_phones(
    recording: Recording, words: list[str], phones: list[list[str]], aligned: list[_AlignedWord]
) -> AlignedRecording:
    """Phones inside the aligned words (times in hundredths of a second); a pause belongs to the word before it."""
    starts = [item.start / 100 for item in aligned]
    ends = [*starts[1:], (aligned[-1].start + aligned[-1].duration) / 100]
    symbols: list[str] = []
    word: list[int] = []
    bounds = [starts[0]]
    for index, (own, item) in enumerate(zip(phones, aligned, strict=True)):
        lengths = np.array([_TYPICAL.get(phone, _VOWEL) for phone in own], np.float64)
        lengths /= lengths.sum()
        if list(item.phones) == own and min(item.lengths) >= 3:
            lengths = (lengths + np.array(item.lengths) / sum(item.lengths)) / 2
        bounds += (starts[index] + np.cumsum(lengths) * (ends[index] - starts[index])).tolist()
        symbols += own
        word += [index] * len(own)
    rounded = tuple(round(bound, 5) for bound in bounds)
    return AlignedRecording(recording, tuple(words), tuple(symbols), tuple(word), rounded)


def is_plausible(spoken: AlignedRecording) -> bool:
    """Whether the times can be believed: no word is crammed into an instant, no phone endless."""
    lengths = np.diff(spoken.bounds)
    vowels = [length for length, symbol in zip(lengths, spoken.symbols, strict=True) if symbol in VOWELS]
    known = all(symbol in VISEME_OF for symbol in spoken.symbols)
    return bool(known and lengths.min() > 0.01 and max(vowels) < 0.6 and lengths.mean() < 0.25)


def align_recordings(
    recordings: Sequence[Recording], executor: Executor, advance: Callable[[int], None]
) -> tuple[list[AlignedRecording], list[Recording]]:
    """Align many recordings.

    Args:
        recordings: The recordings.
        executor: What aligns chunks of them side by side.
        advance: Called with the number of recordings that are done.

    Returns:
        What could be aligned and can be believed, and what not, both in order.

    Raises:
        InputError: A chunk failed as a whole.
    """
    chunks = [recordings[start : start + _CHUNK] for start in range(0, len(recordings), _CHUNK)]
    result: dict[int, list[AlignedRecording | None]] = {}
    for outcome in executor.run(_align_chunk, chunks):
        if outcome.result is None:
            raise InputError(f"{chunks[outcome.index][0].path} and what follows it: {outcome.error}")
        result[outcome.index] = outcome.result
        advance(len(outcome.result))
    spoken = [item for number in range(len(chunks)) for item in result[number]]
    unaligned = [recording for recording, item in zip(recordings, spoken, strict=True) if item is None]
    return [item for item in spoken if item is not None], unaligned


def _align_chunk(recordings: Sequence[Recording]) -> list[AlignedRecording | None]:
    return [align_recording(recording) for recording in recordings]
