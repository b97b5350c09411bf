"""What cdrl does with files that are damaged, disguised or made to hurt: thousands of them, counted, as a table.

python benchmarks/fuzz.py                     2,300 inputs, about ten minutes on one core
python benchmarks/fuzz.py --inputs 24         one of each kind, or nearly
python benchmarks/fuzz.py --write             ... and puts the table into docs/reliability.md
python benchmarks/fuzz.py --replay FILE       one input again, as a failure kept it

Each input is a folder and a command in it, made from the bundled sample and a seed. Each is run in a process of its
own, forked from one that has loaded everything, under a limit of memory and of time; what it leaves is compared with
what was there. Good files are among them and must succeed.
"""

from __future__ import annotations

import fnmatch
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from random import Random

import fuzz_clips
import fuzz_files
import tyro
from fuzz_calls import CALLS, called
from fuzz_shelf import ROOT, Case, Shelf, build
from rich.console import Console
from rich.progress import track
from rich.table import Table

from cdrl.cli import main as cdrl_main
from cdrl.media import read

PATIENCE = 60  # seconds for one input
MOST_MEMORY = 1536  # MiB that one input may take beyond what is loaded: a dozen frames of 8K are under way
GUARD = 3 << 30  # bytes of addresses beyond those in use, so that a bomb does not take the machine with it
LOADED = ("editor", "commands.edit", "commands.batch", "commands.verify", "commands.convert", "app.studio")
REFUSALS = {2, 3, 4, 5, 6, 7, 9, 10}  # exit codes of cdrl.errors that a bad input may have
BROKEN = 97  # exit code of our own: a result that does not decode
FAULTS = ("crash", "unexpected error", "hang", "too much memory", "left over", "input changed", "wrong outcome")
SAID = re.compile(r"cdrl: (error|warning): .*|\d+ of \d+ clips|failed:( .*)?|  .*|\d+ [a-z ]+(, \d+ [a-z ]+)*")
PAGE, BEGIN, END = ROOT / "docs" / "reliability.md", "<!-- fuzz: made by benchmarks/fuzz.py -->\n", "<!-- /fuzz -->\n"


@dataclass(frozen=True)
class Options:
    """Run cdrl on thousands of damaged, disguised and hostile inputs, and count what becomes of them."""

    inputs: int = 2300
    """Number of inputs, spread over all kinds."""
    seed: int = 5
    """Other seeds give other inputs."""
    kind: str | None = None
    """Inputs of this kind alone."""
    write: bool = False
    """Put the table into docs/reliability.md."""
    failures: Path = Path("runs/fuzz")
    """Where inputs are kept that failed."""
    replay: Path | None = None
    """Run this one, kept by an earlier failure, and show what it says."""


@dataclass(frozen=True)
class Outcome:
    """What became of an input."""

    case: Case
    word: str
    """refused, done, or one of `FAULTS`."""
    said: str
    seconds: float
    """Of the processor's time."""
    memory: int
    """MiB beyond what was loaded already."""


@dataclass
class Row:
    """The inputs of one kind."""

    counts: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    memory: int = 0

    def add(self, outcome: Outcome) -> None:
        """Count one more."""
        self.counts[outcome.word] += 1
        self.seconds = max(self.seconds, outcome.seconds)
        self.memory = max(self.memory, outcome.memory)


def main(options: Options) -> int:
    """Make the inputs, run each, print; 1 where anything failed."""
    os.environ["CDRL_I_HAVE_CONSENT"] = "1"  # of the sample's actor, who is the one that is edited
    if options.replay is not None:
        outcome = run(Case.load(options.replay))
        print(f"{outcome.word}\n{outcome.said}")
        return int(outcome.word in FAULTS)
    for name in (*(f"cdrl.{module}" for module in LOADED), "onnxruntime"):
        import_module(name)  # once, and not in each process
    rows: dict[str, Row] = {}
    console = Console(width=150)
    begin = time.monotonic()
    for case in track(cases(options), "inputs", total=options.inputs, console=Console(stderr=True), transient=True):
        outcome = run(case)
        rows.setdefault(case.kind, Row()).add(outcome)
        if outcome.word in FAULTS:
            options.failures.mkdir(parents=True, exist_ok=True)
            kept = options.failures / f"{re.sub('[^a-z]+', '-', case.kind)}-{case.index}.json"
            case.save(kept)
            console.print(f"{outcome.word}: {kept}: {outcome.said[-300:]}", markup=False)
    minutes = (time.monotonic() - begin) / 60
    show(console, rows, options, minutes)
    if options.write:
        write(rows, options)
    return int(any(row.counts[fault] for row in rows.values() for fault in FAULTS))


def cases(options: Options) -> Iterator[Case]:
    """The inputs: of each kind the first, of each kind the second, ..."""
    with tempfile.TemporaryDirectory(prefix="cdrl-fuzz-") as folder:
        in_child(lambda: build(Path(folder)), Path(folder) / "log")
        (Path(folder) / "log").unlink()
        shelf = Shelf.read(Path(folder))
    makers = fuzz_clips.kinds() | fuzz_files.kinds()
    if options.kind is not None:
        makers = {options.kind: makers[options.kind]}
    for number in range(options.inputs):
        index, place = divmod(number, len(makers))
        kind = list(makers)[place]
        yield makers[kind](Random(f"{options.seed} {kind} {index}"), shelf, index)


def run(case: Case) -> Outcome:
    """Run one input in a folder of its own, and judge it."""
    with tempfile.TemporaryDirectory(prefix="cdrl-fuzz-") as outside:
        folder, log = Path(outside) / "case", Path(outside) / "log"
        folder.mkdir()
        (Path(outside) / "outside.mp4").write_bytes(case.files.get("talk.mp4", b"x"))
        case.lay_out(folder)
        before = everything(Path(outside))
        ended = in_child(lambda: carry_out(case, folder), log)
        said = log.read_text(encoding="utf-8", errors="replace")
        log.unlink()
        word = judged(case, ended, said) or difference(case, Path(outside), before, ended.code == 0)
        return Outcome(case, word, said, ended.seconds, ended.memory)


def carry_out(case: Case, folder: Path) -> None:
    """In the child: the command, then a look at what it made. Leaves with its exit code."""
    os.chdir(folder)
    code = called(case.words) if case.words[0] in CALLS else cdrl_main(case.words)
    if code == 0:
        for path in folder.rglob("*"):
            if any(fnmatch.fnmatch(str(path.relative_to(folder)), name) for name in case.results) and video(path):
                code = code if sum(1 for _ in read(path)) else BROKEN
    os._exit(code)


def video(path: Path) -> bool:
    """Whether it is one, by its name."""
    return path.suffix in (".mp4", ".mkv", ".mov")


@dataclass(frozen=True)
class Ended:
    """How a child ended; see `Outcome`."""

    code: int
    """Exit code; negative for the signal that ended it."""
    hung: bool
    seconds: float
    memory: int


def in_child(work: Callable[[], None], log: Path) -> Ended:
    """Fork, limit, do the work with both outputs in `log`, and wait."""
    pages, resident = map(int, Path("/proc/self/statm").read_text(encoding="ascii").split()[:2])
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        limited(pages * resource.getpagesize(), log)
        code = 1
        try:
            work()
            code = 0
        finally:
            sys.stderr.flush()
            os._exit(code)
    end, hung = time.monotonic() + PATIENCE, False
    while (found := os.wait4(child, os.WNOHANG))[0] == 0:
        if time.monotonic() > end and not hung:
            hung = True
            os.killpg(child, signal.SIGKILL)
        time.sleep(0.002)
    _, status, usage = found
    memory = usage.ru_maxrss // 1024 - resident * resource.getpagesize() // 2**20
    return Ended(os.waitstatus_to_exitcode(status), hung, usage.ru_utime + usage.ru_stime, max(0, memory))


def limited(addresses: int, log: Path) -> None:
    """In the child: a session, limits and outputs of its own."""
    os.setsid()
    resource.setrlimit(resource.RLIMIT_AS, (addresses + GUARD, addresses + GUARD))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, number in ((nothing, 0), (target, 1), (target, 2)):
        os.dup2(source, number)
    sys.stdout, sys.stderr = (
        os.fdopen(number, "w", 1, "utf-8", "backslashreplace", closefd=False) for number in (1, 2)
    )


def judged(case: Case, ended: Ended, said: str) -> str:
    """The fault in how a command ended and what it said; '' for none."""
    if ended.hung:
        return "hang"
    if ended.memory > MOST_MEMORY or "out of memory" in said:
        return "too much memory"
    if ended.code < 0:
        return "crash"
    lines = said.splitlines()
    if case.words[0] == "verify":  # its verdict is what it is asked for
        lines = [line for line in lines if line.startswith("cdrl:")]
    errors = sum(line.startswith("cdrl: error:") for line in lines)
    odd = [line for line in lines if not SAID.fullmatch(line) or line.startswith("cdrl: error: unexpected ")]
    if odd or ended.code not in {0} | REFUSALS or errors != (ended.code != 0):
        return "unexpected error"
    if case.expected == ("refusal" if ended.code == 0 else "success"):
        return "wrong outcome"
    return ""


def difference(case: Case, outside: Path, before: dict[str, str], success: bool) -> str:
    """The fault in what a command left behind; refused or done where there is none."""
    after = everything(outside)
    if any(after.get(name) != content for name, content in before.items()):
        return "input changed"
    allowed = [f"case/{name}" for name in [*case.always, *(case.results if success else [])]]
    if any(not any(fnmatch.fnmatch(name, pattern) for pattern in allowed) for name in after.keys() - before.keys()):
        return "left over"
    return "done" if success else "refused"


def everything(folder: Path) -> dict[str, str]:
    """What a folder holds, at any depth, and a digest of each thing's content."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_symlink():
            found[str(path.relative_to(folder))] = f"link to {path.readlink()}"
        elif path.is_file():
            found[str(path.relative_to(folder))] = str(hash(path.read_bytes()))
        else:
            found[str(path.relative_to(folder))] = "folder or pipe"
    return found


def cells(rows: dict[str, Row]) -> list[list[str]]:
    """The table: a line for each kind, and one for all."""
    total = Row(sum((row.counts for row in rows.values()), Counter()))
    total.seconds = max((row.seconds for row in rows.values()), default=0.0)
    total.memory = max((row.memory for row in rows.values()), default=0)
    lines = []
    for kind, row in (rows | {"all": total}).items():
        counts = (row.counts[word] for word in ("refused", "done", *FAULTS))
        lines.append([kind, str(row.counts.total()), *map(str, counts), f"{row.seconds:.1f}", str(row.memory)])
    return lines


HEADINGS = ("kind", "inputs", "refused", "done", *FAULTS, "slowest, s", "most memory, MiB")


def show(console: Console, rows: dict[str, Row], options: Options, minutes: float) -> None:
    """The table for people."""
    table = Table(title=f"seed {options.seed}, {minutes:.1f} minutes", title_justify="left")
    for heading in HEADINGS:
        table.add_column(heading)
    for line in cells(rows):
        table.add_row(*line)
    console.print(table)


def write(rows: dict[str, Row], options: Options) -> None:
    """The table for docs/reliability.md, in place of the one there."""
    lines = [HEADINGS, ["---"] * len(HEADINGS), *cells(rows)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    said = f"Seed {options.seed}; at most {PATIENCE} s and {MOST_MEMORY:,} MiB for an input.\n\n{table}\n"
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}{said}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    if shutil.which("true") is None or not Path("/proc/self/statm").exists():
        sys.exit("this needs Linux: it forks, and reads /proc")
    sys.exit(main(tyro.cli(Options)))
