"""`cdrl train prior` from a folder of clips to a prior that loads, and in words where it can't."""

import os
import shutil

import numpy as np
import pytest

from cdrl.assets import MANIFEST, folder, load_manifest
from cdrl.cli import main as cli
from cdrl.manipulation.prior import EXPRESSIVE, EmotionPrior, array_names
from cdrl.training.observations import LabeledClip, observe_clips
from cdrl.training.options import PriorOptions


@pytest.fixture
def table(data):
    """`table(change)`: writes clips.csv anew, each row changed, or dropped where that gives None."""
    path = data / "clips.csv"
    header, *rows = [line.split(",") for line in path.read_text(encoding="utf-8").splitlines()]

    def write(change=lambda row: row, columns=header):
        lines = [columns, *filter(None, (change(list(row)) for row in rows))]
        path.write_text("\n".join(map(",".join, lines)) + "\n", encoding="utf-8")

    return write


def finite(prior):
    return all(np.isfinite(getattr(prior, name)).all() for name in array_names())


def equal(one, other):
    priors = EmotionPrior.load(one), EmotionPrior.load(other)
    return all(np.array_equal(*(getattr(prior, name) for prior in priors)) for name in array_names())


def test_a_folder_of_clips_becomes_a_prior(train, tmp_path):
    run = train()
    assert (run.code, run.err) == (0, "")
    prior = EmotionPrior.load(tmp_path / "prior.npz")
    assert finite(prior)
    assert prior.offset[EXPRESSIVE.index("happy"), [61, 291], 1].max() < 0  # this actor smiles: corners go up
    entry = load_manifest(tmp_path)["prior.npz"]
    assert entry.license == "CC-BY-NC-SA-4.0"
    assert "21 clips" in entry.origin
    assert "3 people" in entry.origin
    offsets, _, photos = run.out.partition("one photo")
    assert "nearer" in photos
    for emotion in EXPRESSIVE:  # the validation has a line for each person
        lines = [line for line in offsets.splitlines() if f" {emotion} " in line]
        assert len(lines) == 3
        assert all("1.00" in line for line in lines)  # all are one actor, so the others foretell each


def test_a_second_run_takes_what_was_seen_from_the_cache(train, tmp_path):
    kept = tmp_path / "kept"
    assert "leave one person out" not in train("--no-validate", kept=kept, output=tmp_path / "one.npz").out
    stored = {path.name: path.stat().st_mtime_ns for path in kept.iterdir()}
    assert len(stored) == 6  # clips of the same content are looked at once
    assert train("--no-validate", kept=kept, output=tmp_path / "two.npz").code == 0
    assert {path.name: path.stat().st_mtime_ns for path in kept.iterdir()} == stored
    assert equal(tmp_path / "one.npz", tmp_path / "two.npz")


def test_a_changed_clip_is_seen_anew(data, cache):
    watched = [LabeledClip(data / "HAP.mp4", "anna", "happy"), LabeledClip(data / "SAD.mp4", "anna", "sad")]
    before = list(observe_clips(watched, cache))
    shutil.copy(data / "SAD.mp4", data / "HAP.mp4")
    after = list(observe_clips(watched, cache))
    assert not np.array_equal(before[0].shapes, after[0].shapes)
    assert np.array_equal(after[0].shapes, after[1].shapes)


def test_a_broken_clip_is_named_and_left_out(train, data, tmp_path):
    (data / "SAD.mp4").write_bytes(b"not a clip")
    (data / "more.mp4").write_bytes(b"")
    shutil.copy(data / "DIS.mp4", data / "other.mp4")  # somebody must be sad after all
    with (data / "clips.csv").open("a", encoding="utf-8") as file:
        file.write("more.mp4,anna,happy\nmissing.mp4,anna,happy\nother.mp4,anna,sad\n")
    run = train("--no-validate")
    assert run.code == 0
    said = run.out.replace("\n", " ")
    for name in ("SAD.mp4", "more.mp4", "missing.mp4"):
        assert name in said.replace(" ", "")
    assert said.count("left out") == 5  # the sad clip of each person, and the two more
    assert "19 clips" in load_manifest(tmp_path)["prior.npz"].origin


def drop(*names):
    """A change to a table without the rows that hold one of these words."""
    return lambda row: None if set(names) & set(row) else row


def rename(column):
    return ["other" if name == column else name for name in ("path", "actor", "emotion")]


@pytest.mark.parametrize(
    ("given", "arguments", "code", "words"),
    [
        ({"columns": rename("path")}, [], 2, ["no column path"]),
        ({"columns": rename("actor")}, [], 2, ["no column actor"]),
        ({"columns": rename("emotion")}, [], 2, ["no column emotion"]),
        (None, [], 3, ["clips.csv: no such table", "path,actor,emotion"]),
        ({"change": lambda row: None}, [], 2, ["no rows"]),
        ({"change": drop("sad")}, ["--no-validate"], 2, ["nobody shows both sad and neutral"]),
        ({"change": drop("08")}, ["--no-validate"], 2, ["nobody shows both surprised and neutral"]),
        ({"change": drop("neutral")}, ["--no-validate"], 2, ["and neutral"]),
        ({}, ["--no-validate", "--exclude", "ana"], 2, ["ana"]),
        ({}, ["--no-validate", "--exclude", "anna,Otto"], 2, ["Otto", "otto"]),  # and a close name
    ],
)
def test_what_cannot_be_fitted_is_named(train, data, table, tmp_path, given, arguments, code, words):
    (data / "clips.csv").unlink() if given is None else table(**given)
    run = train(*arguments)
    assert run.code == code
    assert [word for word in words if word not in run.err] == []
    assert not (tmp_path / "prior.npz").exists()
    assert not (tmp_path / MANIFEST).exists()


@pytest.mark.parametrize(
    ("output", "code", "word"),
    [("nowhere/prior.npz", 5, "nowhere"), ("mine.prior", 2, ".npz"), ("prior.npz", 2, "list")],
)
def test_an_output_that_cannot_be_written_or_listed_is_named_before_any_work(train, tmp_path, output, code, word):
    if output == "prior.npz":
        (tmp_path / MANIFEST).write_text('{"name": "my app"}')
    run = train("--no-validate", output=tmp_path / output)
    assert run.code == code, run.err
    assert word in run.err
    assert not (tmp_path / output).exists()
    assert output != "prior.npz" or (tmp_path / MANIFEST).read_text() == '{"name": "my app"}'


@pytest.mark.parametrize(
    ("more", "counted"),
    [
        ("NEU.mp4,anna,contempt\nHAP.mp4,,happy\nANG.mp4,other actor,\n", "23 clips, 3 people"),
        ("NEU.mp4,anna\n", "22 clips, 3 people"),
    ],
)
def test_clips_of_other_emotions_of_nobody_and_short_rows_are_no_obstacle(train, data, tmp_path, more, counted):
    table = data / "clips.csv"
    content = (table.read_text(encoding="utf-8") + more).replace("\n", "\r\n")
    table.write_text(f"\ufeff{content}", encoding="utf-8", newline="")  # as a spreadsheet saves it
    assert train("--no-validate").code == 0
    assert counted in load_manifest(tmp_path)["prior.npz"].origin


def test_somebody_left_out_leaves_no_trace(train, data, table, tmp_path):
    train("--no-validate", "--exclude", "otto", output=tmp_path / "without.npz")
    table(drop("otto"))
    train("--no-validate", output=tmp_path / "never.npz")
    assert equal(tmp_path / "without.npz", tmp_path / "never.npz")


def test_each_left_out_in_turn_is_a_prior_each(train, tmp_path):
    assert train("--no-validate", "--exclude", "each").code == 0
    assert not (tmp_path / "prior.npz").exists()
    for person in ("anna", "otto", "zoe"):
        assert finite(EmotionPrior.load(tmp_path / f"prior_without_{person}.npz"))


@pytest.mark.filterwarnings("ignore:invalid value")
def test_one_person_makes_a_finite_prior_or_is_refused_in_words(train, table, tmp_path):
    table(drop("otto", "zoe"))
    assert train("--no-validate").code == 2 or finite(EmotionPrior.load(tmp_path / "prior.npz"))


def test_a_damaged_cache_is_made_anew(train, tmp_path):
    kept = tmp_path / "kept"
    train("--no-validate", kept=kept)
    for path in kept.iterdir():
        path.write_bytes(path.read_bytes()[:100])
    run = train("--no-validate", "--overwrite", kept=kept)
    assert run.code == 0, run.err


def test_without_an_output_it_writes_a_file_of_the_users(data, cache, tmp_path, monkeypatch):
    assert not PriorOptions(data).output.is_relative_to(folder())
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", "prior", "--data", str(data), "--cache", str(cache), "--no-validate"]) == 0
    assert finite(EmotionPrior.load(tmp_path / "runs/prior.npz"))


@pytest.mark.parametrize("leave", ["zoe", "each"])
def test_a_prior_that_is_there_is_replaced_only_when_asked(train, tmp_path, leave):
    there = tmp_path / ("prior_without_zoe.npz" if leave == "each" else "prior.npz")
    there.write_text("mine")
    run = train("--no-validate", "--exclude", leave)
    assert run.code == 5
    assert there.name in run.err
    assert "--overwrite" in run.err
    assert there.read_text() == "mine"
    assert not list(tmp_path.glob("prior_without_anna.npz"))  # nothing is written before all can be
    assert train("--no-validate", "--exclude", leave, "--overwrite").code == 0
    assert finite(EmotionPrior.load(there))
    assert there.name in load_manifest(tmp_path)


def test_a_prior_is_saved_under_the_very_name_or_not_at_all(tmp_path, monkeypatch):
    prior = EmotionPrior.load()
    (tmp_path / "my.prior.npz").write_text("mine")
    prior.save(tmp_path / "my.prior")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["my.prior", "my.prior.npz"]
    assert (tmp_path / "my.prior.npz").read_text() == "mine"
    before = (tmp_path / "my.prior").read_bytes()
    with monkeypatch.context() as patch, pytest.raises(OSError):
        patch.setattr(os, "fsync", full)
        prior.save(tmp_path / "my.prior")
    assert (tmp_path / "my.prior").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2


def full(descriptor):
    raise OSError(28, "No space left on device")
