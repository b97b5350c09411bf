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
from cdrl_synthetic.expression import (
    STRENGTH,
    ExpressionStyle,
    combine_weights,
    sample_blinks,
    sample_gaze,
    sample_time_course,
)
from cdrl_synthetic.forced_alignment import load_samples
from cdrl_synthetic.head import UNITS, Floats, compute_normals
from cdrl_synthetic.identity import SyntheticPerson, pose_eyes
from cdrl_synthetic.planning import ClipPlan, SyntheticSettings, compute_frame_times, place_phones
from cdrl_synthetic.rendering import Renderer
from cdrl_synthetic.scene import compose_frame, sample_head_motion, sample_scene
from cdrl_synthetic.visemes import VISEMES, Phones, classify_visemes, compute_closure, compute_mouth_weights

FRAME_RATE = 25
SOUND_RATE = 48_000
_FADE = 0.012  # seconds over which the cut-out words fade in and out


@dataclass(frozen=True)
class FaceCurves:
    """A clip's course over T frames."""

    times: NDArray[np.float64]
    """[T] seconds."""
    weights: Floats
    """Unit weights [T, 52]."""
    position: Floats
    """[T] place in the sentence, in phones."""
    visemes: NDArray[np.int64]
    """[T] indices of `VISEMES`."""
    loudness: Floats
    """[T] in [0, 1]."""


def cut_sound(plan: ClipPlan, seconds: float) -> tuple[NDArray[np.int16], Phones]:
    """Cut a clip's words out of their recording.

    Args:
        plan: The clip.
        seconds: Its length.

    Returns:
        Samples at 48 kHz, silent before and after the words, and the phones.
    """
    phones, shift = place_phones(plan, seconds)
    recorded = load_samples(plan.take.recording.path, SOUND_RATE).astype(np.float32)
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


def measure_loudness(samples: NDArray[np.int16], times: NDArray[np.float64]) -> Floats:
    """Measure the loudness around each time: root mean square over 60 ms, compressed, relative to the loud parts.

    Args:
        samples: Samples at 48 kHz.
        times: [T] seconds.

    Returns:
        [T] in [0, 1].
    """
    power = np.concatenate([[0.0], np.cumsum(np.square(samples.astype(np.float64)))])
    half = round(0.03 * SOUND_RATE)
    middle = np.round(times * SOUND_RATE).astype(int)
    low, high = np.clip(middle - half, 0, len(samples)), np.clip(middle + half, 0, len(samples))
    level = np.sqrt((power[high] - power[low]) / np.maximum(high - low, 1))
    result: Floats = np.clip(level / max(float(np.percentile(level, 92)), 1e-6), 0, 1) ** 0.6
    return result.astype(np.float32)


def compute_curves(
    plan: ClipPlan, style: ExpressionStyle, phones: Phones, samples: NDArray[np.int16], seconds: float
) -> FaceCurves:
    """Compute how the face moves in a clip.

    Args:
        plan: The clip.
        style: How the person shows emotions.
        phones: What is said, in time.
        samples: The clip's sound at 48 kHz.
        seconds: The clip's length.
    """
    rng = np.random.default_rng([*plan.seed, 12])
    times = compute_frame_times(seconds, FRAME_RATE)
    loudness = measure_loudness(samples, times)
    speech = compute_mouth_weights(phones, times, loudness, style.clarity)
    amount = STRENGTH[plan.intensity] * style.strength * rng.uniform(0.85, 1.15)
    wobble = np.exp(rng.normal(0, 0.1, len(UNITS)))
    emotion = sample_time_course(times, rng)[:, None] * style.shapes[plan.emotion] * amount * wobble
    closed, tucked = compute_closure(phones, times), compute_closure(phones, times, "labiodental")
    weights = combine_weights(speech, np.clip(emotion, 0, 1).astype(np.float32), closed, tucked)
    weights = np.clip(weights + sample_gaze(times, rng), 0, 1)
    lids = sample_blinks(times, style.blink_rate, rng)
    for side in ("Left", "Right"):
        lid, wide = UNITS.index(f"eyeBlink{side}"), UNITS.index(f"eyeWide{side}")
        weights[:, lid] = np.maximum(weights[:, lid], lids)
        weights[:, wide] *= 1 - lids
    return FaceCurves(
        times, weights.astype(np.float32), phones.positions_at(times), classify_visemes(phones, times), loudness
    )


def render_frames(
    plan: ClipPlan, person: SyntheticPerson, curves: FaceCurves, renderer: Renderer, size: int
) -> Iterator[NDArray[np.uint8]]:
    """Render a clip's frames.

    Args:
        plan: The clip.
        person: Who is seen; loaded into the renderer.
        curves: How the face moves.
        renderer: What draws.
        size: Side of the picture in pixels.

    Yields:
        RGB [size, size, 3] of each frame.
    """
    rng = np.random.default_rng([*plan.seed, 13])
    scene = sample_scene(size, rng)
    rotations, translations = sample_head_motion(curves.times, curves.loudness, plan.emotion, rng)
    exposure = 0.8 + 0.35 * person.appearance.tone  # a camera exposes for the face
    for name, value in scene.uniforms.items():
        renderer.set_uniform(name, value if name.endswith("direction") else exposure * value)
    meshes = person.deform(curves.weights)
    for mesh, weights, rotation, translation in zip(meshes, curves.weights, rotations, translations, strict=True):
        facing = compute_normals(mesh, person.head.triangles)
        _set_wrinkles(renderer, weights, person.appearance.age)
        positions, sides = person.assemble(mesh, facing, *pose_eyes(person.eyes, weights))
        yield compose_frame(renderer.draw(positions, sides, rotation, translation, scene.camera), scene, rng)


def _set_wrinkles(renderer: Renderer, weights: Floats, age: float) -> None:
    """Folds of the skin where units press it together; stronger in older people."""
    value = dict(zip(UNITS, weights.tolist(), strict=True))
    depth = 0.5 + 0.7 * age
    pairs = ("browOuterUp", "browDown", "noseSneer", "mouthSmile", "cheekSquint")
    outer, frown, nose, smile, squint = ((value[f"{name}Left"] + value[f"{name}Right"]) / 2 for name in pairs)
    renderer.set_uniform("wrinkle_forehead", depth * (0.06 * age + 0.75 * max(value["browInnerUp"], outer)))
    renderer.set_uniform("wrinkle_frown", depth * (0.05 * age + 0.9 * frown))
    renderer.set_uniform("wrinkle_nose", depth * 0.7 * nose)
    renderer.set_uniform("wrinkle_smile", depth * (0.15 * age + 0.6 * smile + 0.25 * squint + 0.25 * nose))


def write_video(
    path: Path, images: Iterator[NDArray[np.uint8]], samples: NDArray[np.int16], quality: int, size: int
) -> None:
    """Write an mp4 (H.264, AAC), whole or not at all.

    Args:
        path: The file.
        images: Square frames, 25 a second.
        samples: Sound at 48 kHz.
        quality: Constant rate factor of the encoder.
        size: Side of the frames.

    Raises:
        OutputError: The file cannot be written.
    """
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
    person: SyntheticPerson,
    style: ExpressionStyle,
    renderer: Renderer,
    folder: Path,
    settings: SyntheticSettings,
) -> None:
    """Write NAME.mp4 and then NAME.npz; where the second is there, the clip is finished.

    Args:
        plan: The clip.
        person: Who is seen; loaded into the renderer.
        style: How they show emotions.
        renderer: What draws.
        folder: Where the files go.
        settings: Length and size of the clip.

    Raises:
        OutputError: A file cannot be written.
    """
    samples, phones = cut_sound(plan, settings.seconds)
    curves = compute_curves(plan, style, phones, samples, settings.seconds)
    quality = int(np.random.default_rng([*plan.seed, 14]).integers(17, 27))
    images = render_frames(plan, person, curves, renderer, settings.size)
    write_video(folder / f"{plan.name}.mp4", images, samples, quality, settings.size)
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        position=curves.position,
        visemes=curves.visemes.astype(np.int16),
        speaking=curves.visemes != VISEMES.index("silence"),
        weights=curves.weights,
        weight_names=np.array(UNITS),
        viseme_names=np.array(VISEMES),
    )
    atomic_write(folder / f"{plan.name}.npz", [buffer.getvalue()])
