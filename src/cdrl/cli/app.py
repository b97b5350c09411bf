"""`cdrl app`: the editor in a browser."""

from __future__ import annotations

import time
import webbrowser
from dataclasses import dataclass, field
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, arg

from cdrl.cli.consent import ConsentGiven, require_consent
from cdrl.errors import InterruptedByUser, UsageError
from cdrl.extras import require_modules
from cdrl.media.limits import Limits


@dataclass(frozen=True)
class Options:
    """Edit clips in a browser, on this machine alone.

    The page opens by itself; Ctrl-C ends the app and removes what was uploaded.
    """

    host: str = "127.0.0.1"
    """Address to listen on; any other than this machine's own lets others in."""
    port: int = 7860
    """Port to listen on; 0 takes a free one."""
    no_browser: FlagCreatePairsOff[bool] = False
    """Do not open a browser."""
    edits: int = 1
    """Clips that are edited at the same time; further ones wait for their turn."""
    model: Annotated[str | None, arg(metavar="MODEL", help_behavior_hint="(default: translator)")] = None
    """What fits emotions to the person: translator, prior (nothing), or a FILE of cdrl train translator."""
    i_have_consent: ConsentGiven = False
    limits: Limits = field(
        default_factory=lambda: Limits(max_bytes=1_000_000_000, max_seconds=600, max_pixels=4096 * 2304, max_streams=16)
    )

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise UsageError(f"--port {self.port} is out of range: give 0 to 65535")
        if self.edits < 1:
            raise UsageError(f"--edits {self.edits}: give 1 or more")


def run(options: Options) -> int:
    """Serve until interrupted."""
    require_modules("cdrl app", "gradio")
    require_consent(options.i_have_consent)  # of whoever starts it; the page has everybody say so, too
    from cdrl.app.address import check_address

    check_address(options.host, options.port)

    import cdrl  # loads the networks' runtime
    from cdrl.app.service import EditService
    from cdrl.app.serving import serve

    service = EditService(cdrl.load(model=options.model), options.limits, options.model, options.edits)
    with serve(service, options.host, options.port) as address:
        print(f"cdrl app: {address} (Ctrl-C ends it)", flush=True)
        if not options.no_browser:
            webbrowser.open(address)
        try:
            while True:
                time.sleep(3600)
        except InterruptedByUser:
            raise
        except KeyboardInterrupt:
            return 0
