"""How fast `cdrl edit` is and how much memory it takes, on this machine, as a table and as JSON.

python benchmarks/speed.py                    a talking head of 720p and of 1080p, made of the bundled sample
python benchmarks/speed.py --clips talk.mp4   a clip of your own

Every run is a process of its own, as a user would start it: frames per second are of the whole command, with its start.
Beside it stands a plain copy: the same file decoded and encoded with the same settings, without an edit. Numbers are
medians over the repeats. Memory is the process's largest resident set, for the clip and for one ten times as long.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any

import av
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

BACKGROUND_FRAMES = 60
ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "examples" / "1001_DFA_NEU_XX.flv"
PLAIN_COPY = Path(__file__).with_name("plain_copy.py")
# A process of its own: a process that is started inherits the largest memory of the one that starts it, so this one
# must stay small.
SYNTHESIS = Path(__file__).with_name("synthesis.py")

# Prints the moment at which the first frame has been written, on the clock that all processes share, and leaves.
FIRST_FRAME = """
import os, sys, time, cdrl
from cdrl.media import EncoderOptions
def progress(done, total):
    print(time.time(), flush=True)
    os._exit(0)
job = cdrl.load().edit(sys.argv[1], emotion=sys.argv[2])
job.save(sys.argv[3], encoder=EncoderOptions("fast"), overwrite=True, progress=progress)
"""


@dataclass(frozen=True)
class Options:
    """Measure speed and memory of `cdrl edit`; every run is a process of its own."""

    clips: tuple[Path, ...] = ()
    """Clips to measure; without any, talking heads made of the bundled sample."""
    heights: tuple[int, ...] = (720, 1080)
    """Heights in pixels of the clips that are made, 16:9."""
    frames: int = 300
    """Frames of the clips that are made, at 30 a second."""
    emotion: str = "happy"
    """What is asked for."""
    repeats: int = 3
    """Runs of each kind."""
    longer: int = 10
    """How many times as long the clip for the memory is, made of the first clip; 0 leaves it out."""
    cores: int = 2
    """Processor cores that the measured processes may use."""
    output: Path = ROOT / "runs" / "speed.json"
    """Where the numbers are written."""


@dataclass(frozen=True)
class Cost:
    """What one process took."""

    seconds: float
    """From its start to its end."""
    cpu_seconds: float
    """Of all its threads, user and system."""
    peak_mb: float
    """Largest resident set, 10^6 bytes."""
    said: str = ""


@dataclass
class Result:
    """The medians for one clip."""

    clip: str
    size: str
    frames: int
    edit_fps: float
    copy_fps: float
    ratio: float
    """Time of the edit over time of the plain copy."""
    edit_cpu_ms: float
    """Processor time per frame, all threads: at best cores * 1000 / this many frames a second."""
    copy_cpu_ms: float
    first_frame_s: float
    """From the start of the process to the first frame handed to the writer."""
    edited_share: float
    """Share of frames that were edited, 0..1."""
    peak_mb: float
    background_db: float
    """PSNR of luma, written against source, where no head is: the left eighth of the picture."""
    peak_mb_longer: float | None = None
    stages_ms: dict[str, float] = field(default_factory=dict)
    """Milliseconds per frame and stage; stages overlap, so their sum is more than the time per frame."""


def main(options: Options) -> int:
    """Measure, print the table, write the JSON; returns the exit code."""
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, allowed[: options.cores])  # what is started from here inherits it
    results: list[Result] = []
    with TemporaryDirectory(prefix="cdrl-speed-") as folder:
        for clip in options.clips or made(options, Path(folder)):
            longer = options.longer if not results else 0  # that memory does not grow needs to be shown once
            results.append(measured(clip, Path(folder), options, longer))
            print_table(results[-1], options.cores)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    content = {"machine": machine(options), "results": [asdict(result) for result in results]}
    options.output.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    print(f"written to {options.output}")
    return 0


def made(options: Options, folder: Path) -> list[Path]:
    """The clips that are made of the sample."""
    clips = [folder / f"talk_{height}p.mp4" for height in options.heights]
    for clip, height in zip(clips, options.heights, strict=True):
        cost([sys.executable, str(SYNTHESIS), "head", str(SAMPLE), str(clip), str(height), str(options.frames)])
    return clips


def measured(clip: Path, folder: Path, options: Options, longer: int) -> Result:
    """Everything about one clip."""
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        size, frames = f"{stream.width}x{stream.height}", sum(1 for packet in container.demux(stream) if packet.size)
    copied, edited, report = folder / "copied.mp4", folder / "edited.mp4", folder / "report.json"
    edit = command(clip, edited, options.emotion)
    copies, edits, first = [], [], []
    for _ in range(options.repeats):  # in turns, so that a machine that is busy for a while is so for all
        copies.append(cost([sys.executable, str(PLAIN_COPY), str(clip), str(copied)]))
        edits.append(cost(edit))
        start = time.time()
        words = [sys.executable, "-c", FIRST_FRAME, str(clip), options.emotion, str(edited)]
        first.append(float(cost(words).said) - start)
    cost([*edit, "--report", str(report)])  # a run of its own: reporting looks at every written frame again
    told = json.loads(report.read_text(encoding="utf-8"))
    edit_s, copy_s = (median(run.seconds for run in runs) for runs in (edits, copies))
    result = Result(
        clip=clip.name,
        size=size,
        frames=frames,
        edit_fps=frames / edit_s,
        copy_fps=frames / copy_s,
        ratio=edit_s / copy_s,
        edit_cpu_ms=1000 * median(run.cpu_seconds for run in edits) / frames,
        copy_cpu_ms=1000 * median(run.cpu_seconds for run in copies) / frames,
        first_frame_s=median(first),
        edited_share=told["frames"]["edited"] / told["frames"]["total"],
        peak_mb=median(run.peak_mb for run in edits),
        background_db=background_db(clip, edited),
        stages_ms=told["stages_ms"],
    )
    if longer:
        long = folder / "longer.mp4"
        cost([sys.executable, str(SYNTHESIS), "repeat", str(clip), str(long), str(longer)])
        result.peak_mb_longer = cost(command(long, edited, options.emotion)).peak_mb
    return result


def background_db(clip: Path, edited: Path) -> float:
    """Worst PSNR in dB over the first frames of the left eighth of the picture, which no edit reaches."""
    with av.open(str(clip)) as before, av.open(str(edited)) as after:
        worst = float("inf")
        pairs = zip(before.decode(video=0), after.decode(video=0), strict=True)
        for one, two in islice(pairs, BACKGROUND_FRAMES):
            lumas = [frame.to_ndarray(format="gray")[:, : frame.width // 8].astype(np.float64) for frame in (one, two)]
            error = float(np.square(lumas[0] - lumas[1]).mean())
            worst = min(worst, 10 * float(np.log10(255**2 / max(error, 1e-9))))
    return worst


def command(clip: Path, output: Path, emotion: str) -> list[str]:
    """The edit as a user who wants speed would start it."""
    files = [str(clip), "-o", str(output)]
    return [sys.executable, "-m", "cdrl", "edit", *files, "--emotion", emotion, "--profile", "fast", "--overwrite"]


def cost(words: list[str]) -> Cost:
    """Run a command and say what it took; ends the benchmark where it fails."""
    start = time.perf_counter()
    environment = {**os.environ, "CDRL_I_HAVE_CONSENT": "1"}  # the clips are bundled, or the user's to measure
    with (
        TemporaryFile("w+") as complaint,
        subprocess.Popen(words, stdout=subprocess.PIPE, stderr=complaint, text=True, env=environment) as process,
    ):
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)  # we have waited for it; Popen must not
        if process.returncode:
            complaint.seek(0)
            raise SystemExit(f"exit code {process.returncode} of {' '.join(words)}: {complaint.read()}")
    to_mb = 1e-6 if sys.platform == "darwin" else 1024e-6  # the one counts bytes, others KiB
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * to_mb, said)


def machine(options: Options) -> dict[str, Any]:
    """What the numbers were measured on."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "cores": min(options.cores, os.cpu_count() or 1),
        "load_per_core": os.getloadavg()[0] / (os.cpu_count() or 1),
        "repeats": options.repeats,
    }


def print_table(result: Result, cores: int) -> None:
    """The numbers for people, with what is wanted beside them."""
    title = f"{result.clip}, {result.size}, {result.frames} frames, {cores} cores, load {os.getloadavg()[0]:.1f}"
    table = Table("", "measured", "wanted at 720p", title=title, title_justify="left")
    longer = "-" if result.peak_mb_longer is None else f"{result.peak_mb_longer:.0f} MB"
    rows = [
        ("cdrl edit, end to end", f"{result.edit_fps:.1f} frames/s", "≥ 25"),
        ("plain decode → encode", f"{result.copy_fps:.1f} frames/s", ""),
        ("times the plain copy", f"{result.ratio:.2f}", ""),
        ("processor time, edit", f"{result.edit_cpu_ms:.1f} ms a frame", ""),
        ("that allows on idle cores", f"{1000 * cores / result.edit_cpu_ms:.1f} frames/s at best", ""),
        ("processor time, plain copy", f"{result.copy_cpu_ms:.1f} ms a frame", ""),
        ("start to first frame", f"{result.first_frame_s:.2f} s", "≤ 3"),
        ("frames edited", f"{100 * result.edited_share:.1f} %", "≥ 99"),
        ("peak memory", f"{result.peak_mb:.0f} MB", "≤ 800"),
        ("peak memory, longer clip", longer, "the same"),
        ("untouched background", f"{result.background_db:.1f} dB", "≥ 40"),
        *((f"  stage {name}", f"{value:.1f} ms a frame", "") for name, value in result.stages_ms.items()),
    ]
    for row in rows:
        table.add_row(*row)
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options)))
