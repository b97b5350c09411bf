"""Lays real clips out as people have data sets, and says what `cdrl data check` and `prepare` make of each tree.

python benchmarks/data_layouts.py DATA

DATA holds `clips.csv` with MEAD clips of three people who say one sentence in several emotions, and the sample clips
of CREMA-D. Every tree is made in a temporary folder: links, sound as .wav, flat names, archives, copies, damaged sound,
gaps. A tree passes where as many clips are read as it holds and everything else is said.
"""

from __future__ import annotations

import csv
import shutil
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import av
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table
from tyro.conf import Positional

from cdrl.datasets.clip import ClipTable
from cdrl.datasets.packing import prepare
from cdrl.datasets.preparation import PreparationSettings
from cdrl.datasets.table import read_dataset
from cdrl.errors import CdrlError
from cdrl.executors import make_executor

RATE = 16000
PEOPLE = ("M030", "W009", "W011")
EMOTIONS = {"neutral": 1, "angry": 3, "happy": 3}
"""Emotion → level of MEAD."""
RAVDESS = {"neutral": "01", "angry": "05", "happy": "03"}


@dataclass(frozen=True)
class Options:
    """Read and prepare real clips in every layout that people have."""

    data: Annotated[Positional[Path], tyro.conf.arg(metavar="DATA")]
    """Folder with clips.csv."""
    prepared: bool = True
    """Prepare each tree, too."""


@dataclass(frozen=True)
class Take:
    """A real clip."""

    person: str
    emotion: str
    path: Path

    def place(self, pattern: str) -> str:
        """A path of it: {p} the person, {e} the emotion, {l} its level."""
        return pattern.format(p=self.person, e=self.emotion, l=EMOTIONS[self.emotion])


def find_takes(data: Path) -> list[Take]:
    """The clips of the sentence that each of the people says in every emotion."""
    takes = {}
    with (data / "clips.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["actor"] in PEOPLE and row["emotion"] in EMOTIONS and "dreamtalk" in row["path"]:
                takes[row["actor"], row["emotion"]] = Take(row["actor"], row["emotion"], data / row["path"])
    return list(takes.values())


def lay_out(folder: Path, takes: list[Take], pattern: str, sound: str = "") -> None:
    """Copy every take to its place, and a second of a tone to that of its sound."""
    for take in takes:
        target = folder / take.place(pattern)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(take.path, target)
        if sound:
            make_tone(folder / take.place(sound))


def make_tone(path: Path) -> None:
    """Write a second of a tone, in the format of the name's ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tone = (0.3 * np.sin(2 * np.pi * 220 * np.arange(RATE) / RATE)).astype(np.float32)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac" if path.suffix == ".m4a" else "pcm_s16le", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone[None], "fltp", "mono")
        frame.sample_rate = RATE
        container.mux([*stream.encode(frame), *stream.encode(None)])


MEAD = "{p}/video/front/{e}/level_{l}/001.mp4"


def _official(folder: Path, takes: list[Take]) -> None:
    lay_out(folder, takes, MEAD, "{p}/audio/{e}/level_{l}/001.m4a")


def _wave(folder: Path, takes: list[Take]) -> None:
    lay_out(folder, takes, MEAD, "{p}/audio/{e}/level_{l}/001.wav")


def _linked(folder: Path, takes: list[Take]) -> None:
    lay_out(folder.parent / "elsewhere", takes, MEAD)
    for person in PEOPLE:
        (folder / person).symlink_to(folder.parent / "elsewhere" / person)
    (folder / "M999").symlink_to(folder.parent / "gone")
    (folder / "loop").symlink_to(folder)


def _gaps(folder: Path, takes: list[Take]) -> None:
    lay_out(folder, takes, MEAD.replace("001", "040"))


def _copies(folder: Path, takes: list[Take]) -> None:
    lay_out(folder, takes, MEAD)
    lay_out(folder / "again", takes[:2], MEAD)
    lay_out(folder, takes[:1], MEAD.replace("001", "001 (1)"))


def _damaged_sound(folder: Path, takes: list[Take]) -> None:
    _official(folder, takes)
    (folder / takes[0].place("{p}/audio/{e}/level_{l}/001.m4a")).write_bytes(b"damaged")


def _archive(folder: Path, takes: list[Take]) -> None:
    lay_out(folder.parent / "packed", takes, MEAD)
    for person in PEOPLE:
        (folder / person).mkdir()
        with tarfile.open(folder / person / "video.tar", "w") as archive:
            archive.add(folder.parent / "packed" / person / "video", "video")


def _sound_alone(folder: Path, takes: list[Take]) -> None:
    for take in takes:
        make_tone(folder / take.place("{p}/audio/{e}/level_{l}/001.m4a"))


def _ravdess(folder: Path, takes: list[Take]) -> None:
    for take in takes:
        actor = f"{PEOPLE.index(take.person) + 1:02d}"
        code = f"{RAVDESS[take.emotion]}-01-01-01-{actor}"
        for modality in ("01", "02"):
            target = folder / f"Actor_{actor}" / f"{modality}-01-{code}.mp4"
            target.parent.mkdir(exist_ok=True)
            shutil.copy(take.path, target)
        make_tone(folder / f"Actor_{actor}/03-01-{code}.wav")


def _crema(folder: Path, takes: list[Take]) -> None:
    samples = sorted((Path(__file__).resolve().parents[1] / "examples").glob("*.flv"))
    for sample in samples:
        shutil.copy(sample, folder)
    shutil.copy(samples[0], folder / f"{samples[0].stem}.mp4")
    (folder / "AudioWAV").mkdir()
    for sample in samples:
        make_tone(folder / "AudioWAV" / f"{sample.stem}.wav")


def _several(folder: Path, takes: list[Take]) -> None:
    for name, make in (("mead", _official), ("ravdess", _ravdess)):
        (folder / name).mkdir()
        make(folder / name, takes)


ALL, NONE = 9, 0
TREES: dict[str, tuple[Callable[[Path, list[Take]], None], int]] = {
    "MEAD as published": (_official, ALL),
    "MEAD, sound as .wav": (_wave, ALL),
    "MEAD in parts": (lambda f, t: lay_out(f, t, "Part0/" + MEAD), ALL),
    "MEAD without video/": (lambda f, t: lay_out(f, t, MEAD.replace("video/", "")), ALL),
    "MEAD in flat names": (lambda f, t: lay_out(f, t, "{p}_front_{e}_level_{l}_001.mp4"), ALL),
    "MEAD, a folder of clips for each person": (lambda f, t: lay_out(f, t, "{p}/videos/{e}_level_{l}_001.mp4"), ALL),
    "MEAD, people linked, a dead link, a loop": (_linked, ALL),
    "MEAD, a subset with gaps": (_gaps, ALL),
    "MEAD, clips twice": (_copies, ALL),
    "MEAD, one damaged sound": (_damaged_sound, ALL),
    "MEAD, not unpacked": (_archive, NONE),
    "MEAD, sound alone": (_sound_alone, NONE),
    "RAVDESS with silent copies and sound alone": (_ravdess, ALL),
    "CREMA-D with .mp4 and .wav beside": (_crema, 6),
    "two data sets in one folder": (_several, NONE),
}
"""Tree → how it is made, and how many clips it holds that can be used."""


def describe_problems(table: ClipTable, output: Path | None) -> str:
    """What is said of a tree beside its clips; with `output`, of preparing it, too."""
    said = [f"{remark}: {count}" for remark, count in table.remarks.items()]
    said += map(str, table.problems)
    if output is not None:
        settings = PreparationSettings(speech="mel", every=8)
        summary = prepare(table, output, settings, make_executor(1, None), lambda *_: None)
        said += [f"{clip}: {reason}" for clip, reason in summary.faults.items()]
        said.append(f"prepared: {summary.clips}, {summary.silent} without sound")
    return "\n".join(said)


def main(options: Options) -> int:
    """Make, read and prepare every tree; returns how many did not give the clips that they hold."""
    grid, wrong, takes = Table("tree", "clips", "said", show_lines=True), 0, find_takes(options.data)
    for name, (make, expected) in TREES.items():
        with TemporaryDirectory() as place:
            folder = Path(place, "data")
            folder.mkdir()
            make(folder, takes)
            try:
                table = read_dataset(folder)
                count, said = len(table.clips), ""
                said = describe_problems(table, Path(place, "out") if options.prepared else None)
            except CdrlError as error:
                count, said = 0, f"refused: {error}"
            wrong += count != expected
            grid.add_row(name, f"{count} of {expected}", said.replace(place, "…"))
    Console(width=160).print(grid)
    return wrong


if __name__ == "__main__":
    raise SystemExit(main(tyro.cli(Options)))
