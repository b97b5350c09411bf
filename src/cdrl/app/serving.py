"""The app on a port of this machine: no link to it from outside, nothing fetched from outside, nothing left behind."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cdrl.app.address import unusable_address
from cdrl.app.service import EditService
from cdrl.app.sessions import Sessions
from cdrl.errors import UsageError

_LOCAL = {"127.0.0.1", "localhost", "::1"}
# Whatever a page tries to load from elsewhere is refused by the browser itself.
POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; object-src 'none'; frame-ancestors 'none'; form-action 'self'"
)
_HEARTBEAT = re.compile(r"/gradio_api/heartbeat/(\w+)")
_WAITING = 32  # calls in the queue; more are told to come back


@contextmanager
def serve(service: EditService, host: str, port: int) -> Iterator[str]:
    """Serves the app until the block ends; gives its address. Port 0 takes a free one.

    Raises UsageError where the extra is not installed, OutputError where the port is taken.
    """
    sessions = Sessions()
    try:
        # Gradio reads these when it is imported and when a page is made.
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        os.environ["GRADIO_TEMP_DIR"] = str(sessions.root)
        os.environ["HF_HUB_DISABLE_TELEMETRY"] = os.environ["HF_HUB_OFFLINE"] = "1"
        try:
            import gradio  # noqa: F401, PLC0415 - it reads the environment when it is imported
        except ImportError as error:
            raise UsageError(f"cdrl app needs Gradio ({error.name} is missing): pip install 'cdrl[app]'") from None
        blocks = _build(service, sessions)
        try:
            yield _launch(blocks, service, sessions, host, port)
        finally:
            blocks.close(verbose=False)
    finally:
        sessions.close_all()


def _build(service: EditService, sessions: Sessions) -> Any:
    """The page with its events."""
    from cdrl.app.api import Api  # noqa: PLC0415
    from cdrl.app.events import Events  # noqa: PLC0415
    from cdrl.app.page import layout  # noqa: PLC0415

    with layout(service.limits) as (blocks, page):
        Api(service, sessions).connect()  # first, so that its endpoints get the plain names
        events = Events(page, service, sessions)
        events.connect()
        blocks.unload(events.close)
    blocks.queue(max_size=_WAITING)
    for block in blocks.blocks.values():
        _refuse_addresses(block)
    return blocks


def _refuse_addresses(block: Any) -> None:
    """Gradio would fetch an address that a client sends in place of an upload, for any kind of field."""
    import gradio as gr  # noqa: PLC0415

    move = block.async_move_resource_to_block_cache

    async def only_local(path: str | Path | None) -> str | None:
        if path is not None and "://" in str(path):
            raise gr.Error("addresses are not taken: download the file and upload it", print_exception=False)
        kept: str | None = await move(path)
        return kept

    block.async_move_resource_to_block_cache = only_local


def _launch(blocks: Any, service: EditService, sessions: Sessions, host: str, port: int) -> str:
    from starlette.middleware import Middleware  # noqa: PLC0415
    from starlette.middleware.trustedhost import TrustedHostMiddleware  # noqa: PLC0415

    from cdrl.app.page import HEAD, STYLE, theme  # noqa: PLC0415

    middleware = [Middleware(SecurityMiddleware, on_leave=sessions.close)]
    if host in _LOCAL:  # a page elsewhere must not reach us under a name of its own that leads here
        middleware.append(Middleware(TrustedHostMiddleware, allowed_hosts=sorted(_LOCAL)))
    try:
        _, address, _ = blocks.launch(
            server_name=host, server_port=port or None, share=False, inbrowser=False, quiet=True, show_error=False,
            prevent_thread_lock=True, max_file_size=service.limits.max_bytes, enable_monitoring=False, ssr_mode=False,
            pwa=False, mcp_server=False, run_history=False, footer_links=[], strict_cors=True,
            theme=theme(), css=STYLE, head=HEAD, app_kwargs={"middleware": middleware, "docs_url": None,
            "redoc_url": None},
        )  # fmt: skip
    except OSError:
        raise unusable_address(host, port) from None
    return str(address).rstrip("/")


SERVED = {
    "app_id", "call", "cancel", "config", "heartbeat", "info", "queue", "reset", "run", "startup-events", "upload",
    "upload_progress",
}  # fmt: skip
"""What a page and a client need of Gradio's own interface; the rest would run code, fetch addresses or record."""


def is_served(path: str) -> bool:
    """Whether anybody may call this path."""
    parts = path.lstrip("/").split("/")
    if parts[0] != "gradio_api":
        return True
    return len(parts) > 1 and (parts[1] in SERVED or parts[1].startswith("file="))


class SecurityMiddleware:
    """ASGI middleware that sends the content policy with every page, and answers only where it should.

    It also tells when a page has gone: each holds a connection as long as it is open. Gradio's own event for that is
    lost when the connection ends in the very moment in which something is sent over it.
    """

    def __init__(self, app: Any, on_leave: Callable[[str], None]) -> None:
        """Wrap an ASGI application; `on_leave` is called with the session of a page that has gone."""
        self._app = app
        self._on_leave = on_leave

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        from starlette.responses import PlainTextResponse  # noqa: PLC0415

        async def with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                policy = [(b"content-security-policy", POLICY.encode()), (b"referrer-policy", b"no-referrer")]
                message = message | {"headers": [*message.get("headers", []), *policy]}
            await send(message)

        if scope["type"] == "http" and not is_served(scope["path"]):
            await PlainTextResponse("not served", 404)(scope, receive, send)
            return
        try:
            await self._app(scope, receive, with_policy if scope["type"] == "http" else send)
        finally:
            if scope["type"] == "http" and (page := _HEARTBEAT.fullmatch(scope["path"])):
                self._on_leave(page[1])
