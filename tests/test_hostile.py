"""What somebody else wrote - models, sidecars, lists, performances - costs no more than it may and leads nowhere."""

import io
import json
import os
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cdrl import export, files
from cdrl.cli.main import main
from cdrl.errors import CdrlError, InputError, ModelFileError, one_line
from cdrl.manipulation import personalization
from cdrl.manipulation.personalization import N_EXTRA_OUTPUTS, OnnxTranslator
from cdrl.manipulation.prior import EXPRESSIVE, EmotionPrior, array_names


def packed(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def header(*shape):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return file.getvalue()


PRIORS = {
    "packed a thousandfold": (header(1 << 25) + bytes(1 << 27), "take more than"),
    "claims four terabytes": (header(1 << 40) + bytes(1 << 10), "not as large as it says"),
    "a pickle": (b"\x80\x04N.", "not an emotion prior"),
    "objects": (None, "not an emotion prior"),
}


@pytest.mark.parametrize("kind", PRIORS)
def test_a_prior_that_is_a_bomb(tmp_path, kind):
    content, said = PRIORS[kind]
    if content is None:
        file = io.BytesIO()
        np.save(file, np.array([{"a": 1}], object), allow_pickle=True)
        content = file.getvalue()
    path = packed(tmp_path / "prior.npz", **dict.fromkeys(array_names()[:1], content))
    with pytest.raises(ModelFileError, match=said):
        EmotionPrior.load(path)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("lid_ratio", 0),
        ("gain", 1e30),
        ("offset", -1e4),
        ("brow_movement", 30),
        ("closed_lip_fraction", 2),
        ("mean", np.nan),
        ("identity", None),
    ],
)
def test_a_prior_whose_numbers_are_no_face_s(tmp_path, name, number):
    prior = EmotionPrior.load()
    array = np.full_like(getattr(prior, name), number) if number is not None else getattr(prior, name)[:0]
    with np.errstate(over="ignore"):
        replace(prior, **{name: array}).save(tmp_path / "prior.npz")
    with pytest.raises(ModelFileError):
        EmotionPrior.load(tmp_path / "prior.npz")


@pytest.fixture
def graph(tmp_path):
    """`graph(node, ...)`: a translator for the prior that ships, but for what its graph does."""
    onnx = pytest.importorskip("onnx")
    prior = EmotionPrior.load()
    count, modes = len(EXPRESSIVE), len(prior.expression_deviation)

    def make(nodes, tensors=()):
        number = onnx.TensorProto.FLOAT
        taken = onnx.helper.make_tensor_value_info("traits", number, [1, len(prior.identity) + count + 2])
        given = onnx.helper.make_tensor_value_info("change", number, [1, count, modes + N_EXTRA_OUTPUTS])
        whole = onnx.helper.make_graph(nodes, "graph", [taken], [given], initializer=list(tensors))
        model = onnx.helper.make_model(whole, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
        onnx.helper.set_model_props(model, {"prior_sha256": prior.sha256})
        (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
        return tmp_path / "model.onnx"

    return make


def test_a_translator_that_wants_all_memory(graph):
    onnx = pytest.importorskip("onnx")
    one = onnx.helper.make_tensor("one", onnx.TensorProto.FLOAT, [1], [1.0])
    large = onnx.numpy_helper.from_array(np.array([1 << 28]), "large")
    modes = len(EmotionPrior.load().expression_deviation)
    asked = onnx.numpy_helper.from_array(np.array([1, len(EXPRESSIVE), modes + N_EXTRA_OUTPUTS]), "asked")
    nodes = [
        onnx.helper.make_node("ConstantOfShape", ["large"], ["gigabyte"], value=one),
        onnx.helper.make_node("ReduceSum", ["gigabyte"], ["sum"], keepdims=0),
        onnx.helper.make_node("Expand", ["sum", "asked"], ["change"]),
    ]
    path = graph(nodes, [large, asked])
    refused(path)


def test_a_translator_that_never_ends(graph, monkeypatch):
    onnx = pytest.importorskip("onnx")
    monkeypatch.setattr(personalization, "MAX_SECONDS", 0.2)
    make, kind = onnx.helper, onnx.TensorProto
    goes_on = [make.make_tensor_value_info("go", kind.BOOL, []), make.make_tensor_value_info("x", kind.FLOAT, None)]
    ends = [make.make_tensor_value_info("on", kind.BOOL, []), make.make_tensor_value_info("y", kind.FLOAT, None)]
    steps = [make.make_node("Identity", ["go"], ["on"]), make.make_node("Identity", ["x"], ["y"])]
    body = make.make_graph(steps, "body", [make.make_tensor_value_info("i", kind.INT64, []), *goes_on], ends)
    count = onnx.numpy_helper.from_array(np.array(1 << 60), "count")
    true = onnx.numpy_helper.from_array(np.array(True), "true")
    path = graph([make.make_node("Loop", ["count", "true", "traits"], ["change"], body=body)], [count, true])
    refused(path)


def refused(model):
    """The model is looked at, then run for a person, and given up in one sentence."""
    prior = EmotionPrior.load()
    translator = OnnxTranslator(prior, model)
    anybody = np.zeros(len(prior.identity) + len(EXPRESSIVE) + 2, np.float32)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(ModelFileError, match="does not run within"):
        patch.setattr(personalization, "person_features", lambda person, prior: anybody)
        translator(None)


def test_a_translator_that_names_another_file(graph, tmp_path, monkeypatch):
    onnx = pytest.importorskip("onnx")
    monkeypatch.chdir(tmp_path)
    Path("secret").write_bytes(bytes(400))
    tensor = onnx.TensorProto(name="w", data_type=1, dims=[100], data_location=onnx.TensorProto.EXTERNAL)
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "secret"
    path = graph([onnx.helper.make_node("Identity", ["w"], ["change"])], [tensor])
    with pytest.raises(ModelFileError, match="in other files"):
        OnnxTranslator(EmotionPrior.load(), path)


COMMANDS = {
    "prior": "edit {sample} --emotion happy -o out.mp4 --prior {bad}",
    "model": "edit {sample} --emotion happy -o out.mp4 --model {bad}",
    "source": "edit {bad} --emotion happy -o out.mp4",
    "reference": "edit {sample} --reference {bad} -o out.mp4",
    "example": "edit {sample} --emotion happy --enroll angry={bad} -o out.mp4",
    "project": "edit --project {bad} -o out.mp4",
    "batch": "batch {bad} --output-folder out",
    "verify": "verify {bad}",
    "compared": "verify {sample} --source {bad}",
    "certificate": "edit {sample} --emotion happy -o out.mp4 --c2pa-certificate {bad} --c2pa-key {bad}",
}


@pytest.mark.parametrize("bad", ["pipe", "/dev/zero", "."])
@pytest.mark.parametrize("what", COMMANDS)
def test_pipes_devices_and_folders_are_refused_at_once(tmp_path, monkeypatch, sample, capsys, what, bad):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    assert main(COMMANDS[what].format(sample=sample, bad=bad).split()) in (2, 3, 7, 9)
    assert capsys.readouterr().err.startswith("cdrl: error: ")
    assert [path.name for path in Path().iterdir()] == ["pipe"]


@pytest.mark.parametrize("name", ["manifest.json", "talk.flv.provenance.json"])
@pytest.mark.parametrize("bad", ["pipe", "device", "deep", "large"])
def test_what_lies_beside_a_file_is_no_trap(tmp_path, sample, monkeypatch, capsys, name, bad):
    monkeypatch.chdir(tmp_path)
    Path("talk.flv").write_bytes(sample.read_bytes())
    match bad:
        case "pipe":
            os.mkfifo(name)
        case "device":
            Path(name).symlink_to("/dev/zero")
        case "deep":
            Path(name).write_text("[" * 100_000)
        case "large":
            Path(name).write_text(json.dumps({"x": "x" * (1 << 21)}))
    line = "edit talk.flv --emotion happy -o out.mp4 --prior talk.flv" if name == "manifest.json" else "verify talk.flv"
    assert main(line.split()) in (7, 9)
    assert capsys.readouterr().err.count("\n") == 1


def test_nothing_is_written_through_somebody_else_s_link(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "edit.json.partial").symlink_to(tmp_path / "mine")
    files.atomic_write(tmp_path / "edit.json", [b"new"])
    assert (tmp_path / "mine").read_text() == "mine"
    assert not (tmp_path / "edit.json").is_symlink()


def test_messages_are_one_line_that_no_terminal_obeys(capsys):
    assert main(["edit", "\x1b[2J\x9b31m\u202e\n.mp4", "--emotion", "happy", "-o", "out.mp4"]) == 3
    said = capsys.readouterr().err
    assert said[:-1].isprintable()
    assert said.endswith("\n")
    assert len(one_line("x" * 10**6)) <= 2000


@pytest.mark.parametrize("text", ["1e999999999", "1/0", "9" * 5000, "1_0"])
def test_a_performance_s_times_are_fractions(tmp_path, text):
    content = {"format": export._JSON_FORMAT, "names": export.COLUMNS, "rate": text, "times": [], "source": []}
    (tmp_path / "take.json").write_text(json.dumps(content | {"edited": None}))
    with pytest.raises(InputError):
        export.read_json(tmp_path / "take.json")


@pytest.mark.parametrize("facts", ["[" * 100_000, "[]", "{}", '{"format": "cdrl-checkpoint-1", "architecture": "x"}'])
def test_a_checkpoint_s_facts_are_checked(tmp_path, facts):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    from cdrl.representations.checkpoints import load_model

    save_file({"a": torch.zeros(1)}, tmp_path / "x.safetensors", {"facts": facts})
    with pytest.raises(CdrlError):
        load_model(tmp_path / "x.safetensors", "x")


def test_the_judges_follow_no_playlist(tmp_path, sample):
    from cdrl.evaluation.clips import decode_frames

    (tmp_path / "talk.mp4").write_bytes(sample.read_bytes())
    (tmp_path / "result.mp4").write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{tmp_path}/talk.mp4\n")
    assert next(decode_frames(tmp_path / "talk.mp4")).shape == (360, 480, 3)
    with pytest.raises(InputError, match="playlist"):
        next(decode_frames(tmp_path / "result.mp4"))


def test_a_translator_whose_words_are_no_text(graph):
    """The runtime decodes them only when it is asked."""
    onnx = pytest.importorskip("onnx")
    path = graph([onnx.helper.make_node("Identity", ["traits"], ["change"])])
    for word in (b"prior_sha256", b"change"):
        (path.parent / "bad.onnx").write_bytes(path.read_bytes().replace(word, b"\xb0" * len(word)))
        with pytest.raises(ModelFileError):
            OnnxTranslator(EmotionPrior.load(), path.parent / "bad.onnx")


@pytest.mark.skipif(os.name == "nt" or sys.platform == "darwin", reason="names are Unicode there")
@pytest.mark.parametrize("name", ["caf\udce9 \udcff.flv", "[" * 60 + "%s'\".flv"], ids=["no UTF-8", "brackets"])
def test_a_clip_of_any_name_is_edited_and_verified(tmp_path, monkeypatch, sample, capfd, name):
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(sample.read_bytes())
    words = ["--emotion", "happy", "--save-project", "edit.json", "-o", "out.mkv"]
    assert main(["edit", name, *words]) == 0, capfd.readouterr().err
    assert main(["verify", "out.mkv", "--source", name]) == 0, capfd.readouterr().err
    assert Path(json.loads(Path("edit.json").read_text())["source"]) == Path(name)


@pytest.mark.skipif(os.name == "nt" or sys.platform == "darwin", reason="names are Unicode there")
def test_a_batch_takes_a_clip_of_any_name(tmp_path, monkeypatch, sample, capfd):
    monkeypatch.chdir(tmp_path)
    Path("clips").mkdir()
    Path("clips/caf\udce9.flv").write_bytes(sample.read_bytes())
    words = ["batch", "clips", "--output-folder", "out", "--emotion", "sad", "--jobs", "1"]
    assert main(words) == 0, capfd.readouterr().err
    assert main(words) == 0, capfd.readouterr().err  # done already
    assert Path("out/caf\udce9.mp4").is_file()
