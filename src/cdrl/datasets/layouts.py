"""Readers of the layouts that data sets come in. Each names what is missing and counts what it leaves out.

MEAD: `ACTOR/video/VIEW/EMOTION/level_N/NNN.mp4`, its sound in `ACTOR/audio/EMOTION/level_N/NNN.m4a`; or the same parts
elsewhere in the path, in any order but the last, such as `M030_front_happy_level_3_001.mp4`. RAVDESS: `Actor_NN/` with
codes for names. CREMA-D: `1001_DFA_ANG_XX.flv`. Plain: `clips.csv` beside the clips.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from pathlib import Path

from cdrl.csv_tables import read_rows
from cdrl.datasets.clip import Clip, ClipTable, Problem

TABLE = "clips.csv"
"""The table of the plain layout."""
VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".avi", ".flv", ".webm", ".mpg", ".mpeg", ".m4v")

_SOUND_SUFFIXES = (".m4a", ".wav", ".mp3", ".aac", ".flac", ".ogg", ".opus")
_ARCHIVE_SUFFIXES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")
_LONGEST_ID = 72  # characters: tar's names have a hundred, of which arrays' names take twenty
_TRUE_OR_FALSE = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
_MEAD_COMMON = ("001", "002", "003")  # said in every emotion by nearly everyone
_MEAD_PARTS = {
    "actor": r"(?:^|[/_])([MW]\d{3})(?=[/_])",
    "emotion": r"[/_](angry|contempt|disgusted|fear|happy|neutral|sad|surprised)(?=[/_])",
    "level": r"[/_]level_?(\d)(?=[/_])",
    "number": r"[/_](\d{3})(?: ?\(\d+\))?$",
}
_MEAD_VIEW = r"[/_](front|left_30|left_60|right_30|right_60|top|down)(?=[/_])"
_RAVDESS_CLIP = re.compile(r"(\d\d(?:-\d\d){6})(?: ?\(\d+\))?")
_CREMA_CLIP = re.compile(r"(\d{4}_[A-Z]{3}_[A-Z]{3}_[A-Z]{1,2})(?: ?\(\d+\))?")
_TRANSCRIPTS = ("transcripts.txt", "mead_transcripts.txt")


@dataclass
class FileTree:
    """The files below a folder; links to folders are followed, each folder once."""

    folder: Path
    videos: list[Path] = field(default_factory=list)
    sounds: list[Path] = field(default_factory=list)
    archives: list[Path] = field(default_factory=list)
    dangling: list[Path] = field(default_factory=list)
    """Links to what is not there."""

    @classmethod
    def scan(cls, folder: Path) -> FileTree:
        """List a folder's files, sorted; hidden ones are left out."""
        tree, seen = cls(folder), {os.path.realpath(folder)}
        kinds = ((VIDEO_SUFFIXES, tree.videos), (_SOUND_SUFFIXES, tree.sounds), (_ARCHIVE_SUFFIXES, tree.archives))
        for place, folders, names in os.walk(folder, followlinks=True):
            real = {name: os.path.realpath(os.path.join(place, name)) for name in folders}  # noqa: PTH118
            folders[:] = [name for name in sorted(folders) if name[0] != "." and real[name] not in seen]
            seen.update(real[name] for name in folders)
            for path in (Path(place, name) for name in sorted(names) if name[0] != "."):
                if path.is_symlink() and not path.exists():
                    tree.dangling.append(path)
                for suffixes, listed in kinds:
                    if path.suffix.lower() in suffixes and path.is_file():
                        listed.append(path)
        return tree

    def describe(self) -> str:
        """Say how many files of which kind there are, with an example of each."""
        kinds = (
            ("video", self.videos),
            ("sound", self.sounds),
            ("archive", self.archives),
            ("dead link", self.dangling),
        )
        found = [f"{len(paths)} × {kind}, such as {self.shorten(paths[0])}" for kind, paths in kinds if paths]
        unpack = "; unpack the archives" if self.archives and not self.videos else ""
        return ("; ".join(found) or "no video, no sound and no archive") + unpack

    def shorten(self, path: Path) -> str:
        """A path relative to the folder."""
        return path.relative_to(self.folder).as_posix()


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


def read_plain(table: ClipTable, _: FileTree) -> None:
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


def read_mead(table: ClipTable, tree: FileTree) -> None:
    """Add the clips of MEAD's folders.

    Words come from `transcripts.txt` (lines `ACTOR_level_N_EMOTION_NNN THE WORDS`) where it is there. Without it,
    sentences 001–003 count as the same in all emotions but *disgusted*, where they often differ.
    """
    transcripts = _read_transcripts(table.folder)
    parsed = [(path, _parse_mead_path(table.folder, path)) for path in tree.sounds]
    sounds = {_name_mead_take(parts): path for path, parts in parsed if parts}
    strangers = list[Path]()
    for path in tree.videos:
        parts = _parse_mead_path(table.folder, path)
        if parts is None:
            strangers.append(path)
        else:
            table.clips.append(_read_mead_clip(table, path, parts, transcripts, sounds.get(_name_mead_take(parts))))
    table.add_problems(strangers, "not named as MEAD's clips are, by actor, emotion, level_N and number")
    pictured = {clip.sound for clip in table.clips}
    table.add_remark("sounds of MEAD without a video, no failure", [p for p in sounds.values() if p not in pictured])
    _remark_mead_gaps(table)


def _parse_mead_path(folder: Path, path: Path) -> dict[str, str] | None:
    place = Path(folder.resolve().name, path.relative_to(folder)).with_suffix("").as_posix()
    parts = {name: re.findall(pattern, place) for name, pattern in _MEAD_PARTS.items()}
    if not all(parts.values()):
        return None
    views = re.findall(_MEAD_VIEW, place) or ["front"]
    return {"view": views[-1], **{name: found[-1] for name, found in parts.items()}}


def _name_mead_take(parts: dict[str, str]) -> str:
    """Name a take as transcripts do, whatever side it is seen from."""
    return f"{parts['actor']}_level_{parts['level']}_{parts['emotion']}_{parts['number']}"


def _read_mead_clip(
    table: ClipTable, path: Path, parts: dict[str, str], transcripts: dict[str, str], sound: Path | None
) -> Clip:
    actor, emotion, level, number = (parts[key] for key in ("actor", "emotion", "level", "number"))
    view, sentence = parts["view"], transcripts.get(_name_mead_take(parts), "")
    common = number in _MEAD_COMMON and emotion != "disgusted"
    return Clip(
        f"{actor}_{view}_{emotion}_level_{level}_{number}",
        path,
        dataset="mead",
        actor=actor,
        emotion=table.parse_emotion(emotion),
        intensity=int(level),
        sentence=sentence,
        sentence_id=make_sentence_id(sentence) or (number if common else f"{emotion}_{number}"),
        view=view,
        has_sound=sound is not None or None,
        sound=sound,
    )


def _remark_mead_gaps(table: ClipTable) -> None:
    """Count the numbers that are left out below the highest of each folder."""
    numbers: dict[str, set[int]] = defaultdict(set)
    for clip in table.clips:
        place, _, number = clip.id.rpartition("_")
        numbers[place].add(int(number))
    gaps = [f"{place}_{n:03d}" for place, own in numbers.items() for n in range(1, max(own)) if n not in own]
    table.add_remark("numbers of MEAD that are left out, no failure", gaps)


def _read_transcripts(folder: Path) -> dict[str, str]:
    for name in _TRANSCRIPTS:
        if (folder / name).is_file():
            lines = (folder / name).read_text(encoding="utf-8").splitlines()
            return {key: words.strip() for key, _, words in (line.partition(" ") for line in lines)}
    return {}


def read_ravdess(table: ClipTable, tree: FileTree) -> None:
    """Add the clips with RAVDESS's names of seven codes.

    They are modality (01 with sound, 02 silent, 03 sound only), channel (01 speech, 02 song), emotion, intensity,
    statement, repetition, actor. Song is left out and counted; so is a silent copy of a clip that is there with sound.
    A clip that is there without sound alone gets that of the file of sound alone.
    """
    sounds = {name: path for path in tree.sounds if (name := _match_stem(_RAVDESS_CLIP, path))}
    names = {name: path for path in reversed(tree.videos) if (name := _match_stem(_RAVDESS_CLIP, path))}
    used, strangers = set[Path](), list[Path]()
    for path in tree.videos:
        name = _match_stem(_RAVDESS_CLIP, path)
        if name is None:
            strangers.append(path)
            continue
        modality, channel, emotion, intensity, statement, _, actor = name.split("-")
        if channel != "01":
            table.remarks["clips of song, left out"] += 1
        elif modality == "02" and f"01{name[2:]}" in names:
            table.remarks["silent copies of clips that are there with sound, left out"] += 1
        else:
            words, label = _read_sentence(table, "ravdess", statement), table.parse_emotion(emotion)
            sound = None if modality == "01" else sounds.get(f"03{name[2:]}")
            clip = Clip(name, path, "ravdess", f"Actor_{actor}", label, int(intensity), words, statement)
            table.clips.append(replace(clip, has_sound=modality == "01" or sound is not None, sound=sound))
            used |= {sound} if sound else set()
    table.add_problems(strangers, "its name is not seven two-digit codes")
    if alone := len(sounds) - len(used):
        table.remarks["files of sound alone, left out"] = alone
    _remark_missing(table, lambda clip: clip.id[3:-3])


def read_crema(table: ClipTable, tree: FileTree) -> None:
    """Add the clips with CREMA-D's names, `ACTOR_SENTENCE_EMOTION_LEVEL.flv`; their sound may lie beside as .wav."""
    sounds = {name: path for path in tree.sounds if (name := _match_stem(_CREMA_CLIP, path))}
    strangers = list[Path]()
    for path in tree.videos:
        name = _match_stem(_CREMA_CLIP, path)
        if name is None:
            strangers.append(path)
            continue
        actor, sentence, emotion, level = name.split("_")
        words, label = _read_sentence(table, "crema-d", sentence), table.parse_emotion(emotion)
        clip = Clip(name, path, "crema_d", actor, label, None, words, sentence, sound=sounds.get(name))
        table.clips.append(replace(clip, intensity=table.parse_intensity(level)))
    table.add_problems(strangers, "its name is not ACTOR_SENTENCE_EMOTION_LEVEL")
    _remark_missing(table, lambda clip: clip.id[5:])


def _match_stem(pattern: re.Pattern[str], path: Path) -> str | None:
    """What a file's name says of a clip, without the mark of a copy ("(1)"); None where it is no such name."""
    found = pattern.fullmatch(path.stem)
    return found[1] if found else None


def _read_sentence(table: ClipTable, layout: str, code: str) -> str:
    words = _sentences(layout).get(code, "")
    if not words:
        table.remarks[f"clips of sentence {code}, which {layout} does not have, kept without words"] += 1
    return words


def _remark_missing(table: ClipTable, code: Callable[[Clip], str]) -> None:
    """Count clips that more than half of the people have, and one has not."""
    codes: dict[str, set[str]] = defaultdict(set)
    for clip in table.clips:
        codes[clip.actor].add(code(clip))
    counts = Counter(each for own in codes.values() for each in own)
    common = {each for each, count in counts.items() if 2 * count > len(codes)}
    missing = [f"{actor} {each}" for actor, own in codes.items() for each in common - own]
    table.add_remark("clips that most of the others have and one has not, no failure", missing)


READERS: dict[str, Callable[[ClipTable, FileTree], None]] = {
    "plain": read_plain,
    "mead": read_mead,
    "ravdess": read_ravdess,
    "crema-d": read_crema,
}
"""Name of a layout → its reader."""
EXAMPLES = {
    "plain": TABLE,
    "mead": "M003/video/front/angry/level_1/001.mp4 or M003_front_angry_level_1_001.mp4",
    "ravdess": "Actor_01/01-01-03-01-02-01-01.mp4",
    "crema-d": "1001_DFA_ANG_XX.flv",
}
"""Name of a layout → what its files are called."""


def detect_layouts(tree: FileTree) -> dict[str, Path]:
    """Detect the layouts that a folder is in, each with an example; where there is a table, that one alone."""
    if (tree.folder / TABLE).is_file():
        return {"plain": tree.folder / TABLE}
    found = dict[str, Path]()
    for path in tree.videos:
        for layout, matched in (
            ("mead", _parse_mead_path(tree.folder, path)),
            ("ravdess", _match_stem(_RAVDESS_CLIP, path)),
            ("crema-d", _match_stem(_CREMA_CLIP, path)),
        ):
            if matched:
                found.setdefault(layout, path)
    return found
