"""`cdrl edit` marks what it writes unless told not to, and signs it with a certificate made here."""

import json

import pytest

from cdrl.cli.main import main
from cdrl.provenance import sidecar_path, signing, verify

c2pa = pytest.importorskip("c2pa")


@pytest.fixture
def desk(tmp_path, sample, chain, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "talk.mp4").symlink_to(sample)
    for pem in chain.iterdir():
        (tmp_path / pem.name).symlink_to(pem)
    return tmp_path


EDIT = ["edit", "talk.mp4", "--emotion", "happy", "-o", "out.mp4"]
SIGN = ["--c2pa-certificate", "chain.pem", "--c2pa-key", "key.pem"]


def test_on_by_default_and_the_switch_is_told(desk, capsys):
    assert main([*EDIT, "--report", "report.json"]) == 0
    assert "turned off" not in capsys.readouterr().err
    assert json.loads((desk / "report.json").read_text())["provenance"].endswith("out.mp4.provenance.json")
    said = json.loads(sidecar_path(desk / "out.mp4").read_text())
    assert said["frames"]["edited"] == said["frames"]["total"] == 61
    names = ["face_landmarker_v2.task", "segmenter.onnx", "prior.npz", "translator.onnx"]
    assert [model["name"] for model in said["models"]] == names
    assert main(["verify", "out.mp4", "--source", "talk.mp4"]) == 0

    assert main([*EDIT, "--no-provenance", "--overwrite", "--report", "report.json"]) == 0
    assert "provenance was turned off" in capsys.readouterr().err
    report = json.loads((desk / "report.json").read_text())
    assert report["provenance"] == "turned off"
    assert any("provenance was turned off" in warning for warning in report["warnings"])
    assert not sidecar_path(desk / "out.mp4").exists()  # it would speak of the video before
    assert main(["verify", "out.mp4"]) == 9


def test_signed_as_an_edit_of_its_source(desk, capsys):
    assert main([*EDIT, *SIGN]) == 0
    with c2pa.Reader("out.mp4") as reader:
        manifest = reader.get_active_manifest()
    assert [(one["title"], one["relationship"]) for one in manifest["ingredients"]] == [("talk.mp4", "parentOf")]
    actions = next(one for one in manifest["assertions"] if one["label"].startswith("c2pa.actions"))["data"]["actions"]
    assert [action["action"] for action in actions] == ["c2pa.opened", "c2pa.edited"]
    assert actions[1]["digitalSourceType"].endswith("/compositeWithTrainedAlgorithmicMedia")
    assert "time" not in manifest["signature_info"]  # nobody was asked for a time stamp

    capsys.readouterr()
    assert main(["verify", "out.mp4"]) == 0
    assert "valid, signed by A. Signer; untrusted" in capsys.readouterr().out
    assert main(["verify", "out.mp4", "--c2pa-trust-anchors", "anchor.pem"]) == 0
    assert "whom the given anchors vouch for" in capsys.readouterr().out
    sidecar_path(desk / "out.mp4").unlink()  # the signature alone will do
    assert verify("out.mp4").status == "verified"

    content = bytearray((desk / "out.mp4").read_bytes())
    content[len(content) // 2] ^= 1
    (desk / "out.mp4").write_bytes(content)
    assert main(["verify", "out.mp4"]) == 9
    assert "its C2PA manifest does not hold (assertion.bmffHash.mismatch" in capsys.readouterr().err


def test_a_signed_source_is_the_parent_with_its_own_manifest(clip, sealed, tmp_path, chain):
    who = signing.Credentials(chain / "chain.pem", chain / "key.pem")
    first = sealed(clip(), tmp_path / "first.mp4", credentials=who)
    second = sealed(first, tmp_path / "second.mov", credentials=who)
    with c2pa.Reader(str(second)) as reader:
        assert reader.get_validation_state() == "Valid"
        assert reader.get_active_manifest()["ingredients"][0]["active_manifest"]
    assert len(verify(second).edits) == 2


WRONG = [
    (["--c2pa-certificate", "chain.pem"], 2, "--c2pa-key"),
    ([*SIGN, "--no-provenance"], 2, "choose one"),
    (["--c2pa-tsa", "http://tsa.example"], 2, "--c2pa-certificate"),
    (["--c2pa-certificate", "nowhere.pem", "--c2pa-key", "key.pem"], 3, "nowhere.pem"),
    (["--c2pa-certificate", "talk.mp4", "--c2pa-key", "key.pem"], 2, "no certificate"),
    (["--c2pa-certificate", "chain.pem", "--c2pa-key", "chain.pem"], 2, "no private key"),
    (["--c2pa-certificate", "anchor.pem", "--c2pa-key", "key.pem"], 2, "not the key of"),
    (["--c2pa-certificate", "expired.pem", "--c2pa-key", "key.pem"], 2, "expired.pem cannot sign"),
    ([*SIGN, "-o", "out.mkv"], 2, "C2PA cannot be put into .mkv"),
]


@pytest.mark.parametrize(("more", "code", "said"), WRONG)
def test_what_cannot_sign_is_told_before_the_work(desk, capsys, monkeypatch, more, code, said):
    monkeypatch.setattr("cdrl.pipeline.job.EditJob._run", None)  # whoever begins to work fails
    before = sorted(desk.iterdir())
    assert main([*EDIT, *more]) == code
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1
    assert sorted(desk.iterdir()) == before


def test_without_the_library_it_says_what_to_install(desk, capsys, monkeypatch):
    monkeypatch.setattr(signing, "_library", lambda: None)
    assert main([*EDIT, *SIGN]) == 2
    assert "pip install 'cdrl[provenance]'" in capsys.readouterr().err


def test_a_signature_that_fails_at_the_end_leaves_nothing(clip, sealed, tmp_path, chain):
    source, output = clip(), tmp_path / "out.mp4"
    for name in ("chain.pem", "key.pem"):
        (tmp_path / name).write_bytes((chain / name).read_bytes())
    who = signing.Credentials(tmp_path / "chain.pem", tmp_path / "key.pem", tsa="http://127.0.0.1:9/")
    with pytest.raises(signing.OutputError, match="cannot sign"):
        sealed(source, output, credentials=who)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chain.pem", "key.pem", source.name]
