"""The training loop that every recipe shares: steps, precision, log, validation, checkpoints, resuming.

A recipe gives `fit` a `Task`. What a step computes depends on the seed and the step alone, never on the number of
processes or on when the run was interrupted, so a resumed run repeats the losses of one that was not.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from rich.console import Console
from torch import Tensor, nn

from cdrl.errors import OutputError, TrainingError, UsageError
from cdrl.representation.checkpoints import save_model
from cdrl.training.distributed import World, trained
from cdrl.training.state import Average, load_state, read_facts, save_state

_CLIP = 1.0  # norm of the gradient
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
    settings: dict[str, Any]
    optimiser: torch.optim.Optimizer
    average: Average
    console: Console
    step: int = 0
    best: float = -math.inf
    curves: Any = None
    scaler: torch.amp.GradScaler | None = None
    started: float = field(default_factory=time.monotonic)

    @property
    def last(self) -> Path:
        return self.options.output / "last.safetensors"


_NOT_SETTINGS = ("loop", "cache", "publish")  # where things lie, and how long and how fast
_SOURCES = ("data", "fer", "stills", "start")
_SHAPING = ("steps", "learning_rate", "warmup", "seed")


def settings_of(options: Any, digest: str, **further: Any) -> dict[str, Any]:
    """What a recipe's run is, for `fit`: its options (a dataclass with `loop`) without the places of files, and the
    digest of its data. A folder's name says nothing about what is in it, so data sources are left out, too."""
    kept = {name: value for name, value in asdict(options).items() if name not in {*_NOT_SETTINGS, *_SOURCES}}
    return {**kept, **{name: getattr(options.loop, name) for name in _SHAPING}, "data": digest, **further}


def fit(task: Task, options: LoopOptions, world: World, settings: Mapping[str, Any]) -> Path:
    """Train `task` and return the path of the best checkpoint.

    `settings` (JSON) say what the run is: options of the recipe, digest of the data. A folder that holds a run with
    other settings is refused. Raises UsageError, OutputError and TrainingError; after any of them, and after a kill,
    the same command goes on from the last saved step.
    """
    run = _prepare(task, options, world, json.loads(json.dumps(settings, default=str)))
    saved = run.step
    try:
        while run.step < options.steps:
            terms = _step(run)
            run.step += 1
            _log(run, terms)
            if run.step % options.validate_every == 0 or run.step == options.steps:
                _validate(run)
                saved = run.step
    except KeyboardInterrupt:
        if run.step > saved and world.size == 1:
            _save(run)
        raise
    finally:
        if run.curves is not None:
            run.curves.close()
    return options.output / "best.safetensors"


def _prepare(task: Task, options: LoopOptions, world: World, settings: dict[str, Any]) -> _Run:
    if options.steps < 1:
        raise UsageError(f"--steps {options.steps}: at least one is needed")
    groups = _groups(task, options)
    run = _Run(
        task,
        options,
        world,
        settings,
        torch.optim.AdamW(groups, lr=options.learning_rate, betas=(0.9, 0.99)),
        Average.of(task.model, options.average),
        Console(soft_wrap=True, quiet=not world.first),
    )
    if world.device.type == "cuda" and _precision(options, world) is torch.float16:
        run.scaler = torch.amp.GradScaler("cuda")
    _resume(run)
    if world.first:
        run.curves = _curves(options.output / "tensorboard", run.step)
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
    folder = run.options.output
    if run.options.restart and run.world.first and folder.is_dir():
        for name in ("last.safetensors", "best.safetensors", "log.jsonl"):
            (folder / name).unlink(missing_ok=True)
        shutil.rmtree(folder / "tensorboard", ignore_errors=True)
    run.world.barrier()
    if run.last.is_file():
        theirs = read_facts(run.last)["settings"]
        other = sorted(key for key in theirs.keys() | run.settings.keys() if theirs.get(key) != run.settings.get(key))
        if other:
            raise UsageError(
                f"{folder} holds a run with other settings ({', '.join(other)}): choose another --output, or begin "
                "anew with --restart"
            )
        facts = load_state(run.last, run.task.model, run.optimiser, run.average)
        run.step = facts["step"]
        run.best = -math.inf if facts["best"] is None else facts["best"]
        if run.scaler is not None and facts["scaler"]:
            run.scaler.load_state_dict(facts["scaler"])
        run.console.print(f"going on from step {run.step} of {run.options.steps}", highlight=False)
    if not run.world.first:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        log = folder / "log.jsonl"
        lines = log.read_text().splitlines() if log.is_file() else []
        kept = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= run.step]
        log.write_text("".join(line + "\n" for line in kept))
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror}): choose another --output") from error


def _curves(folder: Path, step: int) -> Any:
    from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415  slow to import, and the first process's alone

    return SummaryWriter(str(folder), purge_step=step + 1)


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


def _step(run: _Run) -> dict[str, float]:
    """One step of the optimiser; returns its terms, as the mean over processes."""
    for group in run.optimiser.param_groups:
        group["lr"] = group["factor"] * _rate(run.options, run.step)
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
    scaler = run.scaler
    torch.autograd.backward(loss if scaler is None else scaler.scale(loss))
    run.world.average_gradients(run.task.model)
    if scaler is not None:
        scaler.unscale_(run.optimiser)
    nn.utils.clip_grad_norm_([parameter for _, parameter in trained(run.task.model)], _CLIP)
    if scaler is None:
        run.optimiser.step()
    else:
        scaler.step(run.optimiser)
        scaler.update()
    run.average.update(run.task.model, run.step)
    return found


def _log(run: _Run, terms: Mapping[str, float], kind: str = "train") -> None:
    if not run.world.first:
        return
    record = {"step": run.step, "kind": kind, **terms, "seconds": round(time.monotonic() - run.started, 2)}
    try:
        with (run.options.output / "log.jsonl").open("a") as file:
            file.write(json.dumps(record) + "\n")
        if kind != "train" or run.step % _PICTURE_EVERY == 0:
            for name, value in terms.items():
                run.curves.add_scalar(f"{kind}/{name}", value, run.step)
    except OSError as error:
        raise OutputError(
            f"{run.options.output}: the log cannot be written ({error.strerror}): free space and run the command "
            "again, it goes on from the last saved step"
        ) from error


def _validate(run: _Run) -> None:
    """Measure, keep the best, save the state. The first process alone does it; the others wait."""
    if run.world.first:
        run.task.model.eval()
        with run.average.applied(run.task.model), torch.no_grad():
            found = run.task.validate()
            if found["score"] > run.best:
                run.best = found["score"]
                tensors, architecture, config = run.task.export()
                config = {**config, "training": {**run.settings, "step": run.step, "validation": found}}
                save_model(run.options.output / "best.safetensors", tensors, architecture, config)
        _log(run, found, "validation")
        shown = ", ".join(f"{name} {value:.3f}" for name, value in found.items())
        minutes = (time.monotonic() - run.started) / 60
        run.console.print(
            f"step {run.step} of {run.options.steps}, {minutes:.1f} min: {shown}", highlight=False, markup=False
        )
        _save(run)
    run.world.barrier()


def _save(run: _Run) -> None:
    facts = {
        "step": run.step,
        "best": run.best if math.isfinite(run.best) else None,
        "settings": run.settings,
        "scaler": run.scaler.state_dict() if run.scaler is not None else None,
    }
    save_state(run.last, run.task.model, run.optimiser, run.average, facts)
