"""What all answers share: safe headers, and errors as JSON of one sentence that repeats nothing sent."""

import asyncio
import traceback
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent.errors import BadRequest
from agent.events import emit

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # the address of a task is all it takes to read it
    "Cache-Control": "no-store",
}
ERROR_HEADERS = {
    401: {"WWW-Authenticate": 'Basic realm="operator", charset="UTF-8"'},
    408: {"Connection": "close"},
    413: {"Connection": "close"},  # the rest of the body is never read
    503: {"Retry-After": "30"},
}
LINGER_S = 2.0


@dataclass(frozen=True)
class SafeHeaders:
    """Safe headers on every answer. Of a fault only its place is logged: the message may hold what a request said."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.app(scope, receive, partial(_send_with_headers, send))
        except Exception as error:  # noqa: BLE001 - the last boundary: the server behind it would log the message
            frames = traceback.extract_tb(error.__traceback__)[-4:]
            places = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames))
            emit("http.fault", error=type(error).__name__, at=places)


def register_error_handlers(app: FastAPI) -> None:
    """Every error of the app is answered here; none of the framework's own texts remains."""
    app.exception_handler(BadRequest)(_refused)
    app.exception_handler(HTTPException)(_not_routed)
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(Exception)(_fault)


class EarlyResponse(JSONResponse):
    """An answer that does not wait for the end of the request's body.

    It is sent before more is read. What still arrives in the next moments is discarded: closing a connection with
    unread bytes resets it, and most clients, which send everything before they read, would never see the answer.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                while (await receive()).get("more_body"):
                    pass
        await send({"type": "http.response.body"})


async def _refused(_: Request, error: BadRequest) -> JSONResponse:
    answer = EarlyResponse if error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE else JSONResponse
    return answer({"error": str(error)}, error.status, headers=ERROR_HEADERS.get(error.status))


async def _not_routed(_: Request, error: HTTPException) -> JSONResponse:
    allowed = (error.headers or {}).get("Allow")
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED and allowed:
        return _error(error.status_code, f"this address answers {allowed} only", {"Allow": allowed})
    if error.status_code == HTTPStatus.NOT_FOUND:
        return _error(error.status_code, "there is nothing at this address")
    return _error(error.status_code, HTTPStatus(error.status_code).phrase.lower())


async def _invalid(_: Request, __: RequestValidationError) -> JSONResponse:
    return _error(422, "the request is not what this address takes")


async def _fault(_: Request, __: Exception) -> JSONResponse:
    return _error(500, "the service failed on this request; its log names the place")


def _error(status: int, sentence: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": sentence}, status, headers=headers)


async def _send_with_headers(send: Send, message: Message) -> None:
    if message["type"] == "http.response.start":
        headers = MutableHeaders(scope=message)
        for name, value in HEADERS.items():
            headers.setdefault(name, value)
    await send(message)
