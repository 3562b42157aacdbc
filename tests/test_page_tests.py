"""Acceptance tests of a page, in a real Chromium: what a visitor does, then an expression that comes true or says why not."""

from collections.abc import Iterator

import pytest

from agent.records import Json
from agent.review.acceptance import TEST, PageTest
from agent.review.page.tests import _groups
from agent.review.review import Subject
from tests.reviewer import (
    Chromium,
    acceptance,
    finding,
    html,
    page_test,
    reading,
    running_chromium,
    site,
    task,
)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    with running_chromium() as running:
        yield running


LIST = html("""<h1>Ferries</h1><input id="name" aria-label="name"><button>Add</button><ul></ul><output id="kept"></output>
<select id="sort"><option value="az">A to Z</option><option value="za">Z to A</option></select>
<input type="checkbox" id="all"><p id="state"></p><div hidden><button>Add</button></div><script>
const get = (id) => document.getElementById(id), names = JSON.parse(localStorage.getItem("names") || "[]");
const show = () => document.querySelector("ul").replaceChildren(...names.map((name) =>
  Object.assign(document.createElement("li"), {textContent: name})));
const add = () => { names.push(get("name").value); localStorage.setItem("names", JSON.stringify(names)); show(); };
document.querySelector("button").onclick = add;
get("name").onkeydown = (event) => { if (event.key === "Enter") add(); };
get("sort").onchange = (event) => { get("state").textContent = event.target.value; };
get("all").onchange = (event) => { get("state").textContent = String(event.target.checked); };
addEventListener("offline", () => { get("state").textContent = "offline"; });
addEventListener("online", () => { get("state").textContent = "online"; });
show();
</script>""")
LISTED = "[...document.querySelectorAll('li')].map((line) => line.textContent).join() === 'Heron'"
FILL, ADD = ["fill", "#name", "Heron"], ["click", "button:has-text('Add')"]
STATE = "document.getElementById('state').textContent"
HOLD: dict[str, Json] = {
    "fill and click": page_test(LISTED, FILL, ADD),
    "press": page_test(LISTED, FILL, ["press", "#name", "Enter"]),
    "reload": page_test(LISTED, FILL, ADD, ["reload"]),
    "select by value": page_test(f"{STATE} === 'za'", ["select", "select", "za"]),
    "select by words": page_test(f"{STATE} === 'za'", ["select", "#sort", "z to a"]),
    "fill on a select": page_test(f"{STATE} === 'za'", ["fill", "#sort", "Z to A"]),
    "check": page_test(f"{STATE} === 'true'", ["check", "#all"]),
    "uncheck": page_test(f"{STATE} === 'false'", ["check", "#all"], ["uncheck", "#all"]),
    "resize": page_test("innerWidth === 390 && innerHeight === 800", ["resize", "390x800"]),
    "no network while offline": page_test("fetch('index.html').then(() => 'it is there', () => true)", ["offline"]),
    "offline": page_test(f"!navigator.onLine && {STATE} === 'offline'", ["offline"]),
    "online again": page_test(f"navigator.onLine && {STATE} === 'online'", ["offline"], ["online"]),
    "nothing is left of other tests": page_test("!localStorage.length && !document.querySelector('li')"),
    "a promise": page_test("new Promise((done) => setTimeout(() => done(true), 100))"),
    "a function": page_test("() => document.title === 'Page'"),
    "an async function": page_test("async () => (await fetch('index.html')).ok"),
    "a click that the test does itself": page_test("(document.querySelector('button').click(), !!document.querySelector('li'))"),
}  # fmt: skip


def test_every_step_is_what_a_visitor_does_and_no_test_sees_another(chromium: Chromium) -> None:
    outcomes = chromium.run(HOLD, LIST)
    assert {name: outcome.evidence for name, outcome in outcomes.items() if outcome.verdict != "pass"} == {}
    assert outcomes.keys() == HOLD.keys()


SOON: Json = {"within_s": 0.3}
NOT: dict[str, tuple[Json, str, list[str]]] = {
    # name: test, verdict, what the evidence says
    "false": (page_test(LISTED, FILL, **SOON), "fail", ["it does not hold", "fill `#name` `Heron`", "#name holds `Heron`"]),
    "no element": (page_test("document.getElementById('total').textContent === '42'", **SOON), "fail", ["TypeError", "#total is missing"]),
    "what it holds": (page_test("document.querySelector('#state').textContent === 'x'", ["check", "#all"], **SOON), "fail", ["#state holds `true`"]),
    "nothing is named": (page_test("document.title === 'Ferries'", **SOON), "fail", ["the page holds `Ferries"]),
    "a reason": (page_test("document.title === 'Ferries' || `the title is ${document.title}`", **SOON), "fail", ["`the title is Page`"]),
    "a promised reason": (page_test("Promise.resolve('too few ferries')", **SOON), "fail", ["`too few ferries`"]),
    "an error": (page_test("(() => { throw new Error('sunk') })()", **SOON), "fail", ["threw `Error: sunk`"]),
    "a refused promise": (page_test("Promise.reject(new Error('sunk'))", **SOON), "fail", ["threw `Error: sunk`"]),
    "no button": (page_test(LISTED, FILL, ["click", "#remove"], **SOON), "fail", ["click `#remove` was not possible"]),
    "no option": (page_test("true", ["select", "#sort", "by date"]), "fail", ["there is no option"]),
    "a hidden button": (page_test("true", ["click", "div[hidden] button"]), "fail", ["was not possible"]),
    "a fill of no field": (page_test("true", ["fill", "h1", "x"]), "unknown", ["fill `h1` `x` was not possible"]),
    "a check of no box": (page_test("true", ["check", "h1"]), "unknown", ["check `h1` was not possible"]),
    "a selection in no list": (page_test("true", ["select", "h1", "x"]), "unknown", ["select `h1` `x` was not possible"]),
    "no key": (page_test("true", ["press", "#name", "Entr"]), "unknown", ["press `#name` `Entr` was not possible"]),
    "no selector": (page_test("true", ["click", "h1[["]), "unknown", ["was not possible"]),
    "no JavaScript": (page_test("document.title === "), "unknown", ["does not run"]),
    "no selector in it": (page_test("!!document.querySelector('h1[[')"), "unknown", ["does not run"]),
}  # fmt: skip


def test_what_does_not_hold_fails_and_says_what_stands_there_and_what_no_page_allows_is_unknown(
    chromium: Chromium,
) -> None:
    outcomes = chromium.run({name: test for name, (test, _, _) in NOT.items()}, LIST)
    assert {name: found.verdict for name, found in outcomes.items()} == {
        name: verdict for name, (_, verdict, _) in NOT.items()
    }
    missing = [
        (name, word, outcomes[name].evidence)
        for name, (_, _, words) in NOT.items()
        for word in words
        if word not in outcomes[name].evidence
    ]
    assert missing == []


DATA = html("""<p id="total"></p><p id="rate"></p><p id="who"></p><script>
const show = (id, text) => { document.getElementById(id).textContent = text; };
show("who", new URLSearchParams(location.search).get("name") || "nobody");
fetch("data/boats.csv").then((a) => a.text()).then((text) =>
  show("total", text.trim().split("\\n").slice(1).reduce((sum, line) => sum + Number(line.split(",")[1]), 0)));
fetch("https://rates.example/now?of=EUR").then((a) => a.json()).then((rates) => show("rate", rates.EUR));
</script>""")
BOATS = {"data/boats.csv": b"port,boats\nAlder,40\nBirch,2\n", "about.html": html("<h1>About us</h1>").encode()}
TOTAL, RATE = "document.getElementById('total').innerText", "document.getElementById('rate').innerText"
OTHER = {"data/boats.csv": "port,boats\nAlder,50\nBirch,9\n"}
SERVED: dict[str, Json] = {
    "the data as it is": page_test(f"{TOTAL} === '42'"),
    "other data": page_test(f"{TOTAL} === '59'", serve=OTHER),
    "other data by another name": page_test(f"{TOTAL} === '59'", serve={f"./{name}": text for name, text in OTHER.items()}),
    "an address elsewhere": page_test(f"{RATE} === '1.17'", serve={"https://rates.example/now": '{"EUR": 1.17}'}),
    "the whole address": page_test(f"{RATE} === '1.5'", serve={"https://rates.example/now?of=EUR": '{"EUR": 1.5}'}),
    "a query": page_test("document.getElementById('who').innerText === 'Ann Lee'", query="name=Ann%20Lee"),
    "another page": page_test("document.querySelector('h1').innerText === 'About us'", page="about.html"),
    "its sample": page_test("fetch('https://probe.example/sample.md').then((a) => a.text()).then((t) => t.startsWith('# Probe'))"),
}  # fmt: skip


def test_a_test_brings_its_own_data_query_and_page_and_only_for_itself(chromium: Chromium) -> None:
    outcomes = chromium.run(SERVED, DATA, BOATS)
    assert {name: outcome.evidence for name, outcome in outcomes.items() if outcome.verdict != "pass"} == {}


def test_a_page_that_holds_its_numbers_fixed_fails_when_other_data_is_served(chromium: Chromium) -> None:
    fixed = DATA.replace("text.trim().split", '"_,_\\n_,42".split')
    outcomes = chromium.run({name: SERVED[name] | SOON for name in ("the data as it is", "other data")}, fixed, BOATS)
    assert [outcome.verdict for outcome in outcomes.values()] == ["pass", "fail"]
    assert "#total holds `42`" in outcomes["other data"].evidence


def test_a_page_that_is_not_there_fails(chromium: Chromium) -> None:
    test = page_test("document.querySelector('h1').innerText === 'About us'", page="aboot.html", **SOON)
    assert chromium.run({"1": test}, DATA, BOATS)["1"].verdict == "fail"


def test_tests_that_only_look_at_the_same_page_share_a_tab() -> None:
    given = {
        "a": page_test("document.title"),
        "b": page_test("1", ["reload"]),
        "c": page_test("2"),
        "d": page_test("3", query="a=1"),
        "e": page_test("document.forms[0].submit()"),
        "f": page_test("4", serve={"a.csv": "1"}),
        "g": page_test("5", page="about.html"),
        "h": page_test("6", query="a=1"),
    }
    tests = {name: test for name, one in given.items() if isinstance(test := TEST.validate_python(one), PageTest)}
    assert sorted(sorted(group) for group in _groups(tests)) == [["a", "c"], ["b"], ["d", "h"], ["e"], ["f"], ["g"]]


# -- time --------------------------------------------------------------------------------------------------------------

ENDLESS: dict[str, Json] = {
    "an endless loop": page_test("(() => { for (;;); })()", ["reload"]),
    "an endless look": page_test("(() => { for (;;); })()"),
    "an unkept promise": page_test("new Promise(() => 0)", ["reload"], **SOON),
}


def test_a_test_that_never_ends_is_unknown_and_hurts_no_other(chromium: Chromium) -> None:
    outcomes = chromium.run(HOLD | ENDLESS, LIST)
    wanted = dict.fromkeys(HOLD, "pass") | dict.fromkeys(ENDLESS, "unknown")
    assert {name: outcome.verdict for name, outcome in outcomes.items()} == wanted


def test_only_what_is_not_finished_in_time_is_unknown_and_what_failed_stays_failed(chromium: Chromium) -> None:
    never = page_test("window.never === 1", ["reload"], within_s=16)
    broken = page_test("true", ["click", "h1[["])
    outcomes = chromium.run({"never": never, "at once": broken, "false": page_test("false", **SOON)}, LIST, time_s=8)
    assert outcomes["never"].verdict == "unknown"
    assert "share 8 s" in outcomes["never"].evidence
    assert "not finished" not in outcomes["at once"].evidence
    assert outcomes["false"].verdict == "fail"


def test_what_comes_late_holds_within_the_time_that_the_test_gives_it(chromium: Chromium) -> None:
    page = html(
        "<p id='p'></p><script>setTimeout(() => { document.getElementById('p').innerText = 'here' }, 1500)</script>"
    )
    here = "document.getElementById('p').innerText === 'here'"
    outcomes = chromium.run({"soon": page_test(here, within_s=0), "late": page_test(here, within_s=16)}, page)
    assert [outcome.verdict for outcome in outcomes.values()] == ["fail", "pass"]


# -- data that comes late ----------------------------------------------------------------------------------------------

QUICK = """<button id="add">Add</button><p id="count">1</p><script>
const count = document.getElementById("count");
SETUP
fetch("start.json").then((a) => a.json()).then((start) => { LOADED });
</script>"""
CLICK = "document.getElementById('add').onclick = () => { count.textContent = Number(count.textContent) + 1; };"
CLICKED = page_test("Number(document.getElementById('count').textContent) === 2", ["click", "#add"], **SOON)
LATE: dict[str, tuple[str, str, str]] = {
    "works at once": (CLICK, "", "pass"),
    "loses clicks until its data is there": ("", CLICK, "fail"),
}


@pytest.mark.parametrize("page", LATE)
def test_a_page_that_looks_ready_and_loses_clicks_until_its_data_comes_is_a_guess(
    chromium: Chromium, page: str
) -> None:
    setup, loaded, verdict = LATE[page]
    source = html(QUICK.replace("SETUP", setup).replace("LOADED", loaded))
    found = chromium.run({"1": CLICKED}, source, {"start.json": b"{}"}, late=True)["1"]
    assert (found.verdict, found.guess) == (verdict, verdict == "fail")
    assert ("s late: wait for them" in found.evidence) is found.guess


def test_a_guess_is_told_once_and_decides_nothing(chromium: Chromium) -> None:
    source = html(QUICK.replace("SETUP", "").replace("LOADED", CLICK))
    read = reading(acceptance("need:1.1/1", CLICKED))
    found = chromium.review(task(), source, {"start.json": b"{}"}, read=read)
    need = finding(found, "need:1.1")
    assert (need.verdict, need.standing) == ("unknown", "guess")
    assert need in found.told
    assert need not in found.failures


# -- what a page can do ------------------------------------------------------------------------------------------------

TAMPERED = """<img name="body"><img name="querySelectorAll"><form name="getElementById"></form><p id="total">41</p><script>
Object.keys = Array.from = JSON.stringify = () => []; Array.prototype.map = Array.prototype[Symbol.iterator] = () => { throw 1 };
Object.defineProperty(HTMLElement.prototype, "innerText", {get() { throw new Error("mine") }});
Document.prototype.getElementById = () => null;
</script>"""


def test_a_page_that_replaces_what_it_is_looked_at_with_is_seen_as_it_is(chromium: Chromium) -> None:
    test = page_test("document.querySelector('#total').textContent === '42'", **SOON)
    assert "#total holds `41`" in chromium.run({"1": test}, html(TAMPERED))["1"].evidence


# -- what proves nothing -----------------------------------------------------------------------------------------------

EMPTY, ALONE = "it holds of an empty site", "it holds of the attachments alone"
PROVES: dict[str, tuple[Json, str]] = {
    "presence": (page_test("!!document.querySelector('h1')"), ""),
    "behaviour": (page_test(LISTED, FILL, ADD), ""),
    "absence": (page_test("!document.querySelector('.error')"), EMPTY),
    "absence with presence": (page_test("!!document.querySelector('ul') && !document.querySelector('.error')"), ""),
    "a constant": (page_test("true"), EMPTY),
    "what it makes itself": (page_test("document.title = 'mine', true"), EMPTY),
    "no JavaScript": (page_test("document.title === "), "does not run"),
    "an endless loop": (page_test("(() => { for (;;); })()"), ""),
    "an attached page": (page_test("document.title === 'Page'", page="about.html"), ALONE),
    "data that is there anyway": (page_test("fetch('data/boats.csv').then((a) => a.ok)"), ALONE),
    "a file": ({"kind": "file", "path": "plan.json", "is": "exists"}, ""),
    "an attachment that must stay": ({"kind": "file", "path": "about.html", "is": "exists"}, ""),
    "an attachment as sent": ({"kind": "file", "path": "about.html", "is": "unchanged"}, ""),
    "no file": ({"kind": "file", "path": "plan.json", "is": "absent"}, ""),
    "a text of an attachment": ({"kind": "file", "path": "about.html", "is": "text", "value": "About us"}, ALONE),
    "a question": ({"kind": "judge", "question": "Is it friendly?"}, ""),
}  # fmt: skip


def test_a_test_that_holds_without_the_site_is_dropped_with_the_reason(chromium: Chromium) -> None:
    given = [acceptance(name, test) for name, (test, _) in PROVES.items()]
    subject = Subject(task(), site(LIST), BOATS)
    found = chromium.do(chromium.reviewer().proves_nothing(given, subject))
    assert {name for name, (_, why) in PROVES.items() if why} == found.keys()
    assert {name: why for name, (_, why) in PROVES.items() if why and why not in found[name]} == {}


# ruff: noqa: E501 - the pages are markup
