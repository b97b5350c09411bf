"""`cdrl evaluate edit`: evaluate one edited video beside its source."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from cdrl.emotions import parse_emotion

_MEANINGS = {
    "lip_opening_r": "lip opening, source vs edited, over the frames (correlation; a plain copy has about .93)",
    "lip_width_r": "mouth width, likewise",
    "lip_flow_r": "motion of the mouth by optical flow, likewise; no landmarks decide it",
    "lip_flow_opening_r": "opening and closing by optical flow, likewise",
    "closures_kept": "share of closed lips that stayed closed",
    "lip_dynamics": "how much lips move, over the source's; 1: as lively",
    "brow_dynamics": "how much brows move, over the source's; 1: as lively",
    "silent_lips": "unsteadiness of lips in silences of the sound, % of the eyes' distance",
    "silent_lips_source": "the same of the source",
    "p_target": "mean probability of the target emotion, edited",
    "p_target_source": "the same of the source",
    "identity": "recognition cosine to the source",
    "flicker": "flicker of the upper face over the source's",
    "sharpness": "sharpness of the face over the source's",
    "edited": "share of frames that were really edited",
    "found": "share of edited frames with a face",
    "frames": "frames of the source",
    "frames_output": "frames of the edited video",
}


@dataclass(frozen=True)
class Options:
    """Evaluate an edited video beside its source, by detectors and networks that play no part in an edit.

    The evaluators travel in packages of their own; where one is missing, the error says how to get it.
    """

    source: Annotated[Positional[Path], arg(metavar="SOURCE")]
    """The video before the edit."""
    edited: Annotated[Positional[Path], arg(metavar="EDITED")]
    """The video that was written."""
    emotion: Annotated[str, arg(aliases=["-e"], metavar="EMOTION")]
    """The emotion that was asked for."""
    json: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """Also write the numbers to a file."""


def run(options: Options) -> int:
    """Print every measure with what it means."""
    emotion = parse_emotion(options.emotion)
    from rich.console import Console
    from rich.table import Table

    from cdrl.evaluation.json_numbers import encode_report
    from cdrl.evaluation.score import explain_missing, score_clip
    from cdrl.files import atomic_write
    from cdrl.media import Limits, probe

    for path in (options.source, options.edited):
        probe(path, Limits())  # says in our words what is wrong with a file
    scores = score_clip(options.source, options.edited, emotion)
    why = explain_missing(scores)
    table = Table("measure", "value", "what it is", title=f"{options.edited}, {emotion}", title_justify="left")
    for name, value in scores.items():
        shown = "–" if value is None else f"{value:.0f}" if name.startswith("frames") else f"{value:.3f}"
        table.add_row(name, shown, why.get(name) or _MEANINGS.get(name, ""))
    Console().print(table)
    if options.json is not None:
        atomic_write(options.json, [encode_report({**scores, "reasons": why})])
    return 0
