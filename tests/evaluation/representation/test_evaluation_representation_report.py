"""The whole report: models that know one thing only are found out; what cannot be measured is said, not passed."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from made_people import MadeContent, MadeEmotion, made_people, made_prepared, quiet  # noqa: E402

from cdrl.emotions import EMOTIONS  # noqa: E402
from cdrl.errors import InputError, InputNotFoundError, UsageError  # noqa: E402
from cdrl.evaluation.representation import content, emotion, report  # noqa: E402
from cdrl.evaluation.representation.features import OWN, SILENT, represent_emotion  # noqa: E402
from cdrl.evaluation.representation.frame_index import REAL, SYNTHETIC  # noqa: E402
from cdrl.evaluation.representation.report import ReportSettings, build_report  # noqa: E402


@pytest.fixture(scope="module")
def results():
    """Synthetic people alone, with two content and two emotion models."""
    torch.set_num_threads(1)
    clips = made_people(people=4)
    content_models = {"content": MadeContent("mouth"), "hears": MadeContent("sound")}
    emotion_models = {"emotion": MadeEmotion(), "leaks": MadeEmotion(leaks=True)}
    return build(clips, content_models, emotion_models)


def build(clips, content_models, emotion_models=(), **facts):
    prepared = made_prepared(clips, **facts)
    return build_report(prepared, content_models, dict(emotion_models), ReportSettings(every=3), quiet)


def find(results, model, measure, condition, people=SYNTHETIC):
    (row,) = (r for r in results.rows if (r.model, *r.key) == (model, measure, people, condition))
    return row


def test_an_emotion_model_that_reads_the_emotion_alone_passes(results):
    assert find(results, "emotion", emotion.RECOGNIZED, emotion.CLIPS).estimate.value == 1
    assert find(results, "emotion", emotion.RECOGNIZED, emotion.FRAMES).estimate.value == 1
    for kind in ("linear", "small network"):
        row = find(results, "emotion", emotion.VISEME_READ, kind)
        assert row.threshold.passes(row.estimate), row
        raw = find(results, "emotion", emotion.RAW_VISEME, kind)
        assert raw.threshold.passes(raw.estimate), raw


def test_an_emotion_model_that_keeps_the_mouth_is_found_out(results):
    row = find(results, "leaks", emotion.VISEME_READ, "linear")
    assert row.estimate.value > row.chance + 0.3 and row.threshold.passes(row.estimate) is False


def test_what_could_not_be_measured_is_in_the_report_with_its_reason(results):
    row = find(results, "emotion", emotion.RECOGNIZED, emotion.PICTURES, emotion.FER)
    assert row.threshold and row.threshold.passes(row.estimate) is None and "--fer" in row.estimate.reason
    real = [row for row in results.rows if row.people == REAL and row.model == "emotion"]
    assert len(real) == 1 and "no clip of real people" in real[0].estimate.reason
    assert results.verdicts()["not measured"] >= 3


def test_the_report_is_json_and_markdown_with_one_column_an_ablation(results):
    facts = json.loads(json.dumps(results.to_json(), allow_nan=False))
    assert {row["model"] for row in facts["rows"]} == {"content", "emotion"}
    assert {row["model"] for row in facts["ablations"]} == {"hears", "leaks"}
    assert np.array(facts["confusion"][f"{SYNTHETIC}, {emotion.CLIPS}"]).shape == (7, 7)
    ablations = results.ablations()
    assert ablations.columns[-3:].tolist() == ["hears", "leaks", "threshold"]
    line = ablations[(ablations["measure"] == content.RETRIEVAL) & (ablations["with"] == SILENT)].iloc[0]
    assert float(line["shipped"]) > 0.9 and float(line["hears"]) < 0.2 and line["leaks"] == ""
    text = report.write_markdown(results)
    assert "## Ablations" in text and "| neutral |" in text and "| 1.000 |" in text
    assert [table.row_count for table in report.screen_tables(results)] == [len(results.shipped), len(ablations)]


def test_the_representation_is_what_training_compares():
    model = MadeEmotion()
    tower, features, logits = represent_emotion(model, torch.rand(2, 3, 224, 224))
    assert features.shape == (2, 7 * tower.shape[1])
    assert torch.allclose(features.reshape(2, 7, -1).sum(2), logits, atol=1e-6)


def test_fer_images_are_read_from_the_test_split_alone(tmp_path):
    path = tmp_path / "faces.npz"
    images = np.zeros((14, 48, 48), np.uint8)
    for number in range(14):
        images[number, 12:24, 7 * (number % 7) : 7 * (number % 7) + 6] = 255
    split = np.array(["test"] * 7 + ["train"] * 7)
    np.savez(path, image=images, emotion=np.array(list(EMOTIONS) * 2), split=split)
    test = emotion.read_fer_test(path)
    assert len(test.images) == 7
    done = []
    result = emotion.recognize_fer(MadeEmotion(), test, done.append)
    assert result.estimate.value == 1 and sum(done) == 7 and result.estimate.unit == "pictures"
    with pytest.raises(InputNotFoundError):
        emotion.read_fer_test(tmp_path / "other.npz")
    np.savez(path, image=images, emotion=np.array(list(EMOTIONS) * 2), split=np.full(14, "train"))
    with pytest.raises(InputError, match="no FER test images"):
        emotion.read_fer_test(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match=r"not an \.npz"):
        emotion.read_fer_test(path)


def test_another_speech_encoder_and_people_to_train_on_are_refused():
    with pytest.raises(InputError, match="hears made, but the data hold log-mel"):
        build(made_people(people=1), {"content": MadeContent("mouth")}, speech="log-mel")
    with pytest.raises(UsageError, match="no person in the data may be measured"):
        build(made_people(people=1, split="train"), {"content": MadeContent("mouth")})


def test_one_person_alone_is_measured_but_not_probed():
    alone = build(made_people(people=1), {"content": MadeContent("mouth")})
    assert find(alone, "content", content.SAME, OWN).estimate.value > 0.99
    row = find(alone, "content", content.EMOTION_READ, f"linear, {OWN}")
    assert row.estimate.value is None and "two people" in row.estimate.reason
