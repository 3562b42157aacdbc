# ruff: noqa: E501 - the pages are markup
"""Checks of real tasks, on pages written for them, offline. The tasks are kept beside the project, where they are kept at all."""

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from agent.review.live import LiveReview

from agent.browser.chromium import Browser, NoBrowser
from agent.intake.request import parse
from agent.net import Resource
from agent.records import Review
from agent.workspace import Workspace
from tests.doubles import Recorded

FOLDER = Path(__file__).parents[2] / "shared" / "tasks"
CDN = "https://cdn.jsdelivr.net/npm"
BOOTSTRAP = f"{CDN}/bootstrap@5.3.3/dist/css/bootstrap.min.css"
MARKED, HIGHLIGHT = (
    f"{CDN}/marked@12.0.2/marked.min.js",
    "https://cdnjs.cloudflare.com/ajax/libs/highlight.js/11.9.0/highlight.min.js",
)
INTERNET = {
    BOOTSTRAP: Resource(b"body{margin:0}", "text/css", "*"),
    MARKED: Resource(b"window.marked={parse:(t)=>t.replace(/^# (.*)$/gm,'<h1>$1</h1>')}", "text/javascript", "*"),
    HIGHLIGHT: Resource(b"window.hljs={highlightAll(){}}", "text/javascript", "*"),
    "https://api.github.com/users/octocat": Resource(b'{"created_at":"2011-01-25T18:44:36Z"}', "application/json", "*"),
}


def page(title: str, body: str, *, bootstrap: bool = True) -> str:
    style = f'<link rel="stylesheet" href="{BOOTSTRAP}">' if bootstrap else ""
    return f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>{style}</head><body>{body}</body></html>'


def sales(brief: str) -> str:
    title = re.findall(r'title to "([^"]+)"', brief)[0]
    return page(
        title,
        """<p id="total-sales">0</p><script>
fetch("data.csv").then((r) => r.text()).then((t) => {
  const [head, ...rows] = t.trim().split(/\\r?\\n/).map((l) => l.split(","));
  const at = head.indexOf("sales");
  document.getElementById("total-sales").textContent = rows.reduce((s, r) => s + Number(r[at]), 0).toFixed(2);
});</script>""",
    )


def markdown(_: str) -> str:
    return page(
        "Notes",
        f"""<div id="markdown-output"></div><script src="{MARKED}"></script><script src="{HIGHLIGHT}"></script><script>
fetch("input.md").then((r) => r.text()).then((t) => {{ document.getElementById("markdown-output").innerHTML = marked.parse(t); hljs.highlightAll(); }});
</script>""",
    )


def github(brief: str) -> str:
    name = re.findall(r"github-user-\w+", brief)[0]
    return page(
        "Account",
        f"""<form id="{name}"><input name="user" value="octocat"><button>Look up</button></form><p id="github-created-at"></p><script>
const form = document.getElementById("{name}"), shown = document.getElementById("github-created-at");
const token = new URLSearchParams(location.search).get("token");
async function look() {{
  const answer = await fetch("https://api.github.com/users/" + form.user.value, token ? {{headers: {{Authorization: "Bearer " + token}}}} : {{}});
  shown.textContent = (await answer.json()).created_at.slice(0, 10);
  localStorage.setItem("{name}", form.user.value);
}}
form.user.value = localStorage.getItem("{name}") || form.user.value;
form.addEventListener("submit", (e) => {{ e.preventDefault(); look(); }});
look();
</script>""",
    )


def calculator(_: str) -> str:
    keys = "".join(f"<button>{key}</button>" for key in "7894561230+-*/=")
    return page(
        "Calculator",
        f"""<output id="display">0</output><output id="result"></output><div id="keys">{keys}</div><script>
const add = 0; document.getElementById("keys").onclick = (e) => {{ document.getElementById("display").textContent += e.target.textContent; }};
</script>""",
    )


def todo(_: str) -> str:
    return page(
        "Tasks",
        """<input id="task-input"><button id="add-btn">Add</button><ul id="task-list"></ul><script>
document.getElementById("add-btn").onclick = () => document.getElementById("task-list").append(document.getElementById("task-input").value);
</script>""",
    )


def hello(brief: str) -> str:
    return page("Hello", f"<h1 id='greeting'>{'Hello, World!' if 'Hello, W' in brief else 'Hello World'}</h1>")


def button(_: str) -> str:
    return page("Button", "<h1 id='title'>Hi</h1><button id='btn' onclick='this.textContent += 1'>Count</button>")


def operations(_: str) -> str:
    return page("Operations", "<p>Ready</p><script>function add(a, b) { return a + b }</script>", bootstrap=False)


PAGES: dict[str, Callable[[str], str]] = {
    "01": sales, "05": markdown, "09": github, "12": github, "26": calculator, "31": todo, "35": hello, "41": calculator,
    "42": hello, "43": button, "44": operations,
}  # fmt: skip
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the tasks are not kept here")


async def reviewed(*, spoiled: bool) -> dict[str, Review]:
    """All pages at once; spoiled ones have lost every id, title, tag and function that a check may look for."""
    browser = Browser(tabs_at_once=12)
    live = LiveReview(browser, Recorded(INTERNET))

    async def one(number: str) -> Review:
        body: dict[str, Any] = json.loads(next(FOLDER.glob(f"{number}-*.json")).read_text())
        task, attachments = parse(
            body | {"evaluation_url": "https://evaluator.example/"},
            task_id="5a" * 16,
            received_at=0,
            deadline_s=600,
            earlier=lambda *_: None,
        )
        files = {a.name: data for a, data in zip(task.attachments, attachments, strict=True)}
        text = PAGES[number](task.brief)
        if spoiled:
            text = re.sub(r"(id=['\"])", r"\1x", re.sub(r"<link[^>]*>|src=\"https[^\"]*\"", "", text)).replace(
                "<title>", "<title>Not "
            )
            text = re.sub(r"<script>.*?</script>|<button>.</button>", "", text, flags=re.S).replace(
                "Calculator", "Sums"
            )
        return await live.review(task, Workspace().put({"index.html": text.encode(), **files}), files)

    try:
        found = await asyncio.gather(*map(one, PAGES))
    finally:
        await browser.aclose()
    return dict(zip(PAGES, found, strict=True))


def verdicts(found: dict[str, Review]) -> list[tuple[str, str, str, str]]:
    """Of the checks that run: (task, check, verdict, evidence)."""
    return [
        (n, f.text, f.verdict, f.evidence)
        for n, r in found.items()
        for f in r.findings
        if f.origin == "check" and ("document" in f.text or "typeof" in f.text)
    ]


@pytest.mark.parametrize(("spoiled", "verdict"), [(False, "pass"), (True, "fail")])
def test_checks_of_real_tasks_pass_on_good_pages_and_fail_on_spoiled_ones(spoiled: bool, verdict: str) -> None:
    try:
        found = asyncio.run(reviewed(spoiled=spoiled))
    except NoBrowser as error:
        pytest.skip(str(error))
    if "nothing was run" in found["01"].browser:
        pytest.skip(found["01"].browser)
    seen = verdicts(found)
    assert len(seen) >= 20
    assert [line for line in seen if line[2] != verdict] == []
