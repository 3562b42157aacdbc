"""Create or replace a whole text file of the site."""

from agent.records import Record
from agent.tools.registry import Desk, Outcome


class Args(Record):
    path: str
    content: str


async def run(desk: Desk, args: Args) -> Outcome:
    data = args.content.encode()
    workspace = desk.workspace.write(args.path, data, workflows=desk.workflows)
    return Outcome(f"wrote {args.path}, {len(data)} bytes", workspace)
