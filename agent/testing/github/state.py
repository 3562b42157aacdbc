"""What the GitHub on loopback remembers, and how it is told to behave."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import Response


@dataclass(frozen=True)
class Call:
    """One request and its answer; `kind` is rest, git, pages or logs."""

    kind: str
    method: str
    path: str
    body: Any
    status: int
    answer: Any


@dataclass
class Switches:
    """How it behaves; may be changed while it runs."""

    mutation_s: float = 0.0
    read_s: float = 0.0
    build_s: float = 0.0
    run_s: float = 0.0
    builds: list[str] = field(default_factory=list)  # endings of the next builds: built, queued, errored, cancelled
    runs: list[str] = field(default_factory=list)  # endings of the next runs: a conclusion, queued, never; then success
    log: str = ""  # of a step that fails
    made: Mapping[str, bytes] = field(default_factory=dict)  # files that a run makes and publishes
    uploads: Sequence[str] | None = None  # the files of the commit that a run publishes; None: all of them
    faults: list[tuple[str, Response]] = field(default_factory=list)  # "POST /user/repos" → answered once, instead
    dropped: list[str] = field(default_factory=list)  # done, but the answer is lost
    cut: list[str] = field(default_factory=list)  # done, but the connection ends instead of an answer
    stale_pages: int = 0  # so many page requests are answered as before the last build
    pages_refused: str = ""  # GitHub's words
    branch_first: bool = False  # Pages by workflow are refused while nothing was pushed
    secrets: Sequence[bytes] = ()  # what push protection finds
    may_push_workflows: bool = True
    scopes: str = "repo, workflow"  # of a classic token; a fine-grained one has none
    org_policy: Mapping[str, Any] = field(default_factory=dict)
    domain: str = ""  # where all pages are served from, their own address leading there by a redirect
    named_domain: bool = True  # the settings of Pages name it

    def fault(self, wanted: str) -> Response | None:
        """The answer to be given once instead of the right one."""
        found = next((fault for fault in self.faults if fault[0] == wanted), None)
        if found is None:
            return None
        self.faults.remove(found)
        return found[1]


@dataclass
class Build:
    commit: str
    ending: str
    at: float


@dataclass
class Run:
    """One run of one workflow file."""

    number: int
    path: str
    commit: str
    ending: str  # a conclusion, or queued
    at: float
    publishes: bool
    valid: bool

    def status(self, run_s: float) -> str:
        if self.ending == "queued":
            return "queued"
        return "completed" if time.monotonic() - self.at >= run_s else "in_progress"


@dataclass
class Repo:
    """What GitHub knows of a repository beside its git."""

    number: int
    owner: str
    name: str
    description: str
    pages: str = ""  # how they are made: legacy, workflow; empty: off
    topics: Sequence[str] = ()
    builds: list[Build] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
