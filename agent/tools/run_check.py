"""Check the site now; `ids` asks for these verdicts with evidence. After every change checks run by themselves."""

from pydantic import ConfigDict

from agent.errors import ToolError
from agent.quoting import fence
from agent.records import Record
from agent.tools.registry import SHOWN_CHARS, Desk, Outcome


class Args(Record):
    model_config = ConfigDict(coerce_numbers_to_str=True)

    ids: tuple[str, ...] = ()


async def run(desk: Desk, args: Args) -> Outcome:
    review = await desk.review(desk.workspace)
    if not args.ids:
        return Outcome(desk.report(review))
    findings = {finding.id: finding for finding in review.findings}
    if unknown := [name for name in args.ids if name not in findings]:
        raise ToolError(f"there is no check {', '.join(unknown)[:80]}; there are: {', '.join(findings)}")
    chosen = (findings[name] for name in dict.fromkeys(args.ids))
    lines = (f"{f.id} {f.verdict}: {f.text[:200]} | {f.evidence[:400]}" for f in chosen)
    return Outcome(fence("verdicts", "\n".join(lines), max_chars=SHOWN_CHARS))
