"""The pages for people, rendered on the server. Every text of a task is hostile and stays text."""

import secrets
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from agent.api.access import Operator
from agent.api.routes import describe, find
from agent.records import FINAL_STATES, Json
from agent.store import Store

TEMPLATES = Path(__file__).parent.parent.parent / "templates" / "dashboard"
NEWEST = 50
EVENTS = ("accepted", "stage", "tools", "review")  # those that change what the page of a task shows


class Dashboard:
    """The overview for the operator, a page for whoever knows a task's id."""

    def __init__(self, store: Store, *, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._templates = _environment()

    def routes(self, operator: Operator) -> APIRouter:
        router = APIRouter()
        router.add_api_route("/", self.overview, dependencies=[Depends(operator)])
        router.add_api_route("/tasks/{task_id}/page", self.task)
        return router

    def overview(self) -> HTMLResponse:
        return self._page("overview.html.j2", tasks=[describe(view) for view in self._store.newest(NEWEST)])

    def task(self, task_id: str) -> HTMLResponse:
        task = describe(find(self._store, task_id))
        return self._page("task.html.j2", task=task, events=EVENTS, ended=task["state"] in FINAL_STATES)

    def _page(self, template: str, **variables: object) -> HTMLResponse:
        """Only styles and scripts that carry this answer's nonce count, so nothing a task says can."""
        nonce = secrets.token_urlsafe(16)
        policy = (
            f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; connect-src 'self'; "
            "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        html = self._templates.get_template(template).render(nonce=nonce, now=self._clock(), **variables)
        return HTMLResponse(html, headers={"Content-Security-Policy": policy})


def duration(seconds: float) -> str:
    """In the largest unit that is not yet 0: `4 s`, `3 min`, `5 h`, `2 d`."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def usd(cost: float | None) -> str:
    return "unknown" if cost is None else f"${cost:.4f}"


def utc(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def verdicts(task: Json) -> Counter[str]:
    """How many checks there are of each verdict."""
    return Counter(check["verdict"] for check in task["checks"])


def is_web_address(url: object) -> bool:
    """Only these become links: a `javascript:` one would run."""
    try:
        return urlsplit(str(url)).scheme in ("http", "https")
    except ValueError:
        return False


def _environment() -> Environment:
    templates = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters.update(duration=duration, usd=usd, utc=utc, verdicts=verdicts)
    templates.tests["web_address"] = is_web_address
    return templates
