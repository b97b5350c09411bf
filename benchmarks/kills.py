"""Kills batches, data preparations and training runs at random moments, resumes them, and compares what they leave.

python benchmarks/kills.py             50 kills, by turns of the three commands
python benchmarks/kills.py --kills 6   a look

Each command runs once undisturbed. Then it is killed (SIGKILL, itself alone or with all its processes) at a random
moment of its run, given again, killed again, until it ends by itself. What it leaves then has to be the same, byte by
byte: videos of a batch; shards and manifest of a prepared set; best checkpoint and log of a training run. Nothing else
may be left over. Then the next turn begins with an empty folder.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import tyro
from batch_reliability import make_jobs, start_quietly
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
sys.path.insert(0, str(ROOT / "tests" / "datasets"))
TIMEOUT = 600  # seconds for one run
os.environ["OMP_NUM_THREADS"] = "1"  # of the commands


@dataclass(frozen=True)
class Options:
    """Kill and resume until what is left is the same as after an undisturbed run."""

    kills: int = 50
    """Number of kills in all."""
    seed: int = 0
    """Of the moments."""


@dataclass
class Workload:
    """A command that is killed: its `words`, with {out} for its folder, and what its folder holds in the end."""

    name: str
    words: list[str]
    contents: Callable[[Path], dict[str, bytes]]
    """Name → bytes of all files that are to be the same; raises AssertionError for files that are not to be there."""
    seconds: float = 0.0
    """How long an undisturbed run takes."""
    whole: dict[str, bytes] = field(default_factory=dict)
    kills: int = 0
    rounds: int = 0
    equal: int = 0

    def start(self, out: Path) -> subprocess.Popen[bytes]:
        """The command, in a session of its own."""
        return start_quietly([word.format(out=out) for word in self.words])


def main(options: Options) -> int:
    """Run, kill, resume, compare, print; 1 where anything differs."""
    dice = random.Random(options.seed)
    with TemporaryDirectory(prefix="cdrl-kills-") as name:
        folder = Path(name).resolve()
        workloads = [make_batch(folder), make_preparation(folder), make_training(folder)]
        for workload in workloads:
            run_undisturbed(workload, folder / "whole")
        turns = cycle(workloads)
        while (left := options.kills - sum(workload.kills for workload in workloads)) > 0:
            kill_until_it_ends(next(turns), folder / "killed", dice, left)
    headings = ("command", "undisturbed, s", "kills", "resumed to the end", "the same as undisturbed")
    title = f"{sum(workload.kills for workload in workloads)} kills"
    table = Table(*headings, title=title, title_justify="left")
    for each in workloads:
        table.add_row(each.name, f"{each.seconds:.1f}", *map(str, (each.kills, each.rounds, each.equal)))
    Console(width=110).print(table)
    return int(any(workload.rounds != workload.equal for workload in workloads))


def run_undisturbed(workload: Workload, folder: Path) -> None:
    """One run from beginning to end."""
    out = folder / workload.name.replace(" ", "_")
    out.parent.mkdir(exist_ok=True)
    begin = time.monotonic()
    if workload.start(out).wait(TIMEOUT) != 0:
        raise SystemExit(f"{workload.name} does not run undisturbed: {' '.join(workload.words)}")
    workload.seconds = time.monotonic() - begin
    workload.whole = workload.contents(out)


def kill_until_it_ends(workload: Workload, folder: Path, dice: random.Random, most: int) -> None:
    """Rounds of start and kill in an empty folder, then one that is left alone, and the comparison."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    out = folder / "out"
    for _ in range(min(most, 3)):
        process = workload.start(out)
        with suppress(subprocess.TimeoutExpired):
            if process.wait(dice.uniform(0.3, 1.1) * workload.seconds) == 0:
                break
        end(process, everything=dice.random() < 0.5)
        workload.kills += 1
    code = workload.start(out).wait(TIMEOUT)
    workload.rounds += 1
    try:
        same = code == 0 and workload.contents(out) == workload.whole
    except AssertionError as error:
        print(f"{workload.name}: left over: {error}")
        same = False
    if not same:
        print(f"{workload.name}: exit code {code}, or other content in {sorted(path.name for path in out.iterdir())}")
    workload.equal += same


def end(process: subprocess.Popen[bytes], *, everything: bool) -> None:
    """SIGKILL the command, with all its processes or alone; then wait until they are gone."""
    inner = psutil.Process(process.pid).children(recursive=True)
    if everything:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()
    psutil.wait_procs(inner, timeout=20)


def make_batch(folder: Path) -> Workload:
    """Six edits of twelve frames by two processes."""
    words = ["batch", str(make_jobs(folder, 6)), "-o", "{out}", "--jobs", "2", "--threads", "1", "--profile", "fast"]

    def contents(out: Path) -> dict[str, bytes]:
        found = {path.name: path for path in out.iterdir() if not path.name.startswith("batch.journal")}
        videos = {name: path.read_bytes() for name, path in found.items() if path.suffix == ".mp4"}
        extra = found.keys() - videos.keys() - {f"{name}.provenance.json" for name in videos}
        assert not extra, sorted(extra)
        return videos

    return Workload("batch", words, contents)


def make_preparation(folder: Path) -> Workload:
    """The six clips of the examples by two processes."""
    data = folder / "crema"
    data.mkdir()
    for path in EXAMPLES.glob("*.flv"):
        shutil.copy(path, data)
    words = ["data", "prepare", str(data), "-o", "{out}", "--layout", "crema-d", "--speech", "mel", "--workers", "2"]
    return Workload("data prepare", [*words, "--every", "4"], lambda out: files_of(out, {".cdrl.lock"}))


def make_training(folder: Path) -> Workload:
    """Sixty steps of a small content representation on drawn faces."""
    make_prepared = import_module("made_prepared").make_prepared  # of the tests
    made = make_prepared(folder / "synthetic", [f"p{n:03d}" for n in range(8)], ("neutral", "happy"), 2, 12)
    real = make_prepared(folder / "real", ["anna"], ("neutral",), 1, 12, dataset="film")
    small = "--width 16 --dimensions 8 --people 2 --real 2 --moments 4 --steps 60 --warmup 2 --validate-every 6"
    words = ["train", "content", "--data", str(made), str(real), "--output", "{out}", "--cache", str(folder / "cache")]

    def contents(out: Path) -> dict[str, bytes]:
        found = files_of(out, {".cdrl.lock", "last.safetensors", "tensorboard"})
        records = [json.loads(line) for line in found.pop("log.jsonl").splitlines()]
        timeless = [{name: value for name, value in record.items() if name != "seconds"} for record in records]
        return {**found, "log": json.dumps(timeless).encode()}

    return Workload("train content", [*words, *small.split(), "--precision", "float32", "--device", "cpu"], contents)


def files_of(out: Path, apart: set[str]) -> dict[str, bytes]:
    """Name → bytes of the files of a folder, but for those `apart`."""
    return {path.name: path.read_bytes() for path in sorted(out.iterdir()) if path.name not in apart}


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options)))
