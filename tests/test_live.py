"""Live editing: frames are dropped before they are delayed, the edit fades in, and it does what it is told."""

import io
import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from fractions import Fraction
from itertools import count

import av
import numpy as np
import pytest

import cdrl
from cdrl.cli.main import main
from cdrl.errors import InputError, UsageError
from cdrl.live import sources
from cdrl.live.clocks import Signal
from cdrl.live.editing import FADE_IN, REFINE_AT, EmotionControl, LiveEditor
from cdrl.live.session import LatestValueQueue, LiveMeasures, run_live
from cdrl.live.sinks import FrameSink, Window, Y4mPipe, to_yuv420
from cdrl.live.sources import TimedFrame, file_as_camera
from cdrl.manipulation.person import OBSERVATION_INTERVAL
from cdrl.media import ColorTags, Frame, Limits, PixelFormat, read
from cdrl.media.side_data import HLG
from cdrl.pipeline.report import INACTIVE, NO_FACE
from cdrl.pipeline.stages import EditedFrame
from cdrl.plan import EditPlan


def blank(index=0, form=PixelFormat(), size=(32, 24)):  # noqa: B008 - frozen
    shapes = [size[::-1]] + ([] if form.gray else [form.chroma_shape(size[1], size[0])] * 2)
    planes = tuple(np.full(shape, 100 + index % 50, form.dtype) for shape in shapes)
    return Frame(planes, form, index, index=index, time=Fraction(index, 25))


def captured(frames, every=0.0, ago=0.0):
    """Frames that come one after the other, each after a pause."""
    for index in range(frames):
        time.sleep(every)
        yield TimedFrame(blank(index), time.monotonic() - ago)


class Shown(FrameSink):
    """Remembers the numbers of what it was shown."""

    def __init__(self):
        self.numbers = []

    def show(self, frame):
        self.numbers.append(frame.index)


def untouched(frame):
    return EditedFrame(frame, frame, None, NO_FACE)


def slow(frame):
    time.sleep(0.05)
    return untouched(frame)


def test_frames_are_dropped_before_they_are_delayed():
    screen = Shown()
    measures = run_live(captured(60, every=0.01), slow, screen)
    assert measures.received == 60 == measures.shown + measures.dropped
    assert measures.dropped > 30
    assert screen.numbers == sorted(set(screen.numbers))
    assert screen.numbers[-1] == 59, "the last frame has no newer one to make way for"
    # One edit that it waited for, its own, and what a busy machine adds: not the three seconds that all edits take.
    assert np.median(measures.latencies) < 0.15


def test_a_fast_editor_drops_nothing():
    screen = Shown()
    measures = run_live(captured(20, every=0.02), untouched, screen)
    assert measures.shown >= 18
    assert measures.shown == len(screen.numbers) == len(measures.latencies)


def test_latency_counts_from_when_the_frame_was_there_to_when_it_is_shown():
    class Slow(FrameSink):
        def show(self, frame):
            time.sleep(0.03)

    measures = run_live(captured(5, every=0.05, ago=0.5), untouched, Slow())
    assert all(0.53 <= late < 1 for late in measures.latencies)


def test_measures_as_json():
    made = LiveMeasures(received=5, dropped=1, shown=4, edited=3, seconds=2.0)
    made.skipped[NO_FACE] += 1
    made.latencies.extend([0.01, 0.02, 0.03, 0.04])
    said = json.loads(json.dumps(made.to_json()))
    assert said["frames"] == {"in": 5, "out": 4, "dropped": 1, "edited": 3, "skipped": {NO_FACE: 1}}
    assert said["latency_ms"] == {"median": 25.0, "p95": 38.5, "max": 40.0}
    assert said["frames_per_second"] == 2
    assert json.loads(json.dumps(LiveMeasures().to_json()))["latency_ms"] is None


def test_what_the_camera_raises_comes_out_after_its_last_frame():
    def broken():
        yield from captured(3, every=0.02)
        raise InputError("the cable is out")

    screen = Shown()
    with pytest.raises(InputError, match="cable"):
        run_live(broken(), untouched, screen)
    assert screen.numbers[-1] == 2


@pytest.mark.parametrize("kind", [BrokenPipeError, KeyboardInterrupt])
def test_a_closed_player_and_control_c_end_it_in_peace(kind):
    class Closed(FrameSink):
        def show(self, frame):
            raise kind

    assert run_live(captured(100, every=0.01), untouched, Closed()).shown == 0


def test_it_stops_when_it_is_told_to_even_while_nothing_comes():
    asked = count()
    measures = run_live(captured(1, every=3), untouched, FrameSink(), lambda: next(asked) > 2)
    assert measures.shown == 0
    assert measures.seconds < 5


def test_a_mailbox_nobody_looks_into_says_so():
    box = LatestValueQueue()
    assert box.put(1)
    box.close()
    assert not box.put(2)
    assert (box.received, box.dropped) == (1, 1)


def weights_of(asked, *times):
    return [asked.weights(Fraction(time)) for time in times]


def test_one_emotion_passes_into_the_next():
    asked = EmotionControl({"happy": 1.0})
    assert weights_of(asked, 0) == [{"happy": 1.0}]
    asked.command("sad")
    begin, middle, end = weights_of(asked, 1, "1.2", "1.4")
    assert begin == {"happy": 1.0}
    assert middle == pytest.approx({"happy": 0.5, "sad": 0.5})
    assert end == {"sad": 1.0}
    asked.command("intensity 0.5")
    assert weights_of(asked, 2, 3)[1] == {"sad": 0.5}
    asked.command("off")
    assert weights_of(asked, 4, 5)[1] == {}
    asked.command("happy:0.6+surprised:0.4")
    assert weights_of(asked, 6, 7)[1] == pytest.approx({"happy": 0.3, "surprised": 0.2})


@pytest.mark.parametrize("line", ["hapy", "intensity", "intensity 9", "intensity nan", "reference", "happy 1 2"])
def test_what_makes_no_sense_changes_nothing(line):
    asked = EmotionControl({"happy": 1.0})
    with pytest.raises(UsageError):
        asked.command(line)
    assert weights_of(asked, 0, 9) == [{"happy": 1.0}] * 2


def test_the_intensity_steps_within_its_bounds():
    asked = EmotionControl({"happy": 0.8, "sad": 0.4})
    for _ in range(30):
        asked.command("+")
    assert sum(weights_of(asked, 0, 9)[1].values()) == pytest.approx(1.5)
    for _ in range(30):
        asked.command("-")
    assert weights_of(asked, 10, 19)[1] == {}


@pytest.fixture(scope="module")
def editor():
    return cdrl.load()


def live_editor(editor, amounts):
    manipulator = editor.manipulator(EditPlan.parse("happy"), {}, Limits())
    return LiveEditor(editor.prior, manipulator, EmotionControl(amounts))


@pytest.fixture(scope="module")
def run(editor, sample):
    """Six seconds of the sample, there and back, edited without the wait: source and edited frames."""
    frames = list(read(sample))
    frames = (frames + frames[-2:0:-1]) * 2
    live = live_editor(editor, {"happy": 1.0})
    return [live.step(replace(frame, time=Fraction(index, 30))) for index, frame in enumerate(frames[:180])]


def change(edited):
    """How much an edit changes of the upper half of a frame: below, the edit comes and goes with the words."""
    upper = edited.source.height // 2
    return float(np.abs(edited.frame.planes[0][:upper].astype(int) - edited.source.planes[0][:upper]).mean())


def test_nothing_is_changed_before_the_person_is_known_and_then_it_fades_in(run):
    known = float((REFINE_AT[0] - 1) * OBSERVATION_INTERVAL)
    first = next(index for index, edited in enumerate(run) if edited.skipped is None) / 30
    assert known <= first <= known + 0.5
    sizes = [change(edited) for edited in run]
    full = np.mean(sizes[120:])
    fading = sizes[int(30 * first) : int(30 * (first + FADE_IN))]
    assert fading[0] < 0.1 * full
    assert np.abs(np.diff(sizes)).max() < 0.3 * full, "no jump, also where the person is described anew"
    assert all(edited.skipped is None for edited in run[60:])


def test_once_the_person_is_known_it_is_the_edit_of_a_clip(run, editor, sample, tmp_path):
    job = [edited.frame.planes[0].astype(int) for edited in editor.edit(sample, emotion="happy").frames()]
    live = [edited.frame.planes[0] for edited in run[120:181]]  # the sample from its first frame
    assert np.mean([np.abs(one - other).mean() for one, other in zip(job[5:], live[5:], strict=False)]) < 0.5


def test_a_file_as_a_camera_gives_edited_frames_at_its_own_pace(editor, sample):
    pipe = io.BytesIO()
    live = live_editor(editor, {"surprised": 1.0})
    begin = time.monotonic()
    measures = run_live(file_as_camera(sample, Limits()), live.step, Y4mPipe(pipe, Fraction(30)))
    assert time.monotonic() - begin > 1.9
    assert measures.received == 61 == measures.shown + measures.dropped
    assert measures.edited > 5
    pipe.seek(0)
    with av.open(pipe) as container:
        frames = list(container.decode(video=0))
    assert len(frames) == measures.shown
    assert (frames[0].width, frames[0].height, frames[0].format.name) == (480, 360, "yuv420p")


def test_who_comes_after_a_while_is_a_stranger(editor, sample):
    frames = list(read(sample))[:40]
    live = live_editor(editor, {"happy": 1.0})

    def last(begin):
        return [live.step(replace(frame, time=begin + Fraction(index, 30))) for index, frame in enumerate(frames)][-1]

    assert last(Fraction(0)).skipped is None
    gray = replace(frames[0].copy(), planes=tuple(np.full_like(plane, 128) for plane in frames[0].planes))
    shot = live.step(replace(frames[0], time=Fraction(2))).track.shot
    assert live.step(replace(gray, time=Fraction(3))).track is None
    again = [live.step(replace(frames[0], time=Fraction(6) + Fraction(index, 30))) for index in range(20)]
    assert again[-1].track is not None
    assert again[-1].track.shot >= shot
    assert again[-1].skipped == INACTIVE


def test_a_window_shows_and_listens(monkeypatch):
    pygame = pytest.importorskip("pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    window = Window()
    window.title("happy")
    window.show(blank())
    for key in (pygame.K_5, pygame.K_UP, pygame.K_0, pygame.K_q, pygame.K_x):
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=key))
    assert window.commands() == ["happy", "+", "off", "quit"]
    assert pygame.display.get_caption()[0] == "happy"
    window.close()


def test_a_window_has_square_pixels_and_the_colors_of_hdr(monkeypatch):
    pygame = pytest.importorskip("pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    window = Window()
    window.begin(Signal(sample_aspect=Fraction(4, 3), color=ColorTags(1, 9, 9, HLG)))
    window.show(gray_of_hdr())
    screen = pygame.display.get_surface()
    assert screen.get_size() == (43, 24)
    assert np.abs(np.array(screen.get_at((20, 12))[:3]) - SHOWN_GRAY).max() <= 2
    window.close()


GRAY_OF_HDR, SHOWN_GRAY = 456, 128
"""HLG's luma at 10 bits of the light that 128 has on a usual display of 203 cd/m²."""


def gray_of_hdr():
    form = PixelFormat("yuv420p10le", 10, 2, 2, False, "bt2020")
    luma = np.full((24, 32), GRAY_OF_HDR, np.uint16)
    return Frame((luma, *(np.full((12, 16), 512, np.uint16) for _ in range(2))), form)


def test_a_pipe_writes_hdr_in_usual_colors():
    stream = io.BytesIO()
    pipe = Y4mPipe(stream, Fraction(25))
    pipe.begin(Signal(color=ColorTags(1, 9, 9, HLG)))
    pipe.show(gray_of_hdr())
    assert b"XCOLORRANGE=LIMITED" in stream.getvalue().split(b"\n")[0]
    with av.open(io.BytesIO(stream.getvalue())) as container:
        rgb = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert np.abs(rgb.astype(int) - SHOWN_GRAY).max() <= 2


def test_a_joined_file_is_played_through_its_joint(tmp_path):
    write_clip(tmp_path / "part.ts", [Fraction(number, 25) for number in range(20)])
    joined = tmp_path / "joined.ts"
    joined.write_bytes((tmp_path / "part.ts").read_bytes() * 2)
    pipe = io.BytesIO()
    measures = run_live(file_as_camera(joined, Limits()), untouched, Y4mPipe(pipe, Fraction(30)))
    assert measures.shown == 40
    assert decoded(pipe.getvalue())[1:] == (25, [*range(20), *range(20)])


def test_without_pygame_a_window_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "pygame", None)
    with pytest.raises(UsageError, match=r"cdrl\[live\].*--output -"):
        Window()


@pytest.mark.parametrize(
    "form",
    [
        PixelFormat("yuv420p"),
        PixelFormat("yuv422p", 8, 2, 1),
        PixelFormat("yuv420p10le", 10, 2, 2),
        PixelFormat("gray", 8, 1, 1, True),
    ],
    ids=lambda form: form.name,
)
def test_any_frame_becomes_to_yuv420(form):
    frame = to_yuv420(blank(form=form, size=(33, 25)))
    assert [plane.shape for plane in frame.planes] == [(25, 33), (13, 17), (13, 17)]
    assert {plane.dtype for plane in frame.planes} == {np.dtype(np.uint8)}
    assert abs(int(frame.planes[0][0, 0]) - 100 / (4 if form.depth == 10 else 1)) <= 1


LIVE = [sys.executable, "-m", "cdrl", "live", "--input", "-", "--output"]


def live(*words, stream):
    """`cdrl live` with a stream on standard input; the first word is where the output goes."""
    return subprocess.run([*LIVE, *words], input=stream, capture_output=True, check=False)


def test_standard_input_to_standard_output():
    stream = io.BytesIO()
    pipe = Y4mPipe(stream, Fraction(25))
    for index in range(8):
        pipe.show(blank(index))
    done = live("-", "--emotion", "happy", "--measure", stream=stream.getvalue())
    assert done.returncode == 0, done.stderr
    frames = json.loads(done.stderr)["frames"]
    assert frames["in"] == 8 == frames["out"] + frames["dropped"]
    with av.open(io.BytesIO(done.stdout)) as container:
        assert sum(1 for _ in container.decode(video=0)) == frames["out"]


def write_clip(path, times, aspect=None, **options):
    """A video whose frame n is gray of its own, shown at `times[n]` seconds; the last one for as long as the first."""
    with av.open(str(path), "w") as output:
        rate = 1 / Fraction(times[1] - times[0])
        stream = output.add_stream("libx264", rate=rate, options={"crf": "0", "bf": "0", **options})
        stream.width, stream.height, stream.pix_fmt, stream.codec_context.time_base = 64, 48, "yuv420p", MILLISECOND
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        for number, moment in enumerate(times):
            frame = av.VideoFrame.from_ndarray(np.full((72, 64), 16 + 3 * number, np.uint8), "yuv420p")
            frame.pts, frame.time_base = round(moment * 1000), MILLISECOND
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


MILLISECOND = Fraction(1, 1000)


@pytest.fixture
def piped(tmp_path, capsysbinary):
    """Makes a clip as `write_clip` does, and decodes what `cdrl live` writes of it to a pipe."""

    def run(*given, **how):
        write_clip(tmp_path / "talk.mkv", *given, **how)
        assert main(["live", "--input", str(tmp_path / "talk.mkv"), "--output", "-"]) == 0
        out, err = capsysbinary.readouterr()
        assert err == b""
        return decoded(out)

    return run


def decoded(out):
    """Header, rate and the numbers of the frames."""
    header = out.split(b"\n", 1)[0].decode().split()
    with av.open(io.BytesIO(out)) as container:
        grays = [int(frame.to_ndarray()[0, 0]) for frame in container.decode(video=0)]
        return header, container.streams.video[0].guessed_rate, [round((gray - 16) / 3) for gray in grays]


@pytest.mark.parametrize("rate", [Fraction(15), Fraction(25), Fraction(30000, 1001), Fraction(60)])
def test_every_frame_of_a_file_comes_out_of_a_pipe_at_the_file_s_own_rate(rate, piped):
    assert piped([number / rate for number in range(20)])[1:] == (rate, list(range(20)))


def test_a_file_of_varying_rate_keeps_its_times_in_a_pipe(piped):
    times = [Fraction(number, 30) for number in range(10)]
    times += [1 + Fraction(number, 15) for number in range(10)]  # a pause, then half as fast
    _, rate, numbers = piped(times)
    assert rate == 30
    assert sorted(set(numbers)) == list(range(20)), "every frame, and none out of order"
    assert [numbers.index(number) / 30 for number in range(20)] == pytest.approx([float(t) for t in times], abs=0.02)
    assert len(numbers) / rate == pytest.approx(float(times[-1]) + 1 / 30, abs=0.05)


def test_frames_of_a_file_wait_for_a_slow_edit_where_they_go_to_a_pipe(tmp_path):
    write_clip(tmp_path / "talk.mkv", [Fraction(number, 60) for number in range(30)])
    pipe = io.BytesIO()
    measures = run_live(file_as_camera(tmp_path / "talk.mkv", Limits()), slow, Y4mPipe(pipe, Fraction(30)))
    assert (measures.received, measures.dropped, measures.shown) == (30, 0, 30)
    assert decoded(pipe.getvalue())[1:] == (60, list(range(30)))


def test_the_header_of_a_pipe_says_shape_of_pixels_and_order_of_fields(piped):
    times = [Fraction(number, 25) for number in range(5)]
    header, _, _ = piped(times, Fraction(16, 11), flags="+ildct")  # which weaves the bottom field first
    assert {"F25:1", "Ib", "A16:11", "C420mpeg2"} <= set(header)
    assert {"Ip", "A1:1"} <= set(piped(times)[0])


def test_a_stream_on_standard_input_keeps_its_own_rate():
    stream = io.BytesIO()
    pipe = Y4mPipe(stream, Fraction(15))
    for index in range(20):
        pipe.show(replace(blank(index), planes=tuple(plane * 0 + 16 + 3 * index for plane in blank().planes)))
    content = stream.getvalue().replace(b" A1:1 ", b" A4:3 ").replace(b" Ip ", b" Ib ")
    header, rate, numbers = decoded(live("-", stream=content).stdout)
    assert (rate, numbers) == (15, list(range(20)))
    assert {"A4:3", "Ib"} <= set(header)


def test_a_stream_without_a_rate_has_the_one_that_is_given():
    pictures = []
    for number in range(12):
        encoder = av.CodecContext.create("mjpeg", "w")
        encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 32, 24, "yuvj420p", Fraction(1, 25)
        frame = av.VideoFrame.from_ndarray(np.full((36, 32), 16 + 3 * number, np.uint8), "yuvj420p")
        pictures += [bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)]]
    header, rate, numbers = decoded(live("-", "--rate", "12", stream=b"".join(pictures)).stdout)
    assert (rate, len(numbers)) == (12, 12)
    assert {"C420jpeg", "XCOLORRANGE=FULL"} <= set(header)


@pytest.mark.parametrize(("system", "device"), [("darwin", "avfoundation"), ("win32", "dshow")])
def test_a_camera_of_another_system_without_its_driver_is_one_line(system, device, monkeypatch, capsys):
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(sources, "enumerate_input_devices", lambda form: [], raising=False)
    assert main(["live", "--output", "none", "--i-have-consent"]) == 3
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert device in err or "there is no camera 0" in err


def test_what_is_no_stream_on_standard_input_is_refused_in_one_line():
    done = live("none", stream=b"nothing to see " * 5000)
    assert done.returncode == 3
    assert done.stderr.startswith(b"cdrl: error: standard input")
    assert done.stderr.count(b"\n") == 1


def test_control_c_while_nothing_has_come_yet_is_no_error():
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen([*LIVE, "none", "--measure"], **pipes) as process:
        time.sleep(2)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, err) in {(0, b""), (130, err)}, err  # 130: a slow machine was still loading
    assert b"Traceback" not in err
    assert process.returncode or json.loads(out)["frames"]["in"] == 0
