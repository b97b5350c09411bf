"""Who is seen: whenever a face appears in a clip, its first seconds are looked at before it is edited."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

from cdrl.face.landmarks import BundleDetector
from cdrl.face.tracking import FaceTracker, Track
from cdrl.manipulation.people_seen import PeopleSeen
from cdrl.manipulation.person import (
    OBSERVATION_INTERVAL,
    OBSERVED_SECONDS,
    Person,
    PersonEstimator,
    discount_emotions,
)
from cdrl.manipulation.prior import EmotionPrior
from cdrl.media import Frame, FrameReader, Limits, VideoInfo, read
from cdrl.media.reading import can_seek
from cdrl.pipeline.report import StageClock

RESET_AFTER = Fraction(2)
"""Seconds without a face after which the next one may be somebody else's."""
_NEAR = OBSERVED_SECONDS  # seconds that are read through rather than sought across


@dataclass(frozen=True)
class Survey:
    """A look at the first seconds of a face."""

    start: Fraction
    """Seconds: when the face was first seen; where none was, when the look began."""
    person: Person | None
    """Whose face it is; None where it was not seen from the front."""

    @property
    def end(self) -> Fraction:
        """Seconds: when the look ends, if no cut ends it before."""
        return self.start + OBSERVED_SECONDS


SurveyFrom = Callable[[Fraction], Survey]
"""Surveys the face that is first seen at a time, or within `OBSERVED_SECONDS` after it."""


def survey_face(frames: Iterable[Frame], tracker: FaceTracker, prior: EmotionPrior) -> Survey | None:
    """Look at a face for `OBSERVED_SECONDS` from when it is first seen; None where there are no frames.

    The look ends early at a cut, when the face is gone for `RESET_AFTER`, and where none comes for `OBSERVED_SECONDS`.

    Args:
        frames: A clip's frames from the begin of a shot, or from the first that shows the face; read only as far as
            they are looked at.
        tracker: A fresh tracker.
        prior: Says how people and emotions differ.
    """
    estimator = PersonEstimator(prior)
    begin: Fraction | None = None
    start: Fraction | None = None
    last = Fraction(0)
    for frame, track in _look_at(frames, tracker):
        begin = frame.time if begin is None else begin
        if frame.time >= (begin if start is None else start) + OBSERVED_SECONDS:
            break
        if track is not None:
            start = frame.time if start is None else start
            last = frame.time
            estimator.add_frame(frame, track, tracker.detector.estimate_blendshapes)
        elif start is not None and frame.time - last > RESET_AFTER:
            break
    if begin is None:
        return None
    return Survey(begin if start is None else start, estimator.estimate(0) if estimator.n_frames(0) else None)


def find_person(frames: Iterable[Frame], detector: BundleDetector, prior: EmotionPrior) -> Person | None:
    """Look for the first person who is seen from the front, shot by shot; None where there is none.

    Args:
        frames: A photo, or a clip's first seconds.
        detector: Finds faces.
        prior: Says how people and emotions differ.
    """
    rest = iter(frames)
    while (survey := survey_face(rest, FaceTracker(detector), prior)) is not None:
        if survey.person is not None:
            return survey.person
    return None


def _look_at(frames: Iterable[Frame], tracker: FaceTracker) -> Iterator[tuple[Frame, Track | None]]:
    """The frames up to a cut: each until the face is seen, as the edit will see it, then some a second."""
    due: Fraction | None = None
    for frame in frames:
        track = None
        looks = due is None or frame.time >= due
        if looks:
            track = tracker.step(frame)
        else:
            tracker.skip(frame)
        if tracker.shot > 0:
            return
        if looks:
            yield frame, track
            if due is not None or track is not None:
                due = frame.time + OBSERVATION_INTERVAL


def survey_until(time: Fraction, start: Fraction, known: Survey | None, survey_from: SurveyFrom) -> Survey:
    """The survey of the face that is seen at a time.

    Args:
        time: Seconds.
        start: When that face appeared, seconds.
        known: A survey of it, if there is one.
        survey_from: Makes further ones; asked again where the face was not seen from the front.
    """
    survey = known or survey_from(start)
    while survey.person is None and survey.end <= time:
        survey = survey_from(survey.end)
    return survey


class Surveyor:
    """Says whose face is seen in a clip's frames; it reads ahead when a face appears that an edit is asked for.

    A face appears with a shot, and when it comes after `RESET_AFTER` without one. Who was seen before keeps what is
    known of them. Memory does not depend on the clip.
    """

    def __init__(
        self,
        info: VideoInfo,
        limits: Limits,
        prior: EmotionPrior,
        first: Survey | None,
        is_asked: Callable[[Fraction], bool],
        new_tracker: Callable[[], FaceTracker],
        clock: StageClock | None = None,
    ) -> None:
        """Prepare.

        Args:
            info: The clip.
            limits: What it may hold.
            prior: Says how people and emotions differ.
            first: What is known of the first face, if anything is.
            is_asked: Whether anything is to be edited at a time, in seconds.
            new_tracker: Makes trackers that follow the same face; used in the thread that calls this object.
            clock: Counts the time of surveys, and takes it from that of tracking, within which they are made.
        """
        self._prior, self._new_tracker = prior, new_tracker
        self._first, self._is_asked = first, is_asked
        self._clock = clock or StageClock()
        self._ahead = _LookAhead(info, limits)
        self._shot = -1
        self._start = self._seen = Fraction(0)
        self._survey: Survey | None = None
        self._people = PeopleSeen()
        if first is not None and first.person is not None:
            self._people.recognize(first.person)
        self.n_surveys = 0
        """How many faces were surveyed for the edit."""
        self.shown: dict[str, float] = {}
        """What the first of them that shows an emotion shows: emotion → amount."""

    def __call__(self, frame: Frame, track: Track) -> Person | None:
        """Say whose face is followed in the next frame that shows it; None where that is not known, or not asked."""
        if track.shot != self._shot or frame.time - self._seen > RESET_AFTER:
            self._shot, self._start, self._survey = track.shot, frame.time, None
        self._seen = frame.time
        if self._is_asked(frame.time):
            self._update(frame.time)
        return None if self._survey is None else self._survey.person

    def close(self) -> None:
        """Close the file."""
        self._ahead.close()

    def _update(self, time: Fraction) -> None:
        before = None if self._survey is None else self._survey.person
        known = self._survey
        if known is None and self._first is not None and self._first.start == self._start:
            known = self._first
        self._survey = survey_until(time, self._start, known, self._survey_from)
        person = self._survey.person
        if before is None and person is not None:
            self.n_surveys += 1
            self.shown = self.shown or discount_emotions(person.emotions)
            if self._survey is not self._first:
                self._survey = replace(self._survey, person=self._people.recognize(person))

    def _survey_from(self, start: Fraction) -> Survey:
        with self._clock.measure("survey", within="track"):
            frames = self._ahead.frames_from(start)
            survey = survey_face(frames, self._new_tracker(), self._prior) or Survey(start, None)
            self._ahead.rest(survey.end)
            return survey


class _LookAhead:
    """Reads stretches of a clip, of which each mostly lies behind the one before, without decoding much twice."""

    def __init__(self, info: VideoInfo, limits: Limits) -> None:
        self._info, self._limits = info, limits
        self._reader: FrameReader | None = None
        self._held: Frame | None = None
        self._seeks = can_seek(info)

    def frames_from(self, start: Fraction) -> Iterator[Frame]:
        """The frames from a time on, in seconds; one such iterator at a time."""
        frame, reader = self._held, self._reader
        if reader is None or frame is None or not self._is_near(start, frame.time):
            self.close()
            self._reader = reader = read(self._info, self._limits, start=start)
            frame = next(reader, None)
            self._seeks = self._seeks and reader.sought
        while frame is not None:
            self._held = frame  # the next stretch may begin with it
            if frame.time >= start:
                yield frame
            frame = next(reader, None)
        self._held = None

    def rest(self, end: Fraction) -> None:
        """Free the decoder where the last stretch was read to its end: the next one is hardly near."""
        if self._seeks and (self._held is None or self._held.time >= end):
            self.close()

    def close(self) -> None:
        """Close the file."""
        if self._reader is not None:
            self._reader.close()
        self._reader = self._held = None

    def _is_near(self, start: Fraction, position: Fraction) -> bool:
        return position <= start and (not self._seeks or start - position <= _NEAR)
