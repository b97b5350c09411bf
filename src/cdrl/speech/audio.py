"""The sound of a clip as samples, on the same clock as its pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition
from numpy.typing import NDArray

from cdrl.errors import InputError, LimitError
from cdrl.media.clocks import ClockJump, ContinuousClock
from cdrl.media.decoding import DecodeErrors, demux_packets
from cdrl.media.limits import Limits
from cdrl.media.opening import check_path, open_container
from cdrl.media.probing import probe, read_clock_jumps

SAMPLE_RATE = 16_000  # Hz: what Whisper and wav2vec 2.0 were trained on
_GAP = Fraction(1, 20)  # seconds: less than this is rounding of the file's clock, more is a pause or an overlap

Samples = NDArray[np.float32]


def read_samples(
    path: str | Path,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    rate: int = SAMPLE_RATE,
) -> Samples:
    """Read a clip's sound, mixed to mono.

    Sample i sounds at i / rate s on the clock of `cdrl.media`'s `Frame.time`: what comes before 0 is cut off, and a
    late start, a hole or a damaged packet is silence.

    Args:
        path: The clip.
        limits: What is accepted at most.
        rate: Samples per second.

    Returns:
        Samples, float32 [n] in [-1, 1].

    Raises:
        InputNotFoundError: There is no such file.
        InputError: It has no sound, or none that can be read.
        LimitError: It is longer than the limits allow.
    """
    checked = check_path(path, limits)
    with open_container(checked, limits) as container:
        stream = _select_stream(container, checked)
        zero, jumps = _find_clock(container, stream, checked, limits)
        frames = _decode_frames(container, stream, jumps)
        pieces = list(_decode_runs(frames, zero, checked, limits, rate))
    end = max((first + len(piece) for first, piece in pieces), default=0)
    if end <= 0:
        raise InputError(f"{checked}: its sound cannot be decoded (empty or damaged); check that it plays")
    samples = np.zeros(end, np.float32)
    for first, piece in pieces:
        kept = piece[max(0, -first) :]
        samples[max(0, first) : max(0, first) + len(kept)] = kept
    return np.clip(samples, -1, 1, out=samples)


def _select_stream(container: InputContainer, path: Path) -> AudioStream:
    """The audio stream a player plays: the default one, else the first."""
    streams = [stream for stream in container.streams.audio if stream.codec_context is not None]
    if not streams:
        unread = "no decoder reads its sound" if container.streams.audio else "it has no sound"
        raise InputError(f"{path}: {unread}: choose a clip with speech, or go without speech features")
    return max(streams, key=lambda stream: bool(stream.disposition & Disposition.default))


def _find_clock(
    container: InputContainer, stream: AudioStream, path: Path, limits: Limits
) -> tuple[Fraction, tuple[ClockJump, ...]]:
    """What a player shows as 0:00, in seconds on the file's clock, and where that clock begins anew."""
    if any(not video.disposition & Disposition.attached_pic for video in container.streams.video):
        info = probe(path, limits)
        return info.start, info.jumps
    zero = (stream.start_time or 0) * (stream.time_base or Fraction(0))
    return zero, read_clock_jumps(path, container, stream, limits)[0]


def _decode_runs(
    frames: Iterator[av.AudioFrame], zero: Fraction, path: Path, limits: Limits, rate: int
) -> Iterator[tuple[int, Samples]]:
    """Runs of sound without a hole: index of the first sample (negative before 0:00), and the samples."""
    new_resampler = partial(av.AudioResampler, format="fltp", rate=rate)
    resampler = new_resampler()
    first, end, run, total = 0, Fraction(0), list[Samples](), Fraction(0)
    for frame in frames:
        begin = end if frame.pts is None or frame.time_base is None else frame.pts * frame.time_base - zero
        total += Fraction(frame.samples, frame.sample_rate)  # times may go back and begin anew, again and again
        if max(total, begin + Fraction(frame.samples, frame.sample_rate)) > limits.max_seconds:
            raise LimitError(f"{path}: its sound is longer than the limit of {limits.max_seconds} s: raise max_seconds")
        if run and abs(begin - end) > _GAP:
            yield first, np.concatenate([*run, *_resample(resampler, None)])
            resampler, run = new_resampler(), []
        if not run:
            first, end = round(begin * rate), begin
        end += Fraction(frame.samples, frame.sample_rate)
        frame.pts = None  # the resampler would fill holes in its own way
        run += _resample(resampler, frame)
    if run:
        yield first, np.concatenate([*run, *_resample(resampler, None)])


def _decode_frames(
    container: InputContainer, stream: AudioStream, jumps: Sequence[ClockJump]
) -> Iterator[av.AudioFrame]:
    """Decoded pieces of sound; what does not decode is passed over, so that the next one's time shows a hole."""
    clock = ContinuousClock(jumps)
    for packet in demux_packets(container, stream, damage=DecodeErrors()):
        clock.rebase(packet)
        try:
            yield from stream.codec_context.decode(packet)
        except av.FFmpegError:
            continue


def _resample(resampler: av.AudioResampler, frame: av.AudioFrame | None) -> list[Samples]:
    # The mean of the channels; FFmpeg's own mono adds them up so that loud ones are clipped.
    return [part.to_ndarray().mean(axis=0, dtype=np.float32) for part in resampler.resample(frame)]
