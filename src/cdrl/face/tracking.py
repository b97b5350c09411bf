"""Follows one person's face through a clip: cuts, losses, several people."""

from collections import deque
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from cdrl.face.bundle import Floats
from cdrl.face.landmarks import PRESENCE, BundleDetector, Region
from cdrl.face.selection import parse_face
from cdrl.media import Frame

_CUT_CHANGE = 0.11  # mean change of luma between two frames (of its range) that only a cut makes
_CALM_CUT_CHANGE = 0.03  # the same in a calm picture, as between two shots of people before one wall
_CALM_CUT_RATIO = 4.0  # of that change to the largest of the last `_CALM_FRAMES`
_CALM_FRAMES = 8
_STALL = Fraction(1, 4)  # seconds between two frames after which somebody who moved looks like a cut
_DETECTION_INTERVAL = 5  # frames between two searches while there is no face
_THUMBNAIL = 24  # rows and columns of the picture that cuts are looked for in


@dataclass(frozen=True)
class Track:
    """The face in one frame."""

    points: Floats
    """[478, 3] landmarks, pixels."""
    presence: float
    """Probability, in [0, 1], that there is a face."""
    shot: int
    """Number of cuts before."""
    redetected: bool
    """Whether the face was detected in this frame, not followed from the one before."""


class FaceTracker:
    """Follows a face through a clip's frames, given in order; after each cut and each loss it is detected again."""

    def __init__(self, detector: BundleDetector, face: str = "largest") -> None:
        """Prepare.

        Args:
            detector: Finds faces; used by this tracker alone.
            face: Which of several faces is followed; see `parse_face`.

        Raises:
            UsageError: `face` is none.
        """
        self.detector = detector
        self._face = parse_face(face)
        self._region: Region | None = None
        self._thumbnail: Floats | None = None
        self._time = Fraction(0)
        self._changes: deque[float] = deque(maxlen=_CALM_FRAMES)
        self._wait = 0
        self.shot = 0
        """Number of cuts so far."""
        self.shot_start = Fraction(0)
        """Seconds: when the shot began."""
        self.most_faces = 0
        """The most faces that were detected in one frame."""

    def skip(self, frame: Frame) -> None:
        """Pass over the next frame, looking for a cut only, so that shots count alike whatever is skipped."""
        luma = frame.planes[0]
        rows, columns = (np.linspace(0, n - 1, _THUMBNAIL).astype(int) for n in luma.shape[:2])
        # Blocks of a few pixels, not single ones: noise and fine texture must not look like a cut.
        block = np.mean([luma[np.ix_(np.maximum(rows - k, 0), np.maximum(columns - k, 0))] for k in range(4)], 0)
        thumbnail = block.astype(np.float32) / frame.format.maximum
        before, self._thumbnail = self._thumbnail, thumbnail
        elapsed, self._time = frame.time - self._time, frame.time
        if before is None:
            self.shot_start = frame.time
            return
        change = float(np.abs(thumbnail - before).mean())
        if self._is_cut(change, elapsed):
            self.shot += 1
            self.shot_start = frame.time
            self._region = None
            self._wait = 0
            self._changes.clear()
        else:
            self._changes.append(change)

    def _is_cut(self, change: float, elapsed: Fraction) -> bool:
        """Say whether a change of luma, `elapsed` seconds after the frame before, is a cut."""
        if change > _CUT_CHANGE:
            return True
        calm = len(self._changes) == _CALM_FRAMES and elapsed <= _STALL
        return calm and change > max(_CALM_CUT_CHANGE, _CALM_CUT_RATIO * max(self._changes))

    def step(self, frame: Frame) -> Track | None:
        """Return the face in the next frame; None where it is not seen."""
        self.skip(frame)
        if self._region is not None:
            track = self._follow(frame, self._region, redetected=False)
            if track is not None:
                return track
            self._region = None
            self._wait = 0
        return self._detect(frame)

    def _follow(self, frame: Frame, region: Region, *, redetected: bool) -> Track | None:
        """Return the face in a region, and remember where to look for it in the next frame."""
        face = self.detector.estimate_landmarks(frame, region)
        x, y = face.points[:, 0], face.points[:, 1]
        inside = (x >= 0) & (x < frame.width) & (y >= 0) & (y < frame.height)
        if face.presence < PRESENCE or inside.mean() <= 0.5:  # most of a face lies in the picture
            return None
        self._region = Region.of_landmarks(face.points)
        return Track(face.points, face.presence, self.shot, redetected)

    def _detect(self, frame: Frame) -> Track | None:
        if self._wait > 0:
            self._wait -= 1
            return None
        regions = self.detector.detect_faces(frame)
        self.most_faces = max(self.most_faces, len(regions))
        for region in self._select(regions):
            first = self.detector.estimate_landmarks(frame, region)
            if first.presence < PRESENCE:
                continue
            # Once more, in the region that the landmarks give: the one the next frames will use.
            track = self._follow(frame, Region.of_landmarks(first.points), redetected=True)
            if track is not None:
                return track
        self._wait = _DETECTION_INTERVAL
        return None

    def _select(self, regions: list[Region]) -> list[Region]:
        """Return the wanted face first; only it where a place was asked for."""
        if self._face == "largest":
            return sorted(regions, key=lambda region: -region.side)
        across = sorted(regions, key=lambda region: region.x)
        if self._face == "right":
            return across[-1:]
        number = 1 if self._face == "left" else int(self._face)
        return across[number - 1 : number]
