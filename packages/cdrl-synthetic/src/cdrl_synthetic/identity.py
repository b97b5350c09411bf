"""One person: the shape of their head, their hair and eyes, and what the renderer needs to draw them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cdrl_synthetic.head import EYE, HAIR, INNER, SKIN, TEETH, UNITS, Floats, Head, Ints
from cdrl_synthetic.makehuman import AGES, RACES, SEXES
from cdrl_synthetic.rendering import Figure
from cdrl_synthetic.skin import Appearance, sample_appearance

_EYE_RINGS, _EYE_SPOKES = 20, 28
_TURN = {"Up": 22.0, "Down": 25.0, "In": 28.0, "Out": 28.0}  # degrees an eye turns at a weight of 1


@dataclass(frozen=True)
class SyntheticPerson:
    """A person: a head of n vertices, its surface, eyes and hair."""

    head: Head
    """The head model."""
    appearance: Appearance
    """The surface."""
    vertices: Floats
    """[n, 3] neutral, without eyeballs and hair."""
    eyes: Floats
    """[2, 4] centers and radii of the eyeballs."""
    figure: Figure
    """What is drawn."""
    hair: tuple[Ints, Floats]
    """Indices of the skin that hair grows on, and its height there, cm."""
    long_hair: Floats
    """[k, 3] vertices of the hair around the sides and the back; none for short hair."""

    def deform(self, weights: Floats) -> Floats:
        """Compute positions [T, n, 3] of the mesh under unit weights [T, 52]."""
        flat = self.head.units.reshape(len(UNITS), -1)
        result: Floats = (weights.astype(np.float32) @ flat).reshape(len(weights), -1, 3) + self.vertices
        return result

    def assemble(self, mesh: Floats, facing: Floats, eyes: Floats, looking: Floats) -> tuple[Floats, Floats]:
        """Assemble all that is drawn: mesh, eyeballs, hair cap and long hair.

        Args:
            mesh: Positions [n, 3] of the mesh.
            facing: Its normals [n, 3].
            eyes: Positions of the eyeballs; see `pose_eyes`.
            looking: Their normals.

        Returns:
            Positions and normals.
        """
        scalp, height = self.hair
        outward = (self.long_hair + np.array([0, 0, 6.5], np.float32)) * np.array([1, 0, 1], np.float32)
        outward /= np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-6)
        positions = np.concatenate([mesh, eyes, mesh[scalp] + facing[scalp] * height[:, None], self.long_hair])
        return positions, np.concatenate([facing, looking, facing[scalp], outward])


def sample_shape(head: Head, rng: np.random.Generator) -> tuple[Floats, bool, float]:
    """Sample the shape of a head.

    Args:
        head: The head model.
        rng: Source of randomness.

    Returns:
        Neutral vertices [n, 3], whether the person is male, and age from 0 (young) to 1 (old).
    """
    male, age = bool(rng.uniform() < 0.5), float(rng.beta(1.2, 1.6))
    shape = head.vertices.copy()
    if head.name == "ict":
        for index, delta in enumerate(head.modes.values()):
            shape += np.float32(np.clip(rng.normal(0, 0.8), -2, 2)) * delta * (1.0 if index < 60 else 0.6)
    else:
        for name, amount in _sample_makehuman_modes(head, male, age, rng).items():
            shape += np.float32(amount) * head.modes[name]
    eyes = head.eyeballs(shape)
    shape -= eyes[:, :3].mean(0)
    shape *= np.float32(6.2 / (eyes[0, 0] - eyes[1, 0]))  # cm apart
    return shape.astype(np.float32), male, age


def _sample_makehuman_modes(head: Head, male: bool, age: float, rng: np.random.Generator) -> dict[str, float]:
    result: dict[str, float] = {}
    races = rng.dirichlet([0.5] * len(RACES))
    fat = float(np.clip(rng.normal(0, 0.45), -1, 1))
    sex = SEXES[int(male)]
    blend = float(rng.uniform(0.65, 1.0))  # few are wholly one or the other
    for one, share in ((sex, blend), (SEXES[1 - int(male)], 1 - blend)):
        for when, part in zip(AGES, (1 - age, age), strict=True):
            for race, amount in zip(RACES, races, strict=True):
                result[f"macro/{race}-{one}-{when}"] = share * part * float(amount)
            result[f"weight/{one}-{when}-average"] = share * part * (1 - abs(fat))
            result[f"weight/{one}-{when}-{'max' if fat > 0 else 'min'}"] = share * part * abs(fat)
    shapes = [name for name in head.modes if name.startswith("shape/")]
    result[shapes[int(rng.integers(len(shapes)))]] = float(rng.uniform(0, 0.5))
    for name in sorted({name[:-1] for name in head.modes if name.startswith("detail/")}):
        amount = float(np.clip(rng.normal(0, 0.3), -0.7, 0.7))
        result[name + ("+" if amount > 0 else "-")] = abs(amount) * (0.5 if "ears" in name or "eyes" in name else 1.0)
    return result


def sample_person(head: Head, rng: np.random.Generator) -> SyntheticPerson:
    """Sample a person.

    Args:
        head: The head model.
        rng: Source of randomness; the same state gives the same person.
    """
    vertices, male, age = sample_shape(head, rng)
    appearance = sample_appearance(male, age, rng)
    scalp, height, above = _sample_hair_cap(head, male, rng)
    long_hair, sheet = np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32)
    if len(scalp) and rng.uniform() < (0.12 if male else 0.6):
        long_hair, sheet = _sample_long_hair(rng)
    canonical, kind, tint, triangles = _assemble_parts(head, scalp, above, long_hair, sheet)
    figure = Figure(triangles, canonical, kind, tint, appearance.skin, _sample_uniforms(head, appearance, rng))
    eyes = head.eyeballs(vertices)
    return SyntheticPerson(head, appearance, vertices, eyes, figure, (scalp, height), long_hair)


def _sample_uniforms(head: Head, appearance: Appearance, rng: np.random.Generator) -> dict[str, Any]:
    teeth = np.array([0.93, 0.89, 0.80]) * rng.uniform(0.8, 1.0) * np.array([1, 1, rng.uniform(0.88, 1.04)])
    return {
        "cloth_color": rng.uniform(0.05, 0.85, 3) * 0.6 + rng.uniform(0.05, 0.85) * 0.4,
        "lip_color": appearance.lips,
        "lash_color": appearance.lash,
        "hair_color": appearance.hair,
        "iris_color": appearance.iris,
        "sclera_color": np.array([0.86, 0.83, 0.80]) * rng.uniform(0.9, 1.03),
        "tooth_color": teeth,
        "shine": float(rng.uniform(0.12, 0.4)),
        "roughness": float(rng.uniform(9, 22)),
        "lip_shine": float(rng.uniform(0.15, 0.6)),
        "collar": float(rng.uniform(-15.5, -12.8)),
        "iris_size": float(rng.uniform(0.46, 0.52)),
        "mouth_front": float(head.vertices[head.lips > 0.5, 2].max()),
    }


def build_eye_mesh() -> tuple[Floats, Ints]:
    """Build a unit sphere's front: vertices [k, 3] (pole towards the viewer) and triangles."""
    polar = np.linspace(0, np.deg2rad(115), _EYE_RINGS)
    spoke = np.linspace(0, 2 * np.pi, _EYE_SPOKES, endpoint=False)
    p, s = np.meshgrid(polar, spoke, indexing="ij")
    points = np.stack([np.sin(p) * np.cos(s), np.sin(p) * np.sin(s), np.cos(p)], -1).reshape(-1, 3)
    return points.astype(np.float32), _triangulate_grid(_EYE_RINGS, _EYE_SPOKES, closed=True)


def _triangulate_grid(rows: int, columns: int, closed: bool) -> Ints:
    result = []
    for row in range(rows - 1):
        for column in range(columns if closed else columns - 1):
            a, b = row * columns + column, row * columns + (column + 1) % columns
            result += [[a, a + columns, b], [b, a + columns, b + columns]]
    return np.array(result, np.int32)


def pose_eyes(eyes: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Turn both eyeballs by the gaze.

    Args:
        eyes: Centers and radii [2, 4].
        weights: Unit weights [52].

    Returns:
        Positions and normals [2k, 3].
    """
    sphere, _ = build_eye_mesh()
    positions, facing = [], []
    for index, side in enumerate(("Left", "Right")):
        gaze = {way: _TURN[way] * float(weights[UNITS.index(f"eyeLook{way}{side}")]) for way in _TURN}
        outward = 1 if side == "Left" else -1  # the person's left is +x
        yaw = np.deg2rad(outward * (gaze["Out"] - gaze["In"]))
        pitch = np.deg2rad(gaze["Down"] - gaze["Up"])
        turned = sphere @ build_rotation(yaw, pitch, 0.0).T
        facing.append(turned)
        positions.append(eyes[index, :3] + 0.985 * eyes[index, 3] * turned)
    return np.concatenate(positions).astype(np.float32), np.concatenate(facing).astype(np.float32)


def build_rotation(yaw: float, pitch: float, roll: float) -> Floats:
    """Build a rotation matrix [3, 3].

    Args:
        yaw: Radians, towards +x.
        pitch: Radians; positive looks down.
        roll: Radians, counterclockwise.
    """
    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (np.cos, np.sin))
    turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    nod = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    tilt = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    result: Floats = (tilt @ turn @ nod).astype(np.float32)
    return result


def _sample_hair_cap(head: Head, male: bool, rng: np.random.Generator) -> tuple[Ints, Floats, Floats]:
    """Indices of the skin that hair grows on, how far it stands off there, and how high above the hairline (cm)."""
    x, y, z = head.vertices.T
    angle = np.abs(np.rad2deg(np.arctan2(x, z + 7.0))).astype(np.float32)
    bald = male and rng.uniform() < 0.15
    thick = 0.0 if bald else rng.uniform(0.15, 0.8) if male else rng.uniform(0.4, 1.6)
    forehead = rng.uniform(5.6, 7.2) - (0.0 if thick < 0.8 else 0.3)
    heights = [forehead, forehead - 0.2, forehead - 2.2, 2.5, 1.5, 2.6, 2.6, -5, -8]  # of the hairline, cm
    above = y - np.interp(angle, [0, 30, 48, 62, 78, 84, 112, 122, 180], heights).astype(np.float32)
    height = thick * np.clip(above / 1.8, 0, 1) ** 0.6 * (1 + 0.15 * np.sin(7 * angle / 20 + y))
    # A little more than grows hair: the shader lets it end in an uneven line.
    grown = (above > -1.2) & (head.kind == SKIN) & (not bald)
    return np.flatnonzero(grown).astype(np.int32), 0.06 + height[grown], above[grown]


def _sample_long_hair(rng: np.random.Generator) -> tuple[Floats, Ints]:
    """Long hair: a sheet around the sides and the back of the head, from above the ears down. [k, 3], [m, 3]."""
    rows, columns = 12, 40
    start = np.deg2rad(rng.uniform(68, 88))
    low, bulge = rng.uniform(-16, -7), rng.uniform(0.2, 1.4)
    a, d = np.meshgrid(np.linspace(start, 2 * np.pi - start, columns), np.linspace(0, 1, rows))  # around, down
    radius = 7.9 + bulge * np.sin(np.pi * np.clip(d * 1.1, 0, 1)) + 0.25 * np.sin(a * 23 + 2 * d)
    y = 4.5 + (low - 4.5) * d
    points = np.stack([radius * np.sin(a), y, radius * 1.15 * np.cos(a) - 6.5], -1)
    return points.reshape(-1, 3).astype(np.float32), _triangulate_grid(rows, columns, closed=False)


def _assemble_parts(
    head: Head, scalp: Ints, above: Floats, long_hair: Floats, sheet: Ints
) -> tuple[Floats, Any, Floats, Ints]:
    """Canonical places, kinds, tints and triangles of mesh, eyeballs, hair cap and long hair, in this order."""
    sphere, ring = build_eye_mesh()
    count, each = len(head.vertices), len(sphere)
    inside = np.full(count, -1, np.int32)
    inside[scalp] = np.arange(len(scalp)) + count + 2 * each
    cap = inside[head.triangles]
    cap = cap[(cap >= 0).all(1)]
    first = count + 2 * each + len(scalp)
    triangles = np.concatenate([head.triangles, ring + count, ring + count + each, cap, sheet + first])
    canonical = np.concatenate([head.vertices, sphere, sphere, head.vertices[scalp], long_hair])
    kinds = [head.kind, np.full(2 * each, EYE), np.full(len(scalp) + len(long_hair), HAIR)]
    eye_tint = np.tile(np.array([0, 0, 1], np.float32), (2 * each, 1))
    eye_tint[:, 2] = np.tile(0.95 - 0.55 * np.clip(sphere[:, 1] * 2.2, 0, 1), 2)  # the upper lid's shade
    hair_tint = np.ones((len(scalp) + len(long_hair), 3), np.float32)
    hair_tint[: len(scalp), 0] = above
    tint = np.concatenate([_compute_tint(head), eye_tint, hair_tint]).astype(np.float32)
    return canonical.astype(np.float32), np.concatenate(kinds).astype(np.uint8), tint, triangles.astype(np.int32)


def _compute_tint(head: Head) -> Floats:
    """Lip, lash and openness to light [n, 3] of the mesh; of teeth, how much is tooth and not gum, and gaps."""
    blink = np.linalg.norm(head.units[[UNITS.index(f"eyeBlink{side}") for side in ("Left", "Right")]], axis=2)
    lash = np.max(blink / blink.max(1, keepdims=True), 0)
    tint = np.stack([head.lips, np.clip((lash - 0.86) / 0.1, 0, 0.9), np.ones(len(lash))], 1).astype(np.float32)
    teeth = head.kind == TEETH
    tint[teeth, :2] = 1
    tint[head.kind == INNER, :2] = 0
    return tint
