"""Preparing real CREMA-D clips, and everything that can go wrong on the way; the same command always goes on."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from cdrl import files
from cdrl.cli.main import main
from cdrl.datasets import packing
from cdrl.datasets.preparation import PreparationSettings
from cdrl.datasets.prepared import PreparedDataset
from cdrl.errors import InputError, OutputError, UsageError
from cdrl.executors import make_executor
from cdrl.media import read
from cdrl.parallel import SerialExecutor


def digests(folder: Path) -> list[str]:
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*.tar"))]


def test_what_is_packed(finished):
    folder, summary = finished
    assert (summary.clips, summary.silent, len(summary.failures)) == (4, 1, 1)
    assert summary.failures["1002_DFA_SAD_LO"].startswith("a face in 0 of 1 frames")
    prepared = PreparedDataset.open([folder])
    assert prepared.speech == "log-mel" and len(prepared.clips) == 4
    clip = prepared.clips[0]
    labels, count = clip.metadata, clip.count
    assert (labels.id, labels.actor, labels.emotion, labels.split) == ("1001_DFA_ANG_XX", "1001", "angry", "test")
    assert clip.images(range(count)).shape == (count, 224, 224, 3) and clip.image(0).dtype == np.uint8
    assert clip.landmarks.shape == (count, 478, 3) and clip.blendshapes.shape == (count, 52)
    assert len(clip.speech) == len(clip.times) == count and (np.diff(clip.times) > 0.2).all()
    assert clip.ground_truth is None and prepared.clips[-1].speech is None
    with pytest.raises(IndexError):
        clip.image(count)


def test_the_face_stands_upright_with_a_tenth_on_each_side(finished):
    for clip in PreparedDataset.open([finished[0]]).clips:
        points = clip.landmarks[:, :, :2]
        low, high = points.min(1), points.max(1)
        size, middle = (high - low).max(1), (high + low) / 2
        assert np.abs(size - 224 / 1.2).max() < 9 and np.abs(middle - 112).max() < 9
        eyes = points[:, 263] - points[:, 33]
        assert np.abs(eyes[:, 1] / eyes[:, 0]).max() < 0.04
        # The landmarks lie on the picture: lips are redder than the cheeks beside them.
        redness = [cv2.cvtColor(image, cv2.COLOR_RGB2LAB)[..., 1].astype(float) for image in clip.images(range(3))]
        for red, at in zip(redness, points.round().astype(int), strict=False):
            assert red[at[17, 1], at[17, 0]] > red[at[205, 1], at[205, 0]]


def test_webdataset_reads_it(finished):
    webdataset = pytest.importorskip("webdataset")
    samples = list(webdataset.WebDataset(str(finished[0] / "000000.tar"), shardshuffle=False).decode("rgb8"))
    clip = PreparedDataset.open([finished[0]]).clips[1]
    sample = samples[1]
    assert len(samples) == 4 and sample["__key__"] == clip.metadata.id
    assert np.array_equal(sample["landmarks.npy"], clip.landmarks)
    assert np.abs(sample["0000.jpg"].astype(int) - clip.image(0)).mean() < 1  # another decoder


def test_nothing_is_done_twice(run, source, finished, tmp_path, monkeypatch):
    shutil.copytree(finished[0], tmp_path / "again")
    before = digests(tmp_path / "again")
    tried: list[str] = []
    real = packing.prepare_clip
    monkeypatch.setattr(packing, "prepare_clip", lambda clip, settings: tried.append(clip.id) or real(clip, settings))
    summary = run(source, tmp_path / "again")
    assert summary.already == 4 and digests(tmp_path / "again") == before
    assert tried == ["1002_DFA_SAD_LO"]  # what failed is tried again


@pytest.mark.parametrize("damage", ["cut", "flip", "missing"])
def test_a_damaged_shard_is_told_and_made_anew(run, source, finished, tmp_path, damage):
    folder = tmp_path / "damaged"
    shutil.copytree(finished[0], folder)
    shard, before = folder / "000000.tar", digests(finished[0])
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content[: len(content) // 2] if damage == "cut" else content)
    if damage == "missing":
        shard.unlink()
    with pytest.raises(InputError, match=r"000000\.tar: .*cdrl data prepare"):
        PreparedDataset.open([folder])
    run(source, folder)
    assert digests(folder) == before and len(PreparedDataset.open([folder]).clips) == 4


def test_a_run_that_was_stopped_goes_on(run, source, finished, tmp_path):
    class Stopped(SerialExecutor):
        def run(self, function, items):
            for number, outcome in enumerate(super().run(function, items)):
                if number == 2:
                    raise KeyboardInterrupt
                yield outcome

    with pytest.raises(KeyboardInterrupt):
        run(source, tmp_path / "stopped", workers=Stopped())
    (tmp_path / "stopped/.cdrl-samples/1003_IEO_SAD_LO.tar").write_bytes(b"half of a part")
    with pytest.raises(InputError, match="not finished"):
        PreparedDataset.open([tmp_path / "stopped"])
    assert run(source, tmp_path / "stopped").already == 2
    assert digests(tmp_path / "stopped") == digests(finished[0])
    assert sorted(path.name for path in (tmp_path / "stopped").glob("[!.]*")) == ["000000.tar", "manifest.json"]


@pytest.mark.parametrize("name", ["1001_DFA_HAP_XX.tar", "000000.tar", "manifest.json"])
def test_a_full_disk_is_one_line_and_the_run_goes_on(run, source, finished, tmp_path, monkeypatch, name):
    real = files.take_name

    def full(temporary, path, *, overwrite):
        if path.name == name and (name != "manifest.json" or (tmp_path / "full/000000.tar").exists()):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(temporary, path, overwrite=overwrite)

    monkeypatch.setattr(files, "take_name", full)
    with pytest.raises(OutputError, match=r"No space left on device.*run the same command again"):
        run(source, tmp_path / "full")
    monkeypatch.undo()
    assert not list((tmp_path / "full").rglob("*.partial"))
    run(source, tmp_path / "full")
    assert digests(tmp_path / "full") == digests(finished[0])


def test_clips_that_changed_are_done_again_and_others_stay(run, source, finished, tmp_path, repository):
    clips = sorted(path.name for path in source.glob("1001*.flv"))
    table = "path,actor,emotion\n" + "".join(f"{name},1001,{name[9:12]}\n" for name in clips)
    shutil.copytree(source, tmp_path / "plain")
    (tmp_path / "plain/clips.csv").write_text(table)
    run(tmp_path / "plain", tmp_path / "out")
    (tmp_path / "plain/clips.csv").write_text(table.replace("HAP\n", "sad\n"))
    shutil.copy(repository / "examples/1001_DFA_FEA_XX.flv", tmp_path / "plain")
    with (tmp_path / "plain/clips.csv").open("a") as file:
        file.write("1001_DFA_FEA_XX.flv,1001,fear\n")
    assert run(tmp_path / "plain", tmp_path / "out").already == 2
    found = {clip.metadata.id[9:12]: clip.metadata.emotion for clip in PreparedDataset.open([tmp_path / "out"]).clips}
    assert found == {"ANG": "angry", "HAP": "sad", "NEU": "neutral", "FEA": "fear"}


def test_what_does_not_fit_is_refused(run, source, finished, tmp_path):
    shutil.copytree(finished[0], tmp_path / "out")
    with pytest.raises(UsageError, match=r"other settings \(every\).*--restart"):
        run(source, tmp_path / "out", PreparationSettings(speech="mel", every=9))
    (tmp_path / "less").mkdir()
    shutil.copy(source / "1001_DFA_NEU_XX.flv", tmp_path / "less")
    with pytest.raises(UsageError, match=r"clips that .* has not"):
        run(tmp_path / "less", tmp_path / "out")
    assert run(tmp_path / "less", tmp_path / "out", restart=True).clips == 1
    with pytest.raises(UsageError, match="different speech features"):
        manifest = json.loads((tmp_path / "out/manifest.json").read_text())
        manifest["settings"]["speech"] = "another"
        (tmp_path / "out/manifest.json").write_text(json.dumps(manifest))
        PreparedDataset.open([finished[0], tmp_path / "out"])
    with pytest.raises(UsageError, match="--every"):
        PreparationSettings(every=0)
    (tmp_path / "faceless").mkdir()
    shutil.copy(source / "1002_DFA_SAD_LO.mp4", tmp_path / "faceless")
    with pytest.raises(InputError, match=r"not one of its clips can be prepared .*a face in 0 of"):
        run(tmp_path / "faceless", tmp_path / "nothing")


def test_truth_goes_along_frame_by_frame(run, source, tmp_path):
    data, count = tmp_path / "made", sum(1 for _ in read(source / "1003_IEO_SAD_LO.mp4"))
    data.mkdir()
    for name, rows in (("a", count), ("b", count - 1)):
        content = (source / "1003_IEO_SAD_LO.mp4").read_bytes()
        (data / f"{name}.mp4").write_bytes(content + bytes(rows))  # no copies of each other
        arrays = {"visemes": np.zeros(rows, np.int64), "speaking": np.ones(rows, bool), "weights": np.zeros((rows, 3))}
        np.savez(data / f"{name}.npz", position=np.arange(rows), **arrays)
    (data / "clips.csv").write_text("path,actor,emotion,dataset\na.mp4,p1,sad,synthetic\nb.mp4,p1,sad,synthetic\n")
    summary = run(data, tmp_path / "out")
    (clip,) = PreparedDataset.open([tmp_path / "out"]).clips
    assert clip.metadata.synthetic and clip.ground_truth.weights.shape == (clip.count, 3)
    assert clip.ground_truth.position.tolist() == list(range(0, count, 8))
    assert summary.failures == {"b": f"b.npz: position has {count - 1} rows for {count} frames"}


def test_processes_give_the_same_bytes_by_the_command(source, finished, tmp_path, capsys):
    words = ["data", "prepare", str(source), "-o", str(tmp_path / "out"), "--workers", "2"]
    assert main([*words, "--speech", "mel", "--every", "8"]) == 3  # one of them shows no face
    assert digests(tmp_path / "out") == digests(finished[0])
    said = capsys.readouterr()
    assert "4 clips, 1 without sound" in said.out and "1 clip failed" in said.out
    assert "1002_DFA_SAD_LO: a face in 0 of" in said.err


@pytest.mark.slow
def test_ray_gives_the_same_bytes(run, source, finished, tmp_path):
    pytest.importorskip("ray")
    run(source, tmp_path / "out", workers=make_executor(2, "local"))
    assert digests(tmp_path / "out") == digests(finished[0])
    with pytest.raises(UsageError, match=r"--ray 127\.0\.0\.1:1: no Ray cluster"):
        run(source, tmp_path / "out", workers=make_executor(2, "127.0.0.1:1"))


def test_damaged_sound_is_named_with_its_clip(source, tmp_path, capsys):
    place = "M003{}/happy/level_1/001"
    for kind, suffix, content in (
        ("/video/front", ".mp4", (source / "1003_IEO_SAD_LO.mp4").read_bytes()),
        ("/audio", ".m4a", b"damaged"),
    ):
        path = tmp_path / "mead" / (place.format(kind) + suffix)
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    words = ["data", "prepare", str(tmp_path / "mead"), "-o", str(tmp_path / "out"), "--speech", "mel", "--every", "8"]
    assert main(words) == 3
    (line,) = (line for line in capsys.readouterr().err.splitlines() if "sound" in line)
    assert line.startswith("M003_front_happy_level_1_001: prepared without its sound, 001.m4a: ")
    assert PreparedDataset.open([tmp_path / "out"]).clips[0].speech is None
