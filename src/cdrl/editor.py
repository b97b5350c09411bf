"""The editor: a video in, the same video with another emotion out. Frames stream through stages side by side."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from cdrl.emotions import parse_emotion
from cdrl.errors import FaceError, InputError, UsageError
from cdrl.face.bundle import Floats
from cdrl.face.landmarks import BundleDetector
from cdrl.face.selection import parse_face
from cdrl.face.tracking import FaceTracker, Track
from cdrl.pipeline.frame_editor import Edited, FrameEditor
from cdrl.manipulation.edit import Manipulator
from cdrl.manipulation.person import SPEAKING_NEUTRAL, SURVEY, Person, expression_model, is_speaking, survey
from cdrl.manipulation.personal import OnnxTranslator, PersonalPrior
from cdrl.manipulation.prior import EmotionPrior, Example, Pattern
from cdrl.manipulation.reference import reference_pattern
from cdrl.media import EncoderOptions, Frame, FrameReader, Limits, Writer, prefetch, probe, read
from cdrl.plan import EditPlan
from cdrl.pipeline.presentation import ContactSheet, check_picture, side_by_side
from cdrl.provenance import Credentials, Seal, drop_sidecar, models_used
from cdrl.pipeline.report import ESTIMATED, Report, check_result, lip_opening
from cdrl.tally import EditTally

Progress = Callable[[int, int | None], None]

_QUEUE = 3  # frames between two stages


PRIOR_ALONE, SHIPPED = "prior", "translator"
"""Names of models: none that adapts the prior, and the one that ships."""


def load(prior: str | Path | None = None, model: str | Path | None = None) -> Editor:
    """See `cdrl.load`."""
    # Stages run side by side; threads inside a small operation only get in their way.
    cv2.setNumThreads(1)
    path = None if prior is None else Path(prior)
    # The translator that ships was trained for the prior that ships.
    return Editor(EmotionPrior.load(path), model or (SHIPPED if path is None else PRIOR_ALONE), prior_file=path)


class Editor:
    """Holds what every edit needs: the emotion prior, what adapts it to a person, and the model of expressions."""

    def __init__(self, prior: EmotionPrior, model: str | Path = PRIOR_ALONE, *, prior_file: Path | None = None) -> None:
        """`prior_file`: where the prior was read from, for the record; None for the one that ships."""
        self.prior = prior
        self.model = expression_model(prior)
        shipped = None if model == SHIPPED else Path(model)
        self._translator = None if model == PRIOR_ALONE else OnnxTranslator(prior, shipped)
        self.models_used = models_used(prior_file, shipped, model != PRIOR_ALONE)

    def edit(
        self,
        source: str | Path,
        *,
        emotion: str | None = None,
        reference: str | Path | None = None,
        intensity: float = 1.0,
        regions: str | Iterable[str] = (),
        segments: str | None = None,
        enroll: Mapping[str, str | Path] | None = None,
        face: str = "largest",
        limits: Limits | None = None,
    ) -> Job:
        """Checks what is asked for and gets the edit ready; `save` or `frames` of the result carry it out.

        See `EditPlan.parse` for `emotion`, `reference`, `intensity` (0..1.5), `regions` and `segments`, and
        `parse_face` for `face`. `enroll`: emotion → a photo or clip of the person in the source who shows it, so that
        it looks as theirs does; `neutral` says how they look without emotion, which else is estimated. Raises
        UsageError, also for a segment outside the clip, InputError, LimitError, and FaceError for a picture without a
        face.
        """
        plan = EditPlan.parse(emotion, reference, intensity, regions, segments)
        parse_face(face)
        limits = limits or Limits()
        info = probe(source, limits)
        if info.photo:
            raise InputError(f"{source} is a photo: give a video (photos serve as --reference)")
        plan = plan.at_rate(info.rate)
        if info.duration is not None:
            plan.check_within(info.duration)
        manipulator = self.manipulator(plan, enroll, limits)
        enrolled = {parse_emotion(name): Path(path) for name, path in (enroll or {}).items()}
        return Job(self, Path(source), plan, manipulator, face, limits, enrolled)

    def manipulator(
        self,
        plan: EditPlan,
        enroll: Mapping[str, str | Path] | None = None,
        limits: Limits | None = None,
        pattern: Pattern | None = None,
    ) -> Manipulator:
        """What turns a plan's amounts into patterns, once the reference and the examples of `enroll` are looked at.

        `pattern`: what `expression_of` gives for the plan's reference, where that is known already.
        """
        limits = limits or Limits()
        if pattern is None and plan.reference is not None:
            pattern = self.expression_of(plan.reference, limits)
        given = {parse_emotion(name): Path(path) for name, path in (enroll or {}).items()}
        people = {name: self._seen_in(path, limits) for name, path in given.items()}
        neutral = people.pop("neutral", None)
        examples = [Example(name, seen.mean, probe(given[name], limits).photo) for name, seen in people.items()]
        manipulator = Manipulator(
            self.prior, plan, pattern, self._personal(examples), None if neutral is None else neutral.mean
        )
        if neutral is not None and probe(given["neutral"], limits).photo and is_speaking(neutral):
            manipulator.remarks += (f"{given['neutral']} {SPEAKING_NEUTRAL}",)
        return manipulator

    def expression_of(self, reference: Path, limits: Limits) -> Pattern:
        """The expression of a clip or photo of anyone, against that person's own neutral shape."""
        return reference_pattern(self._seen_in(reference, limits), self.prior)

    def _seen_in(self, path: Path, limits: Limits) -> Person:
        """The first person of a clip or photo."""
        with read(path, limits, stop=SURVEY) as frames:
            people = survey(frames, FaceTracker(BundleDetector()), self.model)
        if not people:
            raise FaceError(f"{path}: no face is found; choose a clip or photo that shows one from the front")
        return next(iter(people.values()))

    def _personal(self, examples: Sequence[Example]) -> PersonalPrior | None:
        if self._translator is None and not examples:
            return None
        return PersonalPrior(self.prior, self._translator, examples)


class Job:
    """An edit, ready to run. Each call of `frames` or `save` runs it anew."""

    def __init__(
        self,
        editor: Editor,
        source: Path,
        plan: EditPlan,
        manipulator: Manipulator,
        face: str,
        limits: Limits,
        enrolled: Mapping[str, Path] | None = None,
    ) -> None:
        self.plan = plan
        self.source = source
        self._editor = editor
        self._frame_editor = FrameEditor(manipulator)
        self._face = face
        self._limits = limits
        self._enrolled = dict(enrolled or {})

    def frames(self) -> Generator[Edited, None, None]:
        """The clip's frames, edited, in order; at most a few are in memory at a time."""
        report = self._new_report("")
        with read(self.source, self._limits) as reader:
            yield from self._edited(reader, report)

    def save(
        self,
        path: str | Path,
        *,
        overwrite: bool = False,
        encoder: EncoderOptions | None = None,
        preview: str | Path | None = None,
        side_by_side: bool = False,
        progress: Progress | None = None,
        measure_lips: bool = False,
        provenance: bool = True,
        c2pa: Credentials | None = None,
    ) -> Report:
        """Writes the edited video to `path` (and a contact sheet to `preview`), whole or not at all.

        What was edited is said inside the video and in a sidecar beside it, unless `provenance` is False; `c2pa` signs
        it. Have the consent of who is shown: this interface does not ask.

        `side_by_side` shows the source on the left. `progress(done, total)` is called after each frame. With
        `measure_lips` the edited lips are looked at again and reported beside the source's.
        Raises OutputError, OutputExistsError, InputError, and FaceError where no frame shows a face.
        """
        report = self._new_report(str(path))
        if preview is not None:
            check_picture(Path(preview), (self.source, Path(path)), overwrite)
        sheet = ContactSheet() if preview is not None else None
        seal = self._seal(Path(path), report, provenance, side_by_side, c2pa)
        labels = None if seal is None else seal.labels
        with read(self.source, self._limits) as reader:
            info = reader.info
            size = (2 * info.width, info.height) if side_by_side else None
            options = encoder or EncoderOptions()
            with Writer(
                path, info, options, size=size, overwrite=overwrite, metadata=labels, seal=seal, limits=self._limits
            ) as writer:
                stages = self._edited(reader, report)
                try:
                    self._write(stages, writer, report, sheet, side_by_side, progress, info.frame_count, measure_lips)
                finally:
                    stages.close()
                check_result(report, self.plan, self._face)
            report.notes += [*reader.notes, *writer.notes]
        report.conclude()
        self._tell_provenance(report, seal, Path(path), overwrite)
        if sheet is not None and preview is not None:
            sheet.save(Path(preview))
        return report

    def _new_report(self, output: str) -> Report:
        given = self._enrolled.get("neutral")
        neutral = ESTIMATED if given is None else given.name
        return Report(str(self.source), output, EditTally(self.plan), neutral, notes=[*self._frame_editor.remarks])

    def _seal(
        self, output: Path, report: Report, wanted: bool, beside: bool, credentials: Credentials | None
    ) -> Seal | None:
        if not wanted:
            if credentials is not None:
                raise UsageError("c2pa signs the provenance, which is turned off: choose one")
            return None
        models, enrolled, limits = self._editor.models_used, self._enrolled, self._limits
        return Seal(
            self.source,
            output,
            self.plan,
            report.tally,
            models,
            enrolled=tuple(enrolled),
            beside=beside,
            credentials=credentials,
            limits=limits,
        )

    def _tell_provenance(self, report: Report, seal: Seal | None, path: Path, overwrite: bool) -> None:
        if seal is not None:
            report.sidecar = str(seal.companion)
            return
        report.warnings.append(f"{path}: provenance was turned off: nothing in or beside the video says it was edited")
        if overwrite:
            drop_sidecar(path)

    def _write(
        self,
        stages: Iterator[Edited],
        writer: Writer,
        report: Report,
        sheet: ContactSheet | None,
        beside: bool,
        progress: Progress | None,
        total: int | None,
        measure_lips: bool,
    ) -> None:
        lips = FaceTracker(BundleDetector(), self._face) if measure_lips else None
        for edited in stages:
            with report.stages.measure("write"):
                writer.write(side_by_side(edited.source, edited.frame) if beside else edited.frame)
            if sheet is not None:
                sheet.add(edited.source, edited.frame, None if edited.track is None else edited.track.points)
            if lips is not None:
                again = lips.step(edited.frame)
                if again is not None and edited.track is not None and edited.skipped is None:
                    report.openings.append((lip_opening(edited.track.points), lip_opening(again.points)))
                    report.moments.append(float(edited.frame.time))
            if progress is not None:
                progress(report.total, total)

    def _edited(self, reader: FrameReader, report: Report) -> Generator[Edited, None, None]:
        """The stages: decode and track ahead in threads, edit here."""
        with report.stages.measure("survey"):
            people = self.people()
        for person in people.values():
            report.shown = report.shown or person.shown
        frames = report.stages.timed("decode", iter(reader))
        tracked = prefetch(self._tracked(prefetch(frames, _QUEUE), report), _QUEUE)
        edited = prefetch(self._edited_ahead(tracked, people, report), _QUEUE)
        try:
            for item in edited:
                time = item.frame.time
                end = time + (item.frame.duration or 0) * item.frame.time_base
                report.tally.add(time, end, changed=item.skipped is None)
                report.amounts.append((float(time), self.plan.weights(time)))
                if item.skipped is not None:
                    report.skipped[item.skipped] += 1
                yield item
        finally:
            edited.close()  # which ends its thread, which closes the stage before it, and so on

    def people(self) -> dict[int, Person]:
        """The person in each shot of the first seconds, by the shot's number; nobody where nothing is changed."""
        if self.plan.changes_nothing:
            return {}
        with read(self.source, self._limits, stop=SURVEY) as frames:
            return survey(frames, FaceTracker(BundleDetector(), self._face), self._editor.model)

    def moved(self, time: Fraction, track: Track, person: Person | None) -> Floats:
        """The face's landmarks [478, 3] after the edit, in pixels, at a moment of the clip; nothing is rendered."""
        weights = self.plan.weights(time)
        move = self._frame_editor.move(track, weights, person) if weights else None
        return track.points if move is None else track.points + move.displacement

    def _tracked(
        self, frames: Generator[Frame, None, None], report: Report
    ) -> Generator[tuple[Frame, Track | None], None, None]:
        tracker = FaceTracker(BundleDetector(), self._face)
        try:
            for frame in frames:
                with report.stages.measure("track"):
                    track = None if self.plan.changes_nothing else tracker.step(frame)
                report.most_faces = tracker.most_faces
                yield frame, track
        finally:
            frames.close()

    def _edited_ahead(
        self, tracked: Generator[tuple[Frame, Track | None], None, None], people: dict[int, Person], report: Report
    ) -> Generator[Edited, None, None]:
        try:
            for frame, track in tracked:
                yield self._edit(frame, track, people, report)
        finally:
            tracked.close()

    def _edit(self, frame: Frame, track: Track | None, people: dict[int, Person], report: Report) -> Edited:
        with report.stages.measure("edit"):
            weights = self.plan.weights(frame.time)
            if weights and track is not None:
                report.smallest_face = min(report.smallest_face, float(np.ptp(track.points[:, 0])))
            return self._frame_editor.edit(frame, track, weights, None if track is None else people.get(track.shot))
