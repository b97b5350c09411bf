"""The renderer on tensors, for training: the editor's warp and shading with gradients to displacements and gains.

Flow and shading are those of `cdrl.rendering`; only the pixel kernels are PyTorch's. Which triangle of the mesh lies
over a node, what the margin takes from the face, and how far the flow reaches into an eye carry no gradient; where a
pixel comes from and how it is shaded do. What lies between the lips is warped: teeth are neither exchanged nor kept as
tall as they are. So are eyeballs that lids uncover.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from cdrl.arrays import match_array
from cdrl.manipulation.expression_change import ExpressionChange
from cdrl.manipulation.prior import EmotionPrior, array_names
from cdrl.rendering.eyes import damp_flow_in_eyes
from cdrl.rendering.flow import Flow, build_warp_grid
from cdrl.rendering.texture import SIZE, texture_points
from cdrl.rendering.warp import split_gain

_LUMA = (0.299, 0.587, 0.114)


def prior_to_tensors(prior: EmotionPrior, device: torch.device) -> EmotionPrior:
    """Return a prior whose arrays are tensors that are not trained."""
    tensors: dict[str, Any] = {name: torch.from_numpy(getattr(prior, name)).to(device) for name in array_names()}
    return replace(prior, **tensors)


def stack_changes(changes: Sequence[ExpressionChange], device: torch.device) -> ExpressionChange:
    """Return a batch, of float32 tensors, of changes of one face each."""
    columns = [np.array([getattr(change, part.name) for change in changes]) for part in fields(ExpressionChange)]
    return ExpressionChange(*(torch.from_numpy(column.astype(np.float32)).to(device) for column in columns))


def render_images(images: Tensor, points: Tensor, displacement: Tensor, gain: Tensor) -> Tensor:
    """Render expressions into images; gradients reach `images`, `displacement` and `gain`.

    Args:
        images: [B, 3, h, w] RGB in [0, 1].
        points: [B, 478, 2] landmarks, pixels.
        displacement: [B, 478, 2] how far each moves, pixels.
        gain: [B, SIZE, SIZE] log of luma, in texture space.

    Returns:
        [B, 3, h, w]; an image whose face lies outside it stays as it is.
    """
    parts = zip(images, points, displacement, gain, strict=True)
    return torch.stack([_render(*part) for part in parts])


def _render(image: Tensor, points: Tensor, displacement: Tensor, gain: Tensor) -> Tensor:
    source, moved = (part.detach().cpu().numpy().astype(np.float32) for part in (points, displacement))
    grid = build_warp_grid(source, source + moved, image.shape[2], image.shape[1])
    if grid is None:
        return image
    flow = grid.follow_points(points + displacement).flow(displacement)
    window = flow.window
    eyes = np.ones((window.height, window.width, 1), np.float32)
    damp_flow_in_eyes(eyes, window, (1, 1), source, source + moved)
    shift = _resample(flow.shift.permute(2, 0, 1), window.height, window.width) * match_array(eyes[..., 0], image)
    rows, columns = slice(window.y0, window.y1), slice(window.x0, window.x1)
    pixels = _warp(image[:, rows, columns], shift)
    luma = (pixels * pixels.new_tensor(_LUMA)[:, None, None]).sum(0, keepdim=True)
    shading = _resample(_project_texture(gain, flow).exp()[None], window.height, window.width)
    luma_gain, chroma_gain = split_gain(shading)
    result = image.clone()
    result[:, rows, columns] = (luma_gain * luma + chroma_gain * (pixels - luma)).clamp(0, 1)
    return result


def _project_texture(texture: Tensor, flow: Flow) -> Tensor:
    """Sample a map of texture space [SIZE, SIZE] on a flow's grid [h, w]; 0 outside the face."""
    texels = flow.coverage.interpolate(match_array(texture_points(), texture)) * (2 / (SIZE - 1)) - 1
    values = functional.grid_sample(
        texture[None, None], texels[None, None], padding_mode="border", align_corners=True
    ).flatten()
    grid = values.new_zeros(flow.falloff.size)
    grid[flow.coverage.nodes] = values
    return grid.reshape(flow.falloff.shape)


def _resample(values: Tensor, height: int, width: int) -> Tensor:
    """Interpolate values [c, h, w] at the centers of equal cells to the pixels of the same area, bilinear."""
    return functional.interpolate(values[None], (height, width), mode="bilinear")[0]


def _warp(pixels: Tensor, shift: Tensor) -> Tensor:
    """Take pixels [3, h, w] from where `shift` [2, h, w] says, bicubic; the edges extend."""
    height, width = pixels.shape[1:]
    y, x = torch.meshgrid(
        torch.arange(height, device=pixels.device), torch.arange(width, device=pixels.device), indexing="ij"
    )
    place = torch.stack([(x + shift[0]) * (2 / (width - 1)) - 1, (y + shift[1]) * (2 / (height - 1)) - 1], 2)
    return functional.grid_sample(
        pixels[None], place[None].to(pixels.dtype), mode="bicubic", padding_mode="border", align_corners=True
    )[0]
