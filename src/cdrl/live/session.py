"""The live loop: a thread captures, this one edits and shows the newest frame, and everything is timed."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cdrl.live.latest_frame import LatestValueQueue
from cdrl.live.sinks import FrameSink
from cdrl.live.sources import Capture, TimedFrame
from cdrl.media import Frame
from cdrl.pipeline.stages import EditedFrame

_REMEMBERED = 100_000  # latencies: an hour at 30 frames a second
_GOODBYE = 1.0  # seconds that a camera gets to close


@dataclass
class LiveMeasures:
    """What came in, what went out, and how long each frame was on its way."""

    received: int = 0
    dropped: int = 0
    shown: int = 0
    edited: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    latencies: deque[float] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    """Seconds from when a frame was there to when it was handed to the sink."""
    notes: list[str] = field(default_factory=list)
    """What a user should know of what came in, one sentence each."""

    def to_json(self) -> dict[str, Any]:
        """For `--measure`."""
        late = [round(1000 * float(value), 1) for value in np.percentile(self.latencies or [np.nan], [50, 95, 100])]
        return {
            "frames": {
                "in": self.received,
                "out": self.shown,
                "dropped": self.dropped,
                "edited": self.edited,
                "skipped": dict(self.skipped),
            },
            "latency_ms": dict(zip(("median", "p95", "max"), late, strict=True)) if self.latencies else None,
            "seconds": round(self.seconds, 2),
            "frames_per_second": round(self.shown / self.seconds, 2) if self.seconds else 0.0,
        }


def run_live(
    capture: Capture, edit: Callable[[Frame], EditedFrame], sink: FrameSink, over: Callable[[], bool] = lambda: False
) -> LiveMeasures:
    """Show `edit` of the newest frame until the capture ends, or `over`, which is asked after every frame.

    A frame that comes while another is at work waits, and is dropped when a newer one comes meanwhile: what is shown is
    late by at most the time that two edits take, however slow they are. Where the sink keeps every frame, and what
    comes is no camera, the next one waits instead. Raises what `capture` and `edit` raise.
    """
    latest: LatestValueQueue[TimedFrame] = LatestValueQueue()
    thread = threading.Thread(target=_capture, args=(capture, latest, sink.every_frame), name="capture", daemon=True)
    measures = LiveMeasures()
    begin = time.monotonic()
    thread.start()
    try:
        for captured in latest.iter_latest(over):
            if not measures.shown:
                sink.begin(captured.signal)
                measures.notes = captured.signal.notes
            edited = edit(captured.frame)
            sink.show(edited.frame)
            measures.latencies.append(time.monotonic() - captured.at)
            measures.shown += 1
            if edited.skipped is None:
                measures.edited += 1
            else:
                measures.skipped[edited.skipped] += 1
            if over():
                break
        sink.end()
    except (KeyboardInterrupt, BrokenPipeError):
        pass  # how a session ends that has no end of its own: Ctrl-C, SIGTERM, or a player that is closed
    finally:
        latest.close()
        thread.join(_GOODBYE)  # a camera that hangs must not keep us
        measures.received, measures.dropped = latest.received, latest.dropped
        measures.seconds = time.monotonic() - begin
    return measures


def _capture(capture: Capture, latest: LatestValueQueue[TimedFrame], every_frame: bool) -> None:
    error: BaseException | None = None
    try:
        for captured in capture:
            if not latest.put(captured, wait=every_frame and captured.signal.rate is not None):
                break
    except BaseException as caught:  # noqa: BLE001 - whatever it is, it is raised again where frames are shown
        error = caught
    finally:
        capture.close()
        latest.end(error)
