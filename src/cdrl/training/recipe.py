"""What every recipe of training does: take its folder, build its task, fit it, and publish the best checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from cdrl.files import file_sha256
from cdrl.training.distributed import World
from cdrl.training.loop import TrainingTask, fit, open_run
from cdrl.training.options import RecipeOptions
from cdrl.training.release import publish

# Not compared between runs: the loop's own, which `fit` compares, places of results, places of folders (a digest of
# what is in them is), and what refuses data without changing them.
_IGNORED = frozenset({"loop", "release", "publish", "overwrite", "data", "stills", "cache", "check_people"})


class RecipeTask(TrainingTask, Protocol):
    """A training task that says what it is trained on."""

    @property
    def data_summary(self) -> str:
        """Number of clips, faces or people, in words."""

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of the run, see `recipe_settings`."""


def train_recipe(
    name: str,
    options: RecipeOptions,
    build: Callable[[World], RecipeTask],
    export: Callable[[Path], bytes] = Path.read_bytes,
) -> None:
    """Train a task in its own folder and publish the result where that is asked for.

    Args:
        name: Name of the recipe, as in `cdrl train NAME`.
        options: Options of the recipe.
        build: Builds the task in this process's world.
        export: Makes the published file of the best checkpoint.

    Raises:
        CdrlError: What `fit` and `publish` raise.
    """
    with open_run(options.loop, f"cdrl train {name}") as world:
        task = build(world)
        best = fit(task, options.loop, world, task.settings)
        target = options.release.publish
        if target is not None and world.is_main:
            origin = f"cdrl train {name} on {task.data_summary}"
            publish(export(best), target, origin, overwrite=options.release.overwrite)


def recipe_settings(options: Any, digest: str, **further: Any) -> dict[str, Any]:
    """Describe a run by every option that shapes its result, so that a folder's run is resumed only as the run it was.

    A file is described by the SHA-256 of its bytes: the name alone does not tell what is in it.

    Args:
        options: The recipe's options, a dataclass; groups of options inside it are flattened.
        digest: Digest of the data.
        further: More settings by name.
    """
    chosen: dict[str, Any] = {}
    for name, value in asdict(options).items():
        if name not in _IGNORED:
            chosen |= value if isinstance(value, dict) else {name: value}
    compared = {name: _replace_files(value) for name, value in chosen.items() if name not in _IGNORED}
    return {**compared, "data": digest, **further}


def _replace_files(value: Any) -> Any:
    """Replace files, as in `Path("own.npz")` or "iresnet50:arcface.safetensors", by their digests."""
    if isinstance(value, list | tuple):
        return [_replace_files(inside) for inside in value]
    if isinstance(value, Path):
        return f"SHA-256 {file_sha256(value)}" if value.is_file() else str(value)
    if isinstance(value, str):
        kind, colon, name = value.rpartition(":")
        return f"{kind}{colon}{_replace_files(Path(name))}" if Path(name).suffix else value
    return value
