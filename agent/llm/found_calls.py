"""Tool calls that stand in a model's text: its server did not know how this model writes them. Pure.

Only a call of a tool that was offered counts; the same marks around any other name stay text.
"""

import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from agent.llm.messages import (
    CUT_OFF,
    SPOKEN,
    BrokenArguments,
    read_arguments,
    tool_name,
    wire_call,
    without_nothing,
)
from agent.llm.text_protocol import without_thoughts
from agent.records import Json, Reply, ToolCall

MAX_CALLS = 64  # looked at in one answer
MAX_PYTHON_CHARS = 1_000_000
Tools = Mapping[str, Sequence[str]]  # name → its arguments in their order

_NAME = r"""["']?(?P<name>[\w.:/-]+)["']?"""
_CALL_ELEMENT = re.compile(
    rf"<(?:\w+:)?(?:function|invoke|tool)(?:=|\s+name\s*=\s*){_NAME}\s*/?>"
    r"|<tool_call>\s*(?P<bare_name>[\w.:/-]+)\s*(?=<arg_key>)"
)
_PARAMETER = re.compile(
    r"""\s*<(?:\w+:)?parameter(?:=|\s+name\s*=\s*)["']?(?P<key>[\w-]+)["']?[^<>]*>"""
    r"|\s*<arg_key>(?P<bare_key>[^<>]*)</arg_key>\s*<arg_value>"
)
_PARAMETER_END = re.compile(
    r"</(?:\w+:)?(?:parameter|arg_value)>(?=\s*(?:</?(?:\w+:)?(?:parameter|invoke|function|tool|arg_key)|\Z))"
)
_CALL_END = re.compile(r"\s*</(?:\w+:)?(?:function|invoke|tool|tool_call)>")
_OBJECT = re.compile(r"""\{(?=\s*["'])""")
_NAMED_OBJECT = re.compile(
    rf"""\{{\s*["'](?:name|tool|tool_name|function)["']\s*:\s*(?:\{{\s*["']name["']\s*:\s*)?{_NAME}"""
)
_MARK = r"""(?::\d+)?["']?\s*(?:<[^<>\n]{1,60}>|\[[A-Z_]+\]|`{3,}\w*)\s*(?=\{)"""  # between a tool's name and an object
# A string, closed or not, or a bracket that counts. Possessive, so that a hostile text costs linear time.
_STRING_OR_BRACE = re.compile(r""""(?:[^"\\]|\\.)*+"?|'(?:[^'\\]|\\.)*+'?|[{}]""", re.DOTALL)
_CODE = re.compile(
    r"^[ \t]*`{3,}[ \t]*(?P<kind>tool_code|tool_call|python|py)?[ \t]*\n"
    r"(?P<code>(?:(?![ \t]*`{3})[^\n]*\n)*+)[ \t]*`{3,}[ \t]*$",
    re.MULTILINE,
)
_WRAPPER = re.compile(
    r"</?(?:\w+:)?(?:tool_calls?|function_calls?)>|<[|\uff5c][^<>]{0,60}[|\uff5c]>|\[/?TOOL_CALLS\]|`{3,}\w*\s*`{3,}"
)


@dataclass(frozen=True)
class _Found:
    """A call and where it stands in the text."""

    start: int
    end: int
    name: str
    arguments: object = None  # an object, or the text of one
    problem: str = ""
    closed: bool = True


def take(reply: Reply, turn: int, tools: Tools) -> Reply:
    """The reply with the calls that its text holds, as if they had come as calls; unchanged where it holds none."""
    text = without_thoughts(reply.text)
    # A model keeps to one way of writing calls: the first that finds something is its own.
    ways = (_elements, _objects, _marked_objects, _python) if tools else ()
    found = next(filter(None, (list(way(text, tools)) for way in ways)), [])
    if not found:
        return reply
    calls = tuple(_call(one, f"found_{turn}_{at}", reply.finish_reason) for at, one in enumerate(found))
    message = {**reply.message, "tool_calls": [wire_call(call) for call in calls]}
    if SPOKEN not in message:  # else the words go back as they were
        message = without_nothing({**message, "content": _without(text, found)})
    return reply.model_copy(update={"calls": calls, "message": message})


def offered(schemas: Sequence[Json]) -> Tools:
    """The tools of a request, in OpenAI's format."""
    return {one["function"]["name"]: list(one["function"]["parameters"]["properties"]) for one in schemas}


def _call(found: _Found, call_id: str, finish_reason: str) -> ToolCall:
    problem = found.problem
    if not found.closed and finish_reason == "length":
        problem = problem or "the call is not closed"
    arguments: Json = {}
    if not problem:
        try:
            arguments, _ = read_arguments(found.arguments)
        except BrokenArguments as broken:
            problem = str(broken)
    cut_off = CUT_OFF if problem and finish_reason == "length" else ""
    return ToolCall(id=call_id, name=found.name, arguments=arguments, problem=problem and f"{problem}{cut_off}")


def _without(text: str, found: Sequence[_Found]) -> str:
    """What is left of a text when its calls and the marks around them are taken out."""
    ends = [0, *(one.end for one in found)]
    starts = [*(one.start for one in found), len(text)]
    rest = "".join(text[end:start] for end, start in zip(ends, starts, strict=True))
    rest = _WRAPPER.sub("", rest).strip()
    return rest if re.search(r"\w", rest) else ""


# -- <function=NAME>, <invoke name="NAME">, and their parameters -------------------------------------------------------


def _elements(text: str, tools: Tools) -> Iterator[_Found]:
    at = 0
    for _ in range(MAX_CALLS):
        opening = _CALL_ELEMENT.search(text, at)
        if not opening:
            return
        name = tool_name(opening["name"] or opening["bare_name"])
        at = opening.end()
        if name in tools:
            arguments, at, problem = _parameters(text, at)
            closing = _CALL_END.match(text, at)
            at = closing.end() if closing else at
            yield _Found(opening.start(), at, name, arguments, problem, closed=closing is not None)


def _parameters(text: str, at: int) -> tuple[object, int, str]:
    """What they say, where they end, and what is wrong with them."""
    if (begin := _OBJECT.search(text, at)) and not text[at : begin.start()].strip():
        end = _end_of_object(text, begin.start())
        return text[begin.start() : end], end, ""
    arguments: Json = {}
    while opening := _PARAMETER.match(text, at):
        closing = _PARAMETER_END.search(text, opening.end())
        if not closing:
            return {}, len(text), "its last parameter is not closed"
        arguments[opening["key"] or opening["bare_key"].strip()] = _value(text[opening.end() : closing.start()])
        at = closing.end()
    return arguments, at, ""


def _value(text: str) -> str:
    """Without the line breaks that set it off from its tags."""
    return text[1:].removesuffix("\n") if text.startswith("\n") else text


# -- {"name": …, "arguments": …} ---------------------------------------------------------------------------------------


def _objects(text: str, tools: Tools) -> Iterator[_Found]:
    at = 0
    while begin := _OBJECT.search(text, at):
        start, at = begin.start(), _end_of_object(text, begin.start())
        try:
            value, _ = read_arguments(text[start:at])
        except BrokenArguments as broken:
            named = _NAMED_OBJECT.match(text, start)
            if named and tool_name(named["name"]) in tools:
                yield _Found(start, at, tool_name(named["name"]), problem=str(broken))
            continue
        called = value["tool_calls"] if isinstance(value.get("tool_calls"), list) else [value]
        for one in called[:MAX_CALLS]:
            name, arguments = _named_arguments(one)
            if name in tools:
                yield _Found(start, at, name, arguments)
                start = at


def _named_arguments(value: object) -> tuple[str, object]:
    """Of an object that calls a tool; an empty name for any other value."""
    if not isinstance(value, dict):
        return "", None
    inner = value.get("function")
    value = inner if isinstance(inner, dict) else value
    name = next((value[key] for key in ("name", "tool", "tool_name", "function") if key in value), None)
    arguments = [value[key] for key in ("arguments", "parameters", "args", "input") if key in value]
    return (tool_name(name), arguments[0]) if isinstance(name, str) and arguments else ("", None)


def _end_of_object(text: str, start: int) -> int:
    """Behind its last brace; the end of the text where that is missing."""
    depth = 0
    for token in _STRING_OR_BRACE.finditer(text, start):
        depth += {"{": 1, "}": -1}.get(token[0], 0)
        if depth == 0:
            return token.end()
    return len(text)


# -- NAME, a mark, {…} -------------------------------------------------------------------------------------------------


def _marked_objects(text: str, tools: Tools) -> Iterator[_Found]:
    marked = re.compile(rf"\b(?:functions\.)?({_any_of(tools)}){_MARK}")
    at = 0
    while name := marked.search(text, at):
        at = _end_of_object(text, name.end())
        yield _Found(name.start(), at, name[1], text[name.end() : at])


# -- tool(argument="…") in Python --------------------------------------------------------------------------------------


def _python(text: str, tools: Tools) -> Iterator[_Found]:
    """A block of code that calls tools, or an answer that is nothing else."""
    calls = re.compile(rf"\b({_any_of(tools)})\s*\(")
    blocks = [(code.start(), code.end(), code["code"], code["kind"]) for code in _CODE.finditer(text)]
    for start, end, code, kind in blocks or [(0, len(text), text.strip(), None)]:
        named = calls.search(code) if len(code) <= MAX_PYTHON_CHARS else None
        if not named:
            continue
        try:
            for name, arguments in _python_calls(code, tools):
                yield _Found(start, end, name, arguments)
                start = end
        except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError) as error:
            if kind in ("tool_code", "tool_call"):
                said = f"code is not run here and this could not be read as a call ({error}): call the tool itself"
                yield _Found(start, end, named[1], problem=said)


def _python_calls(code: str, tools: Tools) -> list[tuple[str, Json]]:
    """All or none of them. Raises ValueError where an argument is more than a literal or the name of one."""
    variables: dict[str, Any] = {}
    found = []
    for statement in ast.parse(code).body:
        if isinstance(statement, ast.Assign) and isinstance(target := statement.targets[0], ast.Name):
            with suppress(ValueError):
                variables[target.id] = ast.literal_eval(statement.value)
        for node in ast.walk(statement):
            if isinstance(node, ast.Call) and (name := _called(node.func)) in tools:
                pairs = [
                    *zip(tools[name], node.args, strict=False),
                    *((word.arg, word.value) for word in node.keywords),
                ]
                arguments = {key: _literal(value, variables) for key, value in pairs if key}
                found.append((name, json.loads(json.dumps(arguments))))
    return found


def _any_of(tools: Tools) -> str:
    return "|".join(map(re.escape, tools))


def _called(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _literal(node: ast.expr, variables: Mapping[str, Any]) -> Any:
    return variables[node.id] if isinstance(node, ast.Name) and node.id in variables else ast.literal_eval(node)
