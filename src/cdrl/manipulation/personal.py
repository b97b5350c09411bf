"""The trained translator at work: the fitted prior becomes a person's own. It runs in onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from cdrl.assets import TRANSLATOR, user_bytes, verified_bytes
from cdrl.errors import AssetError
from cdrl.manipulation.person import Person
from cdrl.manipulation.prior import EXPRESSIVE, EmotionPrior
from cdrl.manipulation.traits import FURTHER, Example, adaptation, style, traits


class PersonalPrior:
    """`personal(person)` → the prior of this person; `examples` show how the person was seen to show emotions."""

    def __init__(self, prior: EmotionPrior, path: Path | None = None, examples: Sequence[Example] = ()) -> None:
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
        wanted = {"traits": [1, len(prior.identity) + count + 2], "style": [1, count, modes + 1]}
        if inputs != wanted or wide != [1, count, modes + FURTHER]:
            raise AssetError(f"{name}: a translator for another prior; train it again with `cdrl train translator`")
        if self.prior_sha256 != prior.sha256:
            raise AssetError(
                f"{name}: was trained for another prior (SHA-256 {self.prior_sha256[:12]}...) than the one that is "
                "used: give the one it was trained for with --prior, or train it again"
            )
        self._prior, self._examples = prior, tuple(examples)
        self._of = lru_cache(maxsize=16)(self._adapted)

    @property
    def prior_sha256(self) -> str:
        """Of the prior that it was trained for."""
        return str(self._session.get_modelmeta().custom_metadata_map.get("prior_sha256", ""))

    def __call__(self, person: Person) -> EmotionPrior:
        """See the class."""
        return self._of(person)

    def _adapted(self, person: Person) -> EmotionPrior:
        given = {
            "traits": traits(person, self._prior)[None],
            "style": style(self._examples, person.neutral, self._prior)[None],
        }
        change = self._session.run(None, given)[0][0]
        return self._prior.adapted(adaptation(np.asarray(change, np.float32)))
