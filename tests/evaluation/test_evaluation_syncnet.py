"""SyncNet: its published state dict, written out, loads key for key; sound and pictures are prepared as published."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import save_file  # noqa: E402
from torch.nn import functional as f  # noqa: E402

from cdrl.cli import main as cli  # noqa: E402
from cdrl.errors import InputError  # noqa: E402
from cdrl.evaluation import syncnet  # noqa: E402
from cdrl.evaluation.sync_metrics import FaceFootage  # noqa: E402
from cdrl.evaluation.syncnet import SyncNetEvaluator, face_squares, load_syncnet, mfcc  # noqa: E402

SHAPES = {  # part → place of a layer → its weights; a norm follows each but the last of a projection
    "netcnnaud": {0: (64, 1, 3, 3), 4: (192, 64, 3, 3), 8: (384, 192, 3, 3), 11: (256, 384, 3, 3)}
    | {14: (256, 256, 3, 3), 18: (512, 256, 5, 4)},
    "netcnnlip": {0: (96, 3, 5, 7, 7), 4: (256, 96, 1, 5, 5), 8: (256, 256, 1, 3, 3), 11: (256, 256, 1, 3, 3)}
    | {14: (256, 256, 1, 3, 3), 18: (512, 256, 1, 6, 6)},
    "netfcaud": {0: (512, 512), 3: (1024, 512)},
    "netfclip": {0: (512, 512), 3: (1024, 512)},
}


@pytest.fixture(scope="module")
def tensors():
    """The state dict as its authors wrote it: no counters of batches."""
    torch.manual_seed(0)
    found = {}
    for part, places in SHAPES.items():
        for place, shape in places.items():
            found[f"{part}.{place}.weight"] = torch.randn(shape) * (2 / int(np.prod(shape[1:]))) ** 0.5
            found[f"{part}.{place}.bias"] = torch.randn(shape[0]) * 0.1
            if place != 3:
                norm = f"{part}.{place + 1}"
                found |= {f"{norm}.{what}": torch.rand(shape[0]) + 0.5 for what in ("weight", "running_var")}
                found |= {f"{norm}.{what}": torch.randn(shape[0]) * 0.1 for what in ("bias", "running_mean")}
    return found


@pytest.fixture(scope="module")
def network(tensors, tmp_path_factory):
    path = tmp_path_factory.mktemp("syncnet") / "syncnet_v2.safetensors"
    save_file(tensors, path)
    return load_syncnet(path)


def test_every_tensor_arrives_and_nothing_drifts(network, tensors):
    stored = {name: value for name, value in network.state_dict().items() if "num_batches" not in name}
    assert stored.keys() == tensors.keys()
    assert all(torch.equal(value, tensors[name]) for name, value in stored.items())
    assert not any(module.training for module in network.modules())
    assert sum(value.numel() for value in tensors.values()) == sum(value.numel() for value in stored.values())


def test_the_networks_are_the_published_ones(network, tensors):
    def layer(x, part, place, convolve, **how):
        x = convolve(x, tensors[f"{part}.{place}.weight"], tensors[f"{part}.{place}.bias"], **how)
        names = ("running_mean", "running_var", "weight", "bias")
        return f.relu(f.batch_norm(x, *(tensors[f"{part}.{place + 1}.{name}"] for name in names)))

    def head(x, part):
        x = layer(x.flatten(1), part, 0, f.linear)
        return f.linear(x, tensors[f"{part}.3.weight"], tensors[f"{part}.3.bias"])

    sound = torch.randn(2, 1, 13, 20)
    x = layer(sound, "netcnnaud", 0, f.conv2d, padding=1)
    x = f.max_pool2d(layer(x, "netcnnaud", 4, f.conv2d, padding=1), 3, (1, 2))
    for place in (8, 11, 14):
        x = layer(x, "netcnnaud", place, f.conv2d, padding=1)
    x = layer(f.max_pool2d(x, 3, 2), "netcnnaud", 18, f.conv2d)
    assert x.shape == (2, 512, 1, 1)
    assert torch.allclose(network.embed_audio(sound), head(x, "netfcaud"), rtol=1e-3, atol=1e-3)

    pictures = torch.rand(1, 3, 5, 224, 224) * 255
    x = layer(pictures, "netcnnlip", 0, f.conv3d, stride=(1, 2, 2))
    x = layer(f.max_pool3d(x, (1, 3, 3), (1, 2, 2)), "netcnnlip", 4, f.conv3d, stride=(1, 2, 2), padding=(0, 1, 1))
    x = f.max_pool3d(x, (1, 3, 3), (1, 2, 2), (0, 1, 1))
    for place in (8, 11, 14):
        x = layer(x, "netcnnlip", place, f.conv3d, padding=(0, 1, 1))
    x = layer(f.max_pool3d(x, (1, 3, 3), (1, 2, 2)), "netcnnlip", 18, f.conv3d)
    assert x.shape == (1, 512, 1, 1, 1)
    wanted = head(x, "netfclip")
    assert torch.allclose(network.embed_video(pictures), wanted, rtol=1e-3, atol=1e-3 * float(wanted.abs().max()))


@pytest.mark.parametrize("prefix", ["", "S.", "module.", "module.S.", "__S__."])
def test_the_authors_pickle_is_converted_and_loads_whatever_its_prefix(prefix, tensors, tmp_path):
    source = tmp_path / "syncnet_v2.model"
    given = {prefix + name: value.half() for name, value in tensors.items()}
    torch.save(given, source, _use_new_zipfile_serialization=False)  # as PyTorch saved in 2018
    with pytest.raises(InputError, match="cdrl convert"):
        load_syncnet(source)
    assert cli.main(["convert", str(source)]) == 0
    found = load_syncnet(tmp_path / "syncnet_v2.safetensors").state_dict()
    assert torch.equal(found["netfclip.3.weight"], tensors["netfclip.3.weight"].half().float())


def test_another_network_is_refused_in_one_line(tmp_path):
    save_file({"netcnnaud.0.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="does not fit") as caught:
        load_syncnet(tmp_path / "other.safetensors")
    assert "\n" not in str(caught.value)


def test_sound_is_thirteen_coefficients_a_hundred_times_a_second():
    pytest.importorskip("python_speech_features")
    noise = np.random.default_rng(0).normal(size=16000).astype(np.float32) * 0.05
    rows, louder = mfcc(noise), mfcc(4 * noise)
    assert rows.shape == (99, 13)
    # The first is the log of the energy; what is four times as loud has sixteen times as much, and the same spectrum.
    assert (louder - rows)[:, 0] == pytest.approx(np.log(16), abs=0.01)
    assert (louder - rows)[:, 1:] == pytest.approx(0, abs=0.05)


def test_windows_are_five_pictures_blue_first_beside_twenty_rows(monkeypatch):
    class Recorded:
        def embed_video(self, pictures):
            self.pictures = pictures
            return torch.zeros(len(pictures), 1024)

        def embed_audio(self, rows):
            self.rows = rows
            return torch.zeros(len(rows), 1024)

    recorded = Recorded()
    evaluator = SyncNetEvaluator(recorded)
    monkeypatch.setattr(syncnet, "mfcc", lambda samples: np.arange(100.0)[:, None].repeat(13, 1))
    assert evaluator.embed_audio(np.zeros(16000, np.float32)).shape == (21, 1024)
    assert recorded.rows.shape[1:] == (1, 13, 20)
    assert recorded.rows[-1, 0, 0].tolist() == list(range(80, 100))

    frames = [np.full((100, 120, 3), (10, 20, number), np.uint8) for number in range(12)]  # red, green, blue
    points = np.zeros((12, 468, 2)) + [60, 50]
    points[:, :2] = [[40, 30], [80, 70]]
    points[7] = np.nan
    found = evaluator.embed_video(FaceFootage(lambda: iter(frames), np.arange(12) / 50, points))
    assert len(found) == 2  # 0.22 s hold six pictures at 25 a second
    assert recorded.pictures.shape == (2, 3, 5, 224, 224)
    assert recorded.pictures[0, :, 2, 100, 100].tolist() == [4, 20, 10]
    lost = evaluator.embed_video(FaceFootage(lambda: iter(frames), np.arange(12) / 25, points))
    assert np.isfinite(lost[:, 0]).tolist() == [True] * 3 + [False] * 5


def test_the_square_is_wider_than_the_face_and_lower():
    points = np.zeros((20, 468, 2)) + [60, 50]
    points[:, :2] = [[40, 30], [80, 70]]
    points[3:5] = np.nan
    assert face_squares(points) == pytest.approx(np.tile([60 - 28, 50 - 20, 56], (20, 1)))
