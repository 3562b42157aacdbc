"""The reader: a model that says what a task means, settles doubts about its own tests, and judges what no code can.

It gets text of strangers, fenced, and no tools. A bad answer costs a verdict; it never costs a site.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from agent.errors import AgentError, Gone, LimitReached, ModelError, NoBrowser, PageFault
from agent.files.images import picture_uri
from agent.files.previews import brief_previews
from agent.llm.messages import with_pictures
from agent.prompts import Prompts
from agent.records import NOTHING, Json, Record, Review, Task, TestResult, Usage
from agent.review import doubts, judge
from agent.review import reading as readings
from agent.review.acceptance import AcceptanceTest, Reading, Requirement
from agent.review.review import Reviewer, Subject, weighed
from agent.worker import questions
from agent.worker.model_calls import ModelCall, StoredModel
from agent.workspace import Workspace

MAX_SHARE = 0.5  # of the time that is left: the site needs the rest
SHORT_ANSWER_S = 60.0  # doubts and verdicts


class Read(Record):
    """What a reading came to."""

    reading: Reading = Reading()
    usage: Usage = NOTHING


class Settled(Record):
    """A review after its doubts were put to the reader, or were left because nobody could be asked."""

    review: Review
    tests: dict[str, AcceptanceTest] = Field(default_factory=dict)  # those that changed, by id
    put_back: tuple[str, ...] = ()  # attachments that get the bytes they were sent with
    wanted: tuple[str, ...] = ()  # attachments that the task wants changed, as the reader says
    left_changed: tuple[str, ...] = ()  # attachments that were changed, and nobody said whether that is wanted
    asked: str = ""  # what the reader was called for
    usage: Usage = NOTHING


@dataclass(frozen=True)
class Reader:
    """Asks for one run of one task."""

    model: StoredModel
    fallback: StoredModel  # asked for a shorter reading when `model` gives none
    reviewer: Reviewer
    prompts_dir: Path
    attempt: int
    until: float  # Unix time, seconds: what is asked must be answered by then
    sees: bool = False  # the model takes pictures

    async def read(
        self, rounds: Sequence[Task], attachments: Mapping[str, bytes], earlier: Sequence[Requirement]
    ) -> Read:
        """`rounds`: this one, then earlier ones; `earlier`: what those required. A failure is told in the result."""
        task = rounds[0]
        wanted = questions.unread(task, earlier)
        shown_files = await asyncio.to_thread(brief_previews, attachments)
        prompts = Prompts(self.prompts_dir)
        usage, why_not = NOTHING, ""
        for name, model, asked in (
            ("reading", self.model, questions.reading(prompts, rounds, shown_files, earlier)),
            ("reading again", self.fallback, questions.reading(prompts, rounds, {}, earlier, checks_only=True)),
        ):
            try:
                text, spent = await self._ask(model, task, name, asked, self._share())
                usage += spent
                new = readings.read(text, task, wanted, [one.brief for one in rounds], attachments)
                tried = await self._tried(new, Subject(task, Workspace(), attachments))
                return Read(reading=readings.merged(tried, earlier), usage=usage)
            except (ModelError, LimitReached) as error:
                usage, why_not = usage + _spent(error), _reason(error)
                if isinstance(error, LimitReached):
                    break
            except ValueError as error:
                why_not = str(error)
            if not wanted:
                break  # a shorter reading is of the checks alone
        nobody = Reading(requirements=tuple(earlier), why_not=f"nobody read the task: {why_not}")
        return Read(reading=nobody, usage=usage)

    async def settle(
        self,
        rounds: Sequence[Task],
        subject: Subject,
        review: Review,
        tests: Sequence[AcceptanceTest],
        name: str,
        *,
        objection: str = "",
    ) -> Settled:
        """One call, `name` of its run, for these tests and for every attachment that was changed."""
        read = subject.reading
        changes = doubts.changed(subject.workspace, subject.attachments, read)
        asked = [*(test.id for test in tests), *(doubts.CHANGE + name for name in changes)]
        messages = questions.settling(
            Prompts(self.prompts_dir),
            rounds,
            tests,
            read,
            review,
            subject.workspace,
            subject.attachments,
            changes,
            objection,
        )
        try:
            text, usage = await self._ask(self.model, subject.task, name, messages, SHORT_ANSWER_S)
            answers = doubts.read(text, asked)
        except (ModelError, LimitReached) as error:
            answers, usage = {}, _spent(error)
        except ValueError:
            answers = {}
        if objection and not answers:
            return Settled(review=review, usage=usage)
        settled = {test.id: doubts.settled(test, answers.get(test.id)) for test in tests}
        settled, review = await self._fixed_run(settled, subject, review)
        said = {name: answers[key].wrong for name in changes if (key := doubts.CHANGE + name) in answers}
        put_back, wanted = ([n for n, wrong in said.items() if wrong == kind] for kind in ("site", "test"))
        return Settled(
            review=weighed(review, subject.task, read.with_tests(settled)),
            tests=settled,
            put_back=tuple(put_back),
            wanted=tuple(wanted),
            left_changed=tuple(name for name in changes if name not in (*put_back, *wanted)),
            usage=usage,
        )

    async def judge(self, rounds: Sequence[Task], subject: Subject, review: Review) -> tuple[Review, Usage]:
        """With a verdict on each question that waits, on the page as it runs and the files that are named."""
        waiting, usage = judge.questions(subject.reading, review), NOTHING
        try:
            seen = await self.reviewer.words_seen(subject)
            exhibits = judge.exhibits(subject.workspace, waiting, seen, subject.attachments)
            pictures = (await self.reviewer.looks(subject)).pictures if self.sees else {}
            messages = questions.judging(Prompts(self.prompts_dir), rounds, waiting, exhibits, pictures=bool(pictures))
            messages = _with_pictures(messages, pictures)
            name = f"judge {subject.workspace.digest}"
            text, usage = await self._ask(self.model, subject.task, name, messages, SHORT_ANSWER_S, stage="judge")
            results = judge.read(text, waiting, exhibits, pictures=bool(pictures))
        except (NoBrowser, Gone, PageFault, ModelError, LimitReached) as error:
            results, usage = judge.undecided(waiting, _reason(error)), usage + _spent(error)
        except ValueError as error:
            results = judge.undecided(waiting, str(error))
        judged = review.model_copy(update={"results": (*review.results, *results)})
        return weighed(judged, subject.task, subject.reading), usage

    async def _tried(self, new: Reading, subject: Subject) -> Reading:
        """Without the tests that prove nothing."""
        refused = await self.reviewer.proves_nothing(new.tests(), subject)
        gone = {
            test.id: test.model_copy(update={"standing": "dropped", "why": refused[test.id]})
            for test in new.tests()
            if test.id in refused
        }
        return new.with_tests(gone)

    async def _fixed_run(
        self, settled: dict[str, AcceptanceTest], subject: Subject, review: Review
    ) -> tuple[dict[str, AcceptanceTest], Review]:
        """A test that was worded anew is run at once: one that proves nothing is withdrawn, one that fails a guess."""
        anew = [test for test in settled.values() if test.fixed and test.in_use]
        if not anew:
            return settled, review
        refused = await self.reviewer.proves_nothing(anew, subject)
        outcomes = await self.reviewer.run(subject, [test for test in anew if test.id not in refused])
        results = {result.id: result for result in review.results}
        for test in anew:
            if test.id in refused:
                settled[test.id] = test.model_copy(update={"standing": "withdrawn", "why": refused[test.id]})
            elif outcome := outcomes.get(test.id):
                results[test.id] = TestResult(id=test.id, verdict=outcome.verdict, evidence=outcome.evidence)
                if outcome.verdict == "fail":
                    settled[test.id] = doubts.given_up(test)
        return settled, review.model_copy(update={"results": tuple(results.values())})

    async def _ask(
        self, model: StoredModel, task: Task, name: str, messages: Sequence[Json], within_s: float, stage: str = ""
    ) -> tuple[str, Usage]:
        """The words of the answer and what they took. Raises ModelError, LimitReached."""
        until = min(self.until, model.clock() + min(within_s, self._share()))
        stage = stage or ("reading" if name.startswith("reading") else "doubts")
        reply = await model.complete(ModelCall(task.id, self.attempt, name, stage, messages, until))  # type: ignore[arg-type]
        return reply.text, reply.usage

    def _share(self) -> float:
        return max(0.0, (self.until - self.model.clock()) * MAX_SHARE)


def _with_pictures(messages: Sequence[Json], pictures: Mapping[str, bytes]) -> list[Json]:
    uris = {name: uri for name, data in pictures.items() if (uri := picture_uri(data))}
    *before, last = messages
    return [*before, {**last, "content": with_pictures(last["content"], uris)}] if uris else list(messages)


def _reason(error: AgentError) -> str:
    return f"the limit of {error} is reached" if isinstance(error, LimitReached) else str(error)


def _spent(error: AgentError) -> Usage:
    """What requests without a usable answer took."""
    return Usage.model_validate(error.spent) if isinstance(error, ModelError | LimitReached) else NOTHING
