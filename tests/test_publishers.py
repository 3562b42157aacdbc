"""What every publisher promises, whatever its host: the same tests run over all of them.

To add one: a context manager that starts a stand-in for its host, and a line in HOSTS.
"""

import asyncio
import json
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from agent.publish.git import Repositories
from agent.publish.local import LocalPublisher
from agent.publish.publisher import Publisher, PublishResult
from agent.publish.sites import sites_app
from agent.records import Publication
from agent.testing.github import FakeGitHub
from tests.harness import free_port, listening
from tests.loopback_github import TOKEN
from tests.test_github import FILES, World, attempt, deliver, request_of

Act = Callable[[Publisher, Repositories], Awaitable[Any]]
WORKFLOW = b"on: push\njobs: {t: {runs-on: ubuntu-latest, steps: [{run: date}]}}\n"


@dataclass(frozen=True)
class Host:
    """Runs an action with a publisher; each call is a new process on the same machine."""

    run: Callable[[Act], Any]


@contextmanager
def github(folder: Path) -> Iterator[Host]:
    port = free_port()
    fake = FakeGitHub(folder / "github", token=TOKEN, base_url=f"http://127.0.0.1:{port}")
    with listening(fake.app, port):
        yield Host(World(fake, folder, []).run)


@contextmanager
def local(folder: Path) -> Iterator[Host]:
    repositories, port = Repositories(folder / "machine"), free_port()
    url = f"http://127.0.0.1:{port}"

    async def inside(act: Act) -> Any:
        async with httpx.AsyncClient(trust_env=False) as http:
            return await act(LocalPublisher(repositories, http, sites_url=url, probe_url=url), repositories)

    with listening(sites_app(repositories), port):
        yield Host(lambda act: asyncio.run(inside(act)))


HOSTS: dict[str, Callable[[Path], AbstractContextManager[Host]]] = {"github": github, "local": local}


@pytest.fixture(params=HOSTS)
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Host]:
    with HOSTS[request.param](tmp_path) as running:
        yield running


def served(publication: Publication, path: str) -> bytes | None:
    answer = httpx.get(f"{publication.pages_url}{path}", trust_env=False)
    return answer.content if answer.status_code == 200 else None


def second(publisher: Publisher, repositories: Repositories, first: Publication) -> Awaitable[Publication]:
    return deliver(publisher, repositories, {**FILES, "index.html": b"two", "a.txt": b"2"}, request_of(2, first))


def test_it_is_ready_before_any_task(host: Host) -> None:
    assert host.run(lambda p, _: p.ready()) is None


def test_what_is_called_live_is_served_and_can_be_cloned(host: Host, tmp_path: Path) -> None:
    made = host.run(deliver)
    assert made.live
    assert {path: served(made, path) for path in FILES if path != ".nojekyll"} == {
        path: data for path, data in FILES.items() if path != ".nojekyll"
    }
    clone = ["git", "clone", "--quiet", made.repo_url, str(tmp_path / "clone")]
    subprocess.run(clone, check=True, capture_output=True)
    head = subprocess.run(["git", "-C", str(tmp_path / "clone"), "rev-parse", "main"], check=True, capture_output=True)
    assert head.stdout.decode().strip() == made.commit_sha


def test_a_later_round_stands_on_the_one_before_at_the_same_addresses(host: Host) -> None:
    first = host.run(deliver)
    later = host.run(lambda p, r: second(p, r, first))
    assert later.live
    assert (later.repo_url, later.pages_url) == (first.repo_url, first.pages_url)
    assert (served(later, "index.html"), served(later, "a.txt")) == (b"two", b"2")
    history = host.run(lambda _, r: asyncio.to_thread(r.history, "ferry-1a2b3c"))
    assert history == [later.commit_sha, first.commit_sha]


def test_a_file_that_a_round_takes_away_is_gone(host: Host) -> None:
    first = host.run(deliver)
    fewer = {path: data for path, data in FILES.items() if path != "logo.png"}
    later = host.run(lambda p, r: deliver(p, r, fewer | {"index.html": b"two"}, request_of(2, first)))
    assert (later.live, served(later, "logo.png")) == (True, None)


def test_a_file_that_no_commit_can_hold_is_left_out_and_said(host: Host) -> None:
    odd = {"docs": b"a file", "docs/a.html": b"a page", ". .": b"", "a/.. /x": b"", ".git ./x": b""}
    result: PublishResult = host.run(lambda p, r: attempt(p, r, FILES | odd))
    assert result.publication
    assert result.publication.live
    assert sorted(sentence.split("'")[1] for sentence in result.left_out) == sorted(set(odd) - {"docs/a.html"})
    assert served(result.publication, "docs/a.html") == b"a page"


def test_an_old_commit_is_not_taken_for_live(host: Host) -> None:
    first = host.run(deliver)
    later = host.run(lambda p, r: second(p, r, first))

    async def looks(publisher: Publisher, _: Repositories) -> list[bool]:
        site = await publisher.reserve(request_of(2, first))
        return [await publisher.is_live(site, made.commit_sha) for made in (first, later)]

    assert host.run(looks) == [False, True]


def test_every_action_may_be_done_twice(host: Host) -> None:
    async def twice(_name: str, act: Callable[[], Awaitable[Any]]) -> Any:
        result = await act()
        assert await act() == result
        return json.loads(json.dumps(result))

    made = host.run(lambda p, r: deliver(p, r, step=twice))
    assert made.live
    assert host.run(lambda _, r: asyncio.to_thread(r.history, "ferry-1a2b3c")) == [made.commit_sha]


def test_a_reserved_site_is_the_same_after_a_crash(host: Host) -> None:
    sites = [host.run(lambda p, _: p.reserve(request_of())) for _ in range(2)]
    assert sites[0] == sites[1]


def test_a_workflow_in_the_site_is_no_trouble(host: Host) -> None:
    files = FILES | {".github/workflows/ci.yml": WORKFLOW}
    outcome: PublishResult = host.run(lambda p, r: attempt(p, r, files))
    assert outcome.publication
    assert (outcome.publication.live, outcome.objection) == (True, "")
