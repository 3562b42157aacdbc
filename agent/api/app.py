"""The ASGI app: the API on PORT, the published sites on SITES_PORT, one lifespan for both."""

import asyncio
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass
from socket import socket
from urllib.parse import urlsplit

from fastapi import FastAPI
from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from agent.api import dashboard, openapi, routes
from agent.api.access import split_host
from agent.api.errors import SafeHeaders, register_error_handlers
from agent.api.servers import listen, serve_until_signal, served
from agent.errors import ConfigError
from agent.service import Service, local_url, running
from agent.settings import Settings

Start = Callable[[Settings], AbstractAsyncContextManager[Service]]


def create_app(settings: Settings | None = None, start: Start = running) -> "App":
    """Does nothing yet: the lifespan reads the settings, unless they are given, and starts the service."""
    return App(settings, start)


def serve(settings: Settings, start: Start = running) -> None:
    """Serves on HOST and PORT until a signal comes. Raises ConfigError when it cannot start."""
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(create_app(settings, start), settings))


class App:
    """Serves between the start and the end of its lifespan. A start that fails is one sentence, not a traceback."""

    def __init__(self, settings: Settings | None, start: Start) -> None:
        self._settings = settings
        self._start = start
        self._http: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif self._http is None:
            raise RuntimeError("the app has not started: let the server run its lifespan (uvicorn --lifespan on)")
        else:
            await self._http(scope, receive, send)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Service]:
        """The service runs and its sites are served. Raises ConfigError."""
        settings = self._settings or Settings.load()
        async with AsyncExitStack() as stack:
            sites_port = settings.sites_port if settings.sites_port != settings.port else 0
            if sites_port:  # opened first: a taken port must be noticed before the engine resumes tasks
                sock = stack.enter_context(closing(listen(settings.host, sites_port, "SITES_PORT")))
            service = await stack.enter_async_context(self._start(settings))
            if sites_port:
                await stack.enter_async_context(served(service.sites, sock))
            self._http = http_app(service)
            yield service

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(self.open())
            except ConfigError as error:
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                return
            except Exception:
                # uvicorn would think that the app has no lifespan, and serve.
                await send({"type": "lifespan.startup.failed", "message": traceback.format_exc()})
                raise
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


def http_app(service: Service) -> ASGIApp:
    """What answers on PORT."""
    app = FastAPI(openapi_url=None, redirect_slashes=False)
    app.state.service = service
    for router in (routes.router, dashboard.router, openapi.router):
        app.include_router(router)
    register_error_handlers(app)
    return ByHost(service.settings.sites_url, service.sites, SafeHeaders(app))


@dataclass(frozen=True)
class ByHost:
    """One port, two names: a request for the host of SITES_URL goes to the sites and never reaches the API."""

    sites_url: str
    sites: ASGIApp
    api: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self.sites if self._is_for_sites(Headers(scope=scope).get("host", "")) else self.api
        await app(scope, receive, send)

    def _is_for_sites(self, host: str) -> bool:
        """A SITES_URL without a port means its name on any port: a proxy in front listens elsewhere than we do."""
        url = urlsplit(self.sites_url)
        name, port = split_host(host)
        return name == url.hostname and url.port in (None, 80, 443, port)


async def _serve(app: App, settings: Settings) -> None:
    with closing(listen(settings.host, settings.port, "PORT")) as sock:
        async with app.open() as service:
            print(f"Dashboard: {dashboard_url(settings, service.admin_token, sock)}", flush=True)
            await serve_until_signal(app, sock)


def dashboard_url(settings: Settings, token: SecretStr, sock: socket) -> str:
    """With the token that the service made; an ADMIN_TOKEN that was set stays out of the output."""
    url = local_url(settings.host, sock.getsockname()[1]) + "/"
    if settings.admin_token:
        return f"{url} (the password is ADMIN_TOKEN)"
    return url.replace("//", f"//admin:{token.get_secret_value()}@", 1)
