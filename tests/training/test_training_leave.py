"""Who is left out: only people that there are, and they everywhere."""

import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
for part in ("datasets", "manipulation"):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / part))

from made_performances import performed, small  # noqa: E402

from cdrl.datasets.prepared import Prepared  # noqa: E402
from cdrl.errors import UsageError  # noqa: E402
from cdrl.training import scenes  # noqa: E402


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Prepared:
    return Prepared.open(performed(tmp_path_factory.mktemp("performed"), 5))


def stage(data: Prepared, folder: Path, *leave: str) -> scenes.Stage:
    options = scenes.SceneOptions(length=3, leave=leave)
    return scenes.Stage(options, data, folder, torch.device("cpu"), True)


@pytest.mark.parametrize(
    ("name", "meant"), [("mead/ana", "mead/anna"), ("anna", "mead/anna"), ("synthetic/p01", "synthetic/p001")]
)
def test_leaving_out_nobody_is_refused_and_a_close_name_asked_about(data, tmp_path, monkeypatch, name, meant):
    small(monkeypatch)
    with pytest.raises(UsageError) as caught:
        stage(data, tmp_path, "mead/anna", name)
    assert f"--leave {name}" in str(caught.value)
    assert meant in str(caught.value)


def test_a_namesake_in_another_set_stays_among_the_references(tmp_path, monkeypatch):
    small(monkeypatch)
    sets = performed(tmp_path, 5)
    data = Prepared.open([*sets, made(tmp_path / "more", "anna")])
    found = stage(data, tmp_path, "mead/anna")
    happy = scenes.EXPRESSIVE.index("happy")
    assert len(found._showing[happy]) > len(stage(data, tmp_path, "mead/anna", "film/anna")._showing[happy])


def made(folder: Path, actor: str) -> Path:
    from made_prepared import make_prepared

    return make_prepared(folder, [actor], ("neutral", "happy"), 1, 5, dataset="film")
