"""What GitHub Pages serve: one table, held by the router, the embedded host, the browser's answers, and the GitHub on
loopback, which has a router of its own.

Observed at https://simonw.github.io/playing-with-github-pages/ and https://slorber.github.io/trailing-slash-guide/.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx
import pytest

from agent.browser.chromium import Request
from agent.browser.network import Sources
from agent.publish.git import Repositories
from agent.publish.routing import page_at, serve
from agent.publish.sites import sites_app
from agent.testing.github import FakeGitHub
from tests.doubles import Recorded
from tests.harness import free_port, listening

Served = tuple[int, str]  # status, and the file or, for a redirect, the folder; an empty file is none of the site's

FULL = (
    *(".nojekyll", "404.html", "index.html", "about.html", "team.html", "team/index.html", "team/a b.html"),
    *("docs/index.html", "docs/data/rows.csv", "my file.pdf", "100%25.txt", "ü/ö.txt", "Case.html", "LICENSE", "a.js"),
    *("_layout/base.html", ".well-known/security.txt", "draft.txt~", ".gitignore", ".github/workflows/ci.yml"),
)
JEKYLL = ("index.html", "_layout/base.html", ".well-known/security.txt", "shown/.hidden", "draft.txt~", "#notes")
BARE = (".nojekyll", "a.txt")
SITES: Mapping[str, tuple[str, ...]] = {"full": FULL, "jekyll": JEKYLL, "bare": BARE}

TABLE: list[tuple[str, str, Served]] = [
    # index.html of folders
    ("full", "", (200, "index.html")),
    ("full", "index.html", (200, "index.html")),
    ("full", "docs/", (200, "docs/index.html")),
    ("full", "?v=1", (200, "index.html")),
    # pages without their ending
    ("full", "about", (200, "about.html")),
    ("full", "about.html", (200, "about.html")),
    ("full", "index", (200, "index.html")),
    ("full", "docs/index", (200, "docs/index.html")),
    ("full", "team/a%20b", (200, "team/a b.html")),
    ("full", "a", (404, "404.html")),
    # a page and a folder of one name
    ("full", "team", (200, "team.html")),
    ("full", "team/", (200, "team/index.html")),
    # a folder is led to its slash, whether it has an index or not
    ("full", "docs", (301, "docs/")),
    ("full", "docs?a=b", (301, "docs/")),
    ("full", "docs/data", (301, "docs/data/")),
    ("full", "%C3%BC", (301, "ü/")),
    # nothing is led away from its slash
    ("full", "about/", (404, "404.html")),
    ("full", "about.html/", (404, "404.html")),
    # percent-encoding is decoded once
    ("full", "my%20file.pdf", (200, "my file.pdf")),
    ("full", "100%2525.txt", (200, "100%25.txt")),
    ("full", "100%25.txt", (404, "404.html")),
    ("full", "%C3%BC/%C3%B6.txt", (200, "ü/ö.txt")),
    ("full", "docs%2Findex.html", (200, "docs/index.html")),
    ("full", "%ff", (404, "404.html")),
    # case counts
    ("full", "Case", (200, "Case.html")),
    ("full", "case", (404, "404.html")),
    ("full", "license", (404, "404.html")),
    ("full", "LICENSE", (200, "LICENSE")),
    # the site's own page for what is missing
    ("full", "no", (404, "404.html")),
    ("full", "docs/no/", (404, "404.html")),
    ("full", "docs/data/", (404, "404.html")),
    ("full", "404", (200, "404.html")),
    ("bare", "", (404, "")),
    ("bare", "no", (404, "")),
    ("bare", "a.txt", (200, "a.txt")),
    # with .nojekyll everything is served but what is git's
    ("full", "_layout/base.html", (200, "_layout/base.html")),
    ("full", ".well-known/security.txt", (200, ".well-known/security.txt")),
    ("full", "draft.txt~", (200, "draft.txt~")),
    ("full", ".gitignore", (404, "404.html")),
    ("full", ".github/workflows/ci.yml", (404, "404.html")),
    ("full", ".github/", (404, "404.html")),
    ("full", ".github", (404, "404.html")),
    ("full", ".git/config", (404, "404.html")),
    # without it Jekyll leaves out what it takes for its own
    ("jekyll", "", (200, "index.html")),
    ("jekyll", "_layout/base.html", (404, "")),
    ("jekyll", "_layout", (404, "")),
    ("jekyll", ".well-known/security.txt", (404, "")),
    ("jekyll", "shown/.hidden", (404, "")),
    ("jekyll", "shown", (404, "")),
    ("jekyll", "draft.txt~", (404, "")),
    ("jekyll", "%23notes", (404, "")),
]

Ask = Callable[[str, str], Served]  # site, address


def content(path: str) -> bytes:
    """Tells which file it is."""
    return f"this is {path}".encode()


def file_of(body: bytes) -> str:
    text = body.decode("utf-8", "replace")
    return text.removeprefix("this is ") if text.startswith("this is ") else ""


def folder_of(location: str, base: str) -> str:
    return unquote(urlsplit(location).path.removeprefix(urlsplit(base).path))


def ask_router(site: str, address: str) -> Served:
    served = serve(SITES[site], unquote(address.partition("?")[0]))
    return served.status, served.folder or served.file or ""


def ask_browser(site: str, address: str) -> Served:
    base = "https://owner.github.io/site/"
    sources = Sources(base, {path: content(path) for path in SITES[site]}, frozenset(), Recorded({}))
    answer = asyncio.run(sources.answer(Request("GET", f"{base}{address}", "document", "")))
    assert answer
    if answer.status == 301:
        assert ("?" in address) == ("?" in answer.headers["location"])
        return 301, folder_of(answer.headers["location"], base)
    return answer.status, file_of(answer.body)


def ask_over_http(http: httpx.Client, base: str, address: str) -> Served:
    """As it is written: a client would make another address of some."""
    answer = http.get(base, extensions={"target": f"{urlsplit(base).path}{address}".encode()})
    if answer.status_code == 301:
        assert ("?" in address) == ("?" in answer.headers["location"]) or "/pages/" in base
        return 301, folder_of(answer.headers["location"], base)
    return answer.status_code, file_of(answer.content)


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Ask]]:
    folder, host_port, github_port = tmp_path_factory.mktemp("routing"), free_port(), free_port()
    repositories, github = Repositories(folder / "host"), github_with_sites(folder / "github", github_port)
    for site, paths in SITES.items():
        repositories.commit(site, {path: content(path) for path in paths}, message="1", at=1, parent=None)
    host_url, github_url = f"http://127.0.0.1:{host_port}", f"http://127.0.0.1:{github_port}/pages/octo"
    with (
        listening(sites_app(repositories), host_port),
        listening(github.app, github_port),
        httpx.Client(trust_env=False) as http,
    ):
        yield {
            "router": ask_router,
            "browser": ask_browser,
            "host": lambda site, address: ask_over_http(http, f"{host_url}/{site}/", address),
            "github": lambda site, address: ask_over_http(http, f"{github_url}/{site}/", address),
        }


def github_with_sites(folder: Path, port: int) -> FakeGitHub:
    github = FakeGitHub(folder, token="unused", base_url=f"http://127.0.0.1:{port}")
    for site, paths in SITES.items():
        repo = github.add("octo", site)
        repo.pages = "legacy"
        files = {path: content(path) for path in paths}
        github.repositories.commit(github.git(repo), files, message="1", at=1)
        github.build(repo)
    return github


@pytest.mark.parametrize("door", ["router", "browser", "host", "github"])
def test_every_door_serves_what_pages_serve(doors: Mapping[str, Ask], door: str) -> None:
    found = [(site, address, doors[door](site, address)) for site, address, _ in TABLE]
    assert found == TABLE


@pytest.mark.parametrize(
    ("path", "file"),
    [
        ("", "index.html"),
        ("docs", "docs/index.html"),
        ("docs/data", None),
        ("team", "team.html"),
        ("about/", None),
        ("my file.pdf", "my file.pdf"),
        ("404", "404.html"),
        ("no", None),
    ],
)
def test_a_visitor_is_shown_a_page_in_the_end_or_none(path: str, file: str | None) -> None:
    assert page_at(FULL, path) == file
