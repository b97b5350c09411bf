"""`cdrl train sync` beside what every recipe keeps: it learns, is measured by a command, caches lips, and refuses."""

import json
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from recipes import RECIPES  # noqa: E402
from runs import losses  # noqa: E402

from cdrl.cli import main as cli  # noqa: E402
from cdrl.errors import UsageError  # noqa: E402
from cdrl.representations.lip_sync import load_lip_sync  # noqa: E402
from cdrl.training import sync  # noqa: E402

RECIPE = RECIPES["sync"]
pytestmark = pytest.mark.usefixtures("slow_models")


def test_it_learns_and_is_measured(finished, data_of, tmp_path, capsys):
    output, published = finished(RECIPE)
    loss = losses(output)
    assert sum(loss[step] for step in (10, 11, 12)) < sum(loss[step] for step in (1, 2, 3))
    assert load_lip_sync(published).config.speech == "made"
    report = tmp_path / "report.json"
    folders = [str(data_of(RECIPE) / name) for name in ("synthetic", "real")]
    assert cli.main(["evaluate", "sync", "--data", *folders, "--sync", str(published), "--json", str(report)]) == 0
    rows = {(row["people"], row["measure"], row["condition"]): row for row in json.loads(report.read_text())["rows"]}
    assert 0 <= rows["synthetic", "AUC", "whole clips"]["value"] <= 1
    assert rows["real", "AUC", "whole clips"]["value"] is None  # the one real person was trained on
    assert rows["real", "AUC", "whole clips"]["reason"]
    assert "AUC" in capsys.readouterr().out


def test_lips_are_looked_at_once(data_of, tmp_path, monkeypatch):
    given = RECIPE.make_options(data_of(RECIPE), tmp_path / "first")
    short = replace(given, loop=replace(given.loop, steps=1), cache=tmp_path / "cache")
    RECIPE.train(short)
    monkeypatch.setattr(sync, "read_lip_clip", lambda clip: pytest.fail("looked at again"))
    RECIPE.train(replace(short, loop=replace(short.loop, output=tmp_path / "second")))
    assert losses(tmp_path / "first") == pytest.approx(losses(tmp_path / "second"), abs=1e-2)


def test_too_little_sound_is_refused_in_one_line(data_of, tmp_path):
    with pytest.raises(UsageError, match="0 clips with sound are long enough") as caught:
        RECIPE.train(replace(RECIPE.make_options(data_of(RECIPE), tmp_path / "run"), moments=100))
    assert "\n" not in str(caught.value)
