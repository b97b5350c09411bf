"""How far an exported performance is from what `cdrl export` sees in the video that `cdrl edit` writes.

python benchmarks/performance.py [CLIP ...]

A row a clip, by default of the bundled one: for each emotion the mean absolute difference over frames and coefficients,
in brackets that of the source, and r, the correlation over coefficients of the mean change; then that of the head, rad.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

import cdrl
from cdrl.export import ANGLES, ARKIT, extract_performances
from cdrl.media import Limits

EXAMPLE = Path(__file__).parents[1] / "examples" / "1001_DFA_NEU_XX.flv"
EMOTIONS = ("happy", "angry", "surprised", "sad")
HEAD = slice(len(ARKIT), len(ARKIT) + sum(name.startswith("Head") for name in ANGLES))


def compared(source: Path, emotion: str, folder: Path) -> tuple[str, float]:
    """The cell of one clip and emotion, and the mean absolute difference of the head's angles."""
    video = folder / f"{emotion}.mp4"
    job = cdrl.load().edit(source, emotion=emotion)
    job.save(video)
    source_face, edited_face = extract_performances(source, job, "largest", Limits())
    assert edited_face is not None  # a job was given
    rendered_face, _ = extract_performances(video, None, "largest", Limits())
    faces = zip(source_face.faces, edited_face.faces, rendered_face.faces, strict=True)
    known = np.array([each for each in faces if all(face is not None for face in each)])  # [frames, 3, 61]
    head = float(np.abs(known[:, 0, HEAD] - known[:, 2, HEAD]).mean())
    before, exported, rendered = known[:, :, : len(ARKIT)].swapaxes(0, 1)
    near, far = (float(np.abs(part - rendered).mean()) for part in (exported, before))
    r = float(np.corrcoef((exported - before).mean(0), (rendered - before).mean(0))[0, 1])
    return f"{near:.3f} ({far:.3f}) r {r:.2f}", head


def main(clips: list[str]) -> None:
    """Print the table."""
    print("| clip |", " | ".join(EMOTIONS), "| head |")
    for clip in map(Path, clips or [str(EXAMPLE)]):
        with tempfile.TemporaryDirectory() as folder:
            cells, heads = zip(*(compared(clip, emotion, Path(folder)) for emotion in EMOTIONS), strict=True)
        print("|", clip.stem, "|", " | ".join(cells), f"| {min(heads):.3f} to {max(heads):.3f} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
