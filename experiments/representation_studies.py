"""Studies of the representations that are no part of the standing evaluation, and figures of what was measured.

`python -m experiments.representation_studies --data PREPARED... --json FILE` measures, on the same people and frames
as `cdrl evaluate representation`: what closed lips take from the content cosine, where the content model looks, whether
the gradient of the similarity opens and closes the mouth, and what emotion free sentences mean to the emotion model.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from rich.console import Console
from tyro.conf import arg

from cdrl.cli import evaluate_representation
from cdrl.cli.progress import step_progress
from cdrl.datasets.prepared import PreparedDataset
from cdrl.emotions import EMOTIONS
from cdrl.errors import OutputError, UsageError
from cdrl.evaluation.estimates import balanced_accuracy
from cdrl.evaluation.representation.features import OWN, choose_fixed_sound, compute_content_features
from cdrl.evaluation.representation.frame_index import SYNTHETIC, TUNED, FrameIndex, index_blocks
from cdrl.evaluation.representation.report import MODELS, Results, Step, check_speech, describe_data, format_number
from cdrl.evaluation.representation.similarity import draw_queries
from cdrl.files import atomic_write
from cdrl.representations.content import ContentModel
from experiments import attention, figures, lip_closure, mouth_gradient, sentences
from experiments.commands import run_command
from experiments.figures import Picture

PROGRAM = "python -m experiments.representation_studies"
_COMPARED = ((lip_closure.CLOSED, SYNTHETIC, OWN), (attention.LOWER_FACE, SYNTHETIC, OWN))


@dataclass(frozen=True)
class Options(evaluate_representation.Options):
    """Study the representations on the test people, real and synthetic people apart; --fer takes no part."""

    pictures: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Also draw attention, retrieval, closed lips, descents and confusions, of synthetic people and CREMA-D."""
    gradient: int = 32
    """Frames whose mouth a gradient opens or closes; 0 leaves that out."""
    report: Annotated[Path | None, arg(metavar="FILE")] = None
    """JSON file of `cdrl evaluate representation`, whose confusions --pictures draws, too."""


@dataclass
class StudyResults(Results):
    """Results with figures by name."""

    pictures: dict[str, Picture] = field(default_factory=dict)
    """Figures by name."""

    def show(self, name: str, picture: Picture | None) -> None:
        """Keep a figure, where there is one."""
        if picture is not None:
            self.pictures[name] = picture


def run(options: Options) -> int:
    """Measure, print the tables, and write what was asked for."""
    evaluate_representation.check(options)
    if options.gradient < 0:
        raise UsageError("--gradient cannot be negative")
    if options.pictures is not None and options.pictures.exists() and not options.pictures.is_dir():
        raise OutputError(f"{options.pictures}: a file; --pictures takes a folder")
    models, sources = evaluate_representation.load_models(options)
    console = Console()
    with step_progress(console) as step:
        results = study(PreparedDataset.open(options.data), models["content"], models["emotion"], options, step)
    if options.report is not None:
        _draw_confusions(json.loads(options.report.read_text(encoding="utf-8"))["confusion"], results)
    evaluate_representation.show(console, results)
    evaluate_representation.write(options, results, sources)
    if options.pictures is not None:
        try:
            options.pictures.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{options.pictures}: cannot be made ({error.strerror}): choose another place") from error
        for name, picture in results.pictures.items():
            atomic_write(options.pictures / f"{name}.png", [figures.encode_png(picture)])
    return 0


def study(
    prepared: PreparedDataset,
    content_models: Mapping[str, ContentModel],
    emotion_models: Mapping[str, Any],
    options: Options,
    step: Step,
) -> StudyResults:
    """Measure models by name: "content" and "emotion" are what is measured, the others are ablations of them.

    Raises:
        UsageError: No person in the data may be measured.
        InputError: A content model was trained on other speech features than the data hold.
    """
    began = time.monotonic()
    check_speech(content_models, prepared)
    blocks = index_blocks(prepared.clips, options.frames, options.moments, options.seed)
    results = StudyResults(details={"data": describe_data(prepared, blocks), "content": {}}, compared=_COMPARED)
    fixed = choose_fixed_sound(blocks)
    for block, index in blocks.items() if content_models else ():
        advance = step(f"content, {block}", len(index))
        features = compute_content_features(content_models, index, fixed, advance, options.seed)
        details = results.details["content"][block] = _study_closure(content_models, index, results)
        for name, seen in features.items():
            measured = attention.measure_attention(name, index, seen)
            results.rows += [row for row, _ in measured.values()]
            if name in MODELS:
                maps = {condition: found for condition, (_, found) in measured.items()}
                details["mean attention"] = {name: found.mean_map.round(6).tolist() for name, found in maps.items()}
                results.show(f"attention_{block}", figures.draw_attention(index, maps))
        if "content" in content_models and block != TUNED:
            queries = draw_queries(index, options.seed)
            results.show(f"retrieval_{block}", figures.draw_retrieval(index, queries, features["content"]))
            starts = mouth_gradient.choose_starts(index, options.gradient)
            descents = mouth_gradient.follow_gradient(content_models["content"], index, starts)
            results.rows += mouth_gradient.measure_gradient("content", index, descents)
            details["gradient"] = mouth_gradient.summarize(descents)
            results.show(f"gradient_{block}", figures.draw_descents(index, descents))
    if "emotion" in emotion_models:
        table = sentences.classify_sentences(emotion_models["emotion"])
        results.rows.append(sentences.measure_sentences(table))
        results.details["sentences"] = table.to_dict("records")
        shown = table.map(lambda cell: cell if isinstance(cell, str) else format_number(cell))
        results.tables["Free sentences, and the class whose prompt is nearest"] = shown
    results.details["seconds"] = round(time.monotonic() - began, 1)
    return results


def _study_closure(models: Mapping[str, ContentModel], index: FrameIndex, results: StudyResults) -> dict[str, Any]:
    """Measure and draw what closed lips take from the cosine; returns what a detector sees of them."""
    offsets = sorted({offset for model in models.values() for offset in model.config.offsets})
    pairs = lip_closure.make_closure_pairs(index, offsets)
    falls = lip_closure.measure_falls(models, index, pairs)
    results.rows += lip_closure.measure_closure(falls, index, pairs)
    if "content" in falls and index.block != TUNED:
        results.show(f"lips_closed_{index.block}", figures.draw_closure(index, pairs, falls["content"]))
    return {"pictures with lips closed": len(pairs), **(lip_closure.check_closure(index, pairs) if pairs else {})}


def _draw_confusions(confusions: Mapping[str, list[list[int]]], results: StudyResults) -> None:
    for name, counts in confusions.items():
        if "frames" not in name and len(counts) == len(EMOTIONS):
            matrix = np.array(counts, np.int64)
            title = f"{name}: balanced accuracy {float(balanced_accuracy(matrix)):.2f}"
            short = name.rpartition(", ")[0].replace(" ", "_").replace(",", "").lower()
            results.show(f"confusion_{short}", figures.draw_confusion(matrix, title))


if __name__ == "__main__":
    sys.exit(run_command(Options, run, PROGRAM))
