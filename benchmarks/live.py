"""Latency of `cdrl live`: the bundled clip at 640x480, there and back, played as a camera; the median of several runs.

python benchmarks/live.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import av
import tyro

SAMPLE = Path(__file__).resolve().parents[1] / "examples" / "1001_DFA_NEU_XX.flv"


@dataclass(frozen=True)
class Options:
    """Play the bundled clip as a camera, edit it, and print what `cdrl live --measure` says of the median run."""

    rates: tuple[int, ...] = (25, 30)
    """Frames a second of the camera."""
    runs: int = 3
    """How often each is measured; the run with the median p95 is printed."""
    seconds: int = 12
    """Length of each run."""


def make_camera(path: Path, rate: int, seconds: int) -> None:
    """The sample scaled to 640x480, there and back without a cut, at that rate."""
    with av.open(str(SAMPLE)) as source:
        frames = [frame.reformat(640, 480, "yuv420p") for frame in source.decode(video=0)]
    round_trip = frames + frames[-2:0:-1]
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=rate, options={"crf": "16"})
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
        for index in range(rate * seconds):
            frame = av.VideoFrame.from_ndarray(round_trip[index % len(round_trip)].to_ndarray(), "yuv420p")
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def measured(clip: Path, rate: int) -> dict[str, object]:
    """One run, its pictures read by somebody at the other end of a pipe."""
    words = [sys.executable, "-m", "cdrl", "live", "--input", str(clip), "--emotion", "happy", "--output", "-"]
    with subprocess.Popen(
        [*words, "--rate", str(rate), "--measure"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "CDRL_I_HAVE_CONSENT": "1"},  # of the sample's actor, who is the one that is edited
    ) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        while run.stdout.read(1 << 16):
            pass
        found: dict[str, object] = json.loads(run.stderr.read().splitlines()[-1])
    return found


def late(run: dict[str, object]) -> float:
    """The 95th percentile of a run's latency, ms."""
    latency = run["latency_ms"]
    assert isinstance(latency, dict)
    return float(latency["p95"])


def main(options: Options) -> None:
    """Print a line of JSON for each rate."""
    with tempfile.TemporaryDirectory() as folder:
        for rate in options.rates:
            clip = Path(folder) / f"camera_{rate}.mp4"
            make_camera(clip, rate, options.seconds)
            runs = sorted((measured(clip, rate) for _ in range(options.runs)), key=late)
            print(json.dumps({"camera": rate, "p95_of_runs": [late(run) for run in runs], **runs[len(runs) // 2]}))


if __name__ == "__main__":
    main(tyro.cli(Options))
