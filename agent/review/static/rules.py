"""The rules that hold for any site, whatever its task: read, never run.

To add one: a generator of faults in a module of this folder, and its line in RULES.
"""

import time
from collections.abc import Callable, Sequence

from agent.errors import Undecided
from agent.events import emit
from agent.quoting import one_line
from agent.records import Finding, Verdict
from agent.review.evidence import Faults, settle
from agent.review.static import repository
from agent.review.static.javascript import syntax_faults
from agent.review.static.references import references
from agent.review.static.secrets import leaks, redact
from agent.review.static.site import Site
from agent.review.static.workflows import workflows

MAX_EVIDENCE_CHARS = 600


def javascript(site: Site) -> Faults:
    """All JavaScript parses."""
    for script in site.scripts:
        if script.kind == "javascript":
            yield from syntax_faults(script, site.tree(script))


def secrets(site: Site) -> Faults:
    """No file holds a key or a secret."""
    intact = frozenset(name for name, data in site.attachments.items() if site.workspace.get(name) == data)
    yield from leaks(site.workspace, site.secrets, trusted=intact)


RULES: tuple[tuple[str, str, Callable[[Site], Faults]], ...] = (
    ("index", "index.html is a page and nothing but a page.", repository.index),
    ("references", "Local addresses are relative and lead to files of the site.", references),
    ("javascript", "All JavaScript parses.", javascript),
    ("json", "All JSON parses.", repository.json_files),
    ("readme", "README.md is there and says something.", repository.readme),
    ("license", "LICENSE is the MIT licence, in full.", repository.licence),
    ("workflows", "Every workflow is one that GitHub runs.", workflows),
    ("paths", "The site holds no refused or oversize file.", repository.paths),
    ("secrets", "No file holds a key or a secret.", secrets),
)


def apply(site: Site) -> tuple[Finding, ...]:
    """One finding a rule: never raises, bounded in time, echoes no secret."""
    return tuple(_finding(site, *rule) for rule in RULES)


def _finding(site: Site, name: str, text: str, rule: Callable[[Site], Faults]) -> Finding:
    verdict, evidence = _decided(site, name, rule)
    evidence = one_line(redact(evidence, site.secrets), MAX_EVIDENCE_CHARS)
    return Finding(id=name, origin="rule", text=text, verdict=verdict, evidence=evidence)


def _decided(site: Site, name: str, rule: Callable[[Site], Faults]) -> tuple[Verdict, str]:
    if time.thread_time() > site.until:
        return "unknown", "the static review ran out of time"
    try:
        faults: Sequence[str] = settle(rule(site))
    except Undecided as undecided:
        return "unknown", str(undecided)
    except Exception as error:  # noqa: BLE001 - hostile files must not end a task: what breaks a rule stays undecided
        emit("review.rule_broke", rule=name, error=f"{type(error).__name__}: {error}")
        return "unknown", f"this rule broke on the site ({type(error).__name__})"
    return ("fail", "; ".join(faults)) if faults else ("pass", "no fault found")
