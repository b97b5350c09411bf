"""The renderer in PyTorch, for training: the same warp and shading, with gradients to displacements and gains.

Which triangle of the mesh lies over a node, what the ring takes from the face, and where an eyeball holds are decided
as the renderer decides them and carry no gradient; where a pixel comes from and how it is lit do. The interior of the
mouth is not exchanged. Held to `cdrl.rendering.render` by a parity test.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cdrl.rendering.eyes import held
from cdrl.rendering.flow import Layout, Window, layout
from cdrl.rendering.texture import SIZE, texture_points

_LUMA = (0.299, 0.587, 0.114)


def render_images(images: Tensor, points: Tensor, displacement: Tensor, gain: Tensor) -> Tensor:
    """Images RGB in [0, 1], [B, 3, h, w], with their faces moved and lit anew, [B, 3, h, w].

    `points`, `displacement` [B, 478, 2]: landmarks and where they should go, pixels; `gain` [B, SIZE, SIZE]: log of
    luma in texture space. Gradients reach `displacement`, `gain` and `images`. A face outside its picture leaves the
    picture as it is.
    """
    parts = zip(images, points, displacement, gain, strict=True)
    return torch.stack([_render(*part) for part in parts])


def _render(image: Tensor, points: Tensor, displacement: Tensor, gain: Tensor) -> Tensor:
    source, moved = (part.detach().cpu().numpy().astype(np.float32) for part in (points, displacement))
    found = layout(source, source + moved, image.shape[2], image.shape[1])
    if found is None:
        return image
    window = found.window
    vertices = torch.from_numpy(found.coverage.vertices.astype(np.int64)).to(image.device)
    weights = _weights(found, vertices, points + displacement)
    nearest = torch.from_numpy(found.nearest).to(image.device)
    fade = torch.from_numpy(found.fade).to(image.device, image.dtype)
    size = (window.height, window.width)

    shift = -(weights[..., None] * displacement[vertices]).sum(1)
    shift = shift[nearest].T.reshape(1, 2, *fade.shape) * fade
    full = functional.interpolate(shift, size, mode="bilinear")[0] * _eye_share(window, source, source + moved, image)

    texels = (weights[..., None] * _texture_points(image)[vertices]).sum(1) * (2 / (SIZE - 1)) - 1
    lit = functional.grid_sample(gain[None, None], texels[None, None], padding_mode="border", align_corners=True)
    light = lit.new_zeros(fade.numel())
    light[torch.from_numpy(found.coverage.nodes).to(image.device)] = lit.flatten()
    light = functional.interpolate(light.exp().reshape(1, 1, *fade.shape), size, mode="bilinear")[0]

    rows, columns = slice(window.y0, window.y1), slice(window.x0, window.x1)
    pixels = _moved(image[:, rows, columns], full)
    luma = (pixels * torch.tensor(_LUMA, device=image.device, dtype=image.dtype)[:, None, None]).sum(0, keepdim=True)
    # Skin in a fold is darker and not greyer, so its chroma stays; lit skin keeps its saturation.
    changed = light * luma + light.clamp(min=1) * (pixels - luma)
    result = image.clone()
    result[:, rows, columns] = changed.clamp(0, 1)
    return result


def _weights(found: Layout, vertices: Tensor, target: Tensor) -> Tensor:
    """Barycentric weights [n, 3] of the covered nodes in the moved landmarks [478, 2]."""
    window, coverage = found.window, found.coverage
    cells = target.new_tensor([coverage.width / window.width, coverage.height / window.height])
    grid = (target - target.new_tensor([window.x0, window.y0]) + 0.5) * cells - 0.5
    y, x = np.divmod(coverage.nodes, coverage.width)
    node = torch.from_numpy(np.stack([x, y], 1)).to(target.device, target.dtype)
    a, b, c = (grid[vertices[:, k]] for k in range(3))
    ab, ac, an = b - a, c - a, node - a
    area = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
    beta = (an[:, 0] * ac[:, 1] - an[:, 1] * ac[:, 0]) / area
    gamma = (ab[:, 0] * an[:, 1] - ab[:, 1] * an[:, 0]) / area
    return torch.stack([1 - beta - gamma, beta, gamma], 1)


def _moved(pixels: Tensor, shift: Tensor) -> Tensor:
    """Pixels [3, h, w] taken from where `shift` [2, h, w] says, bicubic, the edges held."""
    height, width = pixels.shape[1:]
    y, x = torch.meshgrid(
        torch.arange(height, device=pixels.device), torch.arange(width, device=pixels.device), indexing="ij"
    )
    place = torch.stack([(x + shift[0]) * (2 / (width - 1)) - 1, (y + shift[1]) * (2 / (height - 1)) - 1], 2)
    return functional.grid_sample(
        pixels[None], place[None].to(pixels.dtype), mode="bicubic", padding_mode="border", align_corners=True
    )[0]


def _eye_share(window: Window, source: np.ndarray, target: np.ndarray, like: Tensor) -> Tensor:
    """[h, w]: the share of the flow that eyeballs leave."""
    share = np.ones((window.height, window.width), np.float32)
    for rows, columns, left in held(share.shape, window, (1, 1), source, target):
        share[rows, columns] *= left
    return torch.from_numpy(share).to(like.device, like.dtype)


@cache
def _texels() -> Tensor:
    return torch.from_numpy(texture_points())


def _texture_points(like: Tensor) -> Tensor:
    return _texels().to(like.device, like.dtype)
