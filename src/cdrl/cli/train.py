"""`cdrl train ...`: the recipes. Their options are read without torch, which loads with the recipe itself."""

from __future__ import annotations

from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any

from cdrl.training import options


@dataclass(frozen=True)
class Recipe:
    """A command that is a recipe of `cdrl.training`; it has what the module of another command has."""

    Options: type[Any]
    function: str
    """What carries the options out, as in `prior:fit_priors`."""

    def run(self, chosen: Any) -> int:
        """Run the recipe and return the exit code."""
        resolve_name(f"cdrl.training.{self.function}")(chosen)
        return 0


prior = Recipe(options.PriorOptions, "prior:fit_priors")
vlm = Recipe(options.VlmOptions, "vlm:train_vlm")
content = Recipe(options.ContentOptions, "content:train_content")
emotion = Recipe(options.EmotionOptions, "emotion:train_emotion")
sync = Recipe(options.SyncOptions, "sync:train_sync")
translator = Recipe(options.TranslatorOptions, "translator:train_translator")
segmenter = Recipe(options.SegmenterOptions, "segmenter:train_segmenter")
renderer = Recipe(options.RendererOptions, "renderer:train_renderer")
