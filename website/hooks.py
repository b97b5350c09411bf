"""What MkDocs does for us beside its own: publishes the files outside docs/ that pages link to.

In the repository `[LICENSE-DATA](../LICENSE-DATA)` leads where it says. The site has docs/ alone; so each such file is
added to it under repository/, Markdown as a page and all else as text, and the links are turned there.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

LINK = re.compile(r"(?<=\]\()(?:\.\./)+[^)#\s]+")


def outside(page: str, link: str) -> str | None:
    """The file in the repository that a page of docs/ links to; None where it is in docs/ itself."""
    target = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), link))
    return None if target.startswith("docs/") else target


def published(target: str) -> str:
    """Where the site has a file of the repository; with an ending that every server knows."""
    return f"repository/{target}" if Path(target).suffix in {".md", ".txt"} else f"repository/{target}.txt"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what pages link to. A file that is not there is left to MkDocs, which fails on the link."""
    root = Path(config.docs_dir).parent
    found = {
        target
        for page in files.documentation_pages()
        for link in LINK.findall(page.content_string)
        if (target := outside(page.src_uri, link)) is not None and (root / target).is_file()
    }
    for target in sorted(found):
        files.append(File.generated(config, published(target), content=(root / target).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links that lead out of docs/ to the published files, and let the search find guides before docstrings."""
    if page.file.src_uri.startswith("api/"):
        page.meta.setdefault("search", {"boost": 0.5})

    def turned(match: re.Match[str]) -> str:
        target = outside(page.file.src_uri, match[0])
        if target is None or files.get_file_from_path(published(target)) is None:
            return match[0]
        return posixpath.relpath(published(target), posixpath.dirname(page.file.src_uri) or ".")

    return LINK.sub(turned, markdown)
