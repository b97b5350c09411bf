"""A batch is checked as a whole before anything is begun: names, wishes, and that no job hits another one's files."""

import os
import re
from pathlib import Path

import pytest

from cdrl.batch.jobs import BatchDefaults, jobs_from_csv, jobs_from_folder
from cdrl.batch.runner import job_key
from cdrl.batch.work import RenderSettings
from cdrl.cli.main import main
from cdrl.errors import CdrlError, InputError, UsageError
from cdrl.files import file_sha256
from cdrl.media import EncoderOptions, Limits
from cdrl.project import write_project
from cdrl.request import EditRequest


def desk(folder=None, **defaults):
    project = defaults.pop("project", None)
    return BatchDefaults(defaults, project, folder, ".mp4")


def jobs(folder: Path, text: str, output_folder: Path | None = None, **defaults):
    (folder / "jobs.csv").write_text(text, encoding="utf-8-sig")  # as spreadsheets do
    return jobs_from_csv(folder / "jobs.csv", desk(output_folder, **defaults))


def test_a_row_says_what_it_says_and_takes_the_rest_from_the_command(tmp_path):
    text = (
        "source,output,emotion,segments,intensity,regions,enroll\n"
        'a.mp4,A.mp4,sad,,0.5,"brows, eyes",angry=x.jpg;fear=y.jpg\n'
        "b.mp4,B.mkv,,0-1:fear,,,\n"
        "\n"
        "c.mp4,C.mp4,,,,,\n"
    )
    one, two, three = jobs(tmp_path, text, emotion="happy", intensity=1.2, face="left")
    rest = {"intensity": 0.5, "regions": ("brows", "eyes"), "face": "left"}
    photos = {"angry": tmp_path / "x.jpg", "fear": tmp_path / "y.jpg"}
    assert one.request == EditRequest(tmp_path / "a.mp4", "sad", **rest, enroll=photos)
    assert (two.request.emotion, two.request.segments, two.request.intensity) == (None, "0-1:fear", 1.2)
    assert (three.request.source, three.request.emotion) == (tmp_path / "c.mp4", "happy")
    assert [job.output for job in (one, two, three)] == [tmp_path / name for name in ("A.mp4", "B.mkv", "C.mp4")]


def test_a_row_may_name_a_project(tmp_path):
    write_project(EditRequest(tmp_path / "a.mp4", "sad", intensity=0.3), tmp_path / "edit.json")
    one, two = jobs(tmp_path, "project,source,output\nedit.json,,A.mp4\nedit.json,b.mp4,B.mp4\n")
    assert (one.request.source, two.request.source) == (tmp_path / "a.mp4", tmp_path / "b.mp4")
    assert one.request.intensity == two.request.intensity == 0.3


def test_a_profile_of_a_row_gives_its_result_an_ending_that_holds_it(tmp_path):
    text = "source,profile,output\na.mp4,prores,\nb.mp4,web,\nc.mp4,,\nd.mp4,ffv1,D.mkv\n"
    made = jobs(tmp_path, text, tmp_path / "out", emotion="happy")
    assert [job.output.name for job in made] == ["a.mov", "b.mp4", "c.mp4", "D.mkv"]
    assert [job.request.profile for job in made] == ["prores", "web", None, "ffv1"]
    with pytest.raises(UsageError, match="profile is 'tape'"):
        jobs(tmp_path, "source,profile\na.mp4,tape\n", tmp_path / "out", emotion="happy")


def test_layers_are_checked_before_any_work_and_have_names_of_their_own(tmp_path):
    def listed(text, profile="auto"):
        (tmp_path / "jobs.csv").write_text(text)
        asked = {"emotion": "happy"}
        defaults = BatchDefaults(asked, None, tmp_path, ".mov", EncoderOptions(profile), layer=True)
        return jobs_from_csv(tmp_path / "jobs.csv", defaults)

    text = "source,profile,output\na.mp4,prores,\nb.mp4,,B.mkv\n"
    made = listed(text, "prores")
    assert [job.output.name for job in made] == ["a_layer.mov", "B.mkv"]
    with pytest.raises(UsageError, match=r"line 3: a layer is .* profile web cannot hold: add --profile prores$"):
        listed(text)
    with pytest.raises(
        UsageError, match=r"line 2: .*: \.mp4 cannot hold the profile prores; end it in \.mov or \.mkv$"
    ):
        listed("source,output\na.mp4,x.mp4\n", "prores")
    keys = {job_key(made[0], RenderSettings(layer=layer), lambda path: "") for layer in (False, True)}
    assert len(keys) == 2


def test_numbered_pictures_and_parts_are_jobs_like_others(tmp_path):
    for number in (1, 2):
        (tmp_path / f"shot_{number:04d}.png").write_bytes(bytes([number]))
    text = "source,emotion,frame_rate,from_time,handles\nshot_%04d.png,happy,23.976,0.04,2\n"
    (job,) = jobs(tmp_path, text, tmp_path)
    assert (job.output, job.request.handles) == (tmp_path / "shot.mp4", 2)
    assert [path.name for path in job.request.find_source(Limits()).files()] == ["shot_0001.png", "shot_0002.png"]
    before = job_key(job, RenderSettings(), file_sha256)
    (tmp_path / "shot_0002.png").write_bytes(b"x")
    assert job_key(job, RenderSettings(), file_sha256) != before
    with pytest.raises(UsageError, match="a batch writes no pictures"):
        jobs(tmp_path, "source,emotion,output\na.mp4,happy,out_%04d.png\n")
    with pytest.raises(UsageError, match="the profile sequence is for cdrl edit"):
        jobs(tmp_path, "source,emotion,profile,output\na.mp4,happy,sequence,b.mp4\n")
    with pytest.raises(UsageError, match="handles is 'many'"):
        jobs(tmp_path, text.replace(",2\n", ",many\n"), tmp_path)


def test_clips_of_a_folder(tmp_path):
    for name in ("b.MOV", "a.mp4", ".hidden.mp4", "notes.txt", "-o.mkv"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "deeper.mp4").mkdir()
    made = jobs_from_folder(tmp_path, desk(tmp_path / "out", emotion="happy"))
    named = {job.name: job.output.name for job in made}
    assert list(named.items()) == [("-o.mkv", "-o.mp4"), ("a.mp4", "a.mp4"), ("b.MOV", "b.mp4")]
    with pytest.raises(UsageError, match="another one"):
        jobs_from_folder(tmp_path, desk(tmp_path / "." / "", emotion="happy"))
    with pytest.raises(InputError, match="holds no clip"):
        jobs_from_folder(tmp_path / "deeper.mp4", desk(tmp_path, emotion="happy"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("source,output,emotion\na.mp4,x.mp4,hapy\n", "line 2: .*did you mean happy"),
        ("source,output,emotion\na.mp4,x.mp4,\n", "nothing is asked for"),
        ("source,output,emotion\na.mp4,x.mp4,sad,more\n", "line 2 has more values"),
        ("source,output,emotion,intensity\na.mp4,x.mp4,sad,strong\n", "is not a number"),
        ("source,output,emotion,enroll\na.mp4,x.mp4,sad,x.jpg\n", "write EMOTION=FILE"),
        ("source,output,emotion\na.mp4,x.txt,sad\n", "unknown output type"),
        ("source,output,emotion\na.mp4,,sad\n", "no output is named"),
        ("source,output,emotion\n,x.mp4,sad\n", "no source is named"),
        ("source,emotion,color\na.mp4,sad,red\n", "unknown column 'color'"),
        ("source,source\na,b\n", "named twice"),
        ("output,emotion\nx.mp4,sad\n", "no column is called source"),
        ("source,output,emotion\n", "lists no job"),
        ("", "no column"),
        ('source,output,emotion\n"a.mp4,x.mp4,sad\n', "no comma-separated values"),
        ("source,output,emotion\nhttp://host/a.mp4,x.mp4,sad\n", "is an address"),
        ("source,output,emotion\nconcat:a.mp4|b.mp4,x.mp4,sad\n", "is an address"),
        ("source,output,emotion\na.mp4,pipe:1.mp4,sad\n", "is an address"),
        ("source,output,emotion\na.mp4,../x.mp4,sad\n", "leads out"),
        ("source,output,emotion\na.mp4,away/x.mp4,sad\n", "leads out"),
        ("source,output,emotion\na.mp4,away.mp4,sad\n", "leads out"),
        ("source,output,emotion\n../a.mp4,x.mp4,sad\n", "leads out"),
        ("source,output,emotion\naway.mp4,x.mp4,sad\n", "leads out"),
        ("source,output,reference\na.mp4,x.mp4,away/b.jpg\n", "leads out"),
        ("source,output,emotion,enroll\na.mp4,x.mp4,sad,angry=../b.jpg\n", "leads out"),
        ("source,output,emotion,model\na.mp4,x.mp4,sad,../m.onnx\n", "leads out"),
        ("source,output,emotion,prior\na.mp4,x.mp4,sad,../p.npz\n", "leads out"),
        ("source,output,project\na.mp4,x.mp4,../edit.json\n", "leads out"),
        (f"source,output,emotion,face\na.mp4,x.mp4,sad,{'9' * 5000}\n", "unknown face"),
        ("source,output,emotion\na.mp4,none/x.mp4,sad\n", "there is no folder"),
        ("source,output,emotion\na.mp4,x.mp4,sad\nb.mp4,./x.mp4,sad\n", "both be written"),
        ("source,output,emotion\na.mp4,x.mp4,sad\nx.mp4,y.mp4,sad\n", "is an input of x.mp4"),
        ("source,output,emotion\na.mp4,hard.mp4,sad\n", "is an input of a.mp4"),
        ("source,output,reference\na.mp4,b.mp4,b.mp4\n", "is an input of a.mp4"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_line(tmp_path, text, said):
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "away").symlink_to(tmp_path)
    (inner / "away.mp4").symlink_to(tmp_path / "nowhere.mp4")
    (inner / "a.mp4").write_bytes(b"x")
    os.link(inner / "a.mp4", inner / "hard.mp4")
    with pytest.raises(CdrlError, match=said) as error:
        jobs(inner, text)
    assert str(error.value).count("\n") == 0


def test_a_folder_s_links_lead_nowhere_else(tmp_path):
    (tmp_path / "clips").mkdir()
    (tmp_path / "secret.mp4").write_bytes(b"x")
    (tmp_path / "clips" / "talk.mp4").symlink_to(tmp_path / "secret.mp4")
    with pytest.raises(UsageError, match="leads out"):
        jobs_from_folder(tmp_path / "clips", desk(tmp_path / "out", emotion="happy"))


def test_what_the_command_says_may_lie_anywhere(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (job,) = jobs(tmp_path, "source,output\na.mp4,A.mp4\n", reference="../smile.jpg")
    assert job.request.reference.resolve() == tmp_path / "smile.jpg"


@pytest.mark.parametrize("name", ["../x.mp4", "{root}/x.mp4", "link/x.mp4", "/x.mp4"])
def test_nothing_leads_out_of_the_output_folder(tmp_path, name):
    out = tmp_path / "out"
    out.mkdir()
    (out / "link").symlink_to(tmp_path)
    with pytest.raises(UsageError, match="leads out"):
        jobs(tmp_path, f"source,output,emotion\na.mp4,{name.format(root=tmp_path)},sad\n", out)
    assert jobs(tmp_path, "source,output,emotion\na.mp4,new/x.mp4,sad\n", out)[0].output == out / "new" / "x.mp4"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--emotion", "sad"], 2, "--output-folder"),
        (["-o", "out"], 2, "nothing is asked for"),
        (["-o", "out", "--emotion", "sad", "--segments", "0-:sad"], 2, "both given"),
        (["-o", "out", "--emotion", "sad", "--jobs", "0"], 2, "at least one"),
        (["-o", "out", "--emotion", "sad", "--ending", ".exe"], 2, "--ending"),
        (["-o", "out", "--emotion", "sad", "--report", "src/a.json"], 2, "end its name|another use"),
        (["-o", "src/a.mp4", "--emotion", "sad"], 5, "is a file"),
    ],
)
def test_the_command_refuses_before_any_work(tmp_path, monkeypatch, capsys, words, code, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.mp4").write_bytes(b"x")
    (tmp_path / "src" / "a.json").symlink_to("a.mp4")
    assert main(["batch", "src", *words]) == code
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert re.search(said, err)
    assert not (tmp_path / "out" / "a.mp4").exists()
