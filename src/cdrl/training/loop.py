"""The training loop that every recipe shares: steps, precision, log, validation, checkpoints, resuming.

A recipe gives `fit` a `Task`. What a step computes depends on the seed and the step alone, never on the number of
processes or on when the run was interrupted, so a resumed run repeats the losses of one that was not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from rich.console import Console
from torch import Tensor, nn

from cdrl.errors import OutputError, TrainingError, UsageError
from cdrl.evaluation.finite import with_nulls
from cdrl.locks import lock_folder
from cdrl.representations.checkpoints import save_model
from cdrl.training import log
from cdrl.training.distributed import World, started, trained
from cdrl.training.folder import RunFolder
from cdrl.training.interrupts import Interrupts
from cdrl.training.settings import as_stored, shaping
from cdrl.training.state import Average, load_state, save_state

_CLIP = 1.0  # norm of the gradient
_SEEDS = 1_000_003  # steps between the seeds of two runs
_PICTURE_EVERY = 20  # steps between two points of the TensorBoard curves


@dataclass(frozen=True)
class LoopOptions:
    """How long, how fast and where to."""

    output: Path
    """Folder of the run: log.jsonl, tensorboard/, last.safetensors (to go on from) and best.safetensors."""
    steps: int
    """Steps of the optimiser."""
    learning_rate: float = 1e-3
    """Peak learning rate; it rises over `warmup` steps and falls along a cosine to zero."""
    warmup: int = 100
    """Steps until the peak."""
    weight_decay: float = 0.05
    """AdamW's, on weights of two dimensions or more."""
    average: float = 0.998
    """Decay of the moving average of the weights, which is what is validated and written; 0 turns it off."""
    validate_every: int = 500
    """Steps between two validations, each of which also saves the state."""
    seed: int = 0
    """Of everything random."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto takes an accelerator where there is one."""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Of the forward pass; auto takes bfloat16 where the hardware computes in it, else float32."""
    restart: bool = False
    """Begin anew where the folder holds a run; else an interrupted run goes on."""


class Task(Protocol):
    """What a recipe trains."""

    @property
    def model(self) -> nn.Module:
        """On the world's device; parameters with `requires_grad` are trained."""

    @property
    def rates(self) -> Mapping[str, float]:
        """Prefix of parameter names → factor on the learning rate; empty where all learn alike."""

    def loss(self, step: int, world: World) -> dict[str, Tensor]:
        """The terms of step `step`; "loss" is minimised, all are logged."""

    def validate(self) -> dict[str, float]:
        """Measures on people not trained on; "score", the higher the better, chooses the checkpoint."""

    def export(self) -> tuple[dict[str, Tensor], str, dict[str, Any]]:
        """Tensors, architecture and configuration of the checkpoint."""


@dataclass
class _Run:
    """One run's moving parts."""

    task: Task
    options: LoopOptions
    world: World
    folder: RunFolder
    optimiser: torch.optim.Optimizer
    average: Average
    console: Console
    interrupts: Interrupts
    step: int = 0
    validated: int = 0
    """Step of the last validation."""
    best: float = -math.inf
    saved: int = 0
    whole: bool = True
    """Whether weights, moments, average, step and log belong together: only then are they saved."""
    curves: Any = None
    scaler: torch.amp.GradScaler | None = None
    started: float = field(default_factory=time.monotonic)

    @property
    def due(self) -> bool:
        """Whether a validation belongs after the steps so far and was not done yet."""
        belongs = self.step % self.options.validate_every == 0 or self.step == self.options.steps
        return self.step > self.validated and belongs


@contextmanager
def held(options: LoopOptions, command: str) -> Iterator[World]:
    """The world of a run that has its output folder to itself until the block ends; `command` is named to others.

    Raises OutputError where another run is at work there. Of several processes the first one says so; the others leave
    with the same exit code.
    """
    with started(options.device, options.seed) as world, ExitStack() as stack:
        refusal: OutputError | None = None
        if world.first:
            try:
                stack.enter_context(lock_folder(options.output, command))
            except OutputError as error:
                refusal = error
        if world.mean({"refused": float(refusal is not None)})["refused"]:
            raise refusal or SystemExit(OutputError.exit_code)
        yield world


def fit(task: Task, options: LoopOptions, world: World, settings: Mapping[str, Any]) -> Path:
    """Train `task` and return the path of the best checkpoint. The folder is the caller's alone, see `held`.

    `settings` (JSON) say what the run is beside its loop: options of the recipe, digest of the data. A folder that
    holds a run with other settings is refused. Raises UsageError, OutputError, InputError (the folder's state is
    damaged) and TrainingError; after any of them, and after a kill, the same command goes on from the last saved step.
    """
    with Interrupts() as interrupts:
        run = _prepare(task, options, world, settings, interrupts)
        try:
            _train(run)
        except KeyboardInterrupt:
            if run.whole and run.step > run.saved and world.size == 1:
                _save(run)
            raise
        finally:
            if run.curves is not None:
                run.curves.close()
    return run.folder.best


def _train(run: _Run) -> None:
    while True:
        if run.due:
            _save(run)  # a validation may take long, and no kill in it shall cost its steps
            _validate(run)
            _save(run)
        if run.step >= run.options.steps:
            break
        _advance(run)
    if not math.isfinite(run.best) and run.world.first:
        raise TrainingError("no validation gave a number, so there is no best checkpoint: see log.jsonl, and the data")


def _prepare(
    task: Task, options: LoopOptions, world: World, settings: Mapping[str, Any], interrupts: Interrupts
) -> _Run:
    for flag, number in (("--steps", options.steps), ("--validate-every", options.validate_every)):
        if number < 1:
            raise UsageError(f"{flag} {number}: at least one is needed")
    groups = _groups(task, options)
    precision = str(_precision(options, world)).removeprefix("torch.")
    run = _Run(
        task,
        options,
        world,
        RunFolder(options.output, as_stored({**shaping(options, precision), **settings})),
        torch.optim.AdamW(groups, lr=options.learning_rate, betas=(0.9, 0.99)),
        Average.of(task.model, options.average),
        Console(soft_wrap=True, quiet=not world.first),
        interrupts,
    )
    if world.device.type == "cuda" and precision == "float16":
        run.scaler = torch.amp.GradScaler("cuda")
    _resume(run)
    if world.first:
        run.curves = run.folder.opened_curves(run.step)
    return run


def _groups(task: Task, options: LoopOptions) -> list[dict[str, Any]]:
    """Parameters by learning rate factor and weight decay."""
    grouped: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in trained(task.model):
        factor = next((rate for prefix, rate in task.rates.items() if name.startswith(prefix)), 1.0)
        decay = options.weight_decay if parameter.ndim > 1 else 0.0
        grouped.setdefault((factor, decay), []).append(parameter)
    if not grouped:
        raise UsageError("nothing of this model is trained: every part of it is frozen")
    return [
        {"params": parameters, "weight_decay": decay, "factor": factor}
        for (factor, decay), parameters in grouped.items()
    ]


def _resume(run: _Run) -> None:
    """Go on where the folder's run stands, or make the folder ready for a new one."""
    if run.world.first:
        run.folder.clear(run.options.restart)
    run.world.barrier()
    if run.folder.holds_state():
        facts = load_state(run.folder.last, run.task.model, run.optimiser, run.average)
        run.step, run.validated, run.saved = facts["step"], facts["validated"], facts["step"]
        run.best = -math.inf if facts["best"] is None else facts["best"]
        if run.scaler is not None and facts["scaler"]:
            run.scaler.load_state_dict(facts["scaler"])
        run.console.print(f"going on from step {run.step} of {run.options.steps}", highlight=False)
    run.world.barrier()  # nobody reads what the first process changes
    if run.world.first:
        absent = log.keep_records(run.folder.path, run.step, run.validated)
        if absent:
            run.console.print(f"{log.NAME} lacks {absent} of the {run.step} steps before", highlight=False)


def _precision(options: LoopOptions, world: World) -> torch.dtype:
    if options.precision != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[options.precision]
    if world.device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    # Emulated on other processors, where it costs time.
    return torch.bfloat16 if torch.cpu._is_avx512_bf16_supported() else torch.float32


def _autocast(options: LoopOptions, world: World) -> AbstractContextManager[Any]:
    precision = _precision(options, world)
    return nullcontext() if precision is torch.float32 else torch.autocast(world.device.type, precision)


def _rate(options: LoopOptions, step: int) -> float:
    """The learning rate of step `step`, from 0."""
    rise = min(1.0, (step + 1) / max(options.warmup, 1))
    return options.learning_rate * rise * 0.5 * (1 + math.cos(math.pi * step / options.steps))


def _advance(run: _Run) -> None:
    """One step. An interrupt comes before anything of it was applied, or after all of it was."""
    terms = _gradients(run)
    with run.interrupts.held():
        run.whole = False
        _apply(run)
        run.step += 1
        _log(run, terms)
        run.whole = True


def _gradients(run: _Run) -> dict[str, float]:
    """Leave the gradients of the next step at the parameters; returns its terms, as the mean over processes."""
    torch.manual_seed(_SEEDS * run.options.seed + run.step)  # where a model draws, as dropout does
    run.task.model.train()
    run.optimiser.zero_grad(set_to_none=True)
    with _autocast(run.options, run.world):
        terms = run.task.loss(run.step, run.world)
    loss = terms["loss"]
    found = run.world.mean({name: float(value.detach()) for name, value in terms.items()})
    if not math.isfinite(found["loss"]):
        raise TrainingError(
            f"the loss is not a number at step {run.step + 1}: run again with a lower --learning-rate "
            f"(now {run.options.learning_rate:g}) and another --output; what was saved before stays as it is"
        )
    torch.autograd.backward(loss if run.scaler is None else run.scaler.scale(loss))
    run.world.average_gradients(run.task.model)
    return found


def _apply(run: _Run) -> None:
    """Move the weights along the gradients, and their average after them."""
    scaler = run.scaler
    for group in run.optimiser.param_groups:
        group["lr"] = group["factor"] * _rate(run.options, run.step)
    if scaler is not None:
        scaler.unscale_(run.optimiser)
    nn.utils.clip_grad_norm_([parameter for _, parameter in trained(run.task.model)], _CLIP)
    if scaler is None:
        run.optimiser.step()
    else:
        scaler.step(run.optimiser)
        scaler.update()
    run.average.update(run.task.model, run.step)


def _log(run: _Run, terms: Mapping[str, float], kind: str = log.TRAIN) -> None:
    if not run.world.first:
        return
    seconds = round(time.monotonic() - run.started, 2)
    log.add_record(run.folder.path, {"step": run.step, "kind": kind, **terms, "seconds": seconds})
    if kind == log.VALIDATION or run.step % _PICTURE_EVERY == 0:
        try:
            for name, value in terms.items():
                run.curves.add_scalar(f"{kind}/{name}", value, run.step)
        except OSError as error:
            raise OutputError(
                f"{run.folder.curves}: the curves cannot be written ({error.strerror}): free space and run the "
                "command again, it goes on from the last saved step"
            ) from error


def _validate(run: _Run) -> None:
    """Measure and keep the best. The first process alone does it; the others wait."""
    run.whole = False  # the model has the averaged weights meanwhile
    if run.world.first:
        run.task.model.eval()
        with run.average.applied(run.task.model), torch.no_grad():
            found = run.task.validate()
            if found["score"] > run.best:
                run.best = found["score"]
                tensors, architecture, config = run.task.export()
                training = {**run.folder.settings, "step": run.step, "validation": with_nulls(found)}
                save_model(run.folder.best, tensors, architecture, {**config, "training": training})
        _log(run, found, log.VALIDATION)
        shown = ", ".join(f"{name} {value:.3f}" for name, value in found.items())
        minutes = (time.monotonic() - run.started) / 60
        run.console.print(
            f"step {run.step} of {run.options.steps}, {minutes:.1f} min: {shown}", highlight=False, markup=False
        )
    run.validated = run.step
    run.whole = True
    run.world.barrier()


def _save(run: _Run) -> None:
    """Save the state, with the log that belongs to it; the first process alone does it."""
    if not run.world.first:
        return
    facts = {
        "step": run.step,
        "validated": run.validated,
        "best": run.best if math.isfinite(run.best) else None,
        "settings": run.folder.settings,
        "scaler": run.scaler.state_dict() if run.scaler is not None else None,
    }
    log.settle(run.folder.path)
    save_state(run.folder.last, run.task.model, run.optimiser, run.average, facts)
    run.saved = run.step
