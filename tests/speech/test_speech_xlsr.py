"""wav2vec 2.0 by transformers, with a small random model of XLSR-53's architecture."""

import numpy as np
import pytest
import torch
from transformers import Wav2Vec2Config, Wav2Vec2ForPreTraining, Wav2Vec2Model

from cdrl.errors import ModelFileError
from cdrl.speech import xlsr
from cdrl.speech.loading import load_speech_encoder
from cdrl.speech.xlsr import XlsrEncoder

SIZES = {
    "hidden_size": 32,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "conv_dim": (16,) * 7,
    "feat_extract_norm": "layer",  # these two make it XLSR's variant
    "do_stable_layer_norm": True,
    "num_conv_pos_embedding_groups": 4,
}


@pytest.fixture(scope="module")
def model() -> Wav2Vec2Model:
    torch.manual_seed(0)
    return Wav2Vec2Model(Wav2Vec2Config(num_hidden_layers=24, **SIZES)).eval()


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "wav2vec2-large-xlsr-53"
    model.save_pretrained(path)
    return path


def layer_of(model: Wav2Vec2Model, samples: np.ndarray, layer: int) -> np.ndarray:
    """What transformers computes of sound of mean 0 and spread 1."""
    scaled = torch.from_numpy((samples - samples.mean()) / np.sqrt(samples.var() + 1e-7))
    with torch.inference_mode():
        return model(scaled[None], output_hidden_states=True).hidden_states[layer][0].numpy()


def noise(seconds: float) -> np.ndarray:
    return np.random.default_rng(0).normal(0.01, 0.1, round(seconds * 16_000)).astype(np.float32)


def test_layer_20_of_scaled_sound(model, folder) -> None:
    encoder = load_speech_encoder(f"xlsr:{folder}", local_files_only=True)
    samples = noise(1)
    features = encoder(samples)
    assert (encoder.name, encoder.width) == ("xlsr-53/20", 32)
    assert features.values.shape == (49, 32)
    assert features.rate == 50
    assert float(features.start) == pytest.approx(0.0125, abs=1e-4)  # the middle of 25 ms
    assert np.allclose(features.values, layer_of(model, samples, 20), atol=1e-5)


def test_long_sound_is_computed_in_passes(folder, monkeypatch) -> None:
    encoder = XlsrEncoder.load(str(folder), layer=1)
    samples = noise(9)
    whole = encoder(samples).values
    monkeypatch.setattr(xlsr, "_PASS", 5 * 16_000)
    monkeypatch.setattr(xlsr, "_CONTEXT", 24_000)
    pieces = encoder(samples).values
    assert pieces.shape == whole.shape
    # Attention sees less in a piece; what is near must still be the same.
    cosine = (pieces * whole).sum(1) / np.linalg.norm(pieces, axis=1) / np.linalg.norm(whole, axis=1)
    assert cosine.min() > 0.99


def test_too_short_sound_gives_nothing(folder) -> None:
    assert XlsrEncoder.load(str(folder), layer=1)(noise(0.02)).values.shape == (0, 32)


def test_the_published_checkpoint_is_a_pickle_converted_once(tmp_path) -> None:
    """Its names carry a prefix, old names of the weight norm, and parts that only pretraining needs."""
    from cdrl.cli.convert import Options, run

    torch.manual_seed(0)
    sizes = {"codevector_dim": 16, "proj_codevector_dim": 16, "num_codevectors_per_group": 8}
    whole = Wav2Vec2ForPreTraining(Wav2Vec2Config(num_hidden_layers=2, **SIZES, **sizes)).eval()
    whole.config.save_pretrained(tmp_path)
    old = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    stored = {name.replace(*next((p for p in old.items() if p[0] in name), ("", ""))): value
              for name, value in whole.state_dict().items()}  # fmt: skip
    torch.save(stored, tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelFileError, match=r"pickle only.*cdrl convert .*pytorch_model\.bin"):
        XlsrEncoder.load(str(tmp_path), layer=1)
    run(Options(tmp_path / "pytorch_model.bin", tmp_path / "model.safetensors"))
    samples = noise(0.5)
    wanted = layer_of(whole.wav2vec2, samples, 1)
    assert np.allclose(XlsrEncoder.load(str(tmp_path), layer=1)(samples).values, wanted, atol=1e-5)


def test_what_is_no_such_model_is_refused(folder, tmp_path) -> None:
    with pytest.raises(ModelFileError, match=r"no wav2vec 2\.0 model there"):
        XlsrEncoder.load(str(tmp_path / "none"), local_files_only=True)
    with pytest.raises(ModelFileError, match="24 layers, layer 25"):
        XlsrEncoder.load(str(folder), layer=25)
    Wav2Vec2Config(num_hidden_layers=1, **SIZES).save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-100])
    with pytest.raises(ModelFileError, match=r"no wav2vec 2\.0 model there"):
        XlsrEncoder.load(str(tmp_path), layer=1)
