"""Create or replace a whole text file of the site."""

from agent.records import Record
from agent.tools.registry import ToolContext, ToolOutcome


class Args(Record):
    path: str
    content: str


async def run(context: ToolContext, args: Args) -> ToolOutcome:
    data = args.content.encode()
    workspace = context.workspace.write(args.path, data, workflows=context.workflows)
    return ToolOutcome(f"wrote {args.path}, {len(data)} bytes", workspace)
