"""The prior that ships, read once."""

import pytest

from cdrl.manipulation.prior import EmotionPrior


@pytest.fixture(scope="session")
def prior():
    return EmotionPrior.load()
