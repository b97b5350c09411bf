"""log.jsonl of a run: a line of JSON a step, and one a validation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cdrl.errors import OutputError
from cdrl.evaluation.json_numbers import encode_report
from cdrl.files import atomic_write, sync

NAME = "log.jsonl"
TRAIN, VALIDATION = "train", "validation"


def append(folder: Path, record: Mapping[str, Any]) -> None:
    """Append a record to a run's log.

    Raises:
        OutputError: The log cannot be written.
    """
    try:
        with (folder / NAME).open("ab") as file:
            file.write(encode_report(record, indent=None))
    except OSError as error:
        raise OutputError(
            f"{folder}: the log cannot be written ({error.strerror}): free space and run the command again, it goes on "
            "from the last saved step"
        ) from error


def truncate(folder: Path, step: int, validated: int) -> int:
    """Remove the records after a saved state, and a line that a kill has torn: the resumed run writes them again.

    Args:
        folder: Folder of the run.
        step: Step of the saved state.
        validated: Step of its last validation.

    Returns:
        How many of the state's steps are not in the log.

    Raises:
        OutputError: The log cannot be read or written.
    """
    path = folder / NAME
    try:
        lines = path.read_bytes().splitlines() if path.is_file() else []
    except OSError as error:
        raise OutputError(f"{path}: cannot be read ({error.strerror}): choose another --output") from error
    last = {TRAIN: step, VALIDATION: validated}
    records = [(line, record) for line in lines if (record := _parse_record(line)) is not None]
    kept = [(line, record) for line, record in records if record["step"] <= last[record["kind"]]]
    if len(kept) < len(lines):
        atomic_write(path, [line + b"\n" for line, _ in kept])
    return step - len({record["step"] for _, record in kept if record["kind"] == TRAIN})


def flush(folder: Path) -> None:
    """Wait until the log is on the disk.

    Raises:
        OutputError: The log cannot be written.
    """
    try:
        sync(folder / NAME)
    except OSError as error:
        raise OutputError(f"{folder / NAME}: cannot be written ({error.strerror}): free space, then go on") from error


def _parse_record(line: bytes) -> dict[str, Any] | None:
    """The record in a line; None for a torn one."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    whole = isinstance(record, dict) and isinstance(record.get("step"), int)
    return record if whole and record.get("kind") in (TRAIN, VALIDATION) else None
