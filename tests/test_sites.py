"""The sites' host, over real HTTP and with the real git: pages as on a project page, nothing else, nothing written."""

import asyncio
import gzip
import http.client
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import httpx
import pytest
import uvicorn

from agent.publish.git import Repositories
from agent.publish.local import LocalPublisher
from agent.publish.media_types import media_type
from agent.publish.publisher import RepositoryRequest
from agent.publish.sites import sites_app
from tests.harness import PATIENCE_S

SITE = {
    ".nojekyll": b"",
    ".gitignore": b"secret",
    ".GITKEEP": b"",
    ".github/workflows/ci.yml": b"on: push",
    ".well-known/security.txt": b"Contact:",
    "404.html": b"<h1>lost</h1>",
    "LICENSE": b"MIT",
    "README.md": b"# Site",
    "about.html": b"<h1>about</h1>",
    "app.js": b"let a = 1",
    "clip.mp4": bytes(range(100)),
    "docs/index.html": b"<h1>docs</h1>",
    "docs/data/rows.csv": b"a,b",
    "index.html": "<h1>première</h1>".encode(),
    "mit leerzeichen/ü.txt": b"umlaut",
}
SECOND = {**SITE, "index.html": b"<h1>second</h1>"}


@dataclass(frozen=True)
class Host:
    """A running sites' server: `site-1` has two rounds, `bare-2` one page, `empty-3` nothing."""

    repositories: Repositories
    client: httpx.Client
    url: str
    first: str
    second: str
    other: str

    def get(self, path: str, method: str = "GET", **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.request(method, path, headers=named)

    def raw(self, target: str) -> int:
        """The status of a request whose target is sent as it stands."""
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=PATIENCE_S)
        connection.putrequest("GET", target)
        connection.endheaders()
        status = connection.getresponse().status
        connection.close()
        return status


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    root = tmp_path_factory.mktemp("data")
    (root / "secret.txt").write_text("canary")
    repositories = Repositories(root / "sites")
    first = repositories.commit("site-1", SITE, message="Round 1", at=1, parent=None)
    second = repositories.commit("site-1", SECOND, message="Round 2", at=2, parent=first)
    other = repositories.commit("bare-2", {"index.html": b"other"}, message="Round 1", at=1, parent=None)
    repositories.create("empty-3")
    # Named as TCP, or asyncio leaves Nagle's algorithm on and each answer waits 40 ms for an acknowledgement.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as door:
        door.bind(("127.0.0.1", 0))
        door.listen()
        server = uvicorn.Server(uvicorn.Config(sites_app(repositories), log_level="warning"))
        thread = Thread(target=server.run, kwargs={"sockets": [door]})
        thread.start()
        url = f"http://127.0.0.1:{door.getsockname()[1]}"
        with httpx.Client(base_url=url, trust_env=False, timeout=PATIENCE_S) as client:
            yield Host(repositories, client, url, first, second, other)
        server.should_exit = True
        thread.join(PATIENCE_S)


# -- pages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "file", "kind"),
    [
        ("/site-1/", "index.html", "text/html; charset=utf-8"),
        ("/site-1/index.html", "index.html", "text/html; charset=utf-8"),
        ("/site-1/index.html?v=1&x=%00", "index.html", "text/html; charset=utf-8"),
        ("/site-1/about", "about.html", "text/html; charset=utf-8"),
        ("/site-1/app.js", "app.js", "application/javascript; charset=utf-8"),
        ("/site-1/README.md", "README.md", "text/markdown; charset=utf-8"),
        ("/site-1/LICENSE", "LICENSE", "application/octet-stream"),
        ("/site-1/clip.mp4", "clip.mp4", "video/mp4"),
        ("/site-1/docs/", "docs/index.html", "text/html; charset=utf-8"),
        ("/site-1/docs/data/rows.csv", "docs/data/rows.csv", "text/csv; charset=utf-8"),
        ("/site-1/mit%20leerzeichen/%C3%BC.txt", "mit leerzeichen/ü.txt", "text/plain; charset=utf-8"),
        ("/site-1/.well-known/security.txt", ".well-known/security.txt", "text/plain; charset=utf-8"),
    ],
)
def test_the_head_is_served_like_a_project_page(host: Host, path: str, file: str, kind: str) -> None:
    answer = host.get(path)
    assert (answer.status_code, answer.content) == (200, SECOND[file])
    assert answer.headers["Content-Type"] == kind
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/site-1", "/site-1/"),
        ("/site-1?a=b%0A", "/site-1/?a=b%0A"),
        ("/site-1/docs", "/site-1/docs/"),
        ("/site-1/docs/data", "/site-1/docs/data/"),
        ("/site-1/mit%20leerzeichen", "/site-1/mit%20leerzeichen/"),
    ],
)
def test_a_folder_gets_its_slash(host: Host, path: str, location: str) -> None:
    answer = host.get(path)
    assert (answer.status_code, answer.headers["Location"]) == (301, location)


@pytest.mark.parametrize(
    "path", ["/site-1/no", "/site-1/docs/no/", "/site-1/docs/data/", "/site-1/about/", "/site-1//"]
)
def test_a_missing_page_shows_the_sites_own_404(host: Host, path: str) -> None:
    answer = host.get(path, If_None_Match="*")
    assert (answer.status_code, answer.content) == (404, SITE["404.html"])
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize(
    "path", ["/", "/no", "/no/", "/bare-2/no", "/empty-3/", "//site-1/", "/no.git", "/favicon.ico"]
)
def test_elsewhere_a_404_says_nothing_about_what_there_is(host: Host, path: str) -> None:
    answer = host.get(path)
    assert (answer.status_code, answer.text) == (404, "There is nothing at this address.\n")


def test_each_commit_has_an_address_that_never_changes(host: Host) -> None:
    answer = host.get(f"/site-1/@{host.first}/")
    assert (answer.status_code, answer.content) == (200, SITE["index.html"])
    assert "immutable" in answer.headers["Cache-Control"]
    assert host.get(f"/site-1/@{host.second}/").content == SECOND["index.html"]
    assert host.get(f"/site-1/@{host.first}").headers["Location"] == f"/site-1/@{host.first}/"
    assert host.get(f"/site-1/@{host.first}/docs").headers["Location"] == f"/site-1/@{host.first}/docs/"
    missing = host.get(f"/site-1/@{host.first}/no")
    assert (missing.status_code, missing.content) == (404, SITE["404.html"])
    assert "immutable" not in missing.headers["Cache-Control"]


def test_a_new_round_is_seen_at_once(host: Host) -> None:
    first = host.repositories.commit("fresh-4", {"index.html": b"one"}, message="1", at=1, parent=None)
    page = host.get("/fresh-4/")
    host.repositories.commit("fresh-4", {"index.html": b"two"}, message="2", at=2, parent=first)
    assert host.get("/fresh-4/", If_None_Match=page.headers["ETag"]).content == b"two"


def test_a_known_page_is_not_sent_again(host: Host) -> None:
    etag = host.get("/site-1/").headers["ETag"]
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        answer = host.get("/site-1/", If_None_Match=known)
        assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", etag)
    assert host.get("/site-1/", If_None_Match='"other"').status_code == 200


@pytest.mark.parametrize(
    ("wanted", "status", "content", "content_range"),
    [
        ("bytes=0-9", 206, bytes(range(10)), "bytes 0-9/100"),
        ("bytes=90-", 206, bytes(range(90, 100)), "bytes 90-99/100"),
        ("bytes=-5", 206, bytes(range(95, 100)), "bytes 95-99/100"),
        ("bytes=0-999", 206, bytes(range(100)), "bytes 0-99/100"),
        ("bytes=-999", 206, bytes(range(100)), "bytes 0-99/100"),
        ("bytes=100-", 416, b"", "bytes */100"),
        ("bytes=-0", 416, b"", "bytes */100"),
        ("bytes=-", 200, bytes(range(100)), None),
        ("bytes=0-1,5-6", 200, bytes(range(100)), None),
        ("lines=0-1", 200, bytes(range(100)), None),
    ],
)
def test_media_can_be_asked_for_in_parts(
    host: Host, wanted: str, status: int, content: bytes, content_range: str | None
) -> None:
    answer = host.get("/site-1/clip.mp4", Range=wanted)
    assert (answer.status_code, answer.content) == (status, content)
    assert answer.headers.get("Content-Range") == content_range


def test_a_part_of_another_version_is_not_mixed_in(host: Host) -> None:
    assert host.get("/site-1/clip.mp4", Range="bytes=0-9", If_Range='"old"').status_code == 200


def test_head_tells_all_but_the_bytes(host: Host) -> None:
    whole, head = host.get("/site-1/"), host.get("/site-1/", "HEAD")
    assert (head.status_code, head.content) == (200, b"")
    assert {k: v for k, v in head.headers.items() if k != "date"} == {
        k: v for k, v in whole.headers.items() if k != "date"
    }


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", ["/", "/site-1/", "/site-1.git", "/site-1.git/info/refs"])
def test_nothing_can_be_written(host: Host, method: str, path: str) -> None:
    assert host.get(path, method).status_code == 405


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("a.JSON", "application/json; charset=utf-8"),
        ("a.svg", "image/svg+xml"),
        ("a.wasm", "application/wasm"),
        ("a.webmanifest", "application/manifest+json; charset=utf-8"),
        ("a.tar.unheard-of", "application/octet-stream"),
        ("html", "application/octet-stream"),
        ("v1.css/data", "application/octet-stream"),
    ],
)
def test_the_media_type_is_that_of_the_suffix(path: str, kind: str) -> None:
    assert media_type(path) == kind


def test_another_application_can_hand_requests_over(host: Host) -> None:
    """As the API does with requests whose Host is that of the sites."""

    async def ask() -> list[int]:
        transport = httpx.ASGITransport(sites_app(host.repositories))
        async with httpx.AsyncClient(transport=transport, base_url="http://sites.example") as client:
            paths = ("/site-1/", "/no/", "/site-1.git/info/refs?service=git-upload-pack")
            return [(await client.get(path)).status_code for path in paths]

    assert asyncio.run(ask()) == [200, 404, 200]


# -- nothing outside the tree --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        "/../secret.txt",
        "/site-1/../../secret.txt",
        "/site-1/../bare-2/index.html",
        "/site-1/%2e%2e/%2e%2e/secret.txt",
        "/site-1/%2e%2e%2f%2e%2e%2fsecret.txt",
        "/site-1/%252e%252e%252fsecret.txt",
        "/site-1/..%5c..%5csecret.txt",
        "/..%2fsecret.txt",
        "/%2e%2e/",
        "/../",
        "/site-1/index.html%00",
        "/site-1%00/",
        "/site-1/%0aindex.html",
        "/site-1/./index.html",
        "/site-1/docs/../index.html",
        "/site-1/.git/config",
        "/site-1/.gitignore",
        "/site-1/.github/workflows/ci.yml",
        "/site-1/.GITKEEP",
        "/site-1.git/config",
        "/site-1.git/HEAD",
        "/site-1.git/refs/heads/main",
        "/site-1.git/writer.lock",
        "/site-1.git/objects/info/packs",
        "/site-1.git/../../secret.txt",
        "/site-1.git/../../secret.txt/info/refs?service=git-upload-pack",
        "/..%2fsites%2fsite-1.git/info/refs?service=git-upload-pack",
        "/...git/info/refs?service=git-upload-pack",
        "/site-1.git%0a/info/refs?service=git-upload-pack",
        "/SITE-1/",
        "/site-1.git.git/info/refs?service=git-upload-pack",
        "/site-1/%ff%fe",
        "/%5cevil.example/",
    ],
)
def test_nothing_outside_the_published_tree_can_be_read(host: Host, target: str) -> None:
    assert host.raw(target) == 404


@pytest.mark.parametrize("of", ["other", "blob", "tree", "nowhere", "branch", "short", "upper"])
def test_a_preview_knows_its_own_commits_only(host: Host, of: str) -> None:
    names = {
        "other": host.other,
        "blob": host.repositories.tree("site-1", host.first)["index.html"],
        "tree": run(host.repositories.root / "site-1.git", "rev-parse", "main^{tree}").stdout.strip(),
        "nowhere": "0" * 40,
        "branch": "main",
        "short": host.first[:10],
        "upper": host.first.upper(),
    }
    assert host.get(f"/site-1/@{names[of]}/index.html").status_code == 404
    assert host.get(f"/site-1/@{names[of]}/").status_code == 404


def test_a_symlink_in_the_tree_is_not_followed(host: Host) -> None:
    folder = host.repositories.root / "link-5.git"
    host.repositories.create("link-5")
    target = run(folder, "hash-object", "-w", "--stdin", text="../../secret.txt").stdout.strip()
    tree = run(folder, "mktree", text=f"120000 blob {target}\tindex.html\n").stdout.strip()
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    run(folder, "update-ref", "refs/heads/main", run(folder, *identity, "commit-tree", tree, "-m", "x").stdout.strip())
    assert [host.get(f"/link-5/{path}").status_code for path in ("", "index.html", "index")] == [404, 404, 404]


# -- git -----------------------------------------------------------------------------------------------------------


def run(folder: Path, *arguments: str, text: str = "", fails: bool = False) -> subprocess.CompletedProcess[str]:
    quiet = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "no_proxy": "*", "GIT_CONFIG_GLOBAL": os.devnull}
    command = ["git", *arguments]
    done = subprocess.run(command, cwd=folder, input=text, capture_output=True, text=True, env=quiet, check=False)
    assert (done.returncode != 0) is fails, done.stderr
    return done


def test_git_clones_and_fetches(host: Host, tmp_path: Path) -> None:
    first = host.repositories.commit("clone-6", SITE, message="1", at=1, parent=None)
    run(tmp_path, "clone", f"{host.url}/clone-6.git", "work")
    work = tmp_path / "work"
    assert {p: (work / p).read_bytes() for p in SITE} == SITE
    assert run(work, "rev-parse", "--abbrev-ref", "HEAD").stdout.strip() == "main"
    second = host.repositories.commit("clone-6", SECOND, message="2", at=2, parent=first)
    run(work, "fetch")
    assert run(work, "rev-parse", "main", "origin/main").stdout.split() == [first, second]
    run(work, "pull", "--ff-only")
    assert (work / "index.html").read_bytes() == SECOND["index.html"]
    run(work, "fsck", "--strict")


def test_git_clones_the_newest_commit_alone(host: Host, tmp_path: Path) -> None:
    run(tmp_path, "clone", "--depth", "1", f"{host.url}/site-1.git", "work")
    assert run(tmp_path / "work", "log", "--format=%H").stdout.split() == [host.second]


def test_an_empty_repository_can_be_cloned(host: Host, tmp_path: Path) -> None:
    run(tmp_path, "clone", f"{host.url}/empty-3.git", "work")


def test_a_person_who_opens_the_clone_address_sees_the_commits(host: Host) -> None:
    answer = host.get("/site-1.git")
    assert answer.status_code == 200
    assert answer.text.splitlines()[1:] == [host.second, host.first]


def test_a_push_is_refused_and_changes_nothing(host: Host, tmp_path: Path) -> None:
    run(tmp_path, "clone", f"{host.url}/site-1.git", "work")
    work = tmp_path / "work"
    (work / "index.html").write_text("defaced")
    run(work, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-am", "deface")
    files = sorted((host.repositories.root / "site-1.git").rglob("*"))
    for refs in (["main"], ["main:evil"], ["--force", "main"], ["--delete", "main"]):
        assert "403" in run(work, "push", "origin", *refs, fails=True).stderr
    assert host.repositories.head("site-1") == host.second
    assert sorted((host.repositories.root / "site-1.git").rglob("*")) == files


@pytest.mark.parametrize("service", ["git-receive-pack", "git-upload-archive", "", "%C3%A9", "git-upload-pack%00"])
def test_no_other_service_is_announced(host: Host, service: str) -> None:
    assert host.get(f"/site-1.git/info/refs?service={service}").status_code == 403


def test_a_push_by_hand_is_refused(host: Host) -> None:
    kind = "application/x-git-receive-pack-request"
    update = f"{host.second} {host.first} refs/heads/main\0 report-status"
    body = f"{len(update) + 4:04x}{update}0000".encode()
    for content_type in (kind, "text/plain"):
        headers = {"Content-Type": content_type}
        answer = host.client.post("/site-1.git/git-receive-pack", content=body, headers=headers)
        assert answer.status_code == 403
    assert host.repositories.head("site-1") == host.second


def upload_pack(host: Host, body: bytes | Iterator[bytes], encoding: str = "identity") -> httpx.Response:
    headers = {"Content-Type": "application/x-git-upload-pack-request", "Content-Encoding": encoding}
    return host.client.post("/site-1.git/git-upload-pack", content=body, headers=headers)


def test_a_request_that_comes_in_chunks_or_zipped_is_understood(host: Host) -> None:
    want = f"want {host.second} side-band-64k thin-pack ofs-delta\n"
    body = f"{len(want) + 4:04x}{want}00000009done\n".encode()
    plain = upload_pack(host, body).content
    assert b"PACK" in plain
    assert upload_pack(host, iter([body[:10], body[10:]])).content == plain
    assert upload_pack(host, gzip.compress(body), "gzip").content == plain


def test_an_endless_request_is_cut_off_zipped_or_not(host: Host) -> None:
    assert upload_pack(host, (b"0" * 65_536 for _ in range(100))).status_code == 413
    want = f"want {host.second} side-band-64k thin-pack ofs-delta\n"
    have = f"0032have {'0' * 40}\n" * 30_000
    body = gzip.compress(f"{len(want) + 4:04x}{want}0000{have}0009done\n".encode())
    with suppress(httpx.RemoteProtocolError):
        assert b"PACK" not in upload_pack(host, body, "gzip").content


@pytest.mark.parametrize("body", [b"", b"nonsense", b"0000", b"fffe", gzip.compress(b"0" * 50_000_000, 1)])
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_a_broken_request_breaks_no_one_else(host: Host, body: bytes, encoding: str) -> None:
    with suppress(httpx.RemoteProtocolError):  # the answer may be cut
        assert b"PACK" not in upload_pack(host, body, encoding).content
    assert host.get("/site-1/").status_code == 200


def asked(repo: str) -> RepositoryRequest:
    return RepositoryRequest(repo=repo, description="A site", mark="0" * 16, round=1, known=None)


# -- the local publisher -------------------------------------------------------------------------------------------


def test_the_local_publisher_knows_when_a_commit_is_live(host: Host) -> None:
    files = {"index.html": b"live"}

    async def scenario() -> list[bool]:
        async with httpx.AsyncClient(trust_env=False) as client:
            publisher = LocalPublisher(host.repositories, client, sites_url="https://sites.example", probe_url=host.url)
            site = await publisher.reserve(asked("live-7"))
            assert (site.repo_url, site.pages_url) == (
                "https://sites.example/live-7.git",
                "https://sites.example/live-7/",
            )
            first = host.repositories.commit("live-7", files, message="1", at=1, parent=None)
            await publisher.push(site, first)
            assert await publisher.reserve(asked("live-7")) == site
            seen = [await publisher.is_live(site, first)]
            second = host.repositories.commit("live-7", files, message="2", at=2, parent=first)
            return [*seen, await publisher.is_live(site, first), await publisher.is_live(site, second)]

    assert asyncio.run(scenario()) == [True, False, True]


def test_a_site_that_is_not_served_is_not_live(tmp_path: Path, host: Host) -> None:
    """Another process's repositories, a server that is away: the commit alone proves nothing."""
    repositories = Repositories(tmp_path)
    sha = repositories.commit("site-1", {"index.html": b"elsewhere"}, message="1", at=1, parent=None)

    async def live(probe_url: str) -> bool:
        async with httpx.AsyncClient(trust_env=False) as client:
            publisher = LocalPublisher(repositories, client, sites_url="http://localhost:1", probe_url=probe_url)
            return await publisher.is_live(await publisher.reserve(asked("site-1")), sha)

    assert not asyncio.run(live(host.url))
    with socket.create_server(("127.0.0.1", 0)) as closed:
        away = f"http://127.0.0.1:{closed.getsockname()[1]}"
    assert not asyncio.run(live(away))


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    async def ready(root: Path) -> str | None:
        async with httpx.AsyncClient() as client:
            return await LocalPublisher(Repositories(root), client, sites_url="http://s", probe_url="http://s").ready()

    assert asyncio.run(ready(tmp_path / "new/sites")) is None
    assert "DATA_DIR" in (asyncio.run(ready(tmp_path / "file/sites")) or "")
