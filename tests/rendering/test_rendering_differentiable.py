"""The renderer on tensors: what the editor renders, with gradients."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from face_factory import locate_landmarks  # noqa: E402
from torch.autograd import gradcheck  # noqa: E402

from cdrl.face.landmarks import BundleDetector  # noqa: E402
from cdrl.face.pose import estimate_pose  # noqa: E402
from cdrl.manipulation.prior import EXPRESSIVE, EmotionPrior  # noqa: E402
from cdrl.media import Frame, PixelFormat, read  # noqa: E402
from cdrl.rendering.flow import build_warp_grid, falloff_window  # noqa: E402
from cdrl.rendering.render import render  # noqa: E402
from cdrl.rendering.texture import SIZE, project_texture  # noqa: E402
from cdrl.training import differentiable_rendering  # noqa: E402
from cdrl.training.differentiable_rendering import render_images  # noqa: E402

EXACT = PixelFormat("yuv444p16le", 16, 1, 1, full_range=True)  # neither chroma nor rounding stands in the way
TO_YUV = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
SHARE = 0.01  # of the change


@pytest.fixture(scope="module")
def faces(sample):
    """A few frames [h, w, 3] of a real clip, RGB in [0, 1], and their landmarks [478, 3]."""
    detector = BundleDetector()
    with read(sample) as reader:
        frames = [frame for frame in reader if frame.index % 20 == 0]
    return [(frame.rgb() / 255, locate_landmarks(detector, frame)) for frame in frames]


def edit(points, emotion, strength=1.0):
    """Displacement [478, 2] and shading of an emotion on a face."""
    change = EmotionPrior.load().blend_emotions({emotion: strength})
    pose = estimate_pose(points)
    shift = pose.to_image(change.compute_displacement(pose.normalize(points), 0.3, 0.9))[:, :2]
    return shift.astype(np.float32), change.gain


def batch(*arrays):
    return [torch.from_numpy(np.array(array, np.float64))[None] for array in arrays]


def rendered_by_the_editor(image, points, shift, gain):
    """RGB in [0, 1] after rendering 16-bit planes in place."""
    yuv = image @ TO_YUV.T * EXACT.maximum + [0, EXACT.chroma_zero, EXACT.chroma_zero]
    frame = Frame(tuple(np.round(yuv).clip(0, EXACT.maximum).astype(np.uint16).transpose(2, 0, 1).copy()), EXACT)
    assert render(frame, points[:, :2], shift, gain)
    yuv = (np.stack(frame.planes, 2) - [0, EXACT.chroma_zero, EXACT.chroma_zero]) / EXACT.maximum
    return (yuv @ np.linalg.inv(TO_YUV).T).clip(0, 1)


@pytest.mark.parametrize("emotion", EXPRESSIVE)
def test_it_renders_what_the_editor_renders_but_for_teeth_and_eyeballs(faces, emotion, monkeypatch):
    monkeypatch.setattr("cdrl.rendering.render.fill_mouth", lambda *_: None)
    monkeypatch.setattr("cdrl.rendering.render.expose_eyeballs", lambda *_: None)
    for image, points in faces:
        shift, gain = edit(points, emotion)
        made = render_images(batch(image.transpose(2, 0, 1))[0], *batch(points[:, :2], shift, gain))[0].numpy()
        made = made.transpose(1, 2, 0)
        wanted = rendered_by_the_editor(image, points, shift, gain)
        window, _ = falloff_window(points[:, :2], points[:, :2] + shift, image.shape[1], image.shape[0])
        inside = slice(window.y0, window.y1), slice(window.x0, window.x1)
        assert np.abs(made - wanted)[inside].mean() <= SHARE * np.abs(wanted - image)[inside].mean()
        made[inside] = image[inside]
        assert np.array_equal(made, image)


@pytest.mark.parametrize("emotion", EXPRESSIVE)
def test_flow_and_shading_are_the_editor_s(faces, emotion):
    image, points = faces[0]
    shift, gain = edit(points, emotion)
    grid = build_warp_grid(points[:, :2], points[:, :2] + shift, image.shape[1], image.shape[0])
    flow = grid.flow(shift)
    where, move, light = (part[0] for part in batch(points[:, :2], shift, gain))
    followed = grid.follow_points(where + move).flow(move)
    assert np.abs(followed.shift.numpy() - flow.shift).max() <= SHARE * np.abs(flow.shift).max()
    shading = differentiable_rendering._project_texture(light, followed).numpy()
    assert np.abs(shading - project_texture(gain, flow)).max() <= SHARE * np.abs(gain).max()


def test_gradients_of_the_flow_are_those_of_small_changes(faces):
    image, points = faces[0]
    shift, _ = edit(points, "surprised")
    grid = build_warp_grid(points[:, :2], points[:, :2] + shift, image.shape[1], image.shape[0])
    where, move = (part[0] for part in batch(points[:, :2], shift))
    flow = lambda displacement: grid.follow_points(where + displacement).flow(displacement).shift  # noqa: E731
    assert gradcheck(flow, move.requires_grad_(), fast_mode=True)


def test_gradients_are_those_of_small_changes(faces):
    image, points = faces[0]
    shift, gain = edit(points, "surprised")
    # The derivative of a bicubic picture is asked of a smooth one: real noise has kinks at every pixel.
    image = torch.nn.functional.avg_pool2d(batch(image.transpose(2, 0, 1))[0], 9, 1, 4)
    where, start, light = batch(points[:, :2], shift, gain)
    random = np.random.default_rng(0)
    weights = torch.from_numpy(random.normal(size=image.shape))
    weights = torch.nn.functional.avg_pool2d(weights, 9, 1, 4)

    def value(displacement, gains):
        return (render_images(image, where, displacement, gains) * weights).sum()

    start.requires_grad_(), light.requires_grad_()
    value(start, light).backward()
    # In the cheeks and around the lips: how far margin and eyes reach is not followed.
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


def test_a_face_outside_the_picture_leaves_it():
    image = torch.rand(1, 3, 32, 32)
    far = torch.full((1, 478, 2), 500.0) + torch.rand(1, 478, 2)
    assert torch.equal(render_images(image, far, torch.zeros(1, 478, 2), torch.zeros(1, SIZE, SIZE)), image)
