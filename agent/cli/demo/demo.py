"""A task in two rounds, end to end on this machine: only the model's answers are recorded, every other part is real.

The service listens on its own ports; the demo is a client of it, and the evaluator shares nothing with it.
"""

import asyncio
import json
import signal
import time
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table
from rich.text import Text

from agent.browser.chromium import Browser
from agent.cli import client
from agent.cli.demo.evaluator import Site, visit
from agent.cli.demo.harness import DemoHarness, demo_harness
from agent.cli.demo.results import Result, compare, passed
from agent.cli.demo.rounds import ROUNDS, Round
from agent.cli.show import mark, plain
from agent.errors import AgentError
from agent.records import Json
from agent.settings import Settings

REPLAY: Json = {
    "llm_model": f"replay/{Path(__file__).parents[3] / 'examples' / 'demo.replay.json'}",
    "llm_fallback_models": "",
    "llm_base_url": None,
    "llm_api_key": None,
}
REPLAYED = """\
The model is replayed: its answers were recorded (examples/demo.replay.json), every other part is real.
With a live model: set LLM_MODEL and its key, then run .venv/bin/python main.py demo --live"""
NO_BROWSER = """\
There is no Chromium here: pages are read, not run, and the checks are ones that reading can decide."""
LIVE = "The model is the live one of this environment."


async def play(
    console: Console, *, model: Json, once: bool, as_json: bool, port: int | None, github: bool = False
) -> bool:
    """Whether both rounds were called back and every check held. Goes on serving until a signal, unless `once`.

    `model` overrides settings of the model: REPLAY, or nothing for the one of the environment.
    """
    with TemporaryDirectory(prefix="agent-demo-", ignore_cleanup_errors=True) as folder:
        async with demo_harness(console, Path(folder), port=wanted_port(port), model=model, github=github) as harness:
            runs = await can_run_pages(harness.settings.browser)
            console.print(introduction(harness, runs_pages=runs))
            results: list[Result] = []
            for round_ in ROUNDS if runs else [round_.without_browser() for round_ in ROUNDS]:
                results.append(await play_round(harness, round_, results))
            console.print(Text(), results_table(results), conclusion(harness, results, once=once))
            if as_json:
                console.file.write(json.dumps({"rounds": [result.as_json() for result in results]}) + "\n")
                console.file.flush()
            if not once:
                await stopped_by_signal()
    return passed(results)


async def can_run_pages(browser: str) -> bool:
    """Whether a Chromium starts here."""
    async with aclosing(Browser(browser)) as chromium:
        try:
            await chromium.start()
        except AgentError:
            return False
        return True


def wanted_port(port: int | None) -> int:
    """The one asked for, else PORT where it is set, else any."""
    settings = Settings.load(secret="the demo makes its own")  # noqa: S106
    if port is None and "port" in settings.model_fields_set:
        return settings.port
    return port or 0


async def play_round(harness: DemoHarness, round_: Round, earlier: Sequence[Result]) -> Result:
    """Raises AgentError when the service does not take the task."""
    task, began = round_.request(nonce=client.new_nonce()), time.monotonic()
    status, call = await harness.deliver(task, f"round {round_.number}")
    seconds = time.monotonic() - began
    rows = compare(round_, task, status, call, await visited(call), earlier)
    return Result(round_.number, call, rows, status.usage.model_calls, seconds, await harness.pictures(status))


async def visited(call: Json) -> Site | str:
    """The site, or why there is none."""
    try:
        return await visit(call) if call else "no call back came"
    except AgentError as error:
        return str(error)


async def stopped_by_signal() -> None:
    """Until SIGINT or SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()


# -- what people read -----------------------------------------------------------------------------------------------


def introduction(harness: DemoHarness, *, runs_pages: bool) -> Text:
    model = REPLAYED if (harness.settings.llm_model or "").startswith("replay/") else LIVE
    places = f"The service listens on {harness.api_url}, its evaluator on {harness.evaluation_url}"
    return Text("\n".join([places, model, *([] if runs_pages else [NO_BROWSER]), ""]))


def results_table(results: Sequence[Result]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("", "check", "service", "evaluator", "evidence"):
        table.add_column(heading, overflow="fold", no_wrap=heading in ("service", "evaluator"))
    for result in results:
        summary = f"model calls: {result.model_calls}, seconds: {result.seconds:.1f}"
        table.add_row(Text(), Text(f"round {result.number}", style="bold"), Text(), Text(), Text(summary, style="dim"))
        for row in result.rows:
            service = mark(row.service) if row.service else Text("-", style="dim")
            own = mark("pass" if row.grade.held else "fail")
            evidence = "; service: ".join(filter(None, (row.grade.evidence, row.remark)))
            table.add_row(mark(row.verdict), Text(plain(row.text)), service, own, Text(plain(evidence), style="dim"))
    return table


def conclusion(harness: DemoHarness, results: Sequence[Result], *, once: bool) -> Text:
    verdicts = [row.verdict for result in results for row in result.rows]
    text = Text()
    if passed(results):
        text.append(f"\nBoth rounds were called back, and all {len(verdicts)} checks hold.\n", style="bold green")
    else:
        bad = len(verdicts) - verdicts.count("pass")
        text.append(f"\n{bad} of {len(verdicts)} checks do not hold.\n", style="bold red")
    call = results[-1].call
    for name, url in (
        ("site", call.get("pages_url")),
        ("repository", call.get("repo_url")),
        *(("picture", url) for url in results[-1].pictures),
        ("dashboard", harness.dashboard_url),
    ):
        text.append(f"{name:<12}{plain(url)}\n" if url else "")
    return text if once else text.append("Serving until Ctrl-C.\n", style="dim")
