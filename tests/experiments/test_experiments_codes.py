"""Codes of what a face does: decoded, displacements of arrays and of tensors are the same."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cdrl.face.apertures import lips  # noqa: E402
from cdrl.manipulation.prior import EmotionPrior  # noqa: E402
from cdrl.training.differentiable_rendering import prior_to_tensors  # noqa: E402
from experiments.expression_codes import OPENING_UNIT, decode_change, encode_shapes  # noqa: E402


def test_decoded_changes_are_the_same_for_arrays_and_tensors_and_close_lips_no_farther_than_shut():
    prior = EmotionPrior.load()
    shapes = prior.mean + np.random.default_rng(0).normal(0, 0.05, (3, 478, 3)).astype(np.float32)
    change = np.diff(encode_shapes(shapes, prior.mean, prior), axis=0)
    change[0, -1] = -100
    moved = decode_change(change, shapes[:-1], prior)
    tensors = [torch.from_numpy(array) for array in (change, shapes[:-1])]
    again = decode_change(*tensors, prior_to_tensors(prior, torch.device("cpu"))).numpy()
    assert np.abs(again - moved).max() <= 0.01 * np.abs(moved).max()
    openings = lips().opening(shapes[:-1] + moved) - lips().opening(shapes[:-1])
    assert openings[0] == pytest.approx(-lips().opening(shapes[0]), abs=0.05)
    assert openings[1] == pytest.approx(OPENING_UNIT * change[1, -1], abs=0.05)
