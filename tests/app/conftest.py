"""One server for all tests of the app, a browser, and clips to upload."""

import os
import shutil
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

import cdrl
from cdrl.app.service import EditService
from cdrl.app.sessions import Sessions
from cdrl.media import Limits

LIMITS = Limits(max_bytes=3_000_000, max_seconds=20, max_pixels=1280 * 720)
CAMERA = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="session")
def service():
    return EditService(cdrl.load(), LIMITS)


@pytest.fixture(scope="session")
def address(service):
    """The running app."""
    pytest.importorskip("gradio", reason="the extra app is not installed")
    from cdrl.app.serving import serve

    with serve(service, "127.0.0.1", 0) as where:
        yield where


@pytest.fixture
def uploads(address):
    """The folder of everything that was uploaded and made."""
    return Path(os.environ["GRADIO_TEMP_DIR"])


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"no browser is found (one of {', '.join(BROWSERS)})")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=program, args=["--no-sandbox", *CAMERA])
        yield started
        started.close()


@pytest.fixture
def sessions():
    made = Sessions()
    yield made
    made.close_all()
    assert not made.root.exists()


@pytest.fixture
def session(sessions, service, upload):
    """That of a page with the sample opened."""
    opened = sessions.get("a")
    service.open_clip(opened, upload())
    return opened


@pytest.fixture
def upload(sample, tmp_path):
    """A file as the server keeps an upload: in a folder of its own."""

    def made(name="talk.flv", content=sample):
        path = tmp_path / f"{time.monotonic_ns()}" / name
        path.parent.mkdir()
        path.write_bytes(content.read_bytes())
        return path

    return made


def write_clip(path, pictures, rate):
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=rate, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = pictures[0].width, pictures[0].height, "yuv420p"
        for number, picture in enumerate(pictures):
            picture.pts, picture.time_base = number, Fraction(1, rate)
            out.mux(stream.encode(picture))
        out.mux(stream.encode(None))
    return path


@pytest.fixture(scope="session")
def pictures(sample):
    """Those of the sample."""
    with av.open(str(sample)) as source:
        return [frame.reformat(format="yuv420p") for frame in source.decode(video=0)]


@pytest.fixture(scope="session")
def long_clip(pictures, tmp_path_factory):
    """The sample twice over: an edit that takes long enough to be canceled."""
    return write_clip(tmp_path_factory.mktemp("clips") / "long.mp4", 2 * pictures, 30)


@pytest.fixture(scope="session")
def shots(pictures, tmp_path_factory):
    """A clip of 7 s with a cut after 5 s, to the mirrored picture."""
    mirrored = [
        av.VideoFrame.from_ndarray(np.ascontiguousarray(picture.to_ndarray(format="rgb24")[:, ::-1]), "rgb24")
        for picture in pictures[:20]
    ]
    shots = pictures[:50] + [picture.reformat(format="yuv420p") for picture in mirrored]
    return write_clip(tmp_path_factory.mktemp("clips") / "shots.mp4", shots, 10)


@pytest.fixture(scope="session")
def late(pictures, tmp_path_factory):
    """A clip of 7 s whose face comes after 5 s."""
    gray = np.full((pictures[0].height * 3 // 2, pictures[0].width), 128, np.uint8)
    empty = av.VideoFrame.from_ndarray(gray, "yuv420p")
    return write_clip(tmp_path_factory.mktemp("clips") / "late.mp4", [empty] * 50 + pictures[:20], 10)
