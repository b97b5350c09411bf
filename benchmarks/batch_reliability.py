"""What `cdrl batch` loses where its processes are killed, the disk is full and the user stops it: counted, as a table.

python benchmarks/batch_reliability.py             100 jobs
python benchmarks/batch_reliability.py --jobs 8    what the tests run

The jobs are tiny: twelve frames of 128 x 128 cut from the bundled sample. After each fault the same command is given
again; at the end every output is decoded, and compared with what was there after each step. The disk is full in earnest
where this may mount a small one (root), else the workers may write no file as large as a result.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
import psutil
import tyro
from rich.console import Console
from rich.table import Table

from cdrl.emotions import EMOTIONS
from cdrl.files import file_sha256, sidecar_path

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "examples" / "1001_DFA_NEU_XX.flv"
FRAMES, SIDE = 12, 128
RESULT = 9_000  # bytes of one, roughly
JOURNAL, BALLAST = "batch.journal.sqlite", "ballast"

TIMEOUT = 600  # seconds for one step


@dataclass(frozen=True)
class Options:
    """Kill, fill and cancel a batch of tiny edits, resume it each time, and count what is whole, lost and left over."""

    jobs: int = 100
    """Number of edits."""
    workers: int = 2
    """Processes."""


@dataclass
class Step:
    """One run of the command and what was found after it."""

    fault: str
    code: int
    outputs: int
    """Results in place."""
    whole: int
    """Of these, those that decode to all their frames, and of whose SHA-256 the journal and the sidecar speak."""
    redone: int
    """Results of earlier steps that are another file now."""
    lost: int
    """Results of earlier steps that are gone."""
    left: int
    """Files and folders that are neither results nor the journal."""
    seconds: float


@dataclass
class Bench:
    """The folder of a benchmark."""

    folder: Path
    options: Options
    mounted: bool = False
    session: int = 0
    """Of the command's processes, also of those that outlive it."""
    seen: dict[str, tuple[int, int]] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)

    @property
    def out(self) -> Path:
        """Where the results go."""
        return self.folder / "out"

    def results(self) -> list[Path]:
        """Results in place."""
        return sorted(self.out.glob("job*.mp4"))

    def left_over(self) -> int:
        """Number of files and folders that are neither results nor the journal."""
        results = self.results()
        # SQLite keeps two files beside the journal until the next run, where one was killed.
        known = [self.out / name for name in (JOURNAL, f"{JOURNAL}-wal", f"{JOURNAL}-shm", BALLAST)]
        return len({*self.out.iterdir()} - {*results, *map(sidecar_path, results), *known})

    def step(self, fault: str, strike: Callable[[psutil.Process], None]) -> Step:
        """Run the command, `strike` it, wait for its end, look at what there is."""
        begin = time.monotonic()
        words = ["batch", str(self.folder / "jobs.csv"), "-o", str(self.out), "--jobs", str(self.options.workers)]
        with start_quietly(words) as process:
            self.session = process.pid
            with suppress(psutil.NoSuchProcess):
                strike(psutil.Process(process.pid))
            code = process.wait(TIMEOUT)
        wait_for(lambda: not self.at_work())
        now = {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in self.results()}
        step = Step(
            fault,
            code,
            outputs=len(now),
            whole=sum(self.is_whole(path) for path in self.results()),
            redone=sum(now[name] != known for name, known in self.seen.items() if name in now),
            lost=len(self.seen.keys() - now.keys()),
            left=self.left_over(),
            seconds=time.monotonic() - begin,
        )
        self.seen = now
        self.steps.append(step)
        return step

    def at_work(self) -> list[psutil.Process]:
        """Processes of the command that live, whoever began them."""
        found = []
        for one in psutil.process_iter():
            with suppress(OSError, psutil.Error):
                if os.getsid(one.pid) == self.session and one.status() != psutil.STATUS_ZOMBIE:
                    found.append(one)
        return found

    def until(self, more: int) -> None:
        """Wait until `more` results have come since the last step, or the command has ended."""
        enough = min(len(self.seen) + more, self.options.jobs)
        wait_for(lambda: len(self.results()) >= enough or not self.at_work())

    def is_whole(self, path: Path) -> bool:
        """Whether a result has all its frames and is the very file of which the journal and the sidecar speak."""
        try:
            with av.open(str(path)) as container:
                frames = sum(1 for _ in container.decode(video=0))
        except av.FFmpegError:
            return False
        digest = file_sha256(path)
        said = json.loads(sidecar_path(path).read_text(encoding="utf-8"))
        known = (str(path), digest) in self.noted() and said["output"] == {"name": path.name, "sha256": digest}
        return known and frames == FRAMES

    def noted(self) -> list[tuple[str, str]]:
        """Outputs that the journal says are done and their SHA-256, as often as it has another one."""
        with closing(sqlite3.connect(self.out / JOURNAL)) as journal:
            return [(str(output), str(sha256)) for output, sha256 in journal.execute("SELECT * FROM results")]


def main(options: Options) -> int:
    """Make the jobs, strike, resume, print; 1 where anything was lost, redone, broken or left."""
    with TemporaryDirectory(prefix="cdrl-batch-") as folder:
        bench = Bench(Path(folder).resolve(), options)
        make(bench)
        try:
            inject_faults(bench)
            twice = len(bench.noted()) - len({output for output, _ in bench.noted()})
        finally:
            if bench.mounted:
                subprocess.run(["umount", str(bench.out)], check=True)
    show(bench, twice)
    last = bench.steps[-1]
    faults = sum(step.redone + step.lost + step.outputs - step.whole for step in bench.steps)
    killed = ("worker and command killed",)  # what nobody could clean up, the next step does
    left = sum(step.left for step in bench.steps if step.fault not in killed)
    return int(bool(faults or left or twice or last.code or last.whole != options.jobs))


def inject_faults(bench: Bench) -> None:
    """All that happens to the batch, in order."""
    part = max(1, bench.options.jobs // 6)

    def a_worker(command: psutil.Process) -> None:
        bench.until(part)
        kill_worker(command)
        bench.until(part + 1)

    def all_at_once(command: psutil.Process) -> None:
        a_worker(command)
        command.kill()

    def cancel(command: psutil.Process) -> None:
        bench.until(part)
        kill_worker(command)
        os.killpg(command.pid, signal.SIGINT)  # as a terminal does: to every process of the command

    def once_more(command: psutil.Process) -> None:
        bench.until(1)
        kill_worker(command)

    bench.step("worker and command killed", all_at_once)
    ballast = fill(bench)
    bench.step("disk full", (lambda command: None) if ballast else limit_workers)
    if ballast:
        ballast.unlink()
    bench.step("worker killed and canceled (Ctrl-C) at once", cancel)
    bench.step("worker killed, went on to the end", once_more)
    bench.step("given once more", lambda command: None)


def make(bench: Bench) -> None:
    """The jobs, and a disk of its own for the results where that may be."""
    make_jobs(bench.folder, bench.options.jobs)
    bench.out.mkdir()
    size = f"size={bench.options.jobs * 6 * RESULT + 2**20}"
    mount = ["mount", "-t", "tmpfs", "-o", size, "cdrl-batch", str(bench.out)]
    with suppress(OSError):
        bench.mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0


def start_quietly(words: list[str]) -> subprocess.Popen[bytes]:
    """The command `cdrl` with these words, in a session of its own."""
    environment = {**os.environ, "CDRL_I_HAVE_CONSENT": "1"}  # of the sample's actor, who is the one that is edited
    command, quiet = [sys.executable, "-m", "cdrl", *words], subprocess.DEVNULL
    return subprocess.Popen(command, env=environment, stdout=quiet, stderr=quiet, start_new_session=True)


def make_jobs(folder: Path, count: int) -> Path:
    """The sources, each its own file, and the list of jobs, whose path is returned."""
    clip, lines = tiny_clip(folder / "clip.mp4"), ["source,output,emotion"]
    for number in range(count):
        name = f"job{number:03}.mp4"
        # A free box at the end makes each file another one to whoever looks at its bytes.
        (folder / name).write_bytes(clip + b"\0\0\0\x0cfree" + number.to_bytes(4, "big"))
        lines.append(f"{name},{name},{EMOTIONS[number % len(EMOTIONS)]}")
    (folder / "jobs.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "jobs.csv"


def tiny_clip(path: Path) -> bytes:
    """The sample's first frames, cut square and small."""
    with av.open(str(SAMPLE)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream("libx264", rate=30)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, "yuv420p"
        for _, frame in zip(range(FRAMES), source.decode(video=0), strict=False):
            spare = (frame.width - frame.height) // 2
            square = np.array(frame.to_ndarray(format="rgb24")[:, spare : frame.width - spare], np.uint8)
            picture = av.VideoFrame.from_ndarray(square, format="rgb24").reformat(SIDE, SIDE, "yuv420p")
            target.mux(stream.encode(picture))
        target.mux(stream.encode(None))
    return path.read_bytes()


def fill(bench: Bench) -> Path | None:
    """Leave room for the journal and a few results on the disk of its own; None where there is none."""
    if not bench.mounted:
        return None
    room = os.statvfs(bench.out)
    leave = 400 * bench.options.jobs + 6 * RESULT
    ballast = bench.out / BALLAST
    ballast.write_bytes(b"\0" * (room.f_bavail * room.f_frsize - leave))
    return ballast


def workers_of(command: psutil.Process) -> list[psutil.Process]:
    """The processes that edit, once there are any."""
    found: list[psutil.Process] = []

    def there() -> bool:
        found[:] = [one for one in command.children() if "spawn_main" in " ".join(one.cmdline())]
        over = not command.is_running() or command.status() == psutil.STATUS_ZOMBIE
        return bool(found) or over

    wait_for(there)
    return found


def kill_worker(command: psutil.Process) -> None:
    """SIGKILL one process that edits."""
    with suppress(psutil.NoSuchProcess, IndexError):
        workers_of(command)[0].kill()


def limit_workers(command: psutil.Process) -> None:
    """The full disk of who is not root: no file of the workers may grow as large as a result."""
    for worker in workers_of(command):
        worker.rlimit(psutil.RLIMIT_FSIZE, (RESULT // 2, resource.RLIM_INFINITY))


def wait_for(condition: Callable[[], bool]) -> None:
    """Look every hundredth of a second."""
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        with suppress(psutil.NoSuchProcess):
            if condition():
                return
        time.sleep(0.01)
    raise SystemExit("the batch does not go on")


def show(bench: Bench, twice: int) -> None:
    """The table for people and for docs/reliability.md."""
    full = "a disk of its own" if bench.mounted else "a limit on the workers' files"
    title = f"{bench.options.jobs} jobs, {bench.options.workers} workers, full: {full}; noted as done twice: {twice}"
    headings = ("what happened", "exit code", "in place", "whole", "redone", "lost", "left over", "seconds")
    table = Table(*headings, title=title, title_justify="left")
    for step in bench.steps:
        counts = (step.code, step.outputs, step.whole, step.redone, step.lost, step.left)
        table.add_row(step.fault, *map(str, counts), f"{step.seconds:.1f}")
    Console(width=120).print(table)


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options)))
