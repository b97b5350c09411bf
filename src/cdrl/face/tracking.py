"""Follows one person's face through a clip: cuts, losses, several people."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cdrl.face.bundle import Floats
from cdrl.face.landmarks import PRESENCE, LandmarkDetector, Picture, Region
from cdrl.face.selection import parse_face
from cdrl.media import PixelFormat

_CUT = 0.11  # mean change of luma between two frames (of its range) that only a cut makes
_LOOK_AGAIN = 5  # frames between two searches while there is no face
_THUMBNAIL = 24  # rows and columns of the picture that cuts are looked for in


class TrackedPicture(Picture, Protocol):
    """A picture whose first plane is its luma."""

    @property
    def planes(self) -> tuple[NDArray[np.uint8] | NDArray[np.uint16], ...]: ...
    @property
    def format(self) -> PixelFormat: ...


@dataclass(frozen=True)
class Track:
    """The face in one frame: landmarks [478, 3] in pixels; `shot` counts cuts, `fresh` marks a face just found."""

    points: Floats
    presence: float
    shot: int
    fresh: bool


class FaceTracker:
    """Feeds on a clip's frames in order. Each cut and each loss acquires the face anew."""

    def __init__(self, detector: LandmarkDetector, face: str = "largest") -> None:
        self.detector = detector
        self._face = parse_face(face)
        self._region: Region | None = None
        self._thumbnail: Floats | None = None
        self._wait = 0
        self.shot = 0
        self.most_faces = 0
        """The most faces that were found in one frame, wanted or not."""

    def skip(self, frame: TrackedPicture) -> None:
        """Passes over the next frame, looking for a cut only, so that shots count alike whoever looks closer."""
        if self._is_cut(frame):
            self.shot += 1
            self._region = None
            self._wait = 0

    def step(self, frame: TrackedPicture) -> Track | None:
        """The face in the next frame; None where it is not seen."""
        self.skip(frame)
        if self._region is not None:
            found = self.detector.landmarks(frame, self._region)
            if found.presence >= PRESENCE and _plausible(found.points, frame):
                self._region = Region.of_landmarks(found.points)
                return Track(found.points, found.presence, self.shot, False)
            self._region = None
            self._wait = 0
        return self._acquire(frame)

    def _acquire(self, frame: TrackedPicture) -> Track | None:
        if self._wait > 0:
            self._wait -= 1
            return None
        regions = self.detector.regions(frame)
        self.most_faces = max(self.most_faces, len(regions))
        for region in self._choice(regions):
            found = self.detector.landmarks(frame, region)
            if found.presence < PRESENCE:
                continue
            # A second look in the region that the landmarks give: the one the next frames will use.
            found = self.detector.landmarks(frame, Region.of_landmarks(found.points))
            if found.presence >= PRESENCE and _plausible(found.points, frame):
                self._region = Region.of_landmarks(found.points)
                return Track(found.points, found.presence, self.shot, True)
        self._wait = _LOOK_AGAIN
        return None

    def _choice(self, regions: list[Region]) -> list[Region]:
        """The wanted face first; only it where a place was asked for."""
        across = sorted(regions, key=lambda region: region.x)
        if self._face == "largest":
            return sorted(regions, key=lambda region: -region.side)
        if self._face == "left":
            return across[:1]
        if self._face == "right":
            return across[-1:]
        number = int(self._face)
        return across[number - 1 : number]

    def _is_cut(self, frame: TrackedPicture) -> bool:
        luma = frame.planes[0]
        rows, columns = (np.linspace(0, n - 1, _THUMBNAIL).astype(int) for n in luma.shape[:2])
        # Blocks of a few pixels, not single ones: noise and fine texture must not look like a cut.
        block = np.mean([luma[np.ix_(np.maximum(rows - k, 0), np.maximum(columns - k, 0))] for k in range(4)], 0)
        thumbnail = block.astype(np.float32) / frame.format.maximum
        before, self._thumbnail = self._thumbnail, thumbnail
        return before is not None and float(np.abs(thumbnail - before).mean()) > _CUT


def _plausible(points: Floats, frame: TrackedPicture) -> bool:
    """Whether most of the face lies in the picture."""
    inside = (points[:, 0] >= 0) & (points[:, 0] < frame.width) & (points[:, 1] >= 0) & (points[:, 1] < frame.height)
    return float(inside.mean()) > 0.5
