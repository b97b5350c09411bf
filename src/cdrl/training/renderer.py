"""Trains the neural renderer: by re-enactment within people, and by edits that are to look real.

The paper's backbone ends in a renderer that is trained with the content loss; here both representations supervise it,
beside the differences from real frames (pixels, maps of frozen networks), a discriminator of patches, and steadiness.
A re-enactment has a truth, but no re-enactment is as large as an edit; so edits of real frames take part as well, and
are asked to look real, to say what the source says, and to show the emotion.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from cdrl.datasets.prepared import PreparedDataset
from cdrl.errors import UsageError
from cdrl.manipulation.prior import EXPRESSIVE
from cdrl.rendering.neural import CHANNELS, SIDE
from cdrl.representations.checkpoints import load_into, load_model
from cdrl.training.distributed import World
from cdrl.training.loop import choose_precision
from cdrl.training.options import RendererOptions
from cdrl.training.people import list_trained, open_data, record_people
from cdrl.training.recipe import recipe_settings, train_recipe
from cdrl.training.reenactment import RenderingExample, RenderingSource
from cdrl.training.release import check_target
from cdrl.training.renderer_networks import (
    ARCHITECTURE,
    PatchDiscriminator,
    PerceptualDistance,
    RendererConfig,
    RendererNetwork,
    export_onnx,
    load_renderer,
)
from cdrl.training.supervised_data import ClipBatch, SupervisedDataset, TrainingMoment

_EXPOSURE, _LIGHT = 0.25, 0.08  # deviations of the logs of random factors on all colors, and on each
_FEATURES = 1.0  # how much pixels around mouth, lids and brows count beside all others, twice
_WIDE = 15  # pixels around contours that count as theirs
VALIDATION_PAIRS = 40
_VALIDATION_MOMENTS = 6  # each with another emotion
_EPSILON = 1e-6
_FAINT = 0.005  # of 1: detail below that is noise


def train_renderer(options: RendererOptions) -> None:
    """Train the neural renderer.

    Raises:
        CdrlError: An option, the data or the folder of the run is wrong.
    """
    check_target(options.release.publish, options.release.overwrite)
    data = open_data(options)
    train_recipe(
        "renderer",
        options,
        lambda world: RendererTask(options, data, world),
        lambda best: export_onnx(load_renderer(best)),
    )


@dataclass(frozen=True)
class _Batch:
    """Examples as tensors."""

    warped: Tensor
    """[B, 3, SIDE, SIDE]."""
    maps: Tensor
    """[B, CHANNELS, SIDE, SIDE]."""
    activity: Tensor
    """[B, 1, SIDE, SIDE]."""
    real: Tensor
    """[B, 3, SIDE, SIDE]."""

    def weigh_pixels(self) -> Tensor:
        """How much every pixel counts, [B, 1, SIDE, SIDE], 1 in all."""
        near = functional.max_pool2d(self.maps[:, 3:5].amax(1, keepdim=True), _WIDE, 1, _WIDE // 2)
        weight = self.activity * (1 + _FEATURES * (near + self.maps[:, 4:5]))
        return weight / weight.sum((1, 2, 3), keepdim=True).clamp(min=_EPSILON)


class RendererTask:
    """The renderer, its examples and its losses; see `cdrl.training.loop.TrainingTask`."""

    rate_factors: Mapping[str, float] = {"discriminator": 2.0}

    def __init__(self, options: RendererOptions, data: PreparedDataset, world: World) -> None:
        """Find the clips, and load the frozen networks.

        Raises:
            UsageError: The data do not suffice, or an option is wrong.
            InputError: The checkpoint to start from is another one.
        """
        self.options, self.world = options, world
        for name in ("pairs", "edits"):
            if getattr(options, name) < 1:
                raise UsageError(f"--{name} {getattr(options, name)}: at least one is needed")
        if not 0 <= options.synthetic <= 1:
            raise UsageError(f"--synthetic {options.synthetic:g}: a share, from 0 to 1")
        self.dataset = SupervisedDataset(
            options.supervision, data, options.cache, world.device, quiet=not world.is_main
        )
        prior = self.dataset.fitted
        adapts = options.supervision.prior is None
        self.source, self._validation_source = (
            RenderingSource(clips, prior, world.console, adapts=adapts)
            for clips in (self.dataset.train, self.dataset.validation)
        )
        recorded = record_people(data.people, list_trained(data, options.supervision.exclude))
        self.settings = recipe_settings(options, data.digest, prior=prior.sha256, split_people=recorded)
        if not options.widths or any(width < 8 or width % 8 for width in options.widths):
            raise UsageError(f"--widths {' '.join(map(str, options.widths))}: multiples of 8")
        network = RendererNetwork(RendererConfig(options.widths))
        if options.start is not None:
            load_into(network, load_model(options.start, ARCHITECTURE)[0], options.start)
        self.model = nn.ModuleDict({"renderer": network, "discriminator": PatchDiscriminator()}).to(world.device)
        self.perceptual = PerceptualDistance().to(world.device)
        random = np.random.default_rng(0)
        source = self._validation_source
        self._validation = [e for _ in range(VALIDATION_PAIRS) for e in source.draw_reenactment(random)[:1]]
        self._validation_edits = [e for _ in range(VALIDATION_PAIRS) for e in source.draw_edits(random)]
        people = len(self.source.people)
        self.data_summary = f"{len(self.dataset.train)} clips, {people} people"

    def loss(self, step: int, world: World) -> dict[str, Tensor]:
        """Compute the terms of a step; every process computes its slice of the batch."""
        options = self.options
        pairs, edits = self._draw(step, world)
        count = len(pairs.warped)
        warped, activity = (torch.cat([getattr(b, n) for b in (pairs, edits)]) for n in ("warped", "activity"))
        images = warped + activity * self._predict(warped, torch.cat([pairs.maps, edits.maps])).float()
        own, edited = images[:count], images[count:]
        truth = torch.lerp(pairs.warped, pairs.real, (pairs.activity > 0).float())
        with torch.autocast(world.device.type, enabled=False):
            difference = (own - truth).abs().mean(1, keepdim=True)
            change = _consecutive(own - pairs.real).abs().mean(1, keepdim=True)
            flicker = _consecutive(edited - edits.warped).abs().mean(1, keepdim=True)
            terms = {
                "pixels": (difference * pairs.weigh_pixels()).sum((1, 2, 3)).mean(),
                "temporal": (change * pairs.weigh_pixels()[::2]).sum((1, 2, 3)).mean() + flicker.mean(),
                "residual": (edited - edits.warped).abs().mean(),
            }
            terms["texture"] = (_measure_texture(own) - _measure_texture(truth)).abs().mean()
        terms["perceptual"] = self.perceptual(own, truth).mean()
        terms["discriminator"], terms["adversarial"] = self._compete(images, truth, activity)
        loss = (
            options.pixel_weight * terms["pixels"]
            + options.perceptual_weight * terms["perceptual"]
            + options.texture_weight * terms["texture"]
            + options.temporal_weight * terms["temporal"]
            + options.residual_weight * terms["residual"]
            + options.adversarial_weight * terms["adversarial"]
            + terms["discriminator"]
        )
        if options.supervision.supervised:
            random = np.random.default_rng((options.loop.seed, step, 1))
            moments = [self.dataset.draw_moment(random) for _ in range(options.supervision.clips)]
            moments = moments[world.slice(len(moments))]
            supervised, more = self.dataset.supervise(moments, partial(self._generate, moments, self.source))
            loss, terms = loss + supervised, terms | more
        return {"loss": loss, **terms}

    def _draw(self, step: int, world: World) -> tuple[_Batch, _Batch]:
        """Re-enactments and edits of a step, in pairs of consecutive frames, which are lit and mirrored alike."""
        options, source = self.options, self.source

        def draw(kind: int, wanted: int, from_source: Callable[..., list[RenderingExample]]) -> _Batch:
            examples, light, mirrored = [], np.ones((0, 3)), np.zeros(0, bool)
            for number in range(wanted)[world.slice(wanted)]:
                random = np.random.default_rng((options.loop.seed, step, kind, number))
                examples += from_source(random, options.synthetic)
                drawn = _EXPOSURE * random.standard_normal() + _LIGHT * random.standard_normal((1, 3))
                light = np.append(light, np.exp(drawn).repeat(2, 0), 0)
                mirrored = np.append(mirrored, np.full(2, random.random() < 0.5))
            return _mirror(_relight(self._stack(examples), light), mirrored)

        return draw(0, options.pairs, source.draw_reenactment), draw(1, options.edits, source.draw_edits)

    def _stack(self, examples: Sequence[RenderingExample]) -> _Batch:
        device = self.world.device

        def pictures(name: str) -> Tensor:
            stacked = np.stack([getattr(e, name) for e in examples])
            return torch.from_numpy(stacked).to(device).permute(0, 3, 1, 2).float() / 255

        def planes(name: str, channels: int) -> Tensor:
            stacked = [getattr(e, name).reshape(channels, SIDE, SIDE) for e in examples]
            return torch.from_numpy(np.stack(stacked).astype(np.float32)).to(device)

        return _Batch(pictures("warped"), planes("maps", CHANNELS), planes("activity", 1), pictures("real"))

    def _predict(self, warped: Tensor, maps: Tensor) -> Tensor:
        result: Tensor = self.model["renderer"](warped, maps)
        return result

    def _compete(self, images: Tensor, truth: Tensor, activity: Tensor) -> tuple[Tensor, Tensor]:
        """The discriminator's loss, and the renderer's, where faces are edited: least squares (Mao et al., 2017).

        The discriminator learns from re-enactments alone, the first of the images, beside the same face as it really
        looks: of edits beside calm faces it would learn that an expression is not real.
        """
        discriminator = self.model["discriminator"]
        weight = functional.avg_pool2d(activity, 8)
        weight = weight / weight.sum((1, 2, 3), keepdim=True).clamp(min=_EPSILON)
        count = len(truth)
        scores = discriminator(torch.cat([truth, images[:count].detach()])).float()
        misses = (scores[:count] - 1).square() + (scores[count:] + 1).square()
        fixed = {name: value.detach() for name, value in discriminator.named_parameters()}
        judged: Tensor = functional_call(discriminator, fixed, (images,)).float()
        own = (misses * weight[:count]).sum((1, 2, 3)).mean()
        return 0.5 * own, ((judged - 1).square() * weight).sum((1, 2, 3)).mean()

    def _generate(self, moments: Sequence[TrainingMoment], source: RenderingSource, _: ClipBatch) -> Tensor:
        """Edit and render moments of clips of a source, [B, T, 3, SIDE, SIDE]."""
        length = self.options.supervision.length
        examples = []
        for moment in moments:
            weights = {EXPRESSIVE[moment.emotion]: 1.0}
            for index in range(moment.start, moment.start + length):
                example = source.edit(moment.clip, index, weights)
                if example is None:
                    raise UsageError(f"{moment.clip.clip!r}: a face lies outside its picture; prepare it anew")
                examples.append(example)
        batch = self._stack(examples)
        precision = choose_precision(self.options.loop, self.world)
        with torch.autocast(self.world.device.type, precision, enabled=precision is not torch.float32):
            residual = self._predict(batch.warped, batch.maps).float()
        # Supervision moves luma alone: colors that a representation takes for an expression, no eye would.
        luma = residual.mean(1, keepdim=True)
        residual = luma + (residual - luma).detach()
        images = (batch.warped + batch.activity * residual).clamp(0, 1)
        return images.reshape(len(moments), length, *images.shape[1:])

    def validate(self) -> dict[str, float]:
        """Measure, on validation people, how much nearer to the real frames the network comes than the warp.

        Returns:
            Ratios to the warp's of distances to the real frames (`pixels`, `perceptual`) and of how sharp the face is
            (`sharpness`, beside `sharpness_warp`, over the real frames'); `residual`, the mean difference in edits, in
            levels; `looks_real`, the discriminator's score of edits less that of the warp; the supervised terms of
            edits; `score`, less what is minimized of all that.
        """
        measures: dict[str, list[float]] = defaultdict(list)
        for example in self._validation:
            batch = self._stack([example])
            image = batch.warped + batch.activity * self._predict(batch.warped, batch.maps).float()
            truth = torch.lerp(batch.warped, batch.real, (batch.activity > 0).float())
            for name, picture in (("", image), ("_warp", batch.warped)):
                measures[f"pixels{name}"].append(float(((picture - truth).abs() * batch.weigh_pixels()).sum() / 3))
                measures[f"perceptual{name}"].append(float(self.perceptual(picture, truth)))
                measures[f"sharpness{name}"].append(_measure_sharpness(picture, batch.activity))
            measures["sharpness_real"].append(_measure_sharpness(truth, batch.activity))
        for example in self._validation_edits:
            batch = self._stack([example])
            image = batch.warped + batch.activity * self._predict(batch.warped, batch.maps).float()
            measures["residual"].append(255 * float((image - batch.warped).abs().mean()))
            weight = functional.avg_pool2d(batch.activity, 8)
            scores = (
                (self.model["discriminator"](picture) * weight).sum() / weight.sum().clamp(min=_EPSILON)
                for picture in (image, batch.warped)
            )
            measures["looks_real"].append(float(next(scores) - next(scores)))
        means = {name: float(np.mean(values)) for name, values in measures.items()}
        objective = self.options.pixel_weight * means["pixels"] + self.options.perceptual_weight * means["perceptual"]
        supervised = self._supervise_validation() if self.options.supervision.supervised else {}
        objective += supervised.pop("loss", 0.0)
        return {
            "score": -objective,
            "perceptual": means["perceptual"] / means["perceptual_warp"],
            "pixels": means["pixels"] / means["pixels_warp"],
            "sharpness": means["sharpness"] / means["sharpness_real"],
            "sharpness_warp": means["sharpness_warp"] / means["sharpness_real"],
            "residual": means["residual"],
            "looks_real": means["looks_real"],
            **supervised,
        }

    def _supervise_validation(self) -> dict[str, float]:
        """The supervised terms of edits of validation people, and their weighted sum as "loss"."""
        random = np.random.default_rng(0)
        clips = self.dataset.validation
        measures: dict[str, list[float]] = defaultdict(list)
        for number in range(_VALIDATION_MOMENTS):
            clip = clips[number * len(clips) // _VALIDATION_MOMENTS]
            moments = [self.dataset.make_moment(clip, number % len(EXPRESSIVE), random)]
            loss, terms = self.dataset.supervise(moments, partial(self._generate, moments, self._validation_source))
            for name, value in {"loss": loss, **terms}.items():
                measures[name].append(float(value))
        return {name: float(np.mean(values)) for name, values in measures.items()}

    def export(self) -> tuple[dict[str, Tensor], str, dict[str, Any]]:
        """Return the renderer."""
        network: Any = self.model["renderer"]
        return network.state_dict(), ARCHITECTURE, asdict(network.config)


def _consecutive(images: Tensor) -> Tensor:
    """The differences of pairs of consecutive frames [2n, 3, h, w], [n, 3, h, w]."""
    return images[1::2] - images[::2]


def _relight(batch: _Batch, light: NDArray[np.floating]) -> _Batch:
    """Multiply the colors of the pictures by `light` [B, 3]."""
    factor = torch.from_numpy(light.astype(np.float32)).to(batch.warped.device)[:, :, None, None]
    warped, real = ((images * factor).clamp(0, 1) for images in (batch.warped, batch.real))
    return replace(batch, warped=warped, real=real)


def _mirror(batch: _Batch, mirrored: NDArray[np.bool_]) -> _Batch:
    """Mirror the examples where `mirrored` [B] says so; shifts across change their sign."""
    where = torch.from_numpy(mirrored).to(batch.warped.device)[:, None, None, None]
    maps = batch.maps.flip(3)
    maps = torch.cat([-maps[:, :1], maps[:, 1:]], 1)
    parts = (batch.warped.flip(3), maps, batch.activity.flip(3), batch.real.flip(3))
    own = (batch.warped, batch.maps, batch.activity, batch.real)
    return _Batch(*(torch.where(where, other, part) for other, part in zip(parts, own, strict=True)))


def _find_edges(images: Tensor) -> Tensor:
    """The Laplacian of luma [B, 1, h, w]."""
    luma = images.mean(1, keepdim=True)
    kernel = luma.new_tensor([[0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None]
    return functional.conv2d(luma, kernel, padding=1)


def _measure_texture(images: Tensor) -> Tensor:
    """How much fine detail there is around each place, wherever it lies: [B, 1, h / 4, w / 4]."""
    return (functional.avg_pool2d(_find_edges(images).square(), 8, 4, 2) + _FAINT**2).sqrt()


def _measure_sharpness(images: Tensor, weight: Tensor) -> float:
    """The variance of the Laplacian of luma where `weight` is."""
    return float((_find_edges(images).square() * weight).sum() / weight.sum().clamp(min=_EPSILON))
