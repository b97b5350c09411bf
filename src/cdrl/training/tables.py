"""Reads the tables of clips and pictures that training takes."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from cdrl.errors import InputError, InputNotFoundError, UsageError


def read_table(path: Path, columns: Sequence[str], option: str) -> list[dict[str, str]]:
    """Read a CSV file in UTF-8, with or without a byte order mark.

    Args:
        path: The file.
        columns: Columns that it must have; others are kept.
        option: The option that takes the file's folder, for messages.

    Returns:
        The rows, stripped of white space; a short row has empty values.

    Raises:
        InputNotFoundError: There is no such file.
        InputError: The file is not a table.
        UsageError: A column is missing.
    """
    wanted = ",".join(columns)
    if not path.is_file():
        raise InputNotFoundError(f"{path}: no such table; {option} takes a folder with {path.name} ({wanted})")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a table of comma-separated values in UTF-8 ({error})") from error
    if missing := sorted(set(columns) - set(rows[0] if rows else ())):
        raise UsageError(f"{path}: no column {', '.join(missing)}; write {wanted}")
    return [{name: (value or "").strip() for name, value in row.items() if isinstance(name, str)} for row in rows]
