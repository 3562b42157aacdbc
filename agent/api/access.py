"""What routes depend on: the service, and whether the operator asks, whoever sends ADMIN_TOKEN."""

import base64
import binascii
import re
from hmac import compare_digest
from typing import Annotated

from fastapi import Depends, Request
from pydantic import SecretStr

from agent.errors import BadRequest
from agent.service import Service

UNAUTHORIZED = (
    "this page needs ADMIN_TOKEN, as a bearer token or as the password of HTTP Basic; while it is not set, "
    "main.py serve prints the one that the service made, and main.py doctor says where it is kept"
)
CROSS_SITE = "other sites may not read this page: open it from the address bar"
NOT_THE_OPERATOR = {
    401: ("ADMIN_TOKEN is missing or wrong.", UNAUTHORIZED),
    403: ("Another site's page sent the request.", CROSS_SITE),
}
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/@?#\[\]\\]+?)\.?(?::([0-9]{1,5}))?")


async def service_of(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


async def sent_by_operator(request: Request) -> bool:
    return not _is_cross_site(request) and _carries_token(request)


async def operator_only(request: Request) -> None:
    """Raises BadRequest 401 or 403."""
    if _is_cross_site(request):
        raise BadRequest(403, CROSS_SITE)
    if not _carries_token(request):
        raise BadRequest(401, UNAUTHORIZED)


TheService = Annotated[Service, Depends(service_of)]
SentByOperator = Annotated[bool, Depends(sent_by_operator)]


def split_host(header: str) -> tuple[str, int | None]:
    """Name and port of a Host header, the name in lower case without brackets; ("", None) when it is no Host."""
    match = _HOST.fullmatch(header.strip())
    if match is None:
        return "", None
    name, port = match.groups()
    return name.lower().strip("[]"), int(port) if port else None


def _is_cross_site(request: Request) -> bool:
    return request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin")


def _carries_token(request: Request) -> bool:
    """Compares in constant time, on bytes; the user name of HTTP Basic may be anything."""
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    given = credentials.strip().encode("latin-1", "replace")
    if scheme.lower() == "basic":
        try:
            given = base64.b64decode(given, validate=True).partition(b":")[2]
        except binascii.Error:
            return False
    elif scheme.lower() != "bearer":
        return False
    token: SecretStr = request.app.state.service.admin_token
    return compare_digest(given, token.get_secret_value().encode())
