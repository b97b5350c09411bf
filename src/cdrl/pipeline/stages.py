"""The stages track, manipulate and render, as clips, cameras, previews and exports compose them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np

from cdrl.face.bundle import Floats
from cdrl.face.mesh import region_weights
from cdrl.face.pose import estimate_pose
from cdrl.face.segmentation import Segmentation, SegmentationTracker
from cdrl.face.tracking import FaceTracker, Track
from cdrl.manipulation.manipulator import Manipulator
from cdrl.manipulation.person import Person, RecentShape
from cdrl.media import Frame
from cdrl.pipeline.report import INACTIVE, NO_FACE, OUTSIDE, PROFILE, UNCHANGED
from cdrl.plan import smoothstep
from cdrl.rendering.folds import measure_folds
from cdrl.rendering.mouth_patch import ShutTeethTracker
from cdrl.rendering.neural import NeuralRenderer
from cdrl.rendering.render import render
from cdrl.rendering.teeth import place_teeth
from cdrl.rendering.texture import measure_texture, texture_coverage

_NEGLIGIBLE = (0.5, 0.02)  # pixels, and log of luma, up to which an edit may come to nothing once it is rounded
_PROFILE = (35.0, 50.0)  # degrees of yaw over which the edit fades out
_HIDDEN = (0.2, 0.5)  # share of a region of the face that is occluded, over which its edit fades out
_NOTICED = {"eyes": 0.25, "cheeks": 0.15, "mouth": 0.08}  # such shares from which a user is told; rims cover less

PersonFinder = Callable[[Frame, Track], Person | None]
"""Who is seen in a frame, by the face that is followed; None for a stranger."""

WeightsAt = Callable[[Fraction], Mapping[str, float]]
"""Emotion → amount at a time, in seconds from the first frame; empty where nothing is to be edited."""


@dataclass(frozen=True)
class TrackedFrame:
    """A frame with all that its edit needs."""

    frame: Frame
    track: Track | None
    """The face; None where none is followed."""
    weights: Mapping[str, float]
    """Emotion → amount to show."""
    person: Person | None
    """Whose face it is; None where nothing is known of them."""
    recent_shape: Floats | None = None
    """[478, 3] cm, pose-free: mean of the last half second (`RecentShape`); None where only this frame is known."""
    segmentation: Segmentation | None = None
    """Occluders and background; None where the frame was not segmented."""
    shut_teeth: float = 0.0
    """Share in 0..1 to which the teeth are seen shut."""
    pause: float = 0.0
    """Share in 0..1 to which the talk pauses."""
    later_segmentation: Segmentation | None = None
    """`segmentation` with the occluders of the next frame, too; None where nothing comes in."""


@dataclass(frozen=True)
class EditedFrame:
    """One frame before and after an edit."""

    source: Frame
    """The frame before."""
    frame: Frame
    """The frame after; the same object where nothing was changed."""
    track: Track | None
    """The face in it, if one was seen."""
    skipped: str | None
    """Why nothing was changed, one of the reasons of `cdrl.pipeline.report`; None where something was."""
    is_occluded: bool = False
    """As of the `FaceEdit`."""


@dataclass(frozen=True)
class FaceEdit:
    """What an edit does to one face."""

    displacement: Floats
    """[478, 3] pixels."""
    gain: Floats
    """[SIZE, SIZE] log of luma, in texture space."""
    is_occluded: bool = False
    """Whether an occluder hides a part of what is edited; rims of glasses and thin hair do not."""


@dataclass(frozen=True)
class FrameEditor:
    """Edits frames one by one, in any order, as a manipulator says; it keeps nothing of the frames before."""

    manipulator: Manipulator
    neural: NeuralRenderer | None = field(default=None, kw_only=True)
    """Corrects what the warp renders; None for the warp alone."""

    def manipulate(self, tracked: TrackedFrame) -> FaceEdit | None:
        """Decide where the points of the face go; None where nothing is to be changed, or the head is turned too far.

        The edit fades out as the head turns.
        """
        track, person = tracked.track, tracked.person
        if track is None or not tracked.weights:
            return None
        pose = estimate_pose(track.points)
        share = 1 - float(np.clip((abs(pose.yaw) - _PROFILE[0]) / (_PROFILE[1] - _PROFILE[0]), 0, 1))
        if share == 0:
            return None
        shape = pose.normalize(track.points)
        displacement, gain = self.manipulator.edit_shape(
            tracked.weights, person, shape, tracked.recent_shape, tracked.shut_teeth, tracked.pause
        )
        folds = self.manipulator.find_removed_folds(tracked.weights, person)
        if folds is not None:
            gain = gain - folds * measure_folds(measure_texture(tracked.frame, track.points))
        edit = FaceEdit(pose.to_image(displacement) * share, gain * share)
        return edit if tracked.segmentation is None else fade_occluded_regions(edit, tracked.segmentation, track.points)

    def edit(self, tracked: TrackedFrame) -> EditedFrame:
        """Manipulate the face and render the frame, which is not changed itself."""
        frame, track = tracked.frame, tracked.track
        if not tracked.weights:
            return EditedFrame(frame, frame, track, INACTIVE)
        if track is None:
            return EditedFrame(frame, frame, None, NO_FACE)
        edit = self.manipulate(tracked)
        if edit is None:
            return EditedFrame(frame, frame, track, PROFILE)
        result = frame.copy()
        patch, teeth = (None, None) if tracked.person is None else (tracked.person.mouth_patch, tracked.person.teeth)
        row = None if teeth is None else place_teeth(teeth, frame, track.points, estimate_pose(track.points))
        displacement = edit.displacement[:, :2].astype(np.float32)
        segmentation = tracked.later_segmentation or tracked.segmentation
        face = render(result, track.points[:, :2], displacement, edit.gain, patch, segmentation, row)
        if face is None:
            return EditedFrame(frame, frame, track, OUTSIDE)
        if self.neural is not None:
            self.neural.refine(result, face)
        pixels, luma = _NEGLIGIBLE
        negligible = np.abs(edit.displacement).max() < pixels and np.abs(edit.gain).max() < luma
        if negligible and all(map(np.array_equal, frame.planes, result.planes)):
            return EditedFrame(frame, frame, track, UNCHANGED, edit.is_occluded)
        return EditedFrame(frame, result, track, None, edit.is_occluded)


@dataclass(frozen=True)
class EditStages(FrameEditor):
    """The stages of one clip or camera. Frames pass `track` in order; the later stages remember nothing.

    Attributes:
        tracker: Follows the face; None where no frame is to be changed, so that no face is looked for.
        weights_at: What is to be shown.
        find_person: Who is seen; asked for each face before `weights_at`.
    """

    tracker: FaceTracker | None
    weights_at: WeightsAt
    find_person: PersonFinder
    _recent: RecentShape = field(default_factory=RecentShape, init=False)
    _segmenter: SegmentationTracker = field(default_factory=SegmentationTracker, init=False)
    _teeth: ShutTeethTracker = field(default_factory=ShutTeethTracker, init=False)

    def track(self, frame: Frame) -> TrackedFrame:
        """Find the face in the next frame, who it is, and what it is to show."""
        track = None if self.tracker is None else self.tracker.step(frame)
        person = None if track is None else self.find_person(frame, track)
        recent = None if track is None else self._recent.update(track, frame.time, person)
        weights = self.weights_at(frame.time)
        if track is None or not weights:
            return TrackedFrame(frame, track, weights, person, recent)
        segmentation, shut_teeth = self._segmenter.update(frame, track), self._teeth.update(frame, track.points[:, :2])
        return TrackedFrame(frame, track, weights, person, recent, segmentation, shut_teeth, self._recent.pause)


def anticipate_occluders(frames: Iterable[TrackedFrame]) -> Iterator[TrackedFrame]:
    """Tell each frame the occluders of the next: what comes in is hardly told from a face that it just touches."""
    held: TrackedFrame | None = None
    try:
        for tracked in frames:
            if held is not None:
                yield _with_occluders_of(held, tracked)
            held = tracked
    except Exception:  # the frames before an error are not lost
        if held is not None:
            yield held
        raise
    if held is not None:
        yield held


def _with_occluders_of(tracked: TrackedFrame, following: TrackedFrame) -> TrackedFrame:
    own, later = tracked.segmentation, following.segmentation
    if own is None or later is None or tracked.track is None or following.track is None:
        return tracked
    together = own if tracked.track.shot != following.track.shot else own.with_occluders(later)
    return tracked if together is own else replace(tracked, later_segmentation=together)


def fade_occluded_regions(edit: FaceEdit, segmentation: Segmentation, points: Floats) -> FaceEdit:
    """Return an edit that leaves regions alone which are mostly occluded: what a hidden mouth does is a guess.

    Args:
        edit: What is to be done to the face.
        segmentation: The frame's occluders.
        points: [478, 3] landmarks, pixels.
    """
    if segmentation.is_clear:
        return edit
    shares, weights = segmentation.occluded_shares(points), region_weights()
    is_occluded = any(shares[name] > share for name, share in _NOTICED.items())
    hidden = sum(smoothstep(share, *_HIDDEN) * weights[name] for name, share in shares.items())
    visible = 1 - np.asarray(hidden, np.float32)
    texels = texture_coverage().scatter(texture_coverage().interpolate(visible[:, None]), 1.0)[..., 0]
    return FaceEdit(edit.displacement * visible[:, None], edit.gain * texels, is_occluded)
