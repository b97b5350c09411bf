"""What more than one test needs: where the repository is, and the bundled sample."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes says more about what else the machine does than about us.
settings.register_profile("cdrl", deadline=None)
settings.load_profile("cdrl")

# A shell starts what runs in the background deaf to Ctrl-C, and so are all processes that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The people in the test clips agreed to be recorded for research; what asks a user is tested by itself.
os.environ["CDRL_I_HAVE_CONSENT"] = "1"


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the source tree."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def sample(repository) -> Path:
    """The bundled real clip: neutral, 480x360, about two seconds, FLV."""
    return repository / "examples" / "1001_DFA_NEU_XX.flv"
