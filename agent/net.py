"""The guarded HTTP client: reaches public addresses only. Knows httpcore, knows nothing of tasks.

The guard stands where a connection is made, not where a URL is read: a name is resolved once, every address it has is
checked, and the connection goes to a checked address. So a second DNS answer, a redirect and an odd spelling of
127.0.0.1 all meet it.
"""

import asyncio
import contextlib
import ipaddress
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpcore
import httpx

from agent.errors import Blocked

USER_AGENT = "llm-devops-engine/0.1"
CONNECT_S = 5.0
READ_S = 15.0
DRAIN_S = 1.0
DRAIN_BYTES = 65_536

# What `ipaddress` calls global although it leads to private hosts, to a cloud's own services or to nobody.
NOT_PUBLIC = tuple(
    ipaddress.ip_network(net)
    for net in (
        "168.63.129.16/32",  # Azure's host service, seen from every machine there
        "192.0.0.0/24",  # protocol assignments, Oracle's metadata service among them
        "192.88.99.0/24",  # 6to4 relays
        "2001::/23",  # Teredo and other protocol assignments
        "2002::/16",  # 6to4: holds an IPv4 address
        "3fff::/20",  # documentation
    )
)
# What a bare name must end in to be a host: `index.html`, `node.js` and `execute.py` are files. Country codes that are
# better known as endings of files count only behind a scheme, and so does every newer domain.
DOMAINS = frozenset(
    {
        "app", "biz", "cloud", "com", "dev", "edu", "example", "gov", "info", "int", "mil", "museum", "net", "online",
        "org", "page", "site", "tech", "xyz",
    }
)  # fmt: skip
CODE_FILES = frozenset(
    {"cc", "cs", "db", "gz", "hs", "js", "kt", "md", "mm", "pl", "ps", "py", "rb", "rs", "sh", "so", "ts", "vb"}
)
# Everything else in IPv6 is local, multicast, translated (64:ff9b::) or IPv4 in disguise.
GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")

_HOST = re.compile(r"(?P<scheme>//)?(?<![a-z0-9.-])(?P<host>(?:[a-z0-9-]{1,63}\.)+[a-z]{2,24})(?![a-z0-9-])")

_CORE_ERRORS = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.UnsupportedProtocol,
)

Forbid = Callable[[str, int], str | None]
Resolve = Callable[[str, int], Awaitable[list[str]]]


@dataclass(frozen=True)
class Resource:
    """What an address serves, and the two headers that decide what a page may do with it."""

    body: bytes
    media_type: str = ""
    allow_origin: str = ""
    status: int = 200


class Client(httpx.AsyncClient):
    """httpx's client; an address that is none is Blocked, wherever on the way it is read."""

    async def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        try:
            return await super().send(request, **options)
        except (httpx.InvalidURL, ValueError):  # where a redirect leads is read before it is handed over
            raise Blocked(f"{request.url.host} may not be reached: it redirects to what is no web address") from None


def client(
    *,
    allow_private: bool = False,
    timeout_s: float = 20.0,
    contact: str | None = None,
    backend: "GuardedBackend | None" = None,
) -> httpx.AsyncClient:
    """Checks every address when it connects; follows no redirect, keeps no cookie, obeys no proxy variable.

    `timeout_s` bounds a whole exchange of `post_json` and `get_bytes`, redirects included. `contact`, an e-mail or web
    address, goes into the User-Agent.
    """
    return Client(
        transport=GuardedTransport(
            backend or GuardedBackend(forbid=(lambda _address, _port: None) if allow_private else forbidden)
        ),
        timeout=httpx.Timeout(timeout_s, connect=min(CONNECT_S, timeout_s), read=min(READ_S, timeout_s)),
        headers={"User-Agent": f"{USER_AGENT} ({contact})" if contact else USER_AGENT},
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        follow_redirects=False,
        trust_env=False,
    )


async def post_json(http: httpx.AsyncClient, url: str, body: str, *, max_redirects: int = 5) -> int:
    """The status of the first answer that is no redirect. Raises Blocked, httpx.HTTPError.

    301, 307 and 308 repeat the POST; 302 and 303 continue with a GET, as Google Apps Script wants it. A redirect may
    lead from https to http: servers behind a TLS proxy send such, and what is posted is the evaluator's own.
    """
    async with _in_time(http):
        response = await _follow(http, _post(http, _parsed(url), body.encode()), _check_web, max_redirects)
    async with contextlib.aclosing(response):
        await _drain(response)
    return response.status_code


async def get_bytes(
    http: httpx.AsyncClient,
    url: str,
    *,
    max_bytes: int,
    allowed_hosts: Collection[str] | None = None,
    max_redirects: int = 5,
) -> bytes:
    """What an https address serves, byte for byte. Raises as `get`."""
    return (await get(http, url, max_bytes=max_bytes, allowed_hosts=allowed_hosts, max_redirects=max_redirects)).body


async def get(
    http: httpx.AsyncClient,
    url: str,
    *,
    max_bytes: int,
    allowed_hosts: Collection[str] | None = None,
    max_redirects: int = 5,
) -> Resource:
    """What an https address serves. Raises Blocked, also past `max_bytes`; httpx.HTTPError, also for an error status.

    `allowed_hosts` holds for redirects too.
    """
    check = partial(_check_source, hosts=None if allowed_hosts is None else {host.lower() for host in allowed_hosts})
    async with _in_time(http):
        request = http.build_request("GET", _parsed(url), headers={"Accept-Encoding": "identity"})
        response = await _follow(http, request, check, max_redirects)
        async with contextlib.aclosing(response):
            response.raise_for_status()
            return Resource(
                body=await _read(response, max_bytes),
                media_type=response.headers.get("Content-Type", ""),
                allow_origin=response.headers.get("Access-Control-Allow-Origin", ""),
                status=response.status_code,
            )


def hosts_in(text: str) -> frozenset[str]:
    """Every host name that a text spells out, with a scheme or without."""
    found = _HOST.finditer(text.lower())
    return frozenset(m["host"] for m in found if m["scheme"] or _is_domain(m["host"].rpartition(".")[2]))


def _is_domain(last: str) -> bool:
    return last in DOMAINS or (len(last) == 2 and last not in CODE_FILES)


def trouble(error: Exception) -> str:
    """Why nothing was fetched, in our own words: a server's may be meant for whoever reads them."""
    if isinstance(error, Blocked):
        return str(error)
    if isinstance(error, httpx.HTTPStatusError):
        return f"{error.request.url.host} answers {error.response.status_code}"
    return f"there was no complete answer ({type(error).__name__})"


def private_reason(url: str) -> str | None:
    """Why the address written in this URL may not be reached, or None; names other than localhost are not resolved."""
    try:
        parsed = _parsed(url)
    except Blocked as error:
        return str(error)
    host = parsed.host.rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        host = "127.0.0.1"
    address = _literal(host)
    return forbidden(address, parsed.port or (443 if parsed.scheme == "https" else 80)) if address else None


def forbidden(address: str, port: int) -> str | None:
    """Why this IP address and port may not be reached, or None."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        ip = ip.ipv4_mapped or ip
    if not _is_public(ip):
        return f"{ip} is not a public address"
    if port not in (80, 443) and not 1024 <= port <= 65535:
        return f"port {port} is none of 80, 443 and 1024 to 65535"
    return None


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Connects to addresses that were checked, never to a name. There are no Unix sockets."""

    def __init__(self, *, forbid: Forbid = forbidden, resolve: Resolve | None = None) -> None:
        self._forbid = forbid
        self._resolve = resolve or _resolve
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        addresses = await self._checked_addresses(host, port, timeout)
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in addresses:
            try:
                return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def _checked_addresses(self, host: str, port: int, timeout_s: float | None) -> list[str]:
        """All of them, or Blocked if one is forbidden: an honest host does not mix."""
        try:
            async with asyncio.timeout(timeout_s):
                addresses = await self._resolve(host, port)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(f"the name server does not answer for {host}") from error
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"{host} has no address") from error
        for address in addresses:
            if reason := self._forbid(address, port):
                raise Blocked(f"{host} may not be reached: {reason}")
        return addresses


class GuardedTransport(httpx.AsyncBaseTransport):
    """httpx over a pool of httpcore that is ours: httpx's own transport takes no network backend."""

    def __init__(self, backend: GuardedBackend) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=httpx.create_ssl_context(trust_env=False),
            max_connections=100,
            max_keepalive_connections=20,
            keepalive_expiry=5.0,
            network_backend=backend,
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        with _as_httpx():
            response = await self._pool.handle_async_request(
                httpcore.Request(
                    method=request.method,
                    url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        return httpx.Response(
            response.status, headers=response.headers, stream=_Body(response), extensions=response.extensions
        )

    async def aclose(self) -> None:
        await self._pool.aclose()


class _Body(httpx.AsyncByteStream):
    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_httpx():
            async for chunk in self._response.aiter_stream():
                yield chunk

    async def aclose(self) -> None:
        await self._response.aclose()


@contextlib.contextmanager
def _as_httpx() -> Iterator[None]:
    """An error of httpcore becomes httpx's of the same name."""
    try:
        yield
    except _CORE_ERRORS as error:
        same: type[httpx.TransportError] = getattr(httpx, type(error).__name__, httpx.TransportError)
        raise same(str(error)) from error


async def _resolve(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _is_public(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if ip.version == 6 and ip not in GLOBAL_UNICAST:
        return False
    return ip.is_global and not ip.is_multicast and not any(ip in net for net in NOT_PUBLIC)


def _literal(host: str) -> str | None:
    """The IP address that a host is, in any spelling that a resolver takes: 127.1, 0x7f.1, 2130706433."""
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(host))
    with contextlib.suppress(OSError, UnicodeError):
        return socket.inet_ntoa(socket.inet_aton(host))
    return None


def _parsed(url: str) -> httpx.URL:
    try:
        parsed = httpx.URL(url)
        parsed.host  # noqa: B018 - a name that punycode cannot spell is found when it is read
    except (httpx.InvalidURL, ValueError):
        raise Blocked("the address is no URL") from None
    return parsed


def _check_web(url: httpx.URL) -> None:
    """Raises Blocked unless this is http(s) with a host and without user info."""
    if url.scheme not in ("http", "https") or not url.host:
        raise Blocked(f"{url.host or 'the address'} may not be reached: it is not an http(s) address")
    if url.port is not None and not 0 < url.port <= 65535:
        raise Blocked(f"{url.host} may not be reached: there is no such port")
    if url.userinfo:
        raise Blocked(f"{url.host} may not be reached: the address holds user info")


def _check_source(url: httpx.URL, *, hosts: Collection[str] | None) -> None:
    """Raises Blocked unless this is https on one of the hosts."""
    _check_web(url)
    if url.scheme != "https" and private_reason(str(url)) is None:  # a private address meets the guard, if there is one
        raise Blocked(f"{url.host} may not be reached: only https is fetched")
    if hosts is not None and url.host not in hosts:
        raise Blocked(f"{url.host} may not be reached: it is none of {', '.join(sorted(hosts)) or 'no hosts'}")


def _post(http: httpx.AsyncClient, url: httpx.URL, body: bytes) -> httpx.Request:
    return http.build_request("POST", url, content=body, headers={"Content-Type": "application/json"})


async def _follow(
    http: httpx.AsyncClient, request: httpx.Request, check: Callable[[httpx.URL], None], max_redirects: int
) -> httpx.Response:
    """The first answer that is no redirect, its body unread; every hop is checked."""
    for _ in range(max_redirects + 1):
        check(request.url)
        response = await http.send(request, stream=True)
        following = response.next_request
        if following is None:
            return response
        await response.aclose()
        if response.status_code == 301 and request.method == "POST":  # httpx would go on with a GET
            following = _post(http, following.url, request.content)
        request = following
    raise httpx.TooManyRedirects(f"more than {max_redirects} redirects", request=request)


@contextlib.asynccontextmanager
async def _in_time(http: httpx.AsyncClient) -> AsyncIterator[None]:
    """httpx has no limit for a whole exchange; `client` keeps it where the wait for a free connection is."""
    try:
        async with asyncio.timeout(http.timeout.pool):
            yield
    except TimeoutError:
        raise httpx.ReadTimeout(f"no complete answer within {http.timeout.pool} s") from None


async def _drain(response: httpx.Response) -> None:
    """Reads a little, so that a server is not cut off in its answer; the status counts whatever becomes of the body."""
    size_bytes = 0
    with contextlib.suppress(httpx.HTTPError, TimeoutError):
        async with asyncio.timeout(DRAIN_S):
            async for chunk in response.aiter_raw():
                size_bytes += len(chunk)
                if size_bytes >= DRAIN_BYTES:
                    return


async def _read(response: httpx.Response, max_bytes: int) -> bytes:
    """The body; an encoded one is refused, for a small one may unfold into gigabytes."""
    host = response.request.url.host
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise Blocked(f"{host} sends encoded bytes although plain ones were asked for")
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > max_bytes:
            raise Blocked(f"{host} sends more than {max_bytes} bytes, which is the limit")
    return bytes(body)
