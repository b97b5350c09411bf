"""A tiny prepared data set, made on the spot: drawn faces whose mouth follows a place in a sentence.

    from made_prepared import make_prepared
    prepared = PreparedDataset.open([make_prepared(folder)])

Same words give the same mouth, whatever the emotion; emotions change brows, color and pace. Every clip has speech (a
smooth function of the place), landmarks, blendshapes and, in the data set "synthetic", the ground truth.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from cdrl.datasets.shards import END, ClipEntry, Shard, ShardManifest, encode_sample, read_metadata, write_manifest
from cdrl.emotions import EMOTIONS
from cdrl.face.mesh import canonical_points
from cdrl.files import atomic_write

SIZE = 224
BROWS = ([70, 63, 105, 66, 107], [300, 293, 334, 296, 336])
INNER_LIPS = [78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95]


def face_points(opening: np.ndarray, tone: float = 0.0) -> np.ndarray:
    """Landmarks [T, 478, 3] in pixels of the aligned picture."""
    base = canonical_points().astype(np.float64)
    low, high = base[:, :2].min(0), base[:, :2].max(0)
    scale = SIZE / 1.2 / (high - low).max()
    base = (base - [*((low + high) / 2), 0]) * scale + [SIZE / 2, SIZE / 2, 0]
    lips = np.flatnonzero((base[:, 1] > base[13, 1] - 1) & (np.abs(base[:, 0] - base[13, 0]) < 34))
    points = np.repeat(base[None], len(opening), 0)
    points[:, lips, 1] += 22 * opening[:, None] * (base[lips, 1] > base[13, 1] + 0.2)
    points[:, BROWS[0] + BROWS[1], 1] -= 6 * tone
    return points.astype(np.float32)


def draw_face(points: np.ndarray, color: tuple[int, int, int]) -> bytes:
    """A JPEG [224, 224, 3] of one frame's landmarks."""
    picture = np.full((SIZE, SIZE, 3), 60, np.uint8)
    flat = np.round(points[:, :2]).astype(np.int32)
    cv2.fillConvexPoly(picture, cv2.convexHull(flat), color)
    for brow in BROWS:
        cv2.polylines(picture, [flat[brow]], False, (40, 30, 20), 3)
    for eye in (468, 473):
        cv2.circle(picture, flat[eye].tolist(), 6, (30, 30, 30), -1)
    cv2.fillPoly(picture, [flat[INNER_LIPS]], (60, 10, 20))
    return cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes()


def make_prepared(
    folder: Path,
    actors: Sequence[str] = ("p000", "p001", "p002", "p003", "p004", "p005", "p006", "p007"),
    emotions: Sequence[str] = EMOTIONS[:3],
    sentences: int = 2,
    frames: int = 12,
    width: int = 16,
    dataset: str = "synthetic",
    sound: bool = True,
    seed: int = 0,
    given: Sequence[Mapping[str, np.ndarray | None]] = (),
) -> Path:
    """Write a prepared folder of actors × emotions × sentences clips; returns the folder.

    With `given`, instead, a clip without pictures of each mapping of arrays (landmarks, times, speech or None).
    """
    if given:
        return pack(folder, [_given_sample(number, arrays) for number, arrays in enumerate(given)])
    random = np.random.default_rng(seed)
    basis = random.normal(size=(4, width))
    samples = []
    for actor in actors:
        skin = random.integers(120, 230, 3)
        for emotion in emotions:
            for sentence in range(sentences):
                labels = _labels(dataset, actor, emotion, f"sentence number {sentence}", f"s{sentence}")
                samples.append(_sample(labels, sentence, frames, skin, basis, sound, random))
    return pack(folder, samples)


def pack(folder: Path, samples: Sequence[tuple[str, bytes]]) -> Path:
    """A prepared folder of finished samples (clip id, bytes)."""
    folder.mkdir(parents=True, exist_ok=True)
    clips, at = [], 0
    for clip, sample in samples:
        raw = read_metadata(io.BytesIO(sample), clip, 0, len(sample))
        clips.append(ClipEntry(clip, "000000.tar", at, len(sample), raw["frames"], raw["frames"], raw["sound"]))
        at += len(sample)
    shard = Shard("000000.tar", *atomic_write(folder / "000000.tar", [*(sample for _, sample in samples), END]))
    write_manifest(folder, ShardManifest({"speech": "made"}, (shard,), tuple(clips), {}, True))
    return folder


def _labels(dataset: str, actor: str, emotion: str, sentence: str, sentence_id: str) -> dict:
    about = {"dataset": dataset, "actor": actor, "emotion": emotion, "intensity": 1, "view": "front"}
    return about | {"sentence": sentence, "sentence_id": sentence_id}


def _given_sample(number: int, arrays: Mapping[str, np.ndarray | None]) -> tuple[str, bytes]:
    stored = {name: array for name, array in arrays.items() if array is not None}
    labels = _labels("made", "somebody", EMOTIONS[number], "words", "words")
    about = {"clip": labels, "frames": len(stored["times"]), "sound": "speech" in stored}
    return f"given_{number}", encode_sample(f"given_{number}", about, (), stored)


def _sample(labels, sentence, frames, skin, basis, sound, random) -> tuple[str, bytes]:
    clip, number = (
        f"{labels['dataset']}_{labels['actor']}_{labels['emotion']}_{sentence}",
        EMOTIONS.index(labels["emotion"]),
    )
    place = np.linspace(0, 1, frames) ** (1 + 0.2 * number)
    # Every sentence opens and closes the mouth in its own rhythm.
    opening = np.clip(0.5 + 0.5 * np.sin(2 * np.pi * (3 + sentence) * place + sentence), 0, 1)
    points = face_points(opening, tone=number / 3)
    color = tuple(int(np.clip(channel + 12 * (number - 3), 0, 255)) for channel in skin)
    blendshapes = np.zeros((frames, 52), np.float32)
    blendshapes[:, 25] = opening
    arrays = {"times": np.arange(frames) / 25, "shots": np.zeros(frames, np.int64)}
    arrays |= {"landmarks": points, "blendshapes": blendshapes}
    if sound:
        waves = np.stack([np.sin((k + 1) * (3 * place + sentence)) for k in range(4)], 1)
        arrays["speech"] = (waves @ basis + 0.05 * random.normal(size=(frames, basis.shape[1]))).astype(np.float16)
    if labels["dataset"] == "synthetic":
        visemes = np.digitize(opening, (0.2, 0.5, 0.8)).astype(np.int64)
        arrays |= {"position": place.astype(np.float32), "visemes": visemes}
        arrays |= {"speaking": np.ones(frames, bool), "weights": blendshapes}
    about = {"clip": labels, "frames": frames, "sound": sound}
    return clip, encode_sample(clip, about, [draw_face(each, color) for each in points], arrays)
