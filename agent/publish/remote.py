"""A repository on another host, over git's smart HTTP: its head, what it has more than ours, and a push that overwrites
nothing. The token goes into a header of each request, never into an address.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from dulwich.client import HTTPUnauthorized, Urllib3HttpGitClient
from dulwich.errors import GitProtocolError, HangupException, NotGitRepository, SendPackError
from dulwich.objects import ObjectID
from dulwich.refs import Ref

from agent.errors import HeadMoved, NoAccess, Rejected, Unreachable
from agent.publish.git import MAIN, Repositories

MAX_SAID_CHARS = 4_000  # of what a host says about a push
SILENCE_S = 60.0  # no byte for so long: the connection is dead
USER = "x-access-token"
OVERTAKEN = ("fetch first", "non-fast-forward", "failed to update", "failed to write", "lock", "old value", "stale")

T = TypeVar("T")


class Client(Urllib3HttpGitClient):
    """dulwich's client, which remembers where a redirect led it."""

    landed_at = ""

    def _discover_references(self, *args: Any, **options: Any) -> Any:
        found = super()._discover_references(*args, **options)
        self.landed_at = found[2].rstrip("/")
        return found


class Remote:
    """The repository at an http(s) address of git; `url` follows it when it is found to have moved."""

    def __init__(self, repositories: Repositories, url: str, *, token: str) -> None:
        self.url = url
        self._repositories = repositories
        self._token = token

    async def head(self) -> str | None:
        """The commit of the remote `main`; None in an empty repository. One request."""
        return await asyncio.to_thread(self._call, self._head)

    async def fetch(self, repo: str) -> str | None:
        """Brings the remote `main`, history and all, and makes it ours; None when it is empty: then ours is left."""
        return await asyncio.to_thread(self._call, lambda client: self._fetch(client, repo))

    async def push(self, repo: str, sha: str) -> None:
        """The remote `main` is `sha`. Raises HeadMoved when it holds a commit that `sha` does not stand on, Rejected.

        One request when it is so already, else two.
        """
        await asyncio.to_thread(self._call, lambda client: self._push(client, repo, sha))

    def _call(self, act: Callable[[Client], T]) -> T:
        client = Client(self.url, username=USER, password=self._token, timeout=SILENCE_S)
        try:
            done = act(client)
            self.url = client.landed_at or self.url
            return done
        except (HTTPUnauthorized, NotGitRepository):
            raise NoAccess(f"{self.url} is not open to the token") from None
        except SendPackError as error:
            raise Rejected(_text(error)) from None
        except GitProtocolError as error:
            if "http resp 403" in str(error):
                raise NoAccess(f"{self.url} may not be written with this token") from None
            raise Unreachable(f"{self.url}: {_text(error)}") from None
        except (HangupException, OSError, AssertionError, ValueError) as error:  # an answer cut off or garbled
            raise Unreachable(f"{self.url}: {_text(error)}") from None

    def _head(self, client: Client) -> str | None:
        found = client.get_refs(b"", protocol_version=0).refs.get(MAIN)
        return found.decode() if found else None

    def _fetch(self, client: Client, repo: str) -> str | None:
        self._repositories.create(repo)
        with self._repositories.open(repo) as git:

            def wanted(refs: Mapping[Ref, ObjectID], depth: int | None = None) -> list[ObjectID]:
                return [refs[MAIN]] if MAIN in refs and refs[MAIN] not in git.object_store else []

            found = client.fetch(b"", git, determine_wants=wanted).refs.get(MAIN)
        if found is None:
            return None
        self._repositories.reset(repo, found.decode())
        return found.decode()

    def _push(self, client: Client, repo: str, sha: str) -> None:
        known = set(self._repositories.history(repo))
        said: list[bytes] = []

        def update(refs: dict[Ref, ObjectID]) -> dict[Ref, ObjectID]:
            # The protocol itself would overwrite a head that we do not know.
            found = refs.get(MAIN)
            if found is not None and found.decode() not in known:
                raise HeadMoved(repo, expected=sha, found=found.decode())
            return {MAIN: ObjectID(sha.encode())}

        with self._repositories.open(repo) as git:
            pack: Any = git.generate_pack_data  # dulwich types the two ends differently
            result = client.send_pack(b"", update, pack, progress=said.append)
        for reason in filter(None, (result.ref_status or {}).values()):
            if any(word in reason for word in OVERTAKEN):
                raise HeadMoved(repo, expected=sha, found=None)
            raise Rejected(
                "\n".join([reason, *b"".join(said).decode("utf-8", "replace").splitlines()])[:MAX_SAID_CHARS]
            )


def _text(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
