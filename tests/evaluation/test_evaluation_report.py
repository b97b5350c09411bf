"""The report as one page: whole, closed in itself, escaped; every method and emotion is in it, and every failure."""

import re
import sys
from itertools import product
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from cdrl.errors import InputError, ModelFileError, OutputError
from cdrl.evaluation.clip_features import ClipFeatures
from cdrl.evaluation.contact_sheets import FILE, ContactSheets, find_widest_opening
from cdrl.evaluation.geometry import fit_layout
from cdrl.evaluation.measure_registry import ALL_EMOTIONS, FAILURE_SCORES
from cdrl.evaluation.report import check_place, render_html, write_html
from cdrl.evaluation.summary import summarize

pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")

HOSTILE = "<script>alert('$5 & \"6')</script>"
METHODS = ("cdrl", "plain copy", HOSTILE)
REASON = "nobody <there>"


def row(method: str, person: str, emotion: str, failed: str | None = None) -> dict[str, Any]:
    numbers = {"lip_flow_r": 0.9, "p_target": 0.3, "identity": 0.97, "lse_d": 7.5}
    facts = {"method": method, "block": "neutral", "person": person, "emotion": emotion, "source": f"{person}.mp4"}
    return {**facts, "failed": failed, "lag": 0, "measures": dict(FAILURE_SCORES) if failed else numbers}


@pytest.fixture(scope="module")
def result() -> dict[str, Any]:
    failed = row("plain copy", "a", "sad", REASON)
    asked = product(METHODS, ("a", "b"), ALL_EMOTIONS)
    rows = [failed if (names[0], names[2]) == ("plain copy", "sad") else row(*names) for names in asked]
    facts = {"person": "a", "source": "r.mp4", "identity": 0.98, "identity_others": 0.85}
    real = [{**facts, "emotion": emotion, "p": {emotion: 0.5}} for emotion in ALL_EMOTIONS]
    made = {"set": "tune", "judges": {"emotion": "one & only"}, "rows": rows, "real": real}
    made["summary"] = summarize(rows, real)
    for cell in made["summary"]["blocks"]["neutral"]["methods"].values():
        cell["measures"]["not_yet_known"] = {"mean": 7.5, "low": 7.0, "high": 8.0, "people": {"a": 7.0, "b": 8.0}}
    return made


def seen(frames: int = 12) -> ClipFeatures:
    """A face of 468 points in 200 x 200 pixels, lips farthest apart in frame 7, and in 0, near the start."""
    points = np.tile(np.random.default_rng(0).uniform(60, 140, (468, 2)), (frames, 1, 1))
    points[:, [82, 13, 312]] = points[:, [87, 14, 317]] = [100, 120]
    points[7, [87, 14, 317], 1] += 5
    points[0, [87, 14, 317], 1] += 9
    points[:, [33, 133]], points[:, [362, 263]] = [80, 90], [120, 90]
    none = np.empty((frames, 0))
    thumbs = np.zeros((frames, 64, 64), np.uint8)
    return ClipFeatures(points, none, none, none, none, thumbs, none, none, none, fit_layout(points))


@pytest.fixture(scope="module")
def sheets(result: dict[str, Any]) -> ContactSheets:
    def frames():
        return iter(np.full((12, 200, 200, 3), 90, np.uint8))

    made = ContactSheets()
    for entry in result["rows"]:
        made.add_source(entry["person"], entry["emotion"], entry["source"], frames, seen())
        if not entry["failed"]:
            made.add_edit(entry, frames)
    for entry in result["real"]:
        made.add_real(entry["person"], entry["emotion"], frames, seen())
    return made


@pytest.fixture(scope="module")
def text(result: dict[str, Any], sheets: ContactSheets) -> str:
    return render_html(result, sheets)


@pytest.fixture(scope="module")
def page(text: str) -> ElementTree.Element:
    """The page, which is XML, too: what is opened is closed, in order."""
    return ElementTree.fromstring(text.removeprefix("<!DOCTYPE html>"))


def test_the_page_is_whole_and_needs_nothing_else(text: str, page: ElementTree.Element) -> None:
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)", re.sub(r"base64,[^\"]*", "", text))
    names = [element.attrib["id"] for element in page.iter() if "id" in element.attrib]
    assert len(names) == len(set(names))
    assert not {"script", "link", "iframe"} & {element.tag for element in page.iter()}
    assert all(picture.attrib["alt"] and picture.attrib["loading"] == "lazy" for picture in page.iter("img"))
    assert all(heading.attrib["scope"] in {"row", "col"} for heading in page.iter("th"))
    words = " ".join(page.itertext())
    wanted = (*METHODS, *ALL_EMOTIONS, "one & only", "lip flow r", "LSE-D", "not yet known")
    assert [word for word in wanted if word not in words] == []
    assert "<script" not in text  # a hostile name is text


def test_a_failed_clip_is_an_empty_cell_that_says_why(page: ElementTree.Element) -> None:
    assert REASON in {element.attrib.get("title") for element in page.iter()}
    alts = {picture.attrib["alt"] for picture in page.iter("img")}
    assert "a, sad, plain copy" not in alts
    assert {"a, source", "a, sad, cdrl", "b, sad, cdrl", "a, really sad"} <= alts
    assert "b, really sad" not in alts


def test_a_missing_library_is_one_clear_line(result, sheets, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ModelFileError, match=r"needs matplotlib: run `pip install 'cdrl\[evaluate\]'`"):
        write_html(result, sheets, tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_none_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="folder that exists"):
        check_place(tmp_path / "missing" / "report.html")


def test_nothing_half_written_stays(result, sheets, tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "report.html"
    path.write_text("before")
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "no space")))
    with pytest.raises(OutputError):
        write_html(result, sheets, path)
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [("report.html", "before")]


def test_faces_of_a_kept_folder_make_the_same_page(result, sheets, text: str, tmp_path: Path) -> None:
    kept, path = tmp_path / "kept", tmp_path / "report.html"
    kept.mkdir()
    sheets.save(kept)
    write_html(result, kept, path)
    assert path.read_text(encoding="utf-8") == text
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["kept", "report.html"]
    (kept / FILE).write_text("[{}]")
    with pytest.raises(InputError, match="make the table again"):
        ContactSheets.load(kept)


def test_the_moment_is_the_widest_opening_of_the_middle_half() -> None:
    assert find_widest_opening(seen().points) == 7


def test_without_faces_the_numbers_still_make_a_page(result) -> None:
    assert "<img" not in render_html(result, ContactSheets())
