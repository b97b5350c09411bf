"""Test clips of any size and length, made of the bundled sample.

python benchmarks/synthesis.py head SAMPLE OUTPUT HEIGHT FRAMES
python benchmarks/synthesis.py repeat CLIP OUTPUT TIMES
"""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import cv2
import numpy as np
from numpy.typing import NDArray

RATE = Fraction(30)
GRAIN = 2.5  # standard deviation of luma; an enlarged picture is too smooth to cost what a recorded one does


def talking_head(sample: Path, output: Path, height: int, frames: int) -> Path:
    """Write `frames` frames of the sample, enlarged to 16:9 of `height` pixels, with sound, as H.264 in MP4.

    The picture is as high as the frame, so that the face takes about half of its height, and is continued at the sides
    by its mirror image. Time runs back and forth, so that there is no cut. Sensor-like grain is added.
    """
    with av.open(str(sample)) as source:
        decoded = (cast(NDArray[np.uint8], frame.to_ndarray(format="yuv420p")) for frame in source.decode(video=0))
        pictures = [_enlarged(planes, height) for planes in decoded]
    order = [*range(len(pictures)), *range(len(pictures) - 2, 0, -1)]
    grain = np.random.default_rng(0).normal(0, GRAIN, pictures[0].shape)[: height * 2].astype(np.float32)
    with av.open(str(output), "w") as target:
        video = target.add_stream("libx264", rate=RATE, options={"preset": "veryfast", "crf": "18", "bf": "0"})
        video.width, video.height, video.pix_fmt = pictures[0].shape[1], height, "yuv420p"
        audio = target.add_stream("aac", rate=48000)
        for index in range(frames):
            picture = pictures[order[index % len(order)]].astype(np.float32)
            picture[:height] += np.roll(grain[:height], 37 * index, (0, 1))
            frame = av.VideoFrame.from_ndarray(np.clip(picture, 0, 255).astype(np.uint8), format="yuv420p")
            frame.pts, frame.time_base = index, 1 / RATE
            target.mux(video.encode(frame))
        target.mux(video.encode(None))
        for sound in _hum(Fraction(frames) / RATE):
            target.mux(audio.encode(sound))
        target.mux(audio.encode(None))
    return output


def repeated(clip: Path, output: Path, times: int) -> Path:
    """Write the clip's video packets `times` times in a row, without encoding them again."""
    with av.open(str(output), "w") as target:
        with av.open(str(clip)) as source:
            stream = target.add_stream_from_template(source.streams.video[0])
        offset = 0
        for _ in range(times):
            end = offset
            with av.open(str(clip)) as source:
                for packet in source.demux(video=0):
                    if packet.dts is None or packet.pts is None:
                        continue
                    packet.pts += offset
                    packet.dts += offset
                    end = max(end, packet.pts + (packet.duration or 0))
                    packet.stream = stream
                    target.mux(packet)
            offset = end
    return output


def _enlarged(planes: NDArray[np.uint8], height: int) -> NDArray[np.uint8]:
    """A 4:2:0 picture as PyAV stacks it, [height * 3/2, width], enlarged to `height` and widened to 16:9."""
    rows, columns = planes.shape[0] * 2 // 3, planes.shape[1]
    width = height * 16 // 9
    inner = round(columns * height / rows / 4) * 4
    left = (width - inner) // 2 // 2 * 2
    stacked = []
    for plane, scale in (
        (planes[:rows], 1),
        (planes[rows : rows * 5 // 4].reshape(rows // 2, columns // 2), 2),
        (planes[rows * 5 // 4 :].reshape(rows // 2, columns // 2), 2),
    ):
        large = cv2.resize(plane, (inner // scale, height // scale), interpolation=cv2.INTER_CUBIC)
        sides = (left // scale, (width - inner - left) // scale)
        wide = cv2.copyMakeBorder(large, 0, 0, *sides, cv2.BORDER_REFLECT_101)
        stacked.append(wide.reshape(-1, width))
    return cast(NDArray[np.uint8], np.concatenate(stacked))


def _hum(seconds: Fraction) -> list[av.AudioFrame]:
    """A 220 Hz tone, in frames of 1024 samples."""
    frames = []
    for start in range(0, int(seconds * 48000), 1024):
        wave = 0.1 * np.sin(2 * np.pi * 220 / 48000 * np.arange(start, start + 1024))
        frame = av.AudioFrame.from_ndarray(wave.astype(np.float32)[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
        frames.append(frame)
    return frames


def main(what: str, source: str, output: str, *numbers: str) -> None:
    """Make one clip, as the lines at the head of this file say."""
    if what == "head":
        talking_head(Path(source), Path(output), *map(int, numbers))
    else:
        repeated(Path(source), Path(output), *map(int, numbers))


if __name__ == "__main__":
    main(*sys.argv[1:])
