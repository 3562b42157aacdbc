"""The whole review: by reading first, then in Chromium, which decides what reading could not.

Score order, greatest first (`Review.score`): fewest failed checks of this round, fewest failures at all, most passes.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from agent.browser.checks import HOPELESS_S, Outcome, patience, patience_s, run_checks
from agent.browser.chromium import DESKTOP, PHONE, Browser, Tab
from agent.browser.network import PROBE_URL, Fetch, Sources
from agent.errors import Gone, NoBrowser, PageFault
from agent.net import hosts_in
from agent.quoting import one_line, quote
from agent.records import Check, Finding, Review, Task
from agent.review import observations
from agent.review.accessibility import accessibility
from agent.review.judge import exhibits
from agent.review.probes import Compiled, FileProbe, JsProbe, JudgeProbe, Probe, needed
from agent.review.probing import believed, read_file, run_probes
from agent.review.prose import STATIC
from agent.review.review import MAX_EVIDENCE_CHARS, review
from agent.review.secrets import redact
from agent.review.site import Site
from agent.review.subject import Subject
from agent.workspace import INDEX, Workspace

MAX_REVIEW_S = 25.0  # within what every deadline keeps for publishing and the call back
LOOK_S = 8.0
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


@dataclass(frozen=True)
class Portrait:
    """The finished page for people: pictures by file name, and what axe advises."""

    screenshots: Mapping[str, bytes]
    accessibility: Finding | None = None


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

    async def review(self, subject: Subject) -> Review:
        """Never raises for what a page does; ends within MAX_REVIEW_S."""
        task, workspace, attachments = subject.task, subject.workspace, subject.attachments
        compiled, patient = subject.compiled, subject.patient
        static = await asyncio.to_thread(
            review, task, workspace, attachments, secrets=self._secrets, downloads=subject.downloads
        )
        static = _explained(task, static, compiled)
        if INDEX not in workspace:
            return static.model_copy(update={"browser": f"nothing was run: there is no {INDEX}"})
        probes = [p for f in static.findings if f.verdict == "unknown" and (p := compiled.of(f.id)) is not None]
        try:
            refuted = {finding.id for finding in static.failures if finding.origin != "rule"}
            hopeless = refuted if patient else {check.id for check in task.checks}
            # Away from each other: what a model compiled must not disturb what an evaluator asks.
            ran, probed = await asyncio.gather(
                self._in_time(task, workspace, attachments, hopeless),
                self._probed(task, workspace, attachments, probes, patient=patient),
            )
        except NoBrowser as error:
            return static.model_copy(update={"browser": f"nothing was run: {error}"})
        return self._joined(static, ran, probed)

    async def believed(self, probes: Sequence[Probe]) -> tuple[Probe, ...]:
        """Without those that would hold of an empty page: they become the judge's. Raises NoBrowser, Gone."""
        return await believed(self._browser, probes)

    async def start(self) -> None:
        """Raises NoBrowser where no page can be run."""
        await self._browser.start()

    async def exhibits(self, task: Task, workspace: Workspace, asked: Sequence[Check]) -> list[str]:
        """What a judge of these checks is shown, without secrets. Raises NoBrowser, Gone, PageFault."""
        async with self._opened(task, workspace) as tab:
            snapshot, seen = await tab.snapshot(), await tab.evaluate(observations.SEEN)
        return [redact(shown, self._secrets) for shown in exhibits(workspace, asked, snapshot, seen["text"])]

    async def portrait(self, task: Task, workspace: Workspace) -> Portrait:
        """Empty when there is nothing to see or nothing to see it with."""
        shots: dict[str, bytes] = {}
        advice = None
        if INDEX not in workspace:
            return Portrait(shots)
        try:
            async with asyncio.timeout(LOOK_S), self._opened(task, workspace) as tab:
                for name, size in (("desktop.png", DESKTOP), ("phone.png", PHONE)):
                    shots[name] = await tab.screenshot(size)
                advice = await accessibility(tab)
        except (NoBrowser, Gone, PageFault, TimeoutError):
            pass  # what was taken is kept: evidence for people decides nothing
        return Portrait(shots, advice)

    @asynccontextmanager
    async def _opened(self, task: Task, workspace: Workspace) -> AsyncIterator[Tab]:
        sources = self._sources(task, workspace)
        async with self._browser.tab(sources.answer) as tab:
            await tab.go(sources.base_url)
            yield tab

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
                checks = _runnable(task)
                outcomes = await run_checks(tab, checks, patience(task.brief, checks, hopeless))
                data = _data(workspace, attachments)
                expected = observations.expected(task.checks, task.brief) if len(data) == 1 else set()
                ran = await _observed(tab, sources, workspace, outcomes, data, expected, _told(task))
            except PageFault as fault:
                return _failed(task, f"the page does not come to rest: {quote(str(fault), 160)}")
        extra = [await self._computed(task, workspace, sources, ran), await self._parameter(task, workspace)]
        return Ran(ran.outcomes, (*ran.rules, *filter(None, extra)), ran.snapshot)

    async def _probed(
        self,
        task: Task,
        workspace: Workspace,
        attachments: Mapping[str, bytes],
        probes: Sequence[Probe],
        *,
        patient: bool,
    ) -> dict[str, Outcome]:
        """One outcome a probe, by the id of its check; the judge's have none here. Raises NoBrowser."""

        @asynccontextmanager
        async def visit() -> AsyncIterator[tuple[Tab, Sources]]:
            sources = self._sources(task, workspace)
            async with self._browser.tab(sources.answer) as tab:
                yield tab, sources

        files = [probe for probe in probes if isinstance(probe, FileProbe)]
        found: dict[str, Outcome] = {}
        if files:
            site = await asyncio.to_thread(Site, task, workspace, attachments)
            found = {probe.check: read_file(site, probe) for probe in files}
        run = [probe for probe in probes if isinstance(probe, JsProbe)]
        try:
            async with asyncio.timeout(self._time_s):
                return found | await run_probes(visit, run, _probe_patience(task, run, patient=patient))
        except TimeoutError:
            late = Outcome("unknown", f"it could not be probed within {self._time_s:g} s")
            return found | {probe.check: late for probe in run}

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

    def _joined(self, static: Review, ran: Ran, probed: Mapping[str, Outcome]) -> Review:
        """The running page has the last word, except where it could not tell."""
        findings = []
        for finding in static.findings:
            outcome = None if finding.origin == "rule" else (probed.get(finding.id) or ran.outcomes.get(finding.id))
            if outcome and (outcome.verdict != "unknown" or finding.verdict == "unknown"):
                found = {"verdict": outcome.verdict, "evidence": outcome.evidence, "inferred": finding.id in probed}
                finding = finding.model_copy(update=found)
            findings.append(finding)
        cleaned = (
            f.model_copy(update={"evidence": one_line(redact(f.evidence, self._secrets), MAX_EVIDENCE_CHARS)})
            for f in (*findings, *ran.rules)
        )
        snapshot = redact(ran.snapshot, self._secrets)
        return Review(findings=tuple(cleaned), browser=self._browser.status, snapshot=snapshot)


def _explained(task: Task, static: Review, compiled: Compiled) -> Review:
    """Of what stays open the record says why there is no probe."""
    reasons = {check.id: compiled.why for check in needed(task.checks)}
    reasons |= {
        p.check: f"left to a judge: {quote(p.why)}" if isinstance(p, JudgeProbe) else "" for p in compiled.probes
    }
    findings = []
    for finding in static.findings:
        why = reasons.get(finding.id) if finding.origin != "rule" and finding.verdict == "unknown" else ""
        findings.append(
            finding.model_copy(update={"evidence": one_line(f"{STATIC}; {why}", MAX_EVIDENCE_CHARS)})
            if why
            else finding
        )
    return static.model_copy(update={"findings": tuple(findings)})


def _probe_patience(task: Task, probes: Sequence[JsProbe], *, patient: bool) -> dict[str, float]:
    """As long as the sentence allows, or the probe."""
    if not patient:
        return {probe.check: HOPELESS_S for probe in probes}
    named = {check.id: patience_s(task.brief, check) for check in task.checks}
    return {probe.check: max(probe.within_s, named[probe.check]) for probe in probes}


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
        rules += filter(None, [await accessibility(tab)])
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
