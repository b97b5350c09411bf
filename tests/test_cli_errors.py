"""`cdrl edit` and `live` on what they must refuse, with the real editor: one line, its exit code, nothing left."""

import resource
import signal
import subprocess
import sys
import time

import av
import numpy as np
import pytest

from cdrl.cli.main import main
from cdrl.media import read


def encode(path, codec, frames, **how):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, **how)
        for frame in (*frames, None):
            container.mux(stream.encode(frame))


def faceless(path, frames=12):
    """A video of colored noise."""
    pictures = np.random.default_rng(0).integers(0, 255, (frames, 120, 160, 3), dtype=np.uint8)
    how = {"rate": 25, "width": 160, "height": 120, "pix_fmt": "yuv420p"}
    encode(path, "libx264", map(av.VideoFrame.from_ndarray, pictures), **how)


def sound_only(path):
    frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
    frame.sample_rate = 16000
    encode(path, "aac", [frame], rate=16000)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory, sample):
    """What users mistake for a video."""
    folder = tmp_path_factory.mktemp("refused")
    content = sample.read_bytes()
    (folder / "talk.mp4").write_bytes(content)
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("this is not a video\n" * 100)
    (folder / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\ntalk.mp4\n")
    (folder / "head_only.mp4").write_bytes(content[:400])
    (folder / "folder.mp4").mkdir()
    (folder / "taken.mp4").write_bytes(b"mine")
    (folder / "taken.png").write_bytes(b"mine")
    faceless(folder / "noise.mp4")
    sound_only(folder / "sound.m4a")
    return folder


@pytest.fixture(autouse=True)
def nothing_left(shelf, monkeypatch):
    """After each test the folder is as it was."""
    before = {path.name: path.read_bytes() for path in shelf.iterdir() if path.is_file()}
    monkeypatch.chdir(shelf)
    yield
    assert {path.name: path.read_bytes() for path in shelf.iterdir() if path.is_file()} == before


REFUSED = [
    ("nowhere.mp4 --emotion happy -o out.mp4", 3, "no such file"),
    ("folder.mp4 --emotion happy -o out.mp4", 3, "folder"),
    ("https://example.org/talk.mp4 --emotion happy -o out.mp4", 3, "https://example.org/talk.mp4 is an address"),
    ("talk.mp4 --reference https://example.org/talk.mp4 -o out.mp4", 3, "https://example.org/talk.mp4 is an address"),
    ("concat:talk.mp4|talk.mp4 --emotion happy -o out.mp4", 3, "concat"),
    ("empty.mp4 --emotion happy -o out.mp4", 3, "empty"),
    ("text.mp4 --emotion happy -o out.mp4", 3, "text.mp4"),
    ("list.m3u8 --emotion happy -o out.mp4", 3, "list.m3u8"),
    ("head_only.mp4 --emotion happy -o out.mp4", 3, "head_only.mp4"),
    ("sound.m4a --emotion happy -o out.mp4", 3, "sound.m4a"),
    ("noise.mp4 --emotion happy -o out.mp4", 4, "face"),
    ("talk.mp4 --emotion happy --face 3 -o out.mp4", 4, "face"),
    ("talk.mp4 --emotion happy --face middle -o out.mp4", 2, "face"),
    ("talk.mp4 --reference nowhere.jpg -o out.mp4", 3, "nowhere.jpg"),
    ("talk.mp4 --emotion happy --enroll photo.jpg -o out.mp4", 2, "EMOTION=FILE"),
    ("talk.mp4 --emotion happy --enroll cheese=photo.jpg -o out.mp4", 2, "cheese"),
    ("talk.mp4 --emotion happy --enroll happy=nowhere.jpg -o out.mp4", 3, "nowhere.jpg"),
    ("talk.mp4 --emotion happy --enroll happy=noise.mp4 -o out.mp4", 4, "noise.mp4"),
    ("talk.mp4 --emotion happy --model nowhere.onnx -o out.mp4", 7, "nowhere.onnx"),
    ("talk.mp4 --emotion happy --model text.mp4 -o out.mp4", 7, "not a translator"),
    ("talk.mp4 --reference text.mp4 -o out.mp4", 3, "text.mp4"),
    ("talk.mp4 --reference noise.mp4 -o out.mp4", 4, "noise.mp4"),
    ("talk.mp4 --emotion happy -o taken.mp4", 5, "taken.mp4"),
    ("talk.mp4 --emotion happy -o folder.mp4", 5, "folder"),
    ("talk.mp4 --emotion happy -o nowhere/out.mp4", 5, "nowhere"),
    ("talk.mp4 --emotion happy -o talk.mp4 --overwrite", 5, "talk.mp4"),
    ("talk.mp4 --emotion happy -o ./folder.mp4/../talk.mp4 --overwrite", 5, "talk.mp4"),
    ("talk.mp4 --emotion happy -o out.txt", 2, ".txt"),
    ("talk.mp4 --emotion happy -o out", 2, "out"),
    ("talk.mp4 --emotion happy -o out.mp4 --preview taken.png", 5, "taken.png"),
    ("talk.mp4 --emotion happy -o out.mp4 --preview sheet.xyz", 2, "xyz"),
    ("talk.mp4 --emotion happy -o out.mp4 --max-seconds 1", 6, "max_seconds"),
    ("talk.mp4 --emotion happy -o out.mp4 --max-pixels 1000", 6, "max_pixels"),
    ("talk.mp4 --emotion happy -o out.mp4 --max-bytes 1000", 6, "max_bytes"),
    ("talk.mp4 --emotion happy -o out.mp4 --prior nowhere.npz", 7, "nowhere.npz"),
    ("talk.mp4 --emotion happy -o out.mp4 --prior taken.mp4", 7, "taken.mp4"),
    # A rehearsal refuses what the edit would.
    ("nowhere.mp4 -e happy --dry-run", 3, "no such file"),
    ("https://example.org/talk.mp4 -e happy --dry-run", 3, "https://example.org/talk.mp4 is an address"),
    ("talk.mp4 --reference nowhere.jpg --dry-run", 3, "nowhere.jpg"),
    ("talk.mp4 -e happy --enroll angry=nowhere.jpg --dry-run", 3, "nowhere.jpg"),
    ("talk.mp4 -e happy -o taken.mp4 --dry-run", 5, "--overwrite"),
    ("talk.mp4 -e happy -o out.webm --codec h264 --dry-run", 2, "vp9 or av1"),
    ("talk.mp4 --segments 00:00:01:30-:happy --dry-run", 2, "no such frame"),
    ("talk.mp4 --segments 0:50-1:00:happy --dry-run", 2, "2.0"),
    ("talk.mp4 -e happy --max-seconds 1 --dry-run", 6, "max_seconds"),
]
LIVE_REFUSED = [
    ("--camera 987", 3, "there is no camera /dev/video987"),
    ("--camera /etc/passwd", 2, "--camera"),
    ("--camera 0 --input talk.mp4", 2, "choose one"),
    ("--input nowhere.mp4 --output none", 3, "nowhere.mp4"),
    ("--input https://example.org/talk.mp4 --output none", 3, "address"),
    ("--emotion hapy", 2, "hapy"),
    ("--emotion happy --intensity 2", 2, "intensity"),
    ("--size big", 2, "WIDTHxHEIGHT"),
    ("--rate 0", 2, "--rate"),
]


def one_line(err):
    assert err.startswith("cdrl: error: ")
    assert err.count("\n") == 1, err


@pytest.mark.parametrize(
    ("command", "line", "code", "said"),
    [*(("edit", *row) for row in REFUSED), *(("live", *row) for row in LIVE_REFUSED)],
)
def test_refused(command, line, code, said, capsys):
    assert main([command, *line.split()]) == code
    out, err = capsys.readouterr()
    assert out == ""
    one_line(err)
    assert said in err


EDIT = [sys.executable, "-B", "-m", "cdrl", "edit", "talk.mp4", "--emotion", "happy", "-o", "out.mp4"]


def test_disk_full(shelf):
    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))

    done = subprocess.run(EDIT, preexec_fn=small_files, capture_output=True, text=True, cwd=shelf, check=False)
    assert done.returncode == 5, done.stderr
    one_line(done.stderr)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("wait", [0.8, 1.2])
def test_interrupted(shelf, number, wait):
    with subprocess.Popen(EDIT, stderr=subprocess.PIPE, text=True, cwd=shelf) as process:
        time.sleep(wait)
        process.send_signal(number)
        _, err = process.communicate(timeout=20)
    if (shelf / "out.mp4").exists():  # a fast machine was through, or as good as, before we said stop
        assert sum(1 for _ in read(shelf / "out.mp4")) == sum(1 for _ in read(shelf / "talk.mp4"))
        for path in shelf.glob("out.mp4*"):  # its sidecar, too
            path.unlink()
        return
    assert process.returncode == 130, err
    one_line(err)


def test_only_our_line_is_said_where_the_networks_runtime_and_codecs_would_speak(shelf):
    words = [sys.executable, "-m", "cdrl", "edit", "noise.mp4", "--emotion", "happy", "-o", "out.mp4"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=shelf, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (4, 1), done.stderr
