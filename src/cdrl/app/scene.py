"""What is looked at once: the people in a clip and moments of it, so that a preview costs one frame; its timeline."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from cdrl.errors import FaceError, InputError
from cdrl.face.landmarks import BundleDetector, Region
from cdrl.face.segmentation import Segmenter
from cdrl.face.selection import FACE_CHOICES
from cdrl.face.tracking import FaceTracker, Track
from cdrl.manipulation.manipulator import Manipulator
from cdrl.manipulation.person import Person, RecentShape
from cdrl.manipulation.prior import EmotionPrior
from cdrl.media import ColorTags, EncoderOptions, Frame, Limits, VideoInfo, Writer, read
from cdrl.media.tone import map_tones, show_frame, to_standard
from cdrl.pipeline.editor import Editor
from cdrl.pipeline.report import INACTIVE, NO_FACE
from cdrl.pipeline.stages import EditedFrame, FrameEditor, TrackedFrame
from cdrl.pipeline.survey import Survey, survey_face, survey_until
from cdrl.plan import EditPlan
from cdrl.rendering.mouth_patch import measure_shut_teeth
from cdrl.rendering.neural import NeuralRenderer
from cdrl.speech.audio import SAMPLE_RATE, read_samples

_FACE = 96  # pixels, side of a face's picture where one of several is chosen
_EVERY = Fraction(1, 2)  # seconds between two moments at which the face is looked for
_HEAD = 1.2  # side of that picture, over the side of the region that landmarks are looked for in
MOMENTS = 8
_KEPT_BYTES = 64 << 20  # of frames in memory for one session
BINS = 400  # of the sound's envelope
_PLAYED_SOUND = {"aac", "mp3", "mp3float", "opus", "vorbis", "flac"}
_PLAYED = {"mov,mp4,m4a,3gp,3g2,mj2": {"h264", "vp9", "av1", "libdav1d"}, "matroska,webm": {"vp8", "vp9", "libdav1d"}}
_COPY = EncoderOptions("fast", pixel_format="yuv420p", quality=20)


@dataclass(frozen=True)
class Moment:
    """A frame of the clip, kept, with its shot."""

    frame: Frame
    shot: int
    """Number of cuts before."""
    shot_start: Fraction
    """Seconds: when the shot began."""


@dataclass
class Scene:
    """One clip and one of its faces. `moments` grow when `add` is called."""

    info: VideoInfo
    limits: Limits
    prior: EmotionPrior
    face: str
    detector: BundleDetector
    surveys: dict[int, Survey]
    """Who is seen in each shot that was previewed, by the shot's number."""
    first: Moment
    """The first one found that shows the face."""
    moments: list[Moment]
    faces: list[NDArray[np.uint8]]
    """Pictures [n, n, 3] of the faces in the first moment, from the left."""
    _tracks: dict[int, Track | None] = field(default_factory=dict)
    _segmenter: Segmenter = field(default_factory=Segmenter)

    @classmethod
    def look(
        cls, path: Path, editor: Editor, face: str, limits: Limits, wanted: Callable[[], bool] = lambda: True
    ) -> Scene:
        """Surveys the clip's first face, and looks for the first moment that shows the face in all of it.

        `wanted` is asked at each frame after the first seconds; once it says no, the look ends. Raises as `read` does,
        InputError where the look is not wanted any more, and FaceError where no face is seen in the whole clip.
        """
        detector, seen = BundleDetector(), list[Moment]()
        tracker = FaceTracker(detector, face)
        with read(path, limits) as reader:
            survey = survey_face(_first_of(reader, tracker, seen), tracker, editor.prior)
        first = next((moment for moment in seen if _track(moment, detector, face)), None)
        if first is None:
            begin = seen[-1].frame.time + _EVERY if seen else Fraction(0)
            first = _look_on(path, detector, face, limits, begin, wanted)
        regions = sorted(detector.detect_faces(first.frame), key=lambda region: region.x)
        faces = [_portrait(first.frame, region, reader.info.color) for region in regions]
        surveys = {} if survey is None else {0: survey}
        return cls(reader.info, limits, editor.prior, face, detector, surveys, first, [first], faces)

    def add(self, moments: Iterable[Moment]) -> None:
        """Further moments to preview."""
        known = {moment.frame.index: moment for moment in (*moments, self.first)}
        self.moments = [known[index] for index in sorted(known)]

    def preview(
        self, time: float | None, plan: EditPlan, manipulator: Manipulator, neural: NeuralRenderer | None = None
    ) -> EditedFrame:
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
        weights = plan.weights(frame.time)
        if not weights:
            return EditedFrame(frame, frame, track, INACTIVE)
        segmentation = self._segmenter(frame, track.points)
        shut_teeth = measure_shut_teeth(frame, track.points[:, :2])
        person, recent = self._find_person(moment), RecentShape()
        recent.update(track, frame.time, person)  # of one frame: closed lips are taken to be in a pause
        tracked = TrackedFrame(
            frame, track, weights, person, segmentation=segmentation, shut_teeth=shut_teeth, pause=recent.pause
        )
        return FrameEditor(manipulator, neural=neural).edit(tracked)

    def _find_person(self, moment: Moment) -> Person | None:
        """Who is seen in a moment; each shot is surveyed once."""
        known = self.surveys.get(moment.shot)
        survey = survey_until(moment.frame.time, moment.shot_start, known, self._survey_from)
        self.surveys[moment.shot] = survey
        return survey.person

    def _survey_from(self, start: Fraction) -> Survey:
        with read(self.info, self.limits, start=start) as reader:
            return survey_face(reader, FaceTracker(self.detector, self.face), self.prior) or Survey(start, None)


def _moment(frame: Frame, tracker: FaceTracker) -> Moment:
    return Moment(frame, tracker.shot, tracker.shot_start)


def _track(moment: Moment, detector: BundleDetector, face: str) -> Track | None:
    return FaceTracker(detector, face).step(moment.frame)


def _look_on(
    path: Path, detector: BundleDetector, face: str, limits: Limits, due: Fraction, wanted: Callable[[], bool]
) -> Moment:
    """The first moment from `due` on that shows the face, looked for every half second. Raises as `Scene.look`."""
    tracker, end = FaceTracker(detector, face), Fraction(0)
    with read(path, limits) as reader:
        for frame in reader:
            if not wanted():
                raise InputError("another clip was opened meanwhile")
            tracker.skip(frame)
            end = frame.time
            if frame.time >= due:
                due = frame.time + _EVERY
                moment = _moment(frame, tracker)
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
            seen.append(_moment(frame, tracker))


def _portrait(frame: Frame, region: Region, color: ColorTags) -> NDArray[np.uint8]:
    upright = Region(region.x, region.y, _HEAD * region.side, 0.0)
    matrix, size = upright.matrix(_FACE), (_FACE, _FACE)
    return map_tones(frame.rgb_crop_exact(matrix, size), color) if color.hdr else frame.rgb_crop(matrix, size)


@dataclass(frozen=True)
class Timeline:
    """What a clip shows and says over its length."""

    seconds: float
    moments: tuple[Moment, ...]
    """Spread over the clip."""
    thumbnails: tuple[NDArray[np.uint8], ...]
    """The moments as small pictures [H, W, 3], in the colors that the clip means."""
    envelope: NDArray[np.float32] | None
    """Loudness [BINS] in [0, 1]; None without sound."""


def plays_in_browsers(info: VideoInfo) -> bool:
    """Whether any current browser shows this picture and plays its sound."""
    codecs = _PLAYED.get(info.container, set())
    simple = info.format.depth == 8 and (info.format.sx, info.format.sy) == (2, 2) and not info.rotation
    heard = all(track.codec in _PLAYED_SOUND for track in info.audio)
    # A Matroska file that is no WebM opens in some browsers only.
    named = info.container != "matroska,webm" or info.path.suffix.lower() == ".webm"
    return info.codec in codecs and simple and heard and named


def look_through(
    info: VideoInfo, limits: Limits, copy: Path | None, wanted: Callable[[], bool] = lambda: True
) -> Timeline:
    """Reads the clip once, and writes it to `copy` as 8-bit H.264 of usual colors where one is asked for.

    `wanted` is asked at each frame; once it says no, the look ends early and no copy is left. Raises as `read` does.
    """
    count = int(np.clip(_KEPT_BYTES // max(frame_bytes(info), 1), 1, MOMENTS))
    tracker, keep = FaceTracker(BundleDetector()), Spread(count)
    end = Fraction(0)
    with ExitStack() as stack:
        reader = stack.enter_context(read(info, limits))
        shown = replace(info, color=ColorTags(1, 1, 1, 1), hdr=None) if info.color.hdr else info
        writer = stack.enter_context(Writer(copy, shown, _COPY, overwrite=True, limits=limits)) if copy else None
        for frame in reader:
            if not wanted():
                raise InputError("another clip was opened meanwhile")
            tracker.skip(frame)
            keep.add(_moment(frame, tracker))
            end = frame.time
            if writer is not None:
                writer.write(to_standard(frame, info.color))
    seconds, kept = float(max(end, info.duration or end)), tuple(keep.kept)
    thumbnails = tuple(thumbnail(moment.frame, info.color) for moment in kept)
    return Timeline(seconds, kept, thumbnails, envelope(info, limits, seconds))


def frame_bytes(info: VideoInfo) -> int:
    """About how many bytes a frame takes."""
    luma = info.width * info.height * (1 if info.format.depth == 8 else 2)
    return luma if info.format.gray else luma + 2 * (luma // (info.format.sx * info.format.sy))


class Spread:
    """Keeps up to `count` moments spread evenly over a clip of unknown length, the first always among them."""

    def __init__(self, count: int) -> None:
        self._kept: list[Moment] = []
        self._count = count
        self._every = 1
        self._seen = 0

    def add(self, moment: Moment) -> None:
        """Offers the next one."""
        if self._seen % self._every == 0:
            self._kept.append(moment)
            if len(self._kept) >= 2 * self._count:
                self._kept = self._kept[::2]
                self._every *= 2
        self._seen += 1

    @property
    def kept(self) -> list[Moment]:
        """At most `count`, in order."""
        pick = np.unique(np.linspace(0, len(self._kept) - 1, min(self._count, len(self._kept))).round().astype(int))
        return [self._kept[index] for index in pick]


def envelope(info: VideoInfo, limits: Limits, seconds: float) -> NDArray[np.float32] | None:
    """Root mean square of the sound in `BINS` equal parts of the clip, over the loudest; None where none is heard."""
    if not info.audio:
        return None
    try:
        samples = read_samples(info.path, limits)
    except InputError:
        return None
    edges = np.linspace(0, seconds * SAMPLE_RATE, BINS + 1).astype(int)
    parts = [samples[low:high] for low, high in pairwise(edges)]
    loud = np.array([np.sqrt(np.mean(part**2)) if part.size else 0.0 for part in parts], np.float32)
    return loud / max(float(loud.max()), 1e-6)


def thumbnail(frame: Frame, color: ColorTags, height: int = 72) -> NDArray[np.uint8]:
    """The frame of a clip with the tags `color` as a small RGB picture."""
    scale = height / frame.height
    size = (max(round(frame.width * scale), 1), height)
    return np.asarray(cv2.resize(show_frame(frame, color), size, interpolation=cv2.INTER_AREA), np.uint8)
