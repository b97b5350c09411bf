"""The renderer in torch: what the editor renders, with gradients."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cdrl.face.landmarks import BundleDetector  # noqa: E402
from cdrl.face.pose import estimate_pose  # noqa: E402
from cdrl.face.tracking import FaceTracker  # noqa: E402
from cdrl.manipulation.prior import EXPRESSIVE, EmotionPrior  # noqa: E402
from cdrl.media import read  # noqa: E402
from cdrl.rendering.differentiable import render_images  # noqa: E402
from cdrl.rendering.flow import ring_window  # noqa: E402
from cdrl.rendering.render import render  # noqa: E402
from cdrl.rendering.texture import SIZE  # noqa: E402


@pytest.fixture(scope="module")
def frames(sample):
    """A few frames of a real clip and their landmarks."""
    tracker = FaceTracker(BundleDetector())
    found = []
    with read(sample) as reader:
        for frame in reader:
            points = tracker.step(frame).points
            if frame.index % 20 == 0:
                found.append((frame, points))
    return found


def moved(points, emotion, strength=1.0):
    """Displacement [478, 2] and shading of an emotion on a face."""
    pattern = EmotionPrior.load().pattern({emotion: strength})
    pose = estimate_pose(points)
    shift = pose.to_image(pattern.displacement(pose.normalise(points), 0.3))[:, :2]
    return shift.astype(np.float32), pattern.gain


def as_tensors(*arrays):
    return [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays]


@pytest.mark.parametrize("emotion", EXPRESSIVE)
def test_it_renders_what_the_editor_renders(frames, emotion):
    for frame, points in frames:
        shift, gain = moved(points, emotion)
        image = torch.from_numpy(frame.rgb()).permute(2, 0, 1).float() / 255
        found = render_images(image[None], *(part[None] for part in as_tensors(points[:, :2], shift, gain)))[0]
        edited = frame.copy()
        assert render(edited, points[:, :2], shift, gain)
        expected = torch.from_numpy(edited.rgb()).permute(2, 0, 1).float() / 255
        window, _ = ring_window(points[:, :2], points[:, :2] + shift, frame.width, frame.height)
        inside = (slice(None), slice(window.y0, window.y1), slice(window.x0, window.x1))
        error, change = (found - expected)[inside].abs().mean(), (image - expected)[inside].abs().mean()
        assert error < 1 / 255
        assert error < 0.35 * change
        found[inside] = image[inside]
        assert torch.equal(found, image)


def test_gradients_are_those_of_small_changes(frames):
    frame, points = frames[0]
    shift, gain = moved(points, "surprised")
    image = torch.from_numpy(frame.rgb()).permute(2, 0, 1)[None].double() / 255
    # The derivative of a bicubic picture is asked of a smooth one: real noise has kinks at every pixel.
    image = torch.nn.functional.avg_pool2d(image, 9, 1, 4)
    where, start, light = (part[None].double() for part in as_tensors(points[:, :2], shift, gain))
    random = np.random.default_rng(0)
    weights = torch.from_numpy(random.normal(size=image.shape))
    weights = torch.nn.functional.avg_pool2d(weights, 9, 1, 4)

    def value(displacement, gains):
        return (render_images(image, where, displacement, gains) * weights).sum()

    start.requires_grad_(), light.requires_grad_()
    value(start, light).backward()
    # In the cheeks and around the lips: where the ring and the eyeballs hold is not followed.
    inside = np.exp(-np.square(np.linalg.norm(points[:, :2] - points[13, :2], axis=1) / np.ptp(points[:, 0]) / 0.12))
    smooth = torch.from_numpy((random.normal(size=2) + 0.02 * points[:, :2]) * inside[:, None])[None]
    lit = torch.from_numpy(random.normal(size=(1, SIZE, SIZE)))
    for tensor, direction, step in ((start, smooth, 1e-5), (light, lit, 1e-5)):
        with torch.no_grad():
            pair = [
                value(start + sign * step * direction, light) if tensor is start
                else value(start, light + sign * step * direction)
                for sign in (1, -1)
            ]  # fmt: skip
        numeric = (pair[0] - pair[1]) / (2 * step)
        assert (tensor.grad * direction).sum() == pytest.approx(numeric.item(), rel=0.01)


def test_a_face_outside_the_picture_leaves_it(frames):
    image = torch.rand(1, 3, 32, 32)
    far = torch.full((1, 478, 2), 500.0) + torch.rand(1, 478, 2)
    assert torch.equal(render_images(image, far, torch.zeros(1, 478, 2), torch.zeros(1, SIZE, SIZE)), image)
