"""The translator: from what a person looks like to how this person shows each emotion.

It adapts the fitted prior, and begins as it: what it has not learned otherwise stays. People differ in how they show an
emotion far more than in how they move while they do, so it answers once a person, not once a frame; the movement is the
source's own. Trained under CDRL supervision by `cdrl train translator`.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from cdrl.manipulation.prior import EXPRESSIVE
from cdrl.manipulation.traits import FURTHER, REGIONS
from cdrl.representations.checkpoints import config_of, load_into, load_model

ARCHITECTURE = "translator"
_LARGEST = 3.0  # deviations of a mode
# Log of a factor on the offset in a region. Given its way, training makes the brows of every emotion stronger by 1.8,
# and faces less like those that really show it.
_STRENGTH = 0.3
_WIDEST = 0.12  # cm of lip opening
_LIDS = 0.15  # log of the lid ratio
_SHADING = 0.2  # log of the gain: representations like folds that the eye takes for dirt


@dataclass(frozen=True)
class TranslatorConfig:
    """What a translator is made of."""

    traits: int
    """Numbers that describe a person; see `cdrl.manipulation.traits`."""
    modes: int
    """Expression modes of the prior."""
    hidden: int = 96
    """Width of its layers."""
    prior_sha256: str = ""
    """Of the prior that it adapts."""


class Translator(nn.Module):
    """traits [B, n] → change [B, e, c + FURTHER]; zeros before training."""

    limits: Tensor

    def __init__(self, config: TranslatorConfig) -> None:
        super().__init__()
        self.config = config
        hidden, wide = config.hidden, config.modes + FURTHER
        self.person = nn.Sequential(nn.LayerNorm(config.traits), nn.Linear(config.traits, hidden))
        self.emotion = nn.Parameter(0.1 * torch.randn(len(EXPRESSIVE), hidden))
        middle = nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, hidden)
        self.inner = nn.Sequential(nn.LayerNorm(hidden), *middle)
        self.norm, self.out = nn.LayerNorm(hidden), nn.Linear(hidden, wide)
        self.typical = nn.Parameter(torch.zeros(len(EXPRESSIVE), wide))
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        further = [_STRENGTH] * REGIONS + [_WIDEST, _LIDS, _SHADING]
        limits = torch.tensor([_LARGEST] * config.modes + further)
        self.register_buffer("limits", limits, persistent=False)

    def forward(self, traits: Tensor) -> Tensor:
        """See the class."""
        found = functional.gelu(self.person(traits)[:, None] + self.emotion)
        change = self.out(self.norm(found + self.inner(found))) + self.typical
        # Softly bounded: a face can't be drawn out of shape whatever is asked.
        return self.limits * torch.tanh(change)


def load_translator(path: Path) -> Translator:
    """A trained translator, frozen. Raises InputError for another checkpoint."""
    tensors, found = load_model(path, ARCHITECTURE)
    model = Translator(config_of(TranslatorConfig, found, path))
    load_into(model, tensors, path)
    return model.eval().requires_grad_(False)


def as_onnx(model: Translator) -> bytes:
    """The translator for `manipulation.personal`: one person at a time, and the SHA-256 of the prior it adapts."""
    given = (torch.zeros(1, model.config.traits),)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it tells of libraries that are not needed
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        found: Any = torch.onnx.export(
            model, given, dynamo=True, verbose=False, input_names=["traits"], output_names=["change"]
        )
        for node in found.model.graph.all_nodes():
            node.metadata_props.clear()  # where in whose folders it was traced
        found.model.metadata_props["prior_sha256"] = model.config.prior_sha256
        path = Path(folder) / "translator.onnx"
        found.save(str(path), external_data=False)
        return path.read_bytes()
