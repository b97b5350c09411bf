"""The clip maker as a fixture."""

from collections.abc import Callable
from pathlib import Path

import pytest
from made_clips import Recipe, make_clip


@pytest.fixture
def clip(tmp_path: Path) -> Callable[..., Path]:
    """`clip("a.mp4", frames=5, ...)`: a made clip in the test's folder."""

    def make(name: str = "clip.mp4", **recipe) -> Path:
        return make_clip(tmp_path / name, Recipe(**recipe))

    return make
