"""XLSR-53, the paper's speech encoder, and other wav2vec 2.0 models, by `transformers` from a folder or a hub.

Conneau et al., "Unsupervised Cross-lingual Representation Learning for Speech Recognition", 2020.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import nn
from transformers import Wav2Vec2Model
from transformers.utils import logging

from cdrl.errors import ModelFileError
from cdrl.speech.audio import SAMPLE_RATE, Samples
from cdrl.speech.features import SpeechFeatures, plan_passes

LAYER = 20  # of 24: what the paper reads (section 4.1)
# The paper's model: folders and parts of hub's ids that hold it. Models tuned from it are called otherwise.
_XLSR = {"xlsr-53", "wav2vec2-large-xlsr-53", "models--facebook--wav2vec2-large-xlsr-53"}
_PASS = 30 * SAMPLE_RATE  # samples encoded in one pass; longer sound is cut, with
_CONTEXT = 5 * SAMPLE_RATE  # samples on each side that are encoded but not kept


class XlsrEncoder:
    """Speech features of a wav2vec 2.0 model: what transformer layer `layer` puts out, before any later norm.

    50 vectors a second and 1024 numbers for XLSR-53; another model of the family may differ in both.
    """

    def __init__(self, network: Wav2Vec2Model, name: str, layer: int = LAYER, threads: int = 1) -> None:
        config: Any = network.config
        if not 1 <= layer <= config.num_hidden_layers:
            raise ModelFileError(
                f"{name} has {config.num_hidden_layers} layers, layer {layer} was asked for: give the folder of "
                "XLSR-53 (wav2vec2-large), or another layer"
            )
        self.name = f"{name}/{layer}"
        self.width: int = config.hidden_size
        encoder: Any = network.encoder
        encoder.layers = encoder.layers[:layer]  # whose output becomes the network's
        if config.do_stable_layer_norm:
            encoder.layer_norm = nn.Identity()  # it belongs after the last layer
        self._network: Any = network.train(False).requires_grad_(False)
        self._threads = threads
        self._hop, self._field = 1, 1  # samples from one vector to the next, and that one vector sees
        for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
            self._field += (kernel - 1) * self._hop
            self._hop *= stride

    @classmethod
    def load(cls, source: str, layer: int = LAYER, threads: int = 1, local_files_only: bool = False) -> XlsrEncoder:
        """Load safetensors of a wav2vec 2.0 model.

        Args:
            source: A folder that `save_pretrained` wrote, a hub's snapshot, or a hub's id.
            layer: The transformer layer whose output is taken, from 1.
            threads: Threads of torch.
            local_files_only: Never ask the hub.

        Raises:
            ModelFileError: The model is missing, a pickle only, or of another kind.
        """
        local = Path(source).is_dir()
        try:
            with _silence_transformers():
                how: Any = {"use_safetensors": True, "output_loading_info": True}
                loaded: Any = Wav2Vec2Model.from_pretrained(source, local_files_only=local_files_only or local, **how)
        except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
            raise ModelFileError(f"{source}: {_explain(source, local, error)}") from error
        network, report = loaded
        # The vector that hides pieces in training is left out of some files, and never used here.
        if missing := sorted(set(report["missing_keys"]) - {"masked_spec_embed"}):
            raise ModelFileError(f"{source}: not a whole wav2vec 2.0 model ({len(missing)} missing: {missing[0]} ...)")
        parts = source.rstrip("/").split("/")
        return cls(network, "xlsr-53" if _XLSR.intersection(parts) else parts[-1], layer, threads)

    def __call__(self, samples: Samples) -> SpeechFeatures:
        """Compute the features of sound; see `SpeechEncoder`."""
        # The mean and spread of the whole clip, so that a cut into pieces changes nothing here.
        scaled = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7) if len(samples) else samples
        torch.set_num_threads(self._threads)
        parts = [np.zeros((0, self.width), np.float32)]
        with torch.inference_mode():
            count = max(0, (len(samples) - self._field) // self._hop + 1)
            for first, last, skipped, kept in plan_passes(count, _PASS // self._hop, _CONTEXT // self._hop):
                piece = scaled[first * self._hop : (last - 1) * self._hop + self._field]
                heard = torch.from_numpy(np.ascontiguousarray(piece, np.float32))
                parts.append(self._network(heard[None]).last_hidden_state[0, skipped : skipped + kept].numpy())
        center = Fraction(self._field - 1, 2 * SAMPLE_RATE)
        return SpeechFeatures(np.concatenate(parts), Fraction(SAMPLE_RATE, self._hop), center)


@contextmanager
def _silence_transformers() -> Iterator[None]:
    """No bars and tables of `transformers`: what is wrong, we say in one line."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(40)  # errors, as Python numbers them
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _explain(source: str, local: bool, error: Exception) -> str:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    if local and not list(Path(source).glob("*.safetensors")) and list(Path(source).glob("*.bin")):
        command = f"cdrl convert {source}/pytorch_model.bin -o {source}/model.safetensors"
        return f"holds the model as a pickle only: make safetensors of it once with `{command}`"
    return f"no wav2vec 2.0 model there ({reason}): give a folder with config.json and model.safetensors, or a hub's id"
