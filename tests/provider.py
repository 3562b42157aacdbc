"""A model provider that plays a script: OpenAI's chat-completions wire over real HTTP on loopback.

with provider([call("write_file", path="index.html", content="…"), says("done")]) as server:
    Gateway([ModelChoice(name="openai/test", api_key=SecretStr("key"), base_url=server.url)])

Each request takes the next answer of the script; past its end every request is refused with 400.
A function of the request's body may stand for the script: `provider(lambda body: says(…))`.
"""

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

Json = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What goes back over the wire. `hang` never answers, `cut` closes the connection in the middle of the body."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    manner: Literal["whole", "hang", "cut"] = "whole"


@dataclass(frozen=True)
class Request:
    path: str
    headers: Mapping[str, str]
    body: Json


Script = Sequence[Answer] | Callable[[Json], Answer]


class Provider:
    def __init__(self, script: Script) -> None:
        self.url = ""
        self.requests: list[Request] = []
        self.closing = threading.Event()
        self._script = script
        self._lock = threading.Lock()

    def answer(self, request: Request) -> Answer:
        with self._lock:
            self.requests.append(request)
            turn = len(self.requests)
        if callable(self._script):
            return self._script(request.body)
        return self._script[turn - 1] if turn <= len(self._script) else fault(400, f"no answer {turn} in the script")


@contextmanager
def provider(script: Script) -> Iterator[Provider]:
    """A running provider: its `url` ends in /v1; its `requests` are what was asked so far."""
    played = Provider(script)

    class Handler(_Handler):
        provider = played

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    played.url = f"http://127.0.0.1:{server.server_port}/v1"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield played
    finally:
        played.closing.set()
        server.shutdown()
        server.server_close()


def says(text: str | None, **message: Any) -> Answer:
    """An answer in words; `message` adds or replaces fields of the assistant's message."""
    return completion({"content": text, **message}, "stop")


def call(name: str, **arguments: Any) -> Answer:
    """An answer with one tool call."""
    return calls((name, arguments))


def calls(*wanted: tuple[str | None, Any], finish_reason: str = "tool_calls", ids: Sequence[str] = ()) -> Answer:
    """An answer with many tool calls; arguments that are a string go out as they are, others as JSON."""
    tool_calls = [
        {
            "id": ids[index] if ids else f"call_{index}",
            "type": "function",
            "function": {"name": name, "arguments": value if isinstance(value, str) else json.dumps(value)},
        }
        for index, (name, value) in enumerate(wanted)
    ]
    return completion({"content": None, "tool_calls": tool_calls}, finish_reason)


def completion(message: Json, finish_reason: str = "stop", **usage: Any) -> Answer:
    """A whole chat completion around an assistant's message."""
    choice = {"index": 0, "finish_reason": finish_reason, "message": {"role": "assistant", **message}}
    return chat([choice], **usage)


def chat(choices: list[Json], **usage: Any) -> Answer:
    body = {
        "id": "chatcmpl-test",
        "object": "chat.completion",
        "created": 1,
        "model": "test",
        "choices": choices,
        "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110, **usage},
    }
    return Answer(json.dumps(body).encode(), headers={"Content-Type": "application/json"})


def fault(status: int, message: str, *, code: str | None = None, **headers: str) -> Answer:
    """A refusal in OpenAI's form; header names are given with underscores: `retry_after="2"`."""
    body = {"error": {"message": message, "type": code or "error", "code": code}}
    named = {name.replace("_", "-").title(): value for name, value in headers.items()}
    return Answer(json.dumps(body).encode(), status, {"Content-Type": "application/json", **named})


def hang() -> Answer:
    """No answer, for as long as the provider runs."""
    return Answer(manner="hang")


def cut() -> Answer:
    """A connection that breaks in the middle of the answer."""
    return Answer(b'{"id": "chatcmpl-test", "choi', manner="cut")


class _Handler(BaseHTTPRequestHandler):
    provider: Provider

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answer = self.provider.answer(Request(self.path, dict(self.headers), json.loads(body)))
        if answer.manner == "hang":
            self.provider.closing.wait()
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body) + (answer.manner == "cut")))
        self.end_headers()
        self.wfile.write(answer.body)
        if answer.manner == "cut":
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_args: object) -> None:
        """A test's output is not a server's log."""
