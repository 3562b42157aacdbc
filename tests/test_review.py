"""The static review: good sites pass in silence, one broken in one way fails in that way, hostile ones cost little."""

import asyncio
import base64
import time
from collections.abc import Mapping

import pytest

from agent.browser.chromium import Browser
from agent.records import Review
from agent.review.acceptance import Reading
from agent.review.review import Reviewer, Subject
from agent.review.static.repository import MIT_BODY
from agent.review.static.rules import RULES
from agent.review.static.secrets import scrubbed
from agent.sandbox.sandbox import Sandbox
from agent.workspace import Workspace
from tests.doubles import Recorded
from tests.reviewer import acceptance, finding, reading, task, verdicts

LICENSE = f"MIT License\n\nCopyright (c) 2025 The authors\n\n{MIT_BODY}"
README = """# Harvest ledger

A small page that adds up what three orchards picked this autumn.

## Summary

It reads `harvest.csv`, sums the crates of every orchard in the browser and shows the total next to a short table.
Nothing is sent anywhere and nothing has to be installed to read it.

## Setup

Any web server will do, because the page loads its data with `fetch`:

```sh
python3 -m http.server
```

## Usage

Open the page; the total is there as soon as the file was read. Reload it after the ledger has changed.

## How the code works

One inline script reads the file, splits its lines and adds the last column. The page itself is in
[index.html](index.html).

## License

MIT, see [LICENSE](LICENSE).
"""
HARVEST = "orchard,crates\nNorth,12\nSouth,30\n"
LEDGER = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Harvest ledger</title>
<script>
const read = async (name = "harvest.csv") => {
  const rows = (await (await fetch(name)).text()).trim().split("\\n").slice(1);
  return rows.reduce((sum, row) => sum + Number(row.split(",").at(-1) ?? 0), 0);
};
document.addEventListener("DOMContentLoaded", async () => {
  const total = document.querySelector("#total-crates");
  total.textContent = `${await read()}`;
  for (let i = 0; i < 3 && total?.dataset; i++) total.dataset.tries = i;
});
</script>
<link href="https://cdn.jsdelivr.net/npm/bootstrap@5.3.3/dist/css/bootstrap.min.css" rel="stylesheet">
</head>
<body><h1 id="heading">Harvest ledger</h1><p>Crates: <output id="total-crates">42</output></p>
<p>See <a href="https://example.org/orchards">the orchards</a>,
<a href="#heading">top</a>, <a href="?view=all">all</a>.</p>
</body>
</html>
"""
FOLDERS = {
    "index.html": """<!DOCTYPE html><title>Tide table</title>
<link rel="stylesheet" href="assets/style.css?v=2">
<link rel="icon" href="data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg'/>">
<script type="module" src="./js/app.js"></script>
<script type="application/ld+json">{"@type": "Dataset", "name": "Tides"}</script>
<script type="importmap">{"imports": {"lit": "https://cdn.jsdelivr.net/npm/lit@3/+esm"}}</script>
<nav><a href="about">About</a> <a href="pages/">Pages</a>
<a href="mailto:a@b.example">Mail</a> <a href="tel:123">Call</a>
<a href="javascript:void 0" onclick="show('north')">North</a></nav>
<img src="assets/wave.svg" srcset="assets/wave.svg 1x, assets/wave.svg 2x" alt="wave">
<ul><li>one<li>two</ul><p>first<p>second<div style="background: url('assets/wave.svg')"></div>
<table><tr><td>1<td>2</table><noscript><p id="plain">Scripts are off.</p></noscript>
<template><a href="${url}">x</a></template>
<!-- <script> is only mentioned here -->""",
    "about.html": "<!doctype html><title>About</title><p><a href='index.html'>Back</a>",
    "pages/index.html": "<!doctype html><title>Pages</title><img src='../assets/wave.svg' alt=''><a href='../'>Up</a>",
    "assets/style.css": "@import 'base.css'; body { background: url(wave.svg); mask: url(#m) }",
    "assets/base.css": "body { margin: 0 }",
    "assets/wave.svg": "<svg xmlns='http://www.w3.org/2000/svg'></svg>",
    "js/app.js": """import { html } from "lit";
import { level } from "./tide.js";
// fetch("not-there.csv") in a comment
export class Tide { static #seen = new Map(); get [Symbol.toStringTag]() { return `tide ${level ?? 0}`; } }
const data = await fetch("tides.json").then(r => r.json());
window.show = (name) => { document.body.insertAdjacentHTML("beforeend", `<p id="tide-${name}">${data[name]}</p>`); };
label: for (const x of [1, 2]) { if (x > 1) break label; }
const re = /<script[^>]*>/giu, big = 10n ** 3n; export default { re, big, html };
""",
    "js/tide.js": "export const level = 3;",
    "tides.json": '{"north": 4.2}',
}
TASK_BOARD = """<HTML><HEAD><TITLE>Chores</TITLE></HEAD><BODY CLASS=dark>
<script>
var chores = [];
function add(text) {
  chores.push(text);
  const rows = chores.map((c, i) => '<li id="row-' + i + '" class="open">' + c + '</li>');
  document.getElementById("list").innerHTML = rows.join("");
  if (chores.length < 2 && text > "") document.title = "Chores (" + chores.length + ")";
}
</script>
<INPUT ID=what><BUTTON ONCLICK="add(what.value)">Add</BUTTON><UL ID=list></UL>
<script src="https://cdnjs.cloudflare.com/ajax/libs/jquery/3.7.1/jquery.min.js"></script>
</BODY></HTML>
"""
TEMPLATED = """<!doctype html><html><head><title>Shelf</title></head><body>
<div id="app"><h1 id="shelf-title">{{ title }}</h1><ul><li v-for="b in books" :key="b">{{ b }}</li></ul></div>
<script src="https://unpkg.com/vue@3/dist/vue.global.prod.js"></script>
<script type="text/babel">const App = () => <main>not read here</main>;</script>
<script>Vue.createApp({ data: () => ({ title: "Shelf", books: ["A", "B"] }) }).mount("#app");</script>
</body></html>"""
WORKFLOW = """\
on: push
jobs:
  count:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - run: python count.py > count.json
"""
CI = ".github/workflows/count.yml"
COUNTING: Mapping[str, str | bytes] = {
    "index.html": "<!doctype html><title>Count</title><a href='count.json'>made by the workflow</a><a href='seal.txt'>seal</a>",
    CI: WORKFLOW,
    "count.py": "print(1)\n",
    "seal.txt": "3141\n",
}

KEYS = {
    "GitHub": "ghp_" + "a1B2" * 9,
    "fine-grained GitHub": "github_pat_" + "1A" * 30,
    "OpenAI": "sk-proj-" + "aB3-" * 12,
    "older OpenAI": "sk-" + "aB3d" * 12,
    "Anthropic": "sk-ant-api03-" + "xY_9" * 20,
    "OpenRouter": "sk-or-v1-" + "0af1" * 16,
    "Google": "AIza" + "Sy_4k" * 7,
    "AWS": "AKIA" + "Q3EG" * 4,
    "Hugging Face": "hf_" + "aBcD" * 8 + "eF",
    "Groq": "gsk_" + "aB12" * 13,
    "Slack": "xoxb-" + "123456789012-abcdef",
    "private key": "-----BEGIN RSA PRIVATE " + "KEY-----",
}


def site(files: Mapping[str, str | bytes]) -> Workspace:
    """The files with a licence and a README, unless they bring their own."""
    whole: dict[str, str | bytes] = {"LICENSE": LICENSE, "README.md": README, ".nojekyll": "", **files}
    return Workspace().put({path: d.encode() if isinstance(d, str) else d for path, d in whole.items()})


def review(
    files: Mapping[str, str | bytes] | Workspace,
    attachments: Mapping[str, bytes] | None = None,
    *,
    brief: str = "Build a page.",
    secrets: tuple[str, ...] = (),
    read: Reading | None = None,
) -> Review:
    """What reading alone finds."""
    workspace = files if isinstance(files, Workspace) else site(files)
    reviewer = Reviewer(Browser("off"), Recorded({}), Sandbox(), secrets=secrets)
    subject = Subject(task(brief=brief), workspace, attachments or {}, read or Reading())
    return asyncio.run(reviewer.review(subject))


def failing(found: Review) -> dict[str, str]:
    assert not [f.evidence for f in found.findings if "broke" in f.evidence]
    return {f.id: f.evidence for f in found.failures}


# -- good sites ----------------------------------------------------------------------------------------------------

ASKS_FOR_CI = f"Run count.py in a workflow at {CI}."
GOOD: dict[str, tuple[str, Mapping[str, str | bytes], Mapping[str, bytes]]] = {
    "ledger": (
        "Sum harvest.csv in #total-crates.",
        {"index.html": LEDGER, "harvest.csv": HARVEST},
        {"harvest.csv": HARVEST.encode(), "LICENSE.txt": b"not published"},
    ),
    "folders": ("A tide table.", FOLDERS, {}),
    "board": ("A TODO board.", {"index.html": TASK_BOARD, "README.md": "TODO: the board"}, {}),
    "templated": ("Books on a shelf.", {"index.html": TEMPLATED}, {}),
    "workflow": (ASKS_FOR_CI, COUNTING, {"seal.txt": b"3141\n", "count.py": b"print(l)\n"}),
    "attachments as sent": (
        "Show bad.json.",
        {"index.html": LEDGER, "harvest.csv": HARVEST, "bad.json": "{a: NaN}", "old.html": "<img src='gone.png'>"},
        {"bad.json": b"{a: NaN}", "old.html": b"<img src='gone.png'>"},
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_site_has_no_failure(name: str) -> None:
    brief, files, attachments = GOOD[name]
    assert failing(review(files, attachments, brief=brief, secrets=("correct horse battery",))) == {}


def test_every_rule_has_one_finding_and_every_one_is_certain() -> None:
    found = review({"index.html": LEDGER}).findings
    assert [f.id for f in found] == [name for name, _, _ in RULES]
    assert {(f.origin, f.standing, f.earlier) for f in found} == {("rule", "certain", False)}


# -- broken in one way ---------------------------------------------------------------------------------------------

MISSING = "\0"  # this file is taken out
FOLDER_PAGE = str(FOLDERS["index.html"])
BROKEN: list[tuple[str, str, Mapping[str, str | bytes], str]] = [
    ("index", "ledger", {"index.html": MISSING, "README.md": "# Ledger"}, "`index.html`"),
    ("index", "ledger", {"index.html": " "}, "is empty"),
    ("index", "ledger", {"index.html": f"```html\n{LEDGER}```"}, "no fence"),
    ("index", "ledger", {"index.html": f"To create the page, save this:\n{LEDGER}"}, "To create the page"),
    ("index", "ledger", {"index.html": LEDGER + "\nThis page sums crates."}, "This page sums"),
    ("index", "ledger", {"index.html": LEDGER + "<script>let a = 1;"}, "cut off"),
    ("license", "ledger", {"LICENSE": LICENSE.replace("hereby granted", "granted")}, "full text"),
    ("license", "ledger", {"LICENSE": MISSING, "README.md": "# Ledger"}, "`LICENSE`"),
    ("readme", "ledger", {"README.md": MISSING}, "`README.md`"),
    ("readme", "ledger", {"README.md": " \n"}, "empty"),
    ("references", "ledger", {"README.md": README + "\n\n![Screen](docs/screen.png)"}, "docs/screen.png"),
    ("references", "ledger", {"index.html": LEDGER.replace("</body>", "<img src='a.png'></body>")}, "a.png"),
    ("references", "ledger", {"index.html": LEDGER.replace("for (let", 'fetch("/harvest.csv"); for (let')}, ":14"),
    ("references", "ledger", {"index.html": LEDGER.replace("</body>", "<img src='http://x.org/a.png'></body>")}, "https"),
    ("references", "ledger", {"index.html": LEDGER.replace("<p>", "<link rel=stylesheet href=Style.css>", 1)}, "Style.css"),
    ("references", "folders", {"js/tide.js": MISSING}, "js/tide.js"),
    ("references", "folders", {"js/app.js": FOLDERS["js/app.js"].replace("tides.json", "data/tides.json")}, "js/app.js:5"),
    ("references", "folders", {"assets/base.css": MISSING}, "assets/base.css"),
    ("javascript", "folders", {"js/tide.js": "export const level = ;"}, "js/tide.js:1"),
    ("javascript", "ledger", {"index.html": LEDGER.replace("reduce((sum, row)", "reduce(sum, row)")}, "index.html:9"),
    ("json", "folders", {"tides.json": "{north: 4}"}, "tides.json"),
    ("json", "folders", {"tides.json": '{"north": NaN}'}, "NaN"),
    ("json", "folders", {"index.html": FOLDER_PAGE.replace('"Tides"}', '"Tides",}')}, "index.html:5"),
    ("workflows", "workflow", {CI: WORKFLOW.replace("    runs-on: ubuntu-latest\n", "")}, "runs-on"),
    ("paths", "folders", {"CNAME": "example.org"}, "CNAME"),
    ("paths", "folders", {".github/workflows/deploy.yml": WORKFLOW.replace("python count.py", "date")}, "deploy.yml"),
    ("paths", "folders", {"license.md": "MIT"}, "license.md"),
    ("paths", "folders", {"big.bin": b"\0" * 1_000_001}, "big.bin"),
    *[
        ("secrets", "folders", {"js/tide.js": f"\nexport const level = '{key}';"}, "js/tide.js:2")
        for key in KEYS.values()
    ],
]  # fmt: skip


@pytest.mark.parametrize(("rule", "base", "change", "evidence"), BROKEN)
def test_a_site_broken_in_one_way_fails_by_that_rule_alone_with_evidence(
    rule: str, base: str, change: Mapping[str, str | bytes], evidence: str
) -> None:
    brief, files, attachments = GOOD[base]
    changed = {**files, **change}
    gone = [path for path, data in changed.items() if data == MISSING]
    found = failing(review(site(changed).drop(*gone), attachments, brief=brief))
    assert evidence in found.pop(rule)
    assert found == {}


def test_an_empty_workspace_fails_and_says_that_nothing_was_run() -> None:
    found = review(Workspace())
    assert failing(found).keys() == {"index", "license", "readme"}
    assert found.is_broken
    assert "there is no index.html" in found.browser


@pytest.mark.parametrize(
    ("brief", "wanted", "taken"),
    [
        (ASKS_FOR_CI, "", True),
        ("Count on every push.", CI, True),
        ("Count on every push.", "", False),
        ("Publish it with GitHub Actions.", "", False),
    ],
)
def test_a_workflow_file_is_taken_where_its_path_or_a_requirement_asks_for_one(
    brief: str, wanted: str, taken: bool
) -> None:
    read = reading(acceptance("need:1.files/1", {"kind": "file", "path": wanted, "is": "exists"})) if wanted else None
    assert ("paths" in failing(review(COUNTING, brief=brief, read=read))) is not taken


# -- secrets -------------------------------------------------------------------------------------------------------

SECRET = "correct-horse-battery-staple"


@pytest.mark.parametrize("encode", [str, lambda s: base64.b64encode(b"ab" + s.encode()).decode()])
def test_a_secret_of_the_process_is_found_plain_and_encoded_and_never_echoed(encode: type[str]) -> None:
    page = f"<!doctype html><title>{SECRET}</title>\n<p>{encode(SECRET)}</p><script>let x = '{SECRET}</script>"
    found = review({"index.html": page, "notes.txt": encode(SECRET)}, secrets=(SECRET, "", "ab"))
    assert "notes.txt:1" in failing(found)["secrets"]
    assert "index.html:1" in failing(found)["secrets"]
    assert SECRET not in found.model_dump_json()


@pytest.mark.parametrize(("attached", "told"), [("key,{}\n", False), ("other,{}\n", True)])
def test_a_key_in_an_attachment_is_its_senders_as_long_as_it_stands_as_it_was_sent(attached: str, told: bool) -> None:
    sent = attached.format(KEYS["AWS"]).encode()
    found = failing(
        review({"index.html": LEDGER, "harvest.csv": HARVEST, "k.csv": f"key,{KEYS['AWS']}\n"}, {"k.csv": sent})
    )
    assert ("secrets" in found) is told


@pytest.mark.parametrize("key", KEYS)
def test_what_is_scrubbed_holds_no_secret_any_more(key: str) -> None:
    text = f"a {KEYS[key]} b {SECRET} c"
    whole = site({"index.html": LEDGER, "harvest.csv": HARVEST, "a.txt": text, "b.bin": b"\0" + text.encode()})
    clean = scrubbed(whole, (SECRET,))
    assert "secrets" not in failing(review(clean, secrets=(SECRET,)))
    assert clean["index.html"] == whole["index.html"]


# -- without a browser ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("choice", "words"), [("off", "BROWSER=off"), ("/no/such/chromium", "no program")])
def test_without_a_browser_nothing_that_runs_is_decided_and_the_record_says_so(choice: str, words: str) -> None:
    asked = task(("js", "document.title === 'Harvest ledger'"), ("selector", "#heading"), ("prose", "It adds up"))
    read = reading(acceptance("check:1.3/1", {"kind": "page", "expect": "1"}))
    reviewer = Reviewer(Browser(choice), Recorded({}), Sandbox())
    subject = Subject(asked, site({"index.html": LEDGER, "harvest.csv": HARVEST}), {}, read)
    found = asyncio.run(reviewer.review(subject))
    assert verdicts(found) == ["unknown"] * 3
    assert "nothing was run" in found.browser
    assert words in found.browser
    assert words in finding(found, "3").evidence
    assert asyncio.run(reviewer.looks(subject)).pictures == {}


# -- hostile input -------------------------------------------------------------------------------------------------

BOMBS: dict[str, Mapping[str, str | bytes]] = {
    "huge": {"index.html": b"<p>" * 2_000_000, "a.js": b"x" * 3_000_000},
    "deep": {"index.html": "<div>" * 200_000},
    "options": {"index.html": "<select>" + "<option>" * 100_000},
    "attributes": {"index.html": "<i " + " ".join(f"a{i}=1" for i in range(90_000)) + ">"},
    "comments": {"index.html": "<!--" * 250_000, "README.md": "<!--" * 250_000},
    "binary": {"index.html": bytes(range(256)) * 2_000, "README.md": b"\xff\xfe" * 9_000, "LICENSE": b"\x80" * 9_000},
    "surrogates": {"index.html": "<p>\ud800".encode("utf-8", "surrogatepass"), "a.json": b'"\\ud800"'},
    "slow script": {"index.html": "<script>" + "/[" * 150_000 + "</script>", "a.js": "/[" * 150_000},
    "nested script": {"a.js": "(" * 300_000, "index.html": "<script>" + "{a:[" * 90_000 + "</script>"},
    "nested JSON": {"a.json": "[" * 400_000, "b.json": "9" * 400_000, "odds.json": '{"a":' * 100_000},
    "headings": {"README.md": "# " + "#" * 900_000 + "\n" + "# " + " " * 90_000 + "x" + "[" * 90_000},
    "rules": {"README.md": "x\n" + "=" * 900_000 + "x", "index.html": "<p>" + "<a " * 90_000 + "'"},
    "entities": {"heron.svg": "<!DOCTYPE s [<!ENTITY a 'aaaa'>" + "<!ENTITY b '&a;&a;'>" * 99 + "]><svg>&b;</svg>"},
    "keys": {"a.txt": "sk-" * 300_000 + "AKIA" * 50_000, "b.txt": "-----BEGIN " * 50_000},
    "urls": {
        "index.html": "<style>" + "url(" * 200_000 + "</style><a href='http://[' srcset=',,,'>",
        "a.css": "@import" * 90_000,
    },
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_hostile_site_ends_soon_and_breaks_no_rule(name: str) -> None:
    _, files, attachments = GOOD["workflow"]
    started = time.process_time()
    found = review({**files, **BOMBS[name]}, attachments, secrets=("correct horse",))
    assert time.process_time() - started < 8
    assert [f.id for f in found.findings] == [name for name, _, _ in RULES]
    assert not [f.evidence for f in found.findings if "broke" in f.evidence]


# ruff: noqa: E501 - the pages are markup
