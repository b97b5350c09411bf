"""The two head models and what is common to them: a neutral mesh, identity modes and the ARKit units that move it.

Centimeters, y up, z towards the viewer; the origin is midway between the centers of the neutral model's eyes. Eyeballs
are not part of the mesh: they are spheres at the models' own eye centers, which turn instead of being pushed about.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cdrl.errors import ModelFileError
from cdrl.face.landmarks import BLENDSHAPES

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

SKIN, INNER, TEETH, HAIR, EYE = 0, 1, 2, 3, 4
"""What a vertex belongs to: skin, the inside of the mouth, teeth, hair, an eyeball."""

UNITS = (*BLENDSHAPES[1:], "tongueOut")
"""ARKit's 52 units, in the order of the weights that are written beside each clip: those that the landmark bundle
measures, and the tongue."""


@dataclass(frozen=True)
class Head:
    """A head model of n vertices."""

    name: str
    """`makehuman` or `ict`."""
    vertices: Floats
    """[n, 3] neutral, cm."""
    triangles: Ints
    """[m, 3]."""
    kind: NDArray[np.uint8]
    """[n] what each vertex belongs to: `SKIN` and so on."""
    lips: Floats
    """[n] in [0, 1], how much of a lip each vertex is."""
    units: Floats
    """[52, n, 3] displacements, in the order of `UNITS`."""
    modes: Mapping[str, Floats]
    """Displacements [n, 3] of identity, by name."""
    eyes: tuple[Ints, Ints]
    """Indices of the vertices around the person's left and right eyeball; they are in no triangle."""

    def eyeballs(self, vertices: Floats) -> Floats:
        """Fit the eyeballs of a mesh [n, 3]: center and radius [2, 4] of the person's left and right one."""
        result = []
        for indices in self.eyes:
            low, high = vertices[indices].min(0), vertices[indices].max(0)
            result.append([*(low + high) / 2, float((high - low)[:2].mean()) / 2])
        return np.array(result, np.float32)

    def trimmed(self) -> Head:
        """Leave out vertices that nothing uses, and put the origin midway between the eyes."""
        used = np.zeros(len(self.vertices), bool)
        for indices in (self.triangles, *self.eyes):
            used[indices] = True
        place = (np.cumsum(used) - 1).astype(np.int32)
        return Head(
            self.name,
            self.vertices[used] - self.eyeballs(self.vertices)[:, :3].mean(0),
            place[self.triangles],
            self.kind[used],
            self.lips[used],
            np.ascontiguousarray(self.units[:, used]),
            {name: delta[used] for name, delta in self.modes.items()},
            (place[self.eyes[0]], place[self.eyes[1]]),
        )


def load_ict(path: Path) -> Head:
    """Load ICT-FaceKit (MIT).

    Args:
        path: An .npz of its published meshes: vertices, triangles, triangle_material, identity, expression,
            expression_names.

    Raises:
        ModelFileError: The file is missing or holds something else.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            data = {key: file[key] for key in file.files}
        vertices = data["vertices"].astype(np.float32)
        material, triangles = data["triangle_material"], data["triangles"].astype(np.int32)
        names = [str(name) for name in data["expression_names"]]
        expression, identity = data["expression"].astype(np.float32), data["identity"].astype(np.float32)
    except (OSError, ValueError, KeyError) as error:
        raise ModelFileError(
            f"--ict {path}: not ICT-FaceKit's meshes as npz ({error}); see docs for its keys"
        ) from error
    kinds = {"M_Face": SKIN, "M_BackHead": SKIN, "M_GumsTongue": INNER, "M_Teeth": TEETH}
    drawn = np.isin(material, list(kinds))
    kind = np.zeros(len(vertices), np.uint8)
    for name, value in kinds.items():
        kind[triangles[material == name]] = np.maximum(kind[triangles[material == name]], value)
    eyes = tuple(np.unique(triangles[material == f"M_Sclera{side}"]).astype(np.int32) for side in ("Left", "Right"))
    units = np.zeros((len(UNITS), len(vertices), 3), np.float32)
    for name, delta in zip(names, expression, strict=True):
        plain = name.replace("_L", "Left").replace("_R", "Right").replace("cheekRaiser", "cheekSquint")
        plain = plain if plain in UNITS else plain.replace("Left", "").replace("Right", "")
        if plain in UNITS:  # the pupil's dilation is no ARKit unit
            units[UNITS.index(plain)] += delta
    modes = {f"mode{index:03d}": delta for index, delta in enumerate(identity)}
    rolls = [units[UNITS.index(name)] for name in ("mouthRollLower", "mouthRollUpper")]
    rolled = np.linalg.norm(rolls, axis=2).max(0)  # lips are what rolls in
    lips = np.clip((rolled / rolled.max() - 0.42) / 0.25, 0, 1).astype(np.float32)
    return Head("ict", vertices, triangles[drawn], kind, lips, units, modes, (eyes[0], eyes[1])).trimmed()


def compute_normals(vertices: Floats, triangles: Ints) -> Floats:
    """Compute unit vertex normals, area-weighted.

    Args:
        vertices: [n, 3].
        triangles: [m, 3].

    Returns:
        [n, 3].
    """
    corner = vertices[triangles]
    face = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    total = np.zeros_like(vertices)
    for axis in range(3):
        for place in range(3):
            total[:, axis] += np.bincount(triangles[:, place], face[:, axis], len(vertices))
    result: Floats = total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-9)
    return result
