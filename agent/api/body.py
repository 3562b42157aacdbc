"""The body of a request: bounded in bytes and in time."""

import asyncio

from fastapi import Request
from starlette.requests import ClientDisconnect

from agent.errors import BadRequest

BODY_TIMEOUT_S = 60.0


async def read_body(request: Request, limit_bytes: int, *, timeout_s: float = BODY_TIMEOUT_S) -> bytes:
    """The whole body. Raises BadRequest: 413 without reading on when it is too long, 408 when it arrives too slowly."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit_bytes:
        raise _too_long(limit_bytes)
    try:
        async with asyncio.timeout(timeout_s):
            return await _read(request, limit_bytes)
    except TimeoutError:
        raise BadRequest(408, f"the body did not arrive within {timeout_s:g} s") from None
    except ClientDisconnect:
        raise BadRequest(400, "the connection closed before the end of the body") from None


async def _read(request: Request, limit_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        if len(body) + len(chunk) > limit_bytes:
            raise _too_long(limit_bytes)
        body += chunk
    return bytes(body)


def _too_long(limit_bytes: int) -> BadRequest:
    return BadRequest(413, f"the body is over the limit of {limit_bytes} bytes: send less")
