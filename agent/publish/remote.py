"""A repository on another host, over git's smart HTTP: its head, what it has more than ours, and a push that overwrites
nothing. The token goes into a header of each request, never into an address.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import urljoin

from dulwich.client import HTTPUnauthorized, Urllib3HttpGitClient, default_urllib3_manager
from dulwich.errors import GitProtocolError, HangupException, NotGitRepository, SendPackError
from dulwich.objects import ObjectID
from dulwich.refs import Ref

from agent.errors import HeadMoved, NoAccess, Rejected, Unreachable
from agent.publish.git import MAIN, Repositories

MAX_SAID_CHARS = 4_000  # of what a host says about a push
SILENCE_S = 60.0  # no byte for so long: the connection is dead
USER = "x-access-token"
OVERTAKEN = ("fetch first", "non-fast-forward", "failed to update", "failed to write", "lock", "old value", "stale")
REFUSALS = (401, 403, 404, 429)

T = TypeVar("T")


class Connections:
    """urllib3's pool as dulwich opens it, which keeps what dulwich does not tell: where a redirect led, and who was
    refused with which words.
    """

    def __init__(self, url: str) -> None:
        self._pool = default_urllib3_manager(None, base_url=url, timeout=SILENCE_S)
        self.headers = self._pool.headers
        self.landed_at = url
        self.refusal: tuple[int, Mapping[str, str], str] | None = None

    def request(self, method: str, url: str, **options: Any) -> Any:
        response = self._pool.request(method, url, **options)
        repository, asked, _ = urljoin(url, response.geturl() or "").partition("/info/refs?")
        if asked:
            self.landed_at = repository
        if response.status in REFUSALS:
            said = response.read(MAX_SAID_CHARS, decode_content=True).decode("utf-8", "replace")
            headers = {name.lower(): value for name, value in response.headers.items()}
            self.refusal = (response.status, headers, " ".join(said.split()))
        return response


class Remote:
    """The repository at an http(s) address of git; `url` follows it when it is found to have moved."""

    def __init__(self, repositories: Repositories, url: str, *, token: str) -> None:
        self.url = url
        self._repositories = repositories
        self._token = token

    async def head(self) -> str | None:
        """The commit of the remote `main`; None in an empty repository. One request."""
        refs = await asyncio.to_thread(self._call, lambda client: client.get_refs(b"", protocol_version=0).refs)
        return refs[MAIN].decode() if refs.get(MAIN) else None

    async def fetch(self, repo: str) -> str | None:
        """Brings the remote `main`, history and all, and makes it ours; None when it is empty: then ours is left."""
        return await asyncio.to_thread(self._call, lambda client: self._fetch(client, repo))

    async def push(self, repo: str, sha: str) -> None:
        """The remote `main` is `sha`. Raises HeadMoved when it holds a commit that `sha` does not stand on, Rejected.

        One request when it is so already, else two.
        """
        await asyncio.to_thread(self._call, lambda client: self._push(client, repo, sha))

    def _call(self, act: Callable[[Urllib3HttpGitClient], T]) -> T:
        connections: Any = Connections(self.url)
        client = Urllib3HttpGitClient(
            self.url, username=USER, password=self._token, timeout=SILENCE_S, pool_manager=connections
        )
        try:
            done = act(client)
            self.url = connections.landed_at
            return done
        except SendPackError as error:
            raise Rejected(_text(error)) from None
        except (HTTPUnauthorized, NotGitRepository, GitProtocolError) as error:
            if connections.refusal:
                raise NoAccess(f"{self.url} is not open to the token", *connections.refusal) from None
            raise Unreachable(f"{self.url}: {_text(error)}") from None
        except (HangupException, OSError, AssertionError, ValueError) as error:  # an answer cut off or garbled
            raise Unreachable(f"{self.url}: {_text(error)}") from None

    def _fetch(self, client: Urllib3HttpGitClient, repo: str) -> str | None:
        self._repositories.create(repo)
        with self._repositories.open(repo) as git:

            def wanted(refs: Mapping[Ref, ObjectID], depth: int | None = None) -> list[ObjectID]:
                return [refs[MAIN]] if MAIN in refs and refs[MAIN] not in git.object_store else []

            found = client.fetch(b"", git, determine_wants=wanted).refs.get(MAIN)
        if found is None:
            return None
        self._repositories.reset(repo, found.decode())
        return found.decode()

    def _push(self, client: Urllib3HttpGitClient, repo: str, sha: str) -> None:
        known = set(self._repositories.history(repo))
        said: list[bytes] = []

        def update(refs: dict[Ref, ObjectID]) -> dict[Ref, ObjectID]:
            # The protocol itself would overwrite a head that we do not know.
            found = refs.get(MAIN)
            if found is not None and found.decode() not in known:
                raise HeadMoved(f"{self.url} is at {found.decode()}, on which {sha} does not stand")
            return {MAIN: ObjectID(sha.encode())}

        with self._repositories.open(repo) as git:
            pack: Any = git.generate_pack_data  # dulwich types the two ends differently
            result = client.send_pack(b"", update, pack, progress=said.append)
        for reason in filter(None, (result.ref_status or {}).values()):
            if any(word in reason for word in OVERTAKEN):
                raise HeadMoved(f"{self.url} took another commit than {sha} first ({reason})")
            raise Rejected(
                "\n".join([reason, *b"".join(said).decode("utf-8", "replace").splitlines()])[:MAX_SAID_CHARS]
            )


def _text(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
