"""Check the site now; `ids` asks for these verdicts with evidence. After every change checks run by themselves."""

from pydantic import ConfigDict

from agent.errors import ToolError
from agent.quoting import fence
from agent.records import Record
from agent.tools.registry import SHOWN_CHARS, ToolContext, ToolOutcome


class Args(Record):
    model_config = ConfigDict(coerce_numbers_to_str=True)

    ids: tuple[str, ...] = ()


async def run(context: ToolContext, args: Args) -> ToolOutcome:
    review = await context.review(context.workspace)
    if not args.ids:
        return ToolOutcome(context.report(review))
    findings = {finding.id: finding for finding in review.findings}
    if unknown := [name for name in args.ids if name not in findings]:
        raise ToolError(f"there is no check {', '.join(unknown)[:80]}; there are: {', '.join(findings)}")
    chosen = (findings[name] for name in dict.fromkeys(args.ids))
    lines = (f"{f.id} {f.verdict}: {f.text[:200]} | {f.evidence[:400]}" for f in chosen)
    return ToolOutcome(fence("verdicts", "\n".join(lines), max_chars=SHOWN_CHARS))
