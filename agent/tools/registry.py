"""What the model can do: lists the tools of this folder and runs the calls of one turn.

A tool is one module here, named like the tool. The first paragraph of its docstring is what the model reads;
`class Args` says what the tool takes; `async def run(context, args)` returns a ToolOutcome or raises ToolError.
"""

import copy
import importlib
import json
import pkgutil
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from agent import telemetry
from agent.errors import ToolError
from agent.events import emit
from agent.quoting import label, plain
from agent.records import Fetched, Json, Review, ToolCall, ToolResult
from agent.sandbox.sandbox import Run, Script
from agent.workspace import Workspace

SHOWN_CHARS = 8_000  # what a tool shows of a file
MAX_RESULT_CHARS = 13_000  # of any result; only edit_file's whole file comes near

REPAIRS = 3  # of arguments, for what stands in a text of JSON is seen only when that is read
_SCHEMA_WORDS = ("type", "description", "enum", "required", "additionalProperties")  # known to every provider


@dataclass(frozen=True)
class ToolContext:
    """All that a tool may use: no clock, no disk and no network of its own."""

    workspace: Workspace
    attachments: Mapping[str, bytes]  # of all rounds, by name
    failed_edits: Mapping[str, int]  # path → edits that failed since the file last changed
    review: Callable[[Workspace], Awaitable[Review]]
    fetch: Callable[[str], Awaitable[tuple[Fetched, bytes]]] | None  # None: neither brief nor checks name a host
    report: Callable[[Review], str]
    broken: Callable[[str, bytes], str | None]  # path, bytes → the sentence that says why the file does not parse
    run_script: Callable[[Script], Awaitable[Run]]  # raises ToolError where nothing can be run safely
    workflows: bool = False  # brief or checks name `.github/workflows/`
    fetched: tuple[Fetched, ...] = ()  # so far

    def after(self, outcome: "ToolOutcome") -> "ToolContext":
        """For the next call; a file that has changed has no failed edits any more."""
        workspace = self.workspace if outcome.workspace is None else outcome.workspace
        failed = {p: n for p, n in self.failed_edits.items() if workspace.get(p) == self.workspace.get(p)}
        if outcome.failed_edit:
            failed[outcome.failed_edit] = failed.get(outcome.failed_edit, 0) + 1
        fetched = (*self.fetched, *filter(None, [outcome.fetched]))
        return replace(self, workspace=workspace, failed_edits=failed, fetched=fetched)


@dataclass(frozen=True)
class ToolOutcome:
    """What a call came to. No workspace: nothing was changed."""

    text: str
    workspace: Workspace | None = None
    failed_edit: str = ""  # path that an edit should have changed and did not
    fetched: Fetched | None = None


async def run(context: ToolContext, calls: Sequence[ToolCall]) -> tuple[list[ToolResult], ToolContext]:
    """Runs every call, each on the workspace that the one before it left; one result a call, and what they left."""
    results = []
    for call in calls:
        try:
            with telemetry.tool_call(call.name[:80], call.id):
                tool = tools().get(call.name)
                if tool is None:
                    raise ToolError(f"there is no such tool; there are: {', '.join(tools())}")
                arguments, note = _arguments(tool, call)
                outcome = await tool.run(context, arguments)
                outcome = replace(outcome, text=f"{outcome.text}{note}")
        except ToolError as error:
            outcome = ToolOutcome(f"{call.name[:80]} failed: {error}")
        except Exception as error:  # noqa: BLE001 - the boundary of a tool call: the loop goes on, the good calls count
            emit("tool.broke", tool=call.name[:80], error=f"{type(error).__name__}: {error}")
            outcome = ToolOutcome(
                f"{call.name[:80]} failed here, which is no fault of the call: {type(error).__name__}"
            )
        context = context.after(outcome)
        results.append(ToolResult(call_id=call.id, text=plain(outcome.text)[:MAX_RESULT_CHARS]))
    return results, context


def schemas(*, without: Collection[str] = ()) -> list[Json]:
    """The tools in OpenAI's format, sorted by name, arguments as declared: the same bytes in every process."""
    return [{"type": "function", "function": tool.schema} for name, tool in tools().items() if name not in without]


@dataclass(frozen=True)
class Tool:
    """One module of this folder."""

    name: str
    description: str
    args: type[BaseModel]
    run: Callable[[ToolContext, Any], Awaitable[ToolOutcome]]

    @classmethod
    def load(cls, name: str) -> "Tool":
        module = importlib.import_module(f"agent.tools.{name}")
        description = " ".join((module.__doc__ or "").split("\n\n")[0].split())
        return cls(name, description, module.Args, module.run)

    @property
    def schema(self) -> Json:
        schema = self.args.model_json_schema()
        parameters = _portable(schema, schema.get("$defs", {}))
        return {"name": self.name, "description": self.description, "parameters": parameters}


@cache
def tools() -> Mapping[str, Tool]:
    """Name → tool, sorted."""
    found = sorted(module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]))
    return {name: Tool.load(name) for name in found if name != "registry"}


def existing(context: ToolContext, path: str) -> str:
    """The path of a file that is there, or ToolError with those that are."""
    clean = path.removeprefix("./")
    if clean not in context.workspace:
        raise ToolError(f"there is no file {clean[:80]!r}; there are: {_names(context.workspace)}")
    return clean


def attachment(context: ToolContext, name: str) -> bytes:
    """Its bytes, or those of a file of the site, such as a fetched one. ToolError with the attachments there are."""
    if name not in context.attachments and name in context.workspace:
        return context.workspace[name]
    if name not in context.attachments:
        raise ToolError(f"there is no attachment {name[:80]!r}; there are: {_names(sorted(context.attachments))}")
    return context.attachments[name]


def _names(names: Iterable[str]) -> str:
    return ", ".join(map(label, names))[:1000] or "none"


def _arguments(tool: Tool, call: ToolCall) -> tuple[BaseModel, str]:
    """What the tool takes, read as far as that loses nothing, and a note on what it does not take."""
    if call.problem:
        raise ToolError(call.problem)
    arguments: Json = copy.deepcopy(call.arguments)
    unknown: list[str] = []
    takes = f"it takes: {', '.join(tool.args.model_fields)}"
    try:
        json.dumps(arguments, ensure_ascii=False).encode()
        for _ in range(REPAIRS):
            for fault in _validation_faults(tool, arguments):
                _repair(arguments, fault)
                unknown += [label(str(fault["loc"][-1]))] * (fault["type"] == "extra_forbidden")
        note = f"\n(ignored: {', '.join(unknown)[:200]}; {takes})" if unknown else ""
        return tool.args.model_validate(arguments), note
    except UnicodeEncodeError as error:
        raise ToolError("its arguments hold half of a character, a lone surrogate") from error
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)[:5]
        told = "; ".join(f"{'.'.join(map(str, f['loc']))[:80]}: {f['msg'].lower()}" for f in faults)
        raise ToolError(f"{told}; {takes}") from error


def _validation_faults(tool: Tool, arguments: Json) -> Sequence[Any]:
    try:
        tool.args.model_validate(arguments)
    except ValidationError as error:
        return error.errors(include_url=False, include_context=False)
    return ()


def _repair(arguments: Json, fault: Any) -> None:
    """JSON for its text, one item for a list of it, an object for the text of a file; an unknown argument goes."""
    holder: Any = arguments
    for step in fault["loc"][:-1]:
        holder = holder[step]
    last, kind, value = fault["loc"][-1], fault["type"], fault["input"]
    if kind == "extra_forbidden":
        del holder[last]
    elif kind in ("list_type", "tuple_type", "model_type") and isinstance(value, str | dict):
        with suppress(ValueError):
            value = json.loads(value) if isinstance(value, str) else value
        holder[last] = value if kind == "model_type" or isinstance(value, list) else [value]
    elif kind == "string_type" and (isinstance(value, dict) or (value and _are_objects(value))):
        holder[last] = json.dumps(value, indent=2, ensure_ascii=False)


def _are_objects(value: object) -> bool:
    """Unlike a list of texts, which may be the lines of a file, these can only be meant as JSON."""
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _portable(node: Json, defs: Json) -> Json:
    """A schema of the plainest words only: some providers refuse titles, defaults, limits and references."""
    if "$ref" in node:
        return _portable(defs[node["$ref"].rpartition("/")[2]], defs)
    kept: Json = {word: node[word] for word in _SCHEMA_WORDS if word in node}
    if "items" in node:
        kept["items"] = _portable(node["items"], defs)
    if "properties" in node:
        kept["properties"] = {name: _portable(inner, defs) for name, inner in node["properties"].items()}
    return kept
