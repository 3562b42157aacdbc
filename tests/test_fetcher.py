"""What pages load from elsewhere is kept for a day, within a bound."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest

from agent.browser.network import Fetcher
from agent.net import Resource

BODY = b"x" * 1_000


def fetch(folder: Path, urls: Sequence[str], max_cached_bytes: int) -> list[str]:
    """The addresses that were asked of their hosts, when these were wanted one after the other."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(200, stream=httpx.ByteStream(BODY), headers={"Content-Type": "text/javascript"})

    async def act() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
            fetcher = Fetcher(http, folder, max_cached_bytes=max_cached_bytes)
            for url in urls:
                found = await fetcher(url, frozenset({"cdn.jsdelivr.net", "data.example"}))
                assert found == Resource(BODY, "text/javascript")

    asyncio.run(act())
    return asked


A, B, C = (f"https://cdn.jsdelivr.net/npm/{name}.js" for name in "abc")


def test_a_library_is_fetched_once_and_data_every_time(tmp_path: Path) -> None:
    data = "https://data.example/now"
    assert fetch(tmp_path, [A, A, data, data], 10_000) == [A, data, data]
    assert fetch(tmp_path, [A], 10_000) == []


@pytest.mark.parametrize("room", [2, 3])
def test_the_cache_never_grows_past_its_bound(tmp_path: Path, room: int) -> None:
    bound = room * 1_100
    asked = fetch(tmp_path, [A, B, C, C], bound)
    assert asked == [A, B, C]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= bound
    assert len(list(tmp_path.iterdir())) == room


def test_what_is_larger_than_the_bound_is_served_and_not_kept(tmp_path: Path) -> None:
    assert fetch(tmp_path, [A, A], 100) == [A, A]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_costs_a_fetch_only(tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    assert fetch(tmp_path / "cache", [A, A], 10_000) == [A, A]
