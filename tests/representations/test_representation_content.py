"""The content model: the picture answers, speech only asks; and the landmark network beneath it."""

import numpy as np
import pytest

from cdrl.errors import InputError, UsageError

torch = pytest.importorskip("torch")

from cdrl.face.landmarks import BundleDetector, Region  # noqa: E402
from cdrl.face.tracking import FaceTracker  # noqa: E402
from cdrl.media import read  # noqa: E402
from cdrl.representations.checkpoints import save_model  # noqa: E402
from cdrl.representations.content import (  # noqa: E402
    ARCHITECTURE,
    SPEECH_OFFSETS,
    ContentConfig,
    ContentModel,
    gather_speech_windows,
    load_content,
)
from cdrl.representations.encoders import LandmarkEncoder, load_image_encoder, pad_to_region  # noqa: E402
from cdrl.representations.landmark_network import LandmarkNetwork  # noqa: E402

FACE = 204  # pixels of the network's 256 that the crop takes: its face then fills what it does in the network's own
CONFIG = ContentConfig(speech_width=8, width=16, heads=4, dimensions=6, offsets=(-4, -2, 0, 2, 4))


class Patches(torch.nn.Module):
    """An encoder of means over patches."""

    channels, grid = 3, (7, 7)

    def forward(self, images):
        return torch.nn.functional.avg_pool2d(images, 32)


@pytest.fixture
def model():
    return ContentModel(CONFIG, Patches()).eval()


@pytest.fixture(scope="module")
def face(sample):
    """The sample's first frame, its landmarks, and a crop as data preparation makes it."""
    frame = next(iter(read(sample)))
    points = FaceTracker(BundleDetector()).step(frame).points
    region = Region.of_landmarks(points)
    aligned = Region(region.x, region.y, region.side / 1.5 * 1.2, region.angle)
    return frame, points, region, aligned


def picture(frame, region, size):
    crop = frame.rgb_crop(region.matrix(size), (size, size))
    return torch.from_numpy(crop).permute(2, 0, 1)[None].float() / 255


def test_the_network_in_torch_gives_the_landmarks_of_the_runtime(face):
    frame, _, region, _ = face
    network = LandmarkNetwork()
    points, there = network(picture(frame, region, 256))
    matrix = region.matrix(256)
    expected = BundleDetector().estimate_landmarks(frame, region)
    found = points[0, :, :2].numpy() @ matrix[:, :2].T + matrix[:, 2]
    assert np.abs(found - expected.points[:, :2]).max() < 0.01
    assert torch.sigmoid(there).item() == pytest.approx(expected.presence, abs=1e-4)


def test_an_aligned_crop_is_framed_as_the_network_wants_it(face):
    frame, points, _, aligned = face
    found = LandmarkNetwork()(pad_to_region(picture(frame, aligned, 224)))[0][0, :, :2].numpy()
    found = (found - (256 - FACE) / 2) * 224 / FACE
    matrix = aligned.matrix(224)
    there = found @ matrix[:, :2].T + matrix[:, 2]
    assert np.abs(there - points[:, :2]).mean() < 0.005 * aligned.side


def test_gradients_reach_the_picture_and_no_weight_of_the_encoder(face):
    frame, _, _, aligned = face
    image = picture(frame, aligned, 224).requires_grad_()
    model = ContentModel(CONFIG)
    model(image[None], torch.randn(1, 1, 8))[0, 0, 0].backward()
    assert image.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in model.encoder.parameters())
    assert model.grid == (LandmarkEncoder.grid[0] // 2, LandmarkEncoder.grid[1])


def test_content_is_of_unit_length_and_does_not_depend_on_the_batch(model):
    maps, speech = torch.rand(5, len(CONFIG.offsets), 3, *model.grid), torch.randn(5, len(SPEECH_OFFSETS), 8)
    content, attention = model.embed(maps, speech)
    assert torch.allclose(content.norm(dim=1), torch.ones(5), atol=1e-5)
    assert torch.allclose(attention.sum(1), torch.ones(5), atol=1e-5)
    assert attention.shape == (5, 4 * 7)
    assert torch.allclose(model.embed(maps[2:3], speech[2:3])[0][0], content[2], atol=1e-5)


def test_a_clip_is_its_windows(model):
    images, speech = torch.rand(2, 12, 3, 224, 224), torch.randn(2, 12, 8)
    content = model(images, speech)
    assert content.shape == (2, 12, CONFIG.dimensions)
    maps = model.maps(images[1])
    assert model.window_frames(torch.tensor([0, 6]), 12).tolist() == [[0, 0, 0, 2, 4], [2, 4, 6, 8, 10]]
    alone = model.embed(maps[[2, 4, 6, 8, 10]][None], gather_speech_windows(speech[1], torch.tensor([6])))[0]
    assert torch.allclose(alone[0], content[1, 6], atol=1e-5)
    images[1, 3] = 0
    assert torch.allclose(model(images, speech)[1, 6], content[1, 6], atol=1e-5)
    images[1, 2] = 0
    assert not torch.allclose(model(images, speech)[1, 6], content[1, 6], atol=1e-5)


def test_without_sound_the_learned_query_asks(model):
    images, speech = torch.rand(3, 2, 3, 224, 224), torch.randn(3, 2, 8)
    audible = torch.tensor([True, False, True])[:, None].expand(-1, 2)
    mixed, silent = model(images, speech, audible), model(images)
    assert torch.allclose(mixed[1], silent[1], atol=1e-6)
    assert not torch.allclose(mixed[0], silent[0], atol=1e-6)
    deaf = ContentModel(ContentConfig(speech_width=8, width=16, heads=4, audio=False), Patches()).eval()
    assert torch.equal(deaf(images, speech), deaf(images))


def test_windows_hold_the_ends():
    windows = gather_speech_windows(torch.arange(6.0)[:, None], torch.tensor([0, 5]))
    assert windows[0, :, 0].tolist() == [0, 0, 0, 0, 0, 1, 2, 3, 4]
    assert windows[1, :, 0].tolist() == [1, 2, 3, 4, 5, 5, 5, 5, 5]


def test_a_checkpoint_comes_back_as_it_was(model, tmp_path):
    path = tmp_path / "content.safetensors"
    save_model(path, model.head.state_dict(), ARCHITECTURE, vars(CONFIG), half=False)
    images = torch.rand(2, 3, 3, 224, 224)
    assert torch.equal(load_content(path, Patches())(images), model(images))
    save_model(path, model.head.state_dict(), ARCHITECTURE, {"width": 16})
    with pytest.raises(InputError, match="configuration is incomplete"):
        load_content(path, Patches())


def test_an_unknown_encoder_is_refused():
    with pytest.raises(UsageError, match="landmarks, or iresnet50"):
        load_image_encoder("vgg")
