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

# Small matrices: threads that wait for one another, spinning, take twice the time of one. NumPy reads it as it loads.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

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


# `make test-fast` runs these: they need neither torch nor gradio nor a browser, and none takes more than seconds.
FAST = {
    *("test_emotions", "test_plan", "test_timecodes", "test_project", "test_files", "test_assets", "test_cli"),
    *("test_default_output", "test_doctor", "test_records", "test_batch_jobs", "test_batch_memory"),
    *("test_media_errors", "test_media_prefetch", "test_media_times", "test_media_tracks", "test_media_pictures"),
    *("test_face_apertures", "test_face_mesh", "test_face_pose", "test_face_tracking"),
    *("test_manipulation_estimation", "test_manipulation_manipulator", "test_manipulation_person"),
    *("test_rendering_flow", "test_rendering_mouth", "test_rendering_raster", "test_rendering_render"),
    *("test_rendering_texture", "test_app_sessions", "test_manipulation_prior", "test_provenance_labels"),
}


def pytest_ignore_collect(collection_path, config):
    """Import no other file for `-m fast`: some take seconds to load torch."""
    other = collection_path.suffix == ".py" and collection_path.stem not in FAST
    return True if config.option.markexpr == "fast" and other else None


def pytest_collection_modifyitems(items):
    """Mark what `make test-fast` runs."""
    for item in items:
        if item.path.stem in FAST and item.get_closest_marker("slow") is None:
            item.add_marker(pytest.mark.fast)
