"""Makes one clip: curves → meshes → pictures → a film with its sound, and the truth beside it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from cdrl.files import atomic_write
from cdrl_synthetic.expression import STRENGTH, Manner, blinks, combine, course, gaze
from cdrl_synthetic.forced_alignment import read_samples
from cdrl_synthetic.head import UNITS, Floats, Head, normals
from cdrl_synthetic.identity import Person, eyes_at
from cdrl_synthetic.planning import ClipPlan, frame_times, phones_in
from cdrl_synthetic.rendering import Renderer
from cdrl_synthetic.scene import finish, head_motion, sample_scene
from cdrl_synthetic.visemes import VISEMES, Phones, classes, closure, mouth

FRAME_RATE = 25
SOUND_RATE = 48_000
_FADE = 0.012  # seconds over which the cut-out words fade in and out


@dataclass(frozen=True)
class Curves:
    """A clip's course: `times` [t], unit `weights` [t, 52], `position` [t] in phones, `visemes` [t], `loudness` [t]."""

    times: NDArray[np.float64]
    weights: Floats
    position: Floats
    visemes: NDArray[np.int64]
    loudness: Floats


def sound_of(plan: ClipPlan, seconds: float) -> tuple[NDArray[np.int16], Phones]:
    """The clip's samples at 48 kHz, its words and nothing else of the recording, and its phones."""
    phones, shift = phones_in(plan, seconds)
    recorded = read_samples(plan.take.recording.path, SOUND_RATE).astype(np.float32)
    count = round(seconds * SOUND_RATE)
    at = np.arange(count) + round(shift * SOUND_RATE)
    inside = (at >= 0) & (at < len(recorded))
    samples = np.zeros(count, np.float32)
    samples[inside] = recorded[at[inside]]
    time = np.arange(count) / SOUND_RATE
    edge = np.minimum(time - (phones.bounds[1] - _FADE), phones.bounds[-2] + _FADE - time)
    samples *= np.clip(edge / _FADE, 0, 1)
    loudest = float(np.abs(samples).max())
    return (samples * (0.7 * 32767 / loudest if loudest > 0 else 0)).astype(np.int16), phones


def loudness_of(samples: NDArray[np.int16], times: NDArray[np.float64]) -> Floats:
    """Loudness [t] in [0, 1] around each time: root mean square over 60 ms, compressed, by the clip's loud parts."""
    power = np.concatenate([[0.0], np.cumsum(np.square(samples.astype(np.float64)))])
    half = round(0.03 * SOUND_RATE)
    middle = np.round(times * SOUND_RATE).astype(int)
    low, high = np.clip(middle - half, 0, len(samples)), np.clip(middle + half, 0, len(samples))
    level = np.sqrt((power[high] - power[low]) / np.maximum(high - low, 1))
    found: Floats = np.clip(level / max(float(np.percentile(level, 92)), 1e-6), 0, 1) ** 0.6
    return found.astype(np.float32)


def curves_of(plan: ClipPlan, manner: Manner, phones: Phones, samples: NDArray[np.int16], seconds: float) -> Curves:
    """How the face moves in the clip."""
    rng = np.random.default_rng([*plan.seed, 12])
    times = frame_times(seconds, FRAME_RATE)
    loudness = loudness_of(samples, times)
    speech = mouth(phones, times, loudness, manner.clarity)
    amount = STRENGTH[plan.intensity] * manner.strength * rng.uniform(0.85, 1.15)
    wobble = np.exp(rng.normal(0, 0.1, len(UNITS)))
    emotion = course(times, rng)[:, None] * manner.shapes[plan.emotion] * amount * wobble
    shut, tucked = closure(phones, times), closure(phones, times, "labiodental")
    weights = combine(speech, np.clip(emotion, 0, 1).astype(np.float32), shut, tucked)
    weights = np.clip(weights + gaze(times, rng), 0, 1)
    lids = blinks(times, manner.blinks, rng)
    for side in ("Left", "Right"):
        lid, wide = UNITS.index(f"eyeBlink{side}"), UNITS.index(f"eyeWide{side}")
        weights[:, lid] = np.maximum(weights[:, lid], lids)
        weights[:, wide] *= 1 - lids
    return Curves(times, weights.astype(np.float32), phones.position(times), classes(phones, times), loudness)


def pictures(
    plan: ClipPlan, person: Person, head: Head, curves: Curves, renderer: Renderer, size: int
) -> Iterator[NDArray[np.uint8]]:
    """RGB [size, size, 3] of each frame."""
    rng = np.random.default_rng([*plan.seed, 13])
    scene = sample_scene(size, rng)
    motion = head_motion(curves.times, curves.loudness, plan.emotion, rng)
    exposure = 0.8 + 0.35 * person.looks.tone  # a camera exposes for the face
    for name, value in scene.uniforms.items():
        renderer.set(name, value if name.endswith("direction") else exposure * value)
    meshes = person.moved(curves.weights)
    for index, mesh in enumerate(meshes):
        weights = curves.weights[index]
        facing = normals(mesh, head.triangles)
        _wrinkle(renderer, weights, person.looks.age)
        positions, sides = person.dressed(mesh, facing, *eyes_at(person.eyes, weights))
        drawn = renderer.draw(positions, sides, motion.rotations[index], motion.translations[index], scene.camera)
        yield finish(drawn, scene, rng)


def _wrinkle(renderer: Renderer, weights: Floats, age: float) -> None:
    """Folds of the skin where units press it together; stronger in older people."""
    value = {name: float(weights[UNITS.index(name)]) for name in UNITS}
    depth = 0.5 + 0.7 * age
    brow = max(value["browInnerUp"], (value["browOuterUpLeft"] + value["browOuterUpRight"]) / 2)
    frown = (value["browDownLeft"] + value["browDownRight"]) / 2
    nose = (value["noseSneerLeft"] + value["noseSneerRight"]) / 2
    smile = (value["mouthSmileLeft"] + value["mouthSmileRight"]) / 2
    squint = (value["cheekSquintLeft"] + value["cheekSquintRight"]) / 2
    renderer.set("wrinkle_forehead", depth * (0.06 * age + 0.75 * brow))
    renderer.set("wrinkle_frown", depth * (0.05 * age + 0.9 * frown))
    renderer.set("wrinkle_nose", depth * 0.7 * nose)
    renderer.set("wrinkle_smile", depth * (0.15 * age + 0.6 * smile + 0.25 * squint + 0.25 * nose))


def write_film(
    path: Path, images: Iterator[NDArray[np.uint8]], samples: NDArray[np.int16], quality: int, size: int
) -> None:
    """An mp4 (H.264, AAC) of the square frames at 25 a second and the sound, written whole."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        video = container.add_stream("libx264", FRAME_RATE, {"crf": str(quality), "preset": "veryfast", "threads": "1"})
        video.width, video.height, video.pix_fmt = size, size, "yuv420p"
        sound = container.add_stream("aac", SOUND_RATE, layout="mono")
        sound.bit_rate = 96_000
        for index, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame.pts, frame.time_base = index, Fraction(1, FRAME_RATE)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for start in range(0, len(samples), 1024):
            piece = av.AudioFrame.from_ndarray(samples[None, start : start + 1024], "s16", "mono")
            piece.sample_rate, piece.pts, piece.time_base = SOUND_RATE, start, Fraction(1, SOUND_RATE)
            container.mux(sound.encode(piece))
        container.mux(sound.encode(None))
    atomic_write(path, [buffer.getvalue()])


def make_clip(
    plan: ClipPlan,
    person: Person,
    manner: Manner,
    head: Head,
    renderer: Renderer,
    folder: Path,
    seconds: float,
    size: int,
) -> None:
    """Write NAME.mp4 and then NAME.npz into `folder`; where the second is there, the clip is finished."""
    samples, phones = sound_of(plan, seconds)
    curves = curves_of(plan, manner, phones, samples, seconds)
    quality = int(np.random.default_rng([*plan.seed, 14]).integers(17, 27))
    images = pictures(plan, person, head, curves, renderer, size)
    write_film(folder / f"{plan.name}.mp4", images, samples, quality, size)
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        position=curves.position,
        visemes=curves.visemes.astype(np.int16),
        speaking=curves.visemes != VISEMES.index("silence"),
        weights=curves.weights.astype(np.float32),
        weight_names=np.array(UNITS),
        viseme_names=np.array(VISEMES),
    )
    atomic_write(folder / f"{plan.name}.npz", [buffer.getvalue()])
