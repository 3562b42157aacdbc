"""Probes on a site: of files by reading, of the page in tabs of their own, away from the checks of evaluators."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from itertools import groupby

from agent.browser.checks import OWN_FAULT, Outcome, acts, run_checks, truthy
from agent.browser.chromium import NO_ANSWER, Answer, Browser, Request, Tab
from agent.browser.network import Sources
from agent.errors import Gone, PageFault, Undecided
from agent.quoting import missing, quote
from agent.records import Check
from agent.review import documents
from agent.review.probes import FileProbe, JsProbe, Probe, Step, judges
from agent.review.site import Site

DRY_RUN_S = 10.0  # of all probes together
EMPTY_PAGE = b'<!doctype html><html lang="en"><head><meta charset="utf-8"><title></title></head><body></body></html>'
EMPTY_URL = "https://empty.example/"

Visit = Callable[[], AbstractAsyncContextManager[tuple[Tab, Sources]]]  # a new tab, where nothing is opened yet


def read_file(site: Site, probe: FileProbe) -> Outcome:
    """What stands in the file decides it."""
    if probe.path not in site.workspace:
        return Outcome("fail", missing(probe.path, site.workspace))
    try:
        faults = _file_faults(site, probe)
    except Undecided as undecided:
        return Outcome("unknown", str(undecided))
    if faults:
        return Outcome("fail", "; ".join(faults))
    return Outcome("pass", f"{quote(probe.path)} holds what is asked for")


def _file_faults(site: Site, probe: FileProbe) -> list[str]:
    text = site.text(probe.path)
    lower, count = text.lower(), len(text.split())
    faults = [f"does not contain {quote(wanted)}" for wanted in probe.contains if wanted.lower() not in lower]
    faults += [f"has no {quote(name)}" for name in probe.fields if documents.field(site, probe.path, name) is None]
    least, most = probe.min_words or 0, probe.max_words or count
    if not least <= count <= most:
        faults.append(f"has {count} words; asked are {least} to {probe.max_words or 'any number'}")
    return [f"{quote(probe.path)} {fault}" for fault in faults]


async def run_probes(visit: Visit, probes: Sequence[JsProbe], patience: Mapping[str, float]) -> dict[str, Outcome]:
    """One outcome a probe, by the id of its check. Those that only look share a tab. Raises NoBrowser."""
    found = await asyncio.gather(*(_group(visit, group, patience) for group in _groups(probes)))
    return {check_id: outcome for outcomes in found for check_id, outcome in outcomes.items()}


def _groups(probes: Sequence[JsProbe]) -> list[list[JsProbe]]:
    alone = [[probe] for probe in probes if _acts(probe)]
    looking = sorted((probe for probe in probes if not _acts(probe)), key=lambda probe: probe.query)
    return [*(list(group) for _, group in groupby(looking, key=lambda probe: probe.query)), *alone]


def _acts(probe: JsProbe) -> bool:
    return bool(probe.steps) or acts(probe.expression)


async def _group(visit: Visit, probes: Sequence[JsProbe], patience: Mapping[str, float]) -> dict[str, Outcome]:
    first = probes[0]
    checks = [Check(id=probe.check, kind="js", text=probe.expression, round=1) for probe in probes]
    try:
        async with visit() as (tab, sources):
            await tab.go(sources.base_url + (f"?{first.query}" if first.query else ""))
            broken = await _follow(tab, first.steps)
            found = {first.check: broken} if broken else await run_checks(tab, checks, patience)
            found = {check_id: _certain(outcome, sources) for check_id, outcome in found.items()}
    except (Gone, PageFault) as fault:
        found = {
            probe.check: Outcome("unknown", f"the page could not be probed: {quote(str(fault))}") for probe in probes
        }
    return {probe.check: _explained(found[probe.check], probe) for probe in probes}


async def _follow(tab: Tab, steps: Sequence[Step]) -> Outcome | None:
    """What failed on the way."""
    for step in steps:
        try:
            if step.act == "reload":
                await tab.reload()
            elif step.act == "click":
                await tab.click(step.selector)
            else:
                await tab.fill(step.selector, step.value)
        except PageFault as fault:
            return Outcome("fail", f"{_said(step)} was not possible: {quote(str(fault).splitlines()[0], 120)}")
    return None


def _certain(outcome: Outcome, sources: Sources) -> Outcome:
    """What a page cannot reach from here it cannot show."""
    hosts = [*sources.unreached, *sources.refused]
    if outcome.verdict != "fail" or not hosts:
        return outcome
    return Outcome(
        "unknown", f"{outcome.evidence}; but {', '.join(map(quote, hosts[:4]))} could not be reached from here"
    )


def _explained(outcome: Outcome, probe: JsProbe) -> Outcome:
    """With the probe itself: whoever is to mend the page must know what was looked for."""
    after = f" after {', '.join(map(_said, probe.steps))}" if probe.steps else ""
    at = f" at {quote('?' + probe.query)}" if probe.query else ""
    return Outcome(outcome.verdict, f"{outcome.evidence} (the probe{at}{after}: {quote(probe.expression, 200)})")


def _said(step: Step) -> str:
    what = f" {quote(step.selector)}" if step.selector else ""
    return f"{step.act}{what}" + (f" with {quote(step.value)}" if step.act == "fill" else "")


async def believed(browser: Browser, probes: Sequence[Probe]) -> tuple[Probe, ...]:
    """Probes that hold of an empty page, or do not run at all, become the judge's. Raises NoBrowser, Gone."""
    doubts = await _doubts(browser, [probe for probe in probes if isinstance(probe, JsProbe)])
    return tuple(judges(p.check, doubts[p.check]) if p.check in doubts else p for p in probes)


async def _doubts(browser: Browser, probes: Sequence[JsProbe]) -> dict[str, str]:
    """Id → why the probe proves nothing."""
    doubts = {probe.check: "its probe could not be tried on an empty page" for probe in probes}
    if probes:
        with suppress(TimeoutError, PageFault):  # those that were not tried are not believed
            async with asyncio.timeout(DRY_RUN_S), browser.tab(_nothing) as tab:
                for probe in probes:
                    await tab.go(f"{EMPTY_URL}?{probe.query}")
                    doubts[probe.check] = await _doubt(tab, probe)
    return {check_id: why for check_id, why in doubts.items() if why}


async def _doubt(tab: Tab, probe: JsProbe) -> str:
    try:
        value = await tab.evaluate(probe.expression, timeout_s=1.0)
    except PageFault as fault:
        broken = OWN_FAULT.search(str(fault)) or str(fault).startswith(NO_ANSWER)
        return "its probe does not run to an end" if broken else ""
    return "its probe holds of an empty page" if truthy(value) else ""


async def _nothing(request: Request) -> Answer | None:
    return Answer(200, {"content-type": "text/html"}, EMPTY_PAGE) if request.url.startswith(EMPTY_URL) else None
