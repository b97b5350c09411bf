"""The fitted prior becomes a person's own: by the trained translator, which runs in onnxruntime, and by examples."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from cdrl.arrays import Array
from cdrl.assets import TRANSLATOR, user_bytes, verified_bytes
from cdrl.errors import ModelFileError
from cdrl.face.bundle import Floats
from cdrl.face.mesh import region_weights
from cdrl.manipulation.expression_change import REFERENCE_RELIEF
from cdrl.manipulation.person import Person
from cdrl.manipulation.prior import EXPRESSIVE, Adaptation, EmotionPrior, EnrollmentExample

MAX_BYTES = 1 << 24
"""Most bytes of a translator; ours has a little over a hundred thousand."""
MAX_MEMORY = 1 << 28
"""Most bytes that a translator may take to compute, whatever its graph asks for."""
MAX_SECONDS = 10
"""Most seconds that it may take for one person; ours takes a thousandth."""
_EXTERNAL_DATA_KEY = b"location"  # a key that ONNX files have only where they name other files
N_REGIONS = len(region_weights())
N_EXTRA_OUTPUTS = N_REGIONS + 3
"""Numbers of an emotion's adaptation beside its code: strengths by region, lip opening, lids, shading."""
_MAX_DEVIATIONS = 3.0  # beyond it a feature says no more


class PersonalPrior:
    """Returns the prior of a person: `personal_prior(person)`."""

    def __init__(
        self,
        prior: EmotionPrior,
        translator: Callable[[Person], Adaptation] | None = None,
        examples: Sequence[EnrollmentExample] = (),
    ) -> None:
        """Prepare.

        Args:
            prior: The fitted prior.
            translator: Returns how a person shows each emotion otherwise than the prior has it.
            examples: How the person was seen to show emotions.
        """
        self._prior, self._translator, self._examples = prior, translator, tuple(examples)
        self._cache = lru_cache(maxsize=16)(self._personalize)

    def __call__(self, person: Person) -> EmotionPrior:
        """Return the prior of a person; the last ones are kept."""
        return self._cache(person)

    def _personalize(self, person: Person) -> EmotionPrior:
        adapted = self._prior if self._translator is None else self._prior.adapt(self._translator(person))
        return adapted.enroll(self._examples, person.neutral_shape)


class OnnxTranslator:
    """The trained translator in onnxruntime: `translator(person)` returns how they show each emotion."""

    def __init__(self, prior: EmotionPrior, path: Path | None = None) -> None:
        """Load a translator.

        Args:
            prior: The prior that it adapts.
            path: Its ONNX file; the one that ships by default.

        Raises:
            ModelFileError: The file is missing, no translator, or was trained for another prior.
        """
        import onnxruntime  # noqa: PLC0415  a quarter of a second that nothing else needs

        name = path or TRANSLATOR
        data = verified_bytes(TRANSLATOR) if path is None else user_bytes(path, MAX_BYTES)
        if _EXTERNAL_DATA_KEY in data:
            raise ModelFileError(f"{name}: keeps its numbers in other files, which are not read: export it as one file")
        options = onnxruntime.SessionOptions()
        _limit_memory()
        options.add_session_config_entry("session.use_env_allocators", "1")
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # runs nothing yet
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session: Any = onnxruntime.InferenceSession(
                data, options, providers=["CPUExecutionProvider"], enable_fallback=0
            )
            inputs = {item.name: item.shape for item in self._session.get_inputs()}
            outputs = self._session.get_outputs()[0].shape
            # Of the prior that it was trained for; read here, for a damaged model's words may be no text.
            self.prior_sha256 = str(self._session.get_modelmeta().custom_metadata_map.get("prior_sha256", ""))
        except Exception as error:  # onnxruntime's errors have no common class of their own
            raise ModelFileError(f"{name}: not a translator; train one with `cdrl train translator`") from error
        count, modes = len(EXPRESSIVE), len(prior.expression_deviation)
        expected = {"traits": [1, len(prior.identity) + count + 2]}
        if inputs != expected or outputs != [1, count, modes + N_EXTRA_OUTPUTS]:
            raise ModelFileError(f"{name}: a translator for another prior; train it again with `cdrl train translator`")
        if self.prior_sha256 != prior.sha256:
            raise ModelFileError(
                f"{name}: was trained for another prior (SHA-256 {self.prior_sha256[:12]}...) than the one that is "
                "used: give the one it was trained for with --prior, or train it again"
            )
        self._prior, self._name = prior, name

    def __call__(self, person: Person) -> Adaptation:
        """Return how a person shows each emotion otherwise than the prior has it.

        Raises:
            ModelFileError: The translator takes too much time or memory, or its outputs are no numbers.
        """
        import onnxruntime  # noqa: PLC0415

        options = onnxruntime.RunOptions()
        options.log_severity_level = 4
        stop = threading.Timer(MAX_SECONDS, setattr, (options, "terminate", True))
        stop.start()
        try:
            change = self._session.run(None, {"traits": person_features(person, self._prior)[None]}, options)[0][0]
        except Exception as error:  # onnxruntime's errors have no common class of their own
            raise ModelFileError(
                f"{self._name}: does not run within {MAX_SECONDS} s and {MAX_MEMORY:,} bytes; train it again with "
                "`cdrl train translator`"
            ) from error
        finally:
            stop.cancel()
        if not np.isfinite(change).all():
            raise ModelFileError(f"{self._name}: gives no numbers; train it again with `cdrl train translator`")
        return split_outputs(np.asarray(change, np.float32))


@cache
def _limit_memory() -> None:
    """Limit the arena that every translator of this process computes in."""
    import onnxruntime  # noqa: PLC0415

    kind = (onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT)
    arena = onnxruntime.OrtArenaCfg({"max_mem": MAX_MEMORY})
    onnxruntime.create_and_register_allocator(onnxruntime.OrtMemoryInfo("Cpu", *kind), arena)


def person_features(person: Person, prior: EmotionPrior) -> Floats:
    """Return what a person looks like.

    Returns:
        [i + e + 2]: the identity code in deviations, the amounts of emotion shown already, the opening of closed lips
        in cm, and the relief over the reference relief.
    """
    modes = prior.identity.reshape(len(prior.identity), -1)
    code = modes @ (person.neutral_shape - prior.mean).ravel() / np.maximum(np.square(modes).sum(1), 1e-9)
    emotions = [person.emotions.get(name, 0.0) for name in EXPRESSIVE]
    further = [person.closed_opening, person.relief / REFERENCE_RELIEF]
    return np.concatenate([np.clip(code, -_MAX_DEVIATIONS, _MAX_DEVIATIONS), emotions, further]).astype(np.float32)


def encode_offset(offset: Floats, prior: EmotionPrior) -> Floats:
    """Return the code [..., c] of an offset [..., 478, 3], in deviations of the expression modes."""
    modes = prior.expression.reshape(len(prior.expression), -1)
    code: Floats = offset.reshape(*offset.shape[:-2], -1) @ modes.T / np.maximum(prior.expression_deviation, 1e-6)
    return code.astype(np.float32)


def split_outputs(outputs: Array) -> Adaptation:
    """Return the translator's outputs [..., e, c + N_EXTRA_OUTPUTS] as an adaptation of the prior."""
    code, strength = outputs[..., :-N_EXTRA_OUTPUTS], outputs[..., -N_EXTRA_OUTPUTS:-3]
    return Adaptation(code, strength, outputs[..., -3], outputs[..., -2], outputs[..., -1])
