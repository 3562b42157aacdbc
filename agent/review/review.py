"""The whole review of one version of a site: rules, the evaluator's own checks, and the acceptance tests.

It asks no model: what a failing acceptance test is worth is settled elsewhere (see `doubts`).
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from agent.browser.chromium import DESKTOP, PHONE, STEP_S, Browser, Tab
from agent.browser.network import CDN_HOSTS, Fetch, Sources
from agent.errors import Gone, NoBrowser, PageFault
from agent.net import hosts_in
from agent.quoting import one_line
from agent.records import Check, Finding, Review, Task, TestResult
from agent.review.acceptance import AcceptanceTest, FileTest, JudgeTest, PageTest, PythonTest, Reading, Requirement
from agent.review.data.files import run_file_test
from agent.review.data.python import run_python_tests
from agent.review.evidence import Outcome
from agent.review.page import tests as page_tests
from agent.review.page.accessibility import accessibility
from agent.review.page.checks import patience, run_acting, run_looking
from agent.review.page.rules import LOOK, SEEN, loaded, looked_at, rule
from agent.review.page.visit import Visit, own_files
from agent.review.reading import key, wants_workflow
from agent.review.static import rules
from agent.review.static.secrets import redact
from agent.review.static.site import Site
from agent.sandbox.sandbox import Sandbox
from agent.workspace import INDEX, Workspace

REVIEW_S = 30.0  # all tests of a review; the browser starts outside this clock
LATE_S = 0.5  # how much later data files come in the pass that tries a slow network
HURRIED_S = 0.3  # for an element of a page that nobody made for these tests
LOOK_S = 8.0
LINGER_S = 0.3  # what a page asks for at once, and where it goes at once, comes after it has loaded
SNAPSHOT_CHARS = 900
MAX_EVIDENCE_CHARS = rules.MAX_EVIDENCE_CHARS
EMPTY_PAGE = b'<!doctype html><html lang="en"><head><meta charset="utf-8"><title></title></head><body></body></html>'


@dataclass(frozen=True)
class Subject:
    """What is under review."""

    task: Task
    workspace: Workspace
    attachments: Mapping[str, bytes]  # as they stand for this round
    reading: Reading = field(default_factory=Reading)
    first: frozenset[str] = frozenset()  # ids of the tests to begin with: those that failed last time
    patient: bool = True  # False: nobody made this version for these checks, so that waiting for it is useless

    @property
    def words(self) -> str:
        """What the task itself says; attachments and the model name no hosts."""
        return " ".join([self.task.brief, *(check.text for check in self.task.checks)])


@dataclass(frozen=True)
class Looks:
    """The finished page for people: pictures by file name, and what axe advises."""

    pictures: Mapping[str, bytes]
    accessibility: Finding | None = None


@dataclass
class _Seen:
    """What the running page has shown so far: a limit costs only what is not there yet."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)  # of the evaluator's checks, by id
    rules: list[Finding] = field(default_factory=list)
    snapshot: str = ""


class Reviewer:
    """Reviews versions; it keeps nothing of them."""

    def __init__(
        self,
        browser: Browser,
        fetch: Fetch,
        sandbox: Sandbox,
        *,
        owner: str = "owner",
        secrets: Sequence[str] = (),
        time_s: float = REVIEW_S,
    ) -> None:
        self._browser = browser
        self._fetch = fetch
        self._sandbox = sandbox
        self._owner = owner
        self._secrets = secrets
        self._time_s = time_s

    async def review(self, subject: Subject) -> Review:
        """Never raises for what a site does; ends within some seconds of `time_s`."""
        no_browser = await self._no_browser(subject.workspace)
        static, seen, outcomes = await asyncio.gather(
            asyncio.to_thread(self._static, subject),
            self._page(subject, no_browser),
            self.run(subject, subject.reading.tests(), no_browser=no_browser),
        )
        browser = no_browser or self._browser.status
        results = tuple(self._result(test_id, outcome) for test_id, outcome in outcomes.items())
        unseen = Outcome("unknown", no_browser or "it was not run")
        checks = tuple(
            self._checked(check, subject.task, seen.outcomes.get(check.id, unseen)) for check in subject.task.checks
        )
        reviewed = Review(
            findings=(*checks, *static, *map(self._redacted, seen.rules)),
            results=results,
            browser=browser,
            snapshot=redact(seen.snapshot, self._secrets),
        )
        return weighed(reviewed, subject.task, subject.reading)

    async def run(
        self, subject: Subject, tests: Sequence[AcceptanceTest], *, no_browser: str = "", late: bool = True
    ) -> dict[str, Outcome]:
        """One outcome a test, by id; a judge's are left out. `late`: also with data files that come late."""
        of_page = {t.id: t.test for t in tests if isinstance(t.test, PageTest)}
        of_python = {t.id: t.test for t in tests if isinstance(t.test, PythonTest)}
        of_files = {t.id: t.test for t in tests if isinstance(t.test, FileTest)}
        pages, scripts, files = await asyncio.gather(
            self._page_tests(subject, of_page, no_browser, late),
            run_python_tests(self._sandbox, of_python, subject.workspace, subject.attachments, timeout_s=self._time_s),
            asyncio.to_thread(_file_tests, of_files, subject),
        )
        return pages | scripts | files

    async def proves_nothing(self, tests: Sequence[AcceptanceTest], subject: Subject) -> dict[str, str]:
        """Id → why the test tells nothing: it holds of an empty site, or of the attachments alone, or does not run."""
        tried = [t for t in tests if not (isinstance(t.test, FileTest) and _by_code(t.test, subject))]
        empty = Workspace().put({INDEX: EMPTY_PAGE})
        no_browser = await self._no_browser(empty)
        alone = empty.put({name: data for name, data in subject.attachments.items() if name != INDEX})
        found: dict[str, str] = {}
        for site, attachments, where in (
            (empty, {}, "an empty site"),
            (alone, subject.attachments, "the attachments alone"),
        ):
            blank = Subject(subject.task, site, attachments, patient=False)
            outcomes = await self.run(blank, _hasty(tried), no_browser=no_browser, late=False)
            for test_id, outcome in outcomes.items():
                if outcome.verdict == "pass":
                    found.setdefault(test_id, f"it holds of {where}")
                elif "does not run" in outcome.evidence:
                    found.setdefault(test_id, outcome.evidence)
        return found

    async def looks(self, subject: Subject) -> Looks:
        """Empty when there is nothing to see or nothing to see it with."""
        pictures: dict[str, bytes] = {}
        advice = None
        if INDEX not in subject.workspace:
            return Looks(pictures)
        try:
            async with asyncio.timeout(LOOK_S), self._opened(subject) as tab:
                for name, size in (("desktop.png", DESKTOP), ("phone.png", PHONE)):
                    pictures[name] = await tab.screenshot(size)
                advice = await accessibility(tab)
        except (NoBrowser, Gone, PageFault, TimeoutError):
            pass  # what was taken is kept: evidence for people decides nothing
        return Looks(pictures, advice)

    async def words_seen(self, subject: Subject) -> list[tuple[str, str]]:
        """What a reader of the page gets to know, by what it is. Raises NoBrowser, Gone, PageFault."""
        snapshot = ""
        async with self._opened(subject) as tab:
            seen = await tab.observe(SEEN, LOOK)
            with suppress(PageFault):
                snapshot = await tab.snapshot()
        shown = (("what a screen reader finds", snapshot), ("visible text", seen["text"]))
        return [(name, redact(text, self._secrets)) for name, text in shown]

    async def start(self) -> None:
        """Raises NoBrowser where no page can be run."""
        await self._browser.start()

    # -- by reading --------------------------------------------------------------------------------------------------

    def _static(self, subject: Subject) -> tuple[Finding, ...]:
        workflows = wants_workflow(subject.task, subject.reading)
        return rules.apply(Site(subject.workspace, subject.attachments, self._secrets, workflows=workflows))

    # -- by running --------------------------------------------------------------------------------------------------

    async def _no_browser(self, workspace: Workspace) -> str:
        """Why no page is run; empty: it is."""
        if INDEX not in workspace:
            return f"nothing was run: there is no {INDEX}"
        try:
            await self._browser.start()
        except (NoBrowser, Gone) as error:
            return f"nothing was run: {error}"
        return ""

    async def _page(self, subject: Subject, no_browser: str) -> _Seen:
        """The evaluator's checks and what is wrong on any page, in a tab of their own."""
        seen, fault = _Seen(), ""
        for _ in range(0 if no_browser else 2):  # a browser that ended or a page that hangs is tried once more, alone
            seen = _Seen()
            try:
                async with asyncio.timeout(self._time_s):
                    await self._look(subject, seen)
            except Gone as gone:
                fault = f"the browser ended on this page ({gone})"
            except PageFault as error:
                fault = f"the page does not come to rest: {error}"
            except (NoBrowser, TimeoutError):
                return seen
            else:
                return seen
        if fault:
            seen.rules = [rule("errors", "No script throws while the page loads.", [fault])]
        return seen

    async def _look(self, subject: Subject, seen: _Seen) -> None:
        visit = self._visit(subject)
        runnable = [check for check in subject.task.checks if check.kind in ("js", "selector")]
        waits = patience(subject.task.brief, runnable, () if subject.patient else {c.id for c in runnable})
        async with self._browser.tab(visit.answer) as tab:
            try:
                await tab.go(visit.base_url)
                await asyncio.sleep(LINGER_S)
                seen.rules += loaded(tab, visit.sources, await tab.observe(SEEN, LOOK), subject.workspace)
                await run_looking(tab, runnable, waits, seen.outcomes)
                seen.rules += looked_at(tab, visit.sources, visit.left)
                await run_acting(tab, runnable, waits, seen.outcomes)
            finally:
                seen.outcomes = {check_id: visit.excused(outcome) for check_id, outcome in seen.outcomes.items()}
            if any(outcome.verdict == "fail" for outcome in seen.outcomes.values()):
                seen.rules += filter(None, [await accessibility(tab)])
                with suppress(PageFault):  # a page may hide itself from Playwright; it is evidence beside verdicts
                    seen.snapshot = (await tab.snapshot())[:SNAPSHOT_CHARS]

    async def _page_tests(
        self, subject: Subject, tests: Mapping[str, PageTest], no_browser: str, late: bool
    ) -> dict[str, Outcome]:
        """Results count as they come; only what is not finished in time is undecided."""
        if no_browser or not tests:
            return dict.fromkeys(tests, Outcome("unknown", no_browser))
        step_s = STEP_S if subject.patient else HURRIED_S
        page, slow = (page_tests.Page(self._opener(subject), step_s=step_s) for _ in range(2))
        try:
            async with asyncio.timeout(self._time_s):
                await page.run(tests, first=subject.first)
                if late:
                    acting = {i: t for i, t in tests.items() if t.steps and i in page.read_data}
                    held = {i: t for i, t in acting.items() if page.outcomes[i].verdict == "pass"}
                    await slow.run(held, late_s=LATE_S)
        except (TimeoutError, NoBrowser):
            pass
        unfinished = Outcome("unknown", f"not finished: all tests of a review share {self._time_s:g} s")
        found = {test_id: page.outcomes.get(test_id, unfinished) for test_id in tests}
        for test_id, outcome in slow.outcomes.items():
            if outcome.verdict == "fail":
                why = f"{outcome.evidence} (only when data files come {LATE_S:g} s late: wait for them)"
                found[test_id] = Outcome("fail", why, guess=True)
        return found

    def _opener(self, subject: Subject) -> page_tests.Open:
        @asynccontextmanager
        async def open_tab(test: PageTest, late_s: float) -> AsyncIterator[tuple[Tab, Visit]]:
            visit = self._visit(subject, test, late_s)
            async with self._browser.tab(visit.answer) as tab:
                yield tab, visit

        return open_tab

    @asynccontextmanager
    async def _opened(self, subject: Subject) -> AsyncIterator[Tab]:
        visit = self._visit(subject)
        async with self._browser.tab(visit.answer) as tab:
            await tab.go(visit.base_url)
            yield tab

    def _visit(self, subject: Subject, test: PageTest | None = None, late_s: float = 0.0) -> Visit:
        files, addresses = own_files(test.serve if test else {})
        hosts = hosts_in(subject.words) | CDN_HOSTS
        base_url = f"https://{self._owner}.github.io/{subject.task.repo}/"
        served = {**subject.workspace, **files}
        return Visit(Sources(base_url, served, hosts, self._fetch), hosts, addresses, late_s)

    # -- findings ----------------------------------------------------------------------------------------------------

    def _redacted(self, found: Finding) -> Finding:
        return found.model_copy(update={"evidence": redact(found.evidence, self._secrets)})

    def _result(self, test_id: str, outcome: Outcome) -> TestResult:
        evidence = one_line(redact(outcome.evidence, self._secrets), MAX_EVIDENCE_CHARS)
        return TestResult(id=test_id, verdict=outcome.verdict, evidence=evidence, guess=outcome.guess)

    def _checked(self, check: Check, task: Task, outcome: Outcome) -> Finding:
        """An evaluator's own expression; a sentence is undecided until its tests are weighed."""
        return Finding(
            id=check.id,
            origin="check",
            earlier=check.round < task.round,
            text=check.text,
            verdict="unknown" if outcome.guess else outcome.verdict,
            evidence=one_line(redact(outcome.evidence, self._secrets), MAX_EVIDENCE_CHARS),
            standing="guess" if outcome.guess else "certain",
        )


def weighed(review: Review, task: Task, reading: Reading) -> Review:
    """The review with a verdict on each sentence: what its acceptance tests, as they stand in `reading`, come to."""
    results = {result.id: result for result in review.results}
    requirements = {requirement.id: requirement for requirement in reading.requirements}
    prose = {check.id: requirements.get(key(check)) for check in task.checks if check.kind == "prose"}
    checks = [
        _weigh(finding, prose[finding.id], results, reading.why_not) if finding.id in prose else finding
        for finding in review.findings
        if finding.origin == "check"
    ]
    needs = [
        _weigh(_open(requirement, task), requirement, results, "")
        for requirement in reading.requirements
        if requirement.id.startswith("need:")
    ]
    found_by_rules = (finding for finding in review.findings if finding.origin == "rule")
    return review.model_copy(update={"findings": (*checks, *needs, *found_by_rules)})


def _open(requirement: Requirement, task: Task) -> Finding:
    earlier = requirement.round < task.round
    text = requirement.says or requirement.words
    return Finding(id=requirement.id, origin="need", text=text, verdict="unknown", evidence="", earlier=earlier)


def _weigh(
    finding: Finding, requirement: Requirement | None, results: Mapping[str, TestResult], why_not: str
) -> Finding:
    if requirement is None:
        return finding.model_copy(update={"evidence": why_not or "the reader made no test of it"})
    tests = [(test, results[test.id]) for test in requirement.tests if test.in_use and test.id in results]
    failing = [(test, result) for test, result in tests if result.verdict == "fail"]
    if not failing:
        return finding.model_copy(update=_unfailing(requirement, [result for _, result in tests]))
    confirmed = [(test, result) for test, result in failing if test.standing == "confirmed" and not result.guess]
    evidence = "; ".join(_told(test, result) for test, result in (confirmed or failing))
    update = {"evidence": one_line(evidence, MAX_EVIDENCE_CHARS)}
    if confirmed:
        return finding.model_copy(update={**update, "verdict": "fail", "standing": "confirmed"})
    guess = all(result.guess or test.standing == "guess" for test, result in failing)
    return finding.model_copy(update={**update, "verdict": "unknown", "standing": "guess" if guess else "doubt"})


def _unfailing(requirement: Requirement, results: Sequence[TestResult]) -> dict[str, str]:
    """Pass when something was tested and nothing is open; else why it is undecided."""
    in_use = [test for test in requirement.tests if test.in_use]
    if in_use and len(results) == len(in_use) and all(result.verdict == "pass" for result in results):
        return {"verdict": "pass", "standing": "certain", "evidence": results[0].evidence}
    open_ = [result.evidence for result in results if result.verdict == "unknown"]
    gone = [f"{test.standing}: {test.why}" for test in requirement.tests if not test.in_use]
    judge = ["left to a judge"] if any(isinstance(test.test, JudgeTest) for test in in_use) else []
    why = "; ".join([*open_, *judge, *gone]) or "the reader made no test of it"
    return {"verdict": "unknown", "standing": "certain", "evidence": one_line(why, MAX_EVIDENCE_CHARS)}


def _told(test: AcceptanceTest, result: TestResult) -> str:
    return f"{result.evidence}. {test.why}" if test.why else result.evidence


def _file_tests(tests: Mapping[str, FileTest], subject: Subject) -> dict[str, Outcome]:
    return {i: run_file_test(test, subject.workspace, subject.attachments) for i, test in tests.items()}


def _by_code(test: FileTest, subject: Subject) -> bool:
    """Code decides it for certain, so that it need not fail on an empty site."""
    return test.asks in ("absent", "unchanged") or (test.asks == "exists" and test.path in subject.attachments)


def _hasty(tests: Sequence[AcceptanceTest]) -> list[AcceptanceTest]:
    """The same, without patience: on an empty page there is nothing to wait for."""
    hurried = {"within_s": 0.0}
    return [
        t.model_copy(update={"test": t.test.model_copy(update=hurried)}) if isinstance(t.test, PageTest) else t
        for t in tests
    ]
