"""Reads the tables of clips and pictures that training takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cdrl.csv_tables import read_rows
from cdrl.errors import InputNotFoundError, UsageError


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
        UsageError: A column is missing, or there are no rows.
    """
    needed = ",".join(columns)
    if not path.is_file():
        raise InputNotFoundError(f"{path}: no such table; {option} takes a folder with {path.name} ({needed})")
    rows = [row for _, row in read_rows(path, columns, UsageError)]
    if not rows:
        raise UsageError(f"{path}: no rows below its first line, {needed}")
    return rows
