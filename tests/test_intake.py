"""What the door promises: strict in what names a task, lenient in the rest, and nothing odd gets past it."""

import base64
import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from agent.errors import BadRequest
from agent.intake import attachments, checks
from agent.intake.request import authorized, parse, repo_name
from agent.records import Check, Skipped, Task
from agent.workspace import safe_path

VALID: dict[str, Any] = {
    "email": "student@example.org",
    "secret": "canary-4711",
    "task": "demo-1",
    "round": 1,
    "nonce": "n-1",
    "brief": "Show a heading.",
    "evaluation_url": "https://example.org/notify",
}
NO_WEB_ADDRESS = r"""
    ftp://example.org/ javascript:alert(1) example.org/notify //example.org http:// http:///x http://user@example.org/
    http://user:word@example.org/ http://@example.org/ http://:80/ http://example.org:99999/ http://example.org:0/
    http://[::1/ http://a\@b/
"""
PNG = b"\x89PNG\r\n\x1a\n\x00\xff\xfe"


def taken(earlier: Task | None = None, **changes: Any) -> tuple[Task, tuple[bytes, ...]]:
    return parse(VALID | changes, task_id="0" * 32, received_at=100.0, deadline_s=600.0, earlier=lambda *_: earlier)


def refusal(body: dict[str, Any]) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        parse(body, task_id="0" * 32, received_at=0.0, deadline_s=600.0, earlier=lambda *_: None)
    return caught.value


def uri(data: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


# -- the secret --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("odd", ["", "pässwor", "pässword ", "\ud800", None, 1, True, ["pässword"], {}])
def test_only_the_exact_secret_opens(odd: Any) -> None:
    secret = SecretStr("pässword")
    assert authorized({"secret": "pässword"}, secret)
    assert not authorized({"secret": odd}, secret)
    assert not authorized({}, secret)


def test_the_secret_ends_at_the_door() -> None:
    task, _ = taken(checks=["x"], attachments=[{"name": "a.txt", "url": "data:,x"}])
    assert "canary" not in task.model_dump_json()


# -- required fields ---------------------------------------------------------------------------------------------------


def test_a_task_holds_what_was_sent_and_when_it_must_be_done() -> None:
    task, data = taken()
    assert task == Task(
        **{name: VALID[name] for name in ("email", "task", "round", "nonce", "brief", "evaluation_url")},
        id="0" * 32,
        round_received=1,
        checks=(),
        attachments=(),
        skipped=(),
        repo=repo_name("student@example.org", "demo-1", "n-1"),
        previous_id=None,
        received_at=100.0,
        deadline_at=700.0,
    )
    assert data == ()


@pytest.mark.parametrize("field", ["email", "task", "round", "nonce", "brief", "evaluation_url"])
def test_a_missing_field_is_named(field: str) -> None:
    error = refusal({name: value for name, value in VALID.items() if name != field})
    assert (error.status, str(error)) == (422, f"{field} is missing")


@pytest.mark.parametrize("field", ["email", "task", "nonce", "brief", "evaluation_url"])
@pytest.mark.parametrize(
    "odd", ["", " \n", None, 1, True, ["canary"], {"canary": 1}, pytest.param("canary" * 50_000, id="long")]
)
def test_an_odd_field_is_named_and_its_value_is_not(field: str, odd: Any) -> None:
    error = refusal(VALID | {field: odd})
    assert error.status == 422
    assert str(error).startswith(f"{field} must be ")
    assert "canary" not in str(error)


@pytest.mark.parametrize("field", ["email", "task", "nonce"])
@pytest.mark.parametrize("odd", ["a\x00b", "a\ud800b"])
def test_what_no_database_can_hold_names_no_task(field: str, odd: str) -> None:
    assert str(refusal(VALID | {field: odd})).startswith(f"{field} must be a readable text")


@pytest.mark.parametrize("value", [1, 2, 7, "1", "12"])
def test_the_round_is_a_number_inside_and_goes_back_as_received(value: int | str) -> None:
    task, _ = taken(round=value)
    assert task.round == int(value)
    assert (type(task.round_received), task.round_received) == (type(value), value)


@pytest.mark.parametrize(
    "value", [0, -1, True, False, None, 1.0, 1.5, "", "0", "01", " 1", "+1", "1.0", "one", "\u0661", [1], 10**9]
)
def test_a_round_that_is_no_counting_number_is_refused(value: Any) -> None:
    assert str(refusal(VALID | {"round": value})) == "round must be an integer from 1 to 999999, or its string"


def test_a_value_nested_to_the_limit_of_json_is_odd_like_any_other() -> None:
    deep = json.loads("[" * 800 + "]" * 800)
    assert str(refusal(VALID | {"round": deep})).startswith("round must be")
    assert [skipped.why for skipped in taken(checks=deep, attachments=deep)[0].skipped] == [
        "it is nested too deep",
        "it has no url",
    ]


def test_all_faults_are_told_at_once() -> None:
    assert str(refusal({"email": 5, "task": "x", "nonce": "n", "brief": "b", "evaluation.url": "http://h"})) == (
        "email must be a readable text of 1 to 1000 characters; round is missing"
    )


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("https://example.org/notify?a=b#c", "https://example.org/notify?a=b#c"),
        ("  http://example.org:8080/  ", "http://example.org:8080/"),
        *((url, url) for url in ("http://127.0.0.1:9999/notify", "http://[::1]:9999/", "https://bücher.example/x")),
    ],
)
def test_web_addresses_are_taken_private_ones_too(sent: str, kept: str) -> None:
    assert taken(evaluation_url=sent)[0].evaluation_url == kept


@pytest.mark.parametrize("place", [{"evaluation.url": "http://h/x"}, {"evaluation": {"url": "http://h/x"}}])
def test_the_other_names_of_evaluation_url_are_understood(place: dict[str, Any]) -> None:
    body = {name: value for name, value in VALID.items() if name != "evaluation_url"} | place
    task, _ = parse(body, task_id="0" * 32, received_at=0.0, deadline_s=1.0, earlier=lambda *_: None)
    assert task.evaluation_url == "http://h/x"


@pytest.mark.parametrize(
    "url",
    [
        *NO_WEB_ADDRESS.split(),
        "http://a b/",
        "http://exa\nmple.org/",
        "http://a\x00b/",
        "http://\ud800",
        "http://xn--/",
        "https://xn--a/x",
    ],
)
def test_an_evaluation_url_that_is_no_plain_web_address_is_refused(url: str) -> None:
    error = refusal(VALID | {"evaluation_url": url})
    assert str(error) == "evaluation_url must be an http(s) address with a host and without user info"


def test_a_brief_loses_its_control_characters_and_nothing_else() -> None:
    task, _ = taken(brief="a\x00b\x1b[0m\x7f\x85\r\nc\rd\te\ud800f 😀 ü")
    assert task.brief == "ab[0m\nc\nd\te\ufffdf 😀 ü"
    assert str(refusal(VALID | {"brief": "\x00\x01"})).startswith("brief must be")


# -- repository names --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "slug"),
    [
        ("sum-of-sales-0351d", "sum-of-sales-0351d"),
        ("ShareVolume", "sharevolume"),
        ("student_summary v1.2", "student_summary-v1.2"),
        ("Überprüfung der Seite!", "uberprufung-der-seite"),
        ("../../etc/passwd", "etc-passwd"),
        ("a -- b..c__d", "a-b.c_d"),
        ("site.git", "site.git"),
        ("日本語", "task"),
        ("..", "task"),
        ("!" + "x" * 300, "x" * 80),
        ("x" * 79 + "-y", "x" * 79),
    ],
)
def test_a_repository_name_is_the_tasks_slug_and_six_digits(task: str, slug: str) -> None:
    assert re.fullmatch(re.escape(slug) + r"-[0-9a-f]{6}", repo_name("e", task, "n"))


def test_each_of_email_task_and_nonce_makes_another_repository() -> None:
    keys = [("a", "t", "n"), ("b", "t", "n"), ("a", "t", "m"), ("a", "T", "n"), ("at", "", "n"), ("", "t", "na")]
    assert len({repo_name(*key)[-6:] for key in keys}) == len(keys)
    assert repo_name("a", "t", "n") == repo_name("a", "t", "n")


@given(st.text(st.characters()), st.text(st.characters()), st.text(st.characters()))
@settings(deadline=None, derandomize=True)
def test_every_repository_name_is_legal(email: str, task: str, nonce: str) -> None:
    name = repo_name(email, task, nonce)
    assert re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,87}", name)
    assert not name.endswith(".git")
    assert ".." not in name


# -- checks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (None, []),
        ([], []),
        (["Has a title", "README is good"], [("prose", "Has a title"), ("prose", "README is good")]),
        ("Has a title", [("prose", "Has a title")]),
        (["js: document.title === 'a'"], [("js", "document.title === 'a'")]),
        (["JS:a()", " js :  b() "], [("js", "a()"), ("js", "b()")]),
        ([{"js": "!!x"}, {"js": "js: !!y"}], [("js", "!!x"), ("js", "!!y")]),
        ([{"selector": "#a > b"}], [("selector", "#a > b")]),
        (["#total"], [("selector", "#total")]),
        ([{"text": "a"}, {"check": "b"}, {"description": "js: c"}], [("prose", "a"), ("prose", "b"), ("js", "c")]),
        ({"brief": "b", "checks": ["a", {"checks": ["c"]}]}, [("prose", "a"), ("prose", "c")]),
        ([["a", ["b"]]], [("prose", "a"), ("prose", "b")]),
        (["same", "same"], [("prose", "same"), ("prose", "same")]),
        (["a\x00b\ud800"], [("prose", "ab\ufffd")]),
    ],
)
def test_every_known_shape_of_checks_is_read(sent: Any, expected: list[tuple[str, str]]) -> None:
    task, _ = taken(checks=sent)
    assert [(check.kind, check.text) for check in task.checks] == expected
    assert [check.id for check in task.checks] == [str(n + 1) for n in range(len(expected))]
    assert task.skipped == ()


def test_absent_checks_are_none_and_texts_is_another_name_for_them() -> None:
    assert taken()[0].checks == ()
    assert [check.text for check in taken(texts=["a"])[0].checks] == ["a"]


READ: dict[str, tuple[Any, list[str]]] = {  # how checks arrive, and what they are read as
    "JSON as text": (
        '["Has a map", "js: has(map)"]',
        ["prose Has a map", "js has(map)"],
    ),
    "JSON as text in a list": (
        ['[{"js": "has(map)"}]'],
        ["js has(map)"],
    ),
    "letter by letter": (
        ["[", '"', "H", "a", "s", " ", "a", " ", "m", "a", "p", '"', "]"],
        ["prose Has a map"],
    ),
    "groups": (
        {"page": ["js: has(map)"], "files": {"text": "README.md has a picture"}},
        ["js has(map)", "prose README.md has a picture"],
    ),
    "groups of groups": (
        [{"title": "One", "tests": [{"items": ["Has a map"]}]}],
        ["prose Has a map"],
    ),
    "a name and a check each": (
        {"the map": "js: has(map)", "the legend": "It has a legend"},
        ["js has(map)", "prose It has a legend"],
    ),
    "a type and a value": (
        [{"type": "javascript", "value": "has(map)"}, {"kind": "css", "value": "#map"}],
        ["js has(map)", "selector #map"],
    ),
    "a type and code": (
        [{"type": "JS", "code": "has(map)", "points": 3}],
        ["js has(map)"],
    ),
    "words under other names": (
        [{"id": 4, "criterion": "Has a map", "weight": 0.5}, {"name": "Has a legend"}],
        ["prose Has a map", "prose Has a legend"],
    ),
    "backticks": (
        ["`js: has(map)`", "`document.title === 'Map'`", "`#map`"],
        ["js has(map)", "js document.title === 'Map'", "selector #map"],
    ),
    "a fence": (
        ["```javascript\njs: has(map)\n```", "js: ```\nhas(map)\n```"],
        ["js has(map)", "js has(map)"],
    ),
    "quoted code": (
        ["js: 'document.title === \"Map\"'"],
        ['js document.title === "Map"'],
    ),
    "words in backticks": (
        ["`index.html`", "Use `map` well"],
        ["prose `index.html`", "prose Use `map` well"],
    ),
    "a list of nodes": (
        ["js: document.querySelectorAll('.pin')"],
        ["js document.querySelectorAll('.pin').length > 0"],
    ),
}


@pytest.mark.parametrize("name", READ)
def test_a_check_in_another_shape_is_read_for_what_it_says(name: str) -> None:
    sent, expected = READ[name]
    task, _ = taken(checks=sent)
    assert [f"{check.kind} {check.text}" for check in task.checks] == expected
    assert task.skipped == ()


@pytest.mark.parametrize(
    "sent", ["js: true", "js: 1 === 1", "js: /map/", "`js: !0`", {"js": "null"}, {"type": "js", "code": "[] && {}"}]
)
def test_a_constant_is_no_check(sent: Any) -> None:
    task, _ = taken(checks=[sent])
    assert task.checks == ()
    assert "constant" in task.skipped[0].why


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        ("js: `Has a map`", "Has a map"),
        ({"js": "'Has a map'"}, "Has a map"),
        ("await expect(page.getByText('Map')).toBeVisible()", "await expect(page.getByText('Map')).toBeVisible()"),
        ("js: (await page.locator('#map').count()) > 0", "(await page.locator('#map').count()) > 0"),
        ("cy.get('#map').should('exist')", "cy.get('#map').should('exist')"),
        ({"selector": "nav >> text=Map"}, '{"selector": "nav >> text=Map"}'),
        ({"selector": "role=link"}, '{"selector": "role=link"}'),
        ({"selector": "#map", "colour": "red"}, '{"selector": "#map", "colour": "red"}'),
        ({"selector": "#map", "text": ["a"]}, '{"selector": "#map", "text": ["a"]}'),
        ({"type": "screenshot", "value": "like map.png"}, '{"type": "screenshot", "value": "like map.png"}'),
        ({"text": "Has a map", "where": "on top"}, '{"text": "Has a map", "where": "on top"}'),
    ],
)
def test_what_only_people_understand_becomes_a_sentence_and_is_listed(sent: Any, text: str) -> None:
    task, _ = taken(checks=[sent])
    assert [(check.kind, check.text) for check in task.checks] == [("prose", text)]
    assert [(skipped.what, skipped.why[:18]) for skipped in task.skipped] == [("checks[1]", "read as a sentence")]


@pytest.mark.parametrize(
    ("sent", "what", "why"),
    [
        (7, "checks", "no text"),
        (["a", None], "checks[2]", "no text"),
        (["", "a"], "checks[1]", "empty"),
        (["js: "], "checks[1]", "empty"),
        ([{"js": 5}], "checks[1]", "no js, selector or text"),
        ({"checks": [True]}, "checks.checks[1]", "no text"),
        pytest.param(["x" * 10_001], "checks[1]", "10000 characters", id="long"),
        ([[[[[[["deep"]]]]]]], "checks[1][1][1][1][1][1]", "too deep"),
    ],
)
def test_a_check_that_cannot_be_used_is_listed(sent: Any, what: str, why: str) -> None:
    task, _ = taken(checks=sent)
    [skipped] = task.skipped
    assert skipped.what == what
    assert why in skipped.why
    assert all(check.text == "a" for check in task.checks)


def test_two_hundred_checks_are_enough() -> None:
    task, _ = taken(checks=[f"c{n}" for n in range(202)])
    assert len(task.checks) == 200
    assert [skipped.what for skipped in task.skipped] == ["checks[201]", "checks[202]"]


def test_no_list_of_oddities_grows_without_end() -> None:
    task, _ = taken(checks=[0] * 10_000, attachments=[0] * 10_000)
    assert len(task.skipped) == (checks.MAX_ENTRIES + 1) + (attachments.MAX_ENTRIES + 1)


@pytest.mark.parametrize(
    "text",
    [
        "!!document.querySelector('#x')",
        "document.title === 'It is a fine day'",
        "typeof add === 'function'",
        "add(2, 3) === 5",
        'Math.abs(parseFloat(document.querySelector("#t").textContent) - 1.5) < 0.01',
        "[...document.querySelectorAll('a')].every(a => a.href.startsWith('http'))",
        "(() => { const rows = [...document.querySelectorAll('tr')]; return rows.length > 2; })()",
        "(async () => {\n  const r = await fetch('data.csv');\n  return document.title && r.ok;\n})()",
        r"document.title.match(/\d+ items/) !== null",
        r"/\d/.test(document.title)",
        "document.querySelector(`#a`)?.textContent.trim() == `x ${1 + 1}`",
        "'serviceWorker' in navigator && document.title != ''",
        "document.title ? true : false",
        "getComputedStyle(document.body).color !== 'rgb(0, 0, 0)';",
    ],
)
def test_bare_javascript_is_seen_and_kept_as_it_is(text: str) -> None:
    assert [(check.kind, check.text) for check in taken(checks=[text])[0].checks] == [("js", text)]


@pytest.mark.parametrize(
    "text",
    [
        "document.title is 'Foo'",
        "document.title: 'Foo'",
        "document.title contains 'Sales' — always",
        "document.querySelector('#x') exists",
        "window.add must be a function",
        "The document's title and window's name",
        "Document the API in README.md",
        "Each typeof check passes",
        "Page title (document.title) equals 'X'",
        "Uses localStorage.setItem to save",
        "Don't use document.write",
        "Calls `document.write`",
        "index.html fetches data.json using fetch('https://example.org/data.json')",
        "data.json max.val is greater than or equal to min.val",
        "Page displays the URL passed at ?url=...",
        "The answer === 42",
        "document.title?",
        "document.querySelector('#a'",
        "README.md",
    ],
)
def test_a_sentence_about_code_remains_prose(text: str) -> None:
    assert [(check.kind, check.text) for check in taken(checks=[text])[0].checks] == [("prose", text)]


def test_a_later_round_goes_on_with_the_site_and_the_checks_of_the_earlier_ones() -> None:
    first, _ = taken(checks=["a", "b", "js: c"])
    second, _ = taken(earlier=first, round=2, nonce="n-2", checks=["b", "d"])
    third, _ = taken(earlier=second.model_copy(update={"id": "2" * 32}), round=3, nonce="n-3", checks=["e"])
    assert second.checks == (
        Check(id="1", kind="prose", text="b", round=2),
        Check(id="2", kind="prose", text="d", round=2),
        Check(id="r1.1", kind="prose", text="a", round=1),
        Check(id="r1.3", kind="js", text="c", round=1),
    )
    assert [check.id for check in third.checks] == ["1", "r2.1", "r2.2", "r1.1", "r1.3"]
    assert (second.repo, third.repo) == (first.repo, first.repo)
    assert (second.previous_id, third.previous_id) == (first.id, "2" * 32)


def test_the_earlier_task_is_asked_for_by_email_task_and_round() -> None:
    asked = []
    body = VALID | {"round": "2"}
    parse(body, task_id="0", received_at=0.0, deadline_s=1.0, earlier=lambda *key: asked.append(key))
    assert asked == [("student@example.org", "demo-1", 2)]


def test_a_later_round_without_an_earlier_one_gets_a_site_of_its_own() -> None:
    task, _ = taken(round=2, nonce="n-2")
    assert (task.repo, task.previous_id) == (repo_name(task.email, task.task, "n-2"), None)


# -- attachments -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "data", "media_type"),
    [
        (uri(PNG), PNG, "image/png"),
        (uri(PNG, "Image/PNG;charset=x"), PNG, "image/png"),
        (uri(PNG, ""), PNG, "text/csv"),
        (uri(b"a,b", "@file/zip"), b"a,b", "text/csv"),
        (" DATA:text/csv,a%2Cb%0A1,2", b"a,b\n1,2", "text/csv"),
        ("data:,%FF%00ü", b"\xff\x00\xc3\xbc", "text/csv"),
        ("data:text/plain,", b"", "text/plain"),
        ("data:text/plain;base64,-_8=", b"\xfb\xff", "text/plain"),
        ("data:text/plain;base64,-_8", b"\xfb\xff", "text/plain"),
        ("data:text/plain;base64,%2B/8%3D", b"\xfb\xff", "text/plain"),
        ("data:text/plain;base64,aGVs\n  bG8=\r\n", b"hello", "text/plain"),
    ],
)
def test_an_attachment_is_kept_byte_for_byte(url: str, data: bytes, media_type: str) -> None:
    task, bodies = taken(attachments=[{"name": "data.csv", "url": url}])
    [attachment] = task.attachments
    assert bodies == (data,)
    assert (attachment.size_bytes, attachment.media_type, attachment.published) == (len(data), media_type, True)
    assert task.skipped == ()


@pytest.mark.parametrize("sent", [None, []])
def test_no_attachments_are_no_matter(sent: Any) -> None:
    assert taken(attachments=sent)[0].attachments == ()
    assert taken(attachments=sent)[0].skipped == ()


@pytest.mark.parametrize(
    "sent", [{"name": "a.txt", "url": "data:,x"}, [{"name": "a.txt", "url": "data:,x", "size": 1}]]
)
def test_one_attachment_may_come_without_a_list(sent: Any) -> None:
    assert [attachment.name for attachment in taken(attachments=sent)[0].attachments] == ["a.txt"]


@pytest.mark.parametrize(
    ("url", "why"),
    [
        (None, "no url"),
        ("", "no url"),
        (5, "no url"),
        ("data:text/plain;base64", "no comma"),
        ("data:image/png;base64,iVBORw...", "broken or cut off"),
        ("data:image/png;base64,iVBOR", "broken or cut off"),
        ("data:image/png;base64,iVBORx", "cut off"),
        ("data:image/png;base64,iVB=ORw0", "broken or cut off"),
        ("data:image/png;base64,äöü", "broken or cut off"),
        ("data:text/plain,\ud800", "no text"),
        ("data:@file/zip;base64,", "placeholder"),
        ("https://example.org/a.png", "not fetched"),
        ("a.png", "not fetched"),
        pytest.param(uri(bytes(10_000_001)), "the limit is 10000000", id="big"),
    ],
)
def test_an_attachment_that_cannot_be_used_is_listed_and_the_next_is_read(url: Any, why: str) -> None:
    task, bodies = taken(attachments=[{"name": "a.png", "url": url}, {"name": "b.txt", "url": "data:,b"}])
    [skipped] = task.skipped
    assert skipped.what == "a.png"
    assert why in skipped.why
    assert bodies == (b"b",)


A_TXT = [("a.txt", b"x y")]
OTHER_SHAPES: dict[str, tuple[Any, list[tuple[str, bytes]]]] = {
    "JSON as text": ('[{"name": "a.txt", "url": "data:,x%20y"}]', A_TXT),
    "one as text": ('{"name": "a.txt", "uri": "data:,x%20y"}', A_TXT),
    "letter by letter": (list('[{"name": "a.txt", "url": "data:,x%20y"}]'), A_TXT),
    "by name": ({"a.txt": "data:,x%20y", "b.txt": "data:,z"}, [*A_TXT, ("b.txt", b"z")]),
    "objects by name": ({"a.txt": {"content": "x y"}}, A_TXT),
    "a URI under data": ([{"filename": "a.txt", "data": "data:text/plain;base64,eCB5"}], A_TXT),
    "base64 under content": ([{"path": "dir/a.txt", "content": "eCB5"}], A_TXT),
    "base64 that says so": ([{"name": "a.txt", "content": "eCB5", "encoding": "base64"}], A_TXT),
    "text that says so": ([{"name": "a.txt", "content": "eCB5", "encoding": "utf-8"}], [("a.txt", b"eCB5")]),
    "text": ([{"name": "a.txt", "content": "x y"}], A_TXT),
    "a word that could be base64": ([{"name": "a.txt", "data": "password"}], [("a.txt", b"password")]),
    "long base64": ([{"name": "a.bin", "data": base64.b64encode(PNG * 9).decode()}], [("a.bin", PNG * 9)]),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHER_SHAPES)
def test_an_attachment_in_another_shape_is_read(name: str) -> None:
    sent, expected = OTHER_SHAPES[name]
    task, bodies = taken(attachments=sent)
    assert [*zip((attachment.name for attachment in task.attachments), bodies, strict=True)] == expected
    assert task.skipped == ()


@given(st.binary(min_size=1, max_size=400))
def test_a_plus_that_became_a_blank_is_put_back(data: bytes) -> None:
    sent = base64.b64encode(data).decode().replace("+", " ")
    assert taken(attachments=[{"name": "a.bin", "url": f"data:;base64,{sent}"}])[1] == (data,)


@pytest.mark.parametrize("width", [64, 76])
def test_base64_that_blanks_part_into_lines_is_joined(width: int) -> None:
    text = base64.b64encode(bytes(range(250))).decode().replace("+", "A")
    lines = " ".join(text[at : at + width] for at in range(0, len(text), width))
    assert taken(attachments=[{"name": "a.bin", "url": f"data:;base64,{lines}"}])[1] == (base64.b64decode(text),)


@pytest.mark.parametrize("sent", [[{"name": None, "url": None}], [None], ["nothing"], [7], "text", {}, [[]]])
def test_placeholders_of_attachments_are_listed_under_their_number(sent: Any) -> None:
    task, _ = taken(attachments=sent)
    assert [skipped.what for skipped in task.skipped] == ["attachment 1"]


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        *(
            (path, "data.csv")
            for path in ("data.csv", "../../data.csv", "/etc/data.csv", "C:\\x\\data.csv", "a/b/data.csv/")
        ),
        ("da\x00ta\n.csv\ud800", "data.csv"),
        ("  data.csv ", "data.csv"),
        ("cafe\u0301.txt", "caf\u00e9.txt"),
        (".env", ".env"),
        *((odd, "attachment-1.csv") for odd in ("", None, 5, "..", ".", "/", "\\..\\", "a/..")),
    ],
)
def test_a_name_becomes_a_safe_base_name(sent: Any, name: str) -> None:
    task, _ = taken(attachments=[{"name": sent, "url": "data:text/csv,x"}])
    assert [attachment.name for attachment in task.attachments] == [name]


@pytest.mark.parametrize("name", ["x" * 200, "a:b.csv", "LICENSE:x", ".git" + "x" * 200])
def test_a_name_that_no_site_can_hold_is_listed(name: str) -> None:
    task, _ = taken(attachments=[{"name": name, "url": "data:,x"}])
    assert task.attachments == ()
    assert len(task.skipped) == 1


@pytest.mark.parametrize("name", ["LICENSE", "license.txt", "CNAME", ".nojekyll", ".gitignore", "x/.gitattributes"])
def test_a_file_that_sites_may_not_hold_is_readable_and_not_published(name: str) -> None:
    task, bodies = taken(attachments=[{"name": name, "url": "data:,x"}])
    assert [attachment.published for attachment in task.attachments] == [False]
    assert task.skipped == (Skipped(what=name.split("/")[-1], why="readable, not published"),)
    assert bodies == (b"x",)


def test_of_two_attachments_with_one_name_the_last_wins() -> None:
    sent = [{"name": name, "url": f"data:,{n}"} for n, name in enumerate(["a.txt", "b.txt", "dir/A.TXT"])]
    task, bodies = taken(attachments=sent)
    assert [attachment.name for attachment in task.attachments] == ["b.txt", "A.TXT"]
    assert bodies == (b"1", b"2")
    assert task.skipped == (Skipped(what="a.txt", why="a later attachment has the name 'A.TXT'"),)


def test_attachments_are_bounded_in_number_and_size() -> None:
    many, _ = taken(attachments=[{"name": f"{n}.txt", "url": "data:,x"} for n in range(52)])
    assert len(many.attachments) == 50
    assert [skipped.what for skipped in many.skipped] == ["50.txt", "51.txt"]
    big, _ = taken(attachments=[{"name": f"{n}.bin", "url": uri(bytes(9_000_000))} for n in range(3)])
    assert [attachment.name for attachment in big.attachments] == ["0.bin", "1.bin"]
    assert [skipped.what for skipped in big.skipped] == ["2.bin"]


def test_a_replaced_attachment_takes_no_room() -> None:
    sent = [{"name": name, "url": uri(bytes(9_000_000))} for name in ("a.bin", "b.bin", "a.bin")]
    assert [attachment.name for attachment in taken(attachments=sent)[0].attachments] == ["b.bin", "a.bin"]


# -- anything ----------------------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(), max_size=30)
SCALAR = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
JSON = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=10
)
NAME = TEXT | st.sampled_from(
    ["a.txt", "A.TXT", "LICENSE", ".git/config", "../x", "a\\b", "x:y", "CNAME", "\ud800.txt"]
)
URL = TEXT.map("data:".__add__) | st.binary(max_size=9).map(uri) | st.just("data:text/csv,a%2C\ud800")
ATTACHMENTS = st.lists(st.fixed_dictionaries({"name": NAME | SCALAR, "url": URL | SCALAR}) | JSON, max_size=4)
CHECK_KEY = st.sampled_from(["js", "selector", "checks", "text", "check", "description"])
CHECKS = st.lists(JSON | st.dictionaries(CHECK_KEY, JSON, max_size=2), max_size=4)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        **{name: TEXT | SCALAR for name in ("email", "task", "nonce", "brief")},
        "round": st.integers(0, 3) | st.sampled_from(["1", "2", "x"]) | SCALAR,
        "evaluation_url": TEXT.map("http://".__add__) | JSON,
        "secret": JSON,
        "checks": CHECKS | JSON,
        "attachments": ATTACHMENTS | JSON,
    },
)


@given(FIELDS, st.dictionaries(TEXT, JSON, max_size=2), st.booleans())
@settings(max_examples=300, deadline=None, derandomize=True)
def test_any_object_becomes_a_storable_task_or_a_bad_request(
    fields: dict[str, Any], others: dict[str, Any], complete: bool
) -> None:
    body = others | (VALID if complete else {}) | fields
    try:
        task, bodies = parse(body, task_id="0" * 32, received_at=0.0, deadline_s=1.0, earlier=lambda *_: None)
    except BadRequest as error:
        str(error).encode()
        return
    stored = task.model_dump_json()
    assert "\x00" not in task.email + task.task + task.nonce + task.brief
    assert Task.model_validate_json(stored.encode()) == task
    assert json.loads(stored)["round_received"] == body["round"]
    assert [len(data) for data in bodies] == [attachment.size_bytes for attachment in task.attachments]
    names = [attachment.name for attachment in task.attachments]
    assert len({name.lower() for name in names}) == len(names)
    assert not any("/" in name or "\\" in name or ":" in name for name in names)
    assert all(safe_path(attachment.name) == attachment.name for attachment in task.attachments if attachment.published)
