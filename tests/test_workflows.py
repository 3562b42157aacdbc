"""Workflow files: what GitHub would refuse is told before it sees them, and what it objects to is mended."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from agent.publish.workflows import parse, parsed, publish_pages
from agent.review.static.rules import apply
from agent.review.static.site import Site
from agent.testing.github import FakeGitHub
from tests.harness import Door, Evaluator, Json, evaluator, free_port, good_site, listening, serving, settings, task
from tests.provider import Answer, Provider, calls, provider
from tests.test_review import site

CI = ".github/workflows/ci.yml"
GOOD = """\
name: ci
on:
  push:
    branches: [main]
permissions: {contents: read, pages: write, id-token: write}
jobs:
  publish:
    runs-on: ubuntu-latest
    environment: {name: github-pages}
    steps:
      - uses: actions/checkout@v4
      - run: |
          pip install ruff
          ruff check count.py
          python count.py > tally.json
          mkdir _site && cp index.html tally.json _site/
      - uses: actions/upload-pages-artifact@v3
      - uses: actions/deploy-pages@v4
"""
TEST_ONLY = "on: [push, pull_request]\njobs: {t: {runs-on: ubuntu-latest, steps: [{run: echo hello}]}}\n"


def faults(text: str, brief: str = "A workflow on push in .github/workflows/ci.yml.", **more: str) -> str:
    files = {CI: text, "count.py": "print(1)\n", **{name.replace("__", "/"): body for name, body in more.items()}}
    (finding,) = (f for f in apply(Site(site(files), {}, workflows=True)) if f.id == "workflows")
    assert (finding.verdict == "pass") == (finding.evidence == "no fault found")
    return "" if finding.verdict == "pass" else finding.evidence


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        TEST_ONLY,
        GOOD.replace("[main]", "['**', '!main', main]"),
        GOOD.replace("    branches: [main]", "    paths: [count.py]"),
        GOOD.replace("permissions: {contents: read, pages: write, id-token: write}", "permissions: write-all"),
        GOOD.replace("python count.py", "curl -o other.py https://e.example/x; python other.py"),
        "on: push\njobs: {call: {uses: owner/name/.github/workflows/x.yml@v1}}\n",
    ],
)
def test_a_workflow_that_github_runs_has_no_fault(text: str) -> None:
    assert faults(text) == ""


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("on: push\njobs: {a: [\n", "line 3"),
        ("on:\n\tpush: 1\n", "line 2"),
        ("just words", "line 1"),
        ("jobs: {}\n", "`on`"),
        ("on: push\n", "`jobs`"),
        (f"{TEST_ONLY}extra: 1\n", "extra"),
        (TEST_ONLY.replace("runs-on: ubuntu-latest, ", ""), "runs-on"),
        (TEST_ONLY.replace("[{run: echo hello}]", "[{name: nothing}]"), "step 1"),
        (TEST_ONLY.replace("[{run: echo hello}]", "[]"), "`steps`"),
        (GOOD.replace("[main]", "[release]"), "hold push"),
        (GOOD.replace("branches: [main]", "tags: [v1]"), "hold push"),
        (GOOD.replace("branches: [main]", "branches-ignore: ['m*']"), "hold push"),
        (GOOD.replace(" pages: write,", ""), "`pages: write`"),
        (GOOD.replace("    environment: {name: github-pages}\n", ""), "environment: github-pages"),
        (GOOD.replace("permissions: {contents: read, pages: write, id-token: write}\n", ""), "`id-token: write`"),
        (GOOD.replace("      - uses: actions/deploy-pages@v4\n", ""), "deploy-pages@v4"),
        (GOOD.replace("      - uses: actions/upload-pages-artifact@v3\n", ""), "upload-pages-artifact@v3"),
        (GOOD.replace("count.py >", "cuont.py >"), "cuont.py"),
        (GOOD.replace("pip install ruff", "pip install -r needed.txt"), "needed.txt"),
        (GOOD.replace("      - uses: actions/checkout@v4\n", ""), "actions/checkout"),
        ("# " + "long " * 5_000, "more than"),
    ],
)
def test_what_github_would_refuse_is_named(text: str, named: str) -> None:
    assert named in faults(text)


def test_two_workflows_that_publish_pages_are_one_too_many() -> None:
    assert "each over the other" in faults(GOOD, **{".github__workflows__pages.yml": GOOD})


def test_a_workflow_that_nobody_wants_at_a_push_need_not_start_by_one() -> None:
    nightly = TEST_ONLY.replace("[push, pull_request]", "{schedule: [{cron: '0 3 * * *'}]}")
    assert faults(nightly, brief="Add .github/workflows/ci.yml that counts every night.") == ""


@pytest.mark.parametrize(
    "text",
    [
        "[" * 10_000,
        "a: &a [x, x, x, x]\n"
        + "".join(f"{c}: &{c} [{', '.join([f'*{p}'] * 9)}]\n" for p, c in zip("abcdefghi", "bcdefghij", strict=True))
        + "on: *j\njobs: {x: {runs-on: *j, steps: *j}}\n",
        "? [a, b]\n: 1\n",
        "on: push\njobs: &j {a: *j}\n",
        "\x00\x01",
        "!!python/object/apply:os.system ['true']",
    ],
)
def test_a_hostile_workflow_file_costs_little(text: str) -> None:
    began = time.process_time()
    faults(text)
    assert time.process_time() - began < 5


def test_what_starts_a_workflow_and_what_it_publishes_are_read() -> None:
    workflow = parse(CI, GOOD.encode())
    assert (workflow.starts_on_every_push, workflow.publishes_pages, workflow.publishes_everything) == (
        True,
        True,
        False,
    )
    whole = parse(CI, GOOD.replace("artifact@v3", "artifact@v3\n        with: {path: .}").encode())
    assert whole.publishes_everything
    filtered = parse(CI, GOOD.replace("    branches: [main]", "    paths: [count.py]").encode())
    assert (filtered.starts_on_push, filtered.starts_on_every_push) == (True, False)
    (broken,) = parsed({CI: b"on: [", ".github/workflows/a/b.yml": b"", "x.yml": b""})
    assert (broken.path, broken.starts_on_push, broken.publishes_pages) == (CI, False, False)
    assert not publish_pages({CI: TEST_ONLY.encode()})


# -- what GitHub objects to ------------------------------------------------------------------------------------------

TOKEN = "canary-github-token"
KEY = "canary-key-that-push-protection-knows"
WANTED = (
    "Publish a page about ferries titled Harbour with the total in #total. Add a GitHub Actions workflow at "
    ".github/workflows/ci.yml that runs count.py > tally.json on push and publishes tally.json by Pages. "
    "Do not commit tally.json; it is made in CI."
)
LOG = "Traceback (most recent call last):\n  File \"count.py\", line 1, in <module>\nKeyError: 'ferries' ```"


def script(body: Json) -> Answer:
    """Writes the site; told of an objection, it mends what the objection names, or only tidies up."""
    asked, turns = str(body["messages"][1]["content"]), [m for m in body["messages"] if m["role"] == "assistant"]
    write: Any = "write_file"
    ci = {"path": CI, "content": GOOD}
    if "LEAKY" in asked and not ("STUBBORN" not in asked and turns):
        notes = {"path": "notes.txt", "content": f"{KEY} {len(turns)}"}
        return calls(*good_site(), (write, notes), (write, {"path": "more.txt", "content": "harmless"}))
    if "LEAKY" in asked:
        return calls((write, {"path": "notes.txt", "content": "no key"}))
    if turns:
        return calls((write, {"path": "count.py", "content": f"print({len(turns)})\n"}))
    return calls(*good_site(), (write, ci), (write, {"path": "count.py", "content": "print(ferries)\n"}))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator["World"]:
    folder, port = tmp_path_factory.mktemp("world"), free_port()
    github = FakeGitHub(folder / "github", token=TOKEN, base_url=f"http://127.0.0.1:{port}")
    with provider(script) as model, evaluator() as grader, listening(github.app, port):
        configured = settings(
            folder / "data",
            llm_base_url=model.url,
            publisher="github",
            github_token=TOKEN,
            github_api_url=github.api_url,
        )
        with serving(configured) as door:
            yield World(door, github, model, grader)


@dataclass
class World:
    """The service that publishes to a GitHub on loopback."""

    door: Door
    github: FakeGitHub
    model: Provider
    grader: Evaluator

    def run(self, brief: str = WANTED, **switches: Any) -> tuple[Json, Json, list[str]]:
        """The record, the call back, and the commits on GitHub, newest first."""
        self.model.requests.clear()
        self.github.switches.__init__(**switches)  # type: ignore[misc]
        body = task(self.grader.url, brief=brief)
        record = self.door.finish(self.door.send_task(body)["id"])
        if record["state"] == "failed":
            return record, {}, []
        (call,) = self.grader.wait_for(body["nonce"])
        repo = self.github.find("octo", call["repo_url"].rpartition("/")[2])
        assert repo
        return record, call, self.github.repositories.history(self.github.git(repo))


def test_a_run_that_failed_is_mended_and_the_second_commit_is_called_back(world: World) -> None:
    record, call, commits = world.run(runs=["failure"], log=LOG, made={"tally.json": b"{}"}, uploads=["index.html"])
    assert (record["state"], record["publication"]["live"], record["error"]) == ("done", True, None)
    assert [call["commit_sha"], 2] == [commits[0], len(commits)]
    assert httpx.get(f"{call['pages_url']}tally.json", trust_env=False).content == b"{}"
    first, second = (request.body["messages"] for request in world.model.requests)
    assert second[: len(first)] == first
    assert "KeyError: 'ferries' '''\n" in second[-1]["content"], "the log, fenced"
    assert "orphan" not in second[-1]["content"], "what comes after the error is tidying up"
    assert [c.status for c in world.github.seen if c.kind == "logs"] == [200], "the token was not sent there"


def test_runs_that_go_on_failing_are_reported_as_they_are(world: World) -> None:
    record, call, commits = world.run(runs=["failure"] * 9, log=LOG)
    assert (record["state"], record["publication"]["live"], len(commits)) == ("done", False, 3)
    assert (call["commit_sha"], len(world.model.requests)) == (commits[0], 3)
    assert "the host objects" in record["error"]
    assert "KeyError" in record["error"]


def test_a_secret_that_github_finds_is_taken_out_before_anything_is_public(world: World) -> None:
    record, call, commits = world.run("A page titled Harbour with the total in #total, LEAKY.", secrets=[KEY.encode()])
    assert (record["publication"]["live"], record["error"]) == (True, None)
    assert commits == [call["commit_sha"]]
    assert "notes.txt" in world.model.requests[1].body["messages"][-1]["content"]


def test_a_file_that_github_refuses_to_the_end_is_left_out(world: World) -> None:
    record, call, commits = world.run("A page titled Harbour, #total, STUBBORN and LEAKY.", secrets=[KEY.encode()])
    assert (record["publication"]["live"], commits) == (True, [call["commit_sha"]])
    assert "notes.txt" in record["error"]
    site = {path: httpx.get(f"{call['pages_url']}{path}", trust_env=False) for path in ("more.txt", "notes.txt")}
    assert [answer.status_code for answer in site.values()] == [200, 404]


def test_a_token_that_may_not_push_workflows_is_named(world: World) -> None:
    record, _, _ = world.run(may_push_workflows=False)
    assert (record["state"], record["publication"]) == ("failed", None)
    assert "give it the scope workflow" in record["error"]
    assert TOKEN not in record["error"]
