"""Recordings of known words: tables, samples, and when each phone is said.

Word times come from pocketsphinx's alignment of the known text. Its phone times are poor, so phones stand inside their
word by typical lengths, moved half-way to the alignment's where that has the same phones.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cdrl.emotions import parse_emotion
from cdrl.errors import InputError, InputNotFoundError, UsageError
from cdrl.parallel import Executor
from cdrl.speech.audio import read_samples as read_sound
from cdrl_synthetic.visemes import VISEME_OF, VOWELS

RATE = 16_000
_TYPICAL = {"B": 70, "P": 80, "M": 70, "F": 95, "V": 65, "TH": 80, "DH": 45, "T": 65, "D": 55, "N": 60, "K": 80,
            "G": 65, "NG": 75, "HH": 60, "CH": 110, "JH": 85, "SH": 110, "ZH": 85, "S": 105, "Z": 85, "R": 60, "L": 65,
            "W": 65, "Y": 55, "ER": 110, "AH": 70, "IH": 75, "UH": 80}  # fmt: skip
_VOWEL = 125  # ms, of any other vowel
_CHUNK = 40  # recordings aligned at once by a process


@dataclass(frozen=True)
class Recording:
    """One utterance: where it is, what is said, whose voice, and the speaker's emotion (empty where none is acted)."""

    path: Path
    sentence: str
    voice: str
    emotion: str = ""
    intensity: int | None = None


@dataclass(frozen=True)
class Spoken:
    """A recording with its phones: `symbols` [n] as the dictionary has them, `word` [n] the index of each one's word,
    `bounds` [n + 1] seconds, `words` the sentence's."""

    recording: Recording
    words: tuple[str, ...]
    symbols: tuple[str, ...]
    word: tuple[int, ...]
    bounds: tuple[float, ...]


def read_table(folder: Path, flag: str) -> list[Recording]:
    """Recordings listed in the folder: `ravdess_speech.csv` (path, actor, emotion, intensity, sentence) or
    `speech.csv` (path, sentence, take), the first taken for acted emotions, the second for one neutral voice."""
    if not folder.is_dir():
        raise InputNotFoundError(f"{flag} {folder}: no such folder; it holds recordings and a table of what is said")
    tables = [folder / name for name in ("speech.csv", "ravdess_speech.csv") if (folder / name).is_file()]
    if not tables:
        raise InputNotFoundError(f"{flag} {folder}: neither speech.csv nor ravdess_speech.csv in it; see docs")
    found = []
    with tables[0].open(newline="", encoding="utf-8") as file:
        for number, row in enumerate(csv.DictReader(file), 2):
            if not row.get("path") or not row.get("sentence"):
                raise InputError(f"{tables[0]}: line {number}: needs a path and a sentence")
            found.append(_recording(folder, row, number, tables[0]))
    missing = [item.path for item in found if not item.path.is_file()]
    if missing or not found:
        what = f"{len(missing)} recordings are missing, the first {missing[0]}" if missing else "lists nothing"
        raise InputNotFoundError(f"{tables[0]}: {what}")
    return found


def _recording(folder: Path, row: dict[str, str], number: int, table: Path) -> Recording:
    emotion, intensity = row.get("emotion") or "", row.get("intensity") or ""
    try:
        emotion = parse_emotion(emotion) if emotion else ""
    except UsageError as error:
        raise InputError(f"{table}: line {number}: {error}") from None
    level = {"strong": 3, "normal": 2}.get(intensity)
    voice = row.get("actor") or row.get("voice") or "voice"
    sentence = " ".join(row["sentence"].lower().strip(" .!?").split())
    return Recording(folder / row["path"], sentence, voice, emotion, level)


def read_samples(path: Path, rate: int = RATE) -> NDArray[np.int16]:
    """Mono samples of a recording. InputError where there is no sound in it."""
    return np.round(read_sound(path, rate=rate) * 32767).astype(np.int16)


@cache
def _decoder() -> Any:
    import pocketsphinx  # noqa: PLC0415  a model of 50 MB that only alignment needs

    return pocketsphinx.Decoder(lm=None, loglevel="FATAL")


def pronounced(sentence: str) -> list[list[str]] | None:
    """The phones of each word by the dictionary, or None where it does not know a word."""
    found = [_decoder().lookup_word(word) for word in sentence.split()]
    return [phones.split() for phones in found] if all(found) else None


def align(recording: Recording) -> Spoken | None:
    """The recording with its phones in time, or None where its words cannot be found in it."""
    words, phones = recording.sentence.split(), pronounced(recording.sentence)
    if phones is None:
        return None
    samples = read_samples(recording.path).tobytes()
    decoder = _decoder()
    # The decoder estimates noise over all that it has heard: without this, the phones of a recording would depend on
    # those that the same process aligned before it.
    decoder.reinit_feat()
    decoder.set_align_text(recording.sentence)
    try:
        _decode(decoder, samples)
        decoder.set_alignment()
        _decode(decoder, samples)
        aligned = _copied(decoder.get_alignment(), set(words))
    except RuntimeError:
        return None
    if [item.name for item in aligned] != words:
        return None
    return _placed(recording, words, phones, aligned)


@dataclass(frozen=True)
class _Heard:
    """An aligned word: start and length in hundredths of a second, its phones and their lengths."""

    name: str
    start: int
    duration: int
    phones: tuple[str, ...]
    lengths: tuple[int, ...]


def _copied(alignment: Any, words: set[str]) -> list[_Heard]:
    """The alignment's words without its silences. Its items dangle once it is gone, so nothing of it is kept."""
    found = []
    for item in alignment or ():
        name, start, duration = item.name.split("(")[0], item.start, item.duration
        phones = [(phone.name, phone.duration) for phone in item]
        if name in words:
            found.append(_Heard(name, start, duration, tuple(p for p, _ in phones), tuple(d for _, d in phones)))
    return found


def _decode(decoder: Any, samples: bytes) -> None:
    decoder.start_utt()
    decoder.process_raw(samples, full_utt=True)
    decoder.end_utt()


def _placed(recording: Recording, words: list[str], phones: list[list[str]], aligned: list[_Heard]) -> Spoken:
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
    return Spoken(recording, tuple(words), tuple(symbols), tuple(word), tuple(round(bound, 5) for bound in bounds))


def sane(spoken: Spoken) -> bool:
    """Whether the times can be believed: no word is crammed into an instant, no phone endless."""
    lengths = np.diff(spoken.bounds)
    vowels = [length for length, symbol in zip(lengths, spoken.symbols, strict=True) if symbol in VOWELS]
    known = all(symbol in VISEME_OF for symbol in spoken.symbols)
    return bool(known and lengths.min() > 0.01 and max(vowels) < 0.6 and lengths.mean() < 0.25)


def aligned(
    recordings: Sequence[Recording], executor: Executor, advance: Callable[[int], None]
) -> tuple[list[Spoken], list[Recording]]:
    """What could be aligned and can be believed, and what not, both in order; `advance` is told how many are done."""
    chunks = [recordings[start : start + _CHUNK] for start in range(0, len(recordings), _CHUNK)]
    found: dict[int, list[Spoken | None]] = {}
    for outcome in executor.run(_believable, chunks):
        if outcome.result is None:
            raise InputError(f"{chunks[outcome.index][0].path} and what follows it: {outcome.error}")
        found[outcome.index] = outcome.result
        advance(len(outcome.result))
    spoken = [item for number in range(len(chunks)) for item in found[number]]
    lost = [recording for recording, item in zip(recordings, spoken, strict=True) if item is None]
    return [item for item in spoken if item is not None], lost


def _believable(recordings: Sequence[Recording]) -> list[Spoken | None]:
    return [spoken if (spoken := align(recording)) is not None and sane(spoken) else None for recording in recordings]
