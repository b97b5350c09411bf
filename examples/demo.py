"""Edit the bundled clip in every emotion: videos and one contact sheet of them all, in demo/ or a folder you name."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

import cdrl
from cdrl.emotions import EMOTIONS
from cdrl.errors import CdrlError
from cdrl.pipeline.editor import Editor

Picture = NDArray[np.uint8]

SOURCE = Path("examples", "1001_DFA_NEU_XX.flv")
MOMENTS = (0.15, 0.3, 0.45, 0.6, 0.75)  # share of the clip's frames

SIDE = 280  # pixels of a picture on the sheet


def main(folder: Path = Path("demo")) -> int:
    """Write one video per emotion and the sheet; returns the exit code."""
    os.chdir(Path(__file__).resolve().parents[1])  # the paths that are printed are as seen from here
    folder.mkdir(exist_ok=True)
    editor = cdrl.load()
    box = head(editor)
    rows = [row(SOURCE, "source", box)]
    warnings: dict[str, None] = {}  # each once, in order: most concern the source
    for emotion in EMOTIONS:
        video = folder / f"{emotion}.mp4"
        report = editor.edit(SOURCE, emotion=emotion).save(video, overwrite=True)
        print(report.summary())
        warnings |= dict.fromkeys(report.warnings)
        rows.append(row(video, emotion, box))
    for warning in warnings:
        print("note:", warning)
    sheet = folder / "contact_sheet.png"
    cv2.imwrite(str(sheet), np.concatenate(rows))
    print(f"{sheet}: all of them below the source")
    print(f"look into {folder.resolve()}")
    return 0


def head(editor: Editor) -> tuple[slice, slice]:
    """Rows and columns of a square around the head in the source, which holds for all of a calm clip."""
    points = next(edited.track.points for edited in editor.edit(SOURCE, emotion="neutral").frames() if edited.track)
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    reach = 0.75 * float((high - low).max())
    x, y = (float(value) for value in (low + high) / 2)
    return slice(max(int(y - reach), 0), int(y + reach)), slice(max(int(x - reach), 0), int(x + reach))


def row(video: Path, label: str, box: tuple[slice, slice]) -> Picture:
    """The heads at some moments of a video side by side, uint8 [height, width, 3] in BGR, with its name at the left."""
    with av.open(str(video)) as container:
        frames = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    pictures: list[Any] = [frames[int(moment * len(frames))][box] for moment in MOMENTS]
    strip = np.concatenate(
        [cv2.resize(picture, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) for picture in pictures], 1
    )
    for color, thickness in (((0, 0, 0), 5), ((255, 255, 255), 2)):  # outlined, to be read on any background
        cv2.putText(strip, label, (10, 26), cv2.FONT_HERSHEY_SIMPLEX, 0.8, color, thickness, cv2.LINE_AA)
    return np.asarray(strip, dtype=np.uint8)


if __name__ == "__main__":
    try:
        sys.exit(main(*map(Path, sys.argv[1:2])))
    except CdrlError as error:
        print("cdrl: error:", error, file=sys.stderr)
        sys.exit(error.exit_code)
