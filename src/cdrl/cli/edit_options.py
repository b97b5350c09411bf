"""Options of every command that edits: the fields of a request, as a user writes them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import arg
from tyro.constructors import PrimitiveConstructorSpec

from cdrl.emotions import EMOTIONS, parse_amount
from cdrl.plan import REGIONS
from cdrl.request import TARGET_FIELDS, EditRequest, parse_enrollment

_EMOTION_HELP = f"{', '.join(EMOTIONS)}, or a blend such as happy:0.6+surprised:0.4."
_REGIONS_HELP = f"The parts to edit, of {', '.join(REGIONS)}."
_MODEL_HELP = "What fits emotions to the person: translator, prior (nothing), or a FILE trained for your prior."
_RENDERER_HELP = "What renders the face: warp, neural (a network corrects the warp), or a FILE of a trained one."
_RENDERER_DEFAULT = "(default: warp)"
_SEGMENTS_HELP = (
    'Emotions over time: "0-2.5:neutral, 0:03-1:10:surprised:1.2, 00:01:10:12-:reference"; times in seconds, as M:SS, '
    "as H:MM:SS, or as timecodes HH:MM:SS:FF."
)
_RATE_HELP = "Frames a second of numbered pictures: 25, 29.97, 24000/1001; a video has its own."
_RATE_DEFAULT = "(default: 25)"
_INTENSITY_HELP = "How strong, 0 to 1.5 or 0% to 150%; 1 is how people usually show it."


Intensity = Annotated[
    float,
    arg(help=_INTENSITY_HELP),
    PrimitiveConstructorSpec(
        nargs=1,
        metavar="X",
        instance_from_str=lambda words: parse_amount(words[0]),
        is_instance=lambda value: isinstance(value, float),
        str_from_instance=lambda value: [f"{value:g}"],
    ),
]
"""An option that takes an amount of emotion, as a number or as a percentage."""


@dataclass(frozen=True)
class EmotionOptions:
    """The emotion to show all the time, and who is to show it."""

    emotion: Annotated[
        str | None, arg(aliases=["-e"], metavar="EMOTION", help=_EMOTION_HELP, help_behavior_hint="")
    ] = None
    reference: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """A clip or photo of anyone, whose expression is to be shown."""
    intensity: Intensity = 1.0
    regions: Annotated[
        str | None, arg(metavar="R,R", help=_REGIONS_HELP, help_behavior_hint="(default: the whole face)")
    ] = None
    face: Annotated[str, arg(metavar="WHICH")] = "largest"
    """Who is edited where several people are seen: largest, left, right, or a number counted from the left."""
    prior: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: the one that ships)")] = None
    """An emotion prior of your own, from cdrl train prior."""
    model: Annotated[
        str | None,
        arg(metavar="MODEL", help=_MODEL_HELP, help_behavior_hint="(default: translator; with --prior, prior)"),
    ] = None
    renderer: Annotated[
        str | None, arg(metavar="RENDERER", help=_RENDERER_HELP, help_behavior_hint=_RENDERER_DEFAULT)
    ] = None
    enroll: Annotated[tuple[str, ...], arg(metavar="EMOTION=FILE", help_behavior_hint="")] = ()
    """How this person shows an emotion: a photo or clip of them for each, as in --enroll angry=photo.jpg; neutral=FILE
    says how they look without emotion."""

    @property
    def given(self) -> dict[str, Any]:
        """What differs from the defaults, as `EditRequest` takes it. Raises UsageError."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        values = {entry.name: values[entry.name] for entry in fields(self) if values[entry.name] != entry.default}
        if "enroll" in values:
            values["enroll"] = parse_enrollment(self.enroll)
        return values

    @property
    def has_target(self) -> bool:
        """Whether the options say what the face is to show."""
        return any(getattr(self, name, None) is not None for name in TARGET_FIELDS)

    def request(self, source: Path) -> EditRequest:
        """The request for a clip. Raises UsageError."""
        return EditRequest(source, **self.given)


@dataclass(frozen=True)
class TimedEmotionOptions(EmotionOptions):
    """The emotions to show over time, and who is to show them."""

    segments: Annotated[str | None, arg(metavar="SEGMENTS", help=_SEGMENTS_HELP, help_behavior_hint="")] = None
    frame_rate: Annotated[str | None, arg(metavar="RATE", help=_RATE_HELP, help_behavior_hint=_RATE_DEFAULT)] = None
    from_time: Annotated[str | None, arg(aliases=["--from"], metavar="TIME", help_behavior_hint="")] = None
    """Where the result begins, in seconds, as M:SS, or as timecode from the clip's first frame; the clip's beginning
    unless given."""
    to_time: Annotated[str | None, arg(aliases=["--to"], metavar="TIME", help_behavior_hint="")] = None
    """Where it ends, the frame there left out."""
    handles: int = 0
    """Frames that the result holds before and after these, edited like all others."""
