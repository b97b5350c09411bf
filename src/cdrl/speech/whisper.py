"""Whisper's audio encoder (tiny.en), in torch, from the CTranslate2 file that a package carries.

Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", 2022. Of its layers the last, fourth, one
separates best what is said from who says it and how: moments of words spoken by different actors in different emotions,
same against other words, d' 4.3 (layers 1 to 3: 1.4, 2.9, 3.5; log-mel 0.4). After the final norm, where this
module reads it, and before it are alike (4.25 and 4.31 with the mean taken off, 4.15 and 4.14 without); the norm keeps
it in scale.

The features also tell *when* something is said, for every vector gets its place in the 30 s that the recognizer hears:
the same words one second later are another vector (cosine .66), and d' falls to 3.1 after up to 4 s of quiet, to 2.7
after up to 4 s of other speech. So the sound is heard as if it began at eight places at once, and the mean is taken:
4.27, 4.47 and 4.22 (at no delay, after quiet, after speech), for about four times the work.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cdrl.errors import ModelFileError
from cdrl.pretrained import find_model
from cdrl.speech.audio import Samples
from cdrl.speech.features import SpeechFeatures, plan_passes
from cdrl.speech.mel import BANDS, compute_log_mel

MODEL = "whisper-tiny.en.bin"
WIDTH, LAYERS, HEADS = 384, 4, 6
POSITIONS = 1500  # places in time that the network knows: 30 s
RATE = Fraction(50)  # feature vectors a second: two mel frames each
STARTS = tuple(range(0, 1001, 143))  # the eight places among the positions where a pass begins
_PASS = POSITIONS - STARTS[-1]  # vectors at most in one pass: nearly 10 s
_VERSIONS = (
    5,
    6,
)  # of CTranslate2's layout: since 4 the kind of number is stored, since 6 nothing read here has changed
_TYPES = {0: "<f4", 1: "<i1", 2: "<i2", 3: "<i4", 4: "<f2"}  # CTranslate2's numbering
_CONTEXT = 100  # vectors (2 s) on each side of a pass over long sound that are heard but not kept


class EncoderLayer(nn.Module):
    """One transformer layer: attention, then two linear layers, each on the normalized input and added to it."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.projections = nn.Linear(width, 3 * width)  # queries, keys, values
        self.output = nn.Linear(width, width)
        self.feedforward_norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 4 * width)
        self.contract = nn.Linear(4 * width, width)

    def forward(self, rows: Tensor) -> Tensor:
        """Transform vectors [B, m, width] → [B, m, width]."""
        batch, count, width = rows.shape
        split = self.projections(self.attention_norm(rows)).view(batch, count, 3, self.heads, width // self.heads)
        queries, keys, values = split.permute(2, 0, 3, 1, 4)
        heard = nn.functional.scaled_dot_product_attention(queries, keys, values)
        rows = rows + self.output(heard.transpose(1, 2).reshape(batch, count, width))
        expanded = nn.functional.gelu(self.expand(self.feedforward_norm(rows)))
        summed: Tensor = rows + self.contract(expanded)
        return summed


class AudioEncoder(nn.Module):
    """Two convolutions over the mel spectrogram, positions added, four transformer layers."""

    positions: Tensor

    def __init__(self, width: int = WIDTH, layers: int = LAYERS, heads: int = HEADS) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(BANDS, width, 3, padding=1)
        self.conv2 = nn.Conv1d(width, width, 3, stride=2, padding=1)
        self.register_buffer("positions", torch.zeros(POSITIONS, width))
        self.blocks = nn.ModuleList(EncoderLayer(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, spectrum: Tensor, starts: Sequence[int] = (0,)) -> Tensor:
        """Encode log-mel spectra; the result is the mean over several positions of the first vector.

        Args:
            spectrum: [B, 80, n].
            starts: Positions of the first vector, n / 2 + start ≤ 1500.

        Returns:
            Features [B, ceil(n / 2), width]; vector j is centered at mel frame 2j.
        """
        sound = nn.functional.gelu(self.conv1(spectrum))
        sound = nn.functional.gelu(self.conv2(sound)).transpose(1, 2)
        count = sound.shape[1]
        rows = torch.cat([sound + self.positions[start : start + count] for start in starts])
        for block in self.blocks:
            rows = block(rows)
        mean: Tensor = self.norm(rows).unflatten(0, (len(starts), -1)).mean(dim=0)
        return mean


class WhisperEncoder:
    """Speech features of Whisper tiny.en: its fourth and last layer, mean over eight places; 384 numbers, 50 a second.

    The sound is not padded to 30 s as the recognizer does it: the features differ (cosine .977), so never mix the two.
    """

    name = "whisper-tiny.en/4, mean of 8 places"
    width = WIDTH

    def __init__(self, network: AudioEncoder, threads: int = 1) -> None:
        self._network = network.eval().requires_grad_(False)
        self._threads = threads

    @classmethod
    def load(cls, threads: int = 1) -> WhisperEncoder:
        """Load the verified file of the package.

        Args:
            threads: Threads of torch.

        Raises:
            ModelFileError: The file is missing (the message says how to get it), or another one.
        """
        path = find_model(MODEL)
        network = AudioEncoder()
        stored = read_variables(path, "encoder/")
        try:
            network.load_state_dict(convert_variables(stored))
        except (KeyError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise ModelFileError(f"{path}: not the encoder of Whisper tiny.en ({reason}): fetch it again") from error
        return cls(network, threads)

    def __call__(self, samples: Samples) -> SpeechFeatures:
        """Compute the features of sound; see `SpeechEncoder`."""
        spectrum = compute_log_mel(samples)
        torch.set_num_threads(self._threads)
        parts = [np.zeros((0, WIDTH), np.float32)]
        with torch.inference_mode():
            for first, last, skipped, kept in plan_passes((len(spectrum) + 1) // 2, _PASS, _CONTEXT):
                heard = torch.from_numpy(spectrum[2 * first : 2 * last].T.copy())
                parts.append(self._network(heard[None], STARTS)[0, skipped : skipped + kept].numpy())
        return SpeechFeatures(np.concatenate(parts), RATE, Fraction(0))


def convert_variables(stored: Mapping[str, NDArray[np.generic]]) -> dict[str, Tensor]:
    """Make the state dict of `AudioEncoder` of CTranslate2's variables.

    Raises:
        KeyError: A variable is missing.
    """
    pairs = {"conv1": "conv1", "conv2": "conv2", "norm": "layer_norm"}
    for i in range(LAYERS):
        attention, feedforward = f"layer_{i}/self_attention", f"layer_{i}/ffn"
        pairs |= {
            f"blocks.{i}.attention_norm": f"{attention}/layer_norm",
            f"blocks.{i}.projections": f"{attention}/linear_0",
            f"blocks.{i}.output": f"{attention}/linear_1",
            f"blocks.{i}.feedforward_norm": f"{feedforward}/layer_norm",
            f"blocks.{i}.expand": f"{feedforward}/linear_0",
            f"blocks.{i}.contract": f"{feedforward}/linear_1",
        }
    tensors = {"positions": stored["encoder/position_encodings/encodings"]}
    for ours, theirs in pairs.items():
        weight, bias = ("gamma", "beta") if theirs.endswith("layer_norm") else ("weight", "bias")
        tensors |= {
            f"{ours}.weight": stored[f"encoder/{theirs}/{weight}"],
            f"{ours}.bias": stored[f"encoder/{theirs}/{bias}"],
        }
    return {name: torch.from_numpy(value.astype(np.float32)) for name, value in tensors.items()}


def read_variables(path: Path, prefix: str) -> dict[str, NDArray[np.generic]]:
    """Read some variables of a CTranslate2 model, without its library; the rest of the file is not read.

    The layout is: version, name and revision of the specification; then for each variable its name, shape, type and
    bytes. Names are preceded by their length and end with a zero.

    Args:
        path: The file `model.bin`.
        prefix: How the names of those that are read begin.

    Returns:
        The variables by name.

    Raises:
        ModelFileError: The file is damaged, or no CTranslate2 model.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _parse(data, prefix)
    except (struct.error, ValueError, KeyError, UnicodeDecodeError) as error:
        raise ModelFileError(f"{path}: not a CTranslate2 model that can be read ({error}): fetch it again") from error


def _parse(data: mmap.mmap, prefix: str) -> dict[str, NDArray[np.generic]]:
    offset = 0

    def read_number(kind: str) -> int:
        nonlocal offset
        (value,) = struct.unpack_from("<" + kind, data, offset)
        offset += struct.calcsize("<" + kind)
        return int(value)

    def read_text() -> str:
        nonlocal offset
        length = read_number("H")
        offset += length
        return data[offset - length : offset].rstrip(b"\0").decode()

    if (version := read_number("I")) not in _VERSIONS:
        raise ValueError(f"version {version}, known are {_VERSIONS}")
    read_text(), read_number("I")
    variables: dict[str, NDArray[np.generic]] = {}
    for _ in range(read_number("I")):
        name = read_text()
        shape = tuple(read_number("I") for _ in range(read_number("B")))
        kind, size = read_number("B"), read_number("I")
        if name.startswith(prefix):
            variables[name] = np.frombuffer(data[offset : offset + size], _TYPES[kind]).reshape(shape)
        offset += size
    return variables
