"""What is asked of one clip: the request that command line, batch, project file, app and Python share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from cdrl.emotions import parse_blend, parse_emotion
from cdrl.errors import InputError, UsageError
from cdrl.face.selection import parse_face
from cdrl.media.encoding import check_profile
from cdrl.media.numbering import find_sequence, numbered_name
from cdrl.plan import EditPlan
from cdrl.timecodes import Timecode, parse_rate, parse_time

if TYPE_CHECKING:
    from cdrl.media import ImageSequence, Limits, VideoInfo
    from cdrl.media.parts import ClipPart

TARGET_FIELDS = ("emotion", "reference", "segments")
"""Fields of a request that say what the face is to show."""

MODELS = ("prior", "translator")
"""Values of `model` that are no file's name: no model adapts the prior to the person, or the one that ships does."""

RENDERERS = ("warp", "neural")
"""Values of `renderer` that are no file's name."""


@dataclass(frozen=True)
class EditRequest:
    """Everything that is asked of one clip, except where the result is written.

    A request is checked when it is made, as far as that is possible without opening a file.

    Raises:
        UsageError: A field has a value that makes no sense, none of `TARGET_FIELDS` is given, or two of them that
            exclude each other.
    """

    source: Path
    """The video to edit; or numbered pictures, as a pattern (`shot_%04d.png`, `shot_####.png`) or a folder of them."""
    emotion: str | None = None
    """An emotion, or a blend such as `happy:0.6+surprised:0.4`; see `cdrl.emotions`."""
    reference: Path | None = None
    """A clip or photo of anyone, whose expression is to be shown."""
    segments: str | None = None
    """Emotions over time; see `cdrl.plan`."""
    intensity: float = 1.0
    """Factor of all amounts of emotion, 0..1.5; 1 is how people usually show an emotion."""
    regions: tuple[str, ...] = ()
    """Parts of the face to edit, of `cdrl.plan.REGIONS`, as a text with commas or as words; empty for all of them."""
    face: str = "largest"
    """Which of several faces is edited; see `cdrl.face.selection`."""
    enroll: Mapping[str, Path] = field(default_factory=dict)
    """Emotion → a photo or clip of the person in the source who shows it; `neutral` says how they look without."""
    model: str | None = None
    """What adapts the prior to the person: one of `MODELS`, or a file that `cdrl train translator` wrote. None: the
    model that ships for the prior that ships, none for another prior."""
    prior: Path | None = None
    """An emotion prior that `cdrl train prior` wrote; None for the one that ships."""
    profile: str | None = None
    """What the result is for, of `cdrl.media.encoding.PROFILES`, where the command leaves it open; None: web."""
    renderer: str | None = None
    """How the face is rendered: `warp` moves and shades what the source shows, `neural` lets a network correct that
    (lips, lids, brows, folds), or a file that `cdrl train renderer` published. None: what the command takes."""
    frame_rate: str | None = None
    """Frames a second of numbered pictures, as in `25`, `29.97` or `24000/1001`; None: 25."""
    from_time: str | None = None
    """Where the result begins, as a time of `segments`; None: with the clip."""
    to_time: str | None = None
    """Where it ends, the frame there left out; None: with the clip."""
    handles: int = 0
    """Frames that it holds before and after these, edited like all others."""
    plan: EditPlan = field(init=False, repr=False, compare=False)
    """What is shown when, parsed from the fields above."""

    def __post_init__(self) -> None:
        regions = self.regions.split(",") if isinstance(self.regions, str) else self.regions
        words = tuple(word.strip() for word in regions)
        values = {
            "source": Path(self.source),
            "reference": None if self.reference is None else Path(self.reference),
            "regions": words,
            "enroll": {parse_emotion(name): Path(path) for name, path in self.enroll.items()},
            "prior": None if self.prior is None else Path(self.prior),
            "plan": EditPlan.parse(self.emotion, self.reference, self.intensity, words, self.segments),
        }
        if self.profile is not None:
            check_profile(self.profile)
        parse_face(self.face)
        if self.frame_rate is not None:
            parse_rate(self.frame_rate)
        self._check_part()
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _check_part(self) -> None:
        for name in ("from_time", "to_time"):
            _parse_part_time(name, getattr(self, name))
        if type(self.handles) is not int or not 0 <= self.handles <= _MOST_HANDLES:
            raise UsageError(f"handles is {self.handles!r:.20}: give frames, from 0 to {_MOST_HANDLES}")
        if self.handles and not self.is_part:
            raise UsageError("handles widen a part of the clip: give --from or --to, too")

    @property
    def is_part(self) -> bool:
        """Whether the result is to hold a part of the clip."""
        return self.from_time is not None or self.to_time is not None

    def fit_part(self, info: VideoInfo) -> ClipPart | None:
        """Fit the part that is to be written to the source; None for the whole clip.

        Raises:
            UsageError: It lies outside the clip or is empty, no segment lies in it, or the clip tells no frame rate.
        """
        if not self.is_part:
            return None
        from cdrl.media.parts import fit_part  # noqa: PLC0415 - loads the codecs

        start, end = (_parse_part_time(name, getattr(self, name)) for name in ("from_time", "to_time"))
        part, plan = fit_part(start, end, self.handles, info), self.plan.at_rate(info.rate)
        if not plan.changes_nothing and not any(
            (part.end is None or segment.start < part.end) and (segment.end is None or segment.end > part.begin)
            for segment in plan.segments
        ):
            raise UsageError(f"{info.path}: no segment lies in the part from --from to --to: choose another part")
        return part

    @property
    def files(self) -> dict[str, Path]:
        """The fields that name a model's file instead of one that ships, by their names."""
        named = {"model": self.model_file, "renderer": self.renderer_file}
        return {name: path for name, path in named.items() if path is not None}

    @property
    def model_file(self) -> Path | None:
        """The file of `model`; None where it names no file."""
        return Path(self.model) if self.model is not None and names_file("model", self.model) else None

    @property
    def renderer_file(self) -> Path | None:
        """The file of `renderer`; None where it names no file."""
        return Path(self.renderer) if self.renderer is not None and names_file("renderer", self.renderer) else None

    @property
    def inputs(self) -> tuple[Path, ...]:
        """Every file that the edit reads, the source first."""
        paths = (self.source, self.reference, *self.enroll.values(), self.prior, self.model_file, self.renderer_file)
        return tuple(path for path in paths if path is not None)

    @property
    def label(self) -> str:
        """What is shown, for the name of a file: `happy`, `happy-sad`, `like_NAME` (a reference), `edited`."""
        if self.segments is not None:
            return "edited"
        if self.reference is not None:
            return f"like_{self.reference.stem}"
        return "-".join(parse_blend(self.emotion or ""))

    def find_source(self, limits: Limits) -> Path | ImageSequence:
        """What `source` names; see `find_source`."""
        return find_source(self.source, self.frame_rate, limits)

    def fit_plan(self, info: VideoInfo) -> EditPlan:
        """Fit the plan to the source: timecodes by its rate, all segments within its length.

        Raises:
            InputError: The source is a photo.
            UsageError: A segment lies outside the clip, or a timecode does not fit its rate.
        """
        if info.photo:
            series = numbered_name(info.path)
            whole = f"; {series} is the sequence that it may belong to" * bool(series)
            raise InputError(f"{info.path} is a photo: give a video (photos serve as --reference){whole}")
        plan = self.plan.at_rate(info.rate)
        if info.duration is not None:
            plan.check_within(info.duration)
        return plan

    def with_source(self, source: Path) -> EditRequest:
        """The same request for another clip."""
        return replace(self, source=source)


_MOST_HANDLES = 10_000  # frames


def _parse_part_time(name: str, text: str | None) -> Fraction | Timecode | None:
    try:
        return None if text is None else parse_time(text.strip())
    except ValueError as error:
        raise UsageError(f"--{name.removesuffix('_time')}: {error}") from None


def find_source(source: Path, frame_rate: str | None, limits: Limits) -> Path | ImageSequence:
    """What the name of a source stands for, as `cdrl.media.read` takes it.

    Args:
        source: A file, or numbered pictures: a pattern or a folder.
        frame_rate: As of an `EditRequest`.
        limits: What the source may hold.

    Raises:
        InputError: As `cdrl.media.find_sequence`.
        LimitError: The same.
        UsageError: The same.
    """
    return find_sequence(source, None if frame_rate is None else parse_rate(frame_rate), limits) or source


REQUEST_FIELDS = tuple(entry.name for entry in fields(EditRequest) if entry.init)
"""The fields that a request is made of, in order: keys of a project file, columns of a batch list."""


def names_file(field_name: str, value: str) -> bool:
    """Whether the value of a field names a model's file: one that is none of `MODELS` or `RENDERERS`."""
    known = {"model": MODELS, "renderer": RENDERERS}
    return field_name in known and value not in known[field_name]


def parse_enrollment(pairs: Iterable[str]) -> dict[str, Path]:
    """Read texts such as `angry=photo.jpg`.

    Returns:
        Emotion → file.

    Raises:
        UsageError: A text is not EMOTION=FILE, or names no emotion.
    """
    files = {}
    for pair in pairs:
        name, equals, path = pair.strip().partition("=")
        if not equals or not path:
            raise UsageError(f"--enroll {pair!r:.60}: write EMOTION=FILE, as in angry=photo.jpg")
        files[parse_emotion(name)] = Path(path)
    return files
