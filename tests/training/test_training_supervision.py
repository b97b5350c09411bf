"""The supervision of generators: zero where nothing is missing, its terms by hand, gradients into what is generated."""

import pytest

torch = pytest.importorskip("torch")

from supervisors import Content, Emotion  # noqa: E402

from cdrl.training.supervision import CDRLSupervision  # noqa: E402

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


def test_it_stays_in_evaluation_mode_and_takes_clips_without_sound(supervision, clips):
    (source, generated, reference), _ = clips
    supervision.train()
    assert not any(part.training for part in supervision.children())
    assert float(supervision(source, generated, reference, None, EMOTION)["content"]) > 0
