"""The app through HTTP, as a program calls it, and what it refuses."""

import json
import socket
import urllib.error
import urllib.request
from pathlib import Path

import av
import pytest

import cdrl
from cdrl.app.sessions import SESSION
from cdrl.cli.main import main
from cdrl.project import read_project

gradio_client = pytest.importorskip("gradio_client", reason="the extra app is not installed")


@pytest.fixture
def client(address, tmp_path):
    """A user of their own, who leaves at the end: a client that is kept alive keeps its session, too."""
    made = gradio_client.Client(address, verbose=False, download_files=str(tmp_path / "downloads"))
    yield made
    made.close()


@pytest.fixture
def opened(client, sample):
    """A user whose clip is the sample."""
    client.predict(file(sample), api_name="/open")
    return client


def file(path):
    return gradio_client.handle_file(str(path))


def refused(client, *values, **how):
    """The sentence with which a call is refused."""
    with pytest.raises(gradio_client.exceptions.AppError) as caught:
        client.predict(*values, **how)
    return str(caught.value)


def test_open_preview_edit(client, sample):
    assert client.predict(file(sample), api_name="/open") == {
        "name": sample.name, "width": 480, "height": 360, "seconds": pytest.approx(2.0, abs=0.1), "faces": 1,
    }  # fmt: skip
    wish = {"emotion": "sad", "intensity": 0.8, "regions": ["brows", "eyes"]}
    still = client.predict(**wish, moment=1.0, api_name="/preview")
    assert Path(still).stat().st_size > 0
    assert "consent" in refused(client, **wish, consent=False, api_name="/edit")
    video, report, project = client.predict(**wish, consent=True, api_name="/edit")
    with av.open(video) as container:
        assert sum(1 for _ in container.decode(video=0)) == 61
    assert json.loads(Path(report).read_text())["frames"]["edited"] == 61
    found = read_project(project)
    assert (found.emotion, found.intensity, found.regions) == ("sad", 0.8, ("brows", "eyes"))


def test_reference_and_segments(opened, sample):
    reference = file(sample.with_name("1001_DFA_ANG_XX.flv"))
    wish = {"segments": "0-1:reference, 1-:happy", "reference": reference}
    assert Path(opened.predict(**wish, moment=0.5, api_name="/preview")).stat().st_size > 0


@pytest.mark.parametrize("emotions", [["happy"], ["happy", "sad"]], ids=["one", "one that waits as well"])
def test_cancel(client, long_clip, uploads, emotions):
    client.predict(file(long_clip), api_name="/open")
    edits = [client.submit(emotion=emotion, consent=True, api_name="/edit") for emotion in emotions]
    for edit in edits:
        next(iter(edit))  # it has begun, or waits for its turn
    client.predict(api_name="/cancel")
    for edit in edits:
        with pytest.raises(Exception, match="canceled: nothing was written"):
            edit.result(timeout=60)
    assert list(uploads.glob(f"{SESSION}*/*/*happy*")) == []


def test_a_neutral_face_is_a_parameter(opened, tmp_path):
    text = tmp_path / "neutral.png"
    text.write_bytes(_png())
    wish = {"emotion": "happy", "neutral": file(text)}
    for name, more in (("/preview", {}), ("/edit", {"consent": True})):
        sentence = refused(opened, **wish, **more, api_name=name)
        assert "neutral.png: no face" in sentence, sentence
        assert "/tmp" not in sentence


WRONG = [
    ({"emotion": "hapy"}, "did you mean happy"),
    ({"emotion": "happy", "intensity": 1.4e9}, "out of range|maximum"),
    ({"segments": "0-2:happy,1-3:sad"}, "overlap"),
    ({"emotion": "happy", "face": "7"}, "no face is seen"),
]


@pytest.mark.parametrize(("wish", "said"), WRONG)
def test_what_makes_no_sense_is_one_sentence(opened, wish, said):
    sentence = refused(opened, **wish, api_name="/preview")
    assert any(part in sentence for part in said.split("|")), sentence
    assert "\n" not in sentence
    assert "/tmp" not in sentence


def test_nothing_is_open_at_first(client):
    assert "no clip is open" in refused(client, emotion="happy", consent=True, api_name="/edit")


def test_bad_uploads_leave_nothing(client, tmp_path, uploads):
    def kept():
        return {path for path in uploads.rglob("*") if path.is_file() and path.parent != uploads}

    before = kept()
    text, photo, big = tmp_path / "text.mp4", tmp_path / "photo.png", tmp_path / "big.mp4"
    text.write_text("#EXTM3U\nhttp://127.0.0.1/talk.mp4\n")
    photo.write_bytes(_png())
    assert "playlist" in refused(client, file(text), api_name="/open")
    assert "photo" in refused(client, file(photo), api_name="/open")
    big.write_bytes(bytes(3_100_000))
    with pytest.raises(Exception, match=r"(?i)size|413|large"):
        client.predict(file(big), api_name="/open")
    assert kept() <= before  # what users before had may go meanwhile


def test_addresses_are_not_fetched(client, address):
    sent = {"path": f"{address}/config", "meta": {"_type": "gradio.FileData"}}
    assert "addresses are not taken" in refused(client, sent, api_name="/open")


@pytest.mark.parametrize("name", ["{sample}", "/etc/hostname", "/dev/zero", "{uploads}/../x"])
def test_files_of_the_machine_are_no_uploads(address, sample, uploads, name):
    """Not by a client that sends a path of ours in place of a file."""
    sent = [{"path": name.format(sample=sample, uploads=uploads), "meta": {"_type": "gradio.FileData"}}]
    call = f"{address}/gradio_api/call/open"
    header = {"Content-Type": "application/json"}
    asked = urllib.request.Request(call, json.dumps({"data": sent}).encode(), header)
    event = json.loads(urllib.request.urlopen(asked).read())["event_id"]
    said = urllib.request.urlopen(f"{call}/{event}").read().decode()
    assert "event: error" in said
    assert "seconds" not in said


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/gradio_api/file=/etc/hostname", {}),
        ("/gradio_api/file=http://localhost/x", {}),
        ("/gradio_api/vibe-code", {}),
        ("/gradio_api/proxy=http://localhost/x", {}),
        ("/", {"Host": "evil.example"}),
    ],
)
def test_what_is_not_serve(address, path, headers):
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(urllib.request.Request(address + path, headers=headers))
    assert caught.value.code in (400, 403, 404)


def test_a_taken_port_is_one_line_before_anything_loads(monkeypatch, capsys):
    monkeypatch.setattr(cdrl, "load", None)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert main(["app", "--no-browser", "--port", str(port)]) == 5
    said = capsys.readouterr().err
    assert said.startswith(f"cdrl: error: 127.0.0.1:{port} is taken")
    assert said.count("\n") == 1


def test_pages_forbid_what_lies_elsewhere(address):
    with urllib.request.urlopen(address) as page:
        assert "default-src 'self'" in page.headers["content-security-policy"]


def _png():
    import cv2
    import numpy as np

    return cv2.imencode(".png", np.zeros((64, 64, 3), np.uint8))[1].tobytes()
