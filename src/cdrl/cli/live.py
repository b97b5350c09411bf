"""`cdrl live`: change the emotion of a camera's picture while it runs."""

from __future__ import annotations

import json
import queue
import re
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import FlagCreatePairsOff, arg

from cdrl.cli.consent import ConsentGiven, require_consent
from cdrl.cli.wish import Wish
from cdrl.errors import UsageError, one_line
from cdrl.media.limits import Limits
from cdrl.plan import REFERENCE, EditPlan

if TYPE_CHECKING:
    from cdrl.live.asking import Asked
    from cdrl.live.cameras import CameraMode, Capture
    from cdrl.live.screens import Screen

PIPE, NOWHERE = "-", "none"


@dataclass(frozen=True)
class Options:
    """Change the emotion of a camera's picture while it runs. A frame that would come late is left out, but for those
    of a file or of standard input that go to standard output: all of these are written.

    Lines on standard input change what is shown: an emotion or a blend, "intensity 0.8", +, -, off, quit. In the window
    keys do: 1 to 7 the emotions, 0 off, up and down the intensity, q the end.
    """

    camera: Annotated[str | None, arg(metavar="N", help_behavior_hint="(default: 0)")] = None
    """The camera: its number; on Linux also its device, as in /dev/video0, on Windows its name."""
    input: Annotated[str | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """Instead of a camera: a video that is played as one, or - for Y4M, MJPEG or Matroska on standard input."""
    output: Annotated[Literal["window", "-", "none"], arg(metavar="WHERE")] = "window"
    """window (needs the extra live), - for Y4M on standard output, or none."""
    size: Annotated[str, arg(metavar="WxH")] = "640x480"
    """The picture a camera is asked for."""
    rate: int = 30
    """Frames a second a camera is asked for, and Y4M says it has. Files and most streams have their own."""
    seconds: Annotated[float | None, arg(help_behavior_hint="(default: until it is stopped)")] = None
    """Stop after so long."""
    measure: FlagCreatePairsOff[bool] = False
    """At the end print frames in, out and dropped, and their latency, as JSON (on stderr with --output -)."""
    i_have_consent: ConsentGiven = False
    wish: Wish = field(default_factory=Wish)
    limits: Limits = field(default_factory=Limits)


def run(options: Options) -> int:
    """Open the camera and the screen, then the networks, and show frames until somebody has enough."""
    wish = options.wish
    if options.camera is not None and options.input is not None:
        raise UsageError("--camera and --input are both given: choose one")
    # A plan needs some emotion; without one the face stays as it is until something is asked for.
    idle = wish.emotion is None and wish.reference is None
    plan = EditPlan.parse("neutral" if idle else wish.emotion, wish.reference, wish.intensity, wish.region_names)
    unscaled = EditPlan.parse("neutral" if idle else wish.emotion, wish.reference).segments[0].amounts
    examples, mode = wish.examples, _mode(options)
    require_consent(options.i_have_consent)

    from cdrl import load  # loads the networks' runtime
    from cdrl.live.asking import Asked
    from cdrl.live.editing import LiveEditor
    from cdrl.live.session import run_live

    capture = _capture(options, mode)
    try:
        screen = _screen(options)
        editor = load(wish.prior, wish.model)
        asked = Asked({} if idle else unscaled, wish.intensity, () if wish.reference is None else (REFERENCE,))
        live = LiveEditor(editor, editor.manipulator(plan, examples, options.limits), asked, wish.face)
    except BaseException:
        capture.close()
        raise
    typed = _typed() if options.input != PIPE else queue.SimpleQueue[str]()
    try:
        measures = run_live(capture, live.step, screen, _over(asked, screen, typed, options.seconds))
    finally:
        screen.close()
    for note in measures.notes:
        print("cdrl: warning:", one_line(note), file=sys.stderr)
    if options.measure:
        print(json.dumps(measures.to_json()), file=sys.stderr if options.output == PIPE else sys.stdout)
    return 0


def _mode(options: Options) -> CameraMode:
    size = re.fullmatch(r"([1-9]\d{1,4})x([1-9]\d{1,4})", options.size)
    if size is None:
        raise UsageError(f"--size {options.size!r}: write WIDTHxHEIGHT, as in 640x480")
    if not 1 <= options.rate <= 240:
        raise UsageError(f"--rate {options.rate}: give frames a second from 1 to 240")
    from cdrl.live.cameras import CameraMode

    return CameraMode(int(size[1]), int(size[2]), options.rate)


def _capture(options: Options, mode: CameraMode) -> Capture:
    from cdrl.live import cameras

    if options.input is None:
        return cameras.camera(options.camera or "0", mode, options.limits)
    if options.input == PIPE:
        return cameras.standard_input(options.limits, options.rate)
    return cameras.file_as_camera(Path(options.input), options.limits)


def _screen(options: Options) -> Screen:
    from cdrl.live import screens

    if options.output == NOWHERE:
        return screens.Nowhere()
    if options.output == PIPE:
        return screens.Y4mPipe(sys.stdout.buffer, Fraction(options.rate))
    return screens.Window()


def _typed() -> queue.SimpleQueue[str]:
    """Lines of standard input as they come; its end only ends the lines."""
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()

    def listen() -> None:
        with suppress(OSError, ValueError):  # a terminal that is gone
            for line in sys.stdin or ():
                lines.put(line)

    threading.Thread(target=listen, name="typed", daemon=True).start()
    return lines


def _over(asked: Asked, screen: Screen, typed: queue.SimpleQueue[str], seconds: float | None) -> Callable[[], bool]:
    """Follows what is asked for, and says whether that is to stop."""
    end = None if seconds is None else time.monotonic() + seconds
    screen.title(_title(asked))

    def over() -> bool:
        said = screen.commands()
        while not typed.empty():
            said.append(typed.get())
        for line in said:
            try:
                asked.command(line)
            except UsageError as error:
                print("cdrl: warning:", one_line(str(error)), file=sys.stderr)
        if said:
            screen.title(_title(asked))
        return asked.over or (end is not None and time.monotonic() >= end)

    return over


def _title(asked: Asked) -> str:
    return f"cdrl live: {asked.text}, intensity {asked.intensity:g}"
