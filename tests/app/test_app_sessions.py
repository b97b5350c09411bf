"""Whose files are whose, and what is left behind: nothing, also by apps that were killed."""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from cdrl.app.serving import SecurityMiddleware
from cdrl.app.sessions import Sessions, in_use
from cdrl.errors import InputError


def test_uploads_keep_harmless_names_and_go_with_the_last_who_has_them(sessions, upload):
    first, second, given = sessions.get("a"), sessions.get("b"), upload("..  my clip;.flv")
    names = {session.store_upload(given).name for session in (first, second)}
    assert names == {"_my_clip_.flv"}
    sessions.close("a")
    assert given.exists()
    sessions.close("b")
    assert not given.exists()
    with pytest.raises(InputError, match="closed"), in_use(first):
        pass


def test_an_upload_that_came_again_is_not_for_the_first_to_remove(sessions, upload):
    given = upload()
    sessions.get("a").store_upload(given)
    again = upload()
    again.replace(given)  # what Gradio does with the same content
    sessions.close("a")
    assert given.exists()
    sessions.get("b").store_upload(given)
    sessions.close("b")
    assert not given.exists()


def test_uploads_that_broke_off_are_removed(sessions):
    part = sessions.root / "tmp123"
    part.touch()
    sessions.get("a")
    assert part.exists()
    os.utime(part, (0, 0))
    sessions.get("a")
    assert not part.exists()


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """A temporary folder for apps alone."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def left(temporary):
    """The folder there of a process that is no more."""
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    folder = temporary / f"cdrl-app-{int(done.stdout)}-test"
    folder.mkdir()
    return folder


def test_what_killed_apps_left_is_removed_and_nothing_else(temporary, left):
    number, ours = left.name.split("-")[2], temporary / f"cdrl-app-{os.getpid()}-test"
    others = [temporary / f"cdrl-app-{number}", temporary / "cdrl-app-mine-x", temporary / f"app-{number}-test"]
    link, file = temporary / f"cdrl-app-{number}-link", temporary / f"cdrl-app-{number}-file"
    for folder in (ours, *others):
        folder.mkdir()
    link.symlink_to(ours)
    file.touch()
    Sessions().close_all()
    assert sorted(temporary.iterdir()) == sorted([ours, *others, link, file])


def test_an_app_starts_while_another_removes_the_same_leftovers(temporary, left, monkeypatch):
    glob = Path.glob

    def gone_meanwhile(folder, pattern):
        found = list(glob(folder, pattern))
        shutil.rmtree(left, ignore_errors=True)
        return iter(found)

    monkeypatch.setattr(Path, "glob", gone_meanwhile)
    Sessions().close_all()
    assert list(temporary.iterdir()) == []


def test_an_app_starts_beside_leftovers_that_it_may_not_remove(left, monkeypatch):
    def refuse(path, *more, **how):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(shutil, "rmtree", refuse)
    Sessions()
    assert left.exists()


def test_an_app_starts_where_processes_have_no_owner_and_no_signals(left, monkeypatch):
    for name in ("getuid", "kill"):  # as on Windows, where os.kill(number, 0) would end the process
        monkeypatch.delattr(os, name)
    Sessions().close_all()
    assert not left.exists()


def test_a_number_that_a_later_process_has_does_not_keep_what_was_left(temporary):
    left = temporary / f"cdrl-app-{os.getpid()}-test"
    left.mkdir()
    os.utime(left, (0, 0))
    Sessions().close_all()
    assert not left.exists()


def test_a_page_that_goes_while_something_is_sent_to_it_is_noticed():
    pytest.importorskip("starlette", reason="the extra app is not installed")
    gone = []

    async def cut_off(scope, receive, send):
        raise asyncio.CancelledError

    middleware = SecurityMiddleware(cut_off, on_leave=gone.append)
    for path in ("/gradio_api/heartbeat/abc", "/gradio_api/queue/data"):
        with suppress(asyncio.CancelledError):
            middleware({"type": "http", "path": path}, None, None).send(None)
    assert gone == ["abc"]
