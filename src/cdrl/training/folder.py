"""A run's folder: log.jsonl, tensorboard/, last.safetensors to go on from, best.safetensors; and whose run it is."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cdrl.errors import InputError, OutputError, UsageError
from cdrl.representations.checkpoints import read_tensors
from cdrl.training import log
from cdrl.training.settings import differing
from cdrl.training.state import read_facts

_HALF_WRITTEN = re.compile(r"\.[0-9a-f]{12}\.part\.(safetensors|jsonl)")  # see `cdrl.files.temporary_path`
_RESULTS = ("step", "validation")  # what a checkpoint says of its run beside the settings


@dataclass(frozen=True)
class RunFolder:
    """The folder at `path` of a run with these `settings`."""

    path: Path
    settings: Mapping[str, Any]

    @property
    def last(self) -> Path:
        """The state to go on from."""
        return self.path / "last.safetensors"

    @property
    def best(self) -> Path:
        """The checkpoint with the best validation."""
        return self.path / "best.safetensors"

    @property
    def curves(self) -> Path:
        """TensorBoard's folder."""
        return self.path / "tensorboard"

    def opened_curves(self, step: int) -> Any:
        """TensorBoard's writer, for what comes after `step`."""
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415  slow to import, the first process's alone

        return SummaryWriter(str(self.curves), purge_step=step + 1)

    def clear(self, restart: bool) -> None:
        """Make the folder; remove what a kill left half-written, and with `restart` the run. Raises OutputError."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for path in self.path.iterdir():
                if _HALF_WRITTEN.fullmatch(path.name):
                    path.unlink()
            if restart:
                for path in (self.last, self.best, self.path / log.NAME):  # in this order: no state without its best
                    path.unlink(missing_ok=True)
                shutil.rmtree(self.curves, ignore_errors=True)
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written ({error.strerror}): choose another --output") from error

    def holds_state(self) -> bool:
        """Whether this run is to go on from `last`.

        Raises UsageError where the folder holds a run with other settings, InputError where a file of it is damaged,
        or the best checkpoint of the state is missing.
        """
        if self.last.is_file():
            facts = read_facts(self.last)
            self._compare(facts["settings"])
            if facts["best"] is not None and not self.best.is_file():
                raise InputError(
                    f"{self.best} is missing, but belongs to {self.last.name} beside it: put it back, or begin anew "
                    "with --restart"
                )
            return True
        if self.best.is_file():  # of this run, killed before its state was saved for the first time, or of another one
            self._compare(_said(self.best))
        return False

    def _compare(self, theirs: Mapping[str, Any]) -> None:
        if other := differing(theirs, self.settings):
            raise UsageError(
                f"{self.path} holds a run with other settings ({', '.join(other)}): choose another --output, or begin "
                "anew with --restart"
            )


def _said(checkpoint: Path) -> dict[str, Any]:
    """The settings that a checkpoint says it was trained with; none of one that says nothing."""
    try:
        config = read_tensors(checkpoint)[1].get("config")
    except InputError as error:
        raise InputError(f"{error}; choose another --output, or begin anew with --restart") from error
    said = config.get("training") if isinstance(config, dict) else None
    return {name: value for name, value in said.items() if name not in _RESULTS} if isinstance(said, dict) else {}
