"""The fitted prior becomes a person's own: by the trained translator, which runs in onnxruntime, and by examples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from cdrl.assets import TRANSLATOR, user_bytes, verified_bytes
from cdrl.errors import AssetError
from cdrl.manipulation.person import Person
from cdrl.manipulation.prior import EXPRESSIVE, Adaptation, EmotionPrior, Example
from cdrl.manipulation.traits import FURTHER, adaptation, traits


class PersonalPrior:
    """`personal(person)` → the prior of this person; `examples` show how the person was seen to show emotions."""

    def __init__(
        self,
        prior: EmotionPrior,
        translator: Callable[[Person], Adaptation] | None = None,
        examples: Sequence[Example] = (),
    ) -> None:
        self._prior, self._translator, self._examples = prior, translator, tuple(examples)
        self._of = lru_cache(maxsize=16)(self._own)

    def __call__(self, person: Person) -> EmotionPrior:
        """See the class."""
        return self._of(person)

    def _own(self, person: Person) -> EmotionPrior:
        adapted = self._prior if self._translator is None else self._prior.adapted(self._translator(person))
        return adapted.enrolled(self._examples, person.neutral)


class OnnxTranslator:
    """The trained translator at work: `translator(person)` → how they show each emotion."""

    def __init__(self, prior: EmotionPrior, path: Path | None = None) -> None:
        """The translator in `path`, or the one that ships. AssetError where it is missing, no translator, or was
        trained for another prior."""
        import onnxruntime  # noqa: PLC0415  a quarter of a second that nothing else needs

        name = path or TRANSLATOR
        data = verified_bytes(TRANSLATOR) if path is None else user_bytes(path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session: Any = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
            inputs = {item.name: item.shape for item in self._session.get_inputs()}
            wide = self._session.get_outputs()[0].shape
        except Exception as error:  # onnxruntime's errors have no common class of their own
            raise AssetError(f"{name}: not a translator; train one with `cdrl train translator`") from error
        count, modes = len(EXPRESSIVE), len(prior.expression_deviation)
        wanted = {"traits": [1, len(prior.identity) + count + 2]}
        if inputs != wanted or wide != [1, count, modes + FURTHER]:
            raise AssetError(f"{name}: a translator for another prior; train it again with `cdrl train translator`")
        if self.prior_sha256 != prior.sha256:
            raise AssetError(
                f"{name}: was trained for another prior (SHA-256 {self.prior_sha256[:12]}...) than the one that is "
                "used: give the one it was trained for with --prior, or train it again"
            )
        self._prior = prior

    @property
    def prior_sha256(self) -> str:
        """Of the prior that it was trained for."""
        return str(self._session.get_modelmeta().custom_metadata_map.get("prior_sha256", ""))

    def __call__(self, person: Person) -> Adaptation:
        """See the class."""
        change = self._session.run(None, {"traits": traits(person, self._prior)[None]})[0][0]
        return adaptation(np.asarray(change, np.float32))
