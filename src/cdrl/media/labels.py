"""The labels of a file and of its streams: which come along, and what their muxer must be told for it."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from av.stream import Disposition, Stream

FILMS = ("mp4", "mov")
"""Muxers of films with an index."""
FINEST_SOUND = 48_000  # Hz
# Labels that describe the source's file rather than what is in it.
FORMAT_LABELS = {
    "encoder",
    "vendor_id",
    "rotate",
    "duration",
    "number_of_frames",
    "number_of_bytes",
    "bps",
    "alpha_mode",
}
# Labels that every player knows; others need the newer way of labeling, which some players do not read.
_OLD_LABELS = {"title", "artist", "album", "genre", "date", "comment", "copyright", "location", "creation_time"}
COMMON_LABELS = {
    "mp4": _OLD_LABELS
    | {"album_artist", "composer", "description", "grouping", "lyrics", "synopsis", "show", "episode_id", "network"}
    | {"keywords", "track", "disc", "compilation", "media_type", "hd_video"},
    "mov": _OLD_LABELS | {"make", "model"},
}
FILE_LABELS = FORMAT_LABELS | {"major_brand", "minor_version", "compatible_brands", "xmp", "timecode"}


def muxer_options(muxer: str, labels: Iterable[str], time_base: Fraction) -> dict[str, str]:
    """What FFmpeg's muxer is told of a file with labels of these names, whose picture has this time base."""
    if muxer not in FILMS:
        return {"avoid_negative_ts": "disabled"}  # else MKV delays the clip by the run-up of its audio
    # faststart: the index goes to the front, so that playback starts before the file has loaded.
    known = COMMON_LABELS[muxer]
    is_common = all(label in known or label.startswith("location-") for label in labels)
    flags = "+faststart" if is_common else "+faststart+use_metadata_tags"
    # The start of each track is kept in ticks of the film, a multiple of the picture's, fine enough for sound.
    ticks = time_base.denominator
    ticks *= -(-FINEST_SOUND // ticks)
    return {"movflags": flags, "movie_timescale": str(min(ticks, 2**31 - 1))}


def is_file_label(key: str) -> bool:
    """Whether a label describes the source's file: the result has its own."""
    return is_format_label(key) or key.lower() in FILE_LABELS


def is_format_label(key: str) -> bool:
    """Whether a label of a stream describes how it lies in the source's file."""
    return key.lower() in FORMAT_LABELS or key.lower().startswith("_statistics_")


def carry_labels(source: Stream, target: Stream) -> None:
    """Language, title and disposition (default, forced, cover, ...) as in the source."""
    labels = {key: text for key, text in source.metadata.items() if not is_format_label(key)}
    if title := labels.pop("name", ""):  # what MP4 calls a track's title
        labels.setdefault("title", title)
    target.metadata.update(labels)
    target.disposition = Disposition(source.disposition)
