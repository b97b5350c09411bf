"""How far our landmarks and blendshapes lie from MediaPipe's own, on pictures of the bundled clips.

python benchmarks/landmark_parity.py frames FOLDER               pictures of 512x512, PNG; in cdrl's environment
python benchmarks/landmark_parity.py reference FOLDER OUT.npz    MediaPipe's answer; where mediapipe==0.10.35 is
python benchmarks/landmark_parity.py compare [REFERENCE.npz]     a table; in cdrl's environment

MediaPipe is no dependency of cdrl, so its answer is kept: `tests/face/mediapipe_reference.npz` holds what it found and
how each picture was cut out (`clips` [n], `frames` [n] by number, `matrix` [2, 3] picture → clip pixels), no picture.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "tests" / "face" / "mediapipe_reference.npz"
BUNDLE = ROOT / "src" / "cdrl" / "data" / "face_landmarker_v2.task"
SIDE = 512  # pixels
MATRIX = np.array([[360 / SIDE, 0, 60], [0, 360 / SIDE, 0]])  # the middle square of 480x360
FRAMES = (10, 40)  # of each clip

Floats = NDArray[np.floating[Any]]


def pictures(clip: Path, numbers: tuple[int, ...], matrix: Floats) -> Iterator[NDArray[np.uint8]]:
    """RGB [SIDE, SIDE, 3] of those frames of a clip."""
    from cdrl.media import read  # noqa: PLC0415  not there where mediapipe is

    with read(clip) as frames:
        for frame in frames:
            if frame.index in numbers:
                yield frame.rgb_crop(matrix, (SIDE, SIDE))
            if frame.index >= max(numbers):
                return


def write_pictures(folder: Path) -> None:
    """One PNG a picture, named CLIP@FRAME.png."""
    folder.mkdir(parents=True, exist_ok=True)
    for clip in sorted((ROOT / "examples").glob("*.flv")):
        for number, picture in zip(FRAMES, pictures(clip, FRAMES, MATRIX), strict=True):
            cv2.imwrite(str(folder / f"{clip.name}@{number}.png"), picture[..., ::-1])


def write_reference(folder: Path, output: Path) -> None:
    """What MediaPipe finds in the pictures of the folder."""
    mediapipe = import_module("mediapipe")
    vision = import_module("mediapipe.tasks.python.vision")
    options = vision.FaceLandmarkerOptions(
        base_options=import_module("mediapipe.tasks.python").BaseOptions(model_asset_buffer=BUNDLE.read_bytes()),
        output_face_blendshapes=True,
    )
    clips, numbers, points, blendshapes = [], [], [], []
    with vision.FaceLandmarker.create_from_options(options) as landmarker:
        for path in sorted(folder.glob("*@*.png")):
            picture = cv2.imread(str(path))
            if picture is None:
                raise SystemExit(f"{path} is not a picture: make the folder anew with `frames`")
            rgb = np.ascontiguousarray(picture[..., ::-1])
            found = landmarker.detect(mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=rgb))
            # In units of the picture's sides; MediaPipe samples its crop with pixel centers at whole numbers, as we do.
            points.append([(p.x * SIDE, p.y * SIDE, p.z * SIDE) for p in found.face_landmarks[0]])
            blendshapes.append([category.score for category in found.face_blendshapes[0]])
            clip, number = path.stem.rsplit("@", 1)
            clips.append(clip)
            numbers.append(int(number))
    np.savez_compressed(
        output,
        clips=np.array(clips),
        frames=np.array(numbers),
        matrix=MATRIX,
        points=np.array(points, np.float32),
        blendshapes=np.array(blendshapes, np.float32),
        mediapipe=np.array(mediapipe.__version__),
    )


def compare(reference: Path) -> None:
    """A line a picture: distance in the picture's plane, depth, and blendshapes."""
    from cdrl.face.landmarks import BundleDetector  # noqa: PLC0415
    from cdrl.media import Frame  # noqa: PLC0415

    stored = np.load(reference, allow_pickle=False)
    detector = BundleDetector()
    print(f"{'picture':24} {'mean px':>8} {'max px':>8} {'mean z':>8} {'shapes':>8} {'max':>8}")
    rows = []
    for clip, number, points, shapes in zip(
        stored["clips"], stored["frames"], stored["points"], stored["blendshapes"], strict=True
    ):
        picture = Frame.from_rgb(next(pictures(ROOT / "examples" / str(clip), (int(number),), stored["matrix"])))
        found = detector.estimate_landmarks(picture, detector.detect_faces(picture)[0]).points
        apart = np.linalg.norm(found[:, :2] - points[:, :2], axis=1)
        other = np.abs(detector.estimate_blendshapes(found) - shapes)
        rows.append((apart.mean(), apart.max(), np.abs(found[:, 2] - points[:, 2]).mean(), other.mean(), other.max()))
        print(f"{clip!s:20}@{number:<3} " + " ".join(f"{value:8.3f}" for value in rows[-1]))
    print(f"{'mean':24} " + " ".join(f"{value:8.3f}" for value in np.mean(rows, 0)))


def main(words: list[str]) -> int:
    match words:
        case ["frames", folder]:
            write_pictures(Path(folder))
        case ["reference", folder, output]:
            write_reference(Path(folder), Path(output))
        case ["compare"]:
            compare(REFERENCE)
        case ["compare", reference]:
            compare(Path(reference))
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
