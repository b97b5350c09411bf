"""What a run of `cdrl data prepare` has made in a folder, and nothing else: only that is ever removed or replaced.

Shards are named by the manifest before they take their names, and everything unfinished lies in the subfolder `parts`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path

from cdrl.datasets.shards import (
    BLOCK,
    MANIFEST,
    SHARD_NAME,
    Manifest,
    Shard,
    facts_end,
    move_file,
    part_facts,
    read_manifest,
)
from cdrl.errors import InputError, UsageError
from cdrl.files import file_sha256, remove_temporaries

_STAGED = re.compile(r"\d{6,}\.shard\.tar")  # no part is named so: clips' ids hold no dot


class Workplace:
    """The folder `output` of one run, which has it locked. `known`: ids of the data set's clips."""

    def __init__(self, output: Path, known: Collection[str]) -> None:
        self.output, self._known = output, known
        self.parts = output / "parts"

    def read(self, restart: bool) -> Manifest | None:
        """The manifest; None in a folder that no run has worked in yet.

        Raises UsageError, naming the file, where somebody else's lies in the way: a manifest, a shard's or a part's
        name; with `restart` any tar, since what is begun anew is all that the folder should hold.
        """
        path = self.output / MANIFEST
        try:
            manifest = read_manifest(self.output) if path.exists() else None
        except InputError as error:
            raise _in_the_way(path) from error
        ours = {shard.name for shard in manifest.shards} if manifest else set()
        strange = [
            tar for tar in _tars(self.output) if tar.name not in ours and (restart or SHARD_NAME.match(tar.name))
        ]
        if manifest is None:
            strange += [tar for tar in _tars(self.parts) if restart or tar.stem in self._known]
        if strange:
            raise _in_the_way(strange[0])
        return manifest

    def open(self) -> None:
        """Make the subfolder and remove what a killed run left unfinished in it."""
        self.parts.mkdir(parents=True, exist_ok=True)
        remove_temporaries(self.parts)

    def part(self, clip: str) -> Path:
        """Where the part of a clip lies until it is packed."""
        return self.parts / f"{clip}.tar"

    def staged(self, shard: str) -> Path:
        """Where a shard is written before the manifest names it."""
        return self.parts / f"{Path(shard).stem}.shard.tar"

    def finish(self, shard: str) -> None:
        """Give a shard that the manifest names its name. Raises UsageError where that is taken, OutputError."""
        path = self.output / shard
        if path.exists():
            raise _in_the_way(path)
        move_file(self.staged(shard), path)

    def is_whole(self, shard: Shard) -> bool:
        """Whether a shard that the manifest names is there as it says; one that was only staged takes its name."""
        path, staged = self.output / shard.name, self.staged(shard.name)
        if not path.exists() and _is(staged, shard):
            move_file(staged, path)
            return True
        return _is(path, shard)

    def own_parts(self) -> Iterator[Path]:
        """Parts that a run of `cdrl data prepare` has written, whether they are whole or not."""
        for path in _tars(self.parts):
            if not _STAGED.fullmatch(path.name) and (path.stem in self._known or _reads_as_part(path)):
                yield path

    def clear(self, manifest: Manifest) -> None:
        """Remove the shards that the manifest names and everything unfinished; the manifest stays."""
        for shard in manifest.shards:
            (self.output / shard.name).unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Remove everything unfinished, and the subfolder where nobody else has put something there."""
        if not self.parts.is_dir():
            return
        remove_temporaries(self.parts)
        for path in [*self.own_parts(), *self._staged_shards(), self.parts / MANIFEST]:
            path.unlink(missing_ok=True)
        if not any(self.parts.iterdir()):
            self.parts.rmdir()

    def drop_staged(self) -> None:
        """Remove shards that were written and never named; their parts are there still."""
        for path in self._staged_shards():
            path.unlink()

    def _staged_shards(self) -> list[Path]:
        return [path for path in _tars(self.parts) if _STAGED.fullmatch(path.name)]


def _tars(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.tar") if not path.name.startswith("."))


def _is(path: Path, shard: Shard) -> bool:
    return path.is_file() and path.stat().st_size == shard.bytes and file_sha256(path) == shard.sha256


def _reads_as_part(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(BLOCK)
            head += file.read(facts_end(head) - BLOCK)
        return "clip" in part_facts(head) and head.startswith(f"{path.stem}.json\0".encode())
    except (OSError, ValueError):
        return False


def _in_the_way(path: Path) -> UsageError:
    return UsageError(
        f"{path} is no file of this run of `cdrl data prepare`, which touches no others: choose another --output, or "
        "move it away"
    )
