"""What the neural renderer learns from: faces that the warp has rendered, and how they really look.

A *re-enactment* takes one frame of a person to the expression of another one of the same person, which is the truth.
An *edit* takes a frame to an emotion, as `cdrl edit` does; nobody knows how that looks, but it should look real.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from cdrl.errors import UsageError
from cdrl.face.bundle import Floats
from cdrl.face.landmarks import Region
from cdrl.manipulation.expression_change import apply_shading
from cdrl.manipulation.manipulator import SHADING_REMOVED, Manipulator
from cdrl.manipulation.personalization import OnnxTranslator, PersonalPrior
from cdrl.manipulation.prior import EXPRESSIVE, EmotionPrior
from cdrl.media import Frame
from cdrl.plan import EditPlan
from cdrl.rendering.mouth_patch import MouthPatch, extract_mouth_patch
from cdrl.rendering.neural import SIDE, describe_rendering
from cdrl.rendering.render import render
from cdrl.training.progress import track
from cdrl.training.training_clips import FrontalClip

_REGION = Region(SIDE / 2, SIDE / 2, SIDE, 0.0)  # prepared pictures are aligned already
_CANDIDATES = 8  # frames of which the one whose expression differs most is taken
_MAX_TURN = 0.15  # norm of the difference of two rotations: the warp has to move a face, not to turn it
_MAX_LIGHT = 14.0  # levels by which two frames' faces differ on average, blurred: more is other light
_BLUR = 12.0  # pixels
_NEIGHBORS = 2  # frames before and after over which an expression is read
_PATCH_FRAMES = 12  # frames in which a mouth with teeth is looked for
_TRIES = 50


@dataclass(frozen=True)
class RenderingExample:
    """A face rendered by the warp, beside a real one."""

    warped: NDArray[np.uint8]
    """RGB [SIDE, SIDE, 3]."""
    maps: Floats
    """[CHANNELS, SIDE, SIDE], see `Conditions`."""
    activity: Floats
    """[SIDE, SIDE], see `Conditions`."""
    real: NDArray[np.uint8]
    """RGB [SIDE, SIDE, 3]: how the face really looks with that expression; for an edit, how it looked before."""


class ClipFaces:
    """A clip's faces as they are rendered."""

    def __init__(self, item: FrontalClip) -> None:
        self.item = item
        self.points: Floats = item.clip.landmarks[:, :, :2].astype(np.float32)
        norms = np.linalg.norm(item.axes, axis=(1, 2), keepdims=True)
        self._turns = item.axes / norms
        self.patch = self._find_patch()

    def _find_patch(self) -> MouthPatch | None:
        """The clearest mouth among some frames."""
        best = None
        for index in np.unique(np.linspace(0, self.item.clip.count - 1, _PATCH_FRAMES).round().astype(int)):
            patch = extract_mouth_patch(Frame.from_rgb(self.item.clip.image(int(index))), self.points[index])
            if patch is not None and (best is None or patch.score > best.score):
                best = patch
        return best

    def turn_to(self, index: int, other: ClipFaces, targets: NDArray[np.intp]) -> Floats:
        """How far a head is turned otherwise in frames of another clip [n], as norms of differences of rotations."""
        difference = other._turns[targets] - self._turns[index]
        return np.asarray(np.linalg.norm(difference, axis=(1, 2)), np.float32)

    def average(self, values: Floats, index: int) -> Floats:
        """Mean of values [T, ...] around a frame."""
        return np.asarray(values[max(index - _NEIGHBORS, 0) : index + _NEIGHBORS + 1].mean(0), np.float32)

    def render(
        self, index: int, displacement: Floats, gain: Floats, real: NDArray[np.uint8]
    ) -> RenderingExample | None:
        """Render a frame; None where its face lies outside the picture.

        Args:
            index: Number of the frame.
            displacement: [478, 2] pixels.
            gain: [SIZE, SIZE] log of luma.
            real: The real picture beside it.
        """
        frame = Frame.from_rgb(self.item.clip.image(index))
        face = render(frame, self.points[index], displacement.astype(np.float32), gain, self.patch)
        if face is None:
            return None
        conditions = describe_rendering(face, _REGION)
        return RenderingExample(frame.rgb(), conditions.maps, conditions.activity, real)


class RenderingSource:
    """Draws re-enactments and edits from clips."""

    def __init__(self, clips: Sequence[FrontalClip], prior: EmotionPrior, console: Console, *, adapts: bool) -> None:
        """Read the clips' landmarks, and find teeth.

        Args:
            clips: The clips.
            prior: Says what emotions do.
            console: Where progress is printed.
            adapts: Whether the translator that ships adapts the prior, which must be the one that ships.
        """
        self._prior = prior
        personalize = PersonalPrior(prior, OnnxTranslator(prior)) if adapts else None
        self.manipulator = Manipulator(prior, EditPlan.parse("happy"), None, personalize)
        self._faces = {id(item): ClipFaces(item) for item in track(clips, "looking for teeth", console)}
        self.people: dict[str, list[ClipFaces]] = defaultdict(list)
        for item in clips:
            self.people[item.person_name].append(self._faces[id(item)])

    @cached_property
    def _names(self) -> dict[bool, list[str]]:
        """Names of the synthetic people, and of the real ones."""
        return {
            synthetic: sorted(n for n, own in self.people.items() if own[0].item.clip.metadata.synthetic == synthetic)
            for synthetic in (False, True)
        }

    def draw_clip(self, random: np.random.Generator, synthetic_share: float) -> ClipFaces:
        """Draw a clip of a person, each person as often as another."""
        synthetic = bool(random.random() < synthetic_share)
        names = self._names[synthetic] or self._names[not synthetic]
        own = self.people[names[random.integers(len(names))]]
        return own[random.integers(len(own))]

    def draw_reenactment(self, random: np.random.Generator, synthetic_share: float = 0.0) -> list[RenderingExample]:
        """Draw a frame that is taken to two consecutive ones of the same person, with another expression.

        Raises:
            UsageError: No two frames of a person in like light and pose were found.
        """
        for _ in range(_TRIES):
            faces = self.draw_clip(random, synthetic_share)
            takes = self.people[faces.item.person_name]
            other = takes[random.integers(len(takes))]
            index = int(random.choice(faces.item.frames))
            targets = random.choice(other.item.frames, _CANDIDATES)
            targets = targets[targets + 1 < other.item.clip.count]
            targets = targets[faces.turn_to(index, other, targets) < _MAX_TURN]
            if not len(targets):
                continue
            change = np.abs(other.item.shapes[targets] - faces.item.shapes[index]).mean((1, 2))
            target = int(targets[change.argmax()])
            examples = [self._reenact(faces, index, other, number) for number in (target, target + 1)]
            if all(example is not None and _is_lit_alike(example) for example in examples):
                return [example for example in examples if example is not None]
        raise UsageError(
            "hardly any two frames of a person show another expression in like light and pose: prepare longer clips"
        )

    def _reenact(self, faces: ClipFaces, index: int, other: ClipFaces, target: int) -> RenderingExample | None:
        before, after = (self._read_gain(*place) for place in ((faces, index), (other, target)))
        gain = apply_shading(after - SHADING_REMOVED * before, faces.item.person.relief)
        displacement = other.points[target] - faces.points[index]
        return faces.render(index, displacement, gain, other.item.clip.image(target))

    def _read_gain(self, faces: ClipFaces, index: int) -> Floats:
        """The shading that goes with what a frame shows."""
        shape = faces.average(faces.item.shapes, index)
        amounts, _ = self._prior.read_expression(shape, faces.average(faces.item.clip.blendshapes, index))
        return np.asarray(self._prior.blend_weights(amounts).gain, np.float32)

    def draw_edits(self, random: np.random.Generator, synthetic_share: float = 0.0) -> list[RenderingExample]:
        """Draw two consecutive frames that are edited to an emotion.

        Raises:
            UsageError: No face was found in its picture.
        """
        for _ in range(_TRIES):
            faces = self.draw_clip(random, synthetic_share)
            start = int(random.choice(faces.item.frames))
            weights = {EXPRESSIVE[random.integers(len(EXPRESSIVE))]: float(random.uniform(0.6, 1.0))}
            frames = [start, min(start + 1, faces.item.clip.count - 1)]
            examples = [self.edit(faces.item, frame, weights) for frame in frames]
            if all(examples):
                return [example for example in examples if example is not None]
        raise UsageError("hardly any face lies in its picture: prepare the clips anew")

    def edit(self, item: FrontalClip, index: int, weights: dict[str, float]) -> RenderingExample | None:
        """Edit a frame as `cdrl edit` does; beside it is the frame itself."""
        displacement, gain = self.manipulator.edit_shape(weights, item.person, item.shapes[index])
        return self._faces[id(item)].render(index, displacement @ item.axes[index], gain, item.clip.image(index))


def _is_lit_alike(example: RenderingExample) -> bool:
    """Whether a rendered face and the real one are in like light."""
    weight = example.activity > 0
    if not weight.any():
        return False
    difference: Any = example.warped.astype(np.float32) - example.real
    blurred = cv2.GaussianBlur(difference * weight[..., None], (0, 0), _BLUR)
    share = np.maximum(cv2.GaussianBlur(weight.astype(np.float32), (0, 0), _BLUR), 1e-3)[..., None]
    return float(np.abs(blurred / share)[weight].mean()) < _MAX_LIGHT
