"""Links and other addresses of a page are judged, and followed, as GitHub Pages would serve them."""

from collections.abc import Iterator

import pytest

from agent.review.static.rules import apply
from agent.review.static.site import Site
from agent.workspace import Workspace
from tests.reviewer import Chromium, failing, finding, html, running_chromium, task

FILES = {
    ".nojekyll": b"",
    "404.html": b"<!doctype html><title>Lost</title><p>Lost</p>",
    "about/index.html": b"<!doctype html><title>About</title><script src=about.js></script>",
    "about/about.js": b"window.loaded = true",
    "data/rows.csv": b"a,b",
    "my file.pdf": b"%PDF",
    "team.html": b"<!doctype html><title>Team</title>",
    "team/index.html": b"<!doctype html><title>Folder</title>",
}
LED_THERE = ("about", "about/", "my%20file.pdf", "team", "team/", "team.html", "./", "about/about.js")
LED_NOWHERE = ("data", "data/", "team.html/", "About", "my%2520file.pdf", "no")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    with running_chromium() as chromium:
        yield chromium


@pytest.mark.parametrize("target", [*LED_THERE, *LED_NOWHERE])
def test_a_link_is_a_fault_when_pages_do_not_serve_it(target: str) -> None:
    page = html(f'<p>Hi</p><a href="{target}">there</a>').encode()
    (found,) = (f for f in apply(Site(Workspace().put(FILES | {"index.html": page}), {})) if f.id == "references")
    assert (found.verdict == "fail") is (target in LED_NOWHERE)
    assert ("there is no" in found.evidence) is (target in LED_NOWHERE)


def test_a_link_made_by_a_script_is_judged_in_the_same_way(chromium: Chromium) -> None:
    script = f"for (const to of {[*LED_THERE, *LED_NOWHERE]}) document.body.append("
    script += 'Object.assign(document.createElement("a"), {href: to, textContent: to}))'
    found = chromium.review(task(brief="A page"), html(f"<p>Hi</p><script>{script}</script>"), FILES)
    assert finding(found, "links").evidence.count("a link leads to") == 4, "evidence is cut after four"
    good = script.replace(str([*LED_THERE, *LED_NOWHERE]), str([*LED_THERE]))
    assert failing(chromium.review(task(brief="A page"), html(f"<p>Hi</p><script>{good}</script>"), FILES)) == {}


FOLLOWED = [
    ("location.href = 'about'", "location.pathname.endsWith('/about/') && window.loaded"),
    ("location.href = 'about?a=b#c'", "location.href.endsWith('/about/?a=b#c') && window.loaded"),
    ("location.href = 'team'", "document.title === 'Team' && location.pathname.endsWith('/team')"),
    ("fetch('about').then(r => r.text()).then(t => { got = t })", "window.got.includes('about.js')"),
]


@pytest.mark.parametrize(("script", "holds"), FOLLOWED)
def test_a_page_is_led_to_where_pages_lead_it(chromium: Chromium, script: str, holds: str) -> None:
    asked = task(("js", holds), brief="A page. Shows within 3 seconds")
    body = f"<p>Hi</p><script>if (!location.hash) setTimeout(() => {{ {script} }}, 50)</script>"
    assert finding(chromium.review(asked, html(body), FILES), "1").verdict == "pass"


def test_a_missing_page_shows_the_sites_own_404(chromium: Chromium) -> None:
    script = "fetch('no').then(async r => { got = r.status + (await r.text()) })"
    asked = task(("js", "window.got.startsWith('404') && got.includes('Lost')"), brief="A page within 3 seconds")
    found = chromium.review(asked, html(f"<p>Hi</p><script>{script}</script>"), FILES)
    assert finding(found, "1").verdict == "pass"
    assert "there is no such file" in failing(found)["requests"]
