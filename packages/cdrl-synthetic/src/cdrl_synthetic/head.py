"""The two head models and what is common to them: a neutral mesh, identity modes and the ARKit units that move it.

Centimetres, y up, z towards the viewer; the origin is midway between the centres of the neutral model's eyes. Eyeballs
are not part of the mesh: they are spheres at the models' own eye centres, which turn instead of being pushed about.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cdrl.errors import AssetError
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
    """A head model.

    `vertices` [n, 3] neutral; `triangles` [m, 3]; `kind` [n]; `lips` [n] in [0, 1], how much a vertex is lip; `units`
    [52, n, 3] in the order of `UNITS`; `modes` of identity by name, [n, 3] each; `eyes`: indices of the vertices that
    surround the person's left and right eyeball (they are in no triangle).
    """

    name: str
    vertices: Floats
    triangles: Ints
    kind: NDArray[np.uint8]
    lips: Floats
    units: Floats
    modes: Mapping[str, Floats]
    eyes: tuple[Ints, Ints]

    def eyeballs(self, vertices: Floats) -> Floats:
        """Centre and radius [2, 4] of the person's left and right eyeball in a mesh [n, 3]."""
        found = []
        for indices in self.eyes:
            low, high = vertices[indices].min(0), vertices[indices].max(0)
            found.append([*(low + high) / 2, float((high - low)[:2].mean()) / 2])
        return np.array(found, np.float32)


def load_ict(path: Path) -> Head:
    """ICT-FaceKit (MIT) from one npz of its published meshes: vertices, triangles, materials, identity, expression.

    Raises AssetError where the file is missing or holds something else.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            data = {key: file[key] for key in file.files}
        vertices = data["vertices"].astype(np.float32)
        material, triangles = data["triangle_material"], data["triangles"].astype(np.int32)
        names = [str(name) for name in data["expression_names"]]
        expression, identity = data["expression"].astype(np.float32), data["identity"].astype(np.float32)
    except (OSError, ValueError, KeyError) as error:
        raise AssetError(f"--ict {path}: not ICT-FaceKit's meshes as npz ({error}); see docs for its keys") from error
    kinds = {"M_Face": SKIN, "M_BackHead": SKIN, "M_GumsTongue": INNER, "M_Teeth": TEETH}
    kept = np.isin(material, list(kinds))
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
    lips = _lip_amount(vertices, units)
    return assembled("ict", vertices, triangles[kept], kind, lips, units, modes, (eyes[0], eyes[1]))


def _lip_amount(vertices: Floats, units: Floats) -> Floats:
    """How much of a lip each vertex is: lips are what rolls in."""
    rolled = np.linalg.norm(units[UNITS.index("mouthRollLower")], axis=1) / 1.0
    rolled = np.maximum(rolled, np.linalg.norm(units[UNITS.index("mouthRollUpper")], axis=1))
    found: Floats = np.clip((rolled / rolled.max() - 0.42) / 0.25, 0, 1)
    return found


def assembled(
    name: str,
    vertices: Floats,
    triangles: Ints,
    kind: NDArray[np.uint8],
    lips: Floats,
    units: Floats,
    modes: Mapping[str, Floats],
    eyes: tuple[Ints, Ints],
) -> Head:
    """The head without vertices that nothing uses, its origin midway between the eyes."""
    used = np.zeros(len(vertices), bool)
    for indices in (triangles, *eyes):
        used[indices] = True
    place = np.cumsum(used) - 1
    new_eyes = (place[eyes[0]].astype(np.int32), place[eyes[1]].astype(np.int32))
    head = Head(
        name,
        vertices[used],
        np.ascontiguousarray(place[triangles], np.int32),
        kind[used],
        lips[used].astype(np.float32),
        np.ascontiguousarray(units[:, used]),
        {key: np.ascontiguousarray(delta[used]) for key, delta in modes.items()},
        new_eyes,
    )
    head.vertices[:] -= head.eyeballs(head.vertices)[:, :3].mean(0)
    return head


def normals(vertices: Floats, triangles: Ints) -> Floats:
    """Unit vertex normals [n, 3], area-weighted."""
    corner = vertices[triangles]
    face = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    total = np.zeros_like(vertices)
    for axis in range(3):
        for place in range(3):
            total[:, axis] += np.bincount(triangles[:, place], face[:, axis], len(vertices))
    found: Floats = total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-9)
    return found
