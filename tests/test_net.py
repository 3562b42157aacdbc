"""What the guarded client promises: public addresses only, within its limits, the very bytes it was given."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable

import httpx
import pytest

from agent import net
from agent.errors import Blocked
from tests.loopback import DRIP, HANG, Loopback, answer

PUBLIC = "93.184.215.14"
BODY = '{"nonce": "ü"}'
NOT_PUBLIC = """
    127.0.0.1 127.8.9.10 0.1.2.3 10.0.0.1 172.16.0.1 192.168.1.1 100.64.0.1 100.100.100.200 169.254.169.254
    168.63.129.16 192.0.0.8 192.0.0.192 192.0.2.1 192.88.99.1 198.18.0.1 224.0.0.1 239.255.255.250 240.0.0.1
    255.255.255.255 :: ::1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 64:ff9b::7f00:1 64:ff9b:1::a00:1 2002:7f00:1::
    2001:0:7f00:1:: 2001:db8::1 3fff::1 fc00::1 fe80::1 fe80::1%eth0 fec0::1 ff02::1 100::1 5f00::1
"""
LOCAL = """
    127.0.0.1 127.1 0x7f.1 2130706433 0 0177.0.0.1 10.0.0.1. localhost a.localhost [::1] [::ffff:127.0.0.1]
"""
NO_WEB_ADDRESS = "evaluator http:// ftp://8.8.8.8 http://a:b@8.8.8.8 http://h:x http://8.8.8.8:99999 http://8.8.8.8:0"
NOWHERE = """
    http://127.0.0.2/ http://10.0.0.1/latest http://[::1]/ //169.254.169.254/ http://8.8.8.8:22/ http://8.8.8.8:99999/
    http://user@8.8.8.8/ http://:word@8.8.8.8/ file:///etc/passwd ftp://8.8.8.8/
"""


def only_loopback(address: str, port: int) -> str | None:
    """A rule for tests: 127.0.0.1 plays the public internet."""
    return None if address == "127.0.0.1" else net.forbidden(address, port)


def open_client() -> httpx.AsyncClient:
    return net.client(backend=net.GuardedBackend(forbid=only_loopback))


def resolver(*answers: list[str]) -> Callable[[str, int], Awaitable[list[str]]]:
    """A name server that gives one of its answers after the other."""
    coming = iter(answers)

    async def resolve(_host: str, _port: int) -> list[str]:
        return next(coming)

    return resolve


@pytest.mark.parametrize("address", NOT_PUBLIC.split())
def test_an_address_that_is_not_public_is_forbidden(address: str) -> None:
    assert "is not a public address" in (net.forbidden(address, 443) or "")


@pytest.mark.parametrize("address", ["8.8.8.8", PUBLIC, "::ffff:8.8.8.8", "2606:4700:4700::1111", "2a00:1450::200e"])
def test_a_public_address_is_allowed_on_web_and_high_ports_only(address: str) -> None:
    assert [net.forbidden(address, port) for port in (80, 443, 1024, 8080, 65535)] == [None] * 5
    assert all("port" in (net.forbidden(address, port) or "") for port in (0, 22, 25, 445, 1023, 65536 + 22))


@pytest.mark.parametrize(
    "url", [*(f"http://{host}:8000/" for host in LOCAL.split()), "http://8.8.8.8:22/", "http://h:x"]
)
def test_a_forbidden_address_in_a_url_is_seen_without_asking_a_name_server(url: str) -> None:
    assert net.private_reason(url)


@pytest.mark.parametrize("url", ["https://8.8.8.8/", "https://example.com/", "http://[2606:4700:4700::1111]:8080/"])
def test_names_and_public_addresses_have_no_private_reason(url: str) -> None:
    assert net.private_reason(url) is None


def test_every_spelling_of_a_private_address_is_blocked_and_named() -> None:
    hosts = ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1", "0", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]"]

    async def post_to_all() -> None:
        async with Loopback({"/": answer(200)}) as server, net.client() as http:
            for host in [*hosts, "[::1]", "10.0.0.1", "169.254.169.254"]:
                with pytest.raises(Blocked, match="is not a public address") as caught:
                    await net.post_json(http, server.url("/", host), BODY)
                assert host.strip("[]") in str(caught.value)
            assert server.asked == []

    asyncio.run(post_to_all())


def test_private_addresses_are_reached_when_allowed() -> None:
    async def post() -> int:
        async with Loopback({"/": answer(204)}) as server, net.client(allow_private=True) as http:
            return await net.post_json(http, server.url("/", "localhost"), BODY)

    assert asyncio.run(post()) == 204


def test_a_host_with_one_private_address_among_public_ones_is_blocked() -> None:
    async def post() -> None:
        backend = net.GuardedBackend(resolve=resolver([PUBLIC, "10.0.0.7"]))
        async with net.client(backend=backend) as http:
            await net.post_json(http, "http://evaluator.invalid/", BODY)

    with pytest.raises(Blocked, match=r"evaluator\.invalid .* 10\.0\.0\.7"):
        asyncio.run(post())


def test_the_address_that_was_checked_is_the_one_reached_whatever_the_name_says_next() -> None:
    async def post() -> list[str]:
        backend = net.GuardedBackend(forbid=only_loopback, resolve=resolver(["127.0.0.1"], ["10.0.0.1"]))
        async with Loopback({"/": answer(200, Connection="close")}) as server, net.client(backend=backend) as http:
            assert await net.post_json(http, server.url("/", "evaluator.invalid"), BODY) == 200
            with pytest.raises(Blocked):
                await net.post_json(http, server.url("/", "evaluator.invalid"), BODY)
            return [asked.headers["host"].partition(":")[0] for asked in server.asked]

    assert asyncio.run(post()) == ["evaluator.invalid"]


def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    async def post() -> int:
        backend = net.GuardedBackend(forbid=lambda _address, _port: None, resolve=resolver(["::1", "127.0.0.1"]))
        async with Loopback({"/": answer(200)}) as server, net.client(backend=backend) as http:
            return await net.post_json(http, server.url("/", "evaluator.invalid"), BODY)

    assert asyncio.run(post()) == 200


def test_tls_asks_for_the_name_and_not_for_the_address() -> None:
    hello = bytearray()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hello.extend(await reader.read(4096))
        writer.close()

    async def post() -> None:
        server = await asyncio.start_server(listen, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        backend = net.GuardedBackend(forbid=only_loopback, resolve=resolver(["127.0.0.1"]))
        async with server, net.client(backend=backend) as http:
            await net.post_json(http, f"https://evaluator.invalid:{port}/", BODY)

    with pytest.raises(httpx.ConnectError):
        asyncio.run(post())
    assert b"evaluator.invalid" in hello


@pytest.mark.parametrize("failure", [OSError("no such name"), UnicodeError("label too long")])
def test_a_name_without_address_is_a_network_error(failure: Exception) -> None:
    async def resolve(_host: str, _port: int) -> list[str]:
        raise failure

    async def post() -> None:
        async with net.client(backend=net.GuardedBackend(resolve=resolve)) as http:
            await net.post_json(http, "https://evaluator.invalid/", BODY)

    with pytest.raises(httpx.ConnectError, match=r"evaluator\.invalid"):
        asyncio.run(post())


def test_a_proxy_variable_leads_nobody_around_the_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    async def post() -> list[str]:
        async with Loopback({"/": answer(200)}) as proxy:
            monkeypatch.setenv("HTTP_PROXY", proxy.url(""))
            monkeypatch.setenv("ALL_PROXY", proxy.url(""))
            async with net.client() as http:
                with pytest.raises(Blocked):
                    await net.post_json(http, "http://10.0.0.1/", BODY)
            return [asked.path for asked in proxy.asked]

    assert asyncio.run(post()) == []


def test_a_post_carries_the_exact_bytes_and_says_what_they_are() -> None:
    async def post() -> None:
        async with Loopback({"/": answer(200)}) as server, open_client() as http:
            await net.post_json(http, server.url("/"), BODY)
            [asked] = server.asked
        assert (asked.method, asked.body) == ("POST", BODY.encode())
        assert asked.headers["content-type"] == "application/json"
        assert asked.headers["user-agent"] == net.USER_AGENT

    asyncio.run(post())


@pytest.mark.parametrize("contact", ["ops@example.org", "https://example.org/about"])
def test_who_fetches_says_whom_to_ask(contact: str) -> None:
    async def fetch() -> str:
        backend = net.GuardedBackend(forbid=only_loopback)
        async with Loopback({"/": answer(200)}) as server, net.client(contact=contact, backend=backend) as http:
            await http.get(server.url("/"))
            return server.asked[0].headers["user-agent"]

    assert asyncio.run(fetch()) == f"{net.USER_AGENT} ({contact})"


def test_cookies_are_not_kept() -> None:
    async def post_twice() -> list[str | None]:
        async with Loopback({"/": answer(200, Set_Cookie="a=b; Path=/")}) as server, open_client() as http:
            await net.post_json(http, server.url("/"), BODY)
            await net.post_json(http, server.url("/"), BODY)
            return [asked.headers.get("cookie") for asked in server.asked]

    assert asyncio.run(post_twice()) == [None, None]


@pytest.mark.parametrize(
    ("status", "method", "body"),
    [(301, "POST", BODY), (307, "POST", BODY), (308, "POST", BODY), (302, "GET", ""), (303, "GET", "")],
)
def test_a_redirect_repeats_the_post_or_continues_with_a_get(status: int, method: str, body: str) -> None:
    async def post() -> None:
        answers = {"/notify": answer(status, b"moved", Location="/there"), "/there": answer(201)}
        async with Loopback(answers) as server, open_client() as http:
            assert await net.post_json(http, server.url("/notify"), BODY) == 201
            asked = server.asked[1]
        assert (asked.method, asked.path, asked.body.decode()) == (method, "/there", body)
        assert method == "GET" or asked.headers["content-type"] == "application/json"

    asyncio.run(post())


def test_a_redirect_without_a_target_is_the_answer() -> None:
    async def post() -> int:
        async with Loopback({"/": answer(302)}) as server, open_client() as http:
            return await net.post_json(http, server.url("/"), BODY)

    assert asyncio.run(post()) == 302


def test_five_redirects_are_followed_and_no_sixth() -> None:
    chain = {f"/{n}": answer(307, Location=f"/{n + 1}") for n in range(6)} | {"/6": answer(200)}

    async def post() -> list[str]:
        async with Loopback(chain) as server, open_client() as http:
            assert await net.post_json(http, server.url("/1"), BODY) == 200
            server.asked.clear()
            with pytest.raises(httpx.TooManyRedirects):
                await net.post_json(http, server.url("/0"), BODY)
            return [asked.path for asked in server.asked]

    assert asyncio.run(post()) == ["/0", "/1", "/2", "/3", "/4", "/5"]


@pytest.mark.parametrize("target", NOWHERE.split())
@pytest.mark.parametrize("status", [302, 307])
def test_a_redirect_to_where_nothing_may_go_is_blocked(status: int, target: str) -> None:
    async def post() -> None:
        async with Loopback({"/": answer(status, Location=target)}) as server, open_client() as http:
            await net.post_json(http, server.url("/"), BODY)

    with pytest.raises(Blocked, match="may not be reached"):
        asyncio.run(post())


NO_REDIRECT = "data:,x javascript:1 https:foo https://xn--/ http://xn--a/ mailto:a@b urn:x about:blank ftp:x http://:0/"


@pytest.mark.parametrize("target", NO_REDIRECT.split())
@pytest.mark.parametrize("status", [301, 302, 307])
def test_a_redirect_to_what_is_no_web_address_is_blocked_and_the_host_named(status: int, target: str) -> None:
    async def ask(of: str) -> None:
        async with Loopback({"/": answer(status, Location=target)}) as server, open_client() as http:
            if of == "post":
                await net.post_json(http, server.url("/"), BODY)
            await net.get(http, server.url("/"), max_bytes=100)

    for of in ("post", "get"):
        with pytest.raises(Blocked, match="may not be reached"):
            asyncio.run(ask(of))


@pytest.mark.parametrize("url", ["https://xn--/", "http://xn--a/", "http://\u2488com/", "http://[::1", "http://h:1:2/"])
def test_a_name_that_no_host_can_have_is_blocked_however_it_is_asked(url: str) -> None:
    async def ask(act: Callable[[httpx.AsyncClient], Awaitable[object]]) -> None:
        async with net.client(allow_private=True) as http:
            await act(http)

    for act in (
        lambda http: net.post_json(http, url, BODY),
        lambda http: net.get(http, url, max_bytes=100),
        lambda http: net.get(http, url, max_bytes=100, allowed_hosts={"xn--"}),
    ):
        with pytest.raises(Blocked, match="no URL"):
            asyncio.run(ask(act))
    assert net.private_reason(url)


@pytest.mark.parametrize("url", ["", *NO_WEB_ADDRESS.split(), "http://\ud800"])
def test_an_address_that_is_no_web_address_is_blocked(url: str) -> None:
    async def post() -> None:
        async with net.client(allow_private=True) as http:
            await net.post_json(http, url, BODY)

    with pytest.raises(Blocked):
        asyncio.run(post())


def test_the_status_counts_whatever_becomes_of_the_body() -> None:
    endless = itertools.chain([answer(200, Content_Length=str(10**9))], itertools.repeat(bytes(65_536), 2_000))
    cut_off = answer(202, b"half", Content_Length="100", Connection="close")

    async def post() -> tuple[int, int, int]:
        async with Loopback({"/endless": endless, "/cut": cut_off}) as server, open_client() as http:
            first = await net.post_json(http, server.url("/endless"), BODY)
            second = await net.post_json(http, server.url("/cut"), BODY)
            return first, second, server.sent_bytes

    first, second, sent_bytes = asyncio.run(post())
    assert (first, second) == (200, 202)
    assert sent_bytes < 20_000_000  # what the kernel's buffers take, not what the server had to say


@pytest.mark.parametrize("given", [HANG, DRIP])
def test_a_server_that_never_finishes_its_answer_is_left(given: bytes) -> None:
    async def post() -> None:
        async with Loopback({"/": given}) as server, net.client(allow_private=True, timeout_s=0.1) as http:
            await net.post_json(http, server.url("/"), BODY)

    began = time.monotonic()
    with pytest.raises(httpx.TimeoutException):
        asyncio.run(post())
    assert time.monotonic() - began < 5


def get(path: str, answers: dict[str, bytes], **options: int | set[str]) -> bytes:
    async def fetch() -> bytes:
        async with Loopback(answers) as server, net.client(allow_private=True) as http:
            return await net.get_bytes(http, server.url(path), **{"max_bytes": 100, **options})  # type: ignore[arg-type]

    return asyncio.run(fetch())


def test_fetched_bytes_are_the_bytes_served() -> None:
    data = bytes(range(100))
    assert get("/a", {"/a": answer(302, Location="/b"), "/b": answer(200, data)}) == data


def test_plain_bytes_are_asked_for() -> None:
    async def fetch() -> str:
        async with Loopback({"/": answer(200)}) as server, net.client(allow_private=True) as http:
            await net.get_bytes(http, server.url("/"), max_bytes=100)
            return server.asked[0].headers["accept-encoding"]

    assert asyncio.run(fetch()) == "identity"


@pytest.mark.parametrize(
    ("served", "reason"),
    [
        (answer(200, bytes(101)), "more than 100 bytes"),
        (answer(200, b"...", Content_Encoding="gzip"), "encoded"),
        (answer(302, Location="http://user@127.0.0.1/"), "user info"),
        (answer(302, Location="http://8.8.8.8/"), "only https"),
        (answer(302, Location="https://other.invalid/"), "none of 127.0.0.1"),
    ],
)
def test_a_fetch_is_blocked_with_its_reason(served: bytes, reason: str) -> None:
    with pytest.raises(Blocked, match=reason):
        get("/", {"/": served}, allowed_hosts={"127.0.0.1"})


def test_a_fetch_is_for_the_allowed_hosts_only() -> None:
    assert get("/", {"/": answer(200, b"yes")}, allowed_hosts={"127.0.0.1"}) == b"yes"
    with pytest.raises(Blocked, match=r"none of example\.org"):
        get("/", {"/": answer(200)}, allowed_hosts={"Example.org"})


def test_a_missing_page_is_an_error_and_no_bytes() -> None:
    with pytest.raises(httpx.HTTPStatusError):
        get("/", {"/": answer(404, b"not here")})


@pytest.mark.parametrize(
    "url", ["http://example.invalid/", "http://8.8.8.8/", "http://127.0.0.1/", "https://127.0.0.1/"]
)
def test_without_leave_only_public_https_is_fetched(url: str) -> None:
    async def fetch() -> bytes:
        async with net.client() as http:
            return await net.get_bytes(http, url, max_bytes=100)

    with pytest.raises(Blocked):
        asyncio.run(fetch())
