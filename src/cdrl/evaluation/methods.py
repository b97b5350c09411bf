"""What is compared: anything that makes an edited file out of a source file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cdrl
from cdrl.errors import AssetError
from cdrl.evaluation.clips import plain_copy


class Method(Protocol):
    """A way to change the emotion of a clip. It writes `output`; raising a `CdrlError` is a miss."""

    @property
    def name(self) -> str:
        """The row's name in the table."""
        ...

    def __call__(self, source: Path, emotion: str, output: Path, person: str) -> None:
        """Edit `source`, a clip of `person`, and write the result."""
        ...


@dataclass(frozen=True)
class PlainCopy:
    """Decoded and encoded again, nothing else: the ceiling of the lip measures, the floor of the emotion."""

    name: str = "plain copy"
    crf: int = 18

    def __call__(self, source: Path, emotion: str, output: Path, person: str) -> None:
        """Copy; emotion and person play no part."""
        plain_copy(source, output, self.crf)


@dataclass(frozen=True)
class Edit:
    """`cdrl`'s own edit through its public interface, with a prior that the judged person is no part of.

    `priors`: a folder of `prior_without_<person>.npz`; None takes the shipped prior, which may hold the person, and
    says so in its name. `strangers`: people no prior holds, so that any will do (the shipped one is used).
    """

    priors: Path | None
    intensity: float = 1.0
    strangers: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        return "cdrl" if self.priors is not None else "cdrl (shipped prior, holds these people)"

    def prior(self, person: str) -> Path | None:
        """The prior a person may be judged by; `AssetError` when the folder lacks it."""
        if self.priors is None or person in self.strangers:
            return None
        path = self.priors / f"prior_without_{person}.npz"
        if not path.is_file():
            raise AssetError(
                f"{path} is missing: fit a prior without {person}, or the table would judge it on its own data"
            )
        return path

    def __call__(self, source: Path, emotion: str, output: Path, person: str) -> None:
        """Edit at full length with default settings."""
        cdrl.load(prior=self.prior(person)).edit(source, emotion=emotion, intensity=self.intensity).save(output)
