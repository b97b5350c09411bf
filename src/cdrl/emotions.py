"""The seven emotions: their names, the names other collections give them, what a face does in them, and blends.

A blend is written `NAME+NAME` (equal shares), `NAME:WEIGHT+NAME:WEIGHT`, and either may end in one more `:INTENSITY`
that scales all of it. Either every term carries its weight or none does, so a number is never ambiguous:

    >>> parse_blend("happy")
    {'happy': 1.0}
    >>> parse_blend("happy:0.6+surprised:0.4")
    {'happy': 0.6, 'surprised': 0.4}
    >>> parse_blend("happy+surprised:1.2")
    {'happy': 0.6, 'surprised': 0.6}

A number may be a percentage: `happy:60%` is `happy:0.6`.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable

from cdrl.errors import UsageError

EMOTIONS = ("neutral", "angry", "disgusted", "fear", "happy", "sad", "surprised")
"""In the order in which files and tables hold them."""

MAX_INTENSITY = 1.5
"""The largest amount of emotion that may be asked for; 1 is how people usually show it."""

# Names and codes of MEAD, RAVDESS (words and its two-digit codes) and CREMA-D, and what people type.
ALIASES: dict[str, str] = {
    **dict.fromkeys(("neu", "normal", "none", "calm", "01", "02"), "neutral"),
    **dict.fromkeys(("ang", "anger", "mad", "furious", "05"), "angry"),
    **dict.fromkeys(("dis", "disgust", "disgusting", "07"), "disgusted"),
    **dict.fromkeys(("fea", "fearful", "afraid", "scared", "frightened", "06"), "fear"),
    **dict.fromkeys(("hap", "happiness", "joy", "joyful", "smile", "smiling", "03"), "happy"),
    **dict.fromkeys(("sadness", "unhappy", "sorrow", "04"), "sad"),
    **dict.fromkeys(("sur", "surprise", "astonished", "amazed", "08"), "surprised"),
}

DESCRIPTORS: dict[str, tuple[str, ...]] = {
    "neutral": ("a calm face at rest", "brows level, lips relaxed"),
    "angry": ("brows pulled down and together", "eyes narrowed in a hard stare", "lips pressed or squared"),
    "disgusted": ("a wrinkled nose", "the upper lip raised", "brows lowered, cheeks lifted"),
    "fear": ("brows raised and drawn together", "wide, tense eyes", "lips stretched sideways"),
    "happy": ("lip corners drawn up and back", "raised cheeks", "eyes narrowed by a smile"),
    "sad": ("inner brows raised", "drooping lids", "lip corners pulled down"),
    "surprised": ("brows raised high", "wide open eyes", "a dropped jaw"),
}
"""What a face does in each emotion, in a few words."""


def suggest(word: str, known: Iterable[str]) -> str:
    """` (did you mean X?)` for the known word nearest to `word`, or nothing where none is near."""
    near = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return f" (did you mean {ALIASES.get(near[0], near[0])}?)" if near else ""


def parse_emotion(text: str, extra: Collection[str] = ()) -> str:
    """The emotion a name, alias or code stands for; case and surrounding spaces do not matter.

    `extra` are further names to be accepted as they are. Raises UsageError for an unknown name, with the nearest known
    one.
    """
    word = text.strip().lower()
    name = ALIASES.get(word, word)
    if name in EMOTIONS or name in extra:
        return name
    known = ", ".join((*EMOTIONS, *extra))
    if not word:
        raise UsageError(f"an emotion's name is missing: choose from {known}")
    hint = suggest(word, (*EMOTIONS, *extra, *ALIASES))
    raise UsageError(f"unknown emotion {text.strip()!r}{hint}: choose from {known}")


def parse_blend(text: str, extra: Collection[str] = ()) -> dict[str, float]:
    """Amount per emotion (≥ 0, their sum ≤ 1.5) of a blend such as `happy:0.6+surprised:0.4`; see the module's head.

    `extra` are further names to be accepted as they are. Raises UsageError for unknown or repeated names, missing or
    senseless numbers, and amounts that are out of range.
    """
    terms = [term.split(":") for term in text.split("+")]
    names = [parse_emotion(term[0], extra) for term in terms]
    numbers = [[_parse_number(number, text) for number in term[1:]] for term in terms]
    if len(set(names)) < len(names):
        raise UsageError(f"the blend {text!r} names an emotion twice: add its weights up")
    weights, intensity = _weights(numbers, text)
    amounts = {name: weight * intensity for name, weight in zip(names, weights, strict=True)}
    if (total := sum(amounts.values())) > MAX_INTENSITY + 1e-9:
        raise UsageError(f"the amounts in {text!r} add up to {total:g}: keep them within {MAX_INTENSITY:g}")
    return amounts


def parse_amount(text: str) -> float:
    """The number that `0.5`, `.5` or `50%` writes.

    Raises:
        ValueError: It is no number, in words for a user.
    """
    word = text.strip()
    try:
        return float(word.removesuffix("%")) / (100 if word.endswith("%") else 1)
    except ValueError:
        raise ValueError(f"{word!r} is not a number: write for example 0.8 or 80%") from None


def _weights(numbers: list[list[float]], text: str) -> tuple[list[float], float]:
    """The weight of each term, and the intensity that scales them all."""
    given = [len(term) for term in numbers]
    if not any(given[:-1]) and given[-1] <= (1 if len(given) > 1 else 0):
        return [1 / len(given)] * len(given), numbers[-1][0] if given[-1] else 1.0
    if all(count == 1 for count in given[:-1]) and 1 <= given[-1] <= 2:
        return [term[0] for term in numbers], numbers[-1][1] if given[-1] == 2 else 1.0
    raise UsageError(f"cannot read the blend {text!r}: give every emotion a weight or none, as in happy:0.6+sad:0.4")


def _parse_number(text: str, blend: str) -> float:
    try:
        number = parse_amount(text)
    except ValueError:
        raise UsageError(f"{text.strip()!r} in {blend!r} is not a number: write for example happy:0.6") from None
    if not 0 <= number <= MAX_INTENSITY:
        raise UsageError(f"{text.strip()} in {blend!r} is out of range: give a number from 0 to {MAX_INTENSITY:g}")
    return number
