"""Patterns, displacements and shading in torch: what the editor computes, with gradients to the translator's answer."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cdrl.manipulation.differentiable import DifferentiablePrior, Patterns  # noqa: E402
from cdrl.manipulation.edit import Manipulator, shown_pattern  # noqa: E402
from cdrl.manipulation.person import Person  # noqa: E402
from cdrl.manipulation.prior import EXPRESSIVE, EmotionPrior  # noqa: E402
from cdrl.manipulation.traits import FURTHER, adaptation  # noqa: E402
from cdrl.plan import EditPlan  # noqa: E402


@pytest.fixture(scope="module")
def prior():
    return EmotionPrior.load()


@pytest.fixture
def person(prior):
    """Somebody who smiles a little, in flat light."""
    neutral = prior.mean + 0.7 * prior.identity[0] - 0.4 * prior.identity[3]
    return Person(neutral + 0.4 * prior.offset[EXPRESSIVE.index("happy")], neutral, {"happy": 0.4}, 0.35, None, 0.1)


def answer(prior, size=0.3):
    change = np.random.default_rng(3).normal(0, size, (len(EXPRESSIVE), len(prior.expression_deviation) + FURTHER))
    change[:, -FURTHER:] *= 0.4
    return change.astype(np.float32)


@pytest.mark.parametrize("emotion", EXPRESSIVE)
def test_it_computes_what_the_editor_computes(prior, person, emotion):
    change = answer(prior)
    pattern = Manipulator(prior.adapted(adaptation(change)), EditPlan.parse(emotion=emotion)).pattern(
        {emotion: 1.0}, person
    )
    shapes = person.mean + np.random.default_rng(1).normal(0, 0.02, (3, 478, 3)).astype(np.float32)
    expected = [pattern.displacement(shape, person.closed) for shape in shapes]

    twin = DifferentiablePrior(prior)
    amounts = torch.eye(len(EXPRESSIVE))[EXPRESSIVE.index(emotion)][None]
    shown = Patterns.of([shown_pattern(person, prior.adapted(adaptation(change)))])
    patterns = twin.patterns(torch.from_numpy(change)[None], amounts).minus(shown)
    found = twin.displacement(patterns, torch.from_numpy(shapes)[None], torch.tensor([person.closed]))[0]
    assert np.abs(found.numpy() - expected).max() < 1e-4
    gain = twin.lit(patterns.gain, torch.tensor([person.relief]))[0]
    assert np.abs(gain.numpy() - pattern.gain).max() < 1e-4
