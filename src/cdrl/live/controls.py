"""What a live face is to show, changed by words while it runs; one emotion passes into another as in a clip."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from cdrl.emotions import MAX_INTENSITY, parse_blend
from cdrl.errors import UsageError
from cdrl.plan import CROSS_FADE, smoothstep

OFF, QUIT = "off", "quit"
STEP = 0.1  # of intensity, for + and -


class EmotionControl:
    """Amounts of emotion over time. Not to be used by two threads at once."""

    def __init__(self, amounts: Mapping[str, float], intensity: float = 1.0, extra: tuple[str, ...] = ()) -> None:
        """`amounts`: emotion → amount, nothing for an unchanged face; `extra`: further names that may be asked for."""
        self.intensity = intensity
        self.over = False
        self.text = "+".join(amounts) or OFF
        self._extra = extra
        self._amounts = dict(amounts)
        self._from: dict[str, float] = {}
        self._shown = self._to = self._scaled(self._amounts, intensity)
        self._since: Fraction | None = None
        self._changed = False

    def command(self, line: str) -> None:
        """A blend such as `happy` or `happy:0.6+sad:0.4`; `intensity 0.8`, `+`, `-`; `off`; `quit`.

        Raises UsageError for anything else, and then goes on as before.
        """
        words = line.split()
        amounts, intensity, text = self._amounts, self.intensity, self.text
        if not words:
            return
        if words == [QUIT]:
            self.over = True
            return
        if words == [OFF]:
            amounts, text = {}, OFF
        elif words in (["+"], ["-"]):
            step = STEP if words == ["+"] else -STEP
            intensity = round(min(max(intensity + step, 0), MAX_INTENSITY / max(sum(amounts.values()), 1)), 6)
        elif words[0] == "intensity":
            intensity = _number(words[1:])
        else:
            text = " ".join(words)
            amounts = parse_blend(text, self._extra)
        to = self._scaled(amounts, intensity)
        self._amounts, self.intensity, self.text = amounts, intensity, text
        self._from, self._to, self._changed = self._shown, to, True

    def weights(self, time: Fraction) -> dict[str, float]:
        """Amount per emotion at `time`, in seconds, which never runs back; only those above 0."""
        if self._changed:
            self._since, self._changed = time, False
        share = 1.0 if self._since is None else smoothstep(time, self._since, self._since + CROSS_FADE)
        mixed = {
            name: (1 - share) * self._from.get(name, 0.0) + share * self._to.get(name, 0.0)
            for name in self._from.keys() | self._to.keys()
        }
        self._shown = {name: amount for name, amount in mixed.items() if amount > 0}
        return self._shown

    @staticmethod
    def _scaled(amounts: Mapping[str, float], intensity: float) -> dict[str, float]:
        total = intensity * sum(amounts.values())
        if not total <= MAX_INTENSITY + 1e-9:
            raise UsageError(f"emotion times intensity comes to {total:g}: keep the product within {MAX_INTENSITY:g}")
        return {name: intensity * amount for name, amount in amounts.items() if intensity * amount > 0}


def _number(words: list[str]) -> float:
    try:
        (word,) = words
        number = float(word)
    except ValueError:
        number = -1.0
    if not 0 <= number <= MAX_INTENSITY:
        raise UsageError(f"intensity {' '.join(words)!r}: give one number from 0 to {MAX_INTENSITY:g}")
    return number
