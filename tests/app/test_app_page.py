"""The app in a real browser: each step of a user's way, and what happens when they stray."""

import json
import os
import time
from pathlib import Path

import av
import pytest

from cdrl.project import read_project

PATIENCE = 30_000  # milliseconds
SEEN = "seconds => document.querySelector('#camera video')?.currentTime > seconds"  # by the camera


@pytest.fixture
def visit(browser, address):
    """Opens the page as a new user, perhaps with a clip; every request must stay on this machine."""
    contexts, strayed = [], []

    def opened(clip=None, **how):
        context = browser.new_context(**how)
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        local = (address, "data:", "blob:")
        page.on("request", lambda request: request.url.startswith(local) or strayed.append(request.url))
        page.goto(address)
        page.wait_for_selector("#clip input[type=file]", state="attached")
        if clip is not None:
            upload(page, clip)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert strayed == []


def upload(page, clip):
    page.set_input_files("#clip input[type=file]", clip)
    page.wait_for_selector("#timeline .cdrl-strip, #notice [role=alert]")
    assert page.locator("#notice [role=alert]").all_inner_texts() == []
    page.wait_for_selector("#preview img")


def clips_in(folder):
    """Unlike `rglob`, `walk` takes folders that go meanwhile."""
    walk = ((place, name) for place, _, names in os.walk(folder) for name in names)
    return {Path(place, name) for place, name in walk if name.endswith((".flv", ".mp4"))}


def picture(page):
    return page.get_attribute("#preview .cdrl-edited img", "src")


def changed(page, before):
    page.wait_for_function("old => document.querySelector('#preview .cdrl-edited img').src != old", arg=before)


def edited(page):
    page.check("#consent input")
    page.click("#edit")
    page.wait_for_selector("#result video")


def download(page, which):
    with page.expect_download() as waiting:
        page.click(f"#get-{which}")
    return waiting.value.path(), waiting.value.suggested_filename


def test_from_upload_to_download(visit, sample, tmp_path):
    page = visit(sample, accept_downloads=True)
    before = picture(page)
    page.get_by_label("Angry", exact=True).check()
    changed(page, before)
    page.click("#edit")
    assert "consent" in page.inner_text("#status [role=alert]")
    edited(page)
    assert "61 of 61 frames" in page.inner_text("#status")
    for plot in ("opening", "amount"):
        page.wait_for_selector(f"#plot-{plot} canvas, #plot-{plot} svg.marks")

    page.click(".cdrl-play")
    page.wait_for_function("document.querySelectorAll('.cdrl-player video')[1].currentTime > 0.5")
    times = page.evaluate("[...document.querySelectorAll('.cdrl-player video')].map(video => video.currentTime)")
    assert abs(times[0] - times[1]) < 0.15
    assert page.evaluate("document.querySelectorAll('.cdrl-player video')[0].videoWidth") == 480  # though it is VP6

    video, name = download(page, "video")
    assert name == "1001_DFA_NEU_XX_angry.mp4"
    with av.open(str(video)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 61
    report = json.loads(download(page, "report")[0].read_text())
    assert (report["source"], report["output"]) == (sample.name, name)
    assert report["lip_opening_r"] > 0.8
    project = tmp_path / "edit.json"
    project.write_bytes(download(page, "project")[0].read_bytes())
    (tmp_path / sample.name).write_bytes(sample.read_bytes())
    again = read_project(project, within=tmp_path)
    assert (again.source.name, again.emotion) == (sample.name, "angry")


def test_a_result_for_editing_by_the_network(visit, sample):
    page = visit(sample, accept_downloads=True)
    before = picture(page)
    page.get_by_label("Neural", exact=True).check()
    changed(page, before)
    page.click("#profile input")
    page.get_by_role("option", name="Editing: ProRes in MOV").click()
    edited(page)
    page.wait_for_function("document.querySelectorAll('.cdrl-player video')[1].videoWidth == 480")  # a copy of it
    video, name = download(page, "video")
    assert name == "1001_DFA_NEU_XX_happy.mov"
    with av.open(str(video)) as container:
        assert container.streams.video[0].codec_context.name == "prores"
    project = json.loads(download(page, "project")[0].read_text())
    assert (project["renderer"], project["profile"]) == ("neural", "prores")


def test_cancel_leaves_no_file(visit, long_clip, uploads):
    page = visit(long_clip)
    made = {path for path in uploads.rglob("*") if path.is_file()}
    page.check("#consent input")
    page.click("#edit")
    page.wait_for_selector("#status progress[value]")
    page.click("#cancel")
    page.wait_for_selector("#status [role=alert]")
    assert "anceled" in page.inner_text("#status")
    assert {path for path in uploads.rglob("*") if path.is_file()} <= made
    assert page.is_enabled("#edit")
    assert page.locator("#result video").count() == 0


def test_a_bad_file_is_one_sentence_and_the_next_one_works(visit, sample, tmp_path):
    page = visit()
    bad = tmp_path / "talk.mp4"
    bad.write_text("not a video\n" * 100)
    page.set_input_files("#clip input[type=file]", bad)
    said = page.inner_text("#notice [role=alert]")
    assert said.startswith("Talk.mp4: not a video that can be read")
    assert "/" not in said
    assert page.locator("#service #edit").count() == 0 or not page.is_visible("#edit")
    page.locator("#clip button[aria-label]").first.click()  # takes the bad file away
    page.wait_for_selector("#clip input[type=file]", state="attached")
    page.wait_for_selector("#notice [role=alert]", state="detached")
    upload(page, sample)


def test_two_users_do_not_mix(visit, sample, long_clip):
    first, second = visit(sample), visit()
    before = picture(first)
    upload(second, long_clip)
    second.get_by_label("Sad", exact=True).check()
    second.check("#consent input")
    second.click("#edit")
    edited(first)
    assert picture(first) == before
    second.wait_for_selector("#result video")
    frames = [page.inner_text("#status").split(" frames")[0] for page in (first, second)]
    assert frames == ["61 of 61", "122 of 122"]
    sources = [page.get_attribute("#result .cdrl-edited video", "src") for page in (first, second)]
    assert sources[0].endswith("_happy.mp4")
    assert sources[1].endswith("_sad.mp4")


def test_keys_alone_in_a_narrow_window(visit, sample):
    page = visit(sample, viewport={"width": 390, "height": 844}, color_scheme="dark")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    before = picture(page)
    page.get_by_label("Happy", exact=True).focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    changed(page, before)
    page.locator("#consent input").focus()
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "edit"
    page.keyboard.press("Enter")
    page.wait_for_selector("#result video")
    page.locator(".cdrl-play").focus()
    page.keyboard.press("Enter")
    page.wait_for_function("!document.querySelectorAll('.cdrl-player video')[0].paused")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_segments_are_seen_on_the_timeline(visit, sample):
    page = visit(sample)
    page.get_by_label("Over time", exact=True).check()
    page.wait_for_selector("#timeline .cdrl-bands span")
    assert page.locator("#timeline .cdrl-bands span").all_inner_texts() == ["happy", "surprised"]
    page.locator("#segments [role=gridcell]", has_text="happy").dblclick()
    cell = page.get_by_label("Edit cell")
    cell.fill("sad")
    cell.press("Enter")
    page.locator("#timeline .cdrl-bands span", has_text="sad").wait_for()


def test_a_recording_reaches_the_studio(visit):
    page = visit(permissions=["camera", "microphone"])
    page.get_by_role("tab", name="Record").click()
    page.click("#camera button")  # asks for the camera
    page.wait_for_function(SEEN, arg=0)
    page.locator("#camera button", has_text="Record").first.click()
    page.wait_for_function(SEEN, arg=1 + page.evaluate("document.querySelector('#camera video').currentTime"))
    page.locator("#camera button", has_text="Stop").first.click()
    assert "no face is seen" in page.inner_text("#notice [role=alert]")  # the browser's own test picture


def test_closing_the_page_removes_its_files(visit, sample, uploads):
    page, before = visit(), clips_in(uploads)  # of other users, who may still be there
    upload(page, sample)
    own = clips_in(uploads) - before
    assert sample.name in {path.name for path in own}
    page.close()
    end = time.monotonic() + 60
    while (left := clips_in(uploads) & own) and time.monotonic() < end:
        time.sleep(0.1)
    assert left == set()
