"""Results of `--profile web` in a real browser: they load, play, have their size and length, and their colors."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from cdrl.media import EncoderOptions, Writer, probe, read
from cdrl.media.side_data import HLG, PQ

PLACE = "http://clips.test/"
PAGE = "<video muted playsinline></video>"
TYPES = {".mp4": "video/mp4", ".webm": "video/webm", ".mkv": "video/x-matroska", ".mov": "video/quicktime"}
LOAD = """async name => {
  const video = document.querySelector('video');
  video.src = name;
  await new Promise((done, failed) => {
    video.oncanplaythrough = done;
    video.onerror = () => failed(video.error.message);
  });
  return {ready: video.readyState, width: video.videoWidth, height: video.videoHeight, duration: video.duration};
}"""
PLAY = """async () => {
  const video = document.querySelector('video');
  await video.play();
  await new Promise(done => { video.ontimeupdate = () => video.currentTime > 0.3 && done(); });
  video.pause();
  return video.currentTime;
}"""
MEANS = """async time => {
  const video = document.querySelector('video');
  video.currentTime = time;
  await new Promise(done => { video.onseeked = done; });
  const canvas = document.createElement('canvas'), draw = canvas.getContext('2d');
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  draw.drawImage(video, 0, 0);
  const data = draw.getImageData(0, 0, canvas.width, canvas.height).data, sums = [0, 0, 0, 0];
  data.forEach((value, index) => { sums[index % 4] += value; });
  return sums.map(sum => sum / (canvas.width * canvas.height));
}"""


@pytest.fixture
def player(browser, tmp_path):
    """A page that finds the files of the test's folder beside it; nothing leaves the machine."""

    def answer(route):
        name = route.request.url.removeprefix(PLACE)
        if name:
            path = tmp_path / name
            route.fulfill(body=path.read_bytes(), content_type=TYPES[path.suffix])
        else:
            route.fulfill(body=PAGE, content_type="text/html")

    page = browser.new_page()
    page.route("**/*", answer)
    page.goto(PLACE)
    yield page
    page.close()


def write(source, target, options=EncoderOptions("web")):  # noqa: B008 - frozen
    with read(source) as frames, Writer(target, frames.info, options) as writer:
        for frame in frames:
            writer.write(frame)
    return probe(target)


def remade(sample, tmp_path, layout, transfer=2):
    """The sample in another layout; where it can be transparent, its left half is; where `transfer` says so, HDR."""
    path = tmp_path / "remade.mkv"
    with av.open(str(sample)) as source, av.open(str(path), "w") as output:
        stream = output.add_stream("ffv1", rate=30)
        stream.width, stream.height, stream.pix_fmt = 480, 360, layout
        if transfer in (PQ, HLG):
            context = stream.codec_context
            context.colorspace, context.color_primaries, context.color_trc = 9, 9, transfer
        for index, picture in enumerate(source.decode(video=0)):
            made = picture.reformat(format=layout)
            if layout == "yuva420p":
                alpha = np.frombuffer(made.planes[3], np.uint8).reshape(360, -1)
                alpha[:] = 255
                alpha[:, :240] = 0
            made.pts, made.time_base = index, Fraction(1, 30)
            output.mux(stream.encode(made))
        output.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "layout", "codec"),
    [
        ("h264.mp4", "", "h264"),
        ("h264.mkv", "", "h264"),
        ("h264.mov", "", "h264"),
        ("vp9.webm", "", "vp9"),
        ("av1.mp4", "yuv420p10le", "libdav1d"),
        ("av1.mkv", "yuv422p10le", "libdav1d"),
        ("av1.webm", "yuv420p10le", "libdav1d"),
    ],
)
def test_what_is_made_for_the_web_plays(player, sample, tmp_path, name, layout, codec):
    info = write(remade(sample, tmp_path, layout) if layout else sample, tmp_path / name)
    assert info.codec == codec
    check_playing(player, name, info)
    frame = next(read(tmp_path / name, start=Fraction(1, 2)))
    means = player.evaluate(MEANS, float(frame.time) + 0.005)
    np.testing.assert_allclose(means[:3], frame.rgb().reshape(-1, 3).mean(0), atol=2)
    assert means[3] == 255


def check_playing(player, name, info):
    loaded = player.evaluate(LOAD, name)
    assert (loaded["ready"], loaded["width"], loaded["height"]) == (4, 480, 360)
    assert loaded["duration"] == pytest.approx(float(info.duration), abs=0.05)
    assert player.evaluate(PLAY) > 0.3


@pytest.mark.parametrize("transfer", [PQ, HLG])
@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_hdr_made_for_the_web_plays(player, sample, tmp_path, suffix, transfer):
    info = write(remade(sample, tmp_path, "yuv420p10le", transfer), tmp_path / f"hdr{suffix}")
    assert (info.codec, info.format.depth, info.color.transfer) == ("libdav1d", 10, transfer)
    check_playing(player, f"hdr{suffix}", info)


def test_transparency_is_seen_through(player, sample, tmp_path):
    info = write(remade(sample, tmp_path, "yuva420p"), tmp_path / "half.webm")
    assert info.alpha
    assert player.evaluate(LOAD, "half.webm")["ready"] == 4
    assert player.evaluate(MEANS, 0.5)[3] == pytest.approx(127.5, abs=2)


def test_10_bits_in_mov_are_hevc_which_this_browser_may_not_know(player, sample, tmp_path):
    """MOV is for Apple's programs; the page of `cdrl app` plays a copy."""
    info = write(remade(sample, tmp_path, "yuv420p10le"), tmp_path / "hevc.mov")
    assert info.codec == "hevc"
    can_play = player.evaluate(
        """() => document.createElement('video').canPlayType('video/mp4; codecs="hvc1.2.4.L93.B0"')"""
    )
    if can_play:
        assert player.evaluate(LOAD, "hevc.mov")["width"] == 480
