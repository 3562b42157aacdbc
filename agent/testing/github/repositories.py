"""The bare repositories of the GitHub on loopback. It reads and writes git by itself: the code under test must not be
checked by its own hand.
"""

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dulwich.index import commit_tree
from dulwich.objects import Blob, Commit, ObjectID
from dulwich.refs import Ref
from dulwich.repo import Repo as Git

HEAD = Ref(b"refs/heads/main")
PERSON = b"A person <person@example.invalid>"


class Repositories:
    """One folder a repository, under its key."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def create(self, key: str) -> None:
        self._folder(key).mkdir(parents=True)
        Git.init_bare(str(self._folder(key)), default_branch=b"main").close()

    def rename(self, old: str, new: str) -> None:
        self._folder(old).rename(self._folder(new))

    def open(self, key: str) -> Git:
        """To be closed by whoever opened it."""
        return Git(str(self._folder(key)), bare=True)

    def head(self, key: str) -> str | None:
        """None in an empty repository."""
        with self.open(key) as git:
            found: ObjectID | None = git.refs.as_dict().get(HEAD)
            return found.decode() if found else None

    def history(self, key: str) -> list[str]:
        """The newest commit first."""
        head = self.head(key)
        if head is None:
            return []
        with self.open(key) as git:
            return [entry.commit.id.decode() for entry in git.get_walker(include=[ObjectID(head.encode())])]

    def files(self, key: str, sha: str) -> dict[str, bytes]:
        """Path → bytes of the regular files of a commit."""
        with self.open(key) as git:
            commit: Any = git[ObjectID(sha.encode())]
            return {
                entry.path.decode(): git.object_store[entry.sha].as_raw_string()
                for entry in git.object_store.iter_tree_contents(commit.tree)
                if stat.S_ISREG(entry.mode)
            }

    def commit(self, key: str, files: Mapping[str, bytes], *, message: str, at: float) -> str:
        """What a person commits by hand, on top of the head; the sha."""
        parent = self.head(key)
        with self.open(key) as git:
            blobs = {path.encode(): Blob.from_string(data) for path, data in files.items()}
            git.object_store.add_objects([(blob, None) for blob in blobs.values()])
            commit = Commit()
            commit.tree = commit_tree(git.object_store, [(path, blob.id, 0o100644) for path, blob in blobs.items()])
            commit.parents = [ObjectID(parent.encode())] if parent else []
            commit.author = commit.committer = PERSON
            commit.author_time = commit.commit_time = int(at)
            commit.author_timezone = commit.commit_timezone = 0
            commit.message = message.encode()
            git.object_store.add_object(commit)
            git.refs[HEAD] = commit.id
            return commit.id.decode()

    def _folder(self, key: str) -> Path:
        return self.root / f"{key}.git"
