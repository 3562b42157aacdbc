"""kill -9 again and again: the service is a process of its own, GitHub and the evaluator are here and see everything.

    python -m benchmarks.storm [BATCHES] [SEED] [both|github|local]

A batch is a fresh service with rounds 1 and 2 of many sites at once. It is killed while it starts, right after a step
of a given name was stored, a random moment later, or at any moment, tasks being sent to it meanwhile; at last it may
end. Then the books are compared: what GitHub and the evaluator saw, what the service stored, and what it said. No line
of the product knows of this.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from agent.api.servers import listen, served
from agent.cli.demo.harness import HOST, embedded
from agent.publish.git import MAIN, REPEATED, Repositories
from agent.records import Json
from agent.settings import Settings
from agent.testing.github import FakeGitHub
from agent.testing.github.repositories import Repositories as TheirRepositories
from agent.workspace import sha256

ROOT = Path(__file__).parent.parent
SITES, KILLS = 12, 10  # of a batch; more kills would give tasks up, see MAX_RECOVERIES
LONGEST_LIFE_S = 6.0
START_S = 2.5  # from the birth of a process to its open door, about
MOMENTS = ("start", "after", "after", "in", "in", "any")
STEPS = (
    *("begin", "reserve", "prepare", "model_call", "tool_batch", "review", "finish"),
    *("commit", "push", "enable_pages", "wait_live", "record", "screenshots", "deliver"),
)
TURNS = 2
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Harbour</title></head><body><main><h1>Harbour</h1><p id="total">42</p>{rest}</main></body></html>"""
README = "# Harbour\n\n" + "\n\n".join(
    f"## {name}\n{'A page that shows how many ferries left the harbour last month. ' * 6}"
    for name in ("Summary", "Setup", "Usage", "How the code works", "License: MIT")
)


class Evaluators:
    """Every call back, byte for byte; the answer takes a while, so that kills fall between it and our commit."""

    def __init__(self, answer_s: float) -> None:
        self.bodies: list[bytes] = []
        self._answer_s = answer_s
        self.app = Starlette(routes=[Route("/notify", self._take, methods=["POST"])])

    def of(self, nonce: str) -> list[bytes]:
        return [body for body in self.bodies if json.loads(body)["nonce"] == nonce]

    async def _take(self, request: Request) -> Response:
        self.bodies.append(await request.body())
        await asyncio.sleep(self._answer_s)
        return Response()


@dataclass
class Books:
    """What the service of a batch has stored, read from outside."""

    database: Path

    def rows(self, query: str, *values: object) -> list[tuple[str, ...]]:
        if not self.database.exists():
            return []
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True, timeout=30)) as db:
            with suppress(sqlite3.OperationalError):  # the first process has not made its tables yet
                return db.execute(query, values).fetchall()
            return []

    def times(self, step: str) -> int:
        return len(self.rows("SELECT 1 FROM operation_outputs WHERE function_name = ?", step))

    def at_work(self) -> Counter[str]:
        """The last stored step of every unfinished run."""
        at_work = self.rows(
            "SELECT name, (SELECT function_name FROM operation_outputs WHERE workflow_uuid = w.workflow_uuid "
            "ORDER BY function_id DESC LIMIT 1) FROM workflow_status w WHERE status = 'PENDING'"
        )
        return Counter(f"{name} after {done}" if done else f"{name} at its start" for name, done in at_work)

    def told(self) -> Counter[str]:
        """Task id → delivery attempts whose end is stored."""
        stored = self.rows(
            "SELECT workflow_uuid FROM operation_outputs "
            "WHERE function_name = 'deliver' AND workflow_uuid LIKE 'notify.%'"
        )
        return Counter(workflow.split(".")[1] for (workflow,) in stored)

    def bought(self, task_id: str) -> int:
        """Answers that lie in the store."""
        keys = [sha256(json.dumps([task_id, 1, messages]).encode()) for messages in range(2, 12)]
        marks = ",".join("?" * len(keys))
        return len(self.rows(f"SELECT 1 FROM answers WHERE request IN ({marks})", *keys))  # noqa: S608


@dataclass
class Tally:
    """Figures of all batches."""

    kills: int = 0
    tasks: int = 0
    hit: Counter[str] = field(default_factory=Counter)
    repeated_calls: int = 0  # call backs that came twice
    rescues: int = 0  # empty commits for a build that was stuck: none is, here
    violations: list[str] = field(default_factory=list)


@dataclass
class Batch:
    """One data folder, its service, and the tasks that were sent to it."""

    settings: Settings
    fake: FakeGitHub | None  # None: the local publisher
    evaluators: Evaluators
    evaluation_url: str
    books: Books
    log: Path
    dice: random.Random
    tally: Tally
    ids: dict[str, str] = field(default_factory=dict)  # nonce → task id
    unanswered: Counter[str] = field(default_factory=Counter)  # task id → kills that cut off a delivery
    stored_answers: Counter[str] = field(default_factory=Counter)  # task id → as of the last kill
    said_bytes: int = 0  # of the log, as of the last kill

    async def run(self, sites: int, kills: int, first: int) -> None:
        waiting = [(f"site-{n}", round_) for n in range(sites) for round_ in (1, 2)]
        for number in range(kills):
            moment = self.dice.choice(MOMENTS)
            async with self._process() as process:
                if moment == "start":
                    await asyncio.sleep(START_S * self.dice.random())
                else:
                    async with self._door(process) as http:
                        share = asyncio.create_task(self._send_some(http, waiting, self.dice.randint(3, 8)))
                        await self._moment(moment, STEPS[(first + number) % len(STEPS)])
                        kill(process)
                        await share
            await self._count()
            self.tally.kills += 1
            self.tally.hit += await asyncio.to_thread(self.books.at_work)
        async with self._process() as process, self._door(process) as http:
            await self._send_some(http, waiting, len(waiting))
            await self._ended(http)
        await self._count()
        await self._compare(sites)

    @asynccontextmanager
    async def _process(self) -> AsyncIterator[asyncio.subprocess.Process]:
        """Killed in the end."""
        with self.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "main.py"), cwd=ROOT, env=environment(self.settings), stdout=log, stderr=log
            )
        try:
            yield process
        finally:
            kill(process)
            await process.wait()

    @asynccontextmanager
    async def _door(self, process: asyncio.subprocess.Process) -> AsyncIterator[httpx.AsyncClient]:
        url = f"http://{HOST}:{self.settings.port}"
        async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as http:
            while True:
                with suppress(httpx.TransportError):
                    await http.get("/healthz")
                    break
                if process.returncode is not None:
                    raise RuntimeError(self.log.read_text()[-2_000:])
                await asyncio.sleep(0.02)
            yield http

    async def _send_some(self, http: httpx.AsyncClient, waiting: list[tuple[str, int]], share: int) -> None:
        """What got no answer is sent again next time."""
        with suppress(httpx.TransportError):
            for name, round_ in waiting[:share]:
                await self._send(http, name, round_)
                waiting.remove((name, round_))

    async def _send(self, http: httpx.AsyncClient, name: str, round_: int) -> None:
        nonce = f"{name}-{round_}"
        wanted = ({"selector": "#total"}, {"selector": "#rest"})[:round_]
        task = {
            **{"secret": self.settings.secret.get_secret_value(), "email": "a@example.com", "task": name},
            **{"round": round_, "nonce": nonce, "evaluation_url": self.evaluation_url},
            **{"brief": f"A page for round {round_}.", "checks": wanted},
        }
        answer = await http.post("/handle_task", json=task)
        self.ids[nonce] = answer.raise_for_status().json()["id"]

    async def _moment(self, moment: str, step: str) -> None:
        """Right after another `step` was stored, or while the one after it runs, or any time."""
        until = time.monotonic() + LONGEST_LIFE_S
        if moment == "any":
            await asyncio.sleep(self.dice.uniform(0.1, LONGEST_LIFE_S))
            return
        before = await asyncio.to_thread(self.books.times, step)
        while time.monotonic() < until and await asyncio.to_thread(self.books.times, step) == before:  # noqa: ASYNC110
            await asyncio.sleep(0.003)
        await asyncio.sleep(self.dice.choice((0.002, 0.02, 0.2, 0.6)) * self.dice.random() if moment == "in" else 0)

    async def _ended(self, http: httpx.AsyncClient) -> None:
        until = time.monotonic() + 180
        for task_id in self.ids.values():
            while True:
                record = (await http.get(f"/tasks/{task_id}")).json()
                if record["state"] in ("failed", "cancelled") or record["notification"]["state"] == "delivered":
                    break
                if time.monotonic() > until:
                    break
                await asyncio.sleep(0.1)
        await asyncio.sleep(0.5)  # what should not come would come now

    async def _count(self) -> None:
        """After a death: what was hit, and what the dead process had bought twice."""
        await asyncio.sleep(0.05)  # what lay in its sockets arrives
        for task_id, replies in self._said().items():
            if replies + self.stored_answers[task_id] > TURNS:
                self._blame(f"{task_id}: {replies} answers were bought, {self.stored_answers[task_id]} were stored")
        told = await asyncio.to_thread(self.books.told)
        for nonce, task_id in self.ids.items():
            self.stored_answers[task_id] = await asyncio.to_thread(self.books.bought, task_id)
            if len(self.evaluators.of(nonce)) > told[task_id] + self.unanswered[task_id]:
                self.unanswered[task_id] += 1

    def _said(self) -> Counter[str]:
        """Task id → answers of the model, according to the log since the last death."""
        text = self.log.read_bytes()
        lines = text[self.said_bytes :].decode().splitlines()
        self.said_bytes = len(text)
        events = [json.loads(line) for line in lines if line.startswith('{"') and '"model.reply"' in line]
        return Counter(event["task_id"] for event in events)

    # -- the books ---------------------------------------------------------------------------------------------------

    async def _compare(self, sites: int) -> None:
        self.tally.tasks += len(self.ids)
        records = {}
        async with self._process() as process, self._door(process) as http:
            for nonce, task_id in self.ids.items():
                records[nonce] = (await http.get(f"/tasks/{task_id}")).json()
        for nonce, record in records.items():
            self._compare_task(nonce, record)
        repositories = self.fake.repositories if self.fake else Repositories(self.settings.data_dir / "repositories")
        there = [path.name.removesuffix(".git") for path in repositories.root.glob("*.git")]
        if len(there) != sites:
            self._blame(f"{len(there)} repositories for {sites} sites: {there}")
        for n in range(sites):
            shas = [str((records[f"site-{n}-{r}"]["publication"] or {}).get("commit_sha")) for r in (2, 1)]
            self._compare_history(repositories, [name for name in there if f"site-{n}-" in name], shas)
        if self.fake:
            for repo in self.fake.repos.values():
                if not repo.pages or self.fake.served_commit(repo) != repositories.head(self.fake.git(repo)):
                    self._blame(f"{repo.name}: the pages do not show the head")

    def _compare_task(self, nonce: str, record: Json) -> None:
        calls = self.evaluators.of(nonce)
        publication = record["publication"] or {}
        if record["state"] != "done" or not publication.get("live") or record["stopped_by"] != "passed":
            self._blame(f"{nonce}: {record['state']}, {record['stopped_by']}, {record['error']}, {publication}")
        if record["usage"]["model_calls"] != TURNS:
            self._blame(f"{nonce}: {record['usage']['model_calls']} model calls on record")
        if len(set(calls)) != 1 or json.loads(calls[0])["commit_sha"] != publication.get("commit_sha"):
            self._blame(f"{nonce}: called back with {calls}")
        if record["notification"]["state"] != "delivered":
            self._blame(f"{nonce}: the notification is {record['notification']['state']}")
        self.tally.repeated_calls += max(0, len(calls) - 1)
        if len(calls) > 1 + self.unanswered[record["id"]]:
            self._blame(f"{nonce}: {len(calls)} calls back, {self.unanswered[record['id']]} of them cut off")

    def _compare_history(
        self, repositories: Repositories | TheirRepositories, names: list[str], shas: list[str]
    ) -> None:
        for repo in names:
            with repositories.open(repo) as git:
                found = [entry.commit for entry in git.get_walker([git.refs[MAIN]])]
            self.tally.rescues += sum(commit.message.decode().strip() == REPEATED for commit in found)
            commits = [commit.id.decode() for commit in found if commit.message.decode().strip() != REPEATED]
            if commits != shas:
                self._blame(f"{repo}: the commits are {commits}, called back were {shas}")

    def _blame(self, sentence: str) -> None:
        self.tally.violations.append(sentence)


def kill(process: asyncio.subprocess.Process) -> None:
    """asyncio's own way asks for the end of the process as well, and takes it from whoever waits for it."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


def environment(settings: Settings) -> dict[str, str]:
    plain = ("data_dir", "host", "port", "sites_port", "sites_url", "llm_model", "publisher", "github_api_url")
    values = {name.upper(): str(getattr(settings, name)) for name in (*plain, "worker_tasks", "browser")}
    secret = {"SECRET": settings.secret, "GITHUB_TOKEN": settings.github_token}
    values |= {name: value.get_secret_value() for name, value in secret.items() if value}
    return {"PATH": os.environ["PATH"], "HOME": str(settings.data_dir), "ALLOW_PRIVATE_CALLBACKS": "1", **values}  # noqa: TID251


def recording(folder: Path, latency_s: float) -> str:
    """The model: something is missing in its first answer, for either round, nothing in its second."""
    conversations = []
    for round_, rests in ((2, ("", '<p id="rest">7</p>')), (1, (None, ""))):
        replies = []
        for rest in rests:
            page = PAGE.format(rest=rest) if rest is not None else PAGE.format(rest="").replace("total", "sum")
            files = {"index.html": page, "README.md": f"{README}\nThis is round {round_}.\n"}
            calls = [{"name": "write_file", "arguments": {"path": p, "content": c}} for p, c in files.items()]
            replies.append({"calls": calls})
        conversations.append({"when": f"A page for round {round_}.", "replies": replies})
    (folder / "recording.json").write_text(json.dumps({"latency_s": latency_s, "conversations": conversations}))
    return f"replay/{folder / 'recording.json'}"


@asynccontextmanager
async def batch(folder: Path, *, github: bool, dice: random.Random, tally: Tally) -> AsyncIterator[Batch]:
    with closing(listen(HOST, 0, "PORT")) as host, closing(listen(HOST, 0, "PORT")) as evaluator:
        with closing(listen(HOST, 0, "PORT")) as free:
            port = free.getsockname()[1]
        fake = FakeGitHub(folder / "github", token="storm-token", base_url=f"http://{HOST}:{host.getsockname()[1]}")  # noqa: S106 - of the stand-in
        fake.switches.mutation_s, fake.switches.read_s, fake.switches.build_s = 0.3, 0.1, 2.0
        chosen = {"publisher": "github", "github_token": fake.token, "github_api_url": fake.api_url} if github else {}
        model = {"llm_model": recording(folder, 0.4), "browser": "off", "worker_tasks": 2 * SITES}
        settings = embedded(folder / "data", port=port, changes=model | chosen)
        evaluators = Evaluators(answer_s=0.05)
        async with served(fake.app, host), served(evaluators.app, evaluator):
            url = f"http://{HOST}:{evaluator.getsockname()[1]}/notify"
            books, known = Books(folder / "data" / "agent.sqlite"), fake if github else None
            yield Batch(settings, known, evaluators, url, books, folder / "log", dice, tally)


def report(tally: Tally) -> Iterator[str]:
    hit = sum(tally.hit.values())
    yield f"{tally.kills} kills, {tally.tasks} tasks, {hit} runs hit, {tally.repeated_calls} call backs repeated"
    yield f"{tally.rescues} empty commits"
    yield from (f"   {times:5}  {where}" for where, times in tally.hit.most_common())
    yield from (f"VIOLATION  {sentence}" for sentence in tally.violations)
    yield f"{len(tally.violations)} violations"


async def main(batches: int, seed: int, only: str) -> int:
    dice = random.Random(seed)  # noqa: S311 - repeatable, not secret
    kinds = [kind for kind in ("github", "local") if only in ("both", kind)]
    tallies = {kind: Tally() for kind in kinds}
    for number in range(batches):
        kind = kinds[number % len(kinds)]
        with tempfile.TemporaryDirectory(prefix="storm-", ignore_cleanup_errors=True) as folder:
            async with batch(Path(folder), github=kind == "github", dice=dice, tally=tallies[kind]) as running:
                await running.run(SITES, KILLS, first=number // len(kinds) * KILLS)
        print(f"batch {number + 1}, {kind}:", *list(report(tallies[kind]))[:1], flush=True)
    for kind, tally in tallies.items():
        print(kind, *report(tally), sep="\n")
    return min(1, sum(len(tally.violations) for tally in tallies.values()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("batches", type=int, nargs="?", default=2)
    parser.add_argument("seed", type=int, nargs="?", default=1)
    parser.add_argument("only", choices=("both", "github", "local"), nargs="?", default="both")
    given = parser.parse_args()
    sys.exit(asyncio.run(main(given.batches, given.seed, given.only)))
