"""Readers of the layouts that data sets come in. Each names what is missing and counts what it leaves out.

MEAD: `ACTOR/video/VIEW/EMOTION/level_N/NNN.mp4`, its sound in `ACTOR/audio/EMOTION/level_N/NNN.m4a`. RAVDESS:
`Actor_NN/` with codes for names. CREMA-D: `1001_DFA_ANG_XX.flv`. Plain: `clips.csv` beside the clips.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cdrl.datasets.clip import Clip, Problem
from cdrl.emotions import parse_emotion
from cdrl.errors import InputError, UsageError

VIDEOS = (".mp4", ".mov", ".mkv", ".avi", ".flv", ".webm", ".mpg", ".mpeg", ".m4v")

CREMA_SENTENCES = {
    "IEO": "It's eleven o'clock",
    "TIE": "That is exactly what happened",
    "IOM": "I'm on my way to the meeting",
    "IWW": "I wonder what this is about",
    "TAI": "The airplane is almost full",
    "MTI": "Maybe tomorrow it will be cold",
    "IWL": "I would like a new alarm clock",
    "ITH": "I think I have a doctor's appointment",
    "DFA": "Don't forget a jacket",
    "ITS": "I think I've seen this before",
    "TSI": "The surface is slick",
    "WSI": "We'll stop in a couple of minutes",
}
RAVDESS_SENTENCES = {"01": "Kids are talking by the door", "02": "Dogs are sitting by the door"}
_LONGEST_ID = 72  # characters: tar's names have a hundred, of which arrays' names take twenty
_STRENGTHS = {"lo": 1, "md": 2, "hi": 3, "normal": 1, "strong": 2, "xx": None, "": None}
_MEAD_COMMON = ("001", "002", "003")  # said in every emotion by nearly everyone
_TRANSCRIPTS = ("transcripts.txt", "mead_transcripts.txt")


@dataclass
class Found:
    """What a reader gathers. `remarks` are counted: how many clips something is true of."""

    folder: Path
    clips: list[Clip] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    remarks: Counter[str] = field(default_factory=Counter)

    def emotion(self, name: str) -> str:
        """One of the seven; empty, with a remark, for any other (contempt)."""
        if not name.strip():
            return ""
        try:
            return parse_emotion(name)
        except UsageError:
            self.remarks[f"clips of {name.strip().lower()}, outside the seven emotions, kept without a label"] += 1
            return ""

    def name(self, path: Path) -> str:
        """A path as it is named to people: relative to the data set."""
        return path.relative_to(self.folder).as_posix() if path.is_relative_to(self.folder) else str(path)


def identifier(text: str) -> str:
    """Letters, digits, `_` and `-` only: what may stand in an id; a long text is cut and its hash put in its place."""
    found = re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_") or "clip"
    if len(found) <= _LONGEST_ID:
        return found
    return f"{found[: _LONGEST_ID - 9]}-{hashlib.sha256(text.encode(errors='surrogateescape')).hexdigest()[:8]}"


def words_id(sentence: str) -> str:
    """An id of the words alone: no case, no punctuation."""
    return "_".join(re.findall(r"[a-z0-9]+", sentence.lower().replace("'", "")))


def read_plain(folder: Path) -> Found:
    """`clips.csv` with the columns path (relative to the folder), actor, emotion; and, where known, dataset, intensity,
    sentence, sentence_id or content_id, view, fps, audio. Ground truth lies beside a clip as `NAME.npz`.
    """
    table = folder / "clips.csv"
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = set(reader.fieldnames or ())
            rows = [
                (reader.line_num, {key: (value or "").strip() for key, value in row.items() if key}) for row in reader
            ]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table}: not a table of comma-separated values in UTF-8 ({error})") from error
    if missing := {"path", "actor", "emotion"} - columns:
        raise InputError(f"{table}: no column {', '.join(sorted(missing))}; begin it with a line path,actor,emotion")
    found = Found(folder)
    for number, row in rows:
        if row["path"]:
            found.clips.append(_plain_clip(found, row))
        elif any(row.values()):
            found.problems.append(Problem(f"clips.csv line {number}", "no path"))
    return found


def _plain_clip(found: Found, row: dict[str, str]) -> Clip:
    path = found.folder / row["path"]
    name = identifier(Path(row["path"]).with_suffix("").as_posix())
    actor = row["actor"]
    if not actor or " " in actor:  # "other actor" and the like name nobody
        found.remarks["clips of nobody named, each counted as a person of its own"] += 1
        actor = name
    sentence = row.get("sentence", "")
    truth, content = path.with_suffix(".npz"), row.get("content_id", "")
    # The same words can be parts of two sentences, whose frame maps count from different beginnings.
    exact = content if truth.is_file() else ""
    return Clip(
        name,
        path,
        row.get("dataset") or found.folder.resolve().name,
        actor,
        found.emotion(row["emotion"]),
        _intensity(found, row.get("intensity", "")),
        sentence,
        row.get("sentence_id") or exact or words_id(sentence) or content,
        row.get("view") or "front",
        {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}.get(
            row.get("audio", "").lower()
        ),
        truth=truth if truth.is_file() else None,
    )


def _intensity(found: Found, text: str) -> int | None:
    if text.lower() in _STRENGTHS:
        return _STRENGTHS[text.lower()]
    try:
        return round(float(text))
    except ValueError:
        found.remarks[f"clips of intensity {text!r}, which is no number, kept without one"] += 1
        return None


def read_mead(folder: Path) -> Found:
    """MEAD. Words come from `transcripts.txt` (lines `ACTOR_level_N_EMOTION_NNN THE WORDS`) where it is there.

    Without it, sentences 001–003 count as the same in all emotions but *disgusted*, where they often differ.
    """
    found, transcripts = Found(folder), _transcripts(folder)
    for actor in sorted(path for path in folder.iterdir() if (path / "video").is_dir()):
        numbers: dict[str, set[str]] = {}
        for path in _videos(actor / "video"):
            parts = path.relative_to(actor / "video").parts
            if len(parts) != 4 or not parts[2].startswith("level_") or not parts[2][6:].isdigit():
                found.problems.append(Problem(found.name(path), "not at VIEW/EMOTION/level_N/NNN"))
                continue
            view, emotion, level = parts[:3]
            numbers.setdefault(f"video/{view}/{emotion}/{level}", set()).add(path.stem)
            found.clips.append(_mead_clip(found, transcripts, actor, path, view, emotion, level))
        _mead_gaps(found, actor, numbers)
    return found


def _mead_clip(
    found: Found, transcripts: dict[str, str], actor: Path, path: Path, view: str, emotion: str, level: str
) -> Clip:
    number = path.stem
    sentence = transcripts.get(f"{actor.name}_{level}_{emotion}_{number}", "")
    common = number in _MEAD_COMMON and emotion != "disgusted"
    sound = actor / "audio" / emotion / level / f"{number}.m4a"
    has_sound = sound.is_file()
    return Clip(
        identifier(f"{actor.name}_{view}_{emotion}_{level}_{number}"),
        path,
        "mead",
        actor.name,
        found.emotion(emotion),
        int(level[6:]),
        sentence,
        words_id(sentence) or (number if common else f"{emotion}_{number}"),
        view,
        has_sound or None,
        sound=sound if has_sound else None,
    )


def _mead_gaps(found: Found, actor: Path, numbers: dict[str, set[str]]) -> None:
    """Name the clips that must have been there: gaps in the numbers, and sound without any picture."""
    for place, seen in sorted(numbers.items()):
        highest = max((int(number) for number in seen if number.isdigit()), default=0)
        for number in (f"{n:03d}" for n in range(1, highest)):
            if number not in seen:
                found.problems.append(Problem(f"{actor.name}/{place}/{number}.mp4", "missing: the numbers have a gap"))
    pictured = {(*place.split("/")[2:], number) for place, seen in numbers.items() for number in seen}
    for sound in sorted((actor / "audio").glob("*/level_*/*.m4a")):
        emotion, level = sound.parts[-3:-1]
        highest = max((int(n) for e, lv, n in pictured if (e, lv) == (emotion, level) and n.isdigit()), default=0)
        if (emotion, level, sound.stem) not in pictured and not (sound.stem.isdigit() and int(sound.stem) < highest):
            found.problems.append(Problem(found.name(sound), "missing: there is its sound, but no video of it"))


def _transcripts(folder: Path) -> dict[str, str]:
    for name in _TRANSCRIPTS:
        if (folder / name).is_file():
            lines = (folder / name).read_text(encoding="utf-8").splitlines()
            return {key: words.strip() for key, _, words in (line.partition(" ") for line in lines)}
    return {}


def read_ravdess(folder: Path) -> Found:
    """RAVDESS. Codes: modality (01 with sound, 02 silent, 03 sound only) - channel (01 speech, 02 song) - emotion -
    intensity - statement - repetition - actor. Song is left out and counted."""
    found = Found(folder)
    for path in _files(folder):
        codes = path.stem.split("-")
        if len(codes) != 7 or not all(re.fullmatch(r"\d\d", code) for code in codes):
            if path.suffix.lower() in VIDEOS:
                found.problems.append(Problem(found.name(path), "its name is not seven two-digit codes"))
            continue
        modality, channel, emotion, intensity, statement, _, actor = codes
        if modality == "03" or path.suffix.lower() not in VIDEOS:
            found.remarks["files of sound alone, left out"] += 1
        elif channel != "01":
            found.remarks["clips of song, left out"] += 1
        else:
            clip = Clip(
                path.stem,
                path,
                "ravdess",
                f"Actor_{actor}",
                found.emotion(emotion),
                int(intensity),
                RAVDESS_SENTENCES.get(statement, ""),
                statement,
                has_sound=modality == "01",
            )
            found.clips.append(clip)
    _missing_of_others(found, lambda clip: clip.id[:-3], lambda clip, code: f"{clip.actor}/{code}-{clip.actor[6:]}.mp4")
    return found


def read_crema(folder: Path) -> Found:
    """CREMA-D: `ACTOR_SENTENCE_EMOTION_LEVEL.flv` anywhere below the folder."""
    found = Found(folder)
    for path in _videos(folder):
        codes = path.stem.split("_")
        if len(codes) != 4 or not codes[0].isdigit():
            found.problems.append(Problem(found.name(path), "its name is not ACTOR_SENTENCE_EMOTION_LEVEL"))
            continue
        actor, sentence, emotion, level = codes
        found.clips.append(
            Clip(
                identifier(path.stem),
                path,
                "crema_d",
                actor,
                found.emotion(emotion),
                _intensity(found, level),
                CREMA_SENTENCES.get(sentence, ""),
                sentence,
            )
        )
    _missing_of_others(found, lambda clip: clip.id[5:], lambda clip, code: f"{clip.actor}_{code}.flv")
    return found


def _missing_of_others(found: Found, code: Callable[[Clip], str], name: Callable[[Clip, str], str]) -> None:
    """Name clips that more than half of the people have, and one has not."""
    of_people: dict[str, dict[str, Clip]] = {}
    for clip in found.clips:
        of_people.setdefault(clip.actor, {})[code(clip)] = clip
    common = Counter(each for codes in of_people.values() for each in codes)
    for codes in of_people.values():
        for each in sorted(each for each, count in common.items() if 2 * count > len(of_people) and each not in codes):
            missing = name(next(iter(codes.values())), each)
            found.problems.append(Problem(missing, "missing: most of the others have it"))


def _files(folder: Path) -> Iterator[Path]:
    yield from sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))


def _videos(folder: Path) -> Iterable[Path]:
    return (path for path in _files(folder) if path.suffix.lower() in VIDEOS)


READERS: dict[str, Callable[[Path], Found]] = {
    "plain": read_plain,
    "mead": read_mead,
    "ravdess": read_ravdess,
    "crema-d": read_crema,
}


def recognise(folder: Path) -> str | None:
    """The layout a folder is in; None where it is none of them."""
    if (folder / "clips.csv").is_file():
        return "plain"
    if any((path / "video").is_dir() for path in folder.iterdir() if path.is_dir()):
        return "mead"
    for path in _files(folder):
        if re.fullmatch(r"\d\d(-\d\d){6}", path.stem):
            return "ravdess"
        if re.fullmatch(r"\d{4}_[A-Z]{3}_[A-Z]{3}_[A-Z]{2}", path.stem):
            return "crema-d"
    return None
