"""What commands that edit in some way are asked for alike: the emotion, and the face it is for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import arg
from tyro.constructors import PrimitiveConstructorSpec

from cdrl.emotions import EMOTIONS, parse_amount, parse_emotion
from cdrl.errors import UsageError
from cdrl.plan import REGIONS

EMOTION_HELP = f"{', '.join(EMOTIONS)}, or a blend such as happy:0.6+surprised:0.4."
REGIONS_HELP = f"The parts to edit, of {', '.join(REGIONS)}."
MODEL_HELP = "What fits emotions to the person: translator, prior (nothing), or a FILE trained for your prior."
BY_PRIOR = "(default: translator; with --prior, prior)"
SEGMENTS_HELP = (
    'Emotions over time: "0-2.5:neutral, 0:03-1:10:surprised:1.2, 00:01:10:12-:reference"; times in seconds, as M:SS, '
    "as H:MM:SS, or as timecodes HH:MM:SS:FF."
)
INTENSITY_HELP = "How strong, 0 to 1.5 or 0% to 150%; 1 is how people usually show it."
WHOLE_FACE = "(default: the whole face)"


def _read_amount(words: list[str]) -> float:
    return parse_amount(words[0])


Intensity = Annotated[
    float,
    arg(help=INTENSITY_HELP),
    PrimitiveConstructorSpec(
        nargs=1,
        metavar="X",
        instance_from_str=_read_amount,
        is_instance=lambda value: isinstance(value, float),
        str_from_instance=lambda value: [f"{value:g}"],
    ),
]
"""An option that takes an amount of emotion, as a number or as a percentage."""

Emotion = Annotated[str | None, arg(aliases=["-e"], metavar="EMOTION", help=EMOTION_HELP, help_behavior_hint="")]
"""The option --emotion of every command that edits."""


@dataclass(frozen=True)
class Wish:
    """The emotion to show, and who is to show it."""

    emotion: Emotion = None
    reference: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """A clip or photo of anyone, whose expression is to be shown."""
    intensity: Intensity = 1.0
    regions: Annotated[str | None, arg(metavar="R,R", help=REGIONS_HELP, help_behavior_hint=WHOLE_FACE)] = None
    face: Annotated[str, arg(metavar="WHICH")] = "largest"
    """Whose face where several are seen: largest, left, right, or a number counted from the left."""
    prior: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: the one that ships)")] = None
    """An emotion prior of your own, from cdrl train prior."""
    model: Annotated[str | None, arg(metavar="MODEL", help=MODEL_HELP, help_behavior_hint=BY_PRIOR)] = None
    enroll: Annotated[tuple[str, ...], arg(metavar="EMOTION=FILE", help_behavior_hint="")] = ()
    """How this person shows an emotion: a photo or clip of them for each, as in --enroll angry=photo.jpg; neutral=FILE
    says how they look without emotion."""

    @property
    def region_names(self) -> tuple[str, ...]:
        """The words of `regions`."""
        return () if self.regions is None else tuple(self.regions.split(","))

    @property
    def examples(self) -> dict[str, Path]:
        """Emotion → file of `enroll`. UsageError for what is not EMOTION=FILE."""
        return enrolled(self.enroll)


def enrolled(texts: Iterable[str]) -> dict[str, Path]:
    """Emotion → file of texts such as `angry=photo.jpg`. Raises UsageError."""
    found = {}
    for text in texts:
        name, equals, path = text.partition("=")
        if not equals or not path:
            raise UsageError(f"--enroll {text!r}: write EMOTION=FILE, as in angry=photo.jpg")
        found[parse_emotion(name)] = Path(path)
    return found
