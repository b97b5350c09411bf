"""The site's own tools: nothing may be loaded from elsewhere, and links out of docs/ lead to published files."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

WEBSITE = Path(__file__).resolve().parents[1] / "website"
POLICY = """<meta http-equiv="Content-Security-Policy" content="default-src 'self'">"""


def tool(name):
    spec = importlib.util.spec_from_file_location(f"website_{name}", WEBSITE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def said(tmp_path):
    """What the check says of a site with one page of the given body."""

    def judge(body, head=POLICY):
        (tmp_path / "a.png").touch()
        (tmp_path / "index.html").write_text(f"<html><head>{head}</head><body>{body}</body></html>")
        return [line.split(": ", 1)[1] for line in tool("check").complaints(tmp_path)]

    return judge


@pytest.mark.parametrize(
    "body",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<script src="//cdn.example/x.js"></script>',
        '<link rel="preconnect" href="https://fonts.example">',
        '<link rel="stylesheet" href="https://fonts.example/css">',
        '<img src="http://example/a.png">',
        '<img srcset="a.png 1x, https://example/a.png 2x">',
        '<div style="background: url(https://example/a.png)"></div>',
        "<style>@import 'https://example/a.css';</style>",
        '<iframe src="https://example"></iframe>',
    ],
)
def test_what_would_be_loaded_from_elsewhere_is_named(said, body):
    (line,) = said(body)
    assert re.fullmatch(r"loads (https?:)?//\S+ from elsewhere", line)


def test_style_sheets_are_read_too(said, tmp_path):
    (tmp_path / "a.css").write_text("@font-face { src: url('https://fonts.example/a.woff2') }")
    assert said("") == ["loads https://fonts.example/a.woff2 from elsewhere"]


def test_what_is_there_may_be_loaded_and_links_may_lead_anywhere(said):
    assert said('<img src="a.png"><img src="data:image/png;base64,AA"><a href="https://example">there</a>') == []


def test_what_is_missing_is_named(said):
    assert said('<img src="b.png">') == ["loads b.png, which is not there"]


def test_a_page_without_the_policy_is_named(said):
    assert said("", head="") == ["no content policy"]


def test_links_out_of_the_documentation(tmp_path):
    pytest.importorskip("mkdocs")
    hooks = tool("hooks")
    assert hooks.outside("guides/edit.md", "../../examples/README.md") == "examples/README.md"
    assert hooks.outside("guides/edit.md", "../results.md") is None
    assert hooks.published("LICENSE-DATA") == "repository/LICENSE-DATA.txt"
    assert hooks.published("examples/README.md") == "repository/examples/README.md"


@pytest.mark.parametrize("added", ["", "[x](nowhere.md)"])
def test_make_docs_fails_on_a_link_that_leads_nowhere(repository, tmp_path, added):
    pytest.importorskip("material")
    pytest.importorskip("mkdocstrings")
    (command,) = re.findall(r"/mkdocs (build.*)", (repository / "Makefile").read_text())
    for name in ("docs", "website", "examples", "src", "requirements"):
        (tmp_path / name).symlink_to(repository / name)
    for name in ("mkdocs.yml", "LICENSE", "LICENSE-DATA", "NOTICE"):
        shutil.copy(repository / name, tmp_path)
    (tmp_path / "docs").unlink()
    shutil.copytree(repository / "docs", tmp_path / "docs")
    with (tmp_path / "docs" / "guides" / "edit.md").open("a") as page:
        page.write(f"\n{added}\n")
    words = [sys.executable, "-m", "mkdocs", *command.split()]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == (not added), done.stderr
    assert not added or "WARNING" in done.stderr
