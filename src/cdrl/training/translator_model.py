"""The network that predicts from what a person looks like how this person shows each emotion.

It adapts the fitted prior, and begins as it: what it has not learned otherwise stays. People differ in how they show an
emotion far more than in how they move while they do, so it runs once a person, not once a frame; the movement is the
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

from cdrl.manipulation.personalization import N_EXTRA_OUTPUTS, N_REGIONS
from cdrl.manipulation.prior import EXPRESSIVE
from cdrl.representations.checkpoints import load_into, load_model, parse_config

ARCHITECTURE = "translator"
_MAX_CODE = 3.0  # deviations of a mode
# Log of a factor on the offset in a region. Without a bound training makes the brows of every emotion stronger by 1.8,
# and faces less like those that really show it.
_MAX_STRENGTH = 0.3
_MAX_LIP_OPENING = 0.12  # cm
_MAX_LIDS = 0.15  # log of the lid ratio
_MAX_SHADING = 0.2  # log of the gain: representations like folds that the eye takes for dirt


@dataclass(frozen=True)
class TranslatorConfig:
    """What a translator is made of."""

    traits: int
    """Numbers of `person_features`."""
    modes: int
    """Expression modes of the prior."""
    hidden: int = 96
    """Width of its layers."""
    prior_sha256: str = ""
    """SHA-256 of the prior that it adapts."""


class Translator(nn.Module):
    """Predicts how people show each emotion; before training it predicts no difference to the prior."""

    limits: Tensor

    def __init__(self, config: TranslatorConfig) -> None:
        super().__init__()
        self.config = config
        hidden, wide = config.hidden, config.modes + N_EXTRA_OUTPUTS
        self.person = nn.Sequential(nn.LayerNorm(config.traits), nn.Linear(config.traits, hidden))
        self.emotion = nn.Parameter(0.1 * torch.randn(len(EXPRESSIVE), hidden))
        middle = nn.Linear(hidden, hidden), nn.GELU(), nn.Linear(hidden, hidden)
        self.inner = nn.Sequential(nn.LayerNorm(hidden), *middle)
        self.norm, self.out = nn.LayerNorm(hidden), nn.Linear(hidden, wide)
        self.typical = nn.Parameter(torch.zeros(len(EXPRESSIVE), wide))
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        extra = [_MAX_STRENGTH] * N_REGIONS + [_MAX_LIP_OPENING, _MAX_LIDS, _MAX_SHADING]
        limits = torch.tensor([_MAX_CODE] * config.modes + extra)
        self.register_buffer("limits", limits, persistent=False)

    def forward(self, traits: Tensor) -> Tensor:
        """Predict adaptations of the prior.

        Args:
            traits: [B, n], see `person_features`.

        Returns:
            [B, e, c + N_EXTRA_OUTPUTS], see `split_outputs`; softly bounded, so that no face is drawn out of shape.
        """
        hidden = functional.gelu(self.person(traits)[:, None] + self.emotion)
        change = self.out(self.norm(hidden + self.inner(hidden))) + self.typical
        return self.limits * torch.tanh(change)


def load_translator(path: Path) -> Translator:
    """Load a trained translator, frozen.

    Raises:
        InputError: The file is another checkpoint, or none.
    """
    tensors, config = load_model(path, ARCHITECTURE)
    model = Translator(parse_config(TranslatorConfig, config, path))
    load_into(model, tensors, path)
    return model.eval().requires_grad_(False)


def export_onnx(model: Translator) -> bytes:
    """Return the translator as ONNX for `OnnxTranslator`: one person a run, with the SHA-256 of the prior it adapts."""
    inputs = (torch.zeros(1, model.config.traits),)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of libraries that are not needed
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        program: Any = torch.onnx.export(
            model, inputs, dynamo=True, verbose=False, input_names=["traits"], output_names=["change"]
        )
        for node in program.model.graph.all_nodes():
            node.metadata_props.clear()  # paths of the machine it was traced on
        program.model.metadata_props["prior_sha256"] = model.config.prior_sha256
        path = Path(folder) / "translator.onnx"
        program.save(str(path), external_data=False)
        return path.read_bytes()
