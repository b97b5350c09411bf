"""How large, how good and how fast untouched copies are with each `--profile`, as a table.

python benchmarks/profiles.py                     the bundled clip
python benchmarks/profiles.py --clips a.mp4 ...   clips of your own; the table holds means over them

PSNR is of luma, over all frames of a clip (of RGB for DNxHR of standard definition, which is in another matrix); the
size is of the picture's packets alone; frames per second are of encoding and writing by two threads, with nothing else.
"""

from __future__ import annotations

import math
import tempfile
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import tyro

from cdrl.media import EncoderOptions, Frame, VideoInfo, Writer, probe, read
from cdrl.media.encoding import FILM_PROFILES, SMALLEST_DNXHR

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "examples" / "1001_DFA_NEU_XX.flv"
LOSSLESS = 100.0  # dB that a copy without any error counts as


@dataclass(frozen=True)
class Options:
    """Copy clips with each profile, and compare the copies with them."""

    clips: tuple[Path, ...] = (SAMPLE,)
    """What is copied."""
    frames: int = 60
    """Frames of each clip at most."""
    threads: int = 2
    """Encoder threads."""


def main(options: Options) -> None:
    """Print a line for each profile."""
    clips = [(info := probe(path), list(islice(read(info), options.frames))) for path in options.clips]
    print("| profile | luma PSNR, dB | least | bytes a frame | of fast | frames/s |")
    print("| --- | --- | --- | --- | --- | --- |")
    sizes: dict[str, Any] = {}
    for profile in FILM_PROFILES:
        encoder = EncoderOptions(profile, threads=options.threads)  # type: ignore[arg-type]
        held = [clip for clip in clips if profile != "dnxhr" or is_large(clip[0])]
        found = np.array([copied(info, frames, encoder) for info, frames in held])
        (quality, size), least = found[:, :2].mean(0), found[:, 0].min()
        rate = sum(len(frames) for _, frames in held) / found[:, 2].sum()
        sizes[profile] = found[:, 1]
        of_fast = size / np.mean(
            [each for each, clip in zip(sizes["fast"], clips, strict=True) if any(clip is other for other in held)]
        )
        print(f"| {profile} | {quality:.1f} | {least:.1f} | {size:,.0f} | {of_fast:.2f} | {rate:.0f} |", flush=True)


def is_large(info: VideoInfo) -> bool:
    """Whether a clip is as large as DNxHR wants it."""
    return all(side >= least for side, least in zip((info.width, info.height), SMALLEST_DNXHR, strict=True))


def copied(info: VideoInfo, frames: list[Frame], encoder: EncoderOptions) -> tuple[float, float, float]:
    """The luma PSNR of a copy in dB, the mean size of its packets in bytes, and the seconds it took."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"copy{(encoder.settings.suffixes or ('.mp4',))[0]}"
        start = time.perf_counter()
        with Writer(path, info, encoder) as writer:
            for frame in frames:
                writer.write(frame)
        seconds = time.perf_counter() - start
        squares = [compared(*pair) for pair in zip(frames, read(path), strict=True)]
        with av.open(str(path)) as container:
            size = sum(packet.size for packet in container.demux(video=0))
    error = float(np.mean(squares))
    return min(LOSSLESS, -10 * math.log10(error) if error else LOSSLESS), size / len(frames), seconds


def compared(before: Frame, after: Frame) -> float:
    """The mean squared error of luma, the greatest number being 1; of RGB where a copy is in another matrix."""
    if before.format.matrix != after.format.matrix:
        return float(np.square((before.rgb() - after.rgb().astype(np.float64)) / 255).mean())
    scale = 2.0 ** (after.format.depth - before.format.depth)
    difference = before.planes[0].astype(np.float64) - after.planes[0][: before.height, : before.width] / scale
    return float(np.square(difference / before.format.maximum).mean())


if __name__ == "__main__":
    main(tyro.cli(Options))
