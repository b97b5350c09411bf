"""Which clips are made: people, the words they say, the takes and the emotions, all fixed by one seed.

A group is one person saying one part of a sentence in several emotions, each from a take of its own. Emotions are
balanced, and independent of person and sentence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cdrl.emotions import EMOTIONS
from cdrl.errors import InputError, UsageError
from cdrl_synthetic.forced_alignment import AlignedRecording
from cdrl_synthetic.visemes import Phones

_MARGIN = 0.2  # seconds of a clip left for the silence around the words
_ACTED = 0.35  # share of groups whose speech is acted, where both kinds are given
_FEWEST_WORDS = 2


@dataclass(frozen=True)
class SyntheticSettings:
    """What decides what the clips look like and how many there are."""

    people: int = 60
    """How many people."""
    clips: int = 720
    """How many clips in all."""
    emotions: int = 4
    """In how many emotions a person says each sentence."""
    seconds: float = 2.0
    """Length of a clip."""
    size: int = 256
    """Side of the picture in pixels."""
    seed: int = 1
    """The same seed gives the same clips."""

    def __post_init__(self) -> None:
        if not 1 <= self.emotions <= len(EMOTIONS):
            raise UsageError(f"--emotions {self.emotions}: give 1 to {len(EMOTIONS)} emotions a sentence")
        if self.people < 1:
            raise UsageError(f"--people {self.people}: give 1 or more")
        if self.clips < self.people * self.emotions:
            raise UsageError(
                f"--clips {self.clips}: each of {self.people} people says at least one sentence in {self.emotions} "
                f"emotions; give {self.people * self.emotions} clips or more, or fewer --people"
            )
        if not 0.8 <= self.seconds <= 10 or not 64 <= self.size <= 1024 or self.size % 2:
            raise UsageError("--seconds is 0.8 to 10 and --size an even number from 64 to 1024")


@dataclass(frozen=True)
class ClipPlan:
    """One clip that is to be made."""

    name: str
    """File name without its ending."""
    actor: str
    """The person's name."""
    emotion: str
    """One of `cdrl.emotions.EMOTIONS`."""
    intensity: int
    """1 to 3."""
    take: AlignedRecording
    """What is said."""
    first: int
    """The first word that is heard."""
    last: int
    """The last word that is heard, plus 1."""
    seed: tuple[int, ...]
    """Fixes everything that is random in the clip."""

    @property
    def sentence(self) -> str:
        """The words that are heard."""
        return " ".join(self.take.words[self.first : self.last])

    @property
    def content_id(self) -> str:
        """Equal for clips with the same words of the same sentence."""
        return f"{'_'.join(self.take.words)}:{self.first}-{self.last}".replace("'", "")


@dataclass(frozen=True)
class PersonPlan:
    """A person and their clips."""

    actor: str
    """The person's name."""
    head: str
    """The head model's name."""
    seed: tuple[int, ...]
    """Fixes everything that is random in the person."""
    clips: tuple[ClipPlan, ...]
    """What they say."""


def choose_words(takes: Sequence[AlignedRecording], seconds: float, rng: np.random.Generator) -> tuple[int, int] | None:
    """Choose as many neighboring words as fit into a clip in every take.

    Args:
        takes: Takes of one sentence.
        seconds: Length of the clip; a margin of it stays silent.
        rng: Source of randomness.

    Returns:
        The words [first, last); None where too few fit.
    """
    count = len(takes[0].words)
    first_phones, end_phones = (np.searchsorted(takes[0].word, np.arange(count), side) for side in ("left", "right"))
    bounds = np.array([take.bounds for take in takes])
    starts, ends = bounds[:, first_phones], bounds[:, end_phones]
    fits = [
        (last - first, first, last)
        for first in range(count)
        for last in range(first + 1, count + 1)
        if (ends[:, last - 1] - starts[:, first]).max() <= seconds - _MARGIN
    ]
    longest = max(fits, default=(0, 0, 0))[0]
    if longest < min(_FEWEST_WORDS, count):
        return None
    choice = [item for item in fits if item[0] >= max(longest - 1, 1)]
    _, first, last = choice[int(rng.integers(len(choice)))]
    return first, last


def place_phones(plan: ClipPlan, seconds: float) -> tuple[Phones, float]:
    """Place a clip's phones in its own time.

    Where the words begin is drawn from the clip's seed, so that sound alone does not tell the time.

    Args:
        plan: The clip.
        seconds: Its length.

    Returns:
        The phones, silence first and last, and the second of the recording at which the clip starts.
    """
    rng = np.random.default_rng([*plan.seed, 11])
    inside = [index for index, word in enumerate(plan.take.word) if plan.first <= word < plan.last]
    bounds = np.array(plan.take.bounds[inside[0] : inside[-1] + 2])
    room = seconds - (bounds[-1] - bounds[0])
    shift = bounds[0] - float(rng.uniform(0.25, 0.75) * room)
    symbols = ("SIL", *(plan.take.symbols[index] for index in inside), "SIL")
    return Phones(symbols, np.array([0.0, *(bounds - shift), seconds])), float(shift)


def group_takes(spoken: Sequence[AlignedRecording], acted: bool) -> list[list[AlignedRecording]]:
    """Group takes of the same sentence by the same voice.

    Args:
        spoken: All takes.
        acted: Whether takes with an acted emotion are wanted, or those without.
    """
    result: dict[tuple[str, str], list[AlignedRecording]] = {}
    for item in spoken:
        if bool(item.recording.emotion) == acted:
            result.setdefault((item.recording.voice, item.recording.sentence), []).append(item)
    return [result[key] for key in sorted(result)]


def make_plan(
    settings: SyntheticSettings, spoken: Sequence[AlignedRecording], heads: Sequence[str]
) -> list[PersonPlan]:
    """Plan everybody's clips.

    Args:
        settings: How many, how long.
        spoken: The takes.
        heads: Names of the head models, used in turn from person to person.

    Raises:
        InputError: There is no sentence with two takes, or no two words of any fit into a clip.
    """
    rng = np.random.default_rng([settings.seed, 1])
    acted = [group for group in group_takes(spoken, True) if len({t.recording.emotion for t in group}) > 1]
    spare = [group for group in group_takes(spoken, False) if len(group) >= 2]
    if not acted and not spare:
        raise InputError("no sentence with two takes or more: give recordings of the same words in several takes")
    used: Counter[str] = Counter()
    total = settings.clips // settings.emotions
    people = []
    for person in range(settings.people):
        count = total // settings.people + (person < total % settings.people)
        actor = f"S{person + 1:04d}"
        clips: list[ClipPlan] = []
        for part in range(count):
            is_acted = bool(acted) and (not spare or rng.uniform() < _ACTED)
            clips += _plan_group(actor, person, part, settings, acted if is_acted else spare, used, rng)
        people.append(PersonPlan(actor, heads[person % len(heads)], (settings.seed, 2, person), tuple(clips)))
    return people


def _plan_group(
    actor: str,
    person: int,
    part: int,
    settings: SyntheticSettings,
    groups: list[list[AlignedRecording]],
    used: Counter[str],
    rng: np.random.Generator,
) -> list[ClipPlan]:
    # The emotions that are used the least so far, ties at random.
    emotions = sorted(EMOTIONS, key=lambda emotion: (used[emotion], rng.uniform()))[: settings.emotions]
    used.update(emotions)
    for _ in range(50):
        group = groups[int(rng.integers(len(groups)))]
        chosen = _choose_takes(group, emotions, rng)
        words = choose_words(list(chosen.values()), settings.seconds, rng)
        if words is not None:
            break
    else:
        raise InputError(f"no two words of any sentence fit into {settings.seconds:g} s: give more --seconds")
    clips = []
    for index, emotion in enumerate(emotions):
        level = chosen[emotion].recording.intensity
        level = int(rng.integers(1, 4)) if level is None else min(3, max(1, level + int(rng.integers(-1, 1))))
        seed = (settings.seed, 3, person, part, index)
        name = f"{actor}_{part:02d}_{emotion}"
        clips.append(ClipPlan(name, actor, emotion, level, chosen[emotion], *words, seed))
    return clips


def _choose_takes(
    group: list[AlignedRecording], emotions: Sequence[str], rng: np.random.Generator
) -> Mapping[str, AlignedRecording]:
    """A take for each emotion: one acted in it where there is, else any that is still free."""
    free = [group[index] for index in rng.permutation(len(group))]
    acted = {take.recording.emotion for take in free}
    result: dict[str, AlignedRecording] = {}
    # Those with an acted take come first, so that nobody else is given it.
    for emotion in sorted(emotions, key=lambda emotion: emotion not in acted):
        right = [take for take in free if take.recording.emotion == emotion]
        take = (right or free or list(group))[0]
        result[emotion] = take
        free = [item for item in free if item is not take]
    return result


def compute_frame_times(seconds: float, rate: int = 25) -> NDArray[np.float64]:
    """Compute the times [T] in seconds of a clip's frames."""
    return np.arange(round(seconds * rate)) / rate


def list_recordings(plans: Sequence[PersonPlan]) -> list[Path]:
    """List the recordings that any clip is made from."""
    return sorted({clip.take.recording.path for person in plans for clip in person.clips})
