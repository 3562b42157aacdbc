"""Who may see more than one task: whoever holds ADMIN_TOKEN or, while it is unset, whoever sits at this machine."""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hmac import compare_digest
from ipaddress import IPv6Address, ip_address

from fastapi import Request
from pydantic import SecretStr

from agent.errors import BadRequest

FORWARDING_HEADERS = frozenset(
    (
        "forwarded",
        "via",
        "client-ip",
        "true-client-ip",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-envoy-external-address",
        "x-original-host",
        "x-original-url",
        "x-real-ip",
        "cf-connecting-ip",
        "fastly-client-ip",
        "fly-client-ip",
    )
)
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/@?#\[\]\\]+?)\.?(?::([0-9]{1,5}))?")


@dataclass(frozen=True)
class Operator:
    """A dependency of every route that shows more than one task."""

    token: SecretStr | None

    async def __call__(self, request: Request) -> None:
        """Raises BadRequest."""
        check(self.token, request.client.host if request.client else None, request.headers)


def check(token: SecretStr | None, peer: str | None, headers: Mapping[str, str]) -> None:
    """Raises BadRequest 401 or 403 unless the operator asks. Names of headers are in lower case."""
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        raise BadRequest(403, "other sites may not read this page: open it from the address bar")
    if token is not None:
        if not _carries(headers.get("authorization", ""), token):
            raise BadRequest(401, "this page needs ADMIN_TOKEN, as a bearer token or as the password of HTTP Basic")
        return
    if not (is_loopback(peer or "") and is_loopback(split_host(headers.get("host", ""))[0])) or _forwarded(headers):
        raise BadRequest(403, "without ADMIN_TOKEN this page opens only on the machine itself: set ADMIN_TOKEN")


def split_host(header: str) -> tuple[str, int | None]:
    """Name and port of a Host header, the name in lower case without brackets; ("", None) when it is no Host."""
    match = _HOST.fullmatch(header.strip())
    if match is None:
        return "", None
    name, port = match.groups()
    return name.lower().strip("[]"), int(port) if port else None


def is_loopback(name: str) -> bool:
    """Whether it is localhost or a loopback address; a name is never looked up."""
    if name == "localhost":
        return True
    try:
        address = ip_address(name)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback


def _carries(authorization: str, token: SecretStr) -> bool:
    """Compares in constant time, on bytes; the user name of HTTP Basic may be anything."""
    scheme, _, credentials = authorization.partition(" ")
    given = credentials.strip().encode("latin-1", "replace")
    if scheme.lower() == "basic":
        try:
            given = base64.b64decode(given, validate=True).partition(b":")[2]
        except binascii.Error:
            return False
    elif scheme.lower() != "bearer":
        return False
    return compare_digest(given, token.get_secret_value().encode())


def _forwarded(headers: Mapping[str, str]) -> bool:
    """Whether a proxy passed the request on: its own peer is then the proxy, not the reader."""
    return any(name in FORWARDING_HEADERS or name.startswith("x-forwarded-") for name in map(str.lower, headers))
