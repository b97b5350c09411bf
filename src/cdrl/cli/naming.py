"""What a result is called that was given no name: beside its source, by what it shows, and never another file's."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from cdrl.emotions import parse_blend
from cdrl.files import sidecar_path
from cdrl.media.encoding import CONTAINERS

if TYPE_CHECKING:
    from cdrl.project import Project


def default_output(project: Project) -> Path:
    """talk.mp4 → talk_happy.mp4, talk_happy-sad.mp4, talk_like_NAME.mp4 (a reference), talk_edited.mp4 (segments).

    In the source's container where it can be written, in MP4 otherwise.
    """
    if project.segments is not None:
        shown = "edited"
    elif project.reference is not None:
        shown = f"like_{project.reference.stem}"
    else:
        shown = "-".join(parse_blend(project.emotion or ""))
    source = project.source
    ending = source.suffix if source.suffix.lower() in CONTAINERS else ".mp4"
    return source.with_name(f"{source.stem}_{shown}{ending}")


def numbered(path: Path) -> Path:
    """`path`, or the first of talk_happy_2.mp4, talk_happy_3.mp4, ... where it, or its sidecar, exists."""
    if not _taken(path):
        return path
    others = (path.with_name(f"{path.stem}_{number}{path.suffix}") for number in count(2))
    return next(other for other in others if not _taken(other))


def _taken(path: Path) -> bool:
    return path.exists() or path.is_symlink() or sidecar_path(path).exists()
