"""Is a built site whole, and does it need nobody else? `python website/check.py site`; exit code 1 where not.

What a browser loads by itself (scripts, styles, fonts, pictures) must be a file of the site; links that a reader
follows may lead anywhere. Scripts carry addresses that they would load in cases that we do not have; each page's
content policy forbids them to, and that the policy is there is checked.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

POLICY = "default-src 'self'"
LOADS = {"src", "srcset", "poster", "data", "background"}
RELATIONS_NOT_LOADED = {"prev", "next", "canonical", "edit", "author", "license"}
IN_STYLE = re.compile(r"url\(\s*[\"']?([^\"')]+)|@import\s+[\"']([^\"']+)")


class Loads(HTMLParser):
    """What a page makes a browser load, and whether it has the content policy."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.guarded = False
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self._inside = tag if tag in {"style", "script"} else ""
        if tag == "meta" and given.get("http-equiv") == "Content-Security-Policy":
            self.guarded = POLICY in given["content"]
        for name in LOADS & given.keys():
            parts = (
                given[name].split(",") if name == "srcset" and not given[name].startswith("data:") else [given[name]]
            )
            self.found += [part.split()[0] for part in parts if part.strip()]
        if tag == "link" and not set(given.get("rel", "").split()) <= RELATIONS_NOT_LOADED:
            self.found.append(given.get("href", ""))
        self.found += in_style(given.get("style", ""))

    def handle_data(self, data: str) -> None:
        if self._inside == "style":
            self.found += in_style(data)

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""


def in_style(text: str) -> list[str]:
    """The addresses that a style sheet loads."""
    return [first or second for first, second in IN_STYLE.findall(text)]


def complaints(site: Path) -> Iterator[str]:
    """One line for each thing that a browser would load in vain or from elsewhere, and each page without the policy."""
    for path in sorted(site.rglob("*")):
        if path.suffix == ".html":
            page = Loads()
            page.feed(path.read_text(encoding="utf-8"))
            if not page.guarded:
                yield f"{path}: no content policy"
            found = page.found
        elif path.suffix == ".css":
            found = in_style(path.read_text(encoding="utf-8"))
        else:
            continue
        for address in dict.fromkeys(found):
            parts = urlsplit(address)
            if parts.scheme == "data":
                continue
            if parts.scheme or parts.netloc:
                yield f"{path}: loads {address} from elsewhere"
            elif parts.path and not _file(site, path, unquote(parts.path)).is_file():
                yield f"{path}: loads {address}, which is not there"


def _file(site: Path, page: Path, address: str) -> Path:
    return site / address[1:] if address.startswith("/") else page.parent / address


def main(site: str = "site") -> int:
    """Print what is wrong, or how many pages are right."""
    wrong = list(complaints(Path(site)))
    pages = len(list(Path(site).rglob("*.html")))
    print("\n".join(wrong) if wrong or not pages else f"{site}/index.html: {pages} pages, nothing from elsewhere")
    return 0 if pages and not wrong else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
