"""Sound as a WAV file beside pictures: in time with the first of them, decoded and otherwise as it was."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from numpy.typing import NDArray

from cdrl.media.clocks import ContinuousClock, discard_others
from cdrl.media.decoding import DecodeErrors, demux_packets
from cdrl.media.limits import Limits
from cdrl.media.opening import check_path, open_container
from cdrl.media.probing import Track, VideoInfo

_JITTER = Fraction(1, 100)  # seconds by which the times of packets are rounded
_BLOCK = 1 << 16  # samples
_COARSE = ("u8", "u8p", "s16", "s16p")  # what 16 bits hold


def write_wav(
    path: Path,
    info: VideoInfo,
    track: Track,
    begin: Fraction,
    end: Fraction | None = None,
    limits: Limits = Limits(),  # noqa: B008 - frozen
) -> DecodeErrors:
    """Write an audio track as PCM: 16 bits where it is decoded to no more, else 24.

    Args:
        path: The file.
        info: The clip.
        track: An audio track of it.
        begin: When the file begins, in seconds on the clip's clock; silence fills what the track lacks.
        end: When it ends, in the same seconds; None: where the track does.
        limits: What the clip may hold.

    Returns:
        What could not be decoded.
    """
    damage = DecodeErrors()
    options = {"rf64": "auto"}  # beyond 4 GiB
    with (
        open_container(check_path(info.path, limits), limits) as source,
        av.open(f"file:{path}", "w", format="wav", options=options) as output,
    ):
        stream = source.streams[track.index]
        assert isinstance(stream, AudioStream)
        context = stream.codec_context
        rate, layout = context.sample_rate, context.layout
        codec, form = ("pcm_s16le", "s16") if context.format.name in _COARSE else ("pcm_s24le", "s32")
        target = output.add_stream(codec, rate=rate, layout=layout)
        assert isinstance(target, AudioStream)
        most = limits.max_seconds * rate
        last = most if end is None else min(most, max(0, round((end - begin) * rate)))
        written = 0
        for time, samples in _decode(source, stream, form, info, damage):
            place = written if time is None else round((time - begin) * rate)
            if written and abs(place - written) <= _JITTER * rate:
                place = written
            if place > most:  # damage: a time that no clip may have
                damage.packets += 1
                continue
            for piece in chain(_silence(min(place, last) - written, samples), [samples]):
                kept = piece[max(0, written - place) if piece is samples else 0 :][: last - written]
                if kept.size:
                    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(kept.reshape(1, -1)), form, layout)
                    frame.sample_rate = rate
                    output.mux(target.encode(frame))
                    written += len(kept)
            if written >= last:
                break
        output.mux(target.encode(None))
    return damage


def _silence(count: int, like: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """So many samples of silence, in blocks: a damaged time may ask for hours of it."""
    for begin in range(0, count, _BLOCK):
        yield np.zeros((min(_BLOCK, count - begin), like.shape[1]), like.dtype)


def _decode(
    source: InputContainer, stream: AudioStream, form: str, info: VideoInfo, damage: DecodeErrors
) -> Iterator[tuple[Fraction | None, NDArray[Any]]]:
    """Times in seconds on the clip's clock, None for what follows at once, and samples [n, channels]."""
    discard_others(source, stream)
    clock = ContinuousClock(info.jumps)
    context = stream.codec_context
    resampler = av.AudioResampler(format=form, layout=context.layout, rate=context.sample_rate)
    for packet in demux_packets(source, stream, damage=damage):
        clock.rebase(packet)
        try:
            frames = context.decode(packet)
        except av.FFmpegError:
            damage.packets += 1
            continue
        for frame in frames:
            time = None if frame.pts is None or frame.time_base is None else frame.pts * frame.time_base
            frame.pts = None
            for packed in resampler.resample(frame):
                yield time, packed.to_ndarray().reshape(packed.samples, -1)
                time = None
