"""One edited clip beside its source: `score_clip(source, output, "happy")` → every measure, in a few seconds."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cdrl.errors import UsageError
from cdrl.evaluation import measures
from cdrl.evaluation.clip_features import ClipFeatures, extract_features
from cdrl.evaluation.clips import read_frames
from cdrl.evaluation.evaluators import CLASSES
from cdrl.evaluation.speech_pauses import label_silences

Scores = dict[str, float | None]
"""Measure → value; None where it has none (`explain_missing` says why)."""


def explain_missing(scores: Mapping[str, float | None]) -> dict[str, str]:
    """Say why each of the measures that have no value has none."""
    return {name: measures.UNDEFINED.get(name, "") for name, value in scores.items() if value is None}


def align_frames(source: ClipFeatures, output: ClipFeatures, lag: int) -> tuple[slice, slice]:
    """Return the source's frames that the output has, too, and the output's: `lag` frames later. Perhaps none."""
    first = max(0, -lag)
    here = slice(first, max(first, min(len(source.points), len(output.points) - lag)))
    return here, slice(here.start + lag, here.stop + lag)


def compare_features(
    source: ClipFeatures,
    output: ClipFeatures,
    emotion: str,
    lag: int = 0,
    silences: NDArray[np.integer] | None = None,
) -> Scores:
    """Compute every measure of one pair of clips.

    Args:
        source: Features of the clip before the edit.
        output: Features of the written file, extracted in the source's layout.
        emotion: The one that was asked for.
        lag: Frames the output is behind its source (0 for ours); output frame t + lag is compared with source frame t.
        silences: [T] which silence of its sound a frame of the source lies in, see `label_silences`; none by default.

    Raises:
        UsageError: No evaluator knows the emotion.
    """
    if emotion not in CLASSES:
        raise UsageError(f"no evaluator knows the emotion {emotion!r}: one of {', '.join(CLASSES)}")
    here, there = align_frames(source, output, lag)
    opening, edited = measures.lip_opening(source.points[here]), measures.lip_opening(output.points[there])
    widths = measures.lip_width(source.points[here]), measures.lip_width(output.points[there])
    silent = (np.zeros(len(source.points), np.intp) if silences is None else silences)[here]
    index, visible = CLASSES.index(emotion), source.has_face[here]
    return {
        "lip_opening_r": measures.pearson(opening, edited),
        "lip_width_r": measures.pearson(*widths),
        "lip_flow_r": measures.pearson(source.flow_spread[here], output.flow_spread[there]),
        "lip_flow_opening_r": measures.pearson(source.flow_opening[here], output.flow_opening[there]),
        "closures_kept": measures.closures_kept(opening, edited),
        "lip_dynamics": measures.dynamics_ratio(measures.lip_dynamics, source.points[here], output.points[there]),
        "brow_dynamics": measures.dynamics_ratio(measures.brow_dynamics, source.points[here], output.points[there]),
        "silent_lips": measures.silent_lips(edited, silent),
        "silent_lips_source": measures.silent_lips(opening, silent),
        "p_target": measures.mean_probability(output.emotion[there], index),
        "p_target_source": measures.mean_probability(source.emotion[here], index) if visible.any() else None,
        "identity": measures.identity_cosine(output.identity, source.identity),
        "flicker": measures.flicker_ratio(source.upper[here], output.upper[there]),
        "sharpness": measures.sharpness_ratio(source.sharpness[here], output.sharpness[there]),
        "edited": measures.edited_share(source.thumbs[here], output.thumbs[there], visible),
        "found": float(output.has_face[there].mean()) if here.start < here.stop else None,
        "frames": float(len(source.points)),
        "frames_output": float(len(output.points)),
    }


@lru_cache(maxsize=32)
def _extract_source(path: Path, changed: int) -> ClipFeatures:
    """`changed`: the file's time stamp, so that another file of that name is looked at again."""
    return extract_features(read_frames(path))


def score_clip(source_path: Path | str, output_path: Path | str, emotion: str) -> Scores:
    """Evaluate a written file beside its source.

    About 25 ms a frame at 256 x 256 on one thread; the source is looked at once a process.

    Args:
        source_path: The video before the edit.
        output_path: The video that was written.
        emotion: The one that was asked for.

    Returns:
        The measures of `compare_features`; ratios and identity are to the source. A measure that has no value, as
        flicker beside a frozen source, is None, and `explain_missing` says why.

    Raises:
        InputError: A file cannot be read.
        FaceError: A file shows no face.
    """
    path = Path(source_path)
    source = _extract_source(path, path.stat().st_mtime_ns)
    output = extract_features(read_frames(Path(output_path)), source.layout)
    return compare_features(source, output, emotion, silences=label_silences(path, path, len(source.points)))
