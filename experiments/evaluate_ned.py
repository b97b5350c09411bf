"""Judges NED's networks, on our codes and in our renderer, beside all methods of `cdrl evaluate table`.

`python -m experiments.evaluate_ned --neds NAME=DIR... --priors DIR` and the options of `cdrl evaluate table`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cdrl.emotions import EMOTIONS
from cdrl.errors import FaceError, ModelFileError, UsageError
from cdrl.evaluation.benchmark import check_rows
from cdrl.evaluation.benchmark_config import TableConfig
from cdrl.evaluation.method_benchmark import BenchmarkTask, default_methods, evaluate_methods, parse_folders
from cdrl.evaluation.methods import Edit, Method, find_model_without
from cdrl.face.bundle import Floats
from cdrl.face.landmarks import BundleDetector
from cdrl.face.pose import estimate_pose
from cdrl.face.tracking import FaceTracker, Track
from cdrl.manipulation.expression_change import apply_shading
from cdrl.manipulation.person import OBSERVED_SECONDS
from cdrl.manipulation.prior import EmotionPrior
from cdrl.media import EncoderOptions, Limits, Writer, read
from cdrl.pipeline.survey import find_person
from cdrl.rendering.render import render
from experiments.commands import run_command
from experiments.ned_networks import WINDOW, Ned, decode_change, encode_shapes, load_ned

PROGRAM = "python -m experiments.evaluate_ned"


@dataclass(frozen=True)
class Options(TableConfig):
    """Judge edits of many clips by NED's networks, by cdrl and by other methods, as one table."""

    neds: tuple[str, ...] = ()
    """NAME=DIR: a row of that name, with ned_without_PERSON.safetensors of DIR on the priors of --priors."""


def run(options: Options) -> int:
    """Judge all methods and write what the options ask for. Raises JobsFailedError where a row failed."""
    if not options.neds or options.priors is None or not options.edit:
        raise UsageError("--neds and --priors are needed, without --no-edit: NED is judged on cdrl's priors")
    check_rows(evaluate_methods(options, lambda _, tasks: choose_methods(options, tasks))["rows"])
    return 0


def choose_methods(options: Options, tasks: Sequence[BenchmarkTask]) -> list[Method]:
    """Return the default methods of the table with NED's right behind cdrl's prior.

    Raises:
        ModelFileError: A folder lacks the model that was trained without a judged person.
    """
    methods = default_methods(options, tasks)
    place = next(place for place, method in enumerate(methods) if isinstance(method, Edit))
    prior = methods[place]
    assert isinstance(prior, Edit) and prior.priors is not None
    neds = [
        NedEdit(name, prior.priors, folder, prior.strangers) for name, folder in parse_folders("--neds", options.neds)
    ]
    for ned in neds:
        for task in tasks:
            ned.find_models(task.person)
    return [*methods[: place + 1], *neds, *methods[place + 1 :]]


@dataclass(frozen=True)
class NedEdit:
    """NED with networks that the judged person is no part of; a `cdrl.evaluation.methods.Method`."""

    name: str
    """The row's name in the table."""
    priors: Path
    """Folder of `prior_without_<person>.npz`."""
    networks: Path
    """Folder of `ned_without_<person>.safetensors`, each trained for that person's prior."""
    strangers: frozenset[str] = frozenset()
    """People whom no model holds, so that any model will do."""

    def find_models(self, person: str) -> tuple[Path, Path]:
        """Return the prior and networks trained without a person; `ModelFileError` when a folder lacks one."""
        return (
            find_model_without(self.priors, "prior", person, "npz", self.strangers),
            find_model_without(self.networks, "ned", person, "safetensors", self.strangers),
        )

    def __call__(self, source: Path, emotion: str, output: Path, person: str) -> None:
        """Edit `source` at full length and write `output`."""
        prior, networks = self.find_models(person)
        edit_with_ned(source, emotion, output, load_ned(networks), EmotionPrior.load(prior))


@torch.inference_mode()
def edit_with_ned(source: Path, emotion: str, output: Path, networks: Ned, prior: EmotionPrior) -> None:
    """Translate the codes of the whole clip in the style of the label, without noise, and render the change.

    Raises:
        FaceError: No face is found in `source`.
        ModelFileError: The networks were trained for another prior.
    """
    if networks.config.prior_sha256 != prior.sha256:
        raise ModelFileError("these networks of NED were trained for another prior: train them again with its --prior")
    with read(source, stop=OBSERVED_SECONDS) as frames:
        person = find_person(frames, BundleDetector(), prior)
    tracker = FaceTracker(BundleDetector())
    with read(source) as frames:
        tracks = [tracker.step(frame) for frame in frames]
    seen = [track for track in tracks if track is not None]
    if person is None or not seen:
        raise FaceError(f"{source}: no face is found")
    poses = [estimate_pose(track.points) for track in seen]
    shapes = np.array([pose.normalize(track.points) for pose, track in zip(poses, seen, strict=True)], np.float32)
    before = torch.from_numpy(encode_shapes(shapes, person.neutral_shape, prior))
    change = translate_clip(networks, before, EMOTIONS.index(emotion)) - before
    moved = decode_change(change.numpy(), shapes, prior)
    gain = apply_shading(prior.blend_emotions({emotion: 1.0}).gain, person.relief)
    shifts = [pose.to_image(shift)[:, :2].astype(np.float32) for pose, shift in zip(poses, moved, strict=True)]
    _write(source, output, tracks, shifts, gain)


def _write(source: Path, output: Path, tracks: list[Track | None], shifts: list[Floats], gain: Floats) -> None:
    remaining = iter(shifts)
    with read(source) as reader, Writer(output, reader.info, EncoderOptions(), limits=Limits()) as writer:
        for frame, track in zip(reader, tracks, strict=True):
            edited = frame.copy()
            if track is not None:
                render(edited, track.points[:, :2], next(remaining), gain)
            writer.write(edited)


def translate_clip(networks: Ned, before: Tensor, emotion: int) -> Tensor:
    """Translate codes [T, c] of a clip into the style of an emotion: the mean of all windows that a frame lies in."""
    count = len(before)
    starts = range(max(count - WINDOW, 0) + 1)
    rows = torch.tensor([[min(start + k, count - 1) for k in range(WINDOW)] for start in starts])
    label = torch.full((len(rows),), emotion)
    style = networks.label_style(label, torch.zeros(len(rows), networks.config.noise))
    translated = networks.translate(before[rows], style)
    total = torch.zeros_like(before).index_add_(0, rows.flatten(), translated.flatten(0, 1))
    return total / torch.bincount(rows.flatten(), minlength=count)[:, None]


if __name__ == "__main__":
    sys.exit(run_command(Options, run, PROGRAM))
