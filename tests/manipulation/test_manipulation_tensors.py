"""The numeric core computes the same with NumPy arrays and with tensors, and its gradients are right."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.autograd import gradcheck  # noqa: E402

from cdrl.face.apertures import lids, lips, remove_apertures  # noqa: E402
from cdrl.manipulation.expression_change import ExpressionChange, apply_shading  # noqa: E402
from cdrl.manipulation.manipulator import Manipulator, shown_expression  # noqa: E402
from cdrl.manipulation.person import Person  # noqa: E402
from cdrl.manipulation.personalization import (  # noqa: E402
    N_EXTRA_OUTPUTS,
    split_outputs,
)
from cdrl.manipulation.prior import EXPRESSIVE, EmotionPrior, array_names  # noqa: E402
from cdrl.plan import EditPlan  # noqa: E402
from cdrl.rendering.texture import SIZE  # noqa: E402
from cdrl.training.differentiable_rendering import prior_to_tensors, stack_changes  # noqa: E402

CPU = torch.device("cpu")
SHARE = 0.01  # of the change


@pytest.fixture
def person(prior):
    """Somebody in flat light who is read as smiling a little, with a face like no emotion's: it makes room for all."""
    neutral = prior.mean + 0.7 * prior.identity[0] - 0.4 * prior.identity[3]
    amounts = np.random.default_rng(5).normal(0, 0.3, len(prior.expression)).astype(np.float32)
    shown = neutral + np.tensordot(amounts, prior.expression, 1)
    return Person(shown, neutral, {"happy": 0.4}, 0.35, 0.6, 1.0, None, 0.1)


@pytest.fixture
def shapes(person):
    """[3, 478, 3]: the person with lips closed, parted and wide open, and wide eyes."""
    noise = np.random.default_rng(1).normal(0, 0.02, (3, 478, 3))
    opened = lips().opening_displacement(np.tile(np.float32([0, 1, 0]), (9, 1)))
    wide = lids().opening_displacement(0.6 * lids().vectors(person.mean_shape))
    return (person.mean_shape + noise + np.array([0, 0.3, 1.2])[:, None, None] * opened + wide).astype(np.float32)


def translator_outputs(prior, size=0.3):
    wide = len(prior.expression_deviation) + N_EXTRA_OUTPUTS
    outputs = np.random.default_rng(3).normal(0, size, (len(EXPRESSIVE), wide))
    outputs[:, -N_EXTRA_OUTPUTS:] *= 0.4
    return outputs.astype(np.float32)


def assert_near(found, wanted):
    assert np.abs(found.numpy() - wanted).max() <= SHARE * np.abs(wanted).max()


@pytest.mark.parametrize("emotion", EXPRESSIVE)
def test_tensors_give_what_the_editor_computes(prior, person, shapes, emotion):
    outputs = translator_outputs(prior)
    own = prior.adapt(split_outputs(outputs))
    change = Manipulator(own, EditPlan.parse(emotion=emotion)).compute_change({emotion: 1.0}, person)
    weights = torch.eye(len(EXPRESSIVE))[EXPRESSIVE.index(emotion)][None]
    shown = stack_changes([shown_expression(person, own)], CPU)
    batch = prior_to_tensors(prior, CPU).adapt(split_outputs(torch.from_numpy(outputs)[None]))
    found = batch.blend_weights(weights).add(shown, -1.0)
    closed, mean = (torch.tensor([[opening]]) for opening in (person.closed_opening, person.mean_opening))
    moved = found[:, None].compute_displacement(torch.from_numpy(shapes)[None], closed, mean)
    for displacement, shape in zip(moved[0], shapes, strict=True):
        assert_near(displacement, change.compute_displacement(shape, person.closed_opening, person.mean_opening))
    assert_near(apply_shading(found.gain, torch.tensor([person.relief]))[0], change.gain)


def doubles(*arrays):
    return [torch.from_numpy(np.asarray(array, np.float64)).requires_grad_() for array in arrays]


def test_gradients_of_displacements_are_those_of_small_changes(prior, shapes):
    change = prior.blend_emotions({"surprised": 0.6, "angry": 0.7})
    openings = torch.tensor([0.35, 0.9], dtype=torch.float64)  # of closed lips, and in the mean

    def displacement(offset, reduction, opening, ratio, shape):
        return ExpressionChange(offset, reduction, opening, ratio, None).compute_displacement(shape, *openings)

    inputs = doubles(change.offset, change.closed_lip_reduction, change.lip_opening, change.lid_ratio, shapes[1:])
    assert gradcheck(displacement, inputs, fast_mode=True)


def test_gradients_of_apertures_and_shading_are_those_of_small_changes(prior):
    random = np.random.default_rng(0)
    assert gradcheck(remove_apertures, doubles(random.normal(size=(2, 478, 3))), fast_mode=True)
    gain, relief = doubles(random.normal(0, 0.2, (2, SIZE, SIZE)), [0.05, 0.1])
    assert gradcheck(apply_shading, (gain, relief), fast_mode=True)


def test_gradients_reach_the_translator_s_outputs(prior):
    tensors = prior_to_tensors(prior, CPU)
    fields = {name: getattr(tensors, name).double() for name in array_names()}
    exact = EmotionPrior(**fields)
    (outputs,) = doubles(translator_outputs(prior)[None])
    weights = torch.full((1, len(EXPRESSIVE)), 0.1, dtype=torch.float64)

    def blended(outputs):
        change = exact.adapt(split_outputs(outputs)).blend_weights(weights)
        return change.offset, change.closed_lip_reduction, change.lip_opening, change.lid_ratio, change.gain

    assert gradcheck(blended, outputs, fast_mode=True)
