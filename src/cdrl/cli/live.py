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
from cdrl.cli.edit_options import EmotionOptions
from cdrl.errors import UsageError, one_line
from cdrl.media.limits import Limits
from cdrl.plan import REFERENCE, EditPlan
from cdrl.request import RENDERERS, EditRequest

if TYPE_CHECKING:
    from cdrl.live.editing import EmotionControl
    from cdrl.live.sinks import FrameSink
    from cdrl.live.sources import Capture

PIPE, NOWHERE = "-", "none"


@dataclass(frozen=True)
class Options:
    """Change the emotion of a camera's picture while it runs.

    A frame that would come late is left out. Only those of a file or of standard input that go to standard output are
    all written.

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
    shown: EmotionOptions = field(default_factory=EmotionOptions)
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if self.camera is not None and self.input is not None:
            raise UsageError("--camera and --input are both given: choose one")
        if not re.fullmatch(r"[1-9]\d{1,4}x[1-9]\d{1,4}", self.size):
            raise UsageError(f"--size {self.size!r}: write WIDTHxHEIGHT, as in 640x480")
        if not 1 <= self.rate <= 240:
            raise UsageError(f"--rate {self.rate}: give frames a second from 1 to 240")


def run(options: Options) -> int:
    """Open the camera and the sink, then the networks, and show frames until somebody has enough."""
    idle = not options.shown.has_target
    # A plan needs some emotion; without one the face stays as it is until something is asked for.
    fields = {"emotion": "neutral"} | options.shown.given if idle else options.shown.given
    request = EditRequest(Path(options.input or options.camera or "0"), **fields)
    amounts = EditPlan.parse(request.emotion, request.reference).segments[0].amounts
    require_consent(options.i_have_consent)

    from cdrl import load  # loads the networks' runtime
    from cdrl.live.editing import EmotionControl, LiveEditor
    from cdrl.live.session import run_live

    capture = _capture(options)
    try:
        sink = _sink(options)
        editor = load(request.prior, request.model)
        control = EmotionControl(
            {} if idle else amounts, request.intensity, () if request.reference is None else (REFERENCE,)
        )
        manipulator = editor.manipulator(request.plan, request.enroll, options.limits)
        live = LiveEditor(
            editor.prior, manipulator, control, request.face, editor.find_renderer(request.renderer or RENDERERS[0])
        )
    except BaseException:
        capture.close()
        raise
    typed = _typed() if options.input != PIPE else queue.SimpleQueue[str]()
    try:
        measures = run_live(capture, live.step, sink, _over(control, sink, typed, options.seconds))
    finally:
        sink.close()
    for note in measures.notes:
        print("cdrl: warning:", one_line(note), file=sys.stderr)
    if options.measure:
        print(json.dumps(measures.to_json()), file=sys.stderr if options.output == PIPE else sys.stdout)
    return 0


def _capture(options: Options) -> Capture:
    from cdrl.live import sources

    if options.input is None:
        return sources.camera(options.camera or "0", options.size, options.rate, options.limits)
    if options.input == PIPE:
        return sources.standard_input(options.limits, options.rate)
    return sources.file_as_camera(Path(options.input), options.limits)


def _sink(options: Options) -> FrameSink:
    from cdrl.live import sinks

    if options.output == NOWHERE:
        return sinks.FrameSink()
    if options.output == PIPE:
        return sinks.Y4mPipe(sys.stdout.buffer, Fraction(options.rate))
    return sinks.Window()


def _typed() -> queue.SimpleQueue[str]:
    """Lines of standard input as they come; its end only ends the lines."""
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()

    def listen() -> None:
        with suppress(OSError, ValueError):  # a terminal that is gone
            for line in sys.stdin or ():
                lines.put(line)

    threading.Thread(target=listen, name="typed", daemon=True).start()
    return lines


def _over(
    control: EmotionControl, sink: FrameSink, typed: queue.SimpleQueue[str], seconds: float | None
) -> Callable[[], bool]:
    """Follows what is asked for, and says whether that is to stop."""
    end = None if seconds is None else time.monotonic() + seconds
    sink.title(_title(control))

    def over() -> bool:
        said = sink.commands()
        while not typed.empty():
            said.append(typed.get())
        for line in said:
            try:
                control.command(line)
            except UsageError as error:
                print("cdrl: warning:", one_line(str(error)), file=sys.stderr)
        if said:
            sink.title(_title(control))
        return control.over or (end is not None and time.monotonic() >= end)

    return over


def _title(control: EmotionControl) -> str:
    return f"cdrl live: {control.text}, intensity {control.intensity:g}"
