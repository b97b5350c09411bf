"""Layouts read from small trees: what is there, what each clip is, and the name of what is missing."""

from __future__ import annotations

from collections import Counter

import pytest

from cdrl.cli.main import main
from cdrl.datasets.clip import ClipTable
from cdrl.datasets.splits import load_split
from cdrl.datasets.table import probe_clips, read_dataset
from cdrl.errors import InputError, InputNotFoundError, UsageError


def touch(folder, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)  # no two of them alike


def named(table: ClipTable) -> list[str]:
    return [str(problem) for problem in table.problems]


def test_mead(tmp_path):
    touch(
        tmp_path,
        *(f"M003/video/front/{e}/level_1/00{n}.mp4" for e in ("neutral", "angry", "disgusted") for n in (1, 2)),
        *(f"M003/video/{name}.mp4" for name in ("front/angry/level_3/001", "front/angry/level_3/003")),
        "M003/video/left_30/contempt/level_2/001.mp4",
        *("M003/audio/angry/level_1/001.m4a", "M003/audio/happy/level_2/004.m4a"),
    )
    table = read_dataset(tmp_path)
    clips = {clip.id: clip for clip in table.clips}
    assert table.layout == "mead" and len(clips) == 9
    first = clips["M003_front_angry_level_1_001"]
    assert (first.actor, first.emotion, first.intensity, first.view) == ("M003", "angry", 1, "front")
    assert first.has_sound and first.sound == tmp_path / "M003/audio/angry/level_1/001.m4a"
    # The common sentences are the same words in every emotion but disgusted.
    assert first.sentence_id == clips["M003_front_neutral_level_1_001"].sentence_id != ""
    assert first.sentence_id != clips["M003_front_disgusted_level_1_001"].sentence_id
    assert clips["M003_left_30_contempt_level_2_001"].emotion == ""
    assert any(remark.startswith("clips of contempt") and count == 1 for remark, count in table.remarks.items())
    assert not table.problems  # a subset is no failure
    assert table.remarks["numbers of MEAD that are left out, no failure (the first: M003_front_angry_level_3_002)"] == 1
    assert (
        table.remarks["sounds of MEAD without a video, no failure (the first: M003/audio/happy/level_2/004.m4a)"] == 1
    )
    (tmp_path / "transcripts.txt").write_text(
        "".join(f"M003_level_1_{emotion}_001 SHE HAD YOUR DARK SUIT\n" for emotion in ("angry", "disgusted"))
    )
    clips = {clip.id: clip for clip in read_dataset(tmp_path).clips}
    first, second = (clips[f"M003_front_{emotion}_level_1_001"] for emotion in ("angry", "disgusted"))
    assert first.sentence == "SHE HAD YOUR DARK SUIT" and first.sentence_id == second.sentence_id


def test_ravdess(tmp_path):
    codes = ("01-01-03-02-02-01", "01-01-05-01-01-01")
    touch(tmp_path, *(f"Actor_{a:02d}/{code}-{a:02d}.mp4" for code in codes for a in (1, 2, 3)))
    touch(tmp_path, "Actor_01/02-01-06-01-02-01-01.mp4", "Actor_01/03-01-07-01-02-01-01.wav")
    touch(tmp_path, "Actor_01/01-02-06-01-02-01-01.mp4", "Actor_01/holiday.mp4")
    (tmp_path / f"Actor_02/{codes[1]}-02.mp4").unlink()
    table = read_dataset(tmp_path)
    clips = {clip.id: clip for clip in table.clips}
    happy = clips["01-01-03-02-02-01-01"]
    assert (happy.actor, happy.emotion, happy.intensity) == ("Actor_01", "happy", 2)
    assert happy.sentence == "Dogs are sitting by the door" and happy.has_sound
    assert clips["02-01-06-01-02-01-01"].emotion == "fear" and not clips["02-01-06-01-02-01-01"].has_sound
    assert table.remarks == {
        "clips of song, left out": 1,
        "files of sound alone, left out": 1,
        "clips that most of the others have and one has not, no failure (the first: Actor_02 01-05-01-01-01)": 1,
    }
    assert named(table) == ["Actor_01/holiday.mp4: its name is not seven two-digit codes"]


def test_the_same_recording_without_sound_and_the_sound_alone_are_no_clips_of_their_own(tmp_path):
    code = "01-06-01-02-01-01"
    touch(tmp_path, f"Actor_01/01-{code}.mp4", f"Actor_01/02-{code}.mp4", f"Actor_02/02-{code[:-2]}02.mp4")
    touch(tmp_path, f"Actor_02/03-{code[:-2]}02.wav")
    with_sound, silent = read_dataset(tmp_path).clips
    assert with_sound.id.startswith("01-") and silent.sound == tmp_path / f"Actor_02/03-{code[:-2]}02.wav"


MEAD_PLACES = (
    "Part0/M030/video/front/happy/level_3/001.mp4",
    "M030/front/happy/level_3/001.mp4",
    "M030/videos/front_happy_level_3_001.mp4",
    "M030_front_happy_level_3_001.mp4",
    "clips/M030_level_3_happy_001.mp4",
)


@pytest.mark.parametrize("place", MEAD_PLACES)
@pytest.mark.parametrize("sound", ["M030/audio/happy/level_3/001.wav", "M030_happy_level_3_001.m4a"])
def test_mead_is_read_as_people_have_it(tmp_path, place, sound):
    touch(tmp_path, place, sound)
    (clip,) = read_dataset(tmp_path).clips
    assert (clip.actor, clip.emotion, clip.intensity, clip.view) == ("M030", "happy", 3, "front")
    assert clip.sound == tmp_path / sound


def test_linked_folders_are_followed_once_and_dead_links_named(tmp_path):
    touch(tmp_path, "elsewhere/video/front/happy/level_1/001.mp4", "set/M003/video/front/happy/level_1/001.mp4")
    (tmp_path / "set/M009").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set/M003/loop").symlink_to(tmp_path / "set")
    (tmp_path / "set/M011").symlink_to(tmp_path / "gone")
    table = read_dataset(tmp_path / "set")
    assert [clip.actor for clip in table.clips] == ["M003", "M009"]
    assert named(table) == ["M011: a link to what is not there"]


def test_copies_count_once_and_contradictions_are_named(tmp_path, sample):
    for name, content in (("a.flv", b"1"), ("b/a.mp4", b"2"), ("c/a (1).flv", b"1")):
        path = tmp_path / name.replace("a", "1001_DFA_ANG_XX", 1)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    table = read_dataset(tmp_path)
    assert len(table.clips) == 1 and not table.problems
    assert table.remarks["copies of other clips, counted once (the first: b/1001_DFA_ANG_XX.mp4)"] == 2
    (tmp_path / "plain").mkdir()
    for name in "abc":
        (tmp_path / f"plain/{name}.mp4").write_text("x")
    rows = "path,actor,emotion\na.mp4,anna,happy\nb.mp4,anna,happy\nc.mp4,anna,sad\n"
    (tmp_path / "plain/clips.csv").write_text(rows)
    table = read_dataset(tmp_path / "plain")
    assert [clip.path.name for clip in table.clips] == ["a.mp4"]
    assert named(table) == ["c.mp4: a copy of a.mp4 with other labels (anna happy, anna sad)"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (("M003/audio/angry/level_1/001.m4a", "M009/x.wav"), "found 2 × sound, such as M003/audio"),
        (("M003/video.tar",), "found 1 × archive, such as M003/video.tar; unpack the archives"),
        (("holiday.mp4",), "found 1 × video, such as holiday.mp4"),
        (("1001_DFA_ANG_XX.flv", "Actor_01/01-01-03-02-02-01-01.mp4"), r"several data sets, crema-d .*, ravdess"),
    ],
)
def test_a_refused_folder_says_what_was_looked_for_and_found(tmp_path, files, message):
    touch(tmp_path, *files)
    with pytest.raises(InputError, match=message):
        read_dataset(tmp_path)


def test_crema_d(sample):
    table = read_dataset(sample.parent)
    assert table.layout == "crema-d" and len(table.clips) == 6 and not table.problems
    assert {clip.emotion for clip in table.clips} == {"neutral", "angry", "disgusted", "fear", "happy", "sad"}
    assert {clip.sentence for clip in table.clips} == {"Don't forget a jacket"}
    opened = probe_clips(table)
    assert all(clip.has_sound and round(float(clip.rate), 2) == 29.97 for clip in opened.clips)


PLAIN = """path,actor,emotion,dataset,intensity,sentence,content_id,audio
a.mp4,W009,Anger,mead,3,"Don't ask me",angry_001,1
b.mp4,W009,disgusted,mead,3,Something else,disgusted_001,0
c.mp4,W009,sadness,mead,XX,DON'T ASK ME,sad_001,
d.mp4,,contempt,,weird,,,
e.mp4,other actor,,,,,,

a.mp4,W009,angry,mead,3,,,
gone.mp4,W011,happy,mead,1,,,
empty.mp4,W011,happy,mead,1,,,
,W011,happy,mead,1,,,
"""


def test_plain(tmp_path):
    (tmp_path / "clips.csv").write_text(PLAIN, encoding="utf-8-sig")
    for name in "abcde":
        (tmp_path / f"{name}.mp4").write_text(name)
    (tmp_path / "empty.mp4").touch()
    table = read_dataset(tmp_path)
    a, b, c, d, e = table.clips
    assert [clip.emotion for clip in table.clips] == ["angry", "disgusted", "sad", "", ""]
    assert a.sentence_id == c.sentence_id != b.sentence_id
    assert (a.has_sound, b.has_sound, c.has_sound) == (True, False, None)
    assert (a.intensity, c.intensity, d.intensity) == (3, None, None)
    assert len({d.actor, e.actor}) == 2 and d.dataset == tmp_path.name
    assert sum(table.remarks.values()) == 5  # contempt, two nobodies, a weird intensity, a row twice
    assert named(table) == [
        "clips.csv line 11: no path",
        "gone.mp4: missing: no such file",
        "empty.mp4: an empty file",
    ]


@pytest.mark.parametrize(
    ("content", "kind", "message"),
    [
        (None, InputError, "none of the layouts"),
        ("path,actor\na.mp4,b\n", InputError, "no column emotion"),
        ("path,actor,emotion\n", InputError, "empty data set"),
        (b"\xff\xfe\x00", InputError, "not a table"),
    ],
)
def test_unreadable(tmp_path, content, kind, message):
    if content is not None:
        (tmp_path / "clips.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(kind, match=message):
        read_dataset(tmp_path)
    with pytest.raises(InputNotFoundError):
        read_dataset(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="layout"):
        read_dataset(tmp_path, "vhs")


def test_check_names_broken_clips_and_says_so_in_its_exit_code(tmp_path, sample, capsys):
    (tmp_path / "1001_DFA_NEU_XX.flv").write_bytes(sample.read_bytes())
    assert main(["data", "check", str(tmp_path), "--probe"]) == 0
    assert "crema-d" in capsys.readouterr().out
    (tmp_path / "1001_DFA_SAD_XX.flv").write_bytes(b"not a video")
    assert main(["data", "check", str(tmp_path)]) == 0
    capsys.readouterr()
    assert main(["data", "check", str(tmp_path), "--probe"]) == 3
    (line, total) = capsys.readouterr().err.strip().splitlines()[-2:]
    assert line.startswith("1001_DFA_SAD_XX.flv: ") and str(tmp_path) not in line
    assert total == "broken or missing: 1 clip"


def test_people_keep_their_split():
    shipped = load_split("shipped")
    assert shipped.assign("M003", "mead") == shipped.assign("1001", "crema_d") == "test"
    assert shipped.assign("W009", "mead") == shipped.assign("demo1_video", "wild") == "validation"
    assert shipped.assign("W023", "mead") == "train"
    paper = load_split("mead")
    assert [paper.assign(f"{actor}", "mead") for actor in ("M012", "W029", "M005")] == ["test", "test", "train"]
    synthetic = [shipped.assign(f"S{number:04d}", "synthetic") for number in range(1, 61)]
    assert abs(synthetic.count("train") - 42) <= 1 and abs(synthetic.count("test") - 9) <= 1


def test_any_data_set_gets_a_split_of_its_own():
    ravdess = [("ravdess", f"Actor_{number:02d}") for number in range(1, 25)]
    split = load_split("auto", [*ravdess, ("synthetic", "S0001")])
    assert split == load_split("seeded", ravdess) != load_split("seeded:1", ravdess)
    parts = Counter(split.assign(actor, dataset) for dataset, actor in ravdess)
    assert parts == {"train": 16, "validation": 4, "test": 4}
    # The people whom this project reports on stay there, and a name keeps its place in every data set.
    crema = [("crema_d", str(number)) for number in range(1001, 1092)]
    assert load_split("auto", crema).assign("1001") == "test"
    both = load_split("seeded", [*ravdess, *(("copy", actor) for _, actor in ravdess)])
    assert all(both.assign(actor, "copy") == split.assign(actor, "ravdess") for _, actor in ravdess)
    assert len({load_split("seeded", crema[:3]).assign(actor) for _, actor in crema[:3]}) == 3
    # With people for all three parts, the shipped split stays.
    assert load_split("auto", [("mead", "M003"), ("mead", "W009"), *ravdess]) == load_split("shipped")


@pytest.mark.parametrize(
    ("content", "kind", "message"),
    [
        ('{"test": ["anna"], "validation": ["ben"]}', None, ""),
        ('{"test": ["ana"]}', UsageError, "did you mean anna"),
        ('{"test": ["anna"], "validation": ["anna"]}', InputError, "anna stands in test and in validation"),
        ('{"tests": ["anna"]}', InputError, "no split"),
        ('{"test": "anna"}', InputError, "no list of names"),
        ("[", InputError, "no JSON"),
        (None, UsageError, "no such file; or choose auto"),
    ],
)
def test_a_split_of_ones_own(tmp_path, content, kind, message):
    path = tmp_path / "split.json"
    if content is not None:
        path.write_text(content)
    people = [("own", name) for name in ("anna", "ben", "carl")]
    if kind is None:
        split = load_split(str(path), people)
        assert [split.assign(name, "own") for _, name in people] == ["test", "validation", "train"]
    else:
        with pytest.raises(kind, match=message):
            load_split(str(path), people)
