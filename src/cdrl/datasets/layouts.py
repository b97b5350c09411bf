"""Readers of the layouts that data sets come in. Each names what is missing and counts what it leaves out.

MEAD: `ACTOR/video/VIEW/EMOTION/level_N/NNN.mp4`, its sound in `ACTOR/audio/EMOTION/level_N/NNN.m4a`. RAVDESS:
`Actor_NN/` with codes for names. CREMA-D: `1001_DFA_ANG_XX.flv`. Plain: `clips.csv` beside the clips.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path

from cdrl.csv_tables import read_rows
from cdrl.datasets.clip import Clip, ClipTable, Problem

TABLE = "clips.csv"
"""The table of the plain layout."""
VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".avi", ".flv", ".webm", ".mpg", ".mpeg", ".m4v")

_LONGEST_ID = 72  # characters: tar's names have a hundred, of which arrays' names take twenty
_TRUE_OR_FALSE = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
_MEAD_COMMON = ("001", "002", "003")  # said in every emotion by nearly everyone
_TRANSCRIPTS = ("transcripts.txt", "mead_transcripts.txt")


def make_identifier(text: str) -> str:
    """Keep letters, digits, `_` and `-`, which may stand in an id; a long text is cut and ends with its hash."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_") or "clip"
    if len(name) <= _LONGEST_ID:
        return name
    return f"{name[: _LONGEST_ID - 9]}-{hashlib.sha256(text.encode(errors='surrogateescape')).hexdigest()[:8]}"


def make_sentence_id(sentence: str) -> str:
    """Make an id of the words alone: without case and punctuation."""
    return "_".join(re.findall(r"[a-z0-9]+", sentence.lower().replace("'", "")))


@cache
def _sentences(layout: str) -> dict[str, str]:
    """Code → words."""
    raw = json.loads(files("cdrl.datasets").joinpath("sentences.json").read_text(encoding="utf-8"))
    sentences: dict[str, str] = raw[layout]
    return sentences


def read_plain(table: ClipTable) -> None:
    """Add the clips that `clips.csv` lists.

    Its columns are path (relative to the folder), actor, emotion; and, where known, dataset, intensity, sentence,
    sentence_id or content_id, view, audio. Ground truth lies beside a clip as `NAME.npz`.

    Raises:
        InputError: The file is no such table.
    """
    for number, row in read_rows(table.folder / TABLE, ("path", "actor", "emotion")):
        if row["path"]:
            table.clips.append(_read_row(table, row))
        else:
            table.problems.append(Problem(f"{TABLE} line {number}", "no path"))


def _read_row(table: ClipTable, row: dict[str, str]) -> Clip:
    path, name = table.folder / row["path"], make_identifier(Path(row["path"]).with_suffix("").as_posix())
    actor, sentence, content = row["actor"], row.get("sentence", ""), row.get("content_id", "")
    if not actor or " " in actor:  # "other actor" and the like name nobody
        table.remarks["clips of nobody named, each counted as a person of its own"] += 1
        actor = name
    truth = path.with_suffix(".npz") if path.with_suffix(".npz").is_file() else None
    # The same words can be parts of two sentences, whose frame maps count from different beginnings.
    exact = content if truth else ""
    return Clip(
        name,
        path,
        dataset=row.get("dataset") or table.folder.resolve().name,
        actor=actor,
        emotion=table.parse_emotion(row["emotion"]),
        intensity=table.parse_intensity(row.get("intensity", "")),
        sentence=sentence,
        sentence_id=row.get("sentence_id") or exact or make_sentence_id(sentence) or content,
        view=row.get("view") or "front",
        has_sound=_TRUE_OR_FALSE.get(row.get("audio", "").lower()),
        truth=truth,
    )


def read_mead(table: ClipTable) -> None:
    """Add the clips of MEAD's folders.

    Words come from `transcripts.txt` (lines `ACTOR_level_N_EMOTION_NNN THE WORDS`) where it is there. Without it,
    sentences 001–003 count as the same in all emotions but *disgusted*, where they often differ.
    """
    transcripts = _read_transcripts(table.folder)
    for actor in sorted(path for path in table.folder.iterdir() if (path / "video").is_dir()):
        numbers: dict[tuple[str, ...], set[str]] = defaultdict(set)
        for path in _list_videos(actor / "video"):
            parts = path.relative_to(actor / "video").parts
            if len(parts) != 4 or not re.fullmatch(r"level_\d+", parts[2]):
                table.add_problem(path, "not at VIEW/EMOTION/level_N/NNN")
                continue
            numbers[parts[:3]].add(path.stem)
            table.clips.append(_read_mead_path(table, transcripts, actor, path, *parts[:3]))
        _find_mead_gaps(table, actor, numbers)


def _read_mead_path(
    table: ClipTable, transcripts: dict[str, str], actor: Path, path: Path, view: str, emotion: str, level: str
) -> Clip:
    number, sound = path.stem, actor / "audio" / emotion / level / f"{path.stem}.m4a"
    sentence = transcripts.get(f"{actor.name}_{level}_{emotion}_{number}", "")
    common = number in _MEAD_COMMON and emotion != "disgusted"
    return Clip(
        make_identifier(f"{actor.name}_{view}_{emotion}_{level}_{number}"),
        path,
        dataset="mead",
        actor=actor.name,
        emotion=table.parse_emotion(emotion),
        intensity=int(level.removeprefix("level_")),
        sentence=sentence,
        sentence_id=make_sentence_id(sentence) or (number if common else f"{emotion}_{number}"),
        view=view,
        has_sound=sound.is_file() or None,
        sound=sound if sound.is_file() else None,
    )


def _find_mead_gaps(table: ClipTable, actor: Path, numbers: dict[tuple[str, ...], set[str]]) -> None:
    """Name the clips that must have been there: gaps in the numbers, and sound without any picture."""
    highest, pictured = Counter[tuple[str, ...]](), set[tuple[str, ...]]()
    for place, stems in sorted(numbers.items()):
        last = max((int(stem) for stem in stems if stem.isdigit()), default=0)
        highest[place[1:]] = max(highest[place[1:]], last)
        pictured |= {(*place[1:], stem) for stem in stems}
        for number in sorted({f"{n:03d}" for n in range(1, last)} - stems):
            table.add_problem(actor.joinpath("video", *place, f"{number}.mp4"), "missing: the numbers have a gap")
    for sound in sorted((actor / "audio").glob("*/level_*/*.m4a")):
        place = sound.parts[-3:-1]
        in_gap = sound.stem.isdigit() and int(sound.stem) < highest[place]
        if (*place, sound.stem) not in pictured and not in_gap:
            table.add_problem(sound, "missing: there is its sound, but no video of it")


def _read_transcripts(folder: Path) -> dict[str, str]:
    for name in _TRANSCRIPTS:
        if (folder / name).is_file():
            lines = (folder / name).read_text(encoding="utf-8").splitlines()
            return {key: words.strip() for key, _, words in (line.partition(" ") for line in lines)}
    return {}


def read_ravdess(table: ClipTable) -> None:
    """Add the clips with RAVDESS's names of seven codes.

    They are modality (01 with sound, 02 silent, 03 sound only), channel (01 speech, 02 song), emotion, intensity,
    statement, repetition, actor. Song is left out and counted.
    """
    for path in _list_files(table.folder):
        is_video = path.suffix.lower() in VIDEO_SUFFIXES
        if not re.fullmatch(r"\d\d(-\d\d){6}", path.stem):
            if is_video:
                table.add_problem(path, "its name is not seven two-digit codes")
            continue
        modality, channel, emotion, intensity, statement, _, actor = path.stem.split("-")
        if modality == "03" or not is_video:
            table.remarks["files of sound alone, left out"] += 1
        elif channel != "01":
            table.remarks["clips of song, left out"] += 1
        else:
            words, label = _sentences("ravdess").get(statement, ""), table.parse_emotion(emotion)
            clip = Clip(path.stem, path, "ravdess", f"Actor_{actor}", label, int(intensity), words, statement)
            table.clips.append(replace(clip, has_sound=modality == "01"))
    _find_missing(table, lambda clip: clip.id[:-3], lambda actor, code: f"{actor}/{code}-{actor[6:]}.mp4")


def read_crema(table: ClipTable) -> None:
    """Add the clips with CREMA-D's names, `ACTOR_SENTENCE_EMOTION_LEVEL.flv`, anywhere below the folder."""
    for path in _list_videos(table.folder):
        if not re.fullmatch(r"\d+(_[^_]*){3}", path.stem):
            table.add_problem(path, "its name is not ACTOR_SENTENCE_EMOTION_LEVEL")
            continue
        actor, sentence, emotion, level = path.stem.split("_")
        words, label = _sentences("crema-d").get(sentence, ""), table.parse_emotion(emotion)
        clip = Clip(make_identifier(path.stem), path, "crema_d", actor, label, None, words, sentence)
        table.clips.append(replace(clip, intensity=table.parse_intensity(level)))
    _find_missing(table, lambda clip: clip.id[5:], lambda actor, code: f"{actor}_{code}.flv")


def _find_missing(table: ClipTable, code: Callable[[Clip], str], name: Callable[[str, str], str]) -> None:
    """Name clips that more than half of the people have, and one has not."""
    codes: dict[str, set[str]] = defaultdict(set)
    for clip in table.clips:
        codes[clip.actor].add(code(clip))
    counts = Counter(each for own in codes.values() for each in own)
    common = {each for each, count in counts.items() if 2 * count > len(codes)}
    for actor, own in codes.items():
        table.problems += [
            Problem(name(actor, each), "missing: most of the others have it") for each in sorted(common - own)
        ]


def _list_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))


def _list_videos(folder: Path) -> list[Path]:
    return [path for path in _list_files(folder) if path.suffix.lower() in VIDEO_SUFFIXES]


READERS: dict[str, Callable[[ClipTable], None]] = {
    "plain": read_plain,
    "mead": read_mead,
    "ravdess": read_ravdess,
    "crema-d": read_crema,
}
"""Name of a layout → its reader."""


def detect_layout(folder: Path) -> str | None:
    """Detect the layout of a folder; None where it is in none of them."""
    if (folder / TABLE).is_file():
        return "plain"
    if any((path / "video").is_dir() for path in folder.iterdir() if path.is_dir()):
        return "mead"
    for path in _list_files(folder):
        if re.fullmatch(r"\d\d(-\d\d){6}", path.stem):
            return "ravdess"
        if re.fullmatch(r"\d{4}_[A-Z]{3}_[A-Z]{3}_[A-Z]{2}", path.stem):
            return "crema-d"
    return None
