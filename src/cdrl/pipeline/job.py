"""An edit of one clip that is ready to run: the stages in threads of their own, and the result as a file."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np

from cdrl.errors import UsageError
from cdrl.face.landmarks import BundleDetector
from cdrl.face.tracking import FaceTracker
from cdrl.manipulation.manipulator import Manipulator
from cdrl.manipulation.prior import EmotionPrior
from cdrl.media import (
    EncoderOptions,
    Frame,
    FrameReader,
    Limits,
    SequenceWriter,
    VideoInfo,
    Writer,
    read,
    run_stages,
)
from cdrl.media.encoding import check_layer
from cdrl.media.parts import ClipPart
from cdrl.media.picture_writing import output_path
from cdrl.pipeline.presentation import ContactSheet, check_picture, side_by_side
from cdrl.pipeline.report import ESTIMATED, Report, StageClock, check_result, lip_opening
from cdrl.pipeline.stages import EditedFrame, EditStages, TrackedFrame, anticipate_occluders
from cdrl.pipeline.survey import Survey, Surveyor
from cdrl.plan import EditPlan, EditTally
from cdrl.provenance import Credentials, ModelFile, PictureProvenance, ProvenanceFinalizer, remove_sidecar
from cdrl.provenance.finalizing import ResultProvenance
from cdrl.rendering.neural import NeuralRenderer
from cdrl.request import EditRequest

ProgressCallback = Callable[[int, int | None], None]
"""Called with the number of frames done, and of all frames where that is known."""

Marks = TypeVar("Marks", bound=ResultProvenance)

_QUEUE_SIZE = 3  # frames between two stages


@dataclass(frozen=True)
class OutputOptions:
    """What is written beside the frames, and how."""

    overwrite: bool = False
    """Replace files that exist."""
    encoder: EncoderOptions = EncoderOptions()  # noqa: RUF009 - frozen
    preview: Path | None = None
    """Where a contact sheet goes, source above edited; None for none."""
    side_by_side: bool = False
    """Show the source on the left of the result."""
    layer: bool = False
    """Show only what the edit changes, on transparent ground, to be put over the source."""
    measure_lips: bool = False
    """Look at the edited lips again, for the report."""
    provenance: bool = True
    """Say inside the video and in a sidecar beside it that it was edited."""
    c2pa: Credentials | None = None
    """Who signs the result; nobody for None."""

    def __post_init__(self) -> None:
        if self.preview is not None:
            object.__setattr__(self, "preview", Path(self.preview))


@dataclass(frozen=True)
class EditJob:
    """An edit, ready to run; `Editor.edit` makes it. Each call of `frames` or `save` runs it anew.

    Attributes:
        request: What is asked for.
        plan: Its plan, fitted to the clip.
        info: What the source is.
        manipulator: Turns the plan's amounts into changes of expression.
        prior: Says how people and emotions differ.
        survey: Who is seen first; None where nobody is looked for.
        survey_seconds: How long it took to find out.
        models: Files of numbers that take part, for the record.
        limits: What files may hold.
        neural: Corrects what the warp renders; None for the warp alone.
    """

    request: EditRequest
    plan: EditPlan
    info: VideoInfo
    manipulator: Manipulator
    prior: EmotionPrior
    survey: Survey | None
    survey_seconds: float
    models: Sequence[ModelFile]
    limits: Limits
    neural: NeuralRenderer | None = None

    def frames(self) -> Generator[EditedFrame, None, None]:
        """Edit the clip's frames, in order; at most a few are in memory at a time."""
        with self._read() as reader:
            yield from self._run(reader, self._new_report(""))

    @cached_property
    def part(self) -> ClipPart | None:
        """The part of the clip that is edited; None for all of it."""
        return self.request.fit_part(self.info)

    def _read(self, *, keep_rgb: bool = False) -> FrameReader:
        if self.part is None:
            return read(self.info, self.limits, keep_rgb=keep_rgb)
        return read(self.info, self.limits, stop=self.part.end, start=self.part.begin, keep_rgb=keep_rgb)

    def save(
        self,
        path: str | Path,
        options: OutputOptions | None = None,
        *,
        progress: ProgressCallback | None = None,
        **fields: object,
    ) -> Report:
        """Write the edited video or its numbered pictures, whole or not at all.

        What was edited is said inside the video and in a sidecar beside it. Have the consent of the person shown: this
        interface does not ask.

        Args:
            path: Where the result goes; a video's ending chooses the container, pictures take a pattern or a folder.
            options: How it is written.
            progress: Called after each frame.
            fields: Without `options`, the fields of `OutputOptions`, as in `overwrite=True`.

        Raises:
            OutputError: The result cannot be written.
            OutputExistsError: It exists and is not to be overwritten.
            InputError: The source is damaged, or was changed meanwhile.
            FaceError: No frame shows the face.
        """
        options = options or OutputOptions(**fields)  # type: ignore[arg-type]
        options = replace(options, encoder=options.encoder.with_profile(self.request.profile))
        if options.layer:
            check_layer(options.encoder, side_by_side=options.side_by_side)
        part = self.part
        info = self.info if part is None else part.describe(self.info)
        output = output_path(Path(path), info.sequence, options.encoder)
        report = self._new_report(str(output))
        if options.preview is not None:
            check_picture(options.preview, self.request.source, output, options.overwrite)
        sheet = None if options.preview is None else ContactSheet(options.preview, info.color)
        writer, sidecar = self._make_writer(output, info, report, options)
        with self._read(keep_rgb=options.encoder.is_sequence and not options.side_by_side) as reader:
            with writer, closing(self._run(reader, report)) as frames:
                self._encode(frames, writer, report, sheet, options, progress)
                check_result(report, self.plan, self.request.face, is_part=part is not None)
            report.notes += [*reader.notes, *writer.notes, *(() if part is None else part.notes)]
            report.n_copied = writer.n_copied
            if options.layer and info.tracks:
                report.notes.append("sound and all else beside the picture are left to the source")
        report.finalize()
        if sidecar is not None:
            report.sidecar = str(sidecar)
        else:
            report.warnings.append(
                f"{output}: provenance was turned off: nothing in or beside the video says it was edited"
            )
            if options.overwrite:
                remove_sidecar(output)
        if sheet is not None:
            sheet.save()
        return report

    def _make_writer(
        self, output: Path, info: VideoInfo, report: Report, options: OutputOptions
    ) -> tuple[Writer | SequenceWriter, Path | None]:
        """What writes the result, with its marks, and the name of the sidecar; None for none."""
        if options.c2pa is not None and not options.provenance:
            raise UsageError("c2pa signs the provenance, which is turned off: choose one")
        encoder, overwrite, part, limits = options.encoder, options.overwrite, self.part, self.limits
        if encoder.is_sequence:
            marker = self._make_marks(PictureProvenance, output, info, report, options)
            pictures = SequenceWriter(
                output, info, encoder, part=part, layer=options.layer, overwrite=overwrite, marker=marker,
                limits=limits,
            )  # fmt: skip
            return pictures, None if marker is None else marker.sidecar
        finalizer = self._make_marks(ProvenanceFinalizer, output, info, report, options)
        size = (2 * info.width, info.height) if options.side_by_side else None
        film = Writer(
            output, info, encoder, size=size, part=part, layer=options.layer, overwrite=overwrite, finalizer=finalizer,
            limits=limits,
        )  # fmt: skip
        return film, None if finalizer is None else finalizer.sidecar

    def _make_marks(
        self, kind: type[Marks], output: Path, info: VideoInfo, report: Report, options: OutputOptions
    ) -> Marks | None:
        """What says of the result that it was edited; None where that is turned off."""
        if not options.provenance:
            return None
        return kind(
            info, output, self.plan, report.tally, self.models, enrolled=tuple(self.request.enroll),
            beside=options.side_by_side, layer=options.layer, credentials=options.c2pa,
        )  # fmt: skip

    @contextmanager
    def stages(self, tracker: FaceTracker) -> Iterator[EditStages]:
        """New stages for the clip's frames, from the first one on, until the end of the block."""
        with closing(self._surveyor(tracker)) as surveyor:
            yield EditStages(self.manipulator, tracker, self.plan.weights, surveyor, neural=self.neural)

    def _surveyor(self, tracker: FaceTracker | None, clock: StageClock | None = None) -> Surveyor:
        def is_asked(time: Fraction) -> bool:
            return bool(self.plan.weights(time))

        def new_tracker() -> FaceTracker:
            return FaceTracker(BundleDetector() if tracker is None else tracker.detector, self.request.face)

        return Surveyor(self.info, self.limits, self.prior, self.survey, is_asked, new_tracker, clock)

    def _new_report(self, output: str) -> Report:
        neutral = self.request.enroll.get("neutral")
        report = Report(
            str(self.request.source), output, EditTally(self.plan), ESTIMATED if neutral is None else neutral.name
        )
        report.renderer = "warp" if self.neural is None else self.neural.name
        report.notes += self.manipulator.remarks
        report.clock.seconds["survey"] = self.survey_seconds
        return report

    def _run(self, reader: FrameReader, report: Report) -> Generator[EditedFrame, None, None]:
        """The stages decode, track, and manipulate with render, each in a thread of its own."""
        clock = report.clock
        # Where nothing is to be changed, no face is looked for.
        tracker = None if self.plan.changes_nothing else FaceTracker(BundleDetector(), self.request.face)
        surveyor = self._surveyor(tracker, clock)
        stages = EditStages(self.manipulator, tracker, self.plan.weights, surveyor, neural=self.neural)

        def track(frame: Frame) -> TrackedFrame:
            with clock.measure("track"):
                return stages.track(frame)

        def edit(tracked: TrackedFrame) -> tuple[EditedFrame, Mapping[str, float]]:
            with clock.measure("edit"):
                if tracked.weights and tracked.track is not None:
                    report.smallest_face = min(report.smallest_face, float(np.ptp(tracked.track.points[:, 0])))
                return stages.edit(tracked), tracked.weights

        tracked_frames = run_stages(clock.timed("decode", reader), track, depth=_QUEUE_SIZE)
        frames = run_stages(anticipate_occluders(tracked_frames), edit, depth=_QUEUE_SIZE)
        with closing(surveyor), closing(tracked_frames), closing(frames):
            for edited, weights in frames:
                if self.part is not None and not report.total:
                    report.tally.origin = edited.frame.time
                report.add_frame(edited.frame, edited.skipped, weights, is_occluded=edited.is_occluded)
                if tracker is not None:
                    report.most_faces = tracker.most_faces
                yield edited
        report.n_surveys, report.shown = surveyor.n_surveys, surveyor.shown

    def _encode(
        self,
        frames: Iterator[EditedFrame],
        writer: Writer | SequenceWriter,
        report: Report,
        sheet: ContactSheet | None,
        options: OutputOptions,
        progress: ProgressCallback | None,
    ) -> None:
        """The last stage, in the caller's thread."""
        lip_tracker = FaceTracker(BundleDetector(), self.request.face) if options.measure_lips else None
        for edited in frames:
            with report.clock.measure("write"):
                changed = edited.skipped is None
                if options.side_by_side:
                    writer.write(side_by_side(edited.source, edited.frame), edited=changed)
                else:
                    writer.write(edited.frame, edited.source, edited=changed)
            if sheet is not None:
                sheet.add(edited.source, edited.frame, None if edited.track is None else edited.track.points)
            if lip_tracker is not None:
                again = lip_tracker.step(edited.frame)
                if again is not None and edited.track is not None and edited.skipped is None:
                    openings = lip_opening(edited.track.points), lip_opening(again.points)
                    report.lip_openings.append((float(edited.frame.time), *openings))
            if progress is not None:
                progress(report.tally.total, writer.info.frame_count)
