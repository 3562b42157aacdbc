"""Tools for models that have none: files, edits and calls stand as fenced blocks in plain text. Pure.

`read` turns an answer into tool calls, `in_words` a conversation into one without tools, and `is_due` tells when.
The instructions are `prompts/text_protocol.md.j2`.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from agent.llm.messages import CUT_OFF, MADE_BY, SPOKEN, BrokenArguments, Spoken, read_arguments, tool_name, wire_call
from agent.llm.providers import ModelChoice
from agent.records import Json, Reply, ToolCall

PROSE_UNTIL_TEXT = 2  # answers without a call, after which a model is taken for one that cannot call
UNCLOSED = "the block has no closing fence"
BEGIN_OF_THOUGHTS, END_OF_THOUGHTS = "<think>", "</think>"

_HEADER = re.compile(r"(?P<word>FILE|EDIT|CALL)\s*:\s*(?P<rest>\S.*)", re.IGNORECASE)
_FENCE = re.compile(r" {0,3}(?P<ticks>`{3,}|~{3,})(?P<info>[^`]*)")
_PATH = re.compile(r"(?:[\w.@+-]+/)*[\w@+-][\w.@+-]*\.\w{1,12}", re.ASCII)
_EDIT = re.compile(r"<{5,9} ?SEARCH[^\n]*\n(.*?)^={5,9}[^\n]*\n(.*?)^>{5,9} ?REPLACE[^\n]*$", re.DOTALL | re.MULTILINE)
_DECORATION = "#*`_:> \t'\""


@dataclass(frozen=True)
class _Block:
    """A fence with what stands before it."""

    kind: str  # FILE, EDIT or CALL
    target: str  # a path, or a tool's name
    body: str
    closed: bool
    lines: range  # where it stands, both fences included


def is_due(messages: Sequence[Json], choice: ModelChoice) -> bool:
    """Whether this model is spoken to in text: it must be, or a probe or its turns show that it cannot call.

    A pure function of what is stored with the task, so that a replayed one decides as before.
    """
    if choice.tool_mode != "auto":
        return choice.tool_mode == "text"
    if choice.capabilities and choice.capabilities.tools is False:
        return True
    own = [message for message in messages if message.get(MADE_BY) == choice.name]
    if any(message.get(SPOKEN) in ("text", "fenced", "failed") for message in own):
        return True
    last = own[-PROSE_UNTIL_TEXT:]
    return len(last) == PROSE_UNTIL_TEXT and not any(message.get("tool_calls") for message in last)


def read(reply: Reply, turn: int, spoken: Spoken = "text") -> Reply:
    """The reply with the calls that its text holds; the message keeps the text and the calls."""
    calls = tuple(
        _call(block, f"text_{turn}_{number}", reply.finish_reason) for number, block in enumerate(_blocks(reply.text))
    )
    message: Json = {"role": "assistant", "content": reply.message.get("content") or reply.text, MADE_BY: reply.model}
    if calls:
        message["tool_calls"] = [wire_call(call) for call in calls]
    return reply.model_copy(update={"calls": calls, "message": {**message, SPOKEN: spoken}})


def in_words(messages: Sequence[Json], instructions: str) -> list[Json]:
    """The conversation without tools: it grows at its end only, the instructions where text was first asked for."""
    asked = (at for at, message in enumerate(messages) if message.get(SPOKEN) == "text")
    first = next(asked, len(messages))
    names = {call["id"]: _named(call) for message in messages for call in message.get("tool_calls") or ()}
    plain: list[Json] = []
    for at, message in enumerate(messages):
        if at == first:
            plain[-1] = _with(plain[-1], instructions)
        if message["role"] == "tool":
            words = f"RESULT of {names.get(message['tool_call_id'], 'a call')}:\n{message['content']}"
            message = {"role": "user", "content": words}
        elif message["role"] == "assistant":
            message = {"role": "assistant", "content": _turn_in_words(message)}
        if message["role"] == "user" and plain and plain[-1]["role"] == "user":
            plain[-1] = _with(plain[-1], message["content"])
        else:
            plain.append(message)
    return plain if first < len(messages) else [*plain[:-1], _with(plain[-1], instructions)]


# -- reading -----------------------------------------------------------------------------------------------------------


def without_thoughts(text: str) -> str:
    """What follows the model's thoughts. A tag that ends thoughts is no such tag inside a file."""
    if text.lstrip().startswith(BEGIN_OF_THOUGHTS):
        return text.partition(END_OF_THOUGHTS)[2] or text
    lines = text.split("\n")
    ends = [at for at, line in enumerate(lines) if END_OF_THOUGHTS in line]
    files = [block.lines for block in _fences(lines) if block.target and block.closed] if ends else []
    end = next((at for at in ends if not any(at in file for file in files)), None)
    return text if end is None else "\n".join([lines[end].partition(END_OF_THOUGHTS)[2], *lines[end + 1 :]])


def _blocks(text: str) -> list[_Block]:
    """In the order of the text; a lone HTML document without a name is index.html."""
    found = list(_fences(without_thoughts(text.replace("\r\n", "\n")).split("\n")))
    named = [block for block in found if block.target]
    pages = [block for block in found if not block.target and block.body.lstrip()[:9].lower() == "<!doctype"]
    if len(pages) == 1 and not named:
        return [replace(pages[0], target="index.html")]
    return named


def _fences(lines: Sequence[str]) -> Iterator[_Block]:
    before, at = "", 0
    while at < len(lines):
        opening = _FENCE.fullmatch(lines[at])
        if not opening:
            before = lines[at] if lines[at].strip() else before
            at += 1
            continue
        kind, target = _heading(before, opening["info"])
        end = _closing(lines, at + 1, opening["ticks"], nests=target.endswith(".md"))
        body = "".join(f"{line}\n" for line in lines[at + 1 : end])
        kind = "EDIT" if kind == "FILE" and _EDIT.search(body) else kind
        yield _Block(kind, target, body, end < len(lines), range(at, end + 1))
        before, at = "", end + 1


def _heading(before: str, info: str) -> tuple[str, str]:
    """What the block is and for what, told by the line before it or by the words behind its backticks."""
    if header := _HEADER.fullmatch(before.strip(_DECORATION)):
        return header["word"].upper(), header["rest"].strip(_DECORATION)
    alone = before.strip(_DECORATION)
    words = [alone, *re.split(r"[\s:=]+", info.strip())]
    path = next((word.strip(_DECORATION) for word in words if _PATH.fullmatch(word.strip(_DECORATION))), "")
    return "FILE", path


def _closing(lines: Sequence[str], start: int, ticks: str, *, nests: bool) -> int:
    """The line that closes; with three backticks a Markdown file's own fences are counted."""
    depth = 0
    for at in range(start, len(lines)):
        bare = lines[at].strip()
        if bare.startswith(ticks) and not bare.strip(ticks[0]):
            if not depth or len(bare) > len(ticks):
                return at
            depth -= 1
        elif nests and len(ticks) == 3 and re.match(r"`{3}\w", bare):
            depth += 1
    return len(lines)


def _call(block: _Block, call_id: str, finish_reason: str) -> ToolCall:
    name = {"FILE": "write_file", "EDIT": "edit_file"}.get(block.kind) or tool_name(block.target)
    problem = "" if block.closed else f"{UNCLOSED}{CUT_OFF if finish_reason == 'length' else ''}"
    try:
        arguments = _arguments(block)
    except BrokenArguments as broken:
        arguments, problem = {}, problem or str(broken)
    return ToolCall(id=call_id, name=name, arguments={} if problem else arguments, problem=problem)


def _arguments(block: _Block) -> Json:
    if block.kind == "FILE":
        return {"path": block.target, "content": block.body}
    if block.kind == "EDIT":
        edits = [{"old": old, "new": new} for old, new in _EDIT.findall(block.body)]
        if not edits:
            raise BrokenArguments("an EDIT block holds <<<<<<< SEARCH, =======, >>>>>>> REPLACE, each on its line")
        return {"path": block.target, "edits": edits}
    return read_arguments(block.body)[0]


# -- writing -----------------------------------------------------------------------------------------------------------


def _turn_in_words(message: Json) -> str:
    """A turn spoken in text as it was; another model's calls as it would have written them here."""
    said = str(message.get("content") or "")
    if message.get(SPOKEN) in ("text", "fenced"):
        return said
    return "\n\n".join(
        [*filter(None, [said]), *(_written(call["function"]) for call in message.get("tool_calls") or ())]
    )


def _written(function: Json) -> str:
    arguments = json.loads(function["arguments"])
    if function["name"] == "write_file" and {"path", "content"} <= arguments.keys():
        return f"FILE: {arguments['path']}\n````\n{arguments['content'].rstrip()}\n````"
    return f"CALL: {function['name']}\n````\n{function['arguments']}\n````"


def _named(call: Json) -> str:
    path = json.loads(call["function"]["arguments"]).get("path", "")
    return f"{call['function']['name']} {path}".rstrip()


def _with(message: Json, more: str | Sequence[Json]) -> Json:
    """The message and more behind it; images stay parts of their own."""
    content = message["content"]
    if isinstance(content, str) and isinstance(more, str):
        return {**message, "content": f"{content}\n\n{more}"}
    parts = [[{"type": "text", "text": side}] if isinstance(side, str) else list(side) for side in (content, more)]
    return {**message, "content": [*parts[0], *parts[1]]}
