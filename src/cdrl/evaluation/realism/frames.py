"""What a detector of edits sees: aligned pictures of the whole face and of parts of it, of a few frames of a file.

Both sides, real and edited, are cut in the same way out of the file as written: decoded again, the face found by the
evaluation's own landmarker, every frame aligned by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cdrl.errors import FaceError
from cdrl.evaluation.clip_features import track_landmarks
from cdrl.evaluation.clips import decode_frames
from cdrl.evaluation.geometry import FACE_HALF, INNER_LIPS, crop_affine, estimate_poses, fit_layout, sample_crop
from cdrl.evaluation.realism.artifacts import measure_brow_thickness, measure_tooth_height
from cdrl.media import EncoderOptions, Writer, read

Array = NDArray[np.float64]
Pictures = NDArray[np.uint8]

WHOLE_FACE = "face"
_EYES = (33, 133, 362, 263)  # mesh indices: corners of the lids
_NOSE = (4, 2, 98, 327)  # tip, base and wings
_LOSSLESS = EncoderOptions(quality=0)


@dataclass(frozen=True)
class Region:
    """A part of the face that a detector is shown."""

    points: tuple[int, ...]
    """Mesh indices; the crop lies about their mean in the clip's median face."""
    offset: float
    """How far below that mean the crop's center lies, in eye distances."""
    half_width: float
    """Half the crop's width, in eye distances."""
    size: tuple[int, int]
    """Width and height in pixels."""


REGIONS: Mapping[str, Region] = {
    WHOLE_FACE: Region(_EYES, 0.5, FACE_HALF, (128, 128)),
    "mouth": Region(INNER_LIPS, 0.0, 0.65, (128, 96)),
    "eyes and brows": Region(_EYES, -0.15, 1.05, (128, 60)),
    "cheeks and nose": Region(_NOSE, -0.1, 1.05, (128, 44)),
}
"""Region → where it lies. The parts overlap little: no lips beside the nose, no lids above the cheeks."""


@dataclass(frozen=True)
class FaceCrops:
    """The frames of one file that show a face."""

    frames: NDArray[np.intp]
    """[N] their numbers in the file."""
    pictures: Mapping[str, Pictures]
    """Region → RGB crops [N,h,w,3]."""
    tooth_height: Array
    """[N] of `measure_tooth_height`."""
    brow_thickness: Array
    """[N] of `measure_brow_thickness`; NaN where no brow stands out from the skin."""


def write_excerpt(source: Path, output: Path, seconds: float) -> int:
    """Write the beginning of a clip without any loss, so that every method edits the same frames.

    Args:
        source: The clip.
        output: Where it goes; replaced.
        seconds: How much of it.

    Returns:
        The number of frames.

    Raises:
        InputError: The clip cannot be read.
        OutputError: The excerpt cannot be written.
    """
    count = 0
    with (
        read(source, stop=Fraction(seconds)) as frames,
        Writer(output, frames.info, _LOSSLESS, overwrite=True) as writer,
    ):
        for frame in frames:
            writer.write(frame)
            count += 1
    return count


def cut_faces(path: Path, frames: Sequence[int]) -> FaceCrops:
    """Cut every region out of frames of a file.

    Args:
        path: The file.
        frames: Numbers of the frames, rising; those without a face, or beyond the end, are left out.

    Raises:
        FaceError: None of them shows a face.
        InputError: The file cannot be read.
    """
    wanted = set(frames)
    decoded = islice(decode_frames(path), max(wanted, default=-1) + 1)
    pictures = [rgb for index, rgb in enumerate(decoded) if index in wanted]
    # The first picture twice: where the mesh was found before, it is fitted better than to what the detector finds.
    points = track_landmarks(lambda: chain(pictures[:1], pictures))[1:]
    visible = np.flatnonzero(np.isfinite(points[:, 0, 0]))
    if not len(visible):
        raise FaceError(f"{path}: there is no face in any of {len(pictures)} frames")
    layout = fit_layout(points)
    crops: dict[str, list[Pictures]] = {name: [] for name in REGIONS}
    teeth, brows = [], []
    for index in visible:
        rgb, pose = pictures[index], estimate_poses(points[index : index + 1], layout)[0]
        for name, region in REGIONS.items():
            x, y = layout.template[list(region.points)].mean(0)
            affine = crop_affine(pose, (float(x), float(y) + region.offset), region.half_width, region.size)
            crops[name].append(sample_crop(rgb, affine, region.size))
        teeth.append(measure_tooth_height(rgb, points[index]))
        brows.append(measure_brow_thickness(rgb, points[index]))
    return FaceCrops(
        np.array(sorted(wanted), np.intp)[visible],
        {name: np.stack(pictures) for name, pictures in crops.items()},
        np.array(teeth),
        np.array(brows),
    )
