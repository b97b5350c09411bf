"""What the page stands on, without a page: previews, forms, timelines, sessions."""

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cdrl.app import scene
from cdrl.app.form import BLEND, EMOTION, OVER_TIME, REFERENCE, Form, blend_of, segments_of
from cdrl.app.sessions import Sessions, at_work
from cdrl.app.studio import Progress, Result
from cdrl.app.timeline import MOMENTS, Spread, plays_in_browsers
from cdrl.cli import main
from cdrl.emotions import parse_blend
from cdrl.errors import InputError, Interrupted, UsageError
from cdrl.manipulation.plan import REGIONS
from cdrl.media import probe
from cdrl.project import Project

FORM = Form(EMOTION, "happy", "happy", "surprised", 0.4, [["0", "1", "sad", ""]], 1.0, ["brows", "mouth"], "largest")


@pytest.fixture
def sessions():
    made = Sessions()
    yield made
    made.close_all()
    assert not made.root.exists()


@pytest.fixture
def upload(sample, tmp_path):
    """A file as the server keeps an upload: in a folder of its own."""

    def made(name="talk.flv"):
        path = tmp_path / f"{time.monotonic_ns()}" / name
        path.parent.mkdir()
        path.write_bytes(sample.read_bytes())
        return path

    return made


def test_the_preview_is_the_edit_s_own_frame(studio, sessions, upload, sample):
    session = sessions.of("a")
    studio.open(session, upload())
    wish = FORM.project(session)
    shown = studio.preview(session, wish).frame
    edited = next(studio.editor.edit(sample, **wish.wish).frames()).frame
    assert all(np.array_equal(ours, theirs) for ours, theirs in zip(shown.planes, edited.planes, strict=True))


def test_a_slider_costs_a_frame_and_no_survey(studio, sessions, upload, monkeypatch):
    session = sessions.of("a")
    studio.open(session, upload())
    studio.look_through(session)
    monkeypatch.setattr(scene, "survey", None)
    monkeypatch.setattr(scene, "read", None)
    studio.preview(session, FORM.project(session), 1.0)
    landmarks = session.scene.detector.landmarks
    monkeypatch.setattr(session.scene.detector, "landmarks", None)
    seen = [studio.preview(session, replace(FORM, intensity=n).project(session), 1.0).frame for n in (0, 0.5, 1)]
    assert not np.array_equal(seen[1].planes[0], seen[2].planes[0])
    monkeypatch.setattr(session.scene.detector, "landmarks", landmarks)


def test_a_clip_that_browsers_cannot_play_is_copied(studio, sessions, upload):
    session = sessions.of("a")
    studio.open(session, upload())
    assert not plays_in_browsers(session.info)
    studio.look_through(session)
    copy = probe(session.played)
    assert plays_in_browsers(copy)
    assert (copy.codec, copy.frame_count) == ("h264", 61)
    assert len(session.timeline.moments) == MOMENTS
    assert session.timeline.envelope.max() == 1


def test_an_edit_that_is_cancelled_while_it_waits_does_not_begin(studio, sessions, upload):
    session = sessions.of("a")
    studio.open(session, upload())
    studio.begin(session, consent=True)
    session.cancelled.set()
    with pytest.raises(Interrupted):
        list(studio.edit(session, FORM.project(session)))
    assert list(session.folder.rglob("*happy*")) == []


def test_a_user_who_leaves_stops_the_edit(studio, sessions, upload):
    session = sessions.of("a")
    studio.open(session, upload())
    studio.begin(session, consent=True)
    steps = studio.edit(session, FORM.project(session))
    assert isinstance(next(steps), Progress)
    sessions.close("a")
    assert session.folder.exists()  # until the work has stopped
    with pytest.raises(Interrupted):
        list(steps)
    assert not session.folder.exists()


def test_an_edit_tells_how_far_it_is_and_ends_in_files(studio, sessions, upload):
    session = sessions.of("a")
    studio.open(session, upload())
    with pytest.raises(UsageError, match="consent"):
        list(studio.edit(session, FORM.project(session)))
    studio.begin(session, consent=True)
    *steps, result = studio.edit(session, FORM.project(session))
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    assert isinstance(result, Result)
    assert all(path.stat().st_size for path in (result.video, result.report, result.project))
    text = result.report.read_text() + result.project.read_text()
    assert str(session.folder) not in text
    assert len(result.summary.curves()["lip_opening"]["source"]) == 61
    assert set(result.summary.curves()["emotion"]["amount"]) == {"happy"}


def test_forms_say_what_a_project_says(sessions, upload, studio):
    session = sessions.of("a")
    with pytest.raises(UsageError, match="no clip"):
        FORM.project(session)
    studio.open(session, upload())
    said = {way: replace(FORM, way=way) for way in (EMOTION, BLEND, OVER_TIME)}
    assert said[EMOTION].project(session).emotion == "happy"
    assert said[EMOTION].project(session).regions == ("brows", "mouth")
    assert replace(FORM, regions=list(REGIONS)).project(session).regions == ()
    assert parse_blend(said[BLEND].project(session).emotion) == {"happy": 0.6, "surprised": 0.4}
    assert said[OVER_TIME].project(session).segments == "0-1:sad"
    assert isinstance(said[EMOTION].project(session), Project)
    for wrong, why in ((replace(FORM, way=REFERENCE), "no reference"), (replace(FORM, regions=[]), "no part")):
        with pytest.raises(UsageError, match=why):
            wrong.project(session)


def test_blends_and_tables():
    assert [blend_of("happy", "sad", share) for share in (0, 0.25, 1)] == ["happy", "happy:0.75+sad:0.25", "sad"]
    assert segments_of([[0, 2.5, "happy", 0.8], ["", "", "", ""], ["2.5", None, "sad+fear", ""]]) == (
        "0-2.5:happy:0.8, 2.5-:sad+fear"
    )
    for rows, why in (([["", "1", "sad", "1"]], "row 1"), ([], "names no emotion")):
        with pytest.raises(UsageError, match=why):
            segments_of(rows)


@pytest.mark.parametrize("count", [1, 5, 8, 16, 17, 1000])
def test_moments_are_spread_over_a_clip_of_any_length(count):
    spread = Spread(8)
    for number in range(count):
        spread.add(number)
    assert len(spread.kept) == min(count, 8)
    assert spread.kept[0] == 0
    assert count < 16 or spread.kept[-1] > 0.8 * count


def test_uploads_keep_harmless_names_and_go_with_the_last_who_has_them(sessions, upload):
    first, second, given = sessions.of("a"), sessions.of("b"), upload("..  my clip;.flv")
    names = {session.take(given).name for session in (first, second)}
    assert names == {"_my_clip_.flv"}
    sessions.close("a")
    assert given.exists()
    sessions.close("b")
    assert not given.exists()
    with pytest.raises(InputError, match="closed"), at_work(first):
        pass


def test_an_upload_that_came_again_is_not_for_the_first_to_remove(sessions, upload):
    given = upload()
    sessions.of("a").take(given)
    again = upload()
    again.replace(given)  # what Gradio does with the same content
    sessions.close("a")
    assert given.exists()
    sessions.of("b").take(given)
    sessions.close("b")
    assert not given.exists()


def test_uploads_that_broke_off_are_removed(sessions):
    part = sessions.root / "tmp123"
    part.touch()
    sessions.of("a")
    assert part.exists()
    os.utime(part, (0, 0))
    sessions.of("a")
    assert not part.exists()


def test_what_killed_apps_left_is_removed():
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    left = Path(tempfile.gettempdir()) / f"cdrl-app-{int(ended.stdout)}-test"
    ours = Path(tempfile.gettempdir()) / f"cdrl-app-{os.getpid()}-test"
    left.mkdir()
    ours.mkdir()
    Sessions().close_all()
    assert not left.exists()
    ours.rmdir()


def test_without_the_extra_one_line_says_what_to_install(monkeypatch, capsys):
    from cdrl.commands import app

    monkeypatch.setattr(app, "find_spec", lambda name: None)
    assert main(["app", "--no-browser"]) == 2
    assert capsys.readouterr().err == (
        "cdrl: error: cdrl app needs Gradio, which is not installed: pip install 'cdrl[app]'\n"
    )


@pytest.mark.parametrize("words", [["--port", "70000"], ["--edits", "0"]])
def test_wrong_options(words, capsys):
    assert main(["app", *words]) == 2
    assert words[0] in capsys.readouterr().err
