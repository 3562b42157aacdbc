"""Python tests: all of a review in one sandboxed process, beside a copy of the site and of the attachments."""

import json
from collections.abc import Mapping
from pathlib import Path

from agent.errors import NoSandbox
from agent.quoting import one_line
from agent.review.acceptance import PythonTest
from agent.review.evidence import Outcome
from agent.sandbox.sandbox import Sandbox, Script

RUNNER = Path(__file__).with_name("in_sandbox.py").read_text()
ORIGINAL = "original/"  # where the attachments stand as they were sent
MAX_EVIDENCE_CHARS = 400


async def run_python_tests(
    sandbox: Sandbox,
    tests: Mapping[str, PythonTest],
    site: Mapping[str, bytes],
    attachments: Mapping[str, bytes],
    *,
    timeout_s: float,
) -> dict[str, Outcome]:
    """One outcome a test, by id. Those that were not reached are undecided."""
    if not tests:
        return {}
    files = {**attachments, **site, **{ORIGINAL + name: data for name, data in attachments.items()}}
    asked = json.dumps([[test_id, test.code] for test_id, test in tests.items()]).encode()
    try:
        run = await sandbox.run(Script(("-P", "-c", RUNNER), _without_clashes(files), asked), timeout_s=timeout_s)
    except NoSandbox as error:
        return {test_id: Outcome("unknown", f"Python is not run here: {error}") for test_id in tests}
    found = dict(filter(None, map(_read, run.stdout.decode("utf-8", "replace").splitlines())))
    late = Outcome("unknown", f"it was not reached: the run ended by {run.ended_by or f'status {run.status}'}")
    return {test_id: found.get(test_id, late) for test_id in tests}


def _read(line: str) -> tuple[str, Outcome] | None:
    try:
        test_id, verdict, evidence = json.loads(line)
    except (ValueError, TypeError):
        return None
    if verdict not in ("pass", "fail", "unknown"):
        return None
    return str(test_id), Outcome(verdict, one_line(str(evidence), MAX_EVIDENCE_CHARS))


def _without_clashes(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """A name that is a file and a folder at once cannot be laid out."""
    folders = {"/".join(path.split("/")[:depth]) for path in files for depth in range(1, path.count("/") + 1)}
    return {path: data for path, data in files.items() if path not in folders}
