"""A batch goes on where it was stopped: nothing is redone, lost, or half there. The edits are made up here."""

import json
from contextlib import nullcontext

import pytest

from cdrl.batch import running
from cdrl.batch.jobs import Job
from cdrl.batch.running import Batch
from cdrl.batch.work import MARK, Result
from cdrl.datasets.executor import Inline
from cdrl.errors import InputError, OutputError, OutputExistsError
from cdrl.files import file_sha256
from cdrl.media.encoding import EncoderOptions
from cdrl.media.limits import Limits
from cdrl.project import Project


@pytest.fixture
def work(monkeypatch):
    """What jobs do instead of an edit; `work.done` has their names in order, `work.fails` those to fail."""

    def carry_out(task, encoder, limits):
        carry_out.done.append(task.name)
        if task.name in carry_out.fails:
            return Result("no face is found")
        task.staging.mkdir(exist_ok=True)
        (task.staging / "half.part").write_bytes(b"half")
        if task.name == carry_out.stops:
            raise KeyboardInterrupt
        (task.staging / "half.part").rename(task.staged)
        task.staged.write_text(f"{task.project.emotion} {task.project.source.read_text()}")
        return Result(sha256=file_sha256(task.staged), frames=3, edited=3)

    carry_out.done, carry_out.fails, carry_out.stops = [], set(), ""
    monkeypatch.setattr(running, "carry_out", carry_out)
    return carry_out


@pytest.fixture
def desk(tmp_path):
    (tmp_path / "out").mkdir()
    for name in "abc":
        (tmp_path / f"{name}.mp4").write_text(name)
    return tmp_path


def jobs(desk, names="abc", emotion="happy"):
    return [Job(name, Project(desk / f"{name}.mp4", emotion), desk / "out" / f"{name}.mp4") for name in names]


def run(desk, wanted=None, overwrite=False, **encoder):
    batch = Batch(wanted or jobs(desk), desk / "out" / "journal.jsonl", EncoderOptions(**encoder), Limits())
    batch.run(lambda count: Inline(), overwrite, lambda *told: None)
    return [entry["state"] for entry in batch.summary.entries]


def there(desk):
    return sorted(path.name for path in (desk / "out").iterdir() if path.name != "journal.jsonl")


def test_what_is_done_is_not_redone_and_what_has_changed_is(desk, work):
    assert run(desk) == ["done"] * 3
    assert run(desk) == ["already there"] * 3
    assert run(desk, threads=3) == ["already there"] * 3
    (desk / "a.mp4").touch()
    (desk / "b.mp4").write_text("B")
    (desk / "out" / "c.mp4").unlink()
    assert run(desk) == ["already there", "done", "done"]
    assert run(desk, quality=30) == ["done"] * 3
    assert run(desk, jobs(desk, emotion="sad")) == ["done"] * 3
    assert work.done == [*"abc", *"bc", *"abc", *"abc"]
    assert (desk / "out" / "b.mp4").read_text() == "sad B"
    assert there(desk) == ["a.mp4", "b.mp4", "c.mp4"]


def test_a_failure_holds_up_nobody_and_is_tried_again(desk, work):
    work.fails = {"b"}
    assert run(desk) == ["done", "failed", "done"]
    assert there(desk) == ["a.mp4", "c.mp4"]
    work.fails = set()
    assert run(desk) == ["already there", "done", "already there"]


def test_stopped_by_the_user(desk, work):
    work.stops = "b"
    batch = Batch(jobs(desk), desk / "out" / "journal.jsonl", EncoderOptions(), Limits())
    with pytest.raises(KeyboardInterrupt):
        batch.run(lambda count: Inline(), False, lambda *told: None)
    assert [entry["state"] for entry in batch.summary.entries] == ["done", "not done", "not done"]
    assert there(desk) == ["a.mp4"]
    work.stops = ""
    assert run(desk) == ["already there", "done", "done"]


class Killed(BaseException):
    """The machine stops: nothing is cleaned up any more."""


@pytest.mark.parametrize("moment", ["work", "journal", "rename"])
def test_killed_at_any_moment(desk, work, monkeypatch, moment):
    """The run that is killed has one job at work, or whole and not yet noted, or noted and not yet in place."""

    with monkeypatch.context() as patched:
        patched.setattr(running.Batch, "_cleaned", lambda self, todo: nullcontext())
        if moment == "work":
            work.stops = "b"
        else:
            kept = running.Batch._conclude
            whole = Result(sha256="", frames=3)

            def conclude(batch, index, result, overwrite):
                if index == 0:
                    kept(batch, index, result, overwrite)
                    return
                task = batch._tasks[index]
                mark = {**vars(whole), "sha256": result.sha256}
                (task.staging / MARK).write_text(json.dumps(mark))  # as the real work ends
                if moment == "rename":
                    batch._journal.append(running._event("done", task, sha256=result.sha256))
                raise Killed

            patched.setattr(running.Batch, "_conclude", conclude)
        with pytest.raises((Killed, KeyboardInterrupt)):
            run(desk)
    work.stops = ""
    assert len(there(desk)) == 2  # one result, one hidden folder
    assert run(desk)[1:] == ["done", "done"]
    assert there(desk) == ["a.mp4", "b.mp4", "c.mp4"]
    assert work.done == ([*"ab", *"bc"] if moment == "work" else [*"ab", "c"])
    noted = [json.loads(line) for line in (desk / "out" / "journal.jsonl").read_text().splitlines()]
    assert sorted(entry["name"] for entry in noted if entry["event"] == "done") == ["a", "b", "c"]


def test_what_a_killed_run_left_goes_also_when_its_job_is_not_asked_for_any_more(desk, work, monkeypatch):
    work.stops = "b"
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(running.Batch, "_cleaned", lambda self, todo: nullcontext())
        run(desk)
    run(desk, jobs(desk, "ac"))
    assert there(desk) == ["a.mp4", "c.mp4"]


def test_files_of_others_are_not_touched(desk, work):
    (desk / "out" / "b.mp4").write_text("mine")
    with pytest.raises(OutputExistsError, match="is not of this batch"):
        run(desk)
    assert work.done == []
    assert run(desk, overwrite=True) == ["done"] * 3
    (desk / "out" / "b.mp4").write_text("changed by hand")
    with pytest.raises(OutputExistsError):
        run(desk)
    assert (desk / "out" / "b.mp4").read_text() == "changed by hand"


def test_a_journal_that_breaks_off_is_read_up_to_there(desk, work):
    run(desk)
    journal = desk / "out" / "journal.jsonl"
    with journal.open("ab") as file:
        file.write(b'{"event": "done", "key": "12')
    assert run(desk) == ["already there"] * 3
    assert all(json.loads(line) for line in journal.read_text().splitlines())


def test_only_one_batch_at_a_time_and_no_other_file_as_journal(desk, work):
    class Nosy(Inline):
        def run(self, function, items):
            with pytest.raises(OutputError, match="another cdrl batch"):
                run(desk)
            return super().run(function, items)

    batch = Batch(jobs(desk), desk / "out" / "journal.jsonl", EncoderOptions(), Limits())
    batch.run(lambda count: Nosy(), False, lambda *told: None)
    for content in ("a,b\n", "mine", '{"event": "done"}\n'):
        (desk / "out" / "journal.jsonl").write_text(content)
        with pytest.raises(InputError, match="is no journal"):
            run(desk)
        assert (desk / "out" / "journal.jsonl").read_text() == content
