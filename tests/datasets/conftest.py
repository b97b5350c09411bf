"""A small data set of real clips, and a folder that it was prepared into."""

from __future__ import annotations

import shutil
from pathlib import Path

import av
import numpy as np
import pytest

from cdrl.datasets.packing import prepare
from cdrl.datasets.preparation import PreparationSettings
from cdrl.datasets.table import read_dataset
from cdrl.media import read
from cdrl.parallel import SerialExecutor

SETTINGS = PreparationSettings(speech="mel", every=8)


def write_video(path: Path, crf: str, size: tuple[int, int], pictures) -> None:
    """Write a silent video of 25 pictures a second."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25, options={"crf": crf})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for picture in pictures:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        output.mux(stream.encode(None))


@pytest.fixture(scope="session")
def source(tmp_path_factory, repository) -> Path:
    """Three of the bundled clips, a clip without a face, and one without sound."""
    folder = tmp_path_factory.mktemp("source")
    for emotion in ("ANG", "HAP", "NEU"):
        shutil.copy(repository / f"examples/1001_DFA_{emotion}_XX.flv", folder)
    write_video(folder / "1002_DFA_SAD_LO.mp4", "30", (64, 48), [np.full((48, 64, 3), 90, np.uint8)] * 8)
    frames = (frame for frame in read(repository / "examples/1001_DFA_SAD_XX.flv") if frame.index % 3 == 0)
    write_video(folder / "1003_IEO_SAD_LO.mp4", "20", (480, 360), (frame.rgb() for frame in frames))
    return folder


@pytest.fixture(scope="session")
def run():
    """Prepare a data set into a folder."""

    def run_(source, output, settings=SETTINGS, workers=None, **more):
        table = read_dataset(source)
        return prepare(table, output, settings, workers or SerialExecutor(), lambda done, total, failure: None, **more)

    return run_


@pytest.fixture(scope="session")
def finished(source, run, tmp_path_factory):
    """The folder, and the run's summary; never changed."""
    folder = tmp_path_factory.mktemp("finished")
    return folder, run(source, folder)
