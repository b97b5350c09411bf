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
from cdrl.training.checkpoint import read_facts
from cdrl.training.settings import find_differences

_PARTIAL_FILE = re.compile(r"\.[0-9a-f]{12}\.part\.(safetensors|jsonl)")  # see `cdrl.files.temporary_path`
_RESULTS = ("step", "validation")  # what a checkpoint says of its run beside the settings


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
    def curves(self) -> Path:
        """TensorBoard's folder."""
        return self.path / "tensorboard"

    def open_tensorboard(self, step: int) -> Any:
        """Open TensorBoard's writer for what comes after `step`."""
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415  slow to import, the first process's alone

        return SummaryWriter(str(self.curves), purge_step=step + 1)

    def clear(self, restart: bool) -> None:
        """Make the folder; remove what a kill left half-written, and with `restart` the run.

        Raises:
            OutputError: The folder cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for path in self.path.iterdir():
                if _PARTIAL_FILE.fullmatch(path.name):
                    path.unlink()
            if restart:
                for path in (self.last, self.best, self.path / log.NAME):  # in this order: no state without its best
                    path.unlink(missing_ok=True)
                shutil.rmtree(self.curves, ignore_errors=True)
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written ({error.strerror}): choose another --output") from error

    def has_state(self) -> bool:
        """Return whether this run resumes from `last`.

        Raises:
            UsageError: The folder holds a run with other settings.
            InputError: A file of it is damaged, or the best checkpoint of the state is missing.
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
            self._compare(_read_settings(self.best))
        return False

    def _compare(self, theirs: Mapping[str, Any]) -> None:
        if names := find_differences(theirs, self.settings):
            raise UsageError(
                f"{self.path} holds a run with other settings ({', '.join(names)}): choose another --output, or begin "
                "anew with --restart"
            )


def _read_settings(checkpoint: Path) -> dict[str, Any]:
    """The settings that a checkpoint was trained with; empty where it does not record them."""
    try:
        config = read_tensors(checkpoint)[1].get("config")
    except InputError as error:
        raise InputError(f"{error}; choose another --output, or begin anew with --restart") from error
    settings = config.get("training") if isinstance(config, dict) else None
    return {k: v for k, v in settings.items() if k not in _RESULTS} if isinstance(settings, dict) else {}
