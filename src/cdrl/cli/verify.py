"""`cdrl verify`: what a video says about its making, and whether that is true."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, Positional, arg

from cdrl.errors import ProvenanceError
from cdrl.media.limits import Limits


@dataclass(frozen=True)
class Options:
    """Say what was edited in a video, by what and when, and check it: labels, sidecar, C2PA.

    Exit code 0 where all that is said holds; 9 where nothing is said, where it cannot be checked, or does not fit.
    """

    file: Annotated[Positional[Path], arg(metavar="FILE")]
    """The video, numbered pictures (shot_####.png, or their folder) or one of them; the sidecar lies beside."""
    source: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """The video it was made of, to be compared with the SHA-256 that the sidecar tells."""
    json: FlagCreatePairsOff[bool] = False
    """Print what was found as JSON."""
    c2pa_trust_anchors: Annotated[Path | None, arg(metavar="PEM", help_behavior_hint="")] = None
    """Certificates whose word you take for who signed."""
    limits: Limits = field(default_factory=Limits)


def run(options: Options) -> int:
    """Print the verdict; ProvenanceError where the file is not what it says, or says nothing."""
    from cdrl.provenance import verify  # loads the codecs

    found = verify(options.file, source=options.source, anchors=options.c2pa_trust_anchors, limits=options.limits)
    if options.json:
        print(json.dumps(found.to_json(), indent=2, ensure_ascii=False))
    else:
        print("\n".join(found.lines()))
    if found.problem:
        raise ProvenanceError(found.problem)
    return 0
