"""Six real takes of one sentence (the bundled CREMA-D clips), and the MakeHuman head where it is installed."""

from __future__ import annotations

import csv
from importlib.util import find_spec
from pathlib import Path

import pytest

from cdrl.errors import ModelFileError

if find_spec("cdrl_synthetic") is None:  # a distribution of its own
    collect_ignore_glob = ["test_*.py"]

EMOTION_OF = {"ANG": "angry", "DIS": "disgusted", "FEA": "fear", "HAP": "happy", "NEU": "neutral", "SAD": "sad"}
SENTENCE = "Don't forget a jacket"


@pytest.fixture(scope="session")
def speech(tmp_path_factory, repository) -> Path:
    """A folder with speech.csv: the same words in six emotions."""
    folder = tmp_path_factory.mktemp("speech")
    with (folder / "speech.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "voice", "emotion", "sentence"))
        for code, emotion in EMOTION_OF.items():
            path = repository / "examples" / f"1001_DFA_{code}_XX.flv"
            writer.writerow((path, "1001", emotion, SENTENCE))
    return folder


@pytest.fixture(scope="session")
def spoken(speech):
    """The six takes, aligned."""
    pytest.importorskip("pocketsphinx", reason="needs pocketsphinx")
    from cdrl.parallel import SerialExecutor
    from cdrl_synthetic.forced_alignment import align_recordings, read_recordings

    result, lost = align_recordings(read_recordings(speech, "--speech"), SerialExecutor(), lambda count: None)
    assert not lost
    return result


@pytest.fixture(scope="session")
def head():
    """The MakeHuman head."""
    from cdrl_synthetic.makehuman import load_makehuman

    try:
        return load_makehuman()
    except ModelFileError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def drawing() -> None:
    """Skips where there is no OpenGL."""
    pytest.importorskip("moderngl", reason="needs moderngl")
    from cdrl_synthetic.rendering import Renderer

    try:
        Renderer(64)
    except ModelFileError as error:
        pytest.skip(str(error))
