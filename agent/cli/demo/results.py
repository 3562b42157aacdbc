"""The result of a round: each check as the service recorded it and as the evaluator found it."""

from collections.abc import Sequence
from dataclasses import dataclass

from agent.api.schema import TaskStatus
from agent.cli.demo import grading
from agent.cli.demo.evaluator import Site
from agent.cli.demo.grading import Grade
from agent.cli.demo.rounds import ROUNDS, Round
from agent.records import Json, Verdict

WORDS: dict[Verdict, str] = {"pass": "passed", "fail": "failed", "unknown": "unknown"}


@dataclass(frozen=True)
class Row:
    """One check, judged twice: by the service, None where it gave no verdict, and by the evaluator."""

    text: str
    service: Verdict | None
    grade: Grade
    remark: str = ""  # the service's evidence, where it does not say pass

    @property
    def verdict(self) -> Verdict:
        """Passed only when both say so; the evaluator decides what the service could not, as without a browser."""
        return "pass" if self.grade.held and self.service != "fail" else "fail"


@dataclass(frozen=True)
class Result:
    """The result of one round."""

    number: int
    call: Json  # the call back; empty when none came
    rows: tuple[Row, ...]
    model_calls: int
    seconds: float  # from the POST to the call back
    pictures: tuple[str, ...] = ()  # addresses of the screenshots

    @property
    def held(self) -> bool:
        return bool(self.call) and all(row.verdict == "pass" for row in self.rows)

    def as_json(self) -> Json:
        verdicts = [row.verdict for row in self.rows if row.service is not None]
        return {
            "round": self.number,
            **{key: self.call.get(key) for key in ("repo_url", "commit_sha", "pages_url")},
            "checks": {word: verdicts.count(verdict) for verdict, word in WORDS.items()},
            "model_calls": self.model_calls,
            "seconds": round(self.seconds, 1),
        }


def compare(
    round_: Round, task: Json, status: TaskStatus, call: Json, found: Site | str, earlier: Sequence[Result]
) -> tuple[Row, ...]:
    """Every check of the round; `found` is the site, or why there is none."""
    return (*asked(round_, status, found), *broken_rules(status), *observed(task, call, found, earlier))


def asked(round_: Round, status: TaskStatus, found: Site | str) -> list[Row]:
    """The checks of this round, then those of earlier rounds, which must still hold."""
    lines = {check.id: check for check in status.checks}
    rows = []
    for origin in (round_, *(r for r in ROUNDS if r.number < round_.number)):
        for number, ask in enumerate(origin.asks, start=1):
            identity = str(number) if origin is round_ else f"r{origin.number}.{number}"
            line = lines.get(identity)
            verdict: Verdict = line.verdict if line else "unknown"
            remark = "" if verdict == "pass" else line.evidence if line else "not in the record"
            grade = Grade(False, "not seen") if isinstance(found, str) else ask.grade(found)
            text = ask.text if origin is round_ else f"again: {ask.text}"
            rows.append(Row(text, verdict, grade, remark))
    return rows


def broken_rules(status: TaskStatus) -> list[Row]:
    """Rules that the site breaks according to the service; the evaluator did not ask for them."""
    broken = [line for line in status.checks if line.id.startswith("rule:") and line.verdict == "fail"]
    return [Row(line.text, "fail", Grade(True, "not asked for"), line.evidence) for line in broken]


def observed(task: Json, call: Json, found: Site | str, earlier: Sequence[Result]) -> list[Row]:
    """What every evaluator relies on without asking."""
    if isinstance(found, str):
        return [Row("a site is published and called back", None, Grade(False, found))]
    facts = {
        "the call back has its seven fields": grading.answers_the_task(call, task),
        "the pages serve the commit": grading.pages_serve_the_commit(found),
        "one commit a round, in one repository": grading.continues(call, found, [result.call for result in earlier]),
    }
    return [Row(text, None, grade) for text, grade in facts.items()]


def passed(results: Sequence[Result]) -> bool:
    return len(results) == len(ROUNDS) and all(result.held for result in results)
