"""The supervision of generators: zero where nothing is missing, its terms by hand, gradients into what is generated."""

import pytest

torch = pytest.importorskip("torch")

from supervisors import Content, Emotion  # noqa: E402

from cdrl.training.supervision import CDRLSupervision, EmotionOrigin, _compare_changes  # noqa: E402

torch.set_num_threads(1)


@pytest.fixture
def supervision():
    return CDRLSupervision(Content(), Emotion())


@pytest.fixture
def clips():
    made = torch.Generator().manual_seed(1)
    return [torch.rand(2, 4, 3, 224, 224, generator=made) for _ in range(3)], torch.rand(2, 4, 5, generator=made)


EMOTION = torch.tensor([4, 0])


def test_every_term_is_zero_where_nothing_is_missing(supervision, clips):
    (source, _, _), audio = clips
    source = source[:, :1].expand(-1, 4, -1, -1, -1)
    terms = supervision(source, source, source, audio[:, :1].expand(-1, 4, -1), EMOTION)
    assert all(float(term) == pytest.approx(0, abs=1e-6) for term in terms.values())


def test_the_terms_are_those_of_explicit_loops(supervision, clips):
    (source, generated, reference), audio = clips
    content, emotion, contrast = [], [], []
    for clip in range(2):
        number = int(EMOTION[clip])
        one, other = (supervision.content(part[clip][None], audio[clip][None])[0] for part in (source, generated))
        seen = supervision.emotion.weigh(supervision.emotion.encode(reference[clip]))
        typical = seen[:, number].mean(0)
        wanted = (seen.sum(2) / 0.5).softmax(1)[:, number].log().mean()
        for frame in range(4):
            content.append(1 - (one[frame] * other[frame]).sum())
            shown = supervision.emotion.weigh(supervision.emotion.encode(generated[clip, frame][None]))[0]
            emotion.append(1 - torch.nn.functional.cosine_similarity(shown[number], typical, dim=0))
            contrast.append(max(0, float(wanted - (shown.sum(1) / 0.5).softmax(0)[number].log())))
    terms = supervision(source, generated, reference, audio, EMOTION)
    assert terms["content"] == pytest.approx(float(torch.stack(content).mean()), abs=1e-6)
    assert terms["emotion"] == pytest.approx(float(torch.stack(emotion).mean()), abs=1e-6)
    assert terms["contrast"] == pytest.approx(sum(contrast) / len(contrast), abs=1e-6)


def test_gradients_reach_what_is_generated_alone(supervision, clips):
    (source, generated, reference), audio = clips
    for part in (source, generated, reference):
        part.requires_grad_()
    sum(supervision(source, generated, reference, audio, EMOTION).values()).backward()
    assert generated.grad.abs().sum() > 0
    assert source.grad is None
    assert reference.grad is None


def test_a_change_of_emotion_is_compared_with_that_from_neutral_faces(supervision, clips):
    (source, generated, reference), _ = clips
    generated = torch.stack([generated[0] ** 3, source[1] * 1.0001])  # a clear change, and hardly one
    neutral, expected = torch.tensor([[0.1, 0.2, 0.9], [0.9, 0.1, 0.2]]), []
    for clip in range(2):
        before, after, shown = (
            supervision.emotion.weigh(supervision.emotion.encode(part[clip]))[:, int(EMOTION[clip])]
            for part in (source, generated, reference)
        )
        wanted = shown.mean(0) - neutral[clip]
        for change in after - before:
            length = max(float(change.norm()), 0.1 * float(wanted.norm()))
            expected.append(1 - float(change @ wanted) / length / float(wanted.norm()))
    assert abs(expected[0] - 1) > 0.1
    assert abs(expected[-1] - 1) < 0.01
    origin = EmotionOrigin(supervision.measure_emotion(source, EMOTION).vectors, neutral)
    evidence = supervision.measure_emotion(reference, EMOTION)
    found = supervision.emotion_consistency(evidence, generated, EMOTION, origin)
    assert float(found["emotion"]) == pytest.approx(sum(expected) / 8, abs=1e-5)
    plain = supervision.emotion_consistency(evidence, generated, EMOTION)
    assert found["contrast"] == plain["contrast"]


def test_the_gradient_of_a_change_is_right_and_finite_where_there_is_none(supervision, clips):
    drawn = torch.Generator().manual_seed(2)
    shown, wanted = (torch.randn(*shape, generator=drawn, dtype=torch.float64) for shape in ((2, 3, 4), (2, 1, 4)))
    shown[0, 0] *= 0.01
    assert torch.autograd.gradcheck(_compare_changes, (shown.requires_grad_(), wanted.requires_grad_()))
    (source, _, reference), _ = clips
    unchanged = source.clone().requires_grad_()
    origin = EmotionOrigin(supervision.measure_emotion(source, EMOTION).vectors, torch.zeros(2, 3))
    term = supervision.emotion_consistency(supervision.measure_emotion(reference, EMOTION), unchanged, EMOTION, origin)
    term["emotion"].backward()
    assert term["emotion"].item() == pytest.approx(1)
    assert 0 < float(unchanged.grad.abs().max()) < 1


def test_it_stays_in_evaluation_mode_and_takes_clips_without_sound(supervision, clips):
    (source, generated, reference), _ = clips
    supervision.train()
    assert not any(part.training for part in supervision.children())
    assert float(supervision(source, generated, reference, None, EMOTION)["content"]) > 0
