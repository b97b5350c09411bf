"""The sidecar: a JSON file beside the video with what was done to it and the SHA-256 of what went in and came out."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from cdrl.errors import CdrlError, ProvenanceError
from cdrl.files import loads_untrusted, small_text

FORMAT = "cdrl-provenance/1"
LARGEST = 1 << 20  # bytes; one of a thousand segments has a tenth of it
_SHA256 = re.compile(r"[0-9a-f]{64}")


def encoded(content: dict[str, Any]) -> bytes:
    """The bytes of a sidecar."""
    return (json.dumps({"format": FORMAT, **content}, indent=2, ensure_ascii=False) + "\n").encode(
        "utf-8", "backslashreplace"
    )


def read_sidecar(path: Path) -> dict[str, Any]:
    """The content of a sidecar, its hashes and its edit in place. Raises ProvenanceError for a damaged one."""
    try:
        content = loads_untrusted(small_text(path, LARGEST, "sidecar"))
        if content["format"] != FORMAT:
            raise ValueError(f"its format is {content['format']!r:.40}, not {FORMAT}")
        for part in ("input", "output"):
            if not _SHA256.fullmatch(content[part]["sha256"]):
                raise ValueError(f"the SHA-256 of the {part} is none")
        if not isinstance(content["edit"], dict):
            raise ValueError("it tells no edit")
    except KeyError as error:
        raise _damaged(path, f"{error} is missing") from None
    except TypeError:
        raise _damaged(path, "its parts are not what they should be") from None
    except (CdrlError, ValueError) as error:
        raise _damaged(path, str(error)) from None
    return dict(content)


def _damaged(path: Path, why: str) -> ProvenanceError:
    return ProvenanceError(f"{path} is damaged ({why}): the video beside it cannot be checked; fetch both again")
