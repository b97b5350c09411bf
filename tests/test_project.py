"""Projects: what is written is read back, and nothing else is read at all."""

import json
import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cdrl
from cdrl.errors import CdrlError, InputError, InputNotFoundError, LimitError, ModelFileError, UsageError
from cdrl.project import MAX_BYTES, local_path, read_project, request_from_json, write_project
from cdrl.request import EditRequest

LEAST = {"version": 1, "source": "talk.mp4", "emotion": "happy"}


def written(folder, content):
    path = folder / "edit.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_what_is_written_is_read_back(tmp_path):
    (tmp_path / "sub").mkdir()
    inside, outside = tmp_path / "sub", tmp_path / "elsewhere.mp4"
    project = EditRequest(
        source=inside / "-o talk: one.mp4",
        reference=outside,
        segments="0-1:happy,1-:reference",
        intensity=0.8,
        regions=("brows", "eyes"),
        face="left",
        enroll={"anger": inside / "angry.jpg"},
        model="translator",
        prior=inside / "prior.npz",
        renderer="neural",
    )
    write_project(project, inside / "edit.json")
    assert read_project(inside / "edit.json") == project
    assert list(project.enroll) == ["angry"]
    said = json.loads((inside / "edit.json").read_text())
    assert (said["source"], said["reference"]) == ("./-o talk: one.mp4", str(outside))
    assert [path.name for path in inside.iterdir()] == ["edit.json"]


def test_a_folder_can_be_moved(tmp_path):
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    write_project(EditRequest(tmp_path / "old" / "talk.mp4", "sad"), tmp_path / "old" / "edit.json")
    (tmp_path / "old" / "edit.json").rename(tmp_path / "new" / "edit.json")
    assert read_project(tmp_path / "new" / "edit.json").source == tmp_path / "new" / "talk.mp4"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 2}, "version 2 is not known"),
        ({"version": None}, "'version' is missing"),
        ({"version": True}, "version is true: give a number"),
        ({"source": None}, "'source' is missing"),
        ({"source": 7}, "source is 7: give text"),
        ({"output": "x.mp4"}, "unknown key 'output'"),
        ({"emotion": "hapy"}, "did you mean happy"),
        ({"emotion": None}, "nothing is asked for"),
        ({"intensity": "1"}, 'intensity is "1": give a number'),
        ({"intensity": 2}, "out of range"),
        ({"intensity": 10**400}, "intensity is 1000"),
        ({"regions": "brows"}, "regions is .*: give a list"),
        ({"regions": ["nose"]}, "unknown region"),
        ({"face": "top"}, "unknown face"),
        ({"enroll": ["a.jpg"]}, "enroll is .*: give an object"),
        ({"enroll": {"angry": 1}}, "enroll is 1: give a file's name"),
        ({"source": "http://host/talk.mp4"}, "is an address"),
        ({"source": "concat:a.mp4|b.mp4"}, "is an address"),
        ({"source": "pipe:0"}, "is an address"),
        ({"reference": "file:/etc/passwd", "emotion": None}, "is an address"),
        ({"model": "https://host/m.onnx"}, "is an address"),
        ({"renderer": "../own.onnx"}, "leads out of the folder"),
        ({"source": "../talk.mp4"}, "leads out of the folder"),
        ({"enroll": {"sad": "a/../../s.jpg"}}, "leads out of the folder"),
        ({"source": "a\0b.mp4"}, "is no file's name"),
        ({"source": ""}, "is no file's name"),
    ],
)
def test_what_is_no_project_is_refused_in_one_line(tmp_path, change, said):
    path = written(tmp_path, {**LEAST, **change})
    with pytest.raises(UsageError, match=said) as error:
        read_project(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"version": 1, "version": 1}', '{"intensity": NaN}', "[" * 100_000, "null", "\ud800"]
)
def test_what_is_no_json_object_is_refused(tmp_path, text):
    path = tmp_path / "edit.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises((InputError, UsageError)) as error:
        read_project(path)
    assert str(error.value).count("\n") == 0


def test_only_small_regular_files_are_read(tmp_path):
    with pytest.raises(LimitError):
        read_project(written(tmp_path, " " * (MAX_BYTES + 1)))
    with pytest.raises(InputNotFoundError):
        read_project(tmp_path / "none.json")
    os.mkfifo(tmp_path / "pipe.json")
    for path in (tmp_path, tmp_path / "pipe.json"):
        with pytest.raises(InputError, match="no regular file"):
            read_project(path)


def test_links_lead_nowhere_else(tmp_path):
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "link.mp4").symlink_to(tmp_path / "secret.mp4")
    (inner / "loop.mp4").symlink_to("loop.mp4")
    for name in ("link.mp4", "loop.mp4"):
        with pytest.raises(UsageError, match=r"leads out|not a usable"):
            local_path(name, inner)
    assert local_path(str(inner / "link.mp4"), inner)  # said openly
    for name in ("link.mp4", str(tmp_path / "secret.mp4")):
        with pytest.raises(UsageError, match="leads out"):
            local_path(name, inner, within=inner)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.sampled_from([*LEAST, "regions", "enroll", "intensity"]) | st.text(), inner)
        ),
    )
)
def test_any_content_is_a_project_or_an_error_of_ours(tmp_path_factory, content):
    with suppress(CdrlError):
        assert isinstance(request_from_json(content, tmp_path_factory.getbasetemp()), EditRequest)


def test_a_renderer_that_is_none_is_refused_before_anything_is_looked_at(tmp_path):
    """Even before the source, which is not there."""
    for name, said in (("gone.onnx", "is missing"), ("other.onnx", "no ONNX network")):
        (tmp_path / "other.onnx").write_bytes(b"no network")
        with pytest.raises(ModelFileError, match=said):
            cdrl.load(model="prior").edit(tmp_path / "no.mp4", emotion="happy", renderer=str(tmp_path / name))


def test_an_editor_refuses_a_request_for_another_model_than_its_own(sample):
    editor = cdrl.load(model="prior")
    assert editor.edit(EditRequest(sample, "happy", intensity=0, model="prior")).plan.changes_nothing
    for fields in ({"model": "translator"}, {"prior": Path("prior.npz")}):
        with pytest.raises(UsageError, match=r"cdrl\.load"):
            editor.edit(EditRequest(sample, "happy", **fields))
