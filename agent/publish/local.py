"""The publisher that needs no account: what is committed is cloned and served from here."""

import asyncio
import os
from urllib.parse import urlsplit

import httpx

from agent.publish.git import Repositories
from agent.publish.publisher import RepositoryRequest, Target


class LocalPublisher:
    """`sites_url` is what the world calls the sites' server, `probe_url` where this process reaches it."""

    name = "local"
    reserve_s = 10.0
    builds = None

    def __init__(self, repositories: Repositories, http: httpx.AsyncClient, *, sites_url: str, probe_url: str) -> None:
        self._repositories = repositories
        self._http = http
        self._sites_url = sites_url
        self._probe_url = probe_url

    async def reserve(self, request: RepositoryRequest) -> Target:
        """The repository exists and can be cloned, empty or not."""
        await asyncio.to_thread(self._repositories.create, request.repo)
        url = f"{self._sites_url}/{request.repo}"
        return Target(repo=request.repo, repo_url=f"{url}.git", pages_url=f"{url}/")

    async def push(self, target: Target, commit_sha: str) -> None:
        """Nothing to do: the repository that was committed to is the public one."""

    async def is_live(self, target: Target, commit_sha: str) -> bool:
        """Whether the commit is the head and its page comes back over HTTP, byte for byte."""
        if await asyncio.to_thread(self._repositories.head, target.repo) != commit_sha:
            return False
        for path in ("index.html", "LICENSE"):  # a site without a page is proved by the file that every site has
            committed = await asyncio.to_thread(self._repositories.read, target.repo, commit_sha, path)
            if committed is not None:
                return await self._served(f"{target.repo}/{path}") == committed
        return False

    async def ready(self) -> str | None:
        """A sentence when no repository can be written."""
        root = self._repositories.root
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            return f"DATA_DIR: {root} cannot be made ({error.strerror}): name a folder that this process may write"
        return None if os.access(root, os.W_OK) else f"DATA_DIR: {root} is not writable by this process"

    async def _served(self, address: str) -> bytes | None:
        """None when there is no such page or no answer."""
        host = {"Host": urlsplit(self._sites_url).netloc}
        try:
            response = await self._http.get(f"{self._probe_url}/{address}", headers=host)
        except httpx.HTTPError:
            return None
        return response.content if response.status_code == 200 else None
