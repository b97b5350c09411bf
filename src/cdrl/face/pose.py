"""Head pose: the 3-D similarity between a frame's landmarks and a reference shape, on points no expression moves."""

from dataclasses import dataclass

import numpy as np

from cdrl.face.bundle import Floats
from cdrl.face.mesh import RIGID_POINTS, canonical_points


@dataclass(frozen=True)
class Pose:
    """A similarity: `points ≈ scale · shape @ rotationᵀ + translation`."""

    scale: float
    """Pixels per centimeter."""
    rotation: Floats
    """[3, 3]."""
    translation: Floats
    """[3] pixels."""

    def to_image(self, displacement: Floats) -> Floats:
        """Convert displacements [..., 3] of the pose-free shape, cm, to displacements in the picture, pixels."""
        turned: Floats = displacement @ (self.scale * self.rotation).T
        return turned

    def normalize(self, points: Floats) -> Floats:
        """Convert landmarks [478, 3] in pixels to the pose-free shape [478, 3] in centimeters."""
        shape: Floats = (points - self.translation) @ self.rotation / self.scale
        return shape

    @property
    def yaw(self) -> float:
        """Degrees that the head is turned about the vertical: 0 frontal, ±90 profile."""
        return float(np.degrees(np.arcsin(np.clip(-self.rotation[2, 0], -1, 1))))

    @property
    def pitch(self) -> float:
        """Degrees that the head nods."""
        return float(np.degrees(np.arctan2(-self.rotation[2, 1], self.rotation[2, 2])))

    @property
    def roll(self) -> float:
        """Degrees that the head leans to a shoulder."""
        return float(np.degrees(np.arctan2(self.rotation[1, 0], self.rotation[0, 0])))


def estimate_pose(points: Floats, reference: Floats | None = None) -> Pose:
    """Estimate the similarity that takes a reference shape onto landmarks (Umeyama 1991).

    Args:
        points: [478, 3] landmarks, pixels.
        reference: [478, 3] cm; the canonical face by default.

    Returns:
        The least-squares solution over the rigid points.
    """
    index = list(RIGID_POINTS)
    source = (canonical_points() if reference is None else reference)[index].astype(np.float64)
    target = points[index].astype(np.float64)
    source_mean, target_mean = source.mean(0), target.mean(0)
    u, s, vt = np.linalg.svd((target - target_mean).T @ (source - source_mean))
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = u * sign @ vt
    scale = float((s * sign).sum() / np.square(source - source_mean).sum())
    translation = target_mean - scale * rotation @ source_mean
    return Pose(scale, rotation.astype(np.float32), translation.astype(np.float32))
