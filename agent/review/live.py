"""The whole review: by reading first, then in Chromium, which decides what reading could not.

Score order, greatest first (`Review.score`): fewest failed checks of this round, fewest failures at all, most passes.
"""

import asyncio
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from agent.net import hosts_in
from agent.records import Check, Finding, Review, Task
from agent.review import observations
from agent.review.browser import DESKTOP, PHONE, Browser, Gone, NoBrowser, PageFault, Tab
from agent.review.evidence import one_line, quote
from agent.review.review import MAX_EVIDENCE_CHARS, review
from agent.review.running import Outcome, run_checks
from agent.review.secrets import redact
from agent.review.site import INDEX
from agent.review.sources import PROBE_URL, Fetch, Sources
from agent.workspace import Workspace

MAX_REVIEW_S = 25.0  # within what every deadline keeps for publishing and the call back
SCREENSHOTS_S = 6.0
FOLLOW_S = 3.0  # how long changed data may take to show
MAX_FAULTS = 4
SNAPSHOT_CHARS = 900

_PARAMETER = re.compile(r"\?(url|src|image|img|file)=", re.I)
_PICTURES = re.compile(r"captcha|\bimages?\b|picture|photo", re.I)
_READS = r"\b(?:fetch|load|read|pars|import|sum)\w*\b[^.\n]{{0,80}}{name}"


@dataclass(frozen=True)
class Ran:
    """What running the page showed."""

    outcomes: Mapping[str, Outcome]
    rules: Sequence[Finding] = ()
    snapshot: str = ""
    totals: Mapping[str, Sequence[str]] = field(default_factory=dict)  # data file → its totals that the page shows


class LiveReview:
    """Reviews workspaces; without a Chromium by reading alone, and says so."""

    def __init__(
        self,
        browser: Browser,
        fetch: Fetch,
        *,
        owner: str = "owner",
        secrets: Sequence[str] = (),
        time_s: float = MAX_REVIEW_S,
    ) -> None:
        self._browser = browser
        self._fetch = fetch
        self._owner = owner
        self._secrets = secrets
        self._time_s = time_s

    async def review(
        self,
        task: Task,
        workspace: Workspace,
        attachments: Mapping[str, bytes],
        *,
        downloads: Mapping[str, bytes | None] = MappingProxyType({}),
        patient: bool = True,
    ) -> Review:
        """Never raises for what a page does; ends within MAX_REVIEW_S. Not `patient`: no check is waited for long."""
        static = await asyncio.to_thread(
            review, task, workspace, attachments, secrets=self._secrets, downloads=downloads
        )
        if INDEX not in workspace:
            return static.model_copy(update={"browser": f"nothing was run: there is no {INDEX}"})
        try:
            refuted = {finding.id for finding in static.failures if finding.origin != "rule"}
            hopeless = refuted if patient else {check.id for check in task.checks}
            ran = await self._in_time(task, workspace, attachments, hopeless)
        except NoBrowser as error:
            return static.model_copy(update={"browser": f"nothing was run: {error}"})
        return self._joined(static, ran)

    async def screenshots(self, task: Task, workspace: Workspace) -> dict[str, bytes]:
        """Name → PNG, for people; empty when there is nothing to see or nothing to see it with."""
        shots: dict[str, bytes] = {}
        if INDEX not in workspace:
            return shots
        sources = self._sources(task, workspace)
        try:
            async with asyncio.timeout(SCREENSHOTS_S), self._browser.tab(sources.answer) as tab:
                await tab.go(sources.base_url)
                for name, size in (("desktop.png", DESKTOP), ("phone.png", PHONE)):
                    shots[name] = await tab.screenshot(size)
        except (NoBrowser, Gone, PageFault, TimeoutError):
            pass  # what was taken is kept: evidence for people decides nothing
        return shots

    async def _in_time(
        self, task: Task, workspace: Workspace, attachments: Mapping[str, bytes], hopeless: Collection[str]
    ) -> Ran:
        fault = ""
        for _ in range(2):  # a browser that ended is no fault of the page, unless it does so twice
            try:
                async with asyncio.timeout(self._time_s):
                    return await self._run(task, workspace, attachments, hopeless)
            except Gone as gone:
                fault = f"the browser ended on this page ({quote(str(gone))})"
            except TimeoutError:
                return _failed(task, f"the page could not be reviewed within {self._time_s:g} s: it keeps it busy")
        return _failed(task, fault)

    async def _run(
        self, task: Task, workspace: Workspace, attachments: Mapping[str, bytes], hopeless: Collection[str]
    ) -> Ran:
        sources = self._sources(task, workspace)
        async with self._browser.tab(sources.answer) as tab:
            try:
                await tab.go(sources.base_url)
                outcomes = await run_checks(tab, _runnable(task), task.brief, hopeless)
                data = _data(workspace, attachments)
                expected = observations.expected(task.checks, task.brief) if len(data) == 1 else set()
                ran = await _observed(tab, sources, workspace, outcomes, data, expected, _told(task))
            except PageFault as fault:
                return _failed(task, f"the page does not come to rest: {quote(str(fault), 160)}")
        extra = [await self._computed(task, workspace, sources, ran), await self._parameter(task, workspace)]
        return Ran(ran.outcomes, (*ran.rules, *filter(None, extra)), ran.snapshot)

    async def _computed(self, task: Task, workspace: Workspace, sources: Sources, ran: Ran) -> Finding | None:
        """Other numbers in a data file must lead to other totals in the page."""
        asked = _asked(task)
        faults = []
        for name, totals in ran.totals.items():
            if name not in sources.read and not re.search(_READS.format(name=re.escape(name)), asked, re.I):
                continue
            left = await self._left(task, workspace, name, set(totals)) if name in sources.read else list(totals)
            if left:
                faults.append(f"the page shows {quote(left[0])} whatever {quote(name)} holds: compute it from the file")
        return _rule("computed", "What the page shows follows from its data.", faults) if ran.totals else None

    async def _left(self, task: Task, workspace: Workspace, name: str, totals: set[str]) -> list[str]:
        """The totals that stand there still when the file holds other numbers."""
        data = observations.changed(name, workspace[name])
        if data == workspace[name]:
            return []
        other = self._sources(task, workspace.put({name: data}))
        left = sorted(totals)
        async with self._browser.tab(other.answer) as tab:
            try:
                await tab.go(other.base_url)
                for _ in range(int(FOLLOW_S / 0.2)):
                    left = observations.shown(await tab.evaluate(observations.SEEN), set(left))
                    if not left:
                        break
                    await asyncio.sleep(0.2)
            except PageFault:
                return []
        return left

    async def _parameter(self, task: Task, workspace: Workspace) -> Finding | None:
        """An address handed over as `?url=` is used."""
        asked = _asked(task)
        named = _PARAMETER.search(asked)
        if not named:
            return None
        given = f"{PROBE_URL}{'.png' if _PICTURES.search(asked) else '.md'}"
        sources = self._sources(task, workspace)
        faults = []
        async with self._browser.tab(sources.answer) as tab:
            try:
                await tab.go(f"{sources.base_url}?{named[1]}={given}")
                if not await _uses(tab, sources, given):
                    faults = [f"opened with `?{named[1]}={given}` the page neither asks for that address nor shows it"]
            except PageFault as fault:
                faults = [f"opened with `?{named[1]}={given}` it does not come to rest: {quote(str(fault))}"]
        return _rule("parameter", "An address handed over in the page's own address is used.", faults)

    def _sources(self, task: Task, workspace: Workspace) -> Sources:
        base_url = f"https://{self._owner}.github.io/{task.repo}/"
        return Sources(base_url, workspace, hosts_in(_asked(task)), self._fetch)

    def _joined(self, static: Review, ran: Ran) -> Review:
        """The running page has the last word, except where it could not tell."""
        findings = []
        for finding in static.findings:
            outcome = None if finding.origin == "rule" else ran.outcomes.get(finding.id)
            if outcome and (outcome.verdict != "unknown" or finding.verdict == "unknown"):
                finding = finding.model_copy(update={"verdict": outcome.verdict, "evidence": outcome.evidence})
            findings.append(finding)
        cleaned = (
            f.model_copy(update={"evidence": one_line(redact(f.evidence, self._secrets), MAX_EVIDENCE_CHARS)})
            for f in (*findings, *ran.rules)
        )
        snapshot = redact(ran.snapshot, self._secrets)
        return Review(findings=tuple(cleaned), browser=self._browser.status, snapshot=snapshot)


def _asked(task: Task) -> str:
    """What the task itself says: attachments and the model name no hosts."""
    return " ".join([task.brief, *(check.text for check in task.checks)])


def _told(task: Task) -> str:
    """What it tells in words: expressions may name what a page must not do."""
    return " ".join([task.brief, *(check.text for check in task.checks if check.kind == "prose")])


def _runnable(task: Task) -> list[Check]:
    return [check for check in task.checks if check.kind in ("js", "selector")]


def _data(workspace: Workspace, attachments: Mapping[str, bytes]) -> dict[str, bytes]:
    """Attachments with numbers that the site serves as they came."""
    endings = observations.DATA_ENDINGS
    return {n: d for n, d in attachments.items() if n.lower().endswith(endings) and workspace.get(n) == d}


async def _observed(
    tab: Tab,
    sources: Sources,
    files: Mapping[str, bytes],
    outcomes: dict[str, Outcome],
    data: Mapping[str, bytes],
    expected: set[str],
    told: str,
) -> Ran:
    seen = await tab.evaluate(observations.SEEN)
    reached = not sources.unreached and all(asked.split()[-1] in ("ping",) for asked in sources.refused.values())
    rules = [
        _rule("errors", "No script throws.", observations.errors(tab, sources), certain=reached),
        _rule("requests", "What the page asks for is there.", observations.requests(tab, sources, told)),
        _rule("images", "Every image shows.", observations.images(seen, sources)),
        _rule("links", "Links into the site lead to its files.", observations.links(seen, sources, files)),
        _rule("empty", "The page shows something.", observations.content(seen), certain=reached),
        _rule("buttons", "Every button does something.", await observations.buttons(tab), certain=reached),
    ]
    if not reached:
        outcomes = {i: _uncertain(o, sources) if o.verdict == "fail" else o for i, o in outcomes.items()}
    snapshot = ""
    if any(outcome.verdict == "fail" for outcome in outcomes.values()):
        snapshot = (await tab.snapshot())[:SNAPSHOT_CHARS]
    totals = {
        name: observations.shown(seen, await asyncio.to_thread(observations.totals, name, held) | expected)
        for name, held in data.items()
    }
    return Ran(outcomes, rules, snapshot, {name: found for name, found in totals.items() if found})


async def _uses(tab: Tab, sources: Sources, url: str) -> bool:
    """Whether the page asks for the address or shows it, sooner or later: a page that is loaded may not have begun."""
    script = """(url) => document.body.innerText.includes(url)
      || [...document.querySelectorAll("*")].some((e) => [e.src, e.href, e.value].includes(url))"""
    for _ in range(int(FOLLOW_S / 0.2)):
        if sources.probed or await tab.evaluate(script, url):
            return True
        await asyncio.sleep(0.2)
    return sources.probed


def _uncertain(outcome: Outcome, sources: Sources) -> Outcome:
    hosts = ", ".join(quote(host) for host in (*sources.unreached, *sources.refused))
    return Outcome("unknown", f"{outcome.evidence}; but {hosts} could not be reached from here")


def _failed(task: Task, fault: str) -> Ran:
    """A page that cannot be looked at fails everything that would have been looked at."""
    outcomes = {check.id: Outcome("fail", fault) for check in _runnable(task)}
    return Ran(outcomes, (_rule("errors", "No script throws.", [fault]),))


def _rule(name: str, text: str, faults: Iterable[str], *, certain: bool = True) -> Finding:
    found = list(faults)
    rest = [f"and {len(found) - MAX_FAULTS} more"] if len(found) > MAX_FAULTS else []
    evidence = "; ".join([*found[:MAX_FAULTS], *rest]) or "no fault found"
    verdict = "pass" if not found else "fail" if certain else "unknown"
    return Finding(id=name, origin="rule", text=text, verdict=verdict, evidence=evidence)
