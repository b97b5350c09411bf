"""Whisper's encoder: the same function as the one in transformers, and real weights from their package."""

import struct

import numpy as np
import pytest
import torch

from cdrl.errors import ModelFileError
from cdrl.pretrained import MODELS, find_model
from cdrl.speech import whisper
from cdrl.speech.audio import read_samples
from cdrl.speech.whisper import AudioEncoder, WhisperEncoder, read_variables


@pytest.fixture(scope="module")
def encoder() -> WhisperEncoder:
    try:
        find_model(whisper.MODEL)
    except ModelFileError:
        pytest.skip(f"needs the package {MODELS[whisper.MODEL].requirement}")
    return WhisperEncoder.load()


def theirs(width: int, layers: int, heads: int) -> torch.nn.Module:
    from transformers import WhisperConfig
    from transformers.models.whisper.modeling_whisper import WhisperEncoder as Reference

    torch.manual_seed(0)
    sizes = {"encoder_layers": layers, "encoder_attention_heads": heads, "encoder_ffn_dim": 4 * width}
    return Reference(WhisperConfig(d_model=width, **sizes)).eval()


def ours(name: str) -> str:
    """transformers' name of a tensor → ours."""
    pairs = {
        "embed_positions.weight": "positions",
        "layers.": "blocks.",
        "self_attn_layer_norm": "attention_norm",
        "self_attn.out_proj": "output",
        "final_layer_norm": "feedforward_norm",
        "fc1": "expand",
        "fc2": "contract",
        "layer_norm": "norm",
    }
    for old, new in pairs.items():
        name = name.replace(old, new)
    return name


def test_the_same_function_as_transformers() -> None:
    reference = theirs(32, 2, 4)
    stored = {ours(name): value for name, value in reference.state_dict().items()}
    for i in range(2):
        parts = [stored.pop(f"blocks.{i}.self_attn.{kind}_proj.weight") for kind in "qkv"]
        query, value = (stored.pop(f"blocks.{i}.self_attn.{kind}_proj.bias") for kind in "qv")
        biases = [query, torch.zeros(32), value]
        stored |= {f"blocks.{i}.projections.weight": torch.cat(parts)}
        stored |= {f"blocks.{i}.projections.bias": torch.cat(biases)}
    network = AudioEncoder(32, 2, 4)
    network.load_state_dict(stored)
    spectrum = torch.randn(1, 80, 3000)
    with torch.inference_mode():
        assert torch.allclose(network(spectrum), reference(spectrum).last_hidden_state, atol=1e-5)


def test_long_sound_is_computed_in_passes(monkeypatch) -> None:
    # A network that sees nothing but one place, so that passes can be compared with the whole exactly.
    class Local(torch.nn.Module):
        def forward(self, spectrum: torch.Tensor, starts: tuple[int, ...]) -> torch.Tensor:
            return spectrum[:, :1, ::2].transpose(1, 2).expand(-1, -1, whisper.WIDTH)

    samples = np.random.default_rng(0).normal(0, 0.1, 5 * 16_000).astype(np.float32)
    whole = WhisperEncoder(Local())(samples).values
    assert whole.shape == (250, whisper.WIDTH)
    for count, context in ((100, 20), (101, 30), (249, 10)):
        monkeypatch.setattr(whisper, "_PASS", count)
        monkeypatch.setattr(whisper, "_CONTEXT", context)
        assert np.array_equal(WhisperEncoder(Local())(samples).values, whole)


def centered(*takes: np.ndarray) -> list[np.ndarray]:
    """Unit vectors without the mean that all takes share."""
    mean = np.concatenate(takes).mean(axis=0)
    return [(take - mean) / np.linalg.norm(take - mean, axis=1, keepdims=True) for take in takes]


def test_real_weights_hear_words_not_emotions(encoder, repository) -> None:
    """Two takes of a sentence in other emotions agree at the same moments and not at others."""
    from cdrl.speech.dtw import compute_dtw_path

    takes = []
    for emotion in ("NEU", "HAP"):
        features = encoder(read_samples(repository / "examples" / f"1001_DFA_{emotion}_XX.flv"))
        assert features.values.shape[1] == encoder.width
        takes.append(features.resample(np.arange(50) / 25))
    first, second = centered(*takes)
    path = compute_dtw_path(*takes)
    same = (first[path[:, 0]] * second[path[:, 1]]).sum(axis=1).mean()
    other = (first @ second.T).mean()
    assert same > 0.6
    assert abs(other) < 0.15


@pytest.mark.parametrize(("samples", "vectors"), [(0, 0), (100, 0), (200, 1)])
def test_half_a_step_of_sound_and_none(encoder, samples, vectors) -> None:
    assert encoder(np.zeros(samples, np.float32)).values.shape == (vectors, 384)


def variable(name: str, values: np.ndarray) -> bytes:
    head = struct.pack("<H", len(name) + 1) + name.encode() + b"\0" + struct.pack("<B", values.ndim)
    sizes = struct.pack(f"<{values.ndim}I", *values.shape)
    return head + sizes + struct.pack("<BI", 4, values.nbytes) + values.tobytes()


def test_ctranslate2_file(tmp_path) -> None:
    values = np.arange(6, dtype=np.float16).reshape(2, 3)
    head = struct.pack("<IH", 6, 5) + b"Spec\0" + struct.pack("<II", 3, 2)
    path = tmp_path / "model.bin"
    path.write_bytes(head + variable("decoder/a", values) + variable("encoder/b", values))
    found = read_variables(path, "encoder/")
    assert list(found) == ["encoder/b"]
    assert np.array_equal(found["encoder/b"], values)
    for damaged in (path.read_bytes()[:-5], b"\x09" + path.read_bytes()[1:], b"", b"{}"):
        path.write_bytes(damaged)
        with pytest.raises(ModelFileError, match="CTranslate2"):
            read_variables(path, "")


def test_the_same_words_later_are_nearly_the_same_vectors(encoder, sample) -> None:
    """At one place alone, the cosine after a second of quiet is about .66."""
    samples = read_samples(sample)
    quiet = np.random.default_rng(0).normal(0, 1e-4, 16_000).astype(np.float32)
    now = encoder(samples).values
    later = encoder(np.concatenate([quiet, samples])).values[50 : 50 + len(now)]
    mean = now.mean(axis=0)
    first, second = [(rows - mean) / np.linalg.norm(rows - mean, axis=1, keepdims=True) for rows in (now, later)]
    assert (first * second).sum(axis=1).mean() > 0.9
