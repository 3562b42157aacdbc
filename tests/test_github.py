"""The GitHub publisher against a GitHub on loopback: real HTTP, real git, every call checked by GitHub's own schema."""

import asyncio
import inspect
import itertools
import json
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from dulwich.server import ReceivePackHandler
from starlette.responses import JSONResponse, Response

from agent import net
from agent.errors import Objection, PublishError
from agent.publish.git import Repositories
from agent.publish.github.api import UNSPACED_MUTATIONS, Answer, GitHubApi, limit_s, refusal, sentence
from agent.publish.github.builds import fix_of
from agent.publish.github.publisher import Found, GitHubPublisher
from agent.publish.publisher import FIX_S, Commit, Publisher, PublishResult, RepositoryRequest, publish
from agent.records import Publication
from agent.testing.github import FakeGitHub
from tests.loopback_github import TOKEN, github, pages_workflow

FILES = {
    "index.html": b"<title>One</title>",
    "LICENSE": b"MIT License\n",
    ".nojekyll": b"",
    "logo.png": b"\x89PNG\0\xff",
}
DATA = Path(__file__).parent / "data"
RECORDED = Path(__file__).parents[2] / "shared" / "recorded"  # beside a checkout of ours: the real thing, too
DESCRIPTIONS = [DATA / "github_api.yaml", *RECORDED.glob("github-openapi-slice.json")]
AT = 1_800_000_000.0
DATE = "Thu, 01 Jan 1970 00:16:10 GMT"  # 970 s


@dataclass
class World:
    """A machine with its repositories, and GitHub; waits of the client take no time but are written down."""

    github: FakeGitHub
    root: Path
    slept: list[float]
    owner: str | None = None
    token: str = TOKEN
    timeout_s: float = 20.0
    ahead_s: float = 0.0

    def machine(self, name: str = "machine") -> Repositories:
        return Repositories(self.root / name)

    def run(
        self,
        act: Callable[[GitHubPublisher, Repositories], Awaitable[Any]],
        name: str = "machine",
    ) -> Any:
        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)

        def clock() -> float:
            self.ahead_s += 11.0  # a long time between two looks
            return AT + self.ahead_s

        async def inside() -> Any:
            async with net.client(allow_private=True, timeout_s=self.timeout_s) as http:
                api = GitHubApi(http, self.github.api_url, self.token, sleep=sleep, clock=clock)
                repositories = self.machine(name)
                return await act(GitHubPublisher(api, repositories, owner=self.owner), repositories)

        return asyncio.run(inside())

    def requests(self) -> int:
        """Those of a task: who the token is, is asked once a process, and polls come as often as there is time."""
        polls = re.compile(r"GET (/user|.*/(actions/.*|pages/builds/latest))")
        return sum(not polls.fullmatch(call) for call in self.calls("rest")) + len(self.calls("git"))

    def calls(self, kind: str) -> list[str]:
        return [f"{call.method} {call.path}" for call in self.github.seen if call.kind == kind]


@pytest.fixture
def world(tmp_path: Path, shared_github: FakeGitHub) -> World:
    shared_github.__init__(  # type: ignore[misc]
        tmp_path / "github", token=TOKEN, orgs=("harbour",), base_url=shared_github.base_url
    )
    return World(shared_github, tmp_path, [])


@pytest.fixture(scope="module")
def shared_github(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeGitHub]:
    with github(tmp_path_factory.mktemp("github")) as fake:
        yield fake


def request_of(round_: int = 1, known: Publication | None = None, mark: str = "0123456789abcdef") -> RepositoryRequest:
    return RepositoryRequest(
        repo="ferry-1a2b3c", description="A page\nabout " + "ferries " * 60, mark=mark, round=round_, known=known
    )


async def no_time(_seconds: float) -> None:
    await asyncio.sleep(0)


async def plain_step(_name: str, act: Callable[[], Awaitable[Any]]) -> Any:
    return json.loads(json.dumps(await act()))


async def deliver(
    publisher: Publisher,
    repositories: Repositories,
    files: dict[str, bytes] | None = None,
    wanted: RepositoryRequest | None = None,
    step: Any = plain_step,
    live_until: float = 100.0,
) -> Publication:
    outcome = await attempt(publisher, repositories, files, wanted, step, live_until)
    assert outcome.publication, outcome.objection
    return outcome.publication


async def attempt(
    publisher: Publisher,
    repositories: Repositories,
    files: dict[str, bytes] | None = None,
    wanted: RepositoryRequest | None = None,
    step: Any = plain_step,
    live_until: float = 40.0,
    seconds: int = 1,
) -> PublishResult:
    """`seconds` pass between two looks at the clock."""
    wanted = wanted or request_of()
    site = await publisher.reserve(wanted)
    base = await asyncio.to_thread(repositories.head, site.repo)
    ticks = itertools.count(0, seconds)
    return await publish(
        site,
        files or FILES,
        Commit(message=f"round {wanted.round}", parent=base, at=AT + wanted.round),
        publisher=publisher,
        repositories=repositories,
        step=step,
        live_until=live_until * seconds,
        clock=lambda: float(next(ticks)),
        sleep=no_time,
    )


def widened(node: Any) -> Any:
    """OpenAPI's `nullable` in the words of JSON schema."""
    if isinstance(node, list):
        return [widened(item) for item in node]
    if not isinstance(node, dict):
        return node
    plain = {key: widened(value) for key, value in node.items() if key != "nullable"}
    return {"anyOf": [plain, {"type": "null"}]} if node.get("nullable") is True else plain


def faults_of(github: FakeGitHub, description: Path) -> tuple[list[str], int]:
    """What in the calls and answers is not as a description of GitHub has it, and how many were compared."""
    jsonschema_rs = pytest.importorskip("jsonschema_rs")
    api = widened(yaml.safe_load(description.read_text()))
    operations = {
        (method.upper(), re.sub(r"\{\w+\}", "[^/]+", path)): operation
        for path, methods in api["paths"].items()
        for method, operation in methods.items()
    }
    faults, compared = [], 0
    for call in (call for call in github.seen if call.kind == "rest"):
        operation: Any = next(
            (o for (m, p), o in operations.items() if m == call.method and re.fullmatch(p, call.path)), {}
        )
        answer = operation.get("responses", {}).get(str(call.status), {})
        answer = api["components"]["responses"].get(answer.get("$ref", "").rpartition("/")[2], answer)
        for value, half in ((call.answer, answer), (call.body or None, operation.get("requestBody", {}))):
            schema = half.get("content", {}).get("application/json", {}).get("schema")
            if schema and value is not None:
                check = jsonschema_rs.Draft4Validator({**schema, "components": api["components"]})
                faults += [f"{call.method} {call.path}: {fault.message}" for fault in check.iter_errors(value)]
                compared += 1
    return faults, compared


# -- the way of a site ---------------------------------------------------------------------------------------------


def test_two_rounds_are_two_commits_with_few_requests_that_keep_to_the_schema(world: World) -> None:
    first = world.run(deliver)
    assert world.requests() <= 5
    place = "/repos/octo/ferry-1a2b3c"
    assert world.calls("rest") == ["GET /user", "POST /user/repos", f"PUT {place}/topics", f"POST {place}/pages"]
    assert len(world.calls("git")) == 2
    assert (first.live, first.repo_url) == (True, f"{world.github.base_url}/octo/ferry-1a2b3c")
    assert first.pages_url == f"{world.github.base_url}/pages/octo/ferry-1a2b3c/"
    made = world.github.seen[1].body
    assert len(made["description"]) <= 350
    assert "\n" not in made["description"]
    assert made["homepage"] == first.pages_url

    seen = world.requests()
    second = world.run(lambda p, r: deliver(p, r, FILES | {"a.txt": b"2"}, request_of(2, first)))
    assert world.requests() - seen <= 4
    assert second.live
    repo = world.github.find("octo", "ferry-1a2b3c")
    assert repo
    assert world.github.repositories.history(world.github.git(repo)) == [second.commit_sha, first.commit_sha]


@pytest.mark.parametrize("description", DESCRIPTIONS, ids=lambda path: path.stem)
def test_calls_and_answers_keep_to_githubs_own_description(world: World, description: Path) -> None:
    first = world.run(deliver)
    world.run(deliver)
    world.github.switches.builds = ["errored"]
    world.run(lambda p, r: deliver(p, r, FILES | {"a.txt": b"2"}, request_of(2, first)))
    faults, compared = faults_of(world.github, description)
    assert faults == []
    assert compared > 10


def test_every_action_done_twice_changes_nothing(world: World) -> None:
    async def twice(_name: str, act: Callable[[], Awaitable[Any]]) -> Any:
        result = await act()
        assert await act() == result
        return json.loads(json.dumps(result))

    async def act(publisher: Publisher, repositories: Repositories) -> Publication:
        await publisher.reserve(request_of())
        return await deliver(publisher, repositories, step=twice)

    made = world.run(act)
    assert made.live
    assert list(world.github.repos) == ["octo/ferry-1a2b3c"]
    assert world.github.repositories.history("octo.ferry-1a2b3c") == [made.commit_sha]


@pytest.mark.parametrize("how", ["dropped", "cut"])
def test_an_answer_that_got_lost_makes_no_second_repository(world: World, how: str) -> None:
    setattr(world.github.switches, how, ["POST /user/repos", "POST /repos/octo/ferry-1a2b3c/pages"])
    assert world.run(deliver).live
    assert list(world.github.repos) == ["octo/ferry-1a2b3c"]


def test_a_name_that_a_stranger_has_gets_a_number_and_later_rounds_find_it(world: World) -> None:
    world.github.add("octo", "ferry-1a2b3c", "somebody else's")
    first = world.run(deliver)
    assert first.repo_url.endswith("/octo/ferry-1a2b3c-2")
    second = world.run(lambda p, r: deliver(p, r, FILES | {"a.txt": b"2"}, request_of(2, first)))
    assert second.repo_url == first.repo_url
    assert world.github.repositories.head("octo.ferry-1a2b3c") is None


def test_an_organisation_owns_what_it_is_told_to(world: World) -> None:
    world.owner = "harbour"
    assert world.run(deliver).repo_url.endswith("/harbour/ferry-1a2b3c")


def test_a_new_machine_finds_the_site_by_its_mark_and_builds_on_it(world: World) -> None:
    first = world.run(deliver)
    elsewhere = request_of(2).model_copy(update={"repo": "ferry-ffffff"})
    second = world.run(lambda p, r: deliver(p, r, FILES | {"a.txt": b"2"}, elsewhere), name="other")
    assert second.repo_url == first.repo_url
    assert world.github.repositories.history("octo.ferry-1a2b3c") == [second.commit_sha, first.commit_sha]


@pytest.mark.parametrize("when", ["before", "during"])
def test_a_persons_commit_stays_in_the_history(world: World, when: str) -> None:
    first = world.run(deliver)
    edit: list[str] = []

    def person() -> None:
        files = FILES | {"edit.txt": b"mine"}
        edit.append(world.github.repositories.commit("octo.ferry-1a2b3c", files, message="edit", at=AT + 1.5))

    async def step(name: str, act: Callable[[], Awaitable[Any]]) -> Any:
        if name == "push" and when == "during":
            person()
        return await plain_step(name, act)

    if when == "before":
        person()
    second = world.run(lambda p, r: deliver(p, r, FILES | {"a.txt": b"2"}, request_of(2, first), step=step))
    assert second.live
    history = world.github.repositories.history("octo.ferry-1a2b3c")
    assert history == [second.commit_sha, edit[0], first.commit_sha]


# -- live ----------------------------------------------------------------------------------------------------------


def test_the_page_of_the_round_before_is_not_taken_for_this_one(world: World) -> None:
    first = world.run(deliver)
    world.github.switches.stale_pages = 2
    looks: list[bool] = []

    async def second(publisher: GitHubPublisher, repositories: Repositories) -> None:
        made = await deliver(publisher, repositories, FILES | {"index.html": b"two"}, request_of(2, first))
        looks.append(made.live)

    world.run(second)
    assert looks == [True]
    assert world.github.switches.stale_pages == 0


@pytest.mark.parametrize(
    ("builds", "commits"),
    [(["errored"], 1), (["cancelled"], 2), (["queued"], 2), (["cancelled", "errored"], 2)],
)
def test_a_build_that_fails_is_helped_and_the_sha_reported_is_the_head(
    world: World, builds: list[str], commits: int
) -> None:
    world.github.switches.builds = builds

    made = world.run(lambda p, r: attempt(p, r, live_until=200.0, seconds=4)).publication
    assert made.live
    history = world.github.repositories.history("octo.ferry-1a2b3c")
    assert (len(history), history[0]) == (commits, made.commit_sha)


@pytest.mark.parametrize(
    ("status", "waited_s", "fix"),
    [
        ("none", 30, "rebuild"),
        ("building", 60, "wait"),
        ("errored", 30, "rebuild"),
        ("errored", 200, "repeat"),
        ("queued", 160, "repeat"),
        ("cancelled", 30, "repeat"),
    ],
)
def test_the_state_of_a_build_has_its_fix(status: str, waited_s: float, fix: str) -> None:
    assert fix_of(status, waited_s) == fix


# -- workflows -----------------------------------------------------------------------------------------------------

CI = ".github/workflows/ci.yml"
CHECK = b"on: push\njobs: {t: {runs-on: ubuntu-latest, steps: [{run: date}]}}\n"
SOME, ALL = pages_workflow("made").encode(), pages_workflow(".").encode()
PLACE = "/repos/octo/ferry-1a2b3c"


def test_pages_by_workflow_are_on_before_the_push_that_starts_it(world: World) -> None:
    made = world.run(lambda p, r: deliver(p, r, FILES | {CI: SOME}))
    assert made.live
    assert world.requests() <= 5
    order = [f"{call.method} {call.path}" for call in world.github.seen if call.method in ("POST", "PUT")]
    pages, push = f"POST {PLACE}/pages", "POST /octo/ferry-1a2b3c.git/git-receive-pack"
    assert order.index(pages) < order.index(push)
    assert next(call.body for call in world.github.seen if call.path == f"{PLACE}/pages") == {"build_type": "workflow"}
    assert [faults_of(world.github, description)[0] for description in DESCRIPTIONS] == [[]] * len(DESCRIPTIONS)


def test_pages_that_need_a_branch_first_are_switched_on_after_the_push(world: World) -> None:
    world.github.switches.branch_first = True
    world.github.switches.runs = ["success"]
    assert world.run(lambda p, r: attempt(p, r, FILES | {CI: SOME}, seconds=20)).publication
    assert world.calls("rest").count(f"POST {PLACE}/pages") == 2


def test_a_round_may_hand_the_pages_to_a_workflow_and_a_later_one_take_them_back(world: World) -> None:
    first = world.run(deliver)
    seen = world.requests()
    second = world.run(lambda p, r: deliver(p, r, FILES | {CI: SOME}, request_of(2, first)))
    assert second.live
    assert f"PUT {PLACE}/pages" in world.calls("rest")
    assert world.requests() - seen <= 5, "one more, to switch"
    seen = world.requests()
    third = world.run(lambda p, r: deliver(p, r, FILES | {CI: SOME, "a.txt": b"3"}, request_of(3, second)))
    assert (third.live, world.requests() - seen) == (True, 4)
    assert world.run(lambda p, r: deliver(p, r, FILES | {"a.txt": b"4"}, request_of(4, third))).live
    repo = world.github.find("octo", "ferry-1a2b3c")
    assert repo
    assert repo.pages == "legacy"


def test_a_workflow_that_publishes_the_repository_is_held_to_its_bytes(world: World) -> None:
    world.github.switches.made = {"index.html": b"something else"}
    assert not world.run(lambda p, r: deliver(p, r, FILES | {CI: ALL})).live
    world.github.switches.made = {}
    assert world.run(lambda p, r: deliver(p, r, FILES | {CI: ALL})).live


@pytest.mark.parametrize(
    ("workflow", "switches", "says"),
    [
        (SOME, {"runs": ["failure"], "log": "KeyError: 'ferry'"}, 'job "build", step "Run the commands"'),
        (SOME, {"runs": ["failure"], "log": "KeyError: 'ferry'"}, "KeyError: 'ferry'\n##[error]"),
        (SOME, {"runs": ["timed_out"]}, "failed in job"),
        (b"on: push\njobs: [", {}, "invalid"),
        (CHECK, {"runs": ["failure"], "log": "not clean"}, "not clean"),
        (SOME, {"uploads": ["LICENSE"]}, "holds no index.html"),
    ],
)
def test_what_a_run_has_to_say_comes_back(world: World, workflow: bytes, switches: dict[str, Any], says: str) -> None:
    vars(world.github.switches).update(switches)
    outcome = world.run(lambda p, r: attempt(p, r, FILES | {CI: workflow}))
    assert says in outcome.objection
    assert outcome.publication.commit_sha == world.github.repositories.head("octo.ferry-1a2b3c")
    assert TOKEN not in outcome.objection


def test_a_check_that_fails_takes_nothing_from_a_site_that_is_live(world: World) -> None:
    world.github.switches.runs, world.github.switches.build_s = ["failure"], 0.02
    outcome = world.run(lambda p, r: attempt(p, r, FILES | {CI: CHECK}))
    assert outcome.publication.live
    assert "failed in job" in outcome.objection


@pytest.mark.parametrize(
    ("hidden", "objection"),
    [
        ("actions/runs", ""),
        ("actions/runs/1000/jobs", f"The workflow {CI} ended with failure."),
        ("actions/jobs/1000/logs", f'The workflow {CI} failed in job "build", step "Run the commands". Its log'),
    ],
)
def test_runs_that_the_token_may_not_see_end_no_task(world: World, hidden: str, objection: str) -> None:
    world.github.switches.runs = ["failure"]
    world.github.switches.faults = [(f"GET {PLACE}/{hidden}", fault(403, "Resource not accessible"))] * 400
    outcome = world.run(lambda p, r: attempt(p, r, FILES | {CI: SOME}))
    assert outcome.publication
    assert outcome.objection.startswith(objection)
    assert bool(outcome.objection) == bool(objection)


@pytest.mark.parametrize("ending", ["cancelled", "never"])
def test_a_run_that_will_not_come_is_begun_anew_by_an_empty_commit(world: World, ending: str) -> None:
    world.github.switches.runs = [ending]
    outcome = world.run(lambda p, r: attempt(p, r, FILES | {CI: SOME}, seconds=20))
    assert outcome.publication.live
    history = world.github.repositories.history("octo.ferry-1a2b3c")
    assert (len(history), history[0]) == (2, outcome.publication.commit_sha)


@pytest.mark.parametrize("ending", ["queued", "never"])
def test_a_run_that_is_not_over_in_time_makes_no_fault(world: World, ending: str) -> None:
    world.github.switches.runs = [ending]
    outcome = world.run(lambda p, r: attempt(p, r, FILES | {CI: SOME}))
    assert (outcome.publication.live, outcome.objection) == (False, "")


def test_a_site_with_a_mere_check_is_built_from_the_branch_and_waits_for_it(world: World) -> None:
    made = world.run(lambda p, r: deliver(p, r, FILES | {CI: CHECK}))
    assert made.live
    assert any("actions/runs?" in c or c.endswith("/actions/runs") for c in world.calls("rest"))
    repo = world.github.find("octo", "ferry-1a2b3c")
    assert repo
    assert repo.pages == "legacy"


# -- refused pushes ------------------------------------------------------------------------------------------------


def test_dulwich_asks_where_the_github_on_loopback_refuses() -> None:
    overridden = getattr(ReceivePackHandler, "_on_update", None)
    said = (
        "agent/testing/github/git_host.py refuses a push in ReceivePackHandler._on_update(ref_name, old_sha, new_sha), "
        "which is no public name of dulwich's and has changed: hooks cannot send what GitHub says beside a refusal, so "
        "find the place that is asked before a ref is taken"
    )
    assert overridden, said
    assert list(inspect.signature(overridden).parameters) == ["self", "ref_name", "old_sha", "new_sha"], said


def test_a_commit_that_github_refused_does_not_stand_below_the_next_one(world: World) -> None:
    world.github.switches.secrets = [b"canary-key"]
    refused = world.run(lambda p, r: attempt(p, r, FILES | {"notes.txt": b"canary-key"}))
    assert refused.publication is None
    assert "path: notes.txt:1" in refused.objection
    made = world.run(deliver)
    assert world.github.repositories.history("octo.ferry-1a2b3c") == [made.commit_sha]
    assert made.live


@pytest.mark.parametrize(
    ("said", "kind", "says"),
    [
        ("push declined\nGITHUB PUSH PROTECTION\npath: a.js:1", Objection, "path: a.js:1"),
        ("pre-receive hook declined\nGH009: Secrets detected!", Objection, "GH009"),
        ("pre-receive hook declined\nGH001: File a.mov is 130 MB; this exceeds", Objection, "a.mov"),
        (
            "refusing to allow a Personal Access Token to create workflow without `workflow` scope",
            PublishError,
            "scope",
        ),
        (
            "refusing to allow a GitHub App to update workflow `x` without `workflows` permission",
            PublishError,
            "Workflows",
        ),
        ("protected branch hook declined", PublishError, "lift the owner's rule"),
    ],
)
def test_a_refused_push_goes_to_whoever_can_mend_it(said: str, kind: type[Exception], says: str) -> None:
    assert isinstance(refusal(said), kind)
    assert says in str(refusal(said))


# -- renamed -------------------------------------------------------------------------------------------------------


def test_a_repository_that_was_renamed_is_followed(world: World) -> None:
    first = world.run(deliver)
    repo = world.github.find("octo", "ferry-1a2b3c")
    assert repo
    world.github.rename(repo, "Lighthouse")
    second = world.run(lambda p, r: deliver(p, r, FILES | {"a.txt": b"2"}, request_of(2, first)))
    assert second.repo_url.endswith("/octo/Lighthouse")
    assert second.pages_url.endswith("/pages/octo/Lighthouse/")
    assert second.live
    assert world.github.repositories.history("octo.lighthouse") == [second.commit_sha, first.commit_sha]


@pytest.mark.parametrize("slow", ["wait_live", "enable_pages"])
def test_a_host_that_does_not_answer_does_not_keep_the_call_back(world: World, slow: str) -> None:
    async def step(name: str, act: Callable[[], Awaitable[Any]]) -> Any:
        if name == slow:
            world.github.switches.read_s = world.github.switches.mutation_s = 60.0
        return await plain_step(name, act)

    made = world.run(lambda p, r: deliver(p, r, step=step, live_until=5.0))
    assert (made.live, made.pages_url) == (False, f"{world.github.base_url}/pages/octo/ferry-1a2b3c/")


def test_no_commit_is_made_that_could_not_be_served_in_time(world: World) -> None:
    world.github.switches.builds = ["cancelled"]
    made = world.run(lambda p, r: deliver(p, r, live_until=FIX_S))
    assert not made.live
    assert world.github.repositories.history("octo.ferry-1a2b3c") == [made.commit_sha]


# -- limits and faults ---------------------------------------------------------------------------------------------


def test_a_few_changes_are_made_at_once_and_many_one_a_second() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def act() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(204))) as http:
            api = GitHubApi(http, "https://api.test", TOKEN, clock=lambda: AT, sleep=sleep)
            for _ in range(UNSPACED_MUTATIONS + 3):
                await api.change("POST", "/user/repos")

    asyncio.run(act())
    assert slept == [0.0] * UNSPACED_MUTATIONS + [1.0, 2.0, 3.0]


def fault(status: int, message: str, **headers: str) -> JSONResponse:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return JSONResponse({"message": message, "documentation_url": ""}, status, names)


@pytest.mark.parametrize(
    ("answer", "waited_s"),
    [
        (fault(403, "You have exceeded a secondary rate limit", retry_after="7"), 7),
        (fault(429, "Too many requests"), 60),
        (fault(403, "You have exceeded a secondary rate limit. Wait."), 60),
        (fault(502, "Server Error"), 1),
    ],
)
def test_a_limit_is_waited_for_as_long_as_it_asks(world: World, answer: JSONResponse, waited_s: float) -> None:
    world.github.switches.faults = [("POST /user/repos", answer)]
    assert world.run(deliver).live
    assert waited_s in world.slept


PUSH = "POST /octo/ferry-1a2b3c.git/git-receive-pack"
REFS = "GET /octo/ferry-1a2b3c.git/info/refs"
HTML = Response("<!doctype html><title>Sign in</title>", media_type="text/html")


@pytest.mark.parametrize(
    ("where", "answers", "waits"),
    [
        (f"POST {PLACE}/pages", [fault(404, "Not Found")] * 2, [1, 2]),
        (f"PUT {PLACE}/topics", [fault(404, "Not Found")], []),  # nobody waits for topics
        (REFS, [Response(status_code=404)] * 2, [1, 2]),
        (PUSH, [Response(status_code=404)], [1]),
        (PUSH, [Response(status_code=502)], [1]),
        (PUSH, [Response("You have exceeded a secondary rate limit.", 403, {"Retry-After": "2"})], [2]),
        (PUSH, [Response("You have exceeded a secondary rate limit.", 403)], [60]),
        (PUSH, [Response("slow down", 429, {"Retry-After": "9"})], [9]),
        (
            REFS,
            [Response("wait", 403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1000", "Date": DATE})],
            [31],
        ),
    ],
)
def test_what_passes_is_waited_for(world: World, where: str, answers: list[Response], waits: list[float]) -> None:
    world.github.switches.faults = [(where, answer) for answer in answers]
    assert world.run(deliver).live
    assert [wait_s for wait_s in world.slept if wait_s] == waits


@pytest.mark.parametrize(
    ("where", "answer", "says"),
    [
        (f"POST {PLACE}/pages", fault(404, "Not Found"), "GITHUB_TOKEN may not POST"),
        (REFS, Response(status_code=404), "give GITHUB_TOKEN Contents"),
        (PUSH, Response("Write access to repository not granted.", 403), "give GITHUB_TOKEN Contents"),
        (PUSH, Response("secondary rate limit", 403, {"Retry-After": "900"}), "rate limit is used up for 15 minutes"),
        (PUSH, Response(status_code=502), "GitHub's git does not answer"),
    ],
)
def test_a_refusal_that_stays_is_told_with_what_to_do(world: World, where: str, answer: Response, says: str) -> None:
    world.github.switches.faults = [(where, answer)] * 20
    with pytest.raises(PublishError, match=says):
        world.run(deliver)


@pytest.mark.parametrize(
    ("headers", "waited_s"),
    [
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1030"}, 1.0),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1030", "date": DATE}, 61.0),
        ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1030", "date": "yesterday"}, 1.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:16:20 GMT", "date": DATE}, 10.0),
        ({"retry-after": "7", "date": DATE}, 7.0),
    ],
)
def test_a_limit_is_reckoned_by_githubs_clock(headers: dict[str, str], waited_s: float) -> None:
    """Ours may be wrong: here it is two minutes fast."""
    assert limit_s(403, headers, "", now=1_090.0) == waited_s


@pytest.mark.parametrize(
    ("where", "answer"),
    [
        *itertools.product(("GET /user", "POST /user/repos"), (HTML, JSONResponse(["odd"]), JSONResponse({"odd": 1}))),
        *itertools.product((f"POST {PLACE}/pages",), (HTML, JSONResponse(["odd"]))),
    ],
)
def test_an_address_that_is_no_api_is_named(world: World, where: str, answer: Response) -> None:
    acts: list[Any] = [deliver, *([lambda p, _: p.examine()] if where == "GET /user" else [])]
    for act in acts:
        world.github.switches.faults = [(where, answer)]
        with pytest.raises(PublishError, match="GITHUB_API_URL"):
            world.run(act)


# -- a domain of the owner's own -----------------------------------------------------------------------------------


@pytest.mark.parametrize("named", [True, False])
def test_pages_that_lead_to_a_domain_are_live_there_if_the_settings_name_it(world: World, named: bool) -> None:
    """It stands before all pages of an owner, by a setting of the owner's site."""
    domain = world.github.base_url.replace("127.0.0.1", "localhost")
    world.github.switches.domain, world.github.switches.named_domain = domain, named
    made = world.run(deliver)
    assert made.live is named
    assert made.pages_url.startswith(domain) is named


def test_a_later_round_is_told_the_address_that_pages_have_by_then(world: World) -> None:
    first = world.run(deliver)
    domain = world.github.switches.domain = world.github.base_url.replace("127.0.0.1", "localhost")
    second = world.run(lambda p, r: deliver(p, r, FILES | {"a.txt": b"2"}, request_of(2, first)))
    assert (first.pages_url.startswith(domain), second.pages_url.startswith(domain)) == (False, True)
    assert second.live


def test_pages_that_somebody_switched_off_are_on_again_after_the_next_round(world: World) -> None:
    first = world.run(deliver)
    repo = world.github.find("octo", "ferry-1a2b3c")
    assert repo
    repo.pages = ""
    assert world.run(lambda p, r: deliver(p, r, FILES | {"a.txt": b"2"}, request_of(2, first))).live
    assert repo.pages == "legacy"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (fault(401, "Bad credentials"), "make a new one"),
        (
            fault(403, "Resource not accessible", x_accepted_github_permissions="administration=write"),
            "give it administration=write",
        ),
        (
            fault(403, "Resource not accessible", x_accepted_github_permissions="contents=write,workflows=write"),
            "give it contents=write,workflows=write",
        ),
        (fault(404, "Not Found", x_accepted_oauth_scopes="repo"), "give it repo"),
        (fault(422, "Validation Failed"), "GitHub refuses POST /user/repos"),
        (fault(403, "rate limit", x_ratelimit_remaining="0", x_ratelimit_reset="1900000000"), "rate limit is used up"),
        (fault(422, "You must have a verified email"), "verify it at"),
    ],
)
def test_a_fault_that_stays_is_a_sentence_that_says_what_to_do(world: World, answer: JSONResponse, says: str) -> None:
    world.github.switches.faults = [("POST /user/repos", answer)]
    with pytest.raises(PublishError, match=says) as caught:
        world.run(deliver)
    assert TOKEN not in str(caught.value)


def test_a_github_that_does_not_answer_is_named(world: World) -> None:
    world.timeout_s, world.github.switches.read_s = 0.05, 0.3
    with pytest.raises(PublishError, match=r"no answer \(ReadTimeout\); send the task again later"):
        world.run(deliver)


def test_a_token_that_git_does_not_take_is_named(world: World) -> None:
    async def act(publisher: GitHubPublisher, repositories: Repositories) -> Publication:
        site = await publisher.reserve(request_of())
        world.github.token = "another"
        sha = repositories.commit(site.repo, FILES, message="one", at=AT, parent=None)
        await publisher.push(site, sha)
        raise AssertionError

    with pytest.raises(PublishError, match="give GITHUB_TOKEN Contents"):
        world.run(act)


def test_names_that_are_all_taken_are_named(world: World) -> None:
    for number in ("", *(f"-{n}" for n in range(2, 20))):
        world.github.add("octo", f"ferry-1a2b3c{number}")
    with pytest.raises(PublishError, match="rename or remove some"):
        world.run(deliver)


@pytest.mark.parametrize(
    ("owner", "switches", "says"),
    [
        (None, {}, "as octo for octo, scopes repo, workflow; Pages come with every public repository"),
        (None, {"scopes": "repo"}, "need the scope workflow too"),
        (None, {"scopes": ""}, "fine-grained"),
        ("harbour", {}, "harbour does not forbid Pages"),
        ("harbour", {"org_policy": {"members_can_create_public_pages": False}}, "may not make public Pages"),
    ],
)
def test_what_can_be_known_of_a_token_is_known_before_any_task(
    world: World, owner: str | None, switches: dict[str, Any], says: str
) -> None:
    world.owner = owner
    vars(world.github.switches).update(switches)
    found = world.run(lambda p, _: p.examine())
    assert says in found
    assert "requests left this hour: 4999" in found


@pytest.mark.parametrize(("owner", "scopes"), [("nobody", "repo"), (None, "gist")])
def test_a_token_that_cannot_publish_is_known_before_any_task(world: World, owner: str | None, scopes: str) -> None:
    world.owner, world.github.switches.scopes = owner, scopes
    assert "GITHUB_" in (world.run(lambda p, _: p.ready()) or "")


def test_pages_that_are_not_to_be_had_are_a_sentence(world: World) -> None:
    world.github.switches.pages_refused = "Your current plan does not support GitHub Pages"
    with pytest.raises(PublishError, match="plan"):
        world.run(deliver)


def test_a_wrong_token_is_known_before_any_task(world: World) -> None:
    assert world.run(lambda p, _: p.ready()) is None
    world.token = "wrong"
    assert "GITHUB_TOKEN" in world.run(lambda p, _: p.ready())


def test_the_token_is_in_no_address(world: World) -> None:
    world.run(deliver)
    assert not [call for call in world.github.seen if TOKEN in f"{call.path}{call.body}"]


ANSWERS: dict[str, Any] = json.loads((DATA / "github_answers.json").read_text())


def recorded(file: str) -> Any:
    """What a client of GitHub's once recorded; those lie beside a checkout of ours only."""
    found = RECORDED / "github" / file
    if not found.exists():
        pytest.skip("the recordings are not at hand")
    return json.loads(found.read_text())


def assert_understood(body: Any, name: str) -> None:
    found = Found.read(body)
    assert (found.name, found.url.rpartition("/")[2]) == (name, name)
    assert not found.bears("0123456789abcdef")


@pytest.mark.parametrize(("answer", "name"), [("renamed", "lighthouse"), ("created", "ferry-1a2b3c")])
def test_a_repository_is_understood_with_fields_that_nobody_asked_for(answer: str, name: str) -> None:
    assert_understood(ANSWERS[answer], name)


def test_recorded_repositories_of_the_real_github_are_understood() -> None:
    assert_understood(recorded("octokit-rename-repository.json")[0]["response"], "rename-repository-newname")
    assert_understood(recorded("hub4j-createrepo-__files-2-user_repos.json"), "test-repo-visibility-private")


def test_a_fault_is_told_in_githubs_own_words() -> None:
    said = ANSWERS["refused"]
    assert "Validation Failed; invalid" in sentence(
        Answer(said["status"], said["body"], said["headers"]), "PUT", said["path"]
    )


def test_a_recorded_fault_of_the_real_github_is_told_in_its_own_words() -> None:
    said = recorded("octokit-errors.json")[0]
    answer = Answer(said["status"], said["response"], said["headers"])
    assert "Validation Failed; invalid" in sentence(answer, "POST", said["path"])
