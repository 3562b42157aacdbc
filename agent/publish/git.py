"""The sites as git repositories: one bare repository a site, its branch `main` moved by compare-and-swap only.

Methods block for milliseconds: call them from a thread. Any number of threads and processes may share one root.
"""

import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from dulwich.index import commit_tree
from dulwich.object_store import MemoryObjectStore
from dulwich.objects import ZERO_SHA, Blob, Commit, ObjectID
from dulwich.refs import Ref
from dulwich.repo import Repo
from filelock import FileLock

from agent.errors import HeadMoved, UnknownCommit
from agent.workspace import unfit

AUTHOR = b"llm-devops-engine <agent@llm-devops-engine.invalid>"
MAIN = Ref(b"refs/heads/main")
REPO_NAME = re.compile(r"(?!\.)[a-z0-9._-]{1,100}(?<!\.git)")
FILE_MODE = 0o100644
REPEATED = "Publish the same files again"
LOCK_TIMEOUT_S = 60.0  # a writer holds the lock for milliseconds
FOLDERS = ("objects/info", "objects/pack", "refs/heads", "refs/tags")
CONFIG = "[core]\n\trepositoryformatversion = 0\n\tfilemode = false\n\tbare = true\n"


class Repositories:
    """The bare repositories `root/<repo>.git`. A name that is no repository name raises ValueError."""

    def __init__(self, root: Path) -> None:
        self.root = root

    # -- writing ---------------------------------------------------------------------------------------------------

    def commit(self, repo: str, files: Mapping[str, bytes], *, message: str, at: float, parent: str | None) -> str:
        """Makes these files the head of `main`; the sha. The same arguments give the same sha and change nothing twice.

        Raises HeadMoved when the head is neither `parent` nor that sha, ValueError for a path that no commit can hold.
        """
        for fault in unfit(files).values():
            raise ValueError(fault)
        objects = MemoryObjectStore()
        new = _commit(objects, files, message=message, at=at, parent=parent)
        sha = new.id.decode()
        with self._writing(repo) as git:
            head = _head(git)
            if head == sha:
                return sha
            if head == parent:
                # On disk, as one pack, before any ref names them: a power cut must not leave a head without its files.
                git.object_store.fsync_object_files = True
                git.object_store.add_objects([(objects[o], None) for o in objects if o not in git.object_store])
                if git.refs.set_if_equals(MAIN, ObjectID(parent.encode()) if parent else ZERO_SHA, new.id):
                    return sha
        raise HeadMoved(f"the head of {repo!r} is {head}, not {parent}: build on the new head and commit again")

    def commit_on_top(self, repo: str, files: Mapping[str, bytes], *, message: str, at: float) -> str:
        """Commits on whatever is the head; a head that is this very commit stays. The sha."""
        head = self.head(repo)
        if head:
            with self.open(repo) as git:
                parents = _find(git, repo, head).parents
            before = parents[0].decode() if parents else None
            if _commit(MemoryObjectStore(), files, message=message, at=at, parent=before).id.decode() == head:
                return head
        return self.commit(repo, files, message=message, at=at, parent=head)

    def repeat(self, repo: str, sha: str) -> str:
        """An empty commit on top of `sha`: the same files under a new id, for a host that lost the first one."""
        with self.open(repo) as git:
            at = float(_find(git, repo, sha).commit_time)
        return self.commit(repo, self.files(repo, sha), message=REPEATED, at=at, parent=sha)

    def repeated(self, repo: str, sha: str) -> str:
        """The head, if `repeat` made it from `sha`; else `sha`."""
        with self.open(repo) as git:
            head = _head(git) or sha
            commit = _find(git, repo, head)
            ours = commit.parents == [sha.encode()] and commit.message.decode("utf-8", "replace").strip() == REPEATED
            return head if ours else sha

    def reset(self, repo: str, sha: str | None) -> None:
        """Makes a commit that lies in the repository its head, as it is elsewhere; None: there is no commit yet."""
        with self._writing(repo) as git:
            if sha:
                git.refs[MAIN] = ObjectID(sha.encode())
            else:
                git.refs.remove_if_equals(MAIN, None)

    def create(self, repo: str) -> None:
        """The repository exists; one half made by a killed process is completed. Idempotent."""
        with self._writing(repo):
            pass

    # -- reading ---------------------------------------------------------------------------------------------------

    def exists(self, repo: str) -> bool:
        """False for a name that can be no repository, too."""
        return bool(REPO_NAME.fullmatch(repo)) and (self._path(repo) / "HEAD").is_file()

    def head(self, repo: str) -> str | None:
        """None when nothing was committed yet."""
        with self.open(repo) as git:
            return _head(git)

    def history(self, repo: str) -> list[str]:
        """Every commit of `main`, newest first."""
        with self.open(repo) as git:
            return [commit.id.decode() for commit in _history(git)]

    def holds(self, repo: str, sha: str) -> bool:
        """Whether the commit lies in the history of `main`."""
        return sha in self.history(repo)

    def changes(self, repo: str, sha: str) -> dict[str, bytes]:
        """The files that a commit made or changed; those of the commit before for one that `repeat` made."""
        with self.open(repo) as git:
            commit = _find(git, repo, sha)
            while commit.message.decode("utf-8", "replace").strip() == REPEATED:
                commit = _find(git, repo, commit.parents[0].decode())
            before = _tree(git, repo, commit.parents[0].decode()) if commit.parents else {}
            after = _tree(git, repo, sha)
            return {path: _blob(git, blob) for path, blob in after.items() if before.get(path) != blob}

    def tree(self, repo: str, sha: str) -> dict[str, str]:
        """Path → blob id of the regular files of a commit: no symlinks, no submodules. Raises UnknownCommit."""
        with self.open(repo) as git:
            return _tree(git, repo, sha)

    def blob(self, repo: str, blob_id: str) -> bytes:
        """Raises KeyError."""
        with self.open(repo) as git:
            return _blob(git, blob_id)

    def files(self, repo: str, sha: str, *, under: str = "") -> dict[str, bytes]:
        """Path → bytes of the regular files of a commit whose path begins with `under`. Raises UnknownCommit."""
        with self.open(repo) as git:
            tree = _tree(git, repo, sha)
            return {path: _blob(git, blob_id) for path, blob_id in tree.items() if path.startswith(under)}

    def read(self, repo: str, sha: str, path: str) -> bytes | None:
        """One regular file of a commit; None when there is no such commit or file."""
        with self.open(repo) as git:
            try:
                return _blob(git, _tree(git, repo, sha)[path])
            except (KeyError, UnknownCommit):
                return None

    @contextmanager
    def open(self, repo: str) -> Iterator[Repo]:
        """dulwich's view of the repository, closed afterwards."""
        with Repo(str(self._path(repo)), bare=True) as git:
            yield git

    # -- helpers ---------------------------------------------------------------------------------------------------

    @contextmanager
    def _writing(self, repo: str) -> Iterator[Repo]:
        """The repository, complete, for its only writer; the kernel frees the lock of a killed one."""
        path = self._path(repo)
        path.mkdir(parents=True, exist_ok=True)
        with FileLock(path / "writer.lock", timeout=LOCK_TIMEOUT_S, poll_interval=0.005):
            _complete(path)
            with self.open(repo) as git:
                yield git

    def _path(self, repo: str) -> Path:
        if not REPO_NAME.fullmatch(repo):
            raise ValueError(f"{repo!r} is no repository name: use a-z, 0-9, '.', '_' and '-'")
        return self.root / f"{repo}.git"


def _complete(path: Path) -> None:
    """What a repository needs is there, and no lock file of a killed writer; HEAD comes last and tells `exists`."""
    for folder in FOLDERS:
        (path / folder).mkdir(parents=True, exist_ok=True)
    for abandoned in (path / "refs/heads/main.lock", *(path / "objects/pack").glob("*.lock")):
        abandoned.unlink(missing_ok=True)
    for name, text in (("config", CONFIG), ("HEAD", f"ref: {MAIN.decode()}\n")):
        target = path / name
        if not target.is_file() or not target.stat().st_size:
            draft = path / f"{name}.new"
            draft.write_text(text)
            draft.replace(target)


def _commit(
    objects: MemoryObjectStore, files: Mapping[str, bytes], *, message: str, at: float, parent: str | None
) -> Commit:
    """Puts a commit of these files into `objects`: a pure function of its arguments."""
    entries = []
    for path, data in files.items():
        blob = Blob.from_string(data)
        objects.add_object(blob)
        entries.append((path.encode(), blob.id, FILE_MODE))
    commit = Commit()
    commit.tree = commit_tree(objects, entries)
    commit.parents = [ObjectID(parent.encode())] if parent else []
    commit.author = commit.committer = AUTHOR
    commit.author_time = commit.commit_time = int(at)
    commit.author_timezone = commit.commit_timezone = 0
    commit.message = message.replace("\0", "").strip().encode("utf-8", "replace") + b"\n"
    objects.add_object(commit)
    return commit


def _head(git: Repo) -> str | None:
    try:
        return git.refs[MAIN].decode()
    except KeyError:
        return None


def _history(git: Repo) -> Iterator[Commit]:
    head = _head(git)
    if head:
        for entry in git.get_walker([ObjectID(head.encode())]):
            yield entry.commit


def _find(git: Repo, repo: str, sha: str) -> Commit:
    for commit in _history(git):
        if commit.id == sha.encode():
            return commit
    raise UnknownCommit(f"{sha!r} is no commit in the history of {repo!r}")


def _tree(git: Repo, repo: str, sha: str) -> dict[str, str]:
    entries = git.object_store.iter_tree_contents(_find(git, repo, sha).tree)
    return {
        entry.path.decode("utf-8", "surrogateescape"): entry.sha.decode()
        for entry in entries
        if stat.S_ISREG(entry.mode)
    }


def _blob(git: Repo, blob_id: str) -> bytes:
    return git.object_store[ObjectID(blob_id.encode())].as_raw_string()
