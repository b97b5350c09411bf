"""What a result is called that was given no name: beside its source, by what it shows, and never another file's."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from cdrl.files import sidecar_path
from cdrl.media.encoding import CONTAINERS

if TYPE_CHECKING:
    from cdrl.request import EditRequest


def default_output(request: EditRequest) -> Path:
    """talk.mp4 → talk_happy.mp4, talk_happy-sad.mp4, talk_like_NAME.mp4 (a reference), talk_edited.mp4 (segments).

    In the source's container where it can be written, in MP4 otherwise.
    """
    source = request.source
    ending = source.suffix if source.suffix.lower() in CONTAINERS else ".mp4"
    return source.with_name(f"{source.stem}_{request.label}{ending}")


def numbered(path: Path) -> Path:
    """`path`, or the first of talk_happy_2.mp4, talk_happy_3.mp4, ... where it, or its sidecar, exists."""
    if not _taken(path):
        return path
    others = (path.with_name(f"{path.stem}_{number}{path.suffix}") for number in count(2))
    return next(other for other in others if not _taken(other))


def _taken(path: Path) -> bool:
    return path.exists() or path.is_symlink() or sidecar_path(path).exists()
