"""A model provider that plays a script: OpenAI's chat-completions wire over real HTTP on loopback.

with provider([call("write_file", path="index.html", content="…"), says("done")]) as server:
    Gateway([ModelChoice(name="openai/test", api_key=SecretStr("key"), base_url=server.url)])

Each request takes the next answer of the script; past its end every request is refused with 400.
A function of the request's body may stand for the script: `provider(lambda body: says(…))`.

Providers charge less for the beginning of a request that they have seen, so every request of a conversation must begin
with the one before it. Each provider holds its test to that; one where the beginning moves says `moves=1`.
"""

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import zip_longest
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
    headers: Mapping[str, str]  # in lower case
    body: Json
    port: int  # of the caller: the same port is the same connection


Script = Sequence[Answer] | Callable[[Json], Answer]


NOTHING_READ = '{"requirements": []}'


def asks_for_a_reading(body: Json) -> bool:
    """A question about the task beside building its site: it comes in one message, without tools."""
    return "what a strict evaluator will test" in str(body.get("messages", [{}])[0].get("content"))


class Provider:
    def __init__(self, script: Script, reader: Callable[[Json], Answer] | None = None) -> None:
        self.url = ""
        self.readings: list[Request] = []  # apart from the script: they come beside the first turn
        self._reader = reader or (lambda _: says(NOTHING_READ))
        self.moved: list[str] = []  # where a request left the one before it
        self.requests: list[Request] = []
        self.closing = threading.Event()
        self._script = script
        self._lock = threading.Lock()
        self._prompts: dict[str, list[str]] = {}  # how a conversation began → its newest request

    def answer(self, request: Request) -> Answer:
        if asks_for_a_reading(request.body):
            self.readings.append(request)
            return self._reader(request.body)
        with self._lock:
            self.requests.append(request)
            self._follow(prompt(request.body))
            turn = len(self.requests)
        if callable(self._script):
            return self._script(request.body)
        return self._script[turn - 1] if turn <= len(self._script) else fault(400, f"no answer {turn} in the script")

    def _follow(self, parts: list[str]) -> None:
        opening = next((at for at, part in enumerate(parts) if part.startswith('{"role": "user"')), 0)
        before = self._prompts.setdefault("\n".join(parts[: opening + 1]), [])
        if parts[: len(before)] != before:
            self.moved.append(next(f"{one[:300]}\n→ {other[:300]}" for one, other in differences(before, parts)))
        before[:] = parts


def prompt(body: Json) -> list[str]:
    """What a provider reads of a request, in the order in which it caches: the tools, then message by message."""
    instructions = {key: body[key] for key in ("model", "tools", "system") if key in body}
    return [json.dumps(part) for part in (unmarked(instructions), *map(unmarked, body.get("messages", ())))]


def unmarked(value: Any) -> Any:
    """Without cache marks, a lone part of text as a text: the provider reads both alike."""
    if isinstance(value, list):
        texts = [part.get("text") for part in value if isinstance(part, dict) and part.get("type") == "text"]
        return texts[0] if len(value) == len(texts) == 1 else [unmarked(item) for item in value]
    if isinstance(value, dict):
        return {key: unmarked(item) for key, item in value.items() if key != "cache_control"}
    return value


def differences(before: list[str], after: list[str]) -> Iterator[tuple[str, str]]:
    return ((one, other) for one, other in zip_longest(before, after, fillvalue="") if one != other)


@contextmanager
def provider(script: Script, *, moves: int = 0, reader: Callable[[Json], Answer] | None = None) -> Iterator[Provider]:
    """A running provider: its `url` ends in /v1; its `requests` are what was asked so far.

    Readings of a task are answered by `reader`, or with an empty one.
    """
    played = Provider(script, reader)

    class Handler(_Handler):
        provider = played

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    played.url = f"http://127.0.0.1:{server.server_port}/v1"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield played
        assert len(played.moved) == moves, "\n".join(["a request does not begin with the one before it", *played.moved])
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


def events(*values: Json, done: bool = True, content_type: str = "text/event-stream") -> Answer:
    """A stream of server-sent events, all at once."""
    lines = [f"data: {json.dumps(value)}" for value in values] + ["data: [DONE]"] * done
    return Answer("\n\n".join([*lines, ""]).encode(), headers={"Content-Type": content_type})


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
    protocol_version = "HTTP/1.1"  # the connection stays open
    provider: Provider

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.provider.answer(Request(self.path, headers, json.loads(body), self.client_address[1]))
        if answer.manner == "hang":
            self.provider.closing.wait()
            self.close_connection = True
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
            self.close_connection = True

    def log_message(self, *_args: object) -> None:
        """A test's output is not a server's log."""
