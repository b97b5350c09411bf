"""Every command of `cdrl`, and how its module is imported."""

from __future__ import annotations

from pkgutil import resolve_name
from typing import Any

from cdrl.errors import UsageError
from cdrl.extras import SOURCES

COMMANDS = {
    "edit": ("cdrl.cli.edit", "change the emotion of a video"),
    "app": ("cdrl.cli.app", "edit in a browser, on this machine alone"),
    "batch": ("cdrl.cli.batch", "edit many videos, resumable"),
    "export": ("cdrl.cli.export", "write a performance for an avatar, as Live Link Face or as JSON"),
    "live": ("cdrl.cli.live", "change the emotion of a camera's picture while it runs"),
    "verify": ("cdrl.cli.verify", "say what was edited in a video, and check it"),
    "data check": ("cdrl.cli.data_check", "read a data set's layout and name what is broken or missing"),
    "data prepare": ("cdrl.cli.data_prepare", "detect, align and pack a data set for training"),
    "data synth": ("cdrl-synthetic", "make talking heads that say the same words in different emotions"),
    "train prior": ("cdrl.cli.train:prior", "fit the emotion prior on labeled clips"),
    "train vlm": ("cdrl.cli.train:vlm", "train the embedded visual-language model of faces"),
    "train segmenter": ("cdrl.cli.train:segmenter", "train the segmenter of occluders and background"),
    "train renderer": ("cdrl.cli.train:renderer", "train the neural renderer of edited faces"),
    "train content": ("cdrl.cli.train:content", "train the content representation (CCRL)"),
    "train emotion": ("cdrl.cli.train:emotion", "train the emotion representation (CERL)"),
    "train sync": ("cdrl.cli.train:sync", "train the evaluator of lip sync"),
    "train translator": ("cdrl.cli.train:translator", "train how people show emotions, under both representations"),
    "evaluate edit": ("cdrl.cli.evaluate_edit", "evaluate an edited video beside its source"),
    "evaluate table": ("cdrl.cli.evaluate_table", "evaluate edits of many clips, beside other methods"),
    "evaluate transfer": (
        "cdrl.cli.evaluate_transfer",
        "take every emotion out of real takes and put every other on, beside the real ones",
    ),
    "evaluate realism": (
        "cdrl.cli.evaluate_realism",
        "show how well edits can be told from real footage, by detectors that never saw the person",
    ),
    "evaluate results": ("cdrl.cli.evaluate_results", "evaluate any finished files, of any methods"),
    "evaluate representation": (
        "cdrl.cli.evaluate_representation",
        "show whether the representations are right on people they never saw",
    ),
    "evaluate sync": (
        "cdrl.cli.evaluate_sync",
        "show how well the evaluator of lip sync tells them apart on people it never saw",
    ),
    "convert": ("cdrl.cli.convert", "make safetensors of a PyTorch checkpoint"),
    "completion": ("cdrl.cli.completion", "print what makes the tab key complete in bash, zsh or fish"),
    "doctor": ("cdrl.cli.doctor", "say what is installed and whether editing can run"),
}
"""Words of the command → the module or the object in one that it is, or the distribution that adds it; what it does."""

GROUP = "cdrl.commands"
"""The entry points of distributions that add commands: `data.synth = "package.module"`."""

MOVED_COMMANDS = {"train ned": "python -m experiments.train_ned"}
"""Words of a command that left the package → the program that replaces it, in a checkout of the repository."""


def import_command(name: str) -> Any:
    """Import a command.

    Args:
        name: A key of `COMMANDS`.

    Returns:
        A module, or what stands for one, with `Options` and `run`.

    Raises:
        UsageError: The command is added by a distribution that is not installed.
    """
    source = COMMANDS[name][0]
    if source not in SOURCES:
        return resolve_name(source)
    from importlib.metadata import entry_points

    for entry in entry_points(group=GROUP, name=name.replace(" ", ".")):
        return entry.load()
    raise UsageError(f"cdrl {name} needs {source}, which is not installed: {SOURCES[source]}")
