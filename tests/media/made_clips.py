"""Clips made on the spot: whatever a test needs is written with PyAV into its own folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer

from cdrl.media import EncoderOptions, FrameReader, VideoInfo, Writer, probe, read


@dataclass(frozen=True)
class Recipe:
    """What a made clip holds. `times`: pts of each frame in `time_base`; None: one tick of 1/rate each."""

    frames: int = 12
    size: tuple[int, int] = (64, 48)
    layout: str = "yuv420p"
    codec: str = "libx264"
    rate: Fraction = Fraction(25)
    time_base: Fraction | None = None
    times: Sequence[int] | None = None
    audio: Sequence[str] = ()
    audio_rate: int = 48000
    audio_start: Fraction = Fraction(0)
    color: dict[str, int] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)
    rotation: tuple[float, bool, bool] | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    aspect: Fraction | None = None


def picture(index: int, size: tuple[int, int]) -> np.ndarray:
    """RGB [H,W,3]: blue top left, red top right, gray below, and a white bar whose place tells the frame's number."""
    width, height = size
    image = np.full((height, width, 3), 90, np.uint8)
    image[: height // 2, : width // 2] = (20, 40, 220)
    image[: height // 2, width // 2 :] = (200, 30, 30)
    left = (index * 4) % max(1, width - 4)
    image[3 * height // 4 :, left : left + 4] = 235
    return image


def make_clip(path: Path, recipe: Recipe = Recipe()) -> Path:
    """Write `recipe` to `path`, its format by the suffix."""
    time_base = recipe.time_base or 1 / recipe.rate
    times = list(recipe.times) if recipe.times is not None else list(range(recipe.frames))
    mp4 = path.suffix in (".mp4", ".mov")  # whose start offsets are else rounded to milliseconds
    settings = {"movie_timescale": str(max(1000, time_base.denominator))} if mp4 else {}
    with av.open(str(path), "w", container_options=settings) as output:
        output.metadata.update(recipe.metadata)
        stream = output.add_stream(recipe.codec, rate=recipe.rate, options=dict(recipe.options))
        stream.width, stream.height = recipe.size
        stream.pix_fmt = recipe.layout
        stream.codec_context.time_base = stream.time_base = time_base
        if recipe.aspect:
            stream.codec_context.sample_aspect_ratio = recipe.aspect
        for key, value in recipe.color.items():
            setattr(stream.codec_context, key, value)
        if recipe.rotation is not None:
            stream.set_display_rotation(recipe.rotation[0], *recipe.rotation[1:])
        sounds = []
        for number, codec in enumerate(recipe.audio):
            sound = output.add_stream(codec, rate=recipe.audio_rate, layout="mono")
            sound.metadata.update({"language": ("eng", "deu", "fra")[number % 3], "title": f"take {number}"})
            sounds.append(sound)
        for index, pts in enumerate(times):
            frame = av.VideoFrame.from_ndarray(picture(index, recipe.size), "rgb24").reformat(format=recipe.layout)
            frame.pts, frame.time_base = pts, time_base
            following = [*times[index + 1 :], pts + round(1 / recipe.rate / time_base)]
            frame.duration = following[0] - pts
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        length = float((times[-1] - times[0]) * time_base) + 0.1
        for number, sound in enumerate(sounds):
            add_tone(output, sound, 200 * (number + 1), length, recipe.audio_start)
    return path


def add_tone(output, stream, pitch: float, seconds: float, start: Fraction) -> None:
    """A sine of `pitch` Hz, encoded into `stream`."""
    rate = stream.codec_context.sample_rate
    wave = np.sin(2 * np.pi * pitch * np.arange(int(seconds * rate)) / rate)
    for first in range(0, len(wave), 1024):
        samples = (wave[first : first + 1024] * 9000).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(samples, "s16", "mono")
        frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
        frame.pts = first + round(start * rate)
        output.mux(stream.encode(frame))
    output.mux(stream.encode(None))


@contextmanager
def remuxed(source: Path, target: Path, **options) -> Iterator[OutputContainer]:
    """`target` with all that `source` holds, copied after the block, in which more can be added to it."""
    with av.open(str(source)) as inner, av.open(str(target), "w", **options) as output:
        output.metadata.update(inner.metadata)
        streams = {stream.index: output.add_stream_from_template(stream, opaque=True) for stream in inner.streams}
        yield output
        for packet in inner.demux():
            if packet.size:
                packet.stream = streams[packet.stream.index]
                output.mux(packet)


@dataclass(frozen=True)
class Packets:
    """One stream's packets, hashed."""

    codec: str
    count: int
    digest: str
    times: tuple[Fraction, ...]
    language: str
    title: str


def packets_of(path: Path, kind: str = "audio") -> list[Packets]:
    """Every stream of `kind` in `path`."""
    found = []
    with av.open(str(path)) as container:
        indices = [stream.index for stream in container.streams if stream.type == kind]
    for index in indices:
        with av.open(str(path)) as container:
            stream = container.streams[index]
            packets = [packet for packet in container.demux(stream) if packet.size]
            found.append(
                Packets(
                    stream.codec_context.codec.canonical_name,
                    len(packets),
                    hashlib.sha256(b"".join(bytes(packet) for packet in packets)).hexdigest(),
                    tuple(packet.pts * packet.time_base for packet in packets if packet.pts is not None),
                    stream.metadata.get("language", ""),
                    stream.metadata.get("title", "") or stream.metadata.get("name", ""),
                )
            )
    return found


@dataclass(frozen=True)
class Trip:
    """A clip read and written again: both ends and the notes."""

    source: VideoInfo
    path: Path
    result: VideoInfo
    before: tuple[Fraction, ...]
    after: tuple[Fraction, ...]
    notes: tuple[str, ...]


def round_trip(source: Path, target: Path, options: EncoderOptions = EncoderOptions(), **settings) -> Trip:  # noqa: B008
    """Read `source` and write it unchanged to `target`."""
    info = probe(source)
    reader: FrameReader = read(info)
    before = []
    with Writer(target, info, options, **settings) as writer:
        for frame in reader:
            before.append(frame.pts * frame.time_base)
            writer.write(frame)
    result = probe(target)
    after = tuple(frame.pts * frame.time_base for frame in read(result))
    return Trip(info, target, result, tuple(before), after, (*reader.notes, *writer.notes))
