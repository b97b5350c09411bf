"""ArcFace's iResNet-50: its state dict, written out by rule, loads key for key; nothing in it learns or drifts."""

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import save_file  # noqa: E402
from torch.nn.functional import batch_norm, conv2d, prelu  # noqa: E402

from cdrl.errors import InputError, InputNotFoundError  # noqa: E402
from cdrl.representations.iresnet import load_iresnet50  # noqa: E402


def norm(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    shapes = {f"{name}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")}
    return {**shapes, f"{name}.num_batches_tracked": ()}


def shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of the whole network as insightface's `iresnet50().state_dict()` has them."""
    found = {"conv1.weight": (64, 3, 3, 3), **norm("bn1", 64), "prelu.weight": (64,)}
    before = 64
    for stage, (channels, count) in enumerate(((64, 3), (128, 4), (256, 14), (512, 3)), 1):
        for index in range(count):
            block = f"layer{stage}.{index}"
            found |= norm(f"{block}.bn1", before)
            found |= {f"{block}.conv1.weight": (channels, before, 3, 3)}
            found |= norm(f"{block}.bn2", channels)
            found |= {f"{block}.prelu.weight": (channels,)}
            found |= {f"{block}.conv2.weight": (channels, channels, 3, 3)}
            found |= norm(f"{block}.bn3", channels)
            if index == 0:
                found |= {f"{block}.downsample.0.weight": (channels, before, 1, 1)}
                found |= norm(f"{block}.downsample.1", channels)
            before = channels
    return found | norm("bn2", 512) | {"fc.weight": (512, 25088), "fc.bias": (512,)} | norm("features", 512)


def made(name: str, shape: tuple[int, ...]) -> "torch.Tensor":
    if name.endswith("num_batches_tracked"):
        return torch.tensor(7)
    if name.endswith("running_var"):
        return torch.rand(shape) + 0.5
    if len(shape) == 1:
        return torch.rand(shape)
    return torch.randn(shape) * (2 / (shape[1] * 9)) ** 0.5 * 0.5


@pytest.fixture(scope="module")
def tensors():
    torch.manual_seed(0)
    # The last linear layer is 50 MB of what is dropped; its name is enough.
    return {name: made(name, shape) for name, shape in shapes().items() if name != "fc.weight"} | {
        "fc.weight": torch.zeros(512, 1)
    }


@pytest.fixture(scope="module")
def checkpoint(tensors, tmp_path_factory):
    path = tmp_path_factory.mktemp("arcface") / "backbone.safetensors"
    save_file(tensors, path)
    return path


def test_the_rule_gives_the_whole_network():
    sizes = [torch.Size(shape).numel() for name, shape in shapes().items() if "running" not in name]
    counters = sum(name.endswith("num_batches_tracked") for name in shapes())
    assert (sum(sizes) - counters) / 1e6 == pytest.approx(43.59, abs=0.005)  # as its authors count the parameters


def test_every_tensor_up_to_the_cut_arrives(checkpoint, tensors):
    encoder = load_iresnet50(checkpoint)
    stored = {n: v for n, v in encoder.state_dict().items() if not n.endswith("num_batches_tracked")}
    wanted = {n for n in tensors if n.startswith(("conv1", "bn1", "prelu", "layer1", "layer2", "layer3"))}
    assert set(stored) == {n for n in wanted if not n.endswith("num_batches_tracked")}
    assert all(torch.equal(value, tensors[name]) for name, value in stored.items())
    assert (encoder.channels, encoder.grid) == (256, (28, 28))


def reference(tensors, images):
    """The definition, from the tensors by name."""

    def normed(x, name):
        parts = [tensors[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return batch_norm(x, *parts, eps=1e-5)

    x = prelu(normed(conv2d(images * 2 - 1, tensors["conv1.weight"], padding=1), "bn1"), tensors["prelu.weight"])
    for stage, count in ((1, 3), (2, 4), (3, 14)):
        for index in range(count):
            block, stride = f"layer{stage}.{index}", 1 if index else 2
            y = conv2d(normed(x, f"{block}.bn1"), tensors[f"{block}.conv1.weight"], padding=1)
            y = prelu(normed(y, f"{block}.bn2"), tensors[f"{block}.prelu.weight"])
            y = normed(conv2d(y, tensors[f"{block}.conv2.weight"], stride=stride, padding=1), f"{block}.bn3")
            if index == 0:
                x = normed(conv2d(x, tensors[f"{block}.downsample.0.weight"], stride=stride), f"{block}.downsample.1")
            x = x + y
    return x


def test_the_maps_and_a_gradient_to_the_picture(checkpoint, tensors):
    encoder = load_iresnet50(checkpoint)
    images = torch.rand(1, 3, 224, 224, requires_grad=True)
    maps = encoder(images)
    assert maps.shape == (1, 256, 28, 28)
    with torch.no_grad():
        wanted = reference(tensors, images)
    assert torch.allclose(maps, wanted, rtol=1e-3, atol=1e-4 * wanted.abs().max())
    maps[0, :, 14, 14].sum().backward()
    assert images.grad.abs().sum() > 0


def test_nothing_learns_or_drifts(checkpoint):
    owner = torch.nn.Sequential(load_iresnet50(checkpoint)).train()
    before = {name: value.clone() for name, value in owner.state_dict().items()}
    owner(torch.rand(2, 3, 32, 32))
    assert all(torch.equal(value, before[name]) for name, value in owner.state_dict().items())
    assert not any(parameter.requires_grad for parameter in owner.parameters())
    assert not any(module.training for module in owner[0].modules())


def test_another_checkpoint_is_refused_in_one_line(tensors, tmp_path):
    path = tmp_path / "other.safetensors"
    for wrong, said in (
        ({"layer3.13.bn3.weight": None}, "1 missing"),
        ({"head.weight": torch.zeros(1)}, "1 left over"),
        ({"layer3.14.conv1.weight": torch.zeros(1)}, "1 left over"),
        ({"conv1.weight": torch.zeros(64, 3, 7, 7)}, "of another shape"),
    ):
        small = {n: v for n, v in {**tensors, **wrong}.items() if v is not None and not n.startswith("layer4")}
        save_file(small, path)
        with pytest.raises(InputError, match=said) as caught:
            load_iresnet50(path)
        assert "\n" not in str(caught.value)
    pickle = tmp_path / "backbone.pth"
    torch.save({"a": torch.zeros(1)}, pickle)
    with pytest.raises(InputError, match="cdrl convert"):
        load_iresnet50(pickle)
    with pytest.raises(InputNotFoundError):
        load_iresnet50(tmp_path / "none.safetensors")
