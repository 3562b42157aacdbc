"""The ASGI app: the doors on PORT, the published sites on SITES_PORT, one life for both."""

import asyncio
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from agent.api.access import Operator, split_host
from agent.api.dashboard import Dashboard
from agent.api.errors import Guarded, answer_errors
from agent.api.routes import Api, Service
from agent.api.servers import listen, serve_until_signal, served
from agent.errors import ConfigError
from agent.settings import Settings

Start = Callable[[Settings], AbstractAsyncContextManager[Service]]


def create_app(settings: Settings | None = None, start: Start | None = None) -> "App":
    """Does nothing yet: the lifespan reads the settings, unless they are given, and starts the service."""
    return App(settings, start or _running)


def serve(settings: Settings, start: Start | None = None) -> None:
    """Serves on HOST and PORT until a signal comes. Raises ConfigError when it cannot start."""
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(create_app(settings, start), settings))


class App:
    """Serves between the start and the end of its lifespan. A start that fails is one sentence, not a traceback."""

    def __init__(self, settings: Settings | None, start: Start) -> None:
        self._settings = settings
        self._start = start
        self._doors: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif self._doors is None:
            raise RuntimeError("the app has not started: let the server run its lifespan (uvicorn --lifespan on)")
        else:
            await self._doors(scope, receive, send)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Service]:
        """The service runs and its sites are served. Raises ConfigError."""
        settings = self._settings or Settings.load()
        async with AsyncExitStack() as stack:
            sites_port = settings.sites_port if settings.sites_port != settings.port else 0
            if sites_port:  # opened first: a taken port must be known before the engine takes tasks up
                sock = stack.enter_context(closing(listen(settings.host, sites_port, "SITES_PORT")))
            service = await stack.enter_async_context(self._start(settings))
            if sites_port:
                await stack.enter_async_context(served(service.sites, sock))
            self._doors = doors(service)
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
                # uvicorn would take it for an app without a lifespan, and serve.
                await send({"type": "lifespan.startup.failed", "message": traceback.format_exc()})
                raise
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})


def doors(service: Service) -> ASGIApp:
    """What answers on PORT."""
    operator = Operator(service.settings.admin_token)
    app = FastAPI(openapi_url=None, redirect_slashes=False)
    app.include_router(Api(service).routes(operator))
    app.include_router(Dashboard(service.store).routes(operator))
    answer_errors(app)
    return ByHost(service.settings.sites_url, service.sites, Guarded(app))


@dataclass(frozen=True)
class ByHost:
    """One port, two names: a request for the host of SITES_URL goes to the sites and never reaches a door."""

    sites_url: str
    sites: ASGIApp
    doors: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self.sites if self._is_for_sites(Headers(scope=scope).get("host", "")) else self.doors
        await app(scope, receive, send)

    def _is_for_sites(self, host: str) -> bool:
        """A SITES_URL without a port means its name on any port: a proxy in front listens elsewhere than we do."""
        url = urlsplit(self.sites_url)
        name, port = split_host(host)
        return name == url.hostname and url.port in (None, 80, 443, port)


async def _serve(app: App, settings: Settings) -> None:
    with closing(listen(settings.host, settings.port, "PORT")) as sock:
        async with app.open():
            await serve_until_signal(app, sock)


def _running(settings: Settings) -> AbstractAsyncContextManager[Service]:
    """The engine takes a second to import: only a server that starts waits for it."""
    from agent.service import running

    return running(settings)
