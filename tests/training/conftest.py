"""A folder of labelled clips, made of the bundled ones: three people who show every emotion."""

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from cdrl.cli import main as cli
from cdrl.media import Writer, probe, read

# CREMA-D has no surprised clips: for the mechanics another one will do.
CLIPS = {"neutral": "NEU", "angry": "ANG", "disgust": "DIS", "FEA": "FEA", "happy": "HAP", "sad": "SAD", "08": "FEA"}
SECONDS = 0.4
PEOPLE = ("anna", "otto", "zoe")  # one actor under three names


@pytest.fixture(scope="session")
def clips(repository, tmp_path_factory) -> Path:
    """A folder with a short clip per emotion."""
    made = tmp_path_factory.mktemp("clips")
    for code in set(CLIPS.values()):
        info = probe(repository / "examples" / f"1001_DFA_{code}_XX.flv")
        with Writer(made / f"{code}.mp4", info) as writer, read(info, stop=SECONDS) as frames:
            for frame in frames:
                writer.write(frame)
    return made


@pytest.fixture
def data(clips, tmp_path) -> Path:
    """The same clips with a table of three people, free to be changed."""
    copied = tmp_path / "data"
    shutil.copytree(clips, copied)
    rows = [f"{CLIPS[emotion]}.mp4,{person},{emotion}" for person in PEOPLE for emotion in CLIPS]
    (copied / "clips.csv").write_text("\n".join(["path,actor,emotion", *rows, ""]), encoding="utf-8")
    return copied


@pytest.fixture(scope="session")
def cache(tmp_path_factory) -> Path:
    """What was seen in the clips, kept from test to test."""
    return tmp_path_factory.mktemp("cache")


class Run(NamedTuple):
    """How a run of the command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def train(data, cache, tmp_path, capsys):
    """`train(...)`: runs `cdrl train prior` on the folder; never into the package, as it would by default."""

    def run(*arguments, output=tmp_path / "prior.npz", kept=cache) -> Run:
        words = ["train", "prior", "--data", str(data), "--cache", str(kept), "--output", str(output), *arguments]
        code = cli.main(words)
        return Run(code, *capsys.readouterr())

    return run
