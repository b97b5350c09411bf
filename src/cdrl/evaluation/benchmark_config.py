"""What the benchmarks take, without anything that evaluates: the command line reads it before torch is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cdrl.emotions import EMOTIONS
from cdrl.errors import OutputError
from cdrl.evaluation.measure_registry import ALL_EMOTIONS, DEFAULT_TARGETS, EXCLUDED_FROM_MEAN


@dataclass(frozen=True, kw_only=True)
class ReportConfig:
    """What every benchmark has: real clips, and where the numbers go."""

    data: Path
    """Folder of the data set that the sources are from."""
    json: Path | None = None
    """Where every number goes."""
    markdown: Path | None = None
    """Where the tables go; without any file they go to stdout."""

    def check_places(self) -> None:
        """Raise an OutputError, before hours are spent, where numbers or tables cannot be written."""
        for path in (self.json, self.markdown):
            if path is not None and (path.is_dir() or not path.parent.is_dir()):
                raise OutputError(f"{path}: not a place for a file; name one in a folder that exists")


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig(ReportConfig):
    """What the benchmarks have that say how an emotion looks and whose face it is."""

    cache: Path | None = None
    """Folder for what the evaluators saw of files that do not change; the user's cache by default."""
    recognition: Path | None = None
    """ONNX file of a face recognition network for FAD and identity; dlib's by default."""


@dataclass(frozen=True, kw_only=True)
class BenchmarkConfig(EvaluationConfig):
    """What the tables of methods share: further networks, and a page to look at."""

    html: Path | None = None
    """Where the report with plots and contact sheets goes."""
    expression: Path | None = None
    """ONNX file of an expression network for CSIM; the emotion network's features by default."""
    sync: str = "cdrl"
    """Evaluator of lips and sound: cdrl, cdrl:FILE or syncnet:FILE."""
    paper: bool = False
    """The paper's means: of all emotions, fear and neutral, too; a value an emotion over people, then their mean."""

    @property
    def excluded(self) -> tuple[str, ...]:
        """Emotions that are in no mean."""
        return () if self.paper else EXCLUDED_FROM_MEAN


@dataclass(frozen=True, kw_only=True)
class TableConfig(BenchmarkConfig):
    """What `evaluate_methods` edits and evaluates."""

    data: Path
    """Folder with clips.csv and peers.csv, and the files they name."""
    set: Literal["tune", "report"] = "tune"
    """tune: people an edit may be tuned on. report: people for the final table only."""
    priors: Path | None = None
    """Folder of prior_without_PERSON.npz; without it what ships is used and the row says so."""
    translators: tuple[str, ...] = ()
    """NAME=DIR: a row of that name, with translator_without_PERSON.onnx of DIR on those priors."""
    keep: Path | None = None
    """Folder that keeps the edited files, to be looked at."""
    emotions: tuple[str, ...] = ()
    """Emotions to ask for; by default all but neutral, with --paper neutral, too."""
    intensity: float = 1.0
    """Amount of emotion asked of cdrl."""
    renderer: str | None = None
    """What renders cdrl's edits, as --renderer of cdrl edit."""
    clips_per_person: int = 0
    """At most so many neutral clips a person; 0 takes all."""
    wild: bool = False
    """Tune set: add the clips of unnamed people in the wild."""
    edit: bool = True
    """Evaluate cdrl's own edits; without it only copies, published and real clips."""
    pairs: tuple[str, ...] = ()
    """NAME:NAME: paired differences, the first less the second; by default cdrl's row less each other."""

    @property
    def targets(self) -> tuple[str, ...]:
        """The emotions that are asked for."""
        return self.emotions or (ALL_EMOTIONS if self.paper else DEFAULT_TARGETS)


@dataclass(frozen=True, kw_only=True)
class TransferConfig(EvaluationConfig):
    """What `evaluate_transfer` edits and evaluates."""

    data: Path
    """Folder with clips.csv and the files it names."""
    set: Literal["tune", "report", "all"] = "tune"
    """tune: people an edit may be tuned on. report: people for the final table only. all: everybody."""
    priors: Path | None = None
    """Folder of prior_without_PERSON.npz; without it what ships is used and the table says so."""
    emotions: tuple[str, ...] = EMOTIONS
    """Emotions that are taken out and put on."""
    pairs: tuple[str, ...] = ()
    """FROM:TO: only these pairs of emotions; `all` stands for each, as in all:neutral. By default every pair."""
    intensity: float = 1.0
    """Amount of emotion asked of cdrl."""
    renderer: str | None = None
    """What renders cdrl's edits, as --renderer of cdrl edit."""
    enroll_neutral: bool = False
    """Show cdrl the person's neutral take of the same words, where that is not the source itself."""
    by_reference: bool = False
    """Ask by the person's real take as the reference, instead of by the emotion's label."""
    keep: Path | None = None
    """Folder that keeps the edited files, to be looked at."""


@dataclass(frozen=True, kw_only=True)
class RealismConfig(ReportConfig):
    """What `evaluate_realism` edits, and how the detector of edits is trained."""

    data: Path
    """Folder with clips.csv and the files it names."""
    set: Literal["tune", "report", "all"] = "tune"
    """People who are left out, one after the other. tune: those an edit may be tuned on. report: those for the final
    table only. all: everybody with labeled clips."""
    methods: tuple[str, ...] = ("cdrl",)
    """Methods beside each other: cdrl, the edit of this version; warp and neural, the same by either renderer;
    NAME=FILE, by a renderer of one's own; and NAME=DIR, edits that --keep has kept."""
    priors: Path | None = None
    """Folder of prior_without_PERSON.npz for cdrl's edits of the people left out; without it what ships is used and the
    table says so."""
    emotions: tuple[str, ...] = EMOTIONS
    """Emotions that are put on."""
    intensity: float = 1.0
    """Amount of emotion asked of cdrl."""
    clips: int = 7
    """At most so many clips of each person left out, spread over the emotions they show, each edited to every other."""
    training_clips: int = 2
    """At most so many clips of each other person."""
    training_edits: int = 2
    """Emotions that each of these is edited to, in turn."""
    seconds: float = 2.0
    """How much of each clip is used, from its beginning."""
    frames: int = 10
    """Frames of each file that are looked at, evenly spaced."""
    seed: int = 0
    """Seed of the control: which of two real frames is called edited."""
    keep: Path | None = None
    """Folder that keeps the files of both sides, to be looked at, and to be a method of a later run."""


@dataclass(frozen=True, kw_only=True)
class ResultsConfig(BenchmarkConfig):
    """What `evaluate_results` evaluates."""

    results: Path
    """The table of results; relative paths in it are relative to it."""
    data: Path
    """Folder (or its clips.csv) of the data set that the sources are from: MEAD, RAVDESS, CREMA-D or clips.csv."""
    baseline: str = ""
    """Method that every other one is compared with, clip by clip."""
    layout: str = "auto"
    """Layout of the data set: auto, plain, mead, ravdess or crema-d."""
    real_clips: int = 8
    """At most so many real clips of a person and emotion, beside those of the sources' words; 0 takes all."""
