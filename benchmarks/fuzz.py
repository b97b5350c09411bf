"""What cdrl does with files that are damaged, disguised or made to hurt: thousands of them, counted, as a table.

python benchmarks/fuzz.py                     5,000 inputs, about twenty minutes on two cores
python benchmarks/fuzz.py --inputs 33         one of each kind
python benchmarks/fuzz.py --write             ... and puts the table into docs/reliability.md
python benchmarks/fuzz.py --replay FILE       one input again, as a failure kept it

Each input is a folder and a command in it, made from the bundled sample and a seed. Each is run in a process of its
own, forked from one that has loaded everything, under a limit of memory and of time; what it leaves is compared with
what was there. Good files are among them and must succeed.
"""

from __future__ import annotations

import os

# A forked process has none of its parent's threads, and a library that waits for them spins for ever.
os.environ |= dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")

import fnmatch
import re
import shutil
import sys
import tempfile
import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from importlib import import_module
from itertools import chain, count, islice
from multiprocessing import get_context
from pathlib import Path
from random import Random

import fuzz_brackets
import fuzz_clips
import fuzz_files
import tyro
from fuzz_calls import CALLS, called
from fuzz_child import TIMEOUT, Ended, in_child
from fuzz_corpus import ROOT, Case, Corpus, build
from rich.console import Console
from rich.progress import track
from rich.table import Table

from cdrl.cli.main import main as cdrl_main
from cdrl.media import read

KINDS = fuzz_clips.KINDS | fuzz_files.KINDS | fuzz_brackets.KINDS
MOST_MEMORY = 1536  # MiB that one input may take beyond what is loaded: a dozen frames of 8K are under way
LOADED = (
    *("pipeline.editor", "cli.edit", "cli.batch", "cli.verify", "cli.convert", "app.service"),
    *("cli.export", "cli.data_check", "cli.data_prepare"),
)
TALKATIVE = {"verify", "data", "--dry-run"}  # commands, and an option, that print more than a line
REFUSALS = {2, 3, 4, 5, 6, 7, 9, 10}  # exit codes of cdrl.errors that a bad input may have
CASE = "case"  # name of an input's folder
BROKEN = 97  # exit code of our own: a result that does not decode, or that what follows does not take
SLOW_KINDS = {"batch lists", "brackets in batch lists", "folders with odd names", "journals", "manifests"}
SLOW = 4  # rounds for one input of these, whose commands start processes of their own
FAULTS = ("crash", "unexpected error", "hang", "too much memory", "left over", "input changed", "wrong outcome")
SAID = re.compile(r"cdrl: (error|warning|note): .*|\d+ of \d+ clips|failed:( .*)?|  .*|\d+ [a-z ]+(, \d+ [a-z ]+)*")
UNEXPECTED = re.compile(r"\bunexpected \w+(:|; run again)")
PAGE, BEGIN, END = ROOT / "docs" / "reliability.md", "<!-- fuzz: made by benchmarks/fuzz.py -->\n", "<!-- /fuzz -->\n"


@dataclass(frozen=True)
class Options:
    """Run cdrl on thousands of damaged, disguised and hostile inputs, and count what becomes of them."""

    inputs: int = 5000
    """Number of inputs, spread over all kinds."""
    seed: int = 5
    """Other seeds give other inputs."""
    kind: str | None = None
    """Inputs of this kind alone."""
    write: bool = False
    """Put the table into docs/reliability.md."""
    failures: Path = Path("runs/fuzz")
    """Where inputs are kept that failed."""
    processes: int = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    """Inputs that are run at the same time."""
    replay: Path | None = None
    """Run this one, kept by an earlier failure, and show what it says."""


@dataclass(frozen=True)
class Outcome:
    """What became of an input."""

    case: Case
    word: str
    """refused, done, or one of `FAULTS`."""
    ended: Ended


@dataclass
class Row:
    """The inputs of one kind."""

    counts: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    memory: int = 0

    def add(self, outcome: Outcome) -> None:
        """Count one more."""
        self.counts[outcome.word] += 1
        self.seconds = max(self.seconds, outcome.ended.seconds)
        self.memory = max(self.memory, outcome.ended.memory)


def main(options: Options) -> int:
    """Make the inputs, run each, print; 1 where anything failed."""
    os.environ["CDRL_I_HAVE_CONSENT"] = "1"  # of the sample's actor, who is the one that is edited
    if options.replay is not None:
        outcome = run(Case.load(options.replay))
        print(f"{outcome.word}\n{outcome.ended.said or outcome.ended.printed}")
        return int(outcome.word in FAULTS)
    for name in (*(f"cdrl.{module}" for module in LOADED), "onnxruntime"):
        import_module(name)  # once, and not in each process
    rows, total = defaultdict[str, Row](Row), Row()
    console = Console(width=150)
    begin = time.monotonic()
    ended = track(outcomes(options), "inputs", total=options.inputs, console=Console(stderr=True), transient=True)
    for outcome in ended:
        case = outcome.case
        rows[case.kind].add(outcome)
        total.add(outcome)
        if outcome.word in FAULTS:
            options.failures.mkdir(parents=True, exist_ok=True)
            kept = options.failures / f"{re.sub('[^a-z]+', '-', case.kind)}-{case.index}.json"
            case.save(kept)
            said = outcome.ended.said or outcome.ended.printed
            console.print(f"{outcome.word}: {kept}: {said[-300:]}", markup=False)
    lines = cells({**rows, "all": total})
    title = f"seed {options.seed}, {(time.monotonic() - begin) / 60:.1f} minutes"
    table = Table(*HEADINGS, title=title, title_justify="left")
    for line in lines:
        table.add_row(*line)
    console.print(table)
    if options.write:
        write(lines, options.seed)
    return int(any(total.counts[fault] for fault in FAULTS))


def outcomes(options: Options) -> Iterator[Outcome]:
    """What became of the inputs, in their order; `options.processes` are run at the same time."""
    with ProcessPoolExecutor(options.processes, get_context("fork")) as pool:
        waiting: deque[Future[Outcome]] = deque()
        for case in cases(options):
            waiting.append(pool.submit(run, case))
            while len(waiting) > 2 * options.processes:
                yield waiting.popleft().result()
        for future in waiting:
            yield future.result()


def cases(options: Options) -> Iterator[Case]:
    """The inputs: of each kind the first, of each kind the second, ...; of the slow kinds one in every fourth round."""
    with tempfile.TemporaryDirectory(prefix="cdrl-fuzz-") as folder:
        made = Path(folder) / CASE
        made.mkdir()
        ended = in_child(lambda: build(made), Path(folder))
        if ended.code != 0:
            sys.exit(f"the inputs cannot be made:\n{ended.said}")
        corpus = Corpus.read(made)
    kinds = [options.kind] if options.kind is not None else list(KINDS)
    turns = (
        (kind, round_ // (SLOW if kind in SLOW_KINDS else 1))
        for round_ in count()
        for kind in kinds
        if kind not in SLOW_KINDS or round_ % SLOW == 0
    )
    for kind, index in islice(turns, options.inputs):
        case = KINDS[kind](Random(f"{options.seed} {kind} {index}"), corpus, index)
        yield replace(case, kind=kind, index=index)


def run(case: Case) -> Outcome:
    """Run one input in a folder of its own, and judge it."""
    with tempfile.TemporaryDirectory(prefix="cdrl-fuzz-") as outside:
        folder = Path(outside) / CASE
        folder.mkdir()
        (Path(outside) / "outside.mp4").write_bytes(case.files.get("talk.mp4", b"x"))
        case.lay_out(folder)
        before = everything(Path(outside))
        ended = in_child(lambda: carry_out(case, folder), Path(outside))
        word = judged(case, ended) or difference(case, Path(outside), before, ended.code == 0)
        return Outcome(case, word, ended)


def carry_out(case: Case, folder: Path) -> None:
    """In the child: the command, a look at what it made, and what is to follow. Leaves with its exit code."""
    os.chdir(folder)
    code = called(case.words) if case.words[0] in CALLS else program(case.words)
    if code == 0:
        for path in folder.rglob("*"):
            is_video = path.suffix in (".mp4", ".mkv", ".mov")
            if is_video and matches(str(path.relative_to(folder)), case.results):
                code = code if sum(1 for _ in read(path)) else BROKEN
        for words in case.then:
            code = code or BROKEN * (program(words) != 0)
    sys.stdout.flush()
    os._exit(code)


def program(words: list[str]) -> int:
    """What the program `cdrl` does with these words, and its exit code."""
    sys.argv = ["cdrl", *words]
    return cdrl_main()


def judged(case: Case, ended: Ended) -> str:
    """The fault in how a command ended and what it said; '' for none."""
    if ended.hung:
        return "hang"
    if ended.memory > MOST_MEMORY or "out of memory" in ended.said:
        return "too much memory"
    if ended.code < 0:
        return "crash"
    lines = ended.said.splitlines()
    errors = sum(line.startswith("cdrl: error:") for line in lines)
    odd = [line for line in lines if not SAID.fullmatch(line) or UNEXPECTED.search(line)]
    expected_lines = len(case.then) + 1 if ended.code == 0 else 0
    many = len(ended.printed.splitlines()) > expected_lines and not {*case.words, *chain(*case.then)} & TALKATIVE
    if odd or many or ended.code not in {0} | REFUSALS or errors != (ended.code != 0):
        return "unexpected error"
    if case.expected == ("refusal" if ended.code == 0 else "success"):
        return "wrong outcome"
    return ""


def difference(case: Case, outside: Path, before: dict[str, str], success: bool) -> str:
    """The fault in what a command left behind; refused or done where there is none."""
    after = everything(outside)
    free = [f"{CASE}/{name}" for name in case.changes]
    if any(after.get(name) != content and not matches(name, free) for name, content in before.items()):
        return "input changed"
    allowed = [f"{CASE}/{name}" for name in [*case.always, *(case.results if success else [])]]
    if not all(matches(name, allowed) for name in after.keys() - before.keys()):
        return "left over"
    return "done" if success else "refused"


def matches(name: str, patterns: list[str]) -> bool:
    """Whether one of the patterns fits."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def everything(folder: Path) -> dict[str, str]:
    """What a folder holds, at any depth, and a digest of each thing's content."""
    found = {}
    for path in folder.rglob("*"):
        content = "folder or pipe"
        if path.is_symlink():
            content = f"link to {path.readlink()}"
        elif path.is_file():
            content = str(hash(path.read_bytes()))
        found[str(path.relative_to(folder))] = content
    return found


def cells(rows: dict[str, Row]) -> list[list[str]]:
    """The table: a line for each kind."""
    lines = []
    for kind, row in rows.items():
        counts = (row.counts[word] for word in ("refused", "done", *FAULTS))
        lines.append([kind, str(row.counts.total()), *map(str, counts), f"{row.seconds:.1f}", str(row.memory)])
    return lines


HEADINGS = ("kind", "inputs", "refused", "done", *FAULTS, "slowest, s", "most memory, MiB")


def write(lines: list[list[str]], seed: int) -> None:
    """The table for docs/reliability.md, in place of the one there."""
    table = "\n".join(f"| {' | '.join(line)} |" for line in (HEADINGS, ["---"] * len(HEADINGS), *lines))
    said = f"Seed {seed}; at most {TIMEOUT} s and {MOST_MEMORY:,} MiB for an input.\n\n{table}\n"
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}{said}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    if shutil.which("true") is None or not Path("/proc/self/statm").exists():
        sys.exit("this needs Linux: it forks, and reads /proc")
    sys.exit(main(tyro.cli(Options)))
