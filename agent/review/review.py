"""Verdicts with evidence on one workspace: what ends the loop, what the model reads, what is recorded.

To add a rule that every site must keep: one generator of faults and one line in RULES.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType

from agent.errors import Undecided
from agent.quoting import one_line
from agent.records import Check, Finding, Review, Task, Verdict
from agent.review import deliverables, expressions, prose, repository
from agent.review.dom import Dom
from agent.review.evidence import Faults, settle
from agent.review.provenance import provenance
from agent.review.references import references
from agent.review.scripts import syntax_faults
from agent.review.secrets import leaks, redact
from agent.review.site import Site
from agent.review.workflows import workflows
from agent.workspace import INDEX, Workspace

MAX_EVIDENCE_CHARS = 600

Decision = tuple[Verdict, str]


def review(
    task: Task,
    workspace: Workspace,
    attachments: Mapping[str, bytes],
    *,
    secrets: Sequence[str] = (),
    downloads: Mapping[str, bytes | None] = MappingProxyType({}),
) -> Review:
    """One finding a check, then one a rule, by reading alone: never raises, bounded in time, echoes no secret.

    `attachments`: name → bytes, of all rounds. `downloads`: address → what it served, None where it gave no answer.
    """
    site = Site(task, workspace, attachments, secrets, downloads)
    checks = [_checked(site, check) for check in task.checks]
    return Review(findings=(*checks, *(_ruled(site, *rule) for rule in RULES)))


def _checked(site: Site, check: Check) -> Finding:
    verdict, evidence = _decide(site, partial(_BY_KIND[check.kind], site, check.text))
    origin = "check" if check.round == site.task.round else "earlier"
    return Finding(id=check.id, origin=origin, text=check.text, verdict=verdict, evidence=evidence)


def _ruled(site: Site, name: str, text: str, rule: Callable[[Site], Faults]) -> Finding:
    verdict, evidence = _decide(site, lambda: _by_faults(settle(rule(site))))
    return Finding(id=name, origin="rule", text=text, verdict=verdict, evidence=evidence)


def _decide(site: Site, decision: Callable[[], Decision]) -> Decision:
    if time.thread_time() > site.until:
        return "unknown", "the static review ran out of time"
    try:
        verdict, evidence = decision()
    except Undecided as undecided:
        verdict, evidence = "unknown", str(undecided)
    except Exception as error:  # noqa: BLE001  hostile files must not end a task: what breaks a rule stays undecided
        verdict, evidence = "unknown", f"this rule broke on the site ({type(error).__name__})"
    return verdict, one_line(redact(evidence, site.secrets), MAX_EVIDENCE_CHARS)


def _by_faults(faults: Sequence[str]) -> Decision:
    return ("fail", "; ".join(faults)) if faults else ("pass", "no fault found")


def _js(site: Site, expression: str) -> Decision:
    if INDEX not in site.workspace:
        return "fail", f"there is no {INDEX}"
    try:
        holds, evidence = expressions.truth(site, expression)
    except Undecided:
        missing = Dom(site).missing_part(expression)
        if missing is None:
            raise
        return "fail", missing
    return ("pass" if holds else "fail"), evidence


def _selector(site: Site, selector: str) -> Decision:
    if INDEX not in site.workspace:
        return "fail", f"there is no {INDEX}"
    dom = Dom(site)
    return ("fail", dom.why) if dom.find(selector) is None else ("pass", "it stands in the page")


def _prose(site: Site, sentence: str) -> Decision:
    return _by_faults(prose.faults(site, sentence))


def _javascript(site: Site) -> Faults:
    for script in site.scripts:
        if script.kind == "javascript":
            yield from syntax_faults(script, site.tree(script))


def _secrets(site: Site) -> Faults:
    intact = frozenset(name for name, data in site.attachments.items() if site.workspace.get(name) == data)
    yield from leaks(site.workspace, site.secrets, trusted=intact)


_BY_KIND: dict[str, Callable[[Site, str], Decision]] = {"js": _js, "selector": _selector, "prose": _prose}

RULES: tuple[tuple[str, str, Callable[[Site], Faults]], ...] = (
    ("index", "index.html is a page and nothing but a page.", repository.index),
    ("files", "Every file that brief or checks name is there.", deliverables.files),
    ("ids", "Every id that brief or checks name is in the page or its scripts.", deliverables.ids),
    ("content", "Named files hold what brief or checks describe.", deliverables.content),
    ("title", "The title is the one the brief asks for.", deliverables.title),
    ("attachments", "Attachments stand at the root as they were sent.", repository.attachments),
    ("references", "Local addresses are relative and lead to files of the site.", references),
    ("javascript", "All JavaScript parses.", _javascript),
    ("json", "All JSON parses.", repository.json_files),
    ("readme", "README.md explains the project and is finished.", repository.readme),
    ("license", "LICENSE is the MIT licence, in full.", repository.licence),
    ("workflows", "Every workflow is one that GitHub runs.", workflows),
    ("paths", "The site holds no refused or oversize file.", repository.paths),
    ("secrets", "No file holds a key or a secret.", _secrets),
    ("provenance", "Data files hold what their sources hold.", provenance),  # last: it may take what time is left
)
