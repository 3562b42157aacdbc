"""The loop, with steps that play a script: what it promises whoever the model is."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from agent.errors import LimitReached, Permanent, Transient
from agent.llm.model import Escalation
from agent.loop import (
    MAX_CONVERSATION_CHARS,
    SILENCES_UNTIL_STOP,
    STALLS_UNTIL_STOP,
    Batch,
    Limits,
    Progress,
    Version,
    begin,
    objected,
)
from agent.loop import (
    run as run_loop,
)
from agent.records import Fetched, Finding, Json, Reply, Review, Standing, ToolCall, ToolResult, Usage, Verdict
from agent.workspace import Workspace

PLENTY = Limits(turns=20, tokens=1_000_000)
PROMPT: list[Json] = [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}]


def says(page: str | None, tokens: int = 10, cost_usd: float | None = 0.01, model: str = "scripted") -> Reply:
    """A reply that writes `page` into index.html, or one without a call."""
    calls = () if page is None else (ToolCall(id="c1", name="write_file", arguments={"content": page}),)
    usage = Usage(model_calls=1, prompt_tokens=tokens, completion_tokens=0, cost_usd=cost_usd).of(model)
    message = {"role": "assistant", "content": page}
    return Reply(message=message, text="", calls=calls, finish_reason="stop", usage=usage, model=model)


@dataclass
class Script:
    """Steps whose model plays `replies` and whose review fails one check for each x in the page."""

    replies: Sequence[Reply | Exception]
    origin: str = "check"
    requests: list[list[Json]] = field(default_factory=list)
    escalations: list[Escalation] = field(default_factory=list)
    spent: Usage = field(default_factory=Usage)
    earlier: bool = False
    standing: Standing = "certain"
    objections: list[str] = field(default_factory=list)  # that were heard; each takes all inferred failures away
    verdicts: list[Verdict] = field(default_factory=list)  # of a judge, one a time it is asked
    judged: list[str] = field(default_factory=list)  # the pages it was asked about
    fetched: tuple[Fetched, ...] = ()
    kept: Progress | None = None

    async def call_model(self, messages: Sequence[Json], escalation: Escalation) -> Reply:
        self.requests.append(list(messages))
        self.escalations.append(escalation)
        reply = self.replies[min(len(self.requests), len(self.replies)) - 1]
        if isinstance(reply, Exception):
            raise reply
        return reply

    async def run_tools(
        self, workspace: Workspace, calls: Sequence[ToolCall], failed_edits: Mapping[str, int]
    ) -> Batch:
        results = tuple(ToolResult(call_id=call.id, text="wrote it") for call in calls)
        if calls[-1].arguments["content"] == "fetch":
            self.fetched += (Fetched(url="https://x.org/", at=0, sha256="0" * 64),)
            return Batch(results=results, workspace=workspace, failed_edits=failed_edits, fetched=self.fetched)
        data = str(calls[-1].arguments["content"]).encode()
        return Batch(results, workspace.put({"index.html": data}), failed_edits, self.fetched)

    async def review(self, workspace: Workspace) -> Version:
        page = workspace.text("index.html") if workspace else "x"
        failing = [
            Finding.model_validate(
                {
                    "id": str(n),
                    "origin": self.origin,
                    "text": "t",
                    "verdict": "unknown" if self.standing == "guess" else "fail",
                    "evidence": "e",
                    "earlier": self.earlier,
                    "standing": self.standing,
                }
            )
            for n in range(page.count("x"))
        ]
        return Version(workspace, Review(findings=tuple(failing)))

    async def hear(self, version: Version, objection: str) -> Version:
        self.objections.append(objection)
        return Version(version.workspace, Review())

    async def judge(self, version: Version) -> Version:
        self.judged.append(version.workspace.text("index.html"))
        if not self.verdicts:
            return version
        self.spent += Usage(model_calls=1, prompt_tokens=10, cost_usd=0.0).during("judge")
        verdict = self.verdicts.pop(0)
        opinion = Finding(id="j", origin="check", text="t", verdict=verdict, evidence="e", standing="confirmed")
        found = version.review.model_copy(update={"findings": (*version.review.findings, opinion)})
        return Version(version.workspace, found)

    def report(self, review: Review, previous: Review | None) -> str:
        return f"{len(review.failures)} fail, before {len(previous.failures) if previous else None}"

    def hint(self, name: str) -> str:
        return f"<{name}>"

    def keep(self, progress: Progress) -> None:
        self.kept = progress


def run(script: Script, limits: Limits = PLENTY) -> Progress:
    return asyncio.run(from_the_beginning(script, limits))


async def from_the_beginning(script: Script, limits: Limits) -> Progress:
    return await run_loop(await begin(Workspace(), PROMPT, script), script, limits)


def published(progress: Progress) -> str:
    return progress.best.workspace.text("index.html") if progress.best.workspace else ""


def test_a_good_first_answer_costs_one_call() -> None:
    script = Script([says("good")])
    progress = run(script)
    assert (progress.stopped_by, progress.turns, len(script.requests)) == ("passed", 1, 1)
    assert published(progress) == "good"


def test_a_report_leads_to_a_fixed_page() -> None:
    progress = run(Script([says("x"), says("good")]))
    assert (progress.stopped_by, progress.turns, published(progress)) == ("passed", 2, "good")


def test_every_request_begins_with_the_one_before() -> None:
    script = Script([says("xxx"), says(None), says("xx"), says("x"), says("good")])
    run(script)
    assert len(script.requests) == 5
    for earlier, later in zip(script.requests, script.requests[1:], strict=False):
        assert later[: len(earlier)] == earlier


def test_a_conversation_beyond_its_bound_loses_old_answers_once() -> None:
    class Chatty(Script):
        def report(self, review: Review, previous: Review | None) -> str:
            return f"{len(review.failures)} fail " + "z" * (MAX_CONVERSATION_CHARS // 3)

    script = Chatty([says("x" * left) for left in range(8, 0, -1)] + [says("good")])
    run(script)
    pairs = list(zip(script.requests, script.requests[1:], strict=False))
    assert [later[: len(earlier)] == earlier for earlier, later in pairs].count(False) == 1
    assert len(str(script.requests[-1])) < len(pairs) * MAX_CONVERSATION_CHARS // 3
    assert len({len(str(request[3]["content"])) for request in script.requests[1:]}) == 2


def test_the_report_comes_with_the_last_tool_answer() -> None:
    script = Script([says("xx"), says("good")])
    run(script)
    assert script.requests[1][-1] == {
        "role": "tool",
        "tool_call_id": "c1",
        "content": "wrote it\n\n2 fail, before None",
    }


def test_a_site_with_faults_is_better_than_none() -> None:
    progress = run(Script([says("xxx"), LimitReached("deadline")]))
    assert published(progress) == "xxx"


def test_the_best_version_is_kept_not_the_last() -> None:
    progress = run(Script([says("x"), says("xxx"), LimitReached("deadline")]))
    assert (progress.stopped_by, published(progress)) == ("deadline", "x")


def test_what_is_left_of_a_loop_that_breaks_is_its_best_version_and_all_it_paid_for() -> None:
    class Breaks(Script):
        async def run_tools(
            self, workspace: Workspace, calls: Sequence[ToolCall], failed_edits: Mapping[str, int]
        ) -> Batch:
            if len(self.requests) == 3:
                raise ZeroDivisionError
            return await super().run_tools(workspace, calls, failed_edits)

    script = Breaks([says("x"), says("xxx"), says("good")])
    with pytest.raises(ZeroDivisionError):
        run(script)
    assert script.kept
    assert (published(script.kept), script.kept.turns, script.kept.usage.model_calls) == ("x", 3, 3)


@pytest.mark.parametrize("again", ["x", "another x"])
def test_no_progress_gives_a_hint_and_then_stops(again: str) -> None:
    script = Script([says("x"), says(again)])
    progress = run(script)
    assert (progress.stopped_by, progress.turns) == ("stalled", 1 + STALLS_UNTIL_STOP)
    assert sum("<stalled>" in str(message["content"]) for message in script.requests[-1]) == 1
    assert script.escalations == [0, 0, 0, 0, 1, 2][-len(script.escalations) :]


def test_a_fetch_that_failed_is_no_source() -> None:
    came, failed = (Fetched(url="https://x.org/", at=0, error=error) for error in (None, "no answer"))
    assert Batch((), Workspace(), {}, (failed, came, failed)).sources == 1


def test_checks_of_an_earlier_round_alone_do_not_keep_the_loop_going() -> None:
    progress = run(Script([says("x"), says("another x")], earlier=True))
    assert (progress.stopped_by, progress.turns) == ("stalled", 2)


def test_answers_without_a_call_are_nudged_and_then_end() -> None:
    script = Script([says(None)])
    progress = run(script)
    assert (progress.stopped_by, progress.turns) == ("silent", SILENCES_UNTIL_STOP)
    assert script.requests[1][-1] == {"role": "user", "content": "<silent>"}


@pytest.mark.parametrize(
    ("limits", "stopped_by", "turns"),
    [
        (Limits(turns=2, tokens=1_000), "turns", 2),
        (Limits(turns=9, tokens=15), "tokens", 2),
        (Limits(turns=9, tokens=1_000, usd=0.015), "usd", 2),
    ],
)
def test_a_limit_is_checked_before_it_is_spent(limits: Limits, stopped_by: str, turns: int) -> None:
    script = Script([says("x")])
    progress = run(script, limits)
    assert (progress.stopped_by, progress.turns, len(script.requests)) == (stopped_by, turns, turns)


def test_a_model_that_cannot_answer_leaves_its_reason() -> None:
    progress = run(Script([Permanent("set LLM_API_KEY")]))
    assert (progress.stopped_by, progress.error, published(progress)) == ("model", "set LLM_API_KEY", "")


@pytest.mark.parametrize("end", [Permanent, Transient, LimitReached])
def test_what_was_tried_before_the_end_is_counted(end: type[Permanent | Transient | LimitReached]) -> None:
    tried = Usage(failed_calls=3).of("scripted").model_dump(mode="json")
    error = end("deadline", spent=tried) if end is not LimitReached else LimitReached("deadline", "", tried)
    usage = run(Script([says("x"), type(error)(*error.args)])).usage
    assert (usage.model_calls, usage.failed_calls, usage.cost_usd) == (1, 3, 0.01)


def test_the_dollars_that_are_known_are_held_to_their_limit() -> None:
    script = Script([says("x", cost_usd=None, model="unpriced"), says("x", cost_usd=0.02)])
    progress = run(script, Limits(turns=9, tokens=1_000, usd=0.015))
    assert (progress.stopped_by, progress.turns, progress.usage.cost_usd) == ("usd", 2, None)


def test_an_unknown_price_makes_the_total_unknown() -> None:
    progress = run(Script([says("x", cost_usd=0.5), says("good", cost_usd=None)]))
    assert progress.usage.cost_usd is None
    assert progress.usage.model_calls == 2


OBJECTION = Finding(id="host", origin="rule", text="t", verdict="fail", evidence="its log")


async def objected_to(script: Script, limits: Limits = PLENTY) -> tuple[Progress, Progress]:
    """As it was before the host objected, and what came of it."""
    before = await from_the_beginning(script, limits)
    return before, await run_loop(objected(before, OBJECTION, "its log"), script, limits)


def test_an_objection_is_answered_in_the_same_conversation() -> None:
    script = Script([says("good"), says("better")])
    _, after = asyncio.run(objected_to(script))
    assert (published(after), after.stopped_by, after.turns) == ("better", "passed", 2)
    first, second = script.requests
    assert second[: len(first)] == first
    assert second[-1] == {"role": "tool", "tool_call_id": "c1", "content": "wrote it\n\n0 fail, before None\n\nits log"}


@pytest.mark.parametrize("answer", [says("good"), says("xx"), Permanent("gone"), LimitReached("deadline")])
def test_an_objection_that_nobody_answers_leaves_the_best_version(answer: Reply | Exception) -> None:
    before, after = asyncio.run(objected_to(Script([says("good"), answer])))
    assert after.best.workspace == before.best.workspace
    assert after.best.review.failures == (OBJECTION,)


def test_who_answers_an_objection_need_not_fix_what_was_published_with_faults() -> None:
    script = Script([says("x"), *[says("xx")] * STALLS_UNTIL_STOP, says("x done")])
    before, after = asyncio.run(objected_to(script))
    assert (before.stopped_by, after.turns - before.turns) == ("stalled", 1)
    assert published(after) == "x done"


def test_an_objection_is_answered_within_the_limits_of_the_task() -> None:
    script = Script([says("good")])
    _, after = asyncio.run(objected_to(script, Limits(turns=1, tokens=1_000)))
    assert (after.stopped_by, len(script.requests)) == ("turns", 1)


def test_a_judge_is_asked_when_nothing_fails_and_may_send_the_model_back() -> None:
    script = Script([says("x"), says("good"), says("better")], verdicts=["fail", "pass"])
    progress = run(script)
    assert (progress.stopped_by, progress.turns, published(progress)) == ("passed", 3, "better")
    assert script.judged == ["good", "better"]
    assert "1 fail" in str(script.requests[2][-1]["content"])


def test_a_judge_is_asked_about_the_best_version_when_the_loop_gives_up() -> None:
    script = Script([says("x"), says("xx")], verdicts=["pass"])
    progress = run(script)
    assert (progress.stopped_by, script.judged, published(progress)) == ("stalled", ["x"], "x")
    assert [finding.verdict for finding in progress.best.review.findings] == ["fail", "pass"]


def test_what_judges_cost_counts_against_the_limits() -> None:
    script = Script([says("good", tokens=10)], verdicts=["fail"])
    assert run(script, Limits(turns=9, tokens=20)).stopped_by == "tokens"
    script = Script([says("good", tokens=10)], verdicts=["fail"])
    assert run(script, Limits(turns=9, tokens=10)).stopped_by == "passed"
    assert script.judged == [], "there was nothing left for a judge"


def test_a_confirmed_test_costs_two_turns_and_then_is_left_to_the_evaluator() -> None:
    progress = run(Script([says("x"), says("another x"), says("a third x")], standing="confirmed"))
    assert (progress.stopped_by, progress.turns) == ("stalled", 3)


def test_a_guess_is_told_for_one_turn_and_ranks_nothing() -> None:
    progress = run(Script([says("x"), says("another x"), says("a third x")], standing="guess"))
    assert (progress.stopped_by, progress.turns, published(progress)) == ("stalled", 2, "another x")


def test_an_answer_without_a_call_after_inferred_failures_is_an_objection_and_no_silence() -> None:
    script = Script([says("x"), says(None), says("x")], standing="confirmed")
    progress = run(script)
    assert (progress.stopped_by, progress.turns, progress.silences) == ("passed", 2, 0)
    assert len(script.objections) == 1


def test_an_answer_without_a_call_after_the_evaluators_own_failures_is_silence() -> None:
    script = Script([says("x"), says(None), says("good")])
    assert run(script).stopped_by == "passed"
    assert script.objections == []
    assert "<silent>" in str(script.requests[2][-1]["content"])


def test_reading_is_no_stall_and_the_limit_of_turns_holds() -> None:
    def reads(name: str) -> Reply:
        reply = says("fetch")
        return reply.model_copy(update={"calls": (reply.calls[0].model_copy(update={"name": name}),)})

    script = Script([says("x"), *map(reads, ("read_file", "run_check", "read_attachment", "fetch")), says("good")])
    assert (run(script).stopped_by, len(script.requests)) == ("passed", 6)
    assert run(Script([reads("read_file")]), Limits(turns=7, tokens=1_000_000)).stopped_by == "turns"
