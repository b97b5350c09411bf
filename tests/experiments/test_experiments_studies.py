"""The studies of the representations: attention by known maps, closed lips, free sentences, figures, the command."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "evaluation" / "representation"))

from made_people import MadeContent, MadeEmotion, made_people, made_prepared, quiet  # noqa: E402

from cdrl.cli import evaluate_representation  # noqa: E402
from cdrl.emotions import EMOTIONS  # noqa: E402
from cdrl.errors import UsageError  # noqa: E402
from cdrl.evaluation.representation.features import OWN, SILENT, compute_content_features  # noqa: E402
from cdrl.evaluation.representation.frame_index import index_frames  # noqa: E402
from experiments import attention, figures, lip_closure, mouth_gradient, sentences  # noqa: E402
from experiments.representation_studies import Options, run, study  # noqa: E402


class Speaking(MadeEmotion):
    """An emotion model that understands what every sentence means."""

    def sentences(self, texts):
        labels = dict(sentences.SENTENCES)
        return self.prompts[[EMOTIONS.index(labels[text]) for text in texts]]


@pytest.fixture(scope="module")
def models():
    return {"content": MadeContent("mouth"), "hears": MadeContent("sound")}, {"emotion": Speaking()}


@pytest.fixture(scope="module")
def people():
    """Synthetic people whose mouths hardly open: no lips are closed, and no gradient is followed."""
    clips = made_people(people=4)
    for clip in clips:
        clip.landmarks[:] = clip.landmarks[:1]
    return made_prepared(clips)


@pytest.fixture(scope="module")
def results(models, people):
    torch.set_num_threads(1)
    return study(people, *models, Options((), Path("unused.json")), quiet)


def test_attention_in_the_lower_face_and_what_an_even_map_would_give():
    index = index_frames("synthetic", made_people(2), 70)
    features = compute_content_features({"x": MadeContent("mouth")}, index, None, lambda count: None)["x"]
    row, found = attention.measure_attention("x", index, features)[SILENT]
    assert row.estimate.value > 0.95
    assert 0.1 < row.chance < 0.8
    assert found.mean_map.sum() == pytest.approx(1)
    turned = features.attention[SILENT].reshape(-1, 16, 16)[:, ::-1].reshape(len(index), -1)
    upside_down = type(features)(features.vectors, {SILENT: turned}, features.grid, features.pooled)
    assert attention.measure_attention("x", index, upside_down)[SILENT][0].estimate.value < 0.01


def test_open_mouths_are_closed_and_the_fall_of_the_cosine_is_measured():
    index = index_frames("synthetic", made_people(2), 70)
    rows = lip_closure.choose_open_frames(index)
    assert len(rows) == 2 * len(index.clips) == len(set(rows.tolist()))
    pairs = lip_closure.make_closure_pairs(index, (0,))[:4]
    falls = lip_closure.measure_falls({"content": MadeContent("mouth")}, index, pairs)
    assert falls["content"][OWN][0].shape == falls["content"][OWN][1].shape == (4,)
    measured = {row.measure: row for row in lip_closure.measure_closure(falls, index, pairs) if row.condition == OWN}
    assert measured[lip_closure.CLOSED].estimate.value > measured[lip_closure.BROWS].estimate.value >= -1e-6
    assert measured[lip_closure.BROWS].threshold.at == pytest.approx(measured[lip_closure.CLOSED].estimate.value / 3)


def test_a_descent_is_right_by_sign_place_and_sight():
    start = mouth_gradient.Start(0, 1, "closed", 2.0)
    descent = mouth_gradient.Descent(start, -0.1, 0.2, (0.1, 0.2), (0.10, 0.09), ())
    expected = {mouth_gradient.SLOPE: True, mouth_gradient.END: False, mouth_gradient.SEEN: True}
    assert descent.is_right == expected
    images = torch.rand(1, 1, 3, 8, 8)
    shifts = torch.zeros(1, 1, 9, 8, 8, 2)
    shifts[:, :, -1, ..., 0] = 1  # amount 1 takes every pixel from its right neighbor
    assert torch.allclose(mouth_gradient.open_mouths(images, shifts, torch.zeros(1, 1)), images, atol=1e-6)
    moved = mouth_gradient.open_mouths(images, shifts, torch.ones(1, 1))
    assert torch.allclose(moved[..., :-1], images[..., 1:], atol=1e-5)


def test_free_sentences_are_counted_and_shown(results):
    row = next(row for row in results.rows if row.measure == sentences.MEASURE)
    assert (row.estimate.value, row.estimate.count) == (1.0, 20)
    assert {line["nearest"] for line in results.details["sentences"]} == set(EMOTIONS)
    assert results.ablations().columns[-2:].tolist() == ["hears", "threshold"]


def test_figures_show_nobody_whose_license_does_not_allow_it(results):
    assert {"attention_synthetic", "retrieval_synthetic"} <= set(results.pictures)
    metadata = SimpleNamespace(synthetic=False, dataset="mead")
    index = SimpleNamespace(clips=[SimpleNamespace(metadata=metadata)], clip=np.zeros(1, int))
    assert not figures.may_be_shown(index, 0)
    metadata.dataset = "crema_d"
    assert figures.may_be_shown(index, 0)
    assert figures.encode_png(results.pictures["retrieval_synthetic"]).startswith(b"\x89PNG")


def test_the_command_writes_numbers_tables_and_figures(models, people, tmp_path, monkeypatch, capsys):
    loaded = dict(zip(("content", "emotion"), models, strict=True)), {}
    monkeypatch.setattr(evaluate_representation, "load_models", lambda options: loaded)
    monkeypatch.setattr("experiments.representation_studies.PreparedDataset", SimpleNamespace(open=lambda data: people))
    confusion = {"synthetic, whole clips": np.eye(7, dtype=int).tolist()}
    (tmp_path / "report.json").write_text(json.dumps({"confusion": confusion}))
    outputs = {"markdown": tmp_path / "numbers.md", "pictures": tmp_path / "figures"}
    report = tmp_path / "report.json"
    assert run(Options((tmp_path,), tmp_path / "numbers.json", gradient=2, report=report, **outputs)) == 0
    assert json.loads((tmp_path / "numbers.json").read_text())["sentences"][0]["label"] == "happy"
    assert "She clenches her jaw" in (tmp_path / "numbers.md").read_text()
    assert (tmp_path / "figures" / "confusion_synthetic.png").stat().st_size > 1000
    assert "thresholds: " in capsys.readouterr().out
    with pytest.raises(UsageError, match="--gradient"):
        run(Options((tmp_path,), tmp_path / "numbers.json", gradient=-1))
