"""Presets: the paper's own setting of a recipe's options, by `--paper`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import MISSING, fields, replace
from typing import Any, TypeVar

from cdrl.errors import UsageError

OptionsType = TypeVar("OptionsType")


def use_paper_setting(options: OptionsType, given: Collection[str] = ()) -> OptionsType:
    """Set what `PAPER` names where `paper` is on; both are attributes of the options' dataclass.

    Args:
        options: The options of a recipe.
        given: Options that the user named, as in "--loss"; those are refused with another value even if it is the
            default one.

    Returns:
        The options; the same ones where `paper` is off.

    Raises:
        UsageError: An option that the preset sets has another value.
    """
    chosen: Any = options
    if not chosen.paper:
        return options
    defaults = {
        entry.name: entry.default_factory() if entry.default_factory is not MISSING else entry.default
        for entry in fields(chosen)
    }
    required = {name: getattr(options, name) for name, value in defaults.items() if value is MISSING}
    return apply_preset(options, type(options)(**{**defaults, **required}), chosen.PAPER, given)


def apply_preset(
    options: OptionsType, defaults: OptionsType, preset: Mapping[str, Any], given: Collection[str] = ()
) -> OptionsType:
    """Set options to the values of a preset.

    Args:
        options: The options, a dataclass.
        defaults: The same with every option at its default.
        preset: Name of a field → value; of a group of options → a preset of the group.
        given: Options that the user named; see `use_paper_setting`.

    Returns:
        The options with the values of the preset.

    Raises:
        UsageError: An option that the preset sets has another value.
    """
    chosen: Any = options
    values: dict[str, Any] = {}
    for name, value in preset.items():
        current, default = getattr(chosen, name), getattr(defaults, name)
        if isinstance(value, Mapping):
            values[name] = apply_preset(current, default, value, given)
            continue
        flags = {_write_option(name, state).partition(" ")[0] for state in (value, current)}
        if current != value and (current != default or flags & set(given)):
            raise UsageError(
                f"--paper sets {_write_option(name, value)}, but {_write_option(name, current)} is given: leave out "
                "one of the two"
            )
        values[name] = value
    changed: OptionsType = replace(chosen, **values)
    return changed


def _write_option(name: str, value: object) -> str:
    """An option as it is typed: `--loss paper`, `--no-audio`."""
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{flag}" if value else f"--no-{flag}"
    return f"--{flag} {' '.join(map(str, value)) if isinstance(value, tuple) else value}"
