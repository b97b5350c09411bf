"""`cdrl train segmenter`: what is drawn in front of a face, even walls, and the published file."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import onnxruntime  # noqa: E402
from recipes import RECIPES  # noqa: E402

from cdrl.errors import UsageError  # noqa: E402
from cdrl.face.mesh import canonical_points  # noqa: E402
from cdrl.face.segmentation import SIDE  # noqa: E402
from cdrl.training.backgrounds import key_background  # noqa: E402
from cdrl.training.occluders import add_occluder  # noqa: E402
from cdrl.training.segmenter import load_segmenter  # noqa: E402

SKIN = 150
torch.set_num_threads(1)
pytestmark = pytest.mark.usefixtures("slow_models")


@pytest.fixture(scope="module")
def points():
    """A face in the middle of an aligned picture, [478, 2]."""
    return (canonical_points()[:, :2] * 9 + 112).astype(np.float32)


def head(points, wall):
    """A picture of an even head, somewhat larger than the face, in front of a wall [224, 224, 3]."""
    y, x = np.mgrid[:224, :224]
    center, radius = points.mean(0), np.ptp(points, axis=0).max() * 0.55
    inside = (x - center[0]) ** 2 + (y - center[1]) ** 2 < radius**2
    noise = np.random.default_rng(0).integers(-12, 13, (224, 224, 1))
    return np.where(inside[..., None], np.clip(SKIN + noise, 0, 255), wall).astype(np.uint8), inside


def test_the_mask_says_where_the_picture_changed(points):
    picture, other = np.full((224, 224, 3), SKIN, np.uint8), np.zeros((90, 90, 3), np.uint8)
    shares = []
    for seed in range(60):
        shown, opacity = add_occluder(picture, points, other, np.random.default_rng(seed))
        assert (shown.shape, shown.dtype, opacity.shape) == (picture.shape, np.uint8, (224, 224))
        assert 0 <= opacity.min() <= opacity.max() <= 1
        shares.append(float((opacity > 0.5).mean()))
        again = add_occluder(picture, points, other, np.random.default_rng(seed))
        assert np.array_equal(shown, again[0])
        assert np.array_equal(opacity, again[1])
    assert np.median(shares) > 0.005
    assert max(shares) < 0.9


def test_an_even_wall_is_background_and_a_patterned_one_is_unknown(points):
    even, inside = head(points, np.full(3, 60))
    background = key_background(even, points)
    assert (background[~inside] == 1).mean() > 0.9
    assert not (background[inside] == 1).any()
    patterned, _ = head(points, np.random.default_rng(1).integers(0, 255, (224, 224, 3)))
    assert key_background(patterned, points) is None


def test_a_wall_like_the_skin_is_no_background(points):
    assert key_background(np.full((224, 224, 3), SKIN, np.uint8), points) is None


def test_the_published_file_sees_what_the_checkpoint_does(finished):
    output, published = finished(RECIPES["segmenter"])
    model = load_segmenter(output / "best.safetensors")
    picture = np.random.default_rng(0).integers(0, 255, (1, SIDE, SIDE, 3), np.uint8)
    session = onnxruntime.InferenceSession(published.read_bytes(), providers=["CPUExecutionProvider"])
    wanted = torch.sigmoid(model(torch.from_numpy(picture).permute(0, 3, 1, 2).float() / 255))[0].numpy()
    np.testing.assert_allclose(session.run(None, {"picture": picture})[0], wanted, atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "told"),
    [({"batch": 0}, "--batch 0"), ({"clean": 1.5}, "--clean 1.5"), ({"glasses": ("film/ana",)}, "--glasses")],
)
def test_a_wrong_option_is_told_in_one_line(changes, told, data_of, tmp_path):
    recipe = RECIPES["segmenter"]
    with pytest.raises(UsageError, match=told):
        recipe.train(recipe.make_options(data_of(recipe), tmp_path / "run", **changes))
