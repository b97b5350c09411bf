"""Tables of comma-separated values that users write, read strictly: one reader for every command."""

from __future__ import annotations

import csv
from collections.abc import Collection
from pathlib import Path

from cdrl.errors import CdrlError, InputError


def read_rows(
    path: Path, required: Collection[str] = (), missing_error: type[CdrlError] = InputError
) -> list[tuple[int, dict[str, str]]]:
    """Read a table whose first line names the columns.

    Args:
        path: A file in UTF-8, with or without a byte order mark.
        required: Columns that the table must have.
        missing_error: What is raised where it lacks one.

    Returns:
        The number of each row's last line in the file, from 1, and the row: column to value, without surrounding
        blanks. Missing values are empty; empty rows and values beyond the last column are left out.

    Raises:
        InputError: The file is not a table in UTF-8.
        CdrlError: It lacks a required column; of the class `missing_error`.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = list(reader.fieldnames or ())
            rows = [(reader.line_num, {name: (row[name] or "").strip() for name in columns if name}) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a table of comma-separated values in UTF-8 ({error})") from error
    if missing := [name for name in required if name not in columns]:
        begin = ",".join(required)
        raise missing_error(f"{path}: no column {', '.join(missing)}; begin it with a line {begin}")
    return [(number, row) for number, row in rows if any(row.values())]
