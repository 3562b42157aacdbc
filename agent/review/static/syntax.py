"""Whether one file parses: the gate that an edit must pass."""

import time
from collections.abc import Sequence

from agent.errors import Undecided
from agent.review.static.html import Page
from agent.review.static.javascript import Script, parse, syntax_faults
from agent.review.static.site import PAGE_ENDINGS, SCRIPT_ENDINGS, parse_json

MAX_CPU_S = 1.0


def broken(path: str, data: bytes) -> str | None:
    """The sentence that says where the file does not parse; None when it does, or when nothing here can tell."""
    text = data.decode("utf-8", "replace")
    until = time.thread_time() + MAX_CPU_S
    try:
        if path.lower().endswith(".json"):
            parse_json(text)
        for script in _scripts(path, text):
            for fault in syntax_faults(script, parse(script.code, until=until)):
                return fault
    except Undecided:
        return None
    except ValueError as error:
        return f"{path} is no JSON: {error}"
    return None


def _scripts(path: str, text: str) -> Sequence[Script]:
    if path.lower().endswith(PAGE_ENDINGS):
        return [script for script in Page(path, text).scripts if script.kind == "javascript"]
    return [Script(path, text)] if path.lower().endswith(SCRIPT_ENDINGS) else []
