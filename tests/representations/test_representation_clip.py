"""CLIP from a folder: a small random one, its own pipeline as the reference, and the preprocessing by hand."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

from cdrl.errors import InputError, InputNotFoundError  # noqa: E402
from cdrl.representations.clip import DEVIATION, MEAN, clip_input, load_clip  # noqa: E402
from cdrl.representations.text import prepend_context  # noqa: E402
from cdrl.representations.vlm import embed_sentences, load_vision_language_model  # noqa: E402

torch.set_num_threads(1)
WORDS = "a angry brows calm down face happy of person picture sad the together up and pulled".split()  # noqa: SIM905


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A CLIP of two small layers a tower, saved as transformers saves it, with a tokenizer of a few words."""
    made = tmp_path_factory.mktemp("clip")
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    text = {**sizes, "vocab_size": 40, "max_position_embeddings": 24, "bos_token_id": 1, "eos_token_id": 39}
    vision = {**sizes, "image_size": 32, "patch_size": 8}
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=24)
    torch.manual_seed(0)
    model = transformers.CLIPModel(config)
    torch.nn.init.normal_(model.vision_model.embeddings.position_embedding.weight)  # else hardly there before training
    model.save_pretrained(made)
    vocabulary = {"[unk]": 0, "[start]": 1, **{word: i for i, word in enumerate(WORDS, 2)}, "[end]": 39}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="[unk]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="[start] $A [end]", special_tokens=[("[start]", 1), ("[end]", 39)]
    )
    tokenizer.save(str(made / "tokenizer.json"))
    return made


@pytest.fixture(scope="module")
def reference(folder):
    return transformers.CLIPModel.from_pretrained(folder).eval()


def test_pictures_are_as_the_models_own_code_sees_them(folder, reference):
    model = load_clip(folder)
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        wanted = reference.get_image_features(pixel_values=clip_input(images, 32)).pooler_output
        found = model.image(images)
    assert found.shape == (2, model.width)
    assert torch.allclose(found, torch.nn.functional.normalize(wanted, dim=1), atol=1e-5)


def test_where_a_part_of_the_face_is_matters(folder):
    """Positional embeddings stay: the same patches in another order are another picture."""
    model, images = load_clip(folder), torch.rand(1, 3, 32, 32)
    moved = images.roll(8, 3)
    with torch.no_grad():
        assert not torch.allclose(model.image(images), model.image(moved), atol=1e-3)
        model.model.vision_model.embeddings.position_embedding.weight.zero_()
        assert torch.allclose(model.image(images), model.image(moved), atol=1e-5)


def test_preprocessing_is_rgb_with_clips_mean_and_bicubic():
    image = torch.zeros(1, 3, 2, 2)
    image[0, 0] = 1  # red
    found = clip_input(image, 2)
    for channel, value in enumerate((1.0, 0.0, 0.0)):
        assert torch.allclose(found[0, channel], torch.tensor((value - MEAN[channel]) / DEVIATION[channel]))
    row = np.array([0.0, 0.0, 1.0, 1.0])

    def weight(t):  # Keys' kernel, a = -1/2, which antialiased resampling uses
        t = abs(t)
        return 1.5 * t**3 - 2.5 * t**2 + 1 if t < 1 else -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2 if t < 2 else 0.0

    by_hand = []
    for place in (np.arange(8) + 0.5) / 2 - 0.5:
        weights = np.array([weight(place - i) for i in range(4)])
        by_hand.append(float(np.clip((weights * row).sum() / weights.sum(), 0, 1)))
    wide = torch.from_numpy(row).float().expand(1, 3, 4, 4)
    found = clip_input(wide, 8)[0, 0, 4] * DEVIATION[0] + MEAN[0]
    assert np.allclose(found.numpy(), by_hand, atol=1e-5)


def test_sentences_are_as_the_models_own_code_reads_them(folder, reference):
    model = load_clip(folder)
    texts = ["a happy face", "the brows pulled down and together"]
    with torch.no_grad():
        found = embed_sentences(model, texts)
        for text, vector in zip(texts, found, strict=True):
            numbers = [1, *(WORDS.index(word) + 2 for word in text.split()), 39]
            wanted = reference.get_text_features(input_ids=torch.tensor([numbers])).pooler_output
            assert torch.allclose(vector, torch.nn.functional.normalize(wanted, dim=1)[0], atol=1e-5)


def test_a_learned_context_reaches_the_end_mark(folder):
    model = load_clip(folder)
    words, there = model.text.words(["a happy face " * 6])  # with a context, too long: the end mark must stay
    context = torch.randn(1, 8, model.text.word_width, requires_grad=True)
    model.words(*prepend_context(context, words, there)).sum().backward()
    assert context.grad.abs().min() > 0


def test_what_is_no_clip_is_refused(folder, tmp_path):
    with pytest.raises(InputNotFoundError, match=r"config\.json"):
        load_vision_language_model(f"clip:{tmp_path}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"PK\x03\x04")
    with pytest.raises(InputError, match="cdrl convert"):
        load_clip(tmp_path)
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(InputError, match="no CLIP model, or damaged"):
        load_clip(tmp_path)
