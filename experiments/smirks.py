"""Is a one-sided expression shown on its own side when it is a reference?

Synthetic heads smile with one corner of the mouth or raise one brow. Each picture is the reference of an edit of a
real clip; landmarks of source and edit are looked for anew, and the side that rose more must be the reference's.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from tyro.conf import Positional, arg

import cdrl
from cdrl.face.landmarks import BundleDetector
from cdrl.face.mesh import canonical_points
from cdrl.face.pose import estimate_pose
from cdrl.face.tracking import FaceTracker
from cdrl.media import EncoderOptions, read
from cdrl_synthetic.head import UNITS, Floats, compute_normals
from cdrl_synthetic.identity import SyntheticPerson, pose_eyes, sample_person
from cdrl_synthetic.makehuman import load_makehuman
from cdrl_synthetic.rendering import Renderer
from cdrl_synthetic.scene import compose_frame, sample_scene
from experiments.commands import run_command

_SIZE = 512
_KINDS = {
    "smile": {"mouthSmile": 0.9, "mouthDimple": 0.4, "cheekSquint": 0.4},
    "brow": {"browOuterUp": 0.9},
}
"""Units of a one-sided expression, without their side."""
_CORNERS, _BROWS = {"Left": 291, "Right": 61}, {"Left": 334, "Right": 105}
_EVERY = 4  # frames of the clip between two that are measured


@dataclass(frozen=True)
class Options:
    """Count how often a one-sided reference is shown on its own side."""

    clip: Annotated[Positional[Path], arg(metavar="CLIP")]
    """Clip of a real person that is edited."""
    heads: int = 10
    """Synthetic people, each with both kinds; sides alternate."""
    seed: int = 5
    """Of the people."""


def draw_head(person: SyntheticPerson, weights: Floats, renderer: Renderer, seed: int) -> NDArray[np.uint8]:
    """Draw a head from the front with unit weights [52]: RGB [size, size, 3]."""
    rng = np.random.default_rng(seed)
    scene = sample_scene(_SIZE, rng)
    renderer.load(person.figure)
    for name, value in scene.uniforms.items():
        renderer.set_uniform(name, value)
    mesh = person.deform(weights[None])[0]
    positions, sides = person.assemble(
        mesh, compute_normals(mesh, person.head.triangles), *pose_eyes(person.eyes, weights)
    )
    drawn = renderer.draw(positions, sides, np.eye(3, dtype=np.float32), np.zeros(3, np.float32), scene.camera)
    return compose_frame(drawn, scene, rng)


def measure_tilt(path: Path, points: dict[str, int]) -> float:
    """Measure by how much the left one of two points is higher than the right one, cm, mean over a clip."""
    tracker, heights = FaceTracker(BundleDetector()), list[float]()
    with read(path) as frames:
        for number, frame in enumerate(frames):
            track = tracker.step(frame)
            if track is not None and number % _EVERY == 0:
                shape = estimate_pose(track.points).normalize(track.points)
                heights.append(float(shape[points["Left"], 1] - shape[points["Right"], 1]))
    return float(np.mean(heights))


def run(options: Options) -> int:
    """Print a line for each head, and how many are right."""
    table = Table("kind", "head", "side", "left over right, cm", "right side")
    head, renderer, editor = load_makehuman(), Renderer(_SIZE), cdrl.load()
    counts = []
    for kind, points in _points().items():
        before, right = measure_tilt(options.clip, points), 0
        for number in range(options.heads):
            side = ("Left", "Right")[number % 2]
            person = sample_person(head, np.random.default_rng([options.seed, number]))
            with tempfile.TemporaryDirectory() as folder:
                picture, output = Path(folder) / "smirk.png", Path(folder) / "edited.mkv"
                drawn = draw_head(person, weigh_units(kind, side), renderer, number)
                cv2.imwrite(str(picture), drawn[..., ::-1])
                editor.edit(options.clip, reference=picture).save(output, encoder=EncoderOptions(quality=8))
                tilt = _find_up() * (measure_tilt(output, points) - before)
            is_right = (tilt > 0) == (side == "Left")
            right += is_right
            table.add_row(kind, str(number), side, f"{tilt:+.3f}", "yes" if is_right else "no")
        counts.append(f"{kind}: {right} of {options.heads} on the reference's own side")
    console = Console(width=100)
    console.print(table)
    console.print("\n".join(counts))
    return 0


def weigh_units(kind: str, side: str) -> Floats:
    """Return unit weights [52] of a one-sided expression."""
    weights = np.zeros(len(UNITS), np.float32)
    for unit, weight in _KINDS[kind].items():
        if f"{unit}{side}" in UNITS:
            weights[UNITS.index(f"{unit}{side}")] = weight
    return weights


def _points() -> dict[str, dict[str, int]]:
    return {"smile": _CORNERS, "brow": _BROWS}


def _find_up() -> float:
    """The sign of up in pose-free shapes: of the forehead's height less the chin's."""
    points = canonical_points()
    return float(np.sign(points[10, 1] - points[152, 1]))


if __name__ == "__main__":
    sys.exit(run_command(Options, run, "python -m experiments.smirks"))
