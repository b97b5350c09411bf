"""The folder of a run: its files, its log, and the settings that tell whose run it holds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cdrl.errors import InputError, OutputError, UsageError
from cdrl.evaluation.json_numbers import encode_report
from cdrl.files import atomic_write, remove_temporaries, sync
from cdrl.representations.checkpoints import read_tensors
from cdrl.training.checkpoint import START_OVER, read_state

TRAIN, VALIDATION = "train", "validation"
"""Kinds of records in the log."""
_RESULTS = ("step", "validation")  # what a checkpoint says of its run beside the settings
_GO_ON = "free space and run the command again, it goes on from the last saved step"


@contextmanager
def _explain_failure(what: str, advice: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"{what} ({error.strerror}): {advice}") from error


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run."""

    path: Path
    settings: Mapping[str, Any]
    """Every setting that shapes the result, as JSON types."""

    @property
    def last(self) -> Path:
        """The state to resume from."""
        return self.path / "last.safetensors"

    @property
    def best(self) -> Path:
        """The checkpoint with the best validation."""
        return self.path / "best.safetensors"

    @property
    def log(self) -> Path:
        """The log, a record in each line."""
        return self.path / "log.jsonl"

    @property
    def curves(self) -> Path:
        """TensorBoard's folder."""
        return self.path / "tensorboard"

    def clear(self, restart: bool) -> None:
        """Make the folder; remove what a kill left half-written, and with `restart` the run.

        Raises:
            OutputError: The folder cannot be written.
        """
        with _explain_failure(f"{self.path}: cannot be written", "choose another --output"):
            self.path.mkdir(parents=True, exist_ok=True)
            remove_temporaries(self.path)
            if restart:
                for path in (self.last, self.best, self.log):  # in this order: no state without its best
                    path.unlink(missing_ok=True)
                shutil.rmtree(self.curves, ignore_errors=True)

    def has_state(self) -> bool:
        """Return whether this run resumes from `last`.

        Raises:
            UsageError: The folder holds a run with other settings.
            InputError: A file of it is damaged, or the best checkpoint of the state is missing.
        """
        if self.last.is_file():
            facts = read_state(self.last)[1]
            self._compare(facts["settings"])
            if facts["best"] is not None and not self.best.is_file():
                raise InputError(
                    f"{self.best} is missing, but belongs to {self.last.name} beside it: put it back, or begin anew "
                    "with --restart"
                )
            return True
        if self.best.is_file():  # of this run, killed before its state was saved for the first time, or of another one
            self._compare(_read_settings(self.best))
        return False

    def _compare(self, theirs: Mapping[str, Any]) -> None:
        ours = self.settings
        if names := sorted(key for key in theirs.keys() | ours.keys() if theirs.get(key) != ours.get(key)):
            raise UsageError(f"{self.path} holds a run with other settings ({', '.join(names)}): {START_OVER}")

    def append_log(self, record: Mapping[str, Any]) -> None:
        """Append a record to the log.

        Raises:
            OutputError: The log cannot be written.
        """
        with _explain_failure(f"{self.path}: the log cannot be written", _GO_ON), self.log.open("ab") as file:
            file.write(encode_report(record, indent=None))

    def truncate_log(self, step: int, validated: int) -> int:
        """Remove the records after a saved state, and a line that a kill has torn: the resumed run writes them again.

        Args:
            step: Step of the saved state.
            validated: Step of its last validation.

        Returns:
            How many of the state's steps are not in the log.

        Raises:
            OutputError: The log cannot be read or written.
        """
        with _explain_failure(f"{self.log}: cannot be read", "choose another --output"):
            lines = self.log.read_bytes().splitlines() if self.log.is_file() else []
        last = {TRAIN: step, VALIDATION: validated}
        records = [(line, record) for line in lines if (record := _parse_record(line)) is not None]
        kept = [(line, record) for line, record in records if record["step"] <= last[record["kind"]]]
        if len(kept) < len(lines):
            atomic_write(self.log, [line + b"\n" for line, _ in kept])
        return step - len({record["step"] for _, record in kept if record["kind"] == TRAIN})

    def flush_log(self) -> None:
        """Wait until the log is on the disk.

        Raises:
            OutputError: The log cannot be written.
        """
        with _explain_failure(f"{self.log}: cannot be written", "free space, then go on"):
            sync(self.log)

    def open_curves(self, step: int) -> Any:
        """Open TensorBoard's writer for what comes after `step`."""
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415  slow to import, the first process's alone

        return SummaryWriter(str(self.curves), purge_step=step + 1)

    def append_curves(self, writer: Any, kind: str, terms: Mapping[str, float], step: int) -> None:
        """Add a point to each of the curves.

        Raises:
            OutputError: The curves cannot be written.
        """
        with _explain_failure(f"{self.curves}: the curves cannot be written", _GO_ON):
            for name, value in terms.items():
                writer.add_scalar(f"{kind}/{name}", value, step)


def _read_settings(checkpoint: Path) -> dict[str, Any]:
    """The settings that a checkpoint was trained with; empty where it does not record them."""
    try:
        config = read_tensors(checkpoint)[1].get("config")
    except InputError as error:
        raise InputError(f"{error}; {START_OVER}") from error
    settings = config.get("training") if isinstance(config, dict) else None
    return {k: v for k, v in settings.items() if k not in _RESULTS} if isinstance(settings, dict) else {}


def _parse_record(line: bytes) -> dict[str, Any] | None:
    """The record in a line of the log; None for a torn one."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    whole = isinstance(record, dict) and isinstance(record.get("step"), int)
    return record if whole and record.get("kind") in (TRAIN, VALIDATION) else None
