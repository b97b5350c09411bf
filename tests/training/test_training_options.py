"""Presets of options: what they set, and what they refuse beside them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest

from cdrl.cli.arguments import parse_options
from cdrl.errors import UsageError
from cdrl.training.presets import use_paper_setting


@dataclass(frozen=True)
class Group:
    """A group of options."""

    rate: float = 0.5
    steps: int = 100


@dataclass(frozen=True)
class Options:
    """Options with a preset."""

    data: str
    paper: bool = False
    """The preset."""
    loss: str = "both"
    offsets: tuple[int, ...] = (-1, 0, 1)
    audio: bool = False
    group: Group = field(default_factory=lambda: Group(steps=7))
    PAPER: ClassVar[Mapping[str, Any]] = {"loss": "paper", "offsets": (0,), "audio": True, "group": {"rate": 1e-5}}


def parse(*words):
    return parse_options(Options, ["--data", "x", *words], "program")


def test_a_preset_sets_its_options_and_leaves_the_others():
    wanted = Options("x", True, "paper", (0,), True, Group(1e-5, 7))
    assert use_paper_setting(Options("x", paper=True)) == wanted
    assert use_paper_setting(wanted) == wanted
    assert use_paper_setting(Options("x", loss="infonce")) == Options("x", loss="infonce")
    assert parse("--paper") == wanted
    assert parse("--paper", "--loss", "paper", "--steps", "9").group == Group(1e-5, 9)


@pytest.mark.parametrize(
    ("words", "set_to", "given"),
    [
        (["--loss", "infonce"], "--loss paper", "--loss infonce"),
        (["--loss=both"], "--loss paper", "--loss both"),  # the default, but asked for
        (["--offsets", "-1", "0", "1"], "--offsets 0", "--offsets -1 0 1"),
        (["--no-audio"], "--audio", "--no-audio"),
        (["--rate", "0.1"], "--rate 1e-05", "--rate 0.1"),
    ],
)
def test_an_option_that_the_preset_sets_otherwise_is_refused_by_name(words, set_to, given):
    with pytest.raises(UsageError, match=f"^--paper sets {set_to}, but {given} is given: leave out one of the two$"):
        parse(*words, "--paper")
    assert not parse(*words).paper
