"""The live loop: a thread captures, this one edits and shows the newest frame, and everything is timed."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np

from cdrl.live.sinks import FrameSink
from cdrl.live.sources import Capture, TimedFrame
from cdrl.media import Frame
from cdrl.pipeline.stages import EditedFrame

Item = TypeVar("Item")

_REMEMBERED = 100_000  # latencies: an hour at 30 frames a second
_GOODBYE = 1.0  # seconds that a camera gets to close
_IDLE = 0.05  # seconds without an item after which the consumer asks whether to go on


class LatestValueQueue(Generic[Item]):
    """A queue of one item between two threads: what is not fetched in time is dropped, or waits; it counts them."""

    def __init__(self) -> None:
        self.received = 0
        self.dropped = 0
        self._changed = threading.Condition()
        self._item: Item | None = None
        self._ended = False
        self._error: BaseException | None = None
        self._left = False

    def put(self, item: Item, wait: bool = False) -> bool:
        """Put an item in the place of the one that is still there; with `wait`, once that one is taken.

        Returns:
            False when the queue is closed.
        """
        with self._changed:
            if wait:
                self._changed.wait_for(lambda: self._item is None or self._left)
            if self._left:
                return False
            self.received += 1
            self.dropped += self._item is not None
            self._item = item
            self._changed.notify_all()
            return True

    def end(self, error: BaseException | None = None) -> None:
        """Announce that no more items come; `error` is raised in the consumer, after the last item."""
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def close(self) -> None:
        """Announce that no more items are taken; what is left counts as dropped."""
        with self._changed:
            self._left = True
            self.dropped += self._item is not None
            self._item = None
            self._changed.notify_all()

    def iter_latest(self, over: Callable[[], bool] = lambda: False) -> Iterator[Item]:
        """Take the latest item again and again, until the end, or until `over`, which is asked while there is none."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._item is not None or self._ended, _IDLE)
                item, self._item = self._item, None
                self._changed.notify_all()
                through = item is None and self._ended
            if item is not None:
                yield item
            elif through:
                if self._error is not None:
                    raise self._error
                return
            elif over():
                return


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
