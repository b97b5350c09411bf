"""What the neural renderer learns from: re-enactments within a person, with the truth beside them, and edits."""

from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from made_prepared import make_prepared  # noqa: E402
from rich.console import Console  # noqa: E402

from cdrl.datasets.prepared import PreparedDataset  # noqa: E402
from cdrl.errors import UsageError  # noqa: E402
from cdrl.manipulation.prior import EmotionPrior  # noqa: E402
from cdrl.rendering.neural import CHANNELS, SIDE  # noqa: E402
from cdrl.training.reenactment import RenderingSource  # noqa: E402
from cdrl.training.renderer import RendererTask  # noqa: E402
from cdrl.training.renderer_networks import PatchDiscriminator, RendererConfig, RendererNetwork  # noqa: E402
from cdrl.training.training_clips import find_frontal_clips  # noqa: E402

torch.set_num_threads(1)
QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Two people, one of them with two takes."""
    folder = make_prepared(
        tmp_path_factory.mktemp("data"), ["anna", "bert"], ("neutral", "happy"), 1, 6, dataset="mead"
    )
    clips = find_frontal_clips(PreparedDataset.open([folder]).clips, EmotionPrior.load(), 3, QUIET)
    return RenderingSource(clips, EmotionPrior.load(), QUIET, adapts=False)


def test_a_reenactment_is_two_frames_of_one_person_nearer_to_the_truth_than_before(source):
    nearer = []
    for seed in range(6):
        examples = source.draw_reenactment(np.random.default_rng(seed))
        assert len(examples) == 2
        for example in examples:
            assert example.maps.shape == (CHANNELS, SIDE, SIDE)
            assert example.activity.shape == (SIDE, SIDE)
            assert example.activity.min() >= 0
            assert example.activity.max() <= 1
            inside = example.activity > 0
            nearer.append(np.abs(example.warped[inside].astype(float) - example.real[inside]).mean())
    assert np.mean(nearer) < 20  # levels; faces of two people differ by far more


def test_an_edit_is_what_the_editor_does_beside_the_frame_as_it_was(source):
    for example in source.draw_edits(np.random.default_rng(0)):
        assert example.activity.any()
        change = np.abs(example.warped.astype(int) - example.real).max(2)
        assert change[example.activity > 0.5].max() > 10
        assert change[:4].max() <= 3  # above the face
    item = next(iter(source.people.values()))[0].item
    unchanged = source.edit(item, 0, {})
    assert not unchanged.activity.any()
    assert np.abs(unchanged.warped.astype(int) - unchanged.real).max() <= 3


def test_the_discriminator_learns_from_re_enactments_alone_and_judges_edits_too():
    task = SimpleNamespace(model={"discriminator": PatchDiscriminator()})
    own, truth, *edits = torch.rand(4, 2, 3, 32, 32)
    found = [RendererTask._compete(task, torch.cat([own, edit]), truth, torch.ones(4, 1, 32, 32)) for edit in edits]
    (learned, judged), (learned_too, judged_too) = found
    assert learned == learned_too
    assert judged != judged_too


def test_people_who_never_look_alike_are_refused(source, monkeypatch):
    monkeypatch.setattr("cdrl.training.reenactment._MAX_LIGHT", -1.0)
    monkeypatch.setattr("cdrl.training.reenactment._TRIES", 5)
    with pytest.raises(UsageError, match="prepare longer clips"):
        source.draw_reenactment(np.random.default_rng(0))


def test_an_untrained_network_changes_nothing_and_its_residual_is_always_smooth():
    network = RendererNetwork(RendererConfig((8, 8)))
    images, maps = torch.rand(1, 3, 32, 32), torch.zeros(1, CHANNELS, 32, 32)
    assert not network(images, maps).any()
    torch.nn.init.normal_(network.unet.out.weight)
    with torch.no_grad():
        smooth, rough = network(images, maps), 0.1 * network.unet(torch.cat([2 * images - 1, maps], 1))
    assert float(smooth.diff(dim=3).abs().mean()) < 0.4 * float(rough.diff(dim=3).abs().mean())
