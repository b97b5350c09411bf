"""Where the app listens, found out before anything loads."""

from __future__ import annotations

import os
import socket

from cdrl.errors import OutputError


def check_address(host: str, port: int) -> None:
    """Raises OutputError where nothing can listen on a port of an address."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as listener:
            if os.name == "posix":  # as servers do: what just ended may linger; on Windows it would share the port
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except OSError:
        raise unusable_address(host, port) from None


def unusable_address(host: str, port: int) -> OutputError:
    """The error for an address on which nothing can listen."""
    return OutputError(
        f"{host}:{port} is taken, or no address of this machine: choose another --port (0 for any) or --host"
    )
