"""A tiny prepared data set, made on the spot: drawn faces whose mouth follows a place in a sentence.

    from made_prepared import make_prepared
    prepared = PreparedDataset.open([make_prepared(folder)])

Same words give the same mouth, whatever the emotion; emotions change brows, colour and pace. Every clip has speech (a
smooth function of the place), landmarks, blendshapes and, in the data set "synthetic", the truth.
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


def mouth_of(place: np.ndarray, sentence: int) -> np.ndarray:
    """Opening in [0, 1] at each place [T] in [0, 1]: every sentence opens and closes in its own rhythm."""
    return np.clip(0.5 + 0.5 * np.sin(2 * np.pi * (3 + sentence) * place + sentence), 0, 1)


def face_points(opening: np.ndarray, tone: float = 0.0) -> np.ndarray:
    """Landmarks [T, 478, 3] in pixels of the aligned picture."""
    base = canonical_points().astype(np.float64)
    low, high = base[:, :2].min(0), base[:, :2].max(0)
    scale = SIZE / 1.2 / (high - low).max()
    base = (base - [*((low + high) / 2), 0]) * scale + [SIZE / 2, SIZE / 2, 0]
    lips = np.flatnonzero((base[:, 1] > base[13, 1] - 1) & (np.abs(base[:, 0] - base[13, 0]) < 34))
    points = np.repeat(base[None], len(opening), 0)
    points[:, lips, 1] += 22 * opening[:, None] * (base[lips, 1] > base[13, 1] + 0.2)
    points[:, [70, 63, 105, 66, 107, 300, 293, 334, 296, 336], 1] -= 6 * tone
    return points.astype(np.float32)


def draw_face(points: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """RGB [224, 224, 3] of one frame's landmarks."""
    picture = np.full((SIZE, SIZE, 3), 60, np.uint8)
    flat = np.round(points[:, :2]).astype(np.int32)
    cv2.fillConvexPoly(picture, cv2.convexHull(flat), colour)
    for contour in ((70, 63, 105, 66, 107), (300, 293, 334, 296, 336)):
        cv2.polylines(picture, [flat[list(contour)]], False, (40, 30, 20), 3)
    for eye in (468, 473):
        cv2.circle(picture, flat[eye].tolist(), 6, (30, 30, 30), -1)
    inner = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)
    cv2.fillPoly(picture, [flat[list(inner)]], (60, 10, 20))
    return picture


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
        return pack(folder, [(f"given_{number}", _given_part(number, arrays)) for number, arrays in enumerate(given)])
    random = np.random.default_rng(seed)
    basis = random.normal(size=(4, width))
    parts = []
    for actor in actors:
        skin = tuple(int(value) for value in random.integers(120, 230, 3))
        for emotion in emotions:
            for sentence in range(sentences):
                clip = f"{dataset}_{actor}_{emotion}_{sentence}"
                part = _part(clip, actor, emotion, sentence, frames, skin, basis, dataset, sound, random)
                parts.append((clip, part))
    return pack(folder, parts)


def pack(folder: Path, parts: Sequence[tuple[str, bytes]]) -> Path:
    """A prepared folder of finished parts (clip id, bytes)."""
    folder.mkdir(parents=True, exist_ok=True)
    clips, at = [], 0
    for clip, part in parts:
        facts = read_metadata(io.BytesIO(part), clip, 0, len(part))
        clips.append(ClipEntry(clip, "000000.tar", at, len(part), facts["frames"], facts["frames"], facts["sound"]))
        at += len(part)
    count, digest = atomic_write(folder / "000000.tar", [*(part for _, part in parts), END])
    write_manifest(
        folder, ShardManifest({"speech": "made"}, (Shard("000000.tar", count, digest),), tuple(clips), {}, True)
    )
    return folder


def _given_part(number: int, arrays: Mapping[str, np.ndarray | None]) -> bytes:
    kept = {name: array for name, array in arrays.items() if array is not None}
    clip = {"dataset": "made", "actor": "somebody", "emotion": EMOTIONS[number], "intensity": 1, "sentence": "words"}
    facts = {"clip": clip | {"sentence_id": "words", "view": "front"}, "frames": len(kept["times"])}
    return encode_sample(f"given_{number}", facts | {"sound": "speech" in kept}, (), kept)


def _part(clip, actor, emotion, sentence, frames, skin, basis, dataset, sound, random) -> bytes:
    number = EMOTIONS.index(emotion)
    pace = 1 + 0.2 * number
    place = np.linspace(0, 1, frames) ** pace
    opening = mouth_of(place, sentence)
    points = face_points(opening, tone=number / 3)
    colour = tuple(int(np.clip(channel + 12 * (number - 3), 0, 255)) for channel in skin)
    pictures = [
        cv2.imencode(".jpg", cv2.cvtColor(draw_face(each, colour), cv2.COLOR_RGB2BGR))[1].tobytes() for each in points
    ]
    blendshapes = np.zeros((frames, 52), np.float32)
    blendshapes[:, 25] = opening
    arrays = {
        "times": np.arange(frames) / 25,
        "landmarks": points,
        "blendshapes": blendshapes,
        "shots": np.zeros(frames, np.int64),
    }
    if sound:
        waves = np.stack([np.sin((k + 1) * (3 * place + sentence)) for k in range(4)], 1)
        arrays["speech"] = (waves @ basis + 0.05 * random.normal(size=(frames, basis.shape[1]))).astype(np.float16)
    if dataset == "synthetic":
        arrays |= {
            "position": place.astype(np.float32),
            "visemes": np.digitize(opening, (0.2, 0.5, 0.8)).astype(np.int64),
            "speaking": np.ones(frames, bool),
            "weights": blendshapes,
        }
    facts = {
        "dataset": dataset,
        "actor": actor,
        "emotion": emotion,
        "intensity": 1,
        "sentence": f"sentence number {sentence}",
        "sentence_id": f"s{sentence}",
        "view": "front",
    }
    return encode_sample(clip, {"clip": facts, "frames": frames, "sound": sound}, pictures, arrays)
