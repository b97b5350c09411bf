"""Our way of running the landmark bundle gives what MediaPipe's own gives, and finds small faces, too."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from cdrl.face.landmarks import BLENDSHAPES, Region
from cdrl.face.mesh import canonical_points
from cdrl.face.pose import estimate_pose
from cdrl.media import Frame, read

# Made by benchmarks/landmark_parity.py with mediapipe 0.10.35.
REFERENCE = np.load(Path(__file__).with_name("mediapipe_reference.npz"), allow_pickle=False)
PICTURES = list(zip(REFERENCE["clips"].tolist(), REFERENCE["frames"].tolist(), strict=True))
SIDE = 512


def picture(clip, number):
    """The square of 512x512 in which MediaPipe has looked."""
    with read(clip) as frames:
        frame = next(frame for frame in frames if frame.index == number)
    return Frame.from_rgb(frame.rgb_crop(REFERENCE["matrix"], (SIDE, SIDE)))


@pytest.fixture(scope="module")
def found(repository, detector):
    """Points [n, 478, 3] and blendshapes [n, 52] of the reference's pictures, ours."""
    points, shapes = [], []
    for clip, number in PICTURES:
        shown = picture(repository / "examples" / clip, number)
        (region,) = detector.detect_faces(shown)
        points.append(detector.estimate_landmarks(shown, region).points)
        shapes.append(detector.estimate_blendshapes(points[-1]))
    return np.array(points), np.array(shapes)


def test_the_reference_covers_several_expressions():
    assert len({clip for clip, _ in PICTURES}) == 6
    assert REFERENCE["points"].shape == (len(PICTURES), 478, 3)
    assert REFERENCE["blendshapes"].shape == (len(PICTURES), len(BLENDSHAPES))


def test_landmarks_are_mediapipes_own(found):
    apart = np.linalg.norm(found[0][..., :2] - REFERENCE["points"][..., :2], axis=-1)
    assert apart.mean(1).max() <= 0.35  # pixels; counting from a pixel's corner would already make 0.7
    assert apart.max() <= 1
    assert np.abs(found[0][..., 2] - REFERENCE["points"][..., 2]).mean() <= 0.35


def test_blendshapes_are_mediapipes_own(found):
    apart = np.abs(found[1] - REFERENCE["blendshapes"])
    assert apart.mean(1).max() <= 0.02
    assert apart.max() <= 0.08


def test_presence_tells_a_face_from_none(head, detector):
    region = detector.detect_faces(head)[0]
    assert detector.estimate_landmarks(head, region).presence > 0.9
    assert detector.estimate_landmarks(head, Region(30, 330, 60, 0)).presence < 0.1


def test_no_face_in_an_empty_picture(detector):
    assert detector.detect_faces(Frame.from_rgb(np.full((240, 320, 3), 90, np.uint8))) == []


@pytest.mark.parametrize("corner", [(40, 30), (1490, 40), (800, 760)], ids=["top left", "top right", "bottom"])
def test_a_small_face_is_found_by_a_closer_look(head, detector, corner):
    small = cv2.resize(head.rgb(), (420, 315), interpolation=cv2.INTER_AREA)  # the face is 80 pixels wide
    scene = np.full((1080, 1920, 3), 90, np.uint8)
    scene[corner[1] : corner[1] + 315, corner[0] : corner[0] + 420] = small
    (region,) = detector.detect_faces(Frame.from_rgb(scene))
    seen = detector.estimate_landmarks(Frame.from_rgb(scene), region)
    assert seen.presence > 0.5
    wanted = detector.estimate_landmarks(head, detector.detect_faces(head)[0]).points[:, :2] * (420 / 480) + corner
    assert np.linalg.norm(seen.points[:, :2] - wanted, axis=1).mean() <= 2


def test_two_faces_are_two_regions(head, detector):
    scene = np.concatenate([head.rgb(), head.rgb()], 1)
    across = sorted(region.x for region in detector.detect_faces(Frame.from_rgb(scene)))
    assert len(across) == 2
    assert across[1] - across[0] == pytest.approx(480, abs=10)


@pytest.mark.parametrize("degrees", [-40, 0, 25])
def test_landmarks_turn_with_a_leaning_head(head, detector, degrees):
    turn = cv2.getRotationMatrix2D((240, 180), -degrees, 0.8)  # clockwise on the screen
    leaning = Frame.from_rgb(cv2.warpAffine(head.rgb(), turn, (480, 360), borderMode=cv2.BORDER_REPLICATE))
    region = detector.detect_faces(leaning)[0]
    first = detector.estimate_landmarks(leaning, region).points
    points = detector.estimate_landmarks(leaning, Region.of_landmarks(first)).points
    upright = detector.estimate_landmarks(head, detector.detect_faces(head)[0]).points
    assert estimate_pose(points).roll - estimate_pose(upright).roll == pytest.approx(degrees, abs=2)


def test_a_region_maps_its_crop_onto_a_turned_square():
    region = Region(100, 50, 80, np.pi / 2)  # a quarter clockwise: the crop's right is the picture's bottom
    center, right = (region.matrix(256) @ [x, 128, 1] for x in (128, 256))
    assert center == pytest.approx([100, 50])
    assert right == pytest.approx([100, 90])


def test_the_next_region_holds_all_landmarks_with_room():
    points = canonical_points() * 10 + [200, 150, 0]
    region = Region.of_landmarks(points)
    assert region.side == pytest.approx(1.5 * np.ptp(points[:, :2], axis=0).max())
    inside = np.abs(points[:, :2] - [region.x, region.y]).max(0)
    assert (inside <= region.side / 3 + 1e-3).all()
