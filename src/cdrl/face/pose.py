"""Head pose: the 3-D similarity between a frame's landmarks and a reference shape, on points no expression moves."""

from dataclasses import dataclass

import numpy as np

from cdrl.face.bundle import Floats
from cdrl.face.mesh import RIGID, canonical_points


@dataclass(frozen=True)
class Pose:
    """`points ≈ scale · shape @ rotationᵀ + translation`: pixels per centimetre, [3, 3], [3] in pixels."""

    scale: float
    rotation: Floats
    translation: Floats

    def to_image(self, displacement: Floats) -> Floats:
        """Displacements [..., 3] of the pose-free shape (cm) as displacements in the picture [..., 3] (pixels)."""
        turned: Floats = displacement @ (self.scale * self.rotation).T
        return turned

    def normalize(self, points: Floats) -> Floats:
        """Landmarks [478, 3] in pixels → pose-free shape [478, 3] in centimetres."""
        shape: Floats = (points - self.translation) @ self.rotation / self.scale
        return shape

    @property
    def yaw(self) -> float:
        """Degrees the head is turned about the vertical: 0 frontal, ±90 profile."""
        return float(np.degrees(np.arcsin(np.clip(-self.rotation[2, 0], -1, 1))))

    @property
    def pitch(self) -> float:
        """Degrees the head nods."""
        return float(np.degrees(np.arctan2(-self.rotation[2, 1], self.rotation[2, 2])))

    @property
    def roll(self) -> float:
        """Degrees the head leans to a shoulder."""
        return float(np.degrees(np.arctan2(self.rotation[1, 0], self.rotation[0, 0])))


def estimate_pose(points: Floats, reference: Floats | None = None) -> Pose:
    """The similarity (Umeyama 1991) that takes `reference` [478, 3] (default: the canonical face) onto the landmarks
    [478, 3], least squares over the rigid points."""
    index = list(RIGID)
    source = (canonical_points() if reference is None else reference)[index].astype(np.float64)
    target = points[index].astype(np.float64)
    source_mean, target_mean = source.mean(0), target.mean(0)
    u, s, vt = np.linalg.svd((target - target_mean).T @ (source - source_mean))
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = u * sign @ vt
    scale = float((s * sign).sum() / np.square(source - source_mean).sum())
    translation = target_mean - scale * rotation @ source_mean
    return Pose(scale, rotation.astype(np.float32), translation.astype(np.float32))
