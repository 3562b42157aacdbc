"""What stands in for the world outside in tests and benchmarks."""

from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from agent.net import Resource


@dataclass(frozen=True)
class Recorded:
    """URL → bytes: the internet of a test."""

    resources: Mapping[str, Resource]

    async def __call__(self, url: str, _hosts: frozenset[str]) -> Resource:
        if url in self.resources:
            return self.resources[url]
        request, headers = httpx.Request("GET", url), {"Access-Control-Allow-Origin": "*"}
        raise httpx.HTTPStatusError(
            "not recorded", request=request, response=httpx.Response(404, headers=headers, request=request)
        )
