"""The pictures of a sequence, each opened, bounded and decoded as a file of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import av

from cdrl.errors import InputError
from cdrl.media.decoding import DecodeErrors, error_text
from cdrl.media.exr import decode_exr, describe_exr, read_exr_texts
from cdrl.media.layout import has_alpha
from cdrl.media.limits import Limits
from cdrl.media.numbering import EXR, ImageSequence
from cdrl.media.opening import check_path, open_container
from cdrl.media.png import XMP, read_chunks, read_texts
from cdrl.media.probing import VideoInfo, check_pixels, describe, main_video
from cdrl.media.threads import available_cores

_CONCEALING = frozenset(("mjpeg", "png", "webp"))
"""Decoders that fill up what is missing unless they are told to refuse it; the one of TIFF refuses sound files then."""

_AT_ONCE = 64  # pictures that are handed to the threads before their answers are read


class _Kind(NamedTuple):
    """What the pictures of a sequence have in common."""

    width: int
    height: int
    layout: str

    def __str__(self) -> str:
        return f"{self.width}x{self.height}, {self.layout}"


def describe_sequence(sequence: ImageSequence, limits: Limits) -> VideoInfo:
    """Describe a sequence; each of its pictures is decoded once for it.

    Raises:
        InputError: A picture cannot be decoded to its end, or differs in size or layout from the first.
        LimitError: A picture is larger than the limits allow, or the film is longer.
    """
    sequence = replace(sequence, pattern=replace(sequence.pattern, folder=sequence.pattern.folder.absolute()))
    first = _describe_first(sequence, limits)
    if first.rate is not None and sequence.is_exr and sequence.rate_is_assumed:
        sequence = replace(sequence, rate=first.rate, rate_is_assumed=False)
    _check_alike(sequence, limits)
    notes = list(first.notes)
    if sequence.rate_is_assumed:
        notes.append(f"taken as {float(sequence.rate):g} frames/s: say --frame-rate if it is another")
    return replace(
        first,
        path=sequence.path,
        rate=sequence.rate,
        time_base=1 / sequence.rate,
        start=Fraction(0),
        duration=sequence.count / sequence.rate,
        frame_count=sequence.count,
        photo=False,
        alpha=first.pixels != "pal8" and has_alpha(first.pixels),
        tracks=(),
        labels=max(map(_xmp_labels, sequence.files()), key=lambda texts: len(texts.get(XMP, ""))),
        notes=tuple(notes),
        sequence=sequence,
    )


def _describe_first(sequence: ImageSequence, limits: Limits) -> VideoInfo:
    """What the first picture is."""
    path = check_path(sequence.file(0), limits)
    if sequence.is_exr:
        return describe_exr(path, limits)
    with open_container(path, limits) as container:
        first, _ = describe(path, container, limits, DecodeErrors())
    if not first.photo:
        raise InputError(f"{path} is a film, not a picture: name it alone")
    return first


def decode_sequence(sequence: ImageSequence, limits: Limits, begin: int = 0) -> Iterator[av.VideoFrame]:
    """The pictures of a sequence in order, from the frame `begin` on, with times in frames."""
    for index in range(begin, sequence.count):
        picture = _decode(sequence.file(index), limits)
        picture.pts, picture.time_base, picture.duration = index, 1 / sequence.rate, 1
        yield picture


def read_picture_texts(path: Path) -> Mapping[str, str]:
    """Texts of a PNG or EXR by keyword in lower case; the XMP packet is called `XMP`. None of another file."""
    return read_texts(read_chunks(path)) or read_exr_texts(path)


def _xmp_labels(path: Path) -> Mapping[str, str]:
    """The texts of a picture that holds an XMP packet; the longest packet tells of the most edits."""
    texts = read_picture_texts(path)
    return texts if XMP in texts else {}


def _check_alike(sequence: ImageSequence, limits: Limits) -> None:
    files, first = sequence.files(), None
    with ThreadPoolExecutor(available_cores()) as threads:
        while some := list(islice(files, _AT_ONCE)):
            for path, kind in zip(some, threads.map(partial(_kind, limits=limits), some), strict=True):
                first = first or kind
                if kind != first:
                    raise InputError(
                        f"{path} is {kind}, and {sequence.file(0).name} is {first}: write all pictures in one size and "
                        "kind"
                    )


def _kind(path: Path, limits: Limits) -> _Kind:
    picture = _decode(path, limits)
    return _Kind(picture.width, picture.height, picture.format.name)


def _decode(path: Path, limits: Limits) -> av.VideoFrame:
    """The one picture of a file. Raises InputError, also where a part of it is missing, and LimitError."""
    if path.suffix.lower() == EXR:
        return decode_exr(path, limits)
    with open_container(check_path(path, limits), limits) as container:
        stream = main_video(container, path)
        check_pixels(stream.codec_context.width, stream.codec_context.height, path, limits)
        stream.codec_context.options = {"max_pixels": str(limits.max_pixels)}
        if stream.codec_context.name in _CONCEALING:
            stream.codec_context.options |= {"err_detect": "crccheck+explode"}
        try:
            pictures = list(container.decode(stream))
        except av.FFmpegError as error:
            raise InputError(
                f"{path} cannot be decoded ({error_text(error)}): write this picture again, then edit"
            ) from None
    if len(pictures) != 1 or pictures[0].is_corrupt:
        why = f"it holds {len(pictures)} pictures" if len(pictures) != 1 else "it is damaged"
        raise InputError(f"{path} cannot be a frame ({why}): write this picture again, then edit")
    return pictures[0]
