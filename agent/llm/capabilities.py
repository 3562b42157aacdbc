"""What a model can do, found out by probing it: a handful of tiny questions, each with a line of its own.

Tables of models are not asked: those are wrong too often. A question that fails leaves its answer open.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from agent.llm import text_protocol
from agent.llm.gateway import EFFORT, Gateway, Observation
from agent.llm.messages import with_pictures
from agent.llm.model import ModelRequest
from agent.prompts import Prompts
from agent.records import Capabilities, Json, ToolCall, Usage, Verdict

ANSWER_S = 60.0
LONGEST_WAIT_S = 10.0  # before a question is asked once more; a model that wants more time is asked later by a person
REFUSED = ("request", "name")  # causes of a fault: a reached model that is not found has no door for this request
CALL_TRIES = 2  # a model that can call may still chat once

READY = "Answer with the one word: ready"
CALLS = 'Make two tool calls in this one answer: write_file of a.txt with the content "alpha", of b.txt with "beta".'
FILE = "Write the file {path} with exactly the lines between the two rules as its content:\n---\n{text}\n---"
COPY = f"Call write_file once. {FILE}"
COLOURS = "The picture has a left and a right half. Answer with two words: the left colour, then the right colour."
LEFT, RIGHT = "yellow", "blue"  # of the picture below, 64 pixels wide
PICTURE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAEAAAABACAIAAAAlC+aJAAAAZElEQVR4nO3PwRHAMAzDsLr775xM4eBDDCAd55xv"
    "1czuwb+6/kABWgFaAVoBWgFaAVoBWgFaAVoBWgFaAVoBWgFaAVoBWgFaAVoBWgFaAVoBWgFaAVoBWgFaAVoBWgFaAVoB2gVyxwN/cHHszwAAAA"
    "BJRU5ErkJggg=="
)
HARD_FILES = {  # what breaks the arguments of tool calls
    "a.html": '<p class="note">She said: "5 < 6 & 7 > 6"</p>\n<p>it\'s \\ fine</p>',
    "b.js": 'const path = "C:\\\\new\\\\table";\nconst quoted = /\\"[^"\\n]*\\"/g;',
    "c.json": '{"text": "line one\\nline two", "tab": "\\t", "quote": "\\""}',
}


@dataclass(frozen=True)
class Line:
    """What one question found."""

    what: str
    verdict: Verdict
    found: str


class Probe:
    """The questions to one model: `run` it, then read `capabilities` and `lines`."""

    def __init__(
        self,
        gateway: Gateway,
        known: Capabilities,
        *,
        schemas: Sequence[Json],
        prompts: Prompts,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`schemas` are those of the real tools, so that a provider which refuses one of them is found out."""
        self.capabilities = known
        self.lines: list[Line] = []
        self.reached = False
        self._longest_tokens = 0  # of the answers so far
        self._gateway = gateway
        self._schemas = schemas
        self._write_file = [schema for schema in schemas if schema["function"]["name"] == "write_file"]
        self._prompts = prompts
        self._sleep = sleep

    async def run(self) -> None:
        """Nine questions at most; a model that cannot be reached is asked nothing more."""
        await self._can_answer()
        if not self.reached:
            return
        await self._can_call()
        if self.capabilities.tools:
            await self._can_quote()
        await self._can_write_text()
        await self._can_see()
        await self._can_reason()
        self._measured()

    # -- the questions -----------------------------------------------------------------------------------------------

    async def _can_answer(self) -> None:
        seen = await self._ask(READY)
        if seen.reply is None:
            return self._note("reachable", "fail", seen.error)
        self.reached = True
        self._learn(answer_s=round(seen.seconds, 2), cache=seen.cached_tokens is not None)
        return self._note("reachable", "pass", f"said {_short(seen.reply.text)!r} after {seen.seconds:.1f} s")

    async def _can_call(self) -> None:
        calls: Sequence[ToolCall] = ()
        for _ in range(CALL_TRIES):
            seen = await self._ask(CALLS, self._schemas)
            calls = seen.reply.calls if seen.reply else ()
            if calls or seen.cause in ("tools", *REFUSED):  # or the schema of one of them
                break
            if seen.reply is None and seen.cause != "mistake":
                return self._note("tools", "unknown", seen.error)
        self._learn(tools=bool(calls))
        if not calls:
            return self._note("tools", "fail", seen.error or "no native tool call came: it is asked in text")
        self._learn(parallel=len(calls) > 1)
        self._note("tools", "pass", f"called {_short(calls[0].name)}")
        many = "several calls in one answer" if len(calls) > 1 else "one call an answer: a turn a file"
        return self._note("parallel calls", "pass" if len(calls) > 1 else "fail", many)

    async def _can_quote(self) -> None:
        calls, broken, exact = 0, 0, 0
        for path, text in HARD_FILES.items():
            seen = await self._ask(COPY.format(path=path, text=text), self._write_file)
            made = seen.reply.calls if seen.reply else ()
            refused = seen.cause == "mistake"
            calls += len(made) + refused
            broken += sum(bool(call.problem) for call in made) + refused
            exact += any(_holds(call, text) for call in made)
        verdict: Verdict = "unknown" if not calls else "fail" if broken else "pass"
        self._note("broken JSON", verdict, f"{broken} of {calls} calls unreadable, {exact} of {len(HARD_FILES)} exact")

    async def _can_write_text(self) -> None:
        path, text = next(iter(HARD_FILES.items()))
        tools = [schema["function"] for schema in self._schemas]
        instructions = self._prompts.render("text_protocol.md.j2", tools=tools)
        messages = text_protocol.in_words([_user(FILE.format(path=path, text=text))], instructions)
        seen = await self._ask(messages)
        if seen.reply is None:
            return self._note("text protocol", "unknown", seen.error)
        calls = text_protocol.read(seen.reply, 0).calls
        came = [call for call in calls if call.arguments.get("path") == path]
        right = any(_holds(call, text) for call in came)
        found = "the file came back right" if right else f"the file came back {'changed' if came else 'not at all'}"
        return self._note("text protocol", "pass" if right else "fail", found)

    async def _can_see(self) -> None:
        seen = await self._ask([_user(with_pictures(COLOURS, {"picture.png": PICTURE}))])
        if seen.reply is None and seen.cause not in REFUSED:
            return self._note("images", "unknown", seen.error)
        words = seen.reply.text.lower() if seen.reply else ""
        right = 0 <= words.find(LEFT) < words.find(RIGHT)
        self._learn(images=right)
        wrong = f"saw {_short(words)!r}, not {LEFT} and {RIGHT}" if seen.reply else seen.error
        return self._note("images", "pass" if right else "fail", f"saw {LEFT} and {RIGHT}" if right else wrong)

    async def _can_reason(self) -> None:
        seen = await self._ask(READY, effort=EFFORT)
        if seen.reply is None and seen.cause not in REFUSED:
            return self._note("reasoning setting", "unknown", seen.error)
        thought = f"accepted, {seen.reasoning_tokens or 'no'} tokens of reasoning"
        return self._note("reasoning setting", "pass" if seen.reply else "fail", thought if seen.reply else seen.error)

    def _measured(self) -> None:
        cache, cost = self.capabilities.cache, self.capabilities.usage.cost_usd
        self._note("cache fields", "pass" if cache else "fail", "in the usage" if cache else "not in the usage")
        speed = f"{self.capabilities.answer_s} s to an answer, {self.capabilities.tokens_per_s} tokens/s in the longest"
        self._note("speed", "pass", speed)
        price = "unknown, so TASK_MAX_USD cannot hold" if cost is None else f"known: this took ${cost:.4f}"
        self._note("price", "unknown" if cost is None else "pass", price)

    # -- asking ------------------------------------------------------------------------------------------------------

    async def _ask(
        self, question: str | Sequence[Json], tools: Sequence[Json] = (), effort: str | None = None
    ) -> Observation:
        """Asked again once when the fault may pass."""
        messages = [_user(question)] if isinstance(question, str) else question
        seen = await self._observed(messages, tools, effort)
        if seen.cause == "passing" and (wait_s := seen.retry_after_s or 1.0) <= LONGEST_WAIT_S:
            await self._sleep(wait_s)
            seen = await self._observed(messages, tools, effort)
        return seen

    async def _observed(self, messages: Sequence[Json], tools: Sequence[Json], effort: str | None) -> Observation:
        seen = await self._gateway.observe(ModelRequest(messages, tools, timeout_s=ANSWER_S), effort=effort)
        spent = seen.reply.usage if seen.reply else Usage(failed_calls=1)
        self._learn(usage=self.capabilities.usage + spent)
        if seen.reply and seen.seconds and spent.completion_tokens > self._longest_tokens:
            self._longest_tokens = spent.completion_tokens
            self._learn(tokens_per_s=round(spent.completion_tokens / seen.seconds, 1))
        return seen

    def _learn(self, **found: object) -> None:
        self.capabilities = self.capabilities.model_copy(update=found)

    def _note(self, what: str, verdict: Verdict, found: str) -> None:
        self.lines.append(Line(what, verdict, found))


def _user(content: object) -> Json:
    return {"role": "user", "content": content}


def _holds(call: ToolCall, text: str) -> bool:
    return str(call.arguments.get("content", "")).strip() == text


def _short(text: str) -> str:
    return text[:40]
