"""From an adaptation to displacements and shading in PyTorch, for training; the twin of `manipulation.edit` and
`manipulation.prior`, held to them by a parity test."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor, nn

from cdrl.face.apertures import Aperture, lids, lips, without_apertures
from cdrl.face.mesh import region_weights
from cdrl.manipulation import edit
from cdrl.manipulation import prior as fitted
from cdrl.manipulation.person import RELIEF
from cdrl.manipulation.prior import EmotionPrior, Pattern
from cdrl.manipulation.traits import FURTHER


@dataclass(frozen=True)
class Patterns:
    """Of B clips: `offset` and what of it shut lips do without, `eased` [B, 478, 3], and `opening` [B] in cm, `lids`
    [B] log of the lid ratio, `gain` [B, SIZE, SIZE] log of luma."""

    offset: Tensor
    eased: Tensor
    opening: Tensor
    lids: Tensor
    gain: Tensor

    def minus(self, taken: Patterns) -> Patterns:
        """What is left when others are taken out."""
        return Patterns(*(getattr(self, name) - getattr(taken, name) for name in _PARTS))

    def to(self, device: torch.device) -> Patterns:
        """The same on a device."""
        return Patterns(*(getattr(self, name).to(device) for name in _PARTS))

    @classmethod
    def of(cls, patterns: list[Pattern]) -> Patterns:
        """Fixed ones."""
        numbers = [[p.offset, p.eased, p.lip_opening, np.log(p.lid_ratio), p.gain] for p in patterns]
        columns = (np.array(column, np.float32) for column in zip(*numbers, strict=True))
        return cls(*(torch.from_numpy(column) for column in columns))


_PARTS = [part.name for part in fields(Patterns)]


class _Apertures(nn.Module):
    """Pairs of points that open and close, as `face.apertures.Aperture` has them."""

    spread: Tensor

    def __init__(self, aperture: Aperture) -> None:
        super().__init__()
        self.upper, self.lower = aperture.upper.tolist(), aperture.lower.tolist()
        self.register_buffer("spread", torch.from_numpy(aperture.spread), persistent=False)

    def vectors(self, shapes: Tensor) -> Tensor:
        return shapes[..., self.lower, :] - shapes[..., self.upper, :]

    def without(self, displacement: Tensor) -> Tensor:
        return displacement - self.spread @ self.vectors(displacement)


class DifferentiablePrior(nn.Module):
    """A fitted prior as tensors that are not trained."""

    offset: Tensor
    opening: Tensor
    lid: Tensor
    gain: Tensor
    eased: Tensor
    modes: Tensor
    brows: Tensor
    regions: Tensor

    def __init__(self, prior: EmotionPrior) -> None:
        super().__init__()
        self.lips, self.lids = _Apertures(lips()), _Apertures(lids())
        modes = prior.expression * prior.expression_deviation[:, None, None]
        free = np.array([without_apertures(mode) for mode in modes])
        held = {
            "offset": prior.offset, "opening": prior.lip_opening, "lid": np.log(prior.lid_ratio), "gain": prior.gain,
            "eased": (1 - prior.shut)[:, None] * region_weights()["mouth"],
            "modes": free, "brows": region_weights()["brows"], "regions": fitted.region_table(),
        }  # fmt: skip
        for name, values in held.items():
            self.register_buffer(name, torch.from_numpy(np.asarray(values, np.float32)), persistent=False)

    def patterns(self, change: Tensor, amounts: Tensor) -> Patterns:
        """The adapted prior's patterns; `change` [B, e, c + FURTHER]: the parts of an `Adaptation`, in its order;
        `amounts` [B, e], a whole emotion at most."""
        code, strength, (opening, lid, shading) = (
            change[..., :-FURTHER], change[..., -FURTHER:-3], change[..., -3:].unbind(2)
        )  # fmt: skip
        stronger = self.offset * (strength.exp() @ self.regions)[..., None]
        every = self.lids.without(self.lips.without(stronger)) + torch.einsum("bec,cpk->bepk", code, self.modes)
        offset = torch.einsum("be,bepk->bpk", amounts, every)
        eased = torch.einsum("be,ep,bepk->bpk", amounts, self.eased, every)
        gain = torch.einsum("be,eij->bij", amounts * shading.exp(), self.gain)
        return Patterns(
            offset, eased, (amounts * (self.opening + opening)).sum(1), (amounts * (self.lid + lid)).sum(1), gain
        )

    def displacement(self, patterns: Patterns, shapes: Tensor, closed: Tensor) -> Tensor:
        """Displacement [B, T, 478, 3] in cm of pose-free shapes [B, T, 478, 3]; `closed` [B]: see `Person`."""
        opening = self.lips.vectors(shapes).norm(dim=3).mean(2)
        above = (opening - closed[:, None]).clamp(min=0)
        farther = patterns.opening[:, None].clamp(min=-fitted.MOST_CLOSING) * _rise(above / fitted.KNEE, 3)
        share = (farther / opening.clamp(min=fitted.LEAST_OPENING))[..., None, None]
        opened = self.lips.spread @ (share * self.lips.vectors(shapes))
        ratio = self._eye_room(shapes, patterns.lids.exp()[:, None])[..., None, None]
        lidded = self.lids.spread @ ((ratio - 1) * self.lids.vectors(shapes))
        whole = patterns.offset[:, None]
        room = 1 - (1 - fitted.ROOM) * _rise(above / fitted.WIDE, 3)
        offset = whole - (1 - _rise(above / fitted.BACK, 2) * room)[..., None, None] * patterns.eased[:, None]
        moved: Tensor = offset * self._brow_room(shapes, whole)[..., None] + opened + lidded
        return moved

    def coded(self, change: Tensor, opening: Tensor, shapes: Tensor) -> Tensor:
        """Displacement [B, T, 478, 3] in cm of pose-free shapes [B, T, 478, 3] whose codes change by `change` [B, T, c]
        and whose lips open by `opening` [B, T] cm."""
        vectors = self.lips.vectors(shapes)
        wide = vectors.norm(dim=3).mean(2)
        # Lips can be shut and no more.
        share = torch.maximum(opening, -wide) / wide.clamp(min=fitted.LEAST_OPENING)
        moved: Tensor = torch.einsum("btc,cpk->btpk", change, self.modes) + self.lips.spread @ (
            share[..., None, None] * vectors
        )
        return moved

    def _brow_room(self, shapes: Tensor, offset: Tensor) -> Tensor:
        brows, eyelids = fitted.LOW_BROWS, fitted.UPPER_LIDS
        way = (shapes[..., eyelids, 1] - shapes[..., brows, 1]).mean(2)
        asked = (offset[..., brows, 1] - offset[..., eyelids, 1]).mean(2)
        share = asked / way.clamp(min=fitted.LEAST_OPENING)
        over = (share - fitted.BROW_ROOM).clamp(min=0)
        given = fitted.BROW_ROOM + over / (1 + over / fitted.BROW_SOFT)
        kept = torch.where(over > 0, given / share.clamp(min=fitted.BROW_ROOM), torch.ones_like(share))
        return 1 - (1 - kept)[..., None] * self.brows

    def _eye_room(self, shapes: Tensor, ratio: Tensor) -> Tensor:
        sides = [(shapes[..., one, :] - shapes[..., other, :]).norm(dim=2) for one, other in fitted.EYE_CORNERS]
        wide = torch.stack(sides).mean(0).clamp(min=fitted.LEAST_OPENING)
        share = (self.lids.vectors(shapes).norm(dim=3).mean(2) / wide).clamp(min=1e-6)
        over = (ratio * share - fitted.EYE_ROOM).clamp(min=0)
        given = (fitted.EYE_ROOM + over / (1 + over / fitted.EYE_SOFT)) / share
        return torch.where((ratio > 1) & (over > 0), given.clamp(min=1), ratio)

    @staticmethod
    def lit(gain: Tensor, relief: Tensor) -> Tensor:
        """Gains [B, SIZE, SIZE] as they are laid on faces with that relief [B]."""
        depth = (relief / RELIEF).clamp(edit.LEAST_SHADING, 1)[:, None, None]
        light, most = (depth * gain).clamp(min=0), edit.MOST_LIGHT
        return (depth * gain).clamp(max=0) + most * torch.tanh(light / most)


def _rise(x: Tensor, power: int) -> Tensor:
    return x**power / (1 + x**power)
