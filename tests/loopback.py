"""An HTTP server on 127.0.0.1 with one fixed answer a path; it keeps what it was asked."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self

HANG = b""  # the request is read, nothing is answered
DRIP = b"drip"  # headers without end, a few bytes at a time


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    headers: dict[str, str]  # names in lower case
    body: bytes


def answer(status: int, body: bytes = b"", **headers: str) -> bytes:
    """Header names with _ for -; a Content-Length given here wins."""
    lines = {"Content-Length": str(len(body))} | {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} X\r\n{head}\r\n".encode() + body


class Loopback:
    """`async with Loopback({"/ok": answer(200)}) as server`: an answer is bytes, or chunks sent while anybody reads."""

    def __init__(self, answers: Mapping[str, bytes | Iterable[bytes]]) -> None:
        self.asked: list[Asked] = []
        self.sent_bytes = 0
        self._answers = answers

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                self.asked.append(await _read(reader))
                await self._answer(reader, writer, self._answers[self.asked[-1].path])
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client went away
        finally:
            writer.close()

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, given: bytes | Iterable[bytes]
    ) -> None:
        if given is HANG:
            await reader.readexactly(1)
        if given is DRIP:
            writer.write(b"HTTP/1.1 200 X\r\n")
            while True:
                writer.write(b"X: 1\r\n")
                await writer.drain()
                await asyncio.sleep(0.005)
        for chunk in [given] if isinstance(given, bytes) else given:
            writer.write(chunk)
            await writer.drain()
            self.sent_bytes += len(chunk)
        if b"Connection: close" in (given if isinstance(given, bytes) else b""):
            raise ConnectionResetError


async def _read(reader: asyncio.StreamReader) -> Asked:
    request, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").strip().split("\r\n")
    method, path, _ = request.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Asked(method, path, headers, await reader.readexactly(int(headers.get("content-length", "0"))))
