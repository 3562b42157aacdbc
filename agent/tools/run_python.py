"""Run Python, a file by `path` or `code`, on a copy of all files: no network, 30 s. Of what it wrote, `files` (names, \
globs) are kept. Compute every number with it, never guess.

What a run writes comes back only when it ended well and `files` asks for it: what else it leaves is no part of a site.
"""

import signal
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from pydantic import ConfigDict

from agent.errors import ToolError
from agent.quoting import fence, label
from agent.records import Record
from agent.sandbox.sandbox import LIMITS, Run, Script
from agent.tools.registry import ToolContext, ToolOutcome, existing
from agent.workspace import MAX_DATA_BYTES, Workspace

CODE = "__code__.py"  # where `code` lies among the files
STDOUT_CHARS, STDERR_CHARS = 4_500, 2_500  # shown of what it says
NAMED = 10  # files in one sentence


class Args(Record):
    model_config = ConfigDict(coerce_numbers_to_str=True)

    path: str = ""
    code: str = ""
    args: tuple[str, ...] = ()
    stdin: str = ""
    files: tuple[str, ...] = ()


async def run(context: ToolContext, args: Args) -> ToolOutcome:
    if bool(args.path) == bool(args.code):
        raise ToolError("it takes `path`, a file of the site, or `code`, one of them")
    files = _copied(context)
    name = CODE if args.code else args.path.removeprefix("./")
    if args.code:
        files[CODE] = args.code.encode()
    elif name not in files:
        name = existing(context, name)
    done = await context.run_script(Script((name, *args.args), files, args.stdin.encode()))
    changed = {path: data for path, data in done.changed.items() if path != CODE}
    workspace, notes = _kept(context, changed, args.files) if _went_well(done) else (context.workspace, _lost(changed))
    return ToolOutcome("\n".join([_ending(done), *notes, *_oddities(done), *_said(done)]), workspace)


def _copied(context: ToolContext) -> dict[str, bytes]:
    """The site as it is, and the attachments that are no part of it."""
    site = dict(context.workspace)
    folders = {path.split("/")[0] for path in site if "/" in path}
    return {name: data for name, data in context.attachments.items() if name not in folders} | site


def _kept(context: ToolContext, changed: Mapping[str, bytes], wanted: Sequence[str]) -> tuple[Workspace, list[str]]:
    """The workspace with what was wanted and may be written, and what became of every file."""
    patterns = [pattern.removeprefix("./") for pattern in wanted]
    named = [path for path in sorted(changed) if any(fnmatchcase(path, pattern) for pattern in patterns)]
    unwritten = [pattern for pattern in patterns if not any(fnmatchcase(path, pattern) for path in changed)]
    workspace, kept, notes = context.workspace, [], []
    for path in named:
        try:
            workspace = workspace.write(path, changed[path], workflows=context.workflows, max_bytes=MAX_DATA_BYTES)
            kept.append(path)
        except ToolError as error:
            notes.append(f"{label(path)} is not kept: {error}")
    rest = [path for path in sorted(changed) if path not in named]
    return workspace, [
        *_listing("kept", kept, changed),
        *notes[:NAMED],
        *([f"{len(notes) - NAMED} more may not be kept"] if len(notes) > NAMED else []),
        *_listing("not kept, as `files` does not name them", rest, changed),
        *([f"named in `files`, but not written: {_names([*map(label, unwritten)])}"] if unwritten else []),
    ]


def _lost(changed: Mapping[str, bytes]) -> list[str]:
    return _listing("not kept, as the run failed", sorted(changed), changed)


def _listing(what: str, paths: Sequence[str], files: Mapping[str, bytes]) -> list[str]:
    return [f"{what}: {_names([f'{label(path)}, {len(files[path])} bytes' for path in paths], '; ')}"] if paths else []


def _names(names: Sequence[str], separator: str = ", ") -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return separator.join(names[:NAMED]) + more


def _went_well(done: Run) -> bool:
    return not done.ended_by and done.status == 0


def _ending(done: Run) -> str:
    if done.ended_by:
        why = {"time": "its time was up", "output": f"it said more than {LIMITS.output_bytes:,} bytes"}[done.ended_by]
        return f"the run was stopped: {why}"
    if done.status >= 0:
        return f"the run ended with status {done.status}"
    name = signal.Signals(-done.status).name if -done.status in set(signal.Signals) else f"signal {-done.status}"
    return f"the run was ended by {name}" + (
        f": it took more than {LIMITS.cpu_s} s of a processor" if name == "SIGXCPU" else ""
    )


def _oddities(done: Run) -> list[str]:
    return [f"cannot be kept (links, pipes, too large): {_names([*map(label, done.left)])}"] if done.left else []


def _said(done: Run) -> list[str]:
    streams = (("stdout", done.stdout, STDOUT_CHARS), ("stderr", done.stderr, STDERR_CHARS))
    return [_shown(name, said, max_chars) for name, said, max_chars in streams if said.strip()] or ["it said nothing"]


def _shown(name: str, said: bytes, max_chars: int) -> str:
    """Its beginning and its end, where an error stands."""
    text = said.decode("utf-8", "replace")
    if len(text) > max_chars:
        text = f"{text[: max_chars // 2]}\n… {len(text) - max_chars} characters …\n{text[-max_chars // 2 :]}"
    return fence(name, text, max_chars=max_chars + 200)
