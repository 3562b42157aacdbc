"""Repositories: same input same sha, nothing lost in a race, nothing broken by a kill, nothing outside the root."""

import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from agent.errors import HeadMoved, UnknownCommit
from agent.publish.git import Repositories

AT = 1_800_000_000.75
SITE = {"index.html": b"<!doctype html>", "assets/js/app.js": b"let a", "LICENSE": b"MIT", ".nojekyll": b""}


def commit(repositories: Repositories, files: dict[str, bytes], parent: str | None = None) -> str:
    return repositories.commit("site-1", files, message="Round", at=AT, parent=parent)


def git(folder: Path, *arguments: str, text: str = "") -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, input=text, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_same_commit_has_one_sha_and_is_made_once(tmp_path: Path) -> None:
    here, there = Repositories(tmp_path / "here"), Repositories(tmp_path / "there")
    sha = commit(here, SITE)
    assert commit(here, dict(reversed(SITE.items()))) == sha == commit(there, SITE)
    assert here.history("site-1") == [sha]
    assert here.commit("site-2", SITE, message="Round", at=AT + 1, parent=None) != sha


def test_a_later_round_stands_on_the_earlier_one(tmp_path: Path) -> None:
    repositories = Repositories(tmp_path)
    first = commit(repositories, SITE)
    second = commit(repositories, {"index.html": b"new", "assets/js/app.js": b"let a"}, first)
    assert repositories.head("site-1") == second
    assert repositories.history("site-1") == [second, first]
    assert repositories.files("site-1", first) == SITE
    assert repositories.files("site-1", second) == {"index.html": b"new", "assets/js/app.js": b"let a"}
    assert repositories.read("site-1", first, "assets/js/app.js") == b"let a"


def test_what_does_not_exist_is_none_or_named(tmp_path: Path) -> None:
    repositories = Repositories(tmp_path)
    assert (repositories.exists("site-1"), repositories.head("site-1"), repositories.history("site-1")) == (
        False,
        None,
        [],
    )
    sha = commit(repositories, SITE)
    assert repositories.read("site-1", sha, "assets") is None
    assert repositories.read("site-1", sha, "no.html") is None
    assert repositories.read("site-1", "0" * 40, "index.html") is None
    assert repositories.read("other", sha, "index.html") is None
    with pytest.raises(UnknownCommit, match="other"):
        repositories.files("other", sha)


@pytest.mark.parametrize("parent", [None, "0" * 40])
def test_a_head_that_moved_is_not_overwritten(tmp_path: Path, parent: str | None) -> None:
    repositories = Repositories(tmp_path)
    first = commit(repositories, SITE)
    with pytest.raises(HeadMoved, match=first):
        commit(repositories, {"index.html": b"mine"}, parent)
    assert repositories.history("site-1") == [first]


def test_a_commit_on_a_lost_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HeadMoved, match="None"):
        commit(Repositories(tmp_path), SITE, "0" * 40)


RACER = """
import sys
from pathlib import Path
from agent.errors import HeadMoved
from agent.publish.git import Repositories
repositories, name = Repositories(Path(sys.argv[1])), sys.argv[2]
for number in range(int(sys.argv[3])):
    while True:
        head = repositories.head("site-1")
        files = repositories.files("site-1", head) if head else {}
        try:
            sha = repositories.commit("site-1", {**files, f"{name}-{number}": b""}, message=name, at=0, parent=head)
            break
        except HeadMoved:
            pass
    print(sha, flush=True)
"""


def race(root: Path, name: str, commits: int) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", RACER, str(root), name, str(commits)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent)


def test_no_commit_of_racing_processes_and_threads_is_lost(tmp_path: Path) -> None:
    repositories = Repositories(tmp_path)

    def one(name: str) -> None:
        while True:
            head = repositories.head("site-1")
            files = repositories.files("site-1", head) if head else {}
            try:
                commit(repositories, {**files, name: b""}, head)
            except HeadMoved:
                continue
            return

    with race(tmp_path, "a", 6) as a, race(tmp_path, "b", 6) as b, ThreadPoolExecutor(4) as threads:
        list(threads.map(one, [f"t-{number}" for number in range(12)]))
        a.communicate()
        b.communicate()
    expected = {f"{name}-{number}" for name in "ab" for number in range(6)} | {f"t-{number}" for number in range(12)}
    history = repositories.history("site-1")
    assert set(repositories.files("site-1", history[0])) == expected
    assert len(history) == len(expected)


def test_a_repository_survives_a_writer_that_is_killed(tmp_path: Path) -> None:
    with race(tmp_path, "killed", 10_000) as writer:
        assert writer.stdout
        told = [writer.stdout.readline().strip() for _ in range(3)]
        writer.send_signal(signal.SIGKILL)
    repositories = Repositories(tmp_path)
    assert set(told) <= set(repositories.history("site-1"))
    commit(repositories, SITE, repositories.head("site-1"))
    git(tmp_path / "site-1.git", "fsck", "--strict")


def only_the_folder(path: Path) -> None:
    path.mkdir()


def no_head(path: Path) -> None:
    (path / "objects/pack").mkdir(parents=True)
    (path / "HEAD.lock").touch()
    (path / "HEAD.new").touch()


def empty_files(path: Path) -> None:
    path.mkdir()
    (path / "HEAD").touch()
    (path / "config").touch()


def no_refs(path: Path) -> None:
    path.mkdir()
    (path / "HEAD").write_text("ref: refs/heads/main\n")


def abandoned_locks(path: Path) -> None:
    (path / "refs/heads").mkdir(parents=True)
    (path / "refs/heads/main.lock").touch()
    commit(twin := Repositories(path.parent / "elsewhere"), SITE)
    (path / "objects/pack").mkdir(parents=True)
    for made in (twin.root / "site-1.git/objects/pack").iterdir():
        (path / "objects/pack" / made.with_suffix(".pack").name).write_bytes(b"PACK")
        (path / "objects/pack" / made.with_suffix(".idx.lock").name).touch()


@pytest.mark.parametrize("leave", [only_the_folder, no_head, empty_files, no_refs, abandoned_locks])
def test_a_half_made_repository_is_completed(tmp_path: Path, leave: Callable[[Path], None]) -> None:
    leave(tmp_path / "site-1.git")
    repositories = Repositories(tmp_path)
    assert repositories.head("site-1") is None
    sha = commit(repositories, SITE)
    assert repositories.files("site-1", sha) == SITE
    git(tmp_path / "site-1.git", "fsck", "--strict")
    assert git(tmp_path / "site-1.git", "rev-parse", "HEAD") == sha


def test_git_itself_reads_what_was_committed(tmp_path: Path) -> None:
    sha = commit(Repositories(tmp_path), SITE)
    folder = tmp_path / "site-1.git"
    assert git(folder, "log", "-1", "--format=%H %ct %ai", "main") == f"{sha} 1800000000 2027-01-15 08:00:00 +0000"
    modes = {line.split()[0] for line in git(folder, "ls-tree", "-r", "main").splitlines()}
    assert modes == {"100644"}


@pytest.mark.parametrize("message", ["", "a\0b", "\ud800 half", "with a \n second line", "ünï 🎉"])
def test_any_message_makes_a_sound_commit(tmp_path: Path, message: str) -> None:
    Repositories(tmp_path).commit("site-1", SITE, message=message, at=AT, parent=None)
    git(tmp_path / "site-1.git", "fsck", "--strict")


@pytest.mark.parametrize(
    "path",
    ["", "/etc/passwd", "../up", "a/../b", "a//b", "a/", "./a", ".git/config", "a/.GIT/hooks/x", "git~1/x", ".git /x",
     "a\\b", "a\0b", "a\nb", "\ud800", "index.html/x"],
)  # fmt: skip
def test_a_path_that_git_would_not_check_out_is_refused(tmp_path: Path, path: str) -> None:
    repositories = Repositories(tmp_path)
    with pytest.raises(ValueError, match=r"path|folder|git keeps|no file name|beside"):
        commit(repositories, {"index.html": b"", path: b""})
    assert not repositories.exists("site-1")


@pytest.mark.parametrize(
    "repo", ["", ".", "..", "../up", "a/b", "/etc", "a\\b", "a\0", "A", ".hidden", "x.git", "é", "a" * 101]
)
def test_an_odd_repository_name_never_reaches_the_disk(tmp_path: Path, repo: str) -> None:
    repositories = Repositories(tmp_path / "root")
    for use in (repositories.head, repositories.create, repositories.history):
        with pytest.raises(ValueError, match="repository name"):
            use(repo)
    assert not repositories.exists(repo)
    assert list(tmp_path.iterdir()) == []


def test_symlinks_and_submodules_are_never_read(tmp_path: Path) -> None:
    repositories = Repositories(tmp_path)
    first = commit(repositories, SITE)
    folder = tmp_path / "site-1.git"
    target = git(folder, "hash-object", "-w", "--stdin", text="/etc/passwd")
    page = git(folder, "hash-object", "-w", "--stdin", text="page")
    entries = f"120000 blob {target}\tlink\n160000 commit {first}\tmodule\n100755 blob {page}\tpage\n"
    tree = git(folder, "mktree", text=entries)
    sha = git(folder, "-c", "user.name=a", "-c", "user.email=a@b", "commit-tree", tree, "-p", first, "-m", "odd")
    git(folder, "update-ref", "refs/heads/main", sha)
    assert repositories.files("site-1", sha) == {"page": b"page"}
    assert repositories.read("site-1", sha, "link") is None
    assert repositories.read("site-1", sha, "module") is None


def test_a_commit_outside_the_history_is_unknown(tmp_path: Path) -> None:
    repositories = Repositories(tmp_path)
    first = commit(repositories, SITE)
    folder = tmp_path / "site-1.git"
    arguments = ("-c", "user.name=a", "-c", "user.email=a@b", "commit-tree", f"{first}^{{tree}}", "-m", "loose")
    loose = git(folder, *arguments)
    assert git(folder, "cat-file", "-t", loose) == "commit"
    assert repositories.read("site-1", loose, "index.html") is None
