"""The process around a command: closed streams, threads, packages that are not installed, how soon errors come."""

import os
import shlex
import statistics
import subprocess
import sys
import threading
import time

import pytest

from cdrl.cli.main import main


def shell(line, folder, **variables):
    """Run `line`, in which `cdrl` is this one."""
    text = line.replace("cdrl", f"{shlex.quote(sys.executable)} -m cdrl", 1)
    environment = {**os.environ, **variables}
    return subprocess.run(["sh", "-c", text], capture_output=True, text=True, cwd=folder, env=environment, check=False)


@pytest.mark.parametrize("closed", ["2>&-", ">&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_change_neither_the_exit_code_nor_the_result(tmp_path, sample, closed):
    assert shell(f"cdrl edit {sample} -e happy --segments 0-.1:happy {closed}", tmp_path).returncode == 2
    assert shell(f"cdrl edit {sample} --emotion happy --intensity 0 -o out.mp4 {closed}", tmp_path).returncode == 0
    done = shell("cdrl verify out.mp4", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_error_of_a_command_with_standard_error_closed_is_not_printed_as_its_output(tmp_path):
    done = shell("cdrl verify nowhere.mp4 2>&-", tmp_path)
    assert (done.returncode, done.stdout) == (3, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no full device here")  # noqa: PTH110
def test_output_that_cannot_be_written_is_an_error(tmp_path):
    done = shell("cdrl --help >/dev/full", tmp_path)
    assert done.returncode == 5
    assert done.stderr.startswith("cdrl: error: ")
    assert done.stderr.count("\n") == 1


def test_a_thread_may_call_the_command_line(capsys):
    codes = []
    thread = threading.Thread(target=lambda: codes.append(main(["doctor"])))
    thread.start()
    thread.join()
    assert codes == [0]
    assert main(["verify", "nowhere.mp4"]) == 3


def test_networks_are_made_without_touching_the_descriptors_of_the_process(monkeypatch):
    from cdrl.face.bundle import TFLiteModel

    touched = []
    monkeypatch.setattr(os, "dup2", lambda *numbers: touched.append(numbers))
    TFLiteModel("face_detector.tflite")
    assert touched == []


@pytest.mark.parametrize(
    ("line", "module", "source"),
    [
        ("cdrl train content --data .", "torch", "'cdrl[train]'"),
        ("cdrl convert net.pth", "torch", "'cdrl[train]'"),
        ("cdrl evaluate representation --data . --json out.json", "torch", "'cdrl[train]'"),
        ("cdrl app --no-browser", "gradio", "'cdrl[app]'"),
        ("cdrl live --input talk.flv --output window", "pygame", "'cdrl[live]'"),
        ("cdrl data synth out --voice-speech .", "moderngl", "./packages/cdrl-synthetic"),
        ("cdrl data synth out --voice-speech .", "pocketsphinx", "./packages/cdrl-synthetic"),
        ("cdrl data synth out --voice-speech .", "cdrl_synthetic", "./packages/cdrl-synthetic"),
    ],
)
def test_a_package_that_is_not_installed_is_named_with_what_installs_it(tmp_path, sample, line, module, source):
    (tmp_path / "net.pth").write_bytes(b"PK")
    (tmp_path / "talk.flv").symlink_to(sample)
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nsys.modules[{module!r}] = None\n")
    done = shell(line, tmp_path, PYTHONPATH=f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    assert f"pip install {source}" in done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.returncode == 2


@pytest.mark.parametrize("words", [["edit", "--emotoin", "happy"], ["edit"], ["edti"], ["train", "foo"]], ids=" ".join)
def test_what_is_wrong_with_the_words_is_said_at_once(words):
    heavy = "import sys; from cdrl.cli.main import main; main(sys.argv[1:]); "
    heavy += "print(*{'numpy', 'cv2', 'av', 'rich'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", heavy, *words], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
    took = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "cdrl", *words], capture_output=True, check=False)
        took.append(time.perf_counter() - start)
    assert statistics.median(took) < 1.5  # what is measured on a quiet machine is a fifth of it
