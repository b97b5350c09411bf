"""What the page stands on, without a page: previews, forms, timelines, sessions."""

import json
import time
from dataclasses import replace
from itertools import islice
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest

from cdrl.app import scene
from cdrl.app.form import BLEND, EMOTION, OVER_TIME, REFERENCE, Form, blend_of, segments_of
from cdrl.app.scene import MOMENTS, Spread, look_through, plays_in_browsers
from cdrl.app.service import EditProgress, EditResult, Turns, Waiting
from cdrl.cli.main import main
from cdrl.emotions import parse_blend
from cdrl.errors import FaceError, InputError, InterruptedByUser, UsageError
from cdrl.media import Limits, probe, read
from cdrl.media.side_data import HLG
from cdrl.pipeline.report import NO_FACE
from cdrl.plan import REGIONS

FORM = Form(
    EMOTION, "happy", "happy", "surprised", 0.4, [["0", "1", "sad", ""]], 1.0, ["brows", "mouth"], "warp", "web",
    "largest",
)  # fmt: skip


def test_the_preview_is_the_edit_s_own_frame(service, session, sample):
    wish = FORM.request(session)
    shown = service.preview(session, wish).frame
    edited = next(service.editor.edit(wish).frames()).frame
    assert all(np.array_equal(ours, theirs) for ours, theirs in zip(shown.planes, edited.planes, strict=True))


def test_the_timeline_and_what_a_browser_plays_show_hdr_in_its_colors(tmp_path):
    """HLG's gray of 456 is that of 128 on a usual display."""
    source, copy = tmp_path / "hlg.mkv", tmp_path / "copy.mp4"
    with av.open(str(source), "w") as output:
        stream = output.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p10le"
        tags = stream.codec_context
        tags.color_range, tags.colorspace, tags.color_primaries, tags.color_trc = 1, 9, 9, HLG
        frame = av.VideoFrame(64, 48, "yuv420p10le")
        for plane, value in zip(frame.planes, (456, 512, 512), strict=True):
            np.frombuffer(plane, np.uint16)[:] = value
        output.mux([*stream.encode(frame), *stream.encode(None)])
    info = probe(source)
    timeline = look_through(info, Limits(), copy)
    assert abs(timeline.thumbnails[0].mean() - 128) <= 2
    with read(copy) as reader:
        assert (reader.info.color.transfer, reader.info.format.depth, reader.info.hdr) == (1, 8, None)
        assert abs(next(reader).rgb().mean() - 128) <= 2


def test_a_slider_costs_a_frame_and_no_survey(service, session, monkeypatch):
    service.look_through(session)
    monkeypatch.setattr(scene, "survey_face", None)
    monkeypatch.setattr(scene, "read", None)
    service.preview(session, FORM.request(session), 1.0)
    estimate = session.scene.detector.estimate_landmarks
    monkeypatch.setattr(session.scene.detector, "estimate_landmarks", None)
    seen = [service.preview(session, replace(FORM, intensity=n).request(session), 1.0).frame for n in (0, 0.5, 1)]
    assert not np.array_equal(seen[1].planes[0], seen[2].planes[0])
    monkeypatch.setattr(session.scene.detector, "estimate_landmarks", estimate)


def test_a_later_shot_is_previewed_as_it_is_edited(service, sessions, shots, upload):
    session = sessions.get("a")
    service.open_clip(session, upload("shots.mp4", shots))
    service.look_through(session)
    request = FORM.request(session)
    shown = service.preview(session, request, 6.0)
    assert session.scene.surveys.keys() == {0, 1}
    assert session.scene.surveys[1].start == 5
    frames = service.editor.edit(request).frames()
    edited = next(edited for edited in frames if edited.frame.time == shown.frame.time)
    # The preview detects the face anew, where the edit has followed it.
    np.testing.assert_allclose(shown.track.points, edited.track.points, atol=1)
    luma = [one.frame.planes[0].astype(int) for one in (shown, edited)]
    assert np.abs(luma[0] - luma[1]).mean() < 0.2 < np.abs(luma[0] - shown.source.planes[0]).mean()


def test_a_clip_that_browsers_cannot_play_is_copied(service, session):
    assert not plays_in_browsers(session.info)
    service.look_through(session)
    copy = probe(session.played)
    assert plays_in_browsers(copy)
    assert (copy.codec, copy.frame_count) == ("h264", 61)
    assert len(session.timeline.moments) == MOMENTS
    assert session.timeline.envelope.max() == 1


def test_an_edit_that_is_cancelled_while_it_waits_does_not_begin(service, session):
    with service.turns.stand_in_line() as other_has_come:
        steps = service.edit(session, FORM.request(session), consent=True)
        assert isinstance(next(steps), Waiting)
        session.cancel()
        with pytest.raises(InterruptedByUser):
            list(steps)
        assert other_has_come(), "the other user's goes on"
    assert list(session.folder.rglob("*happy*")) == []


def test_those_who_wait_are_edited_in_the_order_in_which_they_came():
    turns = Turns(1)
    with turns.stand_in_line() as first:
        with turns.stand_in_line() as second, turns.stand_in_line() as third:
            assert [first(), second(), third()] == [True, False, False]
        with turns.stand_in_line() as fourth:
            assert not fourth()


ASKED = [("a", "happy"), ("a", "sad"), ("b", "angry")]


def asked(key):
    """What Gradio tells a handler of who calls it."""
    return SimpleNamespace(session_hash=key)


@pytest.fixture
def api(service, sessions):
    return pytest.importorskip("cdrl.app.api", reason="the extra app is not installed").Api(service, sessions)


def test_cancel_stops_every_edit_of_the_session_and_no_other(service, api, upload, monkeypatch):
    import gradio as gr

    def endless(wish, folder, told):
        while True:
            told(1, None)
            time.sleep(0.01)

    monkeypatch.setattr(service, "_save", endless)
    for key in "ab":
        api.open(asked(key), str(upload()))
    edits = [api.edit(asked(key), {"emotion": emotion, "consent": True}) for key, emotion in ASKED]
    for edit in edits:
        next(edit)
    api.cancel(asked("a"))
    for edit in edits[:2]:
        with pytest.raises(gr.Error, match="canceled"):
            for _ in islice(edit, 20):
                pass
    assert next(edits[2]) == (None, None, None), "the other user's goes on"
    edits[2].close()


def test_a_user_who_leaves_stops_the_edit(service, session, sessions):
    steps = service.edit(session, FORM.request(session), consent=True)
    assert isinstance(next(steps), EditProgress)
    sessions.close("a")
    assert session.folder.exists()  # until the work has stopped
    with pytest.raises(InterruptedByUser):
        list(steps)
    assert not session.folder.exists()


def test_an_edit_tells_how_far_it_is_and_ends_in_files(service, session):
    with pytest.raises(UsageError, match="consent"):
        list(service.edit(session, FORM.request(session)))
    *steps, result = service.edit(session, FORM.request(session), consent=True)
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    assert isinstance(result, EditResult)
    assert all(path.stat().st_size for path in (result.video, result.report, result.project))
    text = result.report.read_text() + result.project.read_text()
    assert str(session.folder) not in text
    assert len(result.summary.curves()["lip_opening"]["source"]) == 61
    assert set(result.summary.curves()["emotion"]["amount"]) == {"happy"}
    again = list(service.edit(session, replace(FORM, emotion="sad").request(session)))[-1]
    assert result.video.exists(), "it may still be downloaded"
    assert again.video.exists()


def test_a_reference_that_is_replaced_while_it_is_edited_stays_for_that_edit(service, session, upload, sample):
    service.set_reference(session, upload("angry.flv", sample.with_name("1001_DFA_ANG_XX.flv")))
    steps = service.edit(session, replace(FORM, mode=REFERENCE).request(session), consent=True)
    reference = session.reference
    next(steps)
    service.set_reference(session, None)
    assert reference.exists()
    assert isinstance(list(steps)[-1], EditResult)
    assert not reference.exists()


def test_a_clip_whose_face_comes_late_opens_at_that_moment(service, sessions, late, upload):
    session = sessions.get("a")
    service.open_clip(session, upload("late.mp4", late))
    service.look_through(session)
    assert service.preview(session, FORM.request(session)).skipped is None
    at_first = service.preview(session, FORM.request(session), 0.0)
    assert (float(at_first.frame.time), at_first.skipped) == (0, NO_FACE)
    assert 5 <= float(session.scene.first.frame.time) < 5.6


def test_a_program_is_told_where_a_face_is_seen(api, late, upload):
    import gradio as gr

    assert api.open(asked("a"), str(upload("late.mp4", late)))["faces"] == 1
    assert api.preview(asked("a"), {"emotion": "happy"}).shape == (360, 480, 3)
    with pytest.raises(gr.Error, match=r"no face is seen at 0\.0 s.*one is seen at 5\.\d s"):
        api.preview(asked("a"), {"emotion": "happy", "moment": 0})


def test_previews_of_two_faces_at_once_do_not_mix(service, session):
    first = session.scene
    shown = service.preview(session, replace(FORM, face="1").request(session))
    assert session.scene is first, "the largest face is looked at by others meanwhile"
    assert shown.skipped is None


def test_of_two_clips_that_are_opened_at_once_the_later_stays(service, session, upload, monkeypatch):
    look = scene.Scene.look

    def overtaken(*given):
        monkeypatch.setattr(scene.Scene, "look", look)
        service.open_clip(session, upload("second.flv"))
        return look(*given)

    monkeypatch.setattr(scene.Scene, "look", overtaken)
    with pytest.raises(InputError, match="another clip"):
        service.open_clip(session, upload("first.flv"))
    assert session.info.path.name == "second.flv"
    assert session.info.path.exists()
    assert list(session.folder.rglob("first.flv")) == []


def test_a_neutral_face_reaches_preview_edit_and_project(service, session, upload, monkeypatch):
    given, manipulator = [], service.editor.manipulator

    def remembered(plan, enroll=None, *more, **how):
        given.append(enroll)
        return manipulator(plan, {}, *more, **how)

    monkeypatch.setattr(service.editor, "manipulator", remembered)
    service.set_neutral(session, upload("neutral.flv"))
    wish = FORM.request(session)
    assert wish.enroll == {"neutral": session.neutral}
    for intensity in (1.0, 0.5):
        service.preview(session, replace(FORM, intensity=intensity).request(session))  # the second one looks at no file
    result = list(service.edit(session, wish, consent=True))[-1]
    assert [enroll["neutral"].name for enroll in given] == ["neutral.flv"] * 3
    assert json.loads(result.project.read_text())["enroll"] == {"neutral": "./neutral.flv"}
    service.set_neutral(session, None)
    assert FORM.request(session).enroll == {}


def test_a_neutral_face_that_shows_none_is_refused_and_not_kept(service, session, upload):
    photo = upload("neutral.png")
    photo.write_bytes(cv2.imencode(".png", np.full((64, 64, 3), 128, np.uint8))[1].tobytes())
    with pytest.raises(FaceError, match=r"neutral\.png"):
        service.set_neutral(session, photo)
    assert session.neutral is None
    assert list(session.folder.rglob("*.png")) == []


def test_a_clip_that_is_cut_off_is_refused_or_opened_and_leaves_nothing(service, sessions, upload, long_clip):
    session, cut = sessions.get("a"), upload("cut.mp4")
    cut.write_bytes(long_clip.read_bytes()[:40_000])
    with pytest.raises(InputError, match=r"cut\.mp4"):
        service.open_clip(session, cut)
    assert session.info is None
    assert list(session.folder.iterdir()) == []


def test_forms_say_what_a_project_says(sessions, upload, service):
    session = sessions.get("a")
    with pytest.raises(UsageError, match="no clip"):
        FORM.request(session)
    service.open_clip(session, upload())
    said = {mode: replace(FORM, mode=mode).request(session) for mode in (EMOTION, BLEND, OVER_TIME)}
    assert (said[EMOTION].emotion, said[EMOTION].regions) == ("happy", ("brows", "mouth"))
    assert replace(FORM, regions=list(REGIONS)).request(session).regions == ()
    assert parse_blend(said[BLEND].emotion) == {"happy": 0.6, "surprised": 0.4}
    assert said[OVER_TIME].segments == "0-1:sad"
    assert (said[EMOTION].renderer, said[EMOTION].profile) == ("warp", "web")
    refused = [
        (replace(FORM, mode=REFERENCE), "no reference"), (replace(FORM, regions=[]), "no part"),
        (replace(FORM, renderer="/etc/passwd"), "no such renderer"),
        (replace(FORM, profile="tape"), "profile is 'tape'"),
        (replace(FORM, profile="sequence"), "the app writes no numbered pictures"),
    ]  # fmt: skip
    for wrong, why in refused:
        with pytest.raises(UsageError, match=why):
            wrong.request(session)


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


def test_without_the_extra_one_line_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr("cdrl.extras.find_spec", lambda name: None)
    assert main(["app", "--no-browser"]) == 2
    assert capsys.readouterr().err == (
        "cdrl: error: cdrl app needs gradio, which is not installed: pip install 'cdrl[app]'\n"
    )
