"""One process or many: which part of a batch each computes, and how the parts are combined.

Started by `torchrun`, each process computes its slice of the same global batch, features are gathered so that every
process sees all negatives, and gradients are averaged. The result is that of one process on the whole batch.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from rich.console import Console
from torch import Tensor, nn

from cdrl.errors import UsageError

_TIMEOUT = timedelta(minutes=30)  # the other processes wait while the main one validates


@dataclass(frozen=True)
class World:
    """The processes of a run."""

    rank: int
    """Number of this process."""
    size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that writes files and prints."""
        return self.rank == 0

    @property
    def console(self) -> Console:
        """Where the main process prints; the others print nothing."""
        return Console(soft_wrap=True, quiet=not self.is_main)

    def slice(self, count: int) -> slice:
        """Return this process's part of a global batch of `count` items.

        Raises:
            UsageError: The batch cannot be shared evenly.
        """
        if count % self.size:
            raise UsageError(f"a batch of {count} cannot be shared by {self.size} processes: choose a multiple")
        share = count // self.size
        return slice(self.rank * share, (self.rank + 1) * share)

    def gather(self, part: Tensor) -> Tensor:
        """Gather a tensor [n, ...] of every process → [size · n, ...] in the order of ranks, with gradients.

        The loss computed on the result is the same in every process, so the backward pass needs no communication: each
        process keeps its own slice of the gradient, times `size` because `average_gradients` divides by it.
        """
        if self.size == 1:
            return part
        parts = [torch.empty_like(part) for _ in range(self.size)]
        dist.all_gather(parts, part.detach().contiguous())
        own = part.clone()
        own.register_hook(lambda gradient: gradient * self.size)  # type: ignore[no-untyped-call]
        parts[self.rank] = own
        return torch.cat(parts)

    def average_gradients(self, module: nn.Module) -> None:
        """Replace every gradient by its mean over the processes; a missing one counts as zero."""
        if self.size == 1:
            return
        for _, parameter in trainable_parameters(module):
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [p.grad for _, p in trainable_parameters(module) if p.grad is not None]
        flat = nn.utils.parameters_to_vector(gradients)
        dist.all_reduce(flat)
        nn.utils.vector_to_parameters(flat / self.size, gradients)

    def mean(self, values: dict[str, float]) -> dict[str, float]:
        """Average each value over the processes."""
        if self.size == 1:
            return values
        stacked = torch.tensor(list(values.values()), dtype=torch.float64, device=self.device)
        dist.all_reduce(stacked)
        return dict(zip(values, (stacked / self.size).tolist(), strict=True))

    def barrier(self) -> None:
        """Wait for the other processes."""
        if self.size > 1:
            dist.barrier()

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """Let the main process run the block before the others, which then read what it cached."""
        if not self.is_main:
            self.barrier()
        yield
        if self.is_main:
            self.barrier()


@contextmanager
def join_world(device: str, seed: int) -> Iterator[World]:
    """Join the processes of a run, seeded so that every process builds the same model.

    Args:
        device: "auto" (an accelerator where there is one), "cpu" or "cuda".
        seed: Seed of torch's generators.

    Yields:
        The world of this process; under torchrun the processes have met.

    Raises:
        UsageError: CUDA is asked for and not there.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("--device cuda: PyTorch finds no CUDA device here; choose --device cpu")
    accelerated = device != "cpu" and torch.cuda.is_available()
    size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if accelerated else torch.device("cpu")
    if accelerated:
        torch.cuda.set_device(place)
    if size > 1:
        dist.init_process_group("nccl" if accelerated and dist.is_nccl_available() else "gloo", timeout=_TIMEOUT)
    torch.manual_seed(seed)
    try:
        yield World(rank, size, place)
    finally:
        if size > 1:
            dist.destroy_process_group()


def trainable_parameters(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield the parameters that are trained, with their names."""
    return ((name, parameter) for name, parameter in module.named_parameters() if parameter.requires_grad)
