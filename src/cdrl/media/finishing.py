"""What a closed film lacks because its muxer, as PyAV drives it, does not write it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cdrl.files import temporary_path
from cdrl.media import losses
from cdrl.media.encoding import LIGHT_CODECS, Container
from cdrl.media.labels import FILMS
from cdrl.media.matroska import set_light_levels, set_pixel_aspect
from cdrl.media.mp4_index import LABELS, PICTURE, cover_box, extend_index, light_boxes
from cdrl.media.probing import VideoInfo


def complete_film(film: Path, info: VideoInfo, form: Container, codec: str, covers: Sequence[bytes]) -> list[str]:
    """Put into a film what its muxer has left out.

    Args:
        film: The closed file.
        info: The clip that it is made of.
        form: Its format.
        codec: Its codec.
        covers: Pictures that are to lie beside labels of any name.

    Returns:
        Notes on what the film has no room for.
    """
    if form.muxer in FILMS:
        return _extend_index(film, info, form, codec, covers)
    return _extend_tracks(film, info, form, codec)


def _extend_tracks(film: Path, info: VideoInfo, form: Container, codec: str) -> list[str]:
    """The shape of pixels and light levels, in MKV and WebM."""
    notes, aspect = [], info.sample_aspect
    if aspect != 1 and not set_pixel_aspect(film, aspect):
        notes.append(f"the shape of the pixels ({aspect}) is left out: {form.name} has no room for it")
    if info.hdr is not None and codec not in LIGHT_CODECS and not set_light_levels(film, info.hdr):
        notes.append(losses.NO_LIGHT_ROOM.format(form.name))
    return notes


def _extend_index(film: Path, info: VideoInfo, form: Container, codec: str, covers: Sequence[bytes]) -> list[str]:
    """Covers beside labels of any name and light levels, in MP4 and MOV."""
    notes = []
    if covers and not _add_boxes(film, LABELS, cover_box(covers)):
        notes.append(f"the cover is left out: {form.name} cannot hold it beside these labels")
    if info.hdr is not None:
        held = _add_boxes(film, PICTURE, light_boxes(info.hdr)) or codec in LIGHT_CODECS
        if not held:
            notes.append(losses.LIGHT.format(codec))
    return notes


def _add_boxes(film: Path, place: tuple[bytes, ...], boxes: bytes) -> bool:
    copy = temporary_path(film)
    try:
        is_written = extend_index(film, copy, place, boxes)
        if is_written:
            copy.replace(film)
        return is_written
    finally:
        copy.unlink(missing_ok=True)
