"""What is looked at once so that every preview costs one frame: the people in a clip, and moments of it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cdrl.errors import FaceError, InputError
from cdrl.face.landmarks import BundleDetector, Region
from cdrl.face.selection import FACE_CHOICES
from cdrl.face.tracking import FaceTracker, Track
from cdrl.manipulation.manipulator import Manipulator
from cdrl.manipulation.person import OBSERVED_SECONDS, Person, estimate_people
from cdrl.media import Frame, Limits, read
from cdrl.pipeline.editor import Editor
from cdrl.pipeline.report import NO_FACE
from cdrl.pipeline.stages import EditedFrame, FrameEditor, TrackedFrame
from cdrl.plan import EditPlan

_FACE = 96  # pixels, side of a face's picture where one of several is chosen
_EVERY = Fraction(1, 2)  # seconds between two moments at which the face is looked for
_HEAD = 1.2  # side of that picture, over the side of the region that landmarks are looked for in


@dataclass(frozen=True)
class Moment:
    """A frame of the clip, kept, and the number of its shot."""

    frame: Frame
    shot: int


@dataclass
class Scene:
    """One clip and one of its faces. `moments` grow when `add` is called."""

    face: str
    detector: BundleDetector
    people: dict[int, Person]
    first: Moment
    """The first one found that shows the face."""
    moments: list[Moment]
    faces: list[NDArray[np.uint8]]
    """Pictures [n, n, 3] of the faces in the first moment, from the left."""
    _tracks: dict[int, Track | None] = field(default_factory=dict)

    @classmethod
    def look(
        cls, path: Path, editor: Editor, face: str, limits: Limits, wanted: Callable[[], bool] = lambda: True
    ) -> Scene:
        """Surveys the clip's first seconds, and looks for the first moment that shows the face in all of it.

        `wanted` is asked at each frame after the first seconds; once it says no, the look ends. Raises as `read` does,
        InputError where the look is not wanted any more, and FaceError where no face is seen in the whole clip.
        """
        detector, seen = BundleDetector(), list[Moment]()
        tracker = FaceTracker(detector, face)
        with read(path, limits, stop=OBSERVED_SECONDS) as reader:
            people = estimate_people(_first_of(reader, tracker, seen), tracker, editor.prior)
        first = next((moment for moment in seen if _track(moment, detector, face)), None)
        if first is None:
            first = _look_on(path, detector, face, limits, wanted)
        regions = sorted(detector.detect_faces(first.frame), key=lambda region: region.x)
        faces = [_portrait(first.frame, region) for region in regions]
        return cls(face, detector, people, first, [first], faces)

    def add(self, moments: Iterable[Moment]) -> None:
        """Further moments to preview."""
        known = {moment.frame.index: moment for moment in (*moments, self.first)}
        self.moments = [known[index] for index in sorted(known)]

    def preview(self, time: float | None, plan: EditPlan, manipulator: Manipulator) -> EditedFrame:
        """The kept moment nearest to `time` (None: the first that shows the face) as the whole clip's edit shows it."""
        moment = self.first
        if time is not None:
            moment = min(self.moments, key=lambda kept: abs(float(kept.frame.time) - time))
        frame = moment.frame
        if frame.index not in self._tracks:  # the face is looked for once
            self._tracks[frame.index] = _track(moment, self.detector, self.face)
        track = self._tracks[frame.index]
        if track is None:
            return EditedFrame(frame, frame, None, NO_FACE)
        tracked = TrackedFrame(frame, track, plan.weights(frame.time), self.people.get(moment.shot))
        return FrameEditor(manipulator).edit(tracked)


def _track(moment: Moment, detector: BundleDetector, face: str) -> Track | None:
    return FaceTracker(detector, face).step(moment.frame)


def _look_on(path: Path, detector: BundleDetector, face: str, limits: Limits, wanted: Callable[[], bool]) -> Moment:
    """The first moment after the survey that shows the face, looked for every half second. Raises as `Scene.look`."""
    tracker, due, end = FaceTracker(detector, face), OBSERVED_SECONDS, Fraction(0)
    with read(path, limits) as reader:
        for frame in reader:
            if not wanted():
                raise InputError("another clip was opened meanwhile")
            tracker.skip(frame)
            end = frame.time
            if frame.time >= due:
                due = frame.time + _EVERY
                moment = Moment(frame, tracker.shot)
                if _track(moment, detector, face):
                    return moment
    which = "no face is seen" if face in FACE_CHOICES else f"no face is seen in place {face} from the left"
    raise FaceError(
        f"{path}: {which}, looked for every half second of {float(end):.1f} s; choose a clip that shows one from the "
        "front, or another face"
    )


def _first_of(frames: Iterable[Frame], tracker: FaceTracker, seen: list[Moment]) -> Generator[Frame, None, None]:
    """The frames, of which one in each half second is kept for the first preview."""
    due = Fraction(0)
    for frame in frames:
        yield frame
        if frame.time >= due:  # after the tracker has looked at it, so that it knows the shot
            due = frame.time + _EVERY
            seen.append(Moment(frame, tracker.shot))


def _portrait(frame: Frame, region: Region) -> NDArray[np.uint8]:
    upright = Region(region.x, region.y, _HEAD * region.side, 0.0)
    return frame.rgb_crop(upright.matrix(_FACE), (_FACE, _FACE))
