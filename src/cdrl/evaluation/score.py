"""One edited clip beside its source: `score_clip(source, output, "happy")` → every measure, in a few seconds."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cdrl.errors import UsageError
from cdrl.evaluation import measures
from cdrl.evaluation.clips import frames_of
from cdrl.evaluation.judges import EMOTIONS
from cdrl.evaluation.observe import Observation, observe

Array = NDArray[np.float64]


Scores = dict[str, float | None]
"""Measure → value; None where it has none (`reasons` says why)."""


def reasons(scores: Mapping[str, float | None]) -> dict[str, str]:
    """Why each of the measures that have no value has none."""
    return {name: measures.UNDEFINED.get(name, "") for name, value in scores.items() if value is None}


def common_frames(source: Observation, output: Observation, lag: int) -> tuple[slice, slice]:
    """The source's frames that the output has, too, and the output's: `lag` frames later. Perhaps none."""
    first = max(0, -lag)
    here = slice(first, max(first, min(len(source.points), len(output.points) - lag)))
    return here, slice(here.start + lag, here.stop + lag)


def compare(source: Observation, output: Observation, emotion: str, lag: int = 0) -> Scores:
    """Every measure of one pair of observations; `output` must have been observed in the source's layout.

    `lag`: frames the output is behind its source (0 for ours); output frame t + lag is compared with source frame t.
    """
    if emotion not in EMOTIONS:
        raise UsageError(f"no judge knows the emotion {emotion!r}: one of {', '.join(EMOTIONS)}")
    here, there = common_frames(source, output, lag)
    opening, edited = measures.lip_opening(source.points[here]), measures.lip_opening(output.points[there])
    widths = measures.lip_width(source.points[here]), measures.lip_width(output.points[there])
    return {
        "lip_opening_r": measures.pearson(opening, edited),
        "lip_width_r": measures.pearson(*widths),
        "lip_flow_r": measures.pearson(source.flow_spread[here], output.flow_spread[there]),
        "lip_flow_opening_r": measures.pearson(source.flow_opening[here], output.flow_opening[there]),
        "closures_kept": measures.closures_kept(opening, edited),
        "p_target": measures.mean_probability(output.emotion[there], EMOTIONS.index(emotion)),
        "p_target_source": measures.mean_probability(source.emotion[here], EMOTIONS.index(emotion))
        if source.found[here].any()
        else None,
        "identity": measures.identity_cosine(output.identity, source.identity),
        "flicker": measures.flicker_ratio(source.upper[here], output.upper[there]),
        "sharpness": measures.sharpness_ratio(source.sharpness[here], output.sharpness[there]),
        "edited": measures.edited_share(source.thumbs[here], output.thumbs[there], source.found[here]),
        "found": float(output.found[there].mean()) if here.start < here.stop else None,
        "frames": float(len(source.points)),
        "frames_output": float(len(output.points)),
    }


@lru_cache(maxsize=32)
def _source(path: Path, changed: int) -> Observation:
    return observe(frames_of(path))


def score_clip(source_path: Path | str, output_path: Path | str, emotion: str) -> Scores:
    """Judge a written file beside its source. Keys: see `compare`; ratios and identity are to the source.

    A measure that has no value, as flicker beside a frozen source, is None, and `reasons` says why. About 25 ms a frame
    at 256 x 256 on one thread; the source is looked at once a process.
    """
    source = _source(Path(source_path), Path(source_path).stat().st_mtime_ns)
    output = observe(frames_of(Path(output_path)), source.layout)
    return compare(source, output, emotion)
