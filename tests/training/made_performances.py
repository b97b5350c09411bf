"""What recipes under supervision are tested on: made people in every emotion, and representations that take no time."""

from pathlib import Path

from made_prepared import make_prepared
from made_supervisors import Content, Emotion

from cdrl.emotions import EMOTIONS
from cdrl.training import scenes
from cdrl.training.loop import LoopOptions


def performed(folder: Path, frames: int) -> tuple[Path, Path]:
    """Prepared folders of made and of real people, some of them to validate on."""
    return (
        make_prepared(folder / "synthetic", ["p000", "p001"], EMOTIONS, 1, frames),
        make_prepared(folder / "film", ["anna", "W009"], ("neutral", "happy"), 1, frames, dataset="mead"),
    )


def short(output: Path, steps: int, rate: float) -> LoopOptions:
    """A run of a few steps."""
    return LoopOptions(
        output, steps, rate, 1, average=0.5, validate_every=3, device="cpu", precision="float32", weight_decay=0.0
    )


def small(patch) -> None:
    """Supervise by small representations."""
    patch.setattr(scenes, "load_content", lambda path: Content())
    patch.setattr(scenes, "load_emotion", lambda path: Emotion())
