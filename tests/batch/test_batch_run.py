"""A batch goes on where it was stopped: nothing is redone, lost, or half there. The edits are made up here."""

import json
import os
import sqlite3
from contextlib import ExitStack, nullcontext
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from cdrl.batch import runner, work
from cdrl.batch.jobs import BatchJob
from cdrl.batch.journal import Journal
from cdrl.batch.runner import Batch
from cdrl.batch.work import DONE_FILE, RenderSettings, Result
from cdrl.cli.main import main
from cdrl.errors import InputError, OutputError, OutputExistsError
from cdrl.files import file_sha256
from cdrl.media.encoding import EncoderOptions
from cdrl.parallel import SerialExecutor
from cdrl.provenance import sidecar_path
from cdrl.request import EditRequest

HISTORIES = int(os.environ.get("CDRL_HISTORIES", "100"))
JOURNAL = "journal.sqlite"


class MadeUpWork:
    """What jobs do instead of an edit; `done` has their names in order, `fails` those to fail."""

    def __init__(self) -> None:
        self.done, self.fails, self.stops = [], set(), ""

    def __call__(self, task, settings):
        self.done.append(task.name)
        if task.name in self.fails:
            return Result("no face is found")
        task.discard()
        task.staging.mkdir()
        (task.staging / "half.part").write_bytes(b"half")
        if task.name == self.stops:
            raise KeyboardInterrupt
        (task.staging / "half.part").rename(task.staged)
        task.staged.write_text(f"{task.request.emotion} {task.request.source.read_text()}")
        sidecar_path(task.staged).write_text("sidecar")
        result = Result(sha256=file_sha256(task.staged), frames=3, edited=3, sidecar=True)
        (task.staging / DONE_FILE).write_text(json.dumps(asdict(result)))
        return result


@pytest.fixture
def made_up(monkeypatch):
    made_up = MadeUpWork()
    monkeypatch.setattr(runner, "run_job", made_up)
    return made_up


def make_sources(folder: Path) -> Path:
    (folder / "out").mkdir()
    for name in "abc":
        (folder / f"{name}.mp4").write_text(name)
    return folder


@pytest.fixture
def workdir(tmp_path):
    return make_sources(tmp_path)


def jobs(workdir, names="abc", emotion="happy"):
    requests = {name: EditRequest(workdir / f"{name}.mp4", emotion) for name in names}
    return [BatchJob(name, request, workdir / "out" / f"{name}.mp4") for name, request in requests.items()]


def run(workdir, wanted=None, overwrite=False, **encoder):
    batch = Batch(wanted or jobs(workdir), workdir / "out" / JOURNAL, RenderSettings(EncoderOptions(**encoder)))
    batch.run(lambda count: SerialExecutor(), overwrite, lambda *told: None)
    return [entry["state"] for entry in batch.summary.entries]


def uncleaned(batch, todo):
    """Instead of `Batch._cleaned`: as if the process were gone."""
    return nullcontext()


def there(workdir):
    """Names of the results that have a sidecar, and of whatever else lies there."""
    names = {path.name for path in (workdir / "out").iterdir() if not path.name.startswith(JOURNAL)}
    return sorted(name for name in names if not (name.endswith(".json") and name[: -len(".provenance.json")] in names))


def test_what_is_done_is_not_redone_and_what_has_changed_is(workdir, made_up):
    assert run(workdir) == ["done"] * 3
    assert run(workdir) == ["already there"] * 3
    assert run(workdir, threads=3) == ["already there"] * 3
    (workdir / "a.mp4").touch()
    (workdir / "b.mp4").write_text("B")
    (workdir / "out" / "c.mp4").unlink()
    assert run(workdir) == ["already there", "done", "done"]
    assert run(workdir, quality=30) == ["done"] * 3
    assert run(workdir, jobs(workdir, emotion="sad")) == ["done"] * 3
    assert made_up.done == [*"abc", *"bc", *"abc", *"abc"]
    assert (workdir / "out" / "b.mp4").read_text() == "sad B"
    assert there(workdir) == ["a.mp4", "b.mp4", "c.mp4"]


def test_a_failure_holds_up_nobody_and_is_tried_again(workdir, made_up):
    made_up.fails = {"b"}
    assert run(workdir) == ["done", "failed", "done"]
    assert there(workdir) == ["a.mp4", "c.mp4"]
    made_up.fails = set()
    assert run(workdir) == ["already there", "done", "already there"]


def test_stopped_by_the_user(workdir, made_up):
    made_up.stops = "b"
    batch = Batch(jobs(workdir), workdir / "out" / JOURNAL, RenderSettings())
    with pytest.raises(KeyboardInterrupt):
        batch.run(lambda count: SerialExecutor(), False, lambda *told: None)
    assert [entry["state"] for entry in batch.summary.entries] == ["done", "not done", "not done"]
    assert there(workdir) == ["a.mp4"]
    made_up.stops = ""
    assert run(workdir) == ["already there", "done", "done"]


def test_what_a_killed_run_left_goes_also_when_its_job_is_not_asked_for_any_more(workdir, made_up, monkeypatch):
    made_up.stops = "b"
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(runner.Batch, "_cleaned", uncleaned)
        run(workdir)
    run(workdir, jobs(workdir, "ac"))
    assert there(workdir) == ["a.mp4", "c.mp4"]


def test_files_of_others_are_not_touched(workdir, made_up):
    (workdir / "out" / "b.mp4").write_text("mine")
    with pytest.raises(OutputExistsError, match="is not of this batch"):
        run(workdir)
    assert made_up.done == []
    assert run(workdir, overwrite=True) == ["done"] * 3
    (workdir / "out" / "b.mp4").write_text("changed by hand")
    with pytest.raises(OutputExistsError):
        run(workdir)
    assert (workdir / "out" / "b.mp4").read_text() == "changed by hand"


@pytest.mark.parametrize("name", ["b.mp4", "b.mp4.provenance.json"])
def test_a_file_of_others_that_appears_in_the_last_moment_is_not_replaced(workdir, made_up, monkeypatch, name):
    take_name = work.take_name

    def somebody_is_faster(temporary, path, *, overwrite):
        if path.name == name:
            path.write_text("mine")
        take_name(temporary, path, overwrite=overwrite)

    monkeypatch.setattr(work, "take_name", somebody_is_faster)
    assert run(workdir) == ["done", "failed", "done"]
    assert (workdir / "out" / name).read_text() == "mine"
    assert there(workdir) == ["a.mp4", name, "c.mp4"]


def test_a_damaged_journal_is_said_and_kept(workdir, made_up):
    run(workdir)
    journal = workdir / "out" / JOURNAL
    content = bytearray(journal.read_bytes())
    content[4096:8192] = b"x" * 4096
    journal.write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        run(workdir)
    assert journal.read_bytes() == content


def test_only_one_batch_at_a_time_and_no_other_file_as_journal(workdir, made_up):
    class Nosy(SerialExecutor):
        def run(self, function, items):
            with pytest.raises(OutputError, match="another `cdrl batch`"):
                run(workdir)
            return super().run(function, items)

    batch = Batch(jobs(workdir), workdir / "out" / JOURNAL, RenderSettings())
    batch.run(lambda count: Nosy(), False, lambda *told: None)
    journal = workdir / "out" / JOURNAL
    for content in (b"a,b\n", b"mine", b'{"event": "done"}\n' * 100):
        journal.write_bytes(content)
        with pytest.raises(InputError, match="is no journal"):
            run(workdir)
        assert journal.read_bytes() == content
    journal.unlink()
    with sqlite3.connect(journal) as other:
        other.execute("CREATE TABLE bookmarks (address TEXT)")
    with pytest.raises(InputError, match="is no journal"):
        run(workdir)
    journal.unlink()
    journal.symlink_to(workdir / "elsewhere")
    with pytest.raises(OutputError, match="is a link"):
        run(workdir)
    assert not (workdir / "elsewhere").exists()


def test_a_job_without_an_end_is_said_and_costs_the_exit_code(workdir, made_up, monkeypatch, capsys):
    """Whatever runs the jobs: one that loses an item must not look like success."""

    class Loses(SerialExecutor):
        def run(self, function, items):
            yield from list(super().run(function, items))[1:]

    monkeypatch.setattr("cdrl.cli.batch._executor", lambda options, workers: lambda count: Loses())
    lines = ["source,output,emotion", *(f"{name}.mp4,out/{name}.mp4,sad" for name in "abc")]
    (workdir / "jobs.csv").write_text("\n".join(lines))
    report = workdir / "report.json"
    with mock.patch.object(runner.Batch, "_cleaned", uncleaned):
        assert main(["batch", str(workdir / "jobs.csv"), "--report", str(report)]) == 10
    err = capsys.readouterr().err
    assert "2 done, 1 not done" in err and "error: 1 of 3 jobs have no result" in err
    assert json.loads(report.read_text())["counts"]["not done"] == 1


def test_a_failure_is_said_once(workdir, made_up, monkeypatch, capsys):
    made_up.fails = {"b.mp4"}
    monkeypatch.setattr("cdrl.cli.batch._executor", lambda options, workers: lambda count: SerialExecutor())
    assert main(["batch", str(workdir), "-o", str(workdir / "results"), "-e", "sad"]) == 10
    err = capsys.readouterr().err
    assert err.count("no face is found") == 1 and "2 done, 1 failed" in err


class Killed(BaseException):
    """The machine stops: nothing is cleaned up any more."""


class BatchHistory(RuleBasedStateMachine):
    """Runs that are killed before and after any step, while sources change and results vanish; then one to the end."""

    STEPS = ((Journal, ("queue", "note_done", "note_failed", "forget_folder", "hash_file")),
             (work.Task, ("put_in_place", "discard", "finished")), (work, ("take_name",)))  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.home = TemporaryDirectory()
        self.workdir = make_sources(Path(self.home.name).resolve())
        self.made_up = MadeUpWork()
        self.changes = 0

    def run(self, dies_at: int | None = None) -> list[str]:
        """Run the batch; where `dies_at` is given, it is killed at that moment if it gets there."""
        self.left = dies_at
        steps = [(owner, name) for owner, names in self.STEPS for name in names]
        with ExitStack() as patched:
            patched.enter_context(mock.patch.object(runner, "run_job", self.counted(self.made_up)))
            for owner, name in steps:
                patched.enter_context(mock.patch.object(owner, name, self.counted(getattr(owner, name))))
            if dies_at is not None:
                patched.enter_context(mock.patch.object(runner.Batch, "_cleaned", uncleaned))
            try:
                return run(self.workdir)
            except Killed:
                return []

    def counted(self, function):
        def step(*arguments, **named):
            self.count()
            found = function(*arguments, **named)
            self.count()
            return found

        return step

    def count(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Killed

    @rule(moment=st.integers(0, 60))
    def is_killed(self, moment: int) -> None:
        self.run(dies_at=moment)

    @rule()
    def runs_to_the_end(self) -> None:
        assert len(self.run()) == 3

    @rule(name=st.sampled_from("abc"))
    def a_source_changes(self, name: str) -> None:
        self.changes += 1
        (self.workdir / f"{name}.mp4").write_text(f"{name} {self.changes}")

    @rule(name=st.sampled_from("abc"))
    def a_result_is_removed(self, name: str) -> None:
        (self.workdir / "out" / f"{name}.mp4").unlink(missing_ok=True)

    @rule(names=st.sets(st.sampled_from("abc"), max_size=2))
    def jobs_fail_from_now_on(self, names: set[str]) -> None:
        self.made_up.fails = names

    @invariant()
    def what_is_in_place_is_whole(self) -> None:
        for path in (self.workdir / "out").glob("?.mp4"):
            assert path.read_text().startswith(f"happy {path.stem}")
            assert sidecar_path(path).exists()

    def teardown(self) -> None:
        self.made_up.fails = set()
        states = self.run()
        assert set(states) <= {"done", "already there"} and len(states) == 3
        for name in "abc":
            source = (self.workdir / f"{name}.mp4").read_text()
            assert (self.workdir / "out" / f"{name}.mp4").read_text() == f"happy {source}"
        assert there(self.workdir) == ["a.mp4", "b.mp4", "c.mp4"]
        before = len(self.made_up.done)
        assert self.run() == ["already there"] * 3
        assert len(self.made_up.done) == before
        self.home.cleanup()


def test_no_job_is_lost_or_doubled_in_any_history():
    run_state_machine_as_test(
        BatchHistory, settings=settings(max_examples=HISTORIES, stateful_step_count=8, deadline=None, database=None)
    )
