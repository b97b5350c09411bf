"""Data of recipes, their finished runs, and a folder of labeled clips: three people who show every emotion."""

import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from cdrl.cli import main as cli
from cdrl.media import Writer, probe, read

# CREMA-D has no surprised clips: for the mechanics another one will do.
CLIPS = {"neutral": "NEU", "angry": "ANG", "disgust": "DIS", "FEA": "FEA", "happy": "HAP", "sad": "SAD", "08": "FEA"}
SECONDS = 0.4
PEOPLE = ("anna", "otto", "zoe")  # one actor under three names


@pytest.fixture(autouse=True)
def one_thread():
    """Runs are compared to the last bit, and commands that a test calls choose their own number of threads."""
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


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


@pytest.fixture(scope="session")
def data_of(tmp_path_factory):
    """`data_of(recipe)`: the folder with a recipe's data, made once."""
    folders = {}

    def make(recipe) -> Path:
        if recipe.make_data not in folders:
            folder = tmp_path_factory.mktemp(recipe.name)
            recipe.make_data(folder)
            folders[recipe.make_data] = folder
        return folders[recipe.make_data]

    return make


@pytest.fixture
def prepared(request, data_of) -> Path:
    """The folder with the data of the module's RECIPE."""
    return data_of(request.module.RECIPE)


@pytest.fixture
def slow_models(monkeypatch):
    """Supervise by small representations, and read lips without a detector."""
    from recipes import replace_slow_models

    replace_slow_models(monkeypatch)


@pytest.fixture(scope="session")
def finished(data_of, tmp_path_factory):
    """`finished(recipe)`: the folder of a finished run and the published file, trained once."""
    runs = {}

    def train(recipe) -> tuple[Path, Path]:
        if recipe.name not in runs:
            folder = tmp_path_factory.mktemp("run")
            (folder / "published").mkdir()
            published = folder / "published" / f"{recipe.name}{recipe.suffix}"
            recipe.train(recipe.make_options(data_of(recipe), folder / "whole", published))
            runs[recipe.name] = folder / "whole", published
        return runs[recipe.name]

    return train
