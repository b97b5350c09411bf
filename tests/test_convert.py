"""`cdrl convert`: what PyTorch saved becomes safetensors; what would run code is refused."""

import pickle
from pathlib import Path

import pytest

from cdrl.cli import main as cli

torch = pytest.importorskip("torch")


class Evil:
    def __reduce__(self):
        return Path.touch, (Path("evil"),)


def test_a_wrapped_state_dict_is_converted_once(tmp_path, capsys):
    source, output = tmp_path / "net.pth", tmp_path / "net.safetensors"
    weights = {"module.a.weight": torch.arange(6.0).view(2, 3), "module.a.bias": torch.zeros(2)}
    torch.save({"state_dict": weights, "epoch": 3}, source)
    assert cli.main(["convert", str(source)]) == 0
    from cdrl.representations.checkpoints import read_tensors

    tensors, facts = read_tensors(output)
    assert sorted(tensors) == ["a.bias", "a.weight"]
    assert torch.equal(tensors["a.weight"], weights["module.a.weight"])
    assert facts["converted from"] == "net.pth"
    assert cli.main(["convert", str(source)]) == 5
    assert "--overwrite" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["code", "cut", "numbers"])
def test_anything_else_is_refused_in_one_line(kind, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "bad.pth"
    if kind == "code":
        source.write_bytes(pickle.dumps({"a": Evil()}))
    elif kind == "cut":
        torch.save({"a": torch.zeros(1000)}, source)
        source.write_bytes(source.read_bytes()[:900])
    else:
        torch.save([1, 2, 3], source)
    assert cli.main(["convert", "bad.pth"]) == 3
    said = capsys.readouterr().err
    assert said.startswith("cdrl: error: bad.pth: ")
    assert said.count("\n") == 1
    assert not Path("evil").exists()
    assert not list(tmp_path.glob("*.safetensors*"))


def test_a_header_whose_length_looks_like_a_pickle_is_read(tmp_path):
    from safetensors.torch import save_file

    from cdrl.representations.checkpoints import read_tensors

    for count in range(64):  # among so many lengths some end in the byte that pickles begin with
        save_file({"a" * (1 + 8 * count): torch.zeros(1)}, tmp_path / "a.safetensors")
        with (tmp_path / "a.safetensors").open("rb") as file:
            if file.read(1) == b"\x80":
                break
    else:
        pytest.fail("no such length")
    assert len(read_tensors(tmp_path / "a.safetensors")[0]) == 1
