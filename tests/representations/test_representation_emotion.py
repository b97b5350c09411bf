"""The emotion representation: shapes and lengths, gradients, its checkpoint."""

import pytest

torch = pytest.importorskip("torch")

from cdrl.emotions import EMOTIONS  # noqa: E402
from cdrl.errors import InputError  # noqa: E402
from cdrl.representations.checkpoints import save_model  # noqa: E402
from cdrl.representations.emotion import EmotionConfig, EmotionModel, load_emotion  # noqa: E402
from cdrl.representations.vlm import FaceLanguageModel, VlmConfig, load_vlm  # noqa: E402

torch.set_num_threads(1)
SMALL = VlmConfig(32, 16, ((1, 3, 1, 1, 8), (1, 3, 2, 2, 12)), 8, 24)


@pytest.fixture
def vlm():
    torch.manual_seed(0)
    model = FaceLanguageModel(SMALL).eval().requires_grad_(False)
    for norm in (m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        torch.nn.init.uniform_(norm.bias)
    model.digest = "0" * 64
    return model


@pytest.fixture
def model(vlm):
    torch.manual_seed(1)
    made = EmotionModel(EmotionConfig("embedded", vlm.digest, 16, 12, 6), vlm).eval().requires_grad_(False)
    made.head.prompts.copy_(torch.nn.functional.normalize(torch.randn(7, 16), dim=1))
    return made


def test_shapes_and_lengths(model):
    images = torch.rand(3, 3, 224, 224)
    feature = model.encode(images)
    vectors = model.class_vectors(feature)
    assert feature.shape == (3, 16)
    assert vectors.shape == (3, 7, 16)
    assert torch.allclose(vectors.norm(dim=2), torch.ones(3, 7), atol=1e-5)
    assert model.features(images).shape == (3, 7 * 16)
    assert torch.allclose(model.logits(images), (vectors * model.prompts).sum(2) / 0.07, atol=1e-4)
    assert torch.allclose(model.similarity(images, images, "happy"), torch.ones(3), atol=1e-5)
    one, other = (model.class_vectors(model.encode(images[i : i + 1])) * model.prompts for i in (0, 1))
    wanted = torch.nn.functional.cosine_similarity(one[:, 2], other[:, 2], dim=1)
    assert torch.allclose(model.similarity(images[:1], images[1:2], 2), wanted, atol=1e-5)


def test_gradients_reach_the_picture_and_no_weight(model):
    images = torch.rand(1, 3, 224, 224, requires_grad=True)
    (1 - model.similarity(images, torch.rand(1, 3, 224, 224), "sad")).sum().backward()
    assert images.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_network_of_one_emotion_touches_no_other(model):
    feature = torch.randn(2, 16)
    before = model.class_vectors(feature)
    model.head.networks.weights[0][3] += 1
    moved = (model.class_vectors(feature) - before).abs().amax((0, 2)) > 1e-6
    assert moved.tolist() == [number == 3 for number in range(7)]


def test_the_tower_sees_neither_color_nor_light(vlm):
    images = torch.rand(2, 3, 32, 32)
    luma = (images * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True).expand(-1, 3, -1, -1)
    assert torch.allclose(vlm.image(images), vlm.image(0.4 + 0.5 * luma), atol=1e-2)


def written(model, path, **changes):
    save_model(path, model.head.state_dict(), "emotion", {**vars(model.config), **changes})
    return path


def test_a_checkpoint_is_what_was_saved(model, vlm, tmp_path):
    found = load_emotion(written(model, tmp_path / "emotion.safetensors"), vlm)
    images = torch.rand(2, 3, 224, 224)
    assert torch.allclose(found.features(images), model.features(images), atol=2e-3)  # float16
    assert len(EMOTIONS) == len(found.prompts)


def test_other_checkpoints_are_refused(model, vlm, tmp_path):
    path = written(model, tmp_path / "emotion.safetensors", vlm_sha256="1" * 64)
    with pytest.raises(InputError, match="another vision-language model"):
        load_emotion(path, vlm)
    path = written(model, tmp_path / "wider.safetensors", middle=8)
    with pytest.raises(InputError, match="does not fit"):
        load_emotion(path, vlm)
    (tmp_path / "pickle.pt").write_bytes(b"PK\x03\x04")
    with pytest.raises(InputError, match="cdrl convert"):
        load_emotion(tmp_path / "pickle.pt", vlm)
    with pytest.raises(InputError, match="'emotion', but 'vlm' is needed"):
        load_vlm(path)


def test_the_vlm_comes_back_with_its_digest(vlm, tmp_path):
    path = tmp_path / "vlm.safetensors"
    save_model(path, vlm.state_dict(), "vlm", vars(SMALL))
    found = load_vlm(path)
    assert len(found.digest) == 64
    assert found.spec == str(path)
    images = torch.rand(2, 3, 48, 48)
    assert torch.allclose(found.image(images), vlm.image(images), atol=5e-3)
