"""The whole judgement: models that know one thing only are found out; what cannot be measured is said, not passed."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from made_people import MadeContent, MadeEmotion, made_people, made_prepared, quiet  # noqa: E402

from cdrl.emotions import EMOTIONS  # noqa: E402
from cdrl.errors import InputError, InputNotFoundError, UsageError  # noqa: E402
from cdrl.evaluation.representation import content, emotion, pictures, recognition, report, sentences  # noqa: E402
from cdrl.evaluation.representation.features import OWN, SILENT, emotion_of  # noqa: E402
from cdrl.evaluation.representation.judge import Settings, judge  # noqa: E402
from cdrl.evaluation.representation.moments import REAL, SYNTHETIC  # noqa: E402


class Speaking(MadeEmotion):
    """An emotion model that understands what every sentence means."""

    def sentences(self, texts):
        meant = dict(sentences.SENTENCES)
        return self.prompts[[EMOTIONS.index(meant[text]) for text in texts]]


@pytest.fixture(scope="module")
def judged():
    """Made people alone, with two content and two emotion models; nothing that needs a face in the picture."""
    torch.set_num_threads(1)
    clips = made_people(people=4)
    for clip in clips:  # mouths that hardly open: lips are shut, and gradients followed, in other tests
        clip.landmarks[:] = clip.landmarks[:1]
    content_models = {"content": MadeContent("mouth"), "hears": MadeContent("sound")}
    emotion_models = {"emotion": Speaking(), "leaks": Speaking(leaks=True)}
    settings = Settings(gradient=0, every=3)
    return judge(made_prepared(clips), content_models, emotion_models, settings, quiet)


def found(judged, model, measure, condition, people=SYNTHETIC):
    rows = [
        r for r in judged.rows if (r.model, r.measure, r.people, r.condition) == (model, measure, people, condition)
    ]
    assert len(rows) == 1
    return rows[0]


def test_an_emotion_model_that_reads_the_emotion_alone_meets_its_bars(judged):
    assert found(judged, "emotion", emotion.RECOGNISED, emotion.CLIPS).found.value == 1
    assert found(judged, "emotion", emotion.RECOGNISED, emotion.FRAMES).found.value == 1
    for kind in ("linear", "small network"):
        row = found(judged, "emotion", emotion.VISEME_READ, kind)
        assert row.bar.met(row.found), row
        raw = found(judged, "emotion", emotion.RAW_VISEME, kind)
        assert raw.bar.met(raw.found), raw


def test_an_emotion_model_that_keeps_the_mouth_is_found_out(judged):
    row = found(judged, "leaks", emotion.VISEME_READ, "linear")
    assert row.found.value > row.chance + 0.3 and row.bar.met(row.found) is False


def test_what_could_not_be_measured_is_in_the_report_with_its_reason(judged):
    row = found(judged, "emotion", emotion.RECOGNISED, emotion.PICTURES, emotion.FER)
    assert row.bar and row.bar.met(row.found) is None and "--fer" in row.found.reason
    real = [row for row in judged.rows if row.people == REAL and row.model == "emotion"]
    assert len(real) == 1 and "no clip of real people" in real[0].found.reason
    assert judged.verdicts()["not measured"] >= 3


def test_the_report_is_json_and_markdown_with_one_column_an_ablation(judged):
    facts = json.loads(json.dumps(judged.to_json(), allow_nan=False))
    assert {row["model"] for row in facts["rows"]} == {"content", "emotion"}
    assert {row["model"] for row in facts["ablations"]} == {"hears", "leaks"}
    assert facts["sentences"][0]["right"] and len(facts["sentences"]) == 20
    assert np.array(facts["confusion"][f"{SYNTHETIC}, {emotion.CLIPS}"]).shape == (7, 7)
    headings, lines = report.ablations(judged)
    assert headings[-3:] == ["hears", "leaks", "bar"]
    line = next(line for line in lines if line[0] == content.RETRIEVAL and line[2] == SILENT)
    assert float(line[3]) > 0.9 and float(line[4]) < 0.2
    text = report.markdown(judged)
    assert "## Ablations" in text and "| neutral |" in text and "She clenches her jaw" in text
    assert report.screen(judged).row_count == len(judged.judged)


def test_pictures_show_nobody_whose_licence_does_not_allow_it(judged):
    assert {"attention_synthetic", "retrieval_synthetic", "confusion_synthetic"} <= set(judged.pictures)
    facts = SimpleNamespace(synthetic=False, dataset="mead")
    moments = SimpleNamespace(clips=[SimpleNamespace(facts=facts)], clip=np.zeros(1, int))
    assert not pictures.may_be_shown(moments, 0)
    facts.dataset = "crema_d"
    assert pictures.may_be_shown(moments, 0)
    assert pictures.encode(judged.pictures["confusion_synthetic"]).startswith(b"\x89PNG")


def test_the_representation_is_what_training_compares():
    model = Speaking()
    tower, features, logits = emotion_of(model, torch.rand(2, 3, 224, 224))
    assert features.shape == (2, 7 * tower.shape[1])
    assert torch.allclose(features.reshape(2, 7, -1).sum(2), logits, atol=1e-6)


def test_grey_pictures_are_read_from_the_test_split_alone(tmp_path):
    path = tmp_path / "faces.npz"
    images = np.zeros((14, 48, 48), np.uint8)
    for number in range(14):
        images[number, 12:24, 7 * (number % 7) : 7 * (number % 7) + 6] = 255
    split = np.array(["test"] * 7 + ["train"] * 7)
    np.savez(path, image=images, emotion=np.array(list(EMOTIONS) * 2), split=split)
    test = recognition.grey_test(path)
    assert len(test.images) == 7
    done = []
    result = recognition.recognise_fer(Speaking(), test, done.append)
    assert result.found.value == 1 and sum(done) == 7 and result.found.unit == "pictures"
    with pytest.raises(InputNotFoundError):
        recognition.grey_test(tmp_path / "other.npz")
    np.savez(path, image=images, emotion=np.array(list(EMOTIONS) * 2), split=np.full(14, "train"))
    with pytest.raises(InputError, match="no grey test pictures"):
        recognition.grey_test(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match=r"not an \.npz"):
        recognition.grey_test(path)


def test_another_speech_encoder_and_people_to_train_on_are_refused():
    clips = made_people(people=1)
    other = made_prepared(clips)
    other.speech = "log-mel"
    with pytest.raises(InputError, match="hears made, but the data hold log-mel"):
        judge(other, {"content": MadeContent("mouth")}, {}, Settings(), quiet)
    with pytest.raises(UsageError, match="nobody in the data may be judged"):
        judge(
            made_prepared(made_people(people=1, split="train")), {"content": MadeContent("mouth")}, {}, Settings(), quiet
        )


def test_one_person_alone_is_measured_but_not_probed():
    clips = made_people(people=1)
    for clip in clips:
        clip.landmarks[:] = clip.landmarks[:1]
    alone = judge(made_prepared(clips), {"content": MadeContent("mouth")}, {}, Settings(gradient=0), quiet)
    assert found(alone, "content", content.SAME, OWN).found.value > 0.99
    row = found(alone, "content", content.EMOTION_READ, f"linear, {OWN}")
    assert row.found.value is None and "two people" in row.found.reason
