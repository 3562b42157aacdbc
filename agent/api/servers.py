"""Sockets and servers: a taken port is one sentence, and only one of two servers handles signals."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from starlette.types import ASGIApp

from agent.errors import ConfigError
from agent.events import emit

GRACE_S = 5  # what open connections get at the end
BACKLOG = 2048


def listen(host: str, port: int, setting: str) -> socket.socket:
    """A listening socket: from now on connections wait for a server. Raises ConfigError naming the setting."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(
        family, socket.SOCK_STREAM, socket.IPPROTO_TCP
    )  # explicit, so that asyncio disables Nagle's algorithm
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        reason = (error.strerror or str(error)).partition(" (")[0].lower()
        raise ConfigError(f"{setting}: port {port} on {host} cannot be opened, {reason}; set another one") from None
    return sock


async def serve_until_signal(app: ASGIApp, sock: socket.socket) -> None:
    """Serves until SIGINT or SIGTERM; a second SIGINT does not wait for open connections."""
    server = _Server(_config(app))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, server.handle_exit)
    host, port = sock.getsockname()[:2]
    emit("http.listening", host=host, port=port)
    await server.serve(sockets=[sock])


@asynccontextmanager
async def served(app: ASGIApp, sock: socket.socket) -> AsyncIterator[None]:
    """Serves in the background until the end of the block."""
    server = _Server(_config(app))
    serving = asyncio.create_task(server.serve(sockets=[sock]))
    try:
        yield
    finally:
        server.should_exit = True
        await serving


class _Server(uvicorn.Server):
    """Handles no signals: uvicorn would raise them again at its end, before the service has closed."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _config(app: ASGIApp) -> uvicorn.Config:
    """Forwarding headers are ignored: nothing here depends on who is behind a proxy.

    Logging is not configured: its levels belong to the process, and `uvicorn main:app` has set them already.
    """
    return uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
    )
