"""What every recipe of training does: take its folder, build its task, fit it, and publish the best checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from cdrl.training.distributed import World
from cdrl.training.loop import TrainingTask, fit, open_run
from cdrl.training.options import LoopOptions, ReleaseOptions
from cdrl.training.release import publish, read_best


class RecipeOptions(Protocol):
    """Options that every recipe has."""

    @property
    def loop(self) -> LoopOptions:
        """Options of the training loop."""

    @property
    def release(self) -> ReleaseOptions:
        """Where the result goes."""


class RecipeTask(TrainingTask, Protocol):
    """A training task that says what it is trained on."""

    @property
    def data_summary(self) -> str:
        """Number of clips, faces or people, in words."""


def train_recipe(
    name: str,
    options: RecipeOptions,
    build: Callable[[World], tuple[RecipeTask, Mapping[str, Any]]],
    export: Callable[[Path], bytes] = read_best,
) -> None:
    """Train a task in its own folder and publish the result where that is asked for.

    Args:
        name: Name of the recipe, as in `cdrl train NAME`.
        options: Options of the recipe.
        build: Builds the task in this process's world; returns it with the settings of the run, see `fit`.
        export: Makes the published file of the best checkpoint.

    Raises:
        CdrlError: What `fit` and `publish` raise.
    """
    with open_run(options.loop, f"cdrl train {name}") as world:
        task, settings = build(world)
        best = fit(task, options.loop, world, settings)
        target = options.release.publish
        if target is not None and world.is_main:
            origin = f"cdrl train {name} on {task.data_summary}"
            publish(export(best), target, origin, overwrite=options.release.overwrite)
