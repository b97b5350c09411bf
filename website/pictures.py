"""Make the guides' pictures from the bundled clip: `python website/pictures.py`. Edits, mostly of one moment.

The clips are CREMA-D's (ODbL); so are the pictures, and the pages that show them say so.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import cdrl
from cdrl.emotions import EMOTIONS
from cdrl.media import Frame
from cdrl.pipeline.editor import Editor
from cdrl.pipeline.stages import EditedFrame

Picture = NDArray[np.uint8]

ROOT = Path(__file__).resolve().parents[1]
CLIPS = ROOT / "examples"
TALK, HAPPY = CLIPS / "1001_DFA_NEU_XX.flv", CLIPS / "1001_DFA_HAP_XX.flv"
MOMENT = Fraction(12, 10)  # seconds; the mouth is open and the eyes are, too
SIDE = 260  # pixels of one face

SHEETS: dict[str, list[tuple[str, dict[str, Any] | None]]] = {
    "emotions": [("source", None), *((name, {"emotion": name}) for name in EMOTIONS)],
    "edit_intensity": [
        ("source", None),
        ("happy, 0.5", {"emotion": "happy", "intensity": 0.5}),
        ("happy, 1", {"emotion": "happy"}),
        ("happy, 1.5", {"emotion": "happy", "intensity": 1.5}),
    ],
    "edit_blends": [
        ("source", None),
        ("surprised", {"emotion": "surprised"}),
        ("0.6 happy + 0.4 surprised", {"emotion": "happy:0.6+surprised:0.4"}),
        ("angry + sad", {"emotion": "angry+sad"}),
    ],
    "edit_regions": [
        ("angry", {"emotion": "angry"}),
        ("brows alone", {"emotion": "angry", "regions": "brows"}),
        ("brows and eyes", {"emotion": "angry", "regions": "brows,eyes"}),
        ("mouth alone", {"emotion": "angry", "regions": "mouth"}),
    ],
    "follow": [
        ("source", None),
        ("happy", {"emotion": "happy"}),
        ("happy, enrolled", {"emotion": "happy", "enroll": {"happy": HAPPY}}),
        ("reference followed", {"reference": HAPPY}),
    ],
}


def main() -> None:
    """Write every picture into docs/pictures."""
    editor = cdrl.load()
    for name, wishes in SHEETS.items():
        tiles = [tile(editor, label, wish, MOMENT) for label, wish in wishes]
        if name == "follow":  # what is followed, where its mouth is as open
            tiles[1:1] = [tile(editor, "the reference", None, MOMENT, HAPPY)]
        write(name, tiles)
    segments = "0-0.6:neutral, 0.6-1.2:happy, 1.2-:surprised"
    moments = [Fraction(n, 10) for n in (4, 9, 12, 17)]
    write("edit_segments", [tile(editor, f"{float(at)} s", {"segments": segments}, at) for at in moments])
    with TemporaryDirectory() as folder:
        sheet = ROOT / "docs" / "pictures" / "start_happy.jpg"
        editor.edit(TALK, emotion="happy").save(Path(folder, "happy.mp4"), preview=sheet, overwrite=True)


def tile(editor: Editor, label: str, wish: dict[str, Any] | None, at: Fraction, clip: Path = TALK) -> Picture:
    """The face at a moment, after the edit where one is wished for, with a caption: uint8 [SIDE, SIDE, 3], BGR."""
    edits = editor.edit(clip, **(wish or {"emotion": "neutral"})).frames()
    edited = next(edited for edited in edits if edited.frame.time >= at)
    edits.close()
    picture = face(edited, edited.source if wish is None else edited.frame)
    for place, color in (((9, SIDE - 9), (0, 0, 0)), ((8, SIDE - 10), (255, 255, 255))):  # read on any background
        cv2.putText(picture, label, place, cv2.FONT_HERSHEY_SIMPLEX, 0.6, color, 1, cv2.LINE_AA)
    return picture


def face(edited: EditedFrame, frame: Frame) -> Picture:
    """A square around the face as it was found before the edit."""
    assert edited.track is not None
    points = edited.track.points[:, :2]
    low, high = points.min(0), points.max(0)
    reach, (x, y) = 0.72 * float((high - low).max()), (low + high) / 2
    rows, columns = slice(max(int(y - reach), 0), int(y + reach)), slice(max(int(x - reach), 0), int(x + reach))
    cut = frame.rgb()[rows, columns, ::-1]
    return np.asarray(cv2.resize(cut, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC), np.uint8)


def write(name: str, tiles: list[Picture]) -> None:
    """Rows of four tiles (or one of five) as docs/pictures/NAME.jpg."""
    across = 5 if len(tiles) == 5 else 4
    rows = [np.concatenate(tiles[first : first + across], 1) for first in range(0, len(tiles), across)]
    cv2.imwrite(str(ROOT / "docs" / "pictures" / f"{name}.jpg"), np.concatenate(rows), [cv2.IMWRITE_JPEG_QUALITY, 88])


if __name__ == "__main__":
    main()
