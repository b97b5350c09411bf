"""The training loop that every recipe shares: steps, precision, log, validation, checkpoints, resuming.

A recipe gives `fit` a `TrainingTask`. What a step computes depends on the seed and the step alone, never on the number
of processes or on when the run was interrupted, so a resumed run repeats the losses of one that was not.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from rich.console import Console
from torch import Tensor, nn

from cdrl.errors import OutputError, TrainingError, UsageError
from cdrl.evaluation.json_numbers import replace_nonfinite
from cdrl.locks import lock_folder
from cdrl.representations.checkpoints import save_model
from cdrl.training.checkpoint import ExponentialMovingAverage, load_state, save_state
from cdrl.training.distributed import World, join_world, trainable_parameters
from cdrl.training.folder import TRAIN, VALIDATION, RunFolder
from cdrl.training.interrupts import defer_interrupts
from cdrl.training.options import LoopOptions

_MAX_GRADIENT_NORM = 1.0
_SEED_STRIDE = 1_000_003  # steps between the seeds of two runs
_CURVE_INTERVAL = 20  # steps between two points of the TensorBoard curves
_SAVE_INTERVAL = 180.0  # seconds after which the state is saved between two validations
_NO_SETTINGS = ("output", "device", "restart")  # options of the loop that do not shape the result


class TrainingTask(Protocol):
    """What a recipe trains."""

    @property
    def model(self) -> nn.Module:
        """The model on the world's device; parameters with `requires_grad` are trained."""

    @property
    def rate_factors(self) -> Mapping[str, float]:
        """Factors on the learning rate by prefix of parameter names; empty where all learn alike."""

    def loss(self, step: int, world: World) -> dict[str, Tensor]:
        """Compute the terms of a step; "loss" is minimized, all are logged."""

    def validate(self) -> dict[str, float]:
        """Measure on validation people; "score", the higher the better, chooses the checkpoint."""

    def export(self) -> tuple[dict[str, Tensor], str, dict[str, Any]]:
        """Return tensors, architecture and configuration of the checkpoint."""


@dataclass
class _Run:
    """One run's moving parts."""

    task: TrainingTask
    options: LoopOptions
    world: World
    precision: torch.dtype
    folder: RunFolder
    optimizer: torch.optim.Optimizer
    average: ExponentialMovingAverage
    scaler: torch.amp.GradScaler
    console: Console
    step: int = 0
    validated: int = 0
    """Step of the last validation."""
    best: float = -math.inf
    saved: int = 0
    saved_at: float = field(default_factory=time.monotonic)
    """When the state was saved last, or the run began."""
    consistent: bool = True
    """Whether weights, moments, average, step and log belong together: only then are they saved."""
    curves: Any = None
    started: float = field(default_factory=time.monotonic)

    @property
    def validation_due(self) -> bool:
        """Whether a validation belongs after the steps so far and was not done yet."""
        belongs = self.step % self.options.validate_every == 0 or self.step == self.options.steps
        return self.step > self.validated and belongs


@contextmanager
def open_run(options: LoopOptions, command: str) -> Iterator[World]:
    """Take the output folder for this run alone until the block ends.

    Args:
        options: Options of the loop.
        command: The command, which is named to other runs.

    Yields:
        The world of this process.

    Raises:
        OutputError: Another run is at work there. Of several processes the main one says so; the others leave with
            the same exit code.
    """
    with join_world(options.device, options.seed) as world, ExitStack() as stack:
        refusal: OutputError | None = None
        if world.is_main:
            try:
                stack.enter_context(lock_folder(options.output, command))
            except OutputError as error:
                refusal = error
        if world.mean({"refused": float(refusal is not None)})["refused"]:
            raise refusal or SystemExit(OutputError.exit_code)
        yield world


def fit(task: TrainingTask, options: LoopOptions, world: World, settings: Mapping[str, Any]) -> Path:
    """Train a task in a folder that `open_run` holds.

    After any error, and after a kill, the same command resumes from the last saved step.

    Args:
        task: What is trained.
        options: Options of the loop.
        world: The world of this process.
        settings: What the run is beside its loop, as JSON: options of the recipe, digest of the data. A folder that
            holds a run with other settings is refused.

    Returns:
        The path of the best checkpoint.

    Raises:
        UsageError: An option is wrong, or the folder holds another run.
        InputError: The state in the folder is damaged.
        OutputError: The folder cannot be written.
        TrainingError: The loss is not finite, or no validation gave a number.
    """
    run = _prepare(task, options, world, settings)
    try:
        _train(run)
    except KeyboardInterrupt:
        if run.consistent and run.step > run.saved and world.size == 1:
            _save(run)
        raise
    finally:
        if run.curves is not None:
            run.curves.close()
    return run.folder.best


def _train(run: _Run) -> None:
    while True:
        if run.validation_due:
            _save(run)  # a validation may take long, and a kill in it must not cost its steps
            _validate(run)
            _save(run)
        if run.step >= run.options.steps:
            break
        _advance(run)
        if time.monotonic() - run.saved_at > _SAVE_INTERVAL:
            _save(run)
    if not math.isfinite(run.best) and run.world.is_main:
        raise TrainingError("no validation gave a number, so there is no best checkpoint: see log.jsonl, and the data")


def _prepare(task: TrainingTask, options: LoopOptions, world: World, settings: Mapping[str, Any]) -> _Run:
    for flag, number in (("--steps", options.steps), ("--validate-every", options.validate_every)):
        if number < 1:
            raise UsageError(f"{flag} {number}: at least one is needed")
    if not all(0 <= beta < 1 for beta in options.betas):
        raise UsageError(f"--betas {options.betas[0]:g} {options.betas[1]:g}: from 0 to below 1 each")
    groups = _group_parameters(task, options)
    precision = choose_precision(options, world)
    own = {name: value for name, value in asdict(options).items() if name not in _NO_SETTINGS}
    shaping = {**own, "precision": str(precision).removeprefix("torch."), **settings}
    run = _Run(
        task,
        options,
        world,
        precision,
        RunFolder(options.output, json.loads(json.dumps(shaping, default=str))),
        torch.optim.AdamW(groups, betas=options.betas),
        ExponentialMovingAverage(task.model, options.average),
        torch.amp.GradScaler("cuda", enabled=world.device.type == "cuda" and precision is torch.float16),
        world.console,
    )
    _resume(run)
    if world.is_main:
        run.curves = run.folder.open_curves(run.step)
    return run


def _group_parameters(task: TrainingTask, options: LoopOptions) -> list[dict[str, Any]]:
    """Group parameters by learning rate and weight decay."""
    grouped: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in trainable_parameters(task.model):
        factor = next((rate for prefix, rate in task.rate_factors.items() if name.startswith(prefix)), 1.0)
        decay = options.weight_decay if parameter.ndim > 1 else 0.0
        grouped.setdefault((factor * options.learning_rate, decay), []).append(parameter)
    if not grouped:
        raise UsageError("nothing of this model is trained: every part of it is frozen")
    return [
        {"params": parameters, "weight_decay": decay, "peak_rate": rate}
        for (rate, decay), parameters in grouped.items()
    ]


def _resume(run: _Run) -> None:
    """Resume the folder's run, or make the folder ready for a new one."""
    if run.world.is_main:
        run.folder.clear(run.options.restart)
    run.world.barrier()
    if run.folder.has_state():
        facts = load_state(run.folder.last, run.task.model, run.optimizer, run.average)
        run.step, run.validated, run.saved = facts["step"], facts["validated"], facts["step"]
        run.best = -math.inf if facts["best"] is None else facts["best"]
        if facts["scaler"]:
            run.scaler.load_state_dict(facts["scaler"])
        run.console.print(f"going on from step {run.step} of {run.options.steps}", highlight=False)
    run.world.barrier()  # no process reads what the main one changes
    if run.world.is_main and (missing := run.folder.truncate_log(run.step, run.validated)):
        run.console.print(f"{run.folder.log.name} lacks {missing} of the {run.step} steps before", highlight=False)


def choose_precision(options: LoopOptions, world: World) -> torch.dtype:
    """Return the type in which the forward pass computes."""
    if options.precision != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[options.precision]
    if world.device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    # Emulated on other processors, where it costs time.
    return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32


def _rate_factor(options: LoopOptions, step: int) -> float:
    """Factor on the peak learning rate at a step, from 0: linear warmup, cosine decay."""
    warmup = min(1.0, (step + 1) / max(options.warmup, 1))
    return warmup * 0.5 * (1 + math.cos(math.pi * step / options.steps))


def _advance(run: _Run) -> None:
    """Take one step. An interrupt comes before anything of it was applied, or after all of it was."""
    terms = _compute_gradients(run)
    with defer_interrupts():
        run.consistent = False
        _update_weights(run)
        run.step += 1
        _log(run, terms)
        run.consistent = True


def _compute_gradients(run: _Run) -> dict[str, float]:
    """Leave the gradients of the next step at the parameters; return its terms, as the mean over processes."""
    torch.manual_seed(_SEED_STRIDE * run.options.seed + run.step)  # for layers that draw, as dropout does
    run.task.model.train()
    run.optimizer.zero_grad(set_to_none=True)
    with torch.autocast(run.world.device.type, run.precision, enabled=run.precision is not torch.float32):
        terms = run.task.loss(run.step, run.world)
    means = run.world.mean({name: float(value.detach()) for name, value in terms.items()})
    if not math.isfinite(means["loss"]):
        raise TrainingError(
            f"the loss is not a number at step {run.step + 1}: run again with a lower --learning-rate "
            f"(now {run.options.learning_rate:g}) and another --output; what was saved before stays as it is"
        )
    torch.autograd.backward(run.scaler.scale(terms["loss"]))
    run.world.average_gradients(run.task.model)
    return means


def _update_weights(run: _Run) -> None:
    """Move the weights along the gradients, and their average after them."""
    run.scaler.unscale_(run.optimizer)
    nn.utils.clip_grad_norm_([parameter for _, parameter in trainable_parameters(run.task.model)], _MAX_GRADIENT_NORM)
    factor = _rate_factor(run.options, run.step)
    for group in run.optimizer.param_groups:
        group["lr"] = group["peak_rate"] * factor
    run.scaler.step(run.optimizer)
    run.scaler.update()
    run.average.update(run.task.model)


def _log(run: _Run, terms: Mapping[str, float], kind: str = TRAIN) -> None:
    if not run.world.is_main:
        return
    seconds = round(time.monotonic() - run.started, 2)
    run.folder.append_log({"step": run.step, "kind": kind, **terms, "seconds": seconds})
    if kind == VALIDATION or run.step % _CURVE_INTERVAL == 0:
        run.folder.append_curves(run.curves, kind, terms, run.step)


def _validate(run: _Run) -> None:
    """Measure and keep the best. The main process alone does it; the others wait."""
    run.consistent = False  # the model has the averaged weights meanwhile
    if run.world.is_main:
        run.task.model.eval()
        with run.average.swap_weights(run.task.model), torch.no_grad():
            measures = run.task.validate()
            if measures["score"] > run.best:
                run.best = measures["score"]
                tensors, architecture, config = run.task.export()
                training = {**run.folder.settings, "step": run.step, "validation": replace_nonfinite(measures)}
                save_model(run.folder.best, tensors, architecture, {**config, "training": training})
        _log(run, measures, VALIDATION)
        shown = ", ".join(f"{name} {value:.3f}" for name, value in measures.items())
        minutes = (time.monotonic() - run.started) / 60
        run.console.print(
            f"step {run.step} of {run.options.steps}, {minutes:.1f} min: {shown}", highlight=False, markup=False
        )
    run.validated = run.step
    run.consistent = True
    run.world.barrier()


def _save(run: _Run) -> None:
    """Save the state, with the log that belongs to it; the main process alone does it."""
    if not run.world.is_main:
        return
    facts = {
        "step": run.step,
        "validated": run.validated,
        "best": run.best if math.isfinite(run.best) else None,
        "settings": run.folder.settings,
        "scaler": run.scaler.state_dict() or None,
    }
    run.folder.flush_log()
    save_state(run.folder.last, run.task.model, run.optimizer, run.average, facts)
    run.saved, run.saved_at = run.step, time.monotonic()
