"""Speech stretched in time by a known path, and files of sound made for a test."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from av.video.stream import VideoStream

RATE = 16_000
WINDOW, HOP, SEARCH = 640, 320, 160  # samples: 40 ms, 20 ms, 10 ms


def stretched(samples: np.ndarray, source: Callable[[float], float], length: int) -> np.ndarray:
    """Sample t of the result sounds like sample source(t): overlapping windows, each shifted by up to 10 ms to where
    it continues the one before best (WSOLA, Verhelst and Roelands 1993), so that the pitch stays."""
    window = np.hanning(WINDOW + 1)[:-1].astype(np.float32)
    margin = WINDOW + SEARCH
    padded = np.pad(samples, (margin, 2 * margin))
    result = np.zeros(length + 2 * WINDOW, np.float32)
    before = None
    for start in range(0, length + HOP, HOP):
        place = round(source(start)) - WINDOW // 2 + margin
        place = int(np.clip(place, SEARCH, len(padded) - margin - HOP))
        if before is not None:
            shifts = range(-SEARCH, SEARCH + 1, 4)
            natural = padded[before + HOP : before + HOP + WINDOW]
            place += shifts[int(np.argmax([padded[place + d : place + d + WINDOW] @ natural for d in shifts]))]
        result[start : start + WINDOW] += window * padded[place : place + WINDOW]
        before = place
    return result[WINDOW // 2 : WINDOW // 2 + length]


def encode_black(container: OutputContainer, video: VideoStream, count: int) -> None:
    """So many small black frames into a stream, from 0 on."""
    video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
    for pts in range(count):
        frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))
        frame.pts = pts
        container.mux(video.encode(frame))
    container.mux(video.encode(None))


def write_sound(path: Path, samples: np.ndarray, rate: int, offset: float = 0.0, picture: bool = False) -> Path:
    """A file of PCM sound, int16 [n, channels], that begins `offset` s after 0; with a picture at 0 where wanted."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=25) if picture else None
        sound = container.add_stream("pcm_s16le", rate=rate, layout="stereo" if samples.shape[1] == 2 else "mono")
        if video is not None:
            encode_black(container, video, 25)
        for first in range(0, len(samples), 1000):
            part = np.ascontiguousarray(samples[first : first + 1000].reshape(1, -1))
            frame = av.AudioFrame.from_ndarray(part, format="s16", layout=sound.layout.name)
            frame.sample_rate, frame.pts = rate, first + round(offset * rate)
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    return path
