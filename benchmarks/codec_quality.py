"""How good, how large and how fast an untouched copy is at the same `--quality` with each codec, as a table.

python benchmarks/codec_quality.py                     the bundled clip
python benchmarks/codec_quality.py --clips a.mp4 ...   clips of your own; the table holds means over them

PSNR is of luma, over all frames of a clip; the size is of the picture's packets alone; frames per second are of
encoding and writing by two threads, with nothing else.
"""

from __future__ import annotations

import math
import os
import tempfile
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import av
import numpy as np
import tyro

from cdrl.media import EncoderOptions, Frame, VideoInfo, Writer, probe, read
from cdrl.media.encoding import CodecChoice, own_quality

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "examples" / "1001_DFA_NEU_XX.flv"
CODECS: tuple[CodecChoice, ...] = ("h264", "hevc", "vp9", "av1")
LOSSLESS = 100.0  # dB that a copy without any error counts as


@dataclass(frozen=True)
class Options:
    """Copy clips with each codec at the same numbers, and compare the copies with them."""

    clips: tuple[Path, ...] = (SAMPLE,)
    """What is copied."""
    codecs: tuple[CodecChoice, ...] = CODECS
    """What they are copied with."""
    qualities: tuple[float, ...] = (10, 18, 26, 34)
    """Numbers given as --quality."""
    preset: str = "veryfast"
    """Given as --preset."""
    frames: int = 40
    """Frames of each clip at most."""


def main(options: Options) -> None:
    """Print a line for each codec and number."""
    os.environ.setdefault("SVT_LOG", "1")  # errors alone
    clips = [(info := probe(path), list(islice(read(info), options.frames))) for path in options.clips]
    print("| codec | quality | own scale | luma PSNR, dB | least | bytes a frame | frames/s |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for codec in options.codecs:
        for quality in options.qualities:
            encoder = EncoderOptions(codec=codec, quality=quality, preset=options.preset, threads=2)
            found = np.array([copied(info, frames, encoder) for info, frames in clips])
            (mean, size), least = found[:, :2].mean(0), found[:, 0].min()
            own, rate = own_quality(codec, encoder), sum(len(frames) for _, frames in clips) / found[:, 2].sum()
            said = f"{own:.3g} | {mean:.1f} | {least:.1f} | {size:,.0f} | {rate:.0f}"
            print(f"| {codec} | {quality:g} | {said} |", flush=True)


def copied(info: VideoInfo, frames: list[Frame], encoder: EncoderOptions) -> tuple[float, float, float]:
    """The luma PSNR of a copy in dB, the mean size of its packets in bytes, and the seconds it took."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "copy.mkv"
        start = time.perf_counter()
        with Writer(path, info, encoder) as writer:
            for frame in frames:
                writer.write(frame)
        seconds = time.perf_counter() - start
        errors = [
            np.square(before.planes[0].astype(np.float64) - after.planes[0]).mean()
            for before, after in zip(frames, read(path), strict=True)
        ]
        with av.open(str(path)) as container:
            size = sum(packet.size for packet in container.demux(video=0))
    error = float(np.mean(errors)) / info.format.maximum**2
    return min(LOSSLESS, -10 * math.log10(error) if error else LOSSLESS), size / len(frames), seconds


if __name__ == "__main__":
    main(tyro.cli(Options))
