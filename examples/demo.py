"""Edit the bundled clip in every emotion: one video each, and one contact sheet of them all, in demo/."""

from __future__ import annotations

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

Picture = NDArray[np.uint8]

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "examples" / "1001_DFA_NEU_XX.flv"
MOMENTS = (0.15, 0.3, 0.45, 0.6, 0.75)  # share of the clip's frames


def main(source: Path = SOURCE, folder: Path = ROOT / "demo") -> int:
    """Write one video per emotion and the sheet; returns the exit code."""
    folder.mkdir(exist_ok=True)
    editor = cdrl.load()
    rows = [row(source, "source")]
    for emotion in EMOTIONS:
        video = folder / f"{emotion}.mp4"
        report = editor.edit(source, emotion=emotion).save(video, overwrite=True)
        print(f"{shown(video)}: {report.summary()}")
        for warning in report.warnings:
            print(f"  warning: {warning}")
        rows.append(row(video, emotion))
    sheet = folder / "contact_sheet.png"
    cv2.imwrite(str(sheet), np.concatenate(rows))
    print(f"all of them, frame by frame beside the source: {shown(sheet)}")
    return 0


def row(video: Path, label: str) -> Picture:
    """The moments of one video side by side, uint8 [height, width, 3] in BGR, with its name at the left."""
    with av.open(str(video)) as container:
        frames = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    pictures: list[Any] = [frames[int(moment * len(frames))] for moment in MOMENTS]
    strip = np.ascontiguousarray(np.concatenate(pictures, axis=1))
    strip = cv2.resize(strip, None, fx=0.75, fy=0.75, interpolation=cv2.INTER_AREA)
    for colour, thickness in (((0, 0, 0), 5), ((255, 255, 255), 2)):  # outlined, to be read on any background
        cv2.putText(strip, label, (12, 32), cv2.FONT_HERSHEY_SIMPLEX, 1.0, colour, thickness, cv2.LINE_AA)
    return np.asarray(strip, dtype=np.uint8)


def shown(path: Path) -> Path:
    """The path as seen from where the command runs, where that is shorter."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


if __name__ == "__main__":
    try:
        sys.exit(main())
    except CdrlError as error:
        print("cdrl: error:", error, file=sys.stderr)
        sys.exit(error.exit_code)
