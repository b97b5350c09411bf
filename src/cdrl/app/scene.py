"""What is looked at once so that every preview costs one frame: the people in a clip, and moments of it."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cdrl.editor import Editor
from cdrl.errors import FaceError
from cdrl.face.landmarks import BundleDetector, Region
from cdrl.face.tracking import FaceTracker
from cdrl.frame_editor import Edited, FrameEditor
from cdrl.manipulation.edit import Manipulator
from cdrl.manipulation.person import SURVEY, Person, survey
from cdrl.manipulation.plan import EditPlan
from cdrl.media import Frame, Limits, read
from cdrl.report import NO_FACE

_FACE = 96  # pixels, side of a face's picture where one of several is chosen
_HEAD = 1.2  # side of that picture, over the side of the region that landmarks are looked for in


@dataclass(frozen=True)
class Moment:
    """A frame of the clip, kept, and the number of its shot."""

    frame: Frame
    shot: int


@dataclass
class Scene:
    """One clip and one of its faces. `moments` grow when `add` is called; the first one shows the face, if any does."""

    face: str
    detector: BundleDetector
    people: dict[int, Person]
    moments: list[Moment]
    faces: list[NDArray[np.uint8]]
    """Pictures [n, n, 3] of the faces in the first moment, from the left."""
    _tracked: dict[int, Edited] = field(default_factory=dict)

    @classmethod
    def look(cls, path: Path, editor: Editor, face: str, limits: Limits) -> Scene:
        """Surveys the clip's first seconds. Raises as `read` does, and FaceError where no face is seen in them."""
        detector, seen = BundleDetector(), list[Moment]()
        tracker = FaceTracker(detector, face)
        with read(path, limits, stop=SURVEY) as reader:
            people = survey(_first_of(reader, tracker, seen), tracker, editor.model)
        scene = cls(face, detector, people, seen, [])
        first = next((n for n, moment in enumerate(seen) if scene.track(moment).track is not None), None)
        if first is None:
            raise FaceError(
                f"{path}: no face is seen in the first {int(SURVEY)} seconds; choose a clip that shows one from the "
                "front, or another face"
            )
        del seen[:first], seen[1:]
        scene.faces = [_portrait(seen[0].frame, region) for region in _across(detector.regions(seen[0].frame))]
        return scene

    def track(self, moment: Moment) -> Edited:
        """The moment as it is, with its face, looked for once."""
        key = moment.frame.index
        if key not in self._tracked:
            track = FaceTracker(self.detector, self.face).step(moment.frame)
            self._tracked[key] = Edited(moment.frame, moment.frame, track, NO_FACE if track is None else None)
        return self._tracked[key]

    def add(self, moments: Iterable[Moment]) -> None:
        """Further moments to preview; those before the first that shows the face are left out."""
        first = self.moments[0]
        self.moments = [first, *(moment for moment in moments if moment.frame.time > first.frame.time)]

    def nearest(self, time: float) -> Moment:
        """The moment kept that is nearest to `time`, in seconds."""
        return min(self.moments, key=lambda moment: abs(float(moment.frame.time) - time))

    def preview(self, time: float, plan: EditPlan, manipulator: Manipulator) -> Edited:
        """The kept moment nearest to `time` as the whole clip's edit will show it."""
        moment = self.nearest(time)
        found = self.track(moment)
        if found.track is None:
            return found
        weights, person = plan.weights(moment.frame.time), self.people.get(moment.shot)
        return FrameEditor(manipulator).edit(moment.frame, found.track, weights, person)


def _first_of(frames: Iterable[Frame], tracker: FaceTracker, seen: list[Moment]) -> Generator[Frame, None, None]:
    """The frames, of which one in each half second is kept for the first preview."""
    due = Fraction(0)
    for frame in frames:
        yield frame
        if frame.time >= due:  # after the tracker has looked at it, so that it knows the shot
            due = frame.time + Fraction(1, 2)
            seen.append(Moment(frame, tracker.shot))


def _across(regions: list[Region]) -> list[Region]:
    return sorted(regions, key=lambda region: region.x)


def _portrait(frame: Frame, region: Region) -> NDArray[np.uint8]:
    upright = Region(region.x, region.y, _HEAD * region.side, 0.0)
    return frame.rgb_crop(upright.matrix(_FACE), (_FACE, _FACE))
