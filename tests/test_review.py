"""The static review: good sites pass in silence, one broken in one way fails in that way, hostile ones cost little."""

import base64
import json
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from agent.review.repository import MIT_BODY, may_change, workflows_allowed

from agent.records import Check, Finding, Review, Task
from agent.review.review import RULES, review
from agent.workspace import Workspace

TASKS = Path(__file__).parents[2] / "shared" / "tasks"
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
ANTHOLOGY_BRIEF = """Publish these files as a small anthology:

- heron.txt: A 20-30 word story about a heron.
- motto.md: The anthology in three words.
- odds.json: Fill in `{river: "Elbe", odds: float (0-1, e.g. 0.25), floods: int, reason: str, tide: {high: bool}}`
- heron.svg: A drawing of a heron.
- index.html: A page that links to all the files above.
- Add a GitHub Actions workflow at .github/workflows/count.yml that runs: python count.py > count.json
- Do not commit count.json; it is made in CI.

Commit the attachment seal.txt as-is, and count.py after fixing the bug in it. Ids on the page:
`heron-name`, `heron-odds`.
"""
WORKFLOW = """\
on: push
jobs:
  count:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - run: python count.py > count.json
"""
ANTHOLOGY = {
    "heron.txt": "word " * 25,
    "motto.md": "Rivers, herons, rain\n",
    "odds.json": json.dumps({"river": "Elbe", "odds": 0.25, "floods": 3, "reason": "rain", "tide": {"high": True}}),
    "heron.svg": '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0"/></svg>',
    "index.html": "<!doctype html><title>Elbe</title><h1 id='heron-name'>Elbe</h1><b id='heron-odds'>0.25</b>"
    + "".join(
        f"<a href='{name}'>{name}</a>" for name in ("heron.txt", "motto.md", "odds.json", "heron.svg", "count.json")
    )
    + "<a href='seal.txt'>seal</a><a href='count.py'>count</a>",
    ".github/workflows/count.yml": WORKFLOW,
    "count.py": "print(1)\n",
}
ANTHOLOGY_FILES = {"seal.txt": b"3141\n", "count.py": b"print(l)\n"}

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


def check(text: str, kind: str = "prose", *, number: int = 1, round_: int = 1) -> Check:
    return Check.model_validate({"id": str(number), "kind": kind, "text": text, "round": round_})


def task(brief: str = "Build a page.", *checks: Check, round_: int = 1) -> Task:
    return Task(
        id="0" * 32,
        email="grower@example.org",
        task="ledger",
        round=round_,
        round_received=round_,
        nonce="n-1",
        brief=brief,
        checks=checks,
        attachments=(),
        skipped=(),
        evaluation_url="https://example.org/notify",
        repo="ledger-abc123",
        previous_id=None,
        received_at=0.0,
        deadline_at=600.0,
    )


def site(files: Mapping[str, str | bytes]) -> Workspace:
    """The files with a licence and a README, unless they bring their own; a None-like empty name drops nothing."""
    whole: dict[str, str | bytes] = {"LICENSE": LICENSE, "README.md": README, ".nojekyll": "", **files}
    return Workspace().put({path: d.encode() if isinstance(d, str) else d for path, d in whole.items()})


def failing(found: Review) -> dict[str, str]:
    return {finding.id: finding.evidence for finding in found.failures}


def one(kind: str, text: str, files: Mapping[str, str | bytes], brief: str = "", **attachments: bytes) -> Finding:
    """The finding on one check of a site."""
    named = {name.replace("_", "."): data for name, data in attachments.items()}
    return review(task(brief or "Build it.", check(text, kind)), site(files), named).findings[0]


# -- good sites ----------------------------------------------------------------------------------------------------

GOOD: dict[str, tuple[Task, Mapping[str, str | bytes], Mapping[str, bytes]]] = {
    "ledger": (
        task(
            'A page with the title "Harvest ledger" that fetches harvest.csv from attachments, sums it with d3.js '
            "inside #total-crates, coloured #fee or #c0ffee, and loads Bootstrap 5. See https://x.org/a.json#frag.",
            check("document.title === `Harvest ledger`", "js"),
            check("!!document.querySelector(\"link[href*='bootstrap']\")", "js", number=2),
            check('!!document.querySelector("script").textContent.includes("fetch(")', "js", number=3),
            check("#total-crates", "selector", number=4),
            check("Repo has MIT license", number=5),
            check("README.md is professional", number=6),
        ),
        {"index.html": LEDGER, "harvest.csv": HARVEST},
        {"harvest.csv": HARVEST.encode(), "LICENSE.txt": b"not published"},
    ),
    "folders": (
        task("A tide table with a page about it in about.html and its looks in assets/style.css."),
        FOLDERS,
        {},
    ),
    "board": (
        task("A TODO board. `#row-1` is its second row.", check('!!document.querySelector("#row-1")', "js")),
        {"index.html": TASK_BOARD, "README.md": README.replace("Harvest ledger", "TODO: the board")},
        {},
    ),
    "templated": (
        task(
            "Books on a shelf.",
            check("document.querySelector('#shelf-title').textContent === 'Shelf'", "js"),
            check("document.querySelectorAll('#app li').length === 2", "js", number=2),
        ),
        {"index.html": TEMPLATED},
        {},
    ),
    "anthology": (
        task(
            ANTHOLOGY_BRIEF,
            check("Each required file exists on GitHub"),
            check("seal.txt matches the attached seal.txt", number=2),
            check("seal.txt equals the attachment", number=10),
            check("index.html links to all required assets", number=3),
            check("motto.md contains exactly three words", number=4),
            check("heron.svg is valid SVG", number=5),
            check("count.json is NOT committed", number=6),
            check("odds.json has 'tide' object with 'high' (boolean) fields", number=7),
            check("index.html <title> contains the river from odds.json", number=8),
            check("index.html contains element with id='heron-odds' displaying odds", number=9),
        ),
        {**ANTHOLOGY, "seal.txt": "3141\n"},
        ANTHOLOGY_FILES,
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_site_has_no_failure(name: str) -> None:
    asked, files, attachments = GOOD[name]
    found = review(asked, site(files), attachments, secrets=("correct horse battery",))
    assert failing(found) == {}
    assert not [finding for finding in found.findings if "broke" in finding.evidence]


def test_every_check_and_every_rule_has_one_finding() -> None:
    asked = task("Now add a table.", check("Adds a table", round_=2), check("Has a page", number=2), round_=2)
    found = review(asked, site({"index.html": LEDGER}), {})
    assert [(f.id, f.origin, f.text) for f in found.findings[:2]] == [
        ("1", "check", "Adds a table"),
        ("2", "earlier", "Has a page"),
    ]
    assert [f.id for f in found.findings[2:]] == [name for name, _, _ in RULES]
    assert {f.origin for f in found.findings[2:]} == {"rule"}


# -- broken in one way ---------------------------------------------------------------------------------------------

MISSING = "\0"  # this file is taken out
BROKEN: list[tuple[str, str, Mapping[str, str | bytes], str]] = [
    ("index", "ledger", {"index.html": f"```html\n{LEDGER}```"}, "no fence"),
    ("index", "ledger", {"index.html": f"To create the page, save this:\n{LEDGER}"}, "To create the page"),
    ("index", "ledger", {"index.html": LEDGER + "\nThis page sums crates."}, "This page sums"),
    ("index", "ledger", {"index.html": LEDGER + "<script>let a = 1;"}, "cut off"),
    ("license", "ledger", {"LICENSE": LICENSE.replace("hereby granted", "granted")}, "full text"),
    ("license", "ledger", {"LICENSE": MISSING}, "`LICENSE`"),
    ("readme", "ledger", {"README.md": MISSING}, "`README.md`"),
    ("readme", "ledger", {"README.md": README.replace("# Harvest ledger\n", "", 1)}, "no title"),
    ("readme", "ledger", {"README.md": README.replace("## Usage", "## Remarks")}, "usage"),
    ("readme", "ledger", {"README.md": README.replace("## How the code works", "## Thanks")}, "code explanation"),
    ("readme", "ledger", {"README.md": README.replace("server\n```", "server\n")}, "README.md:14"),
    ("readme", "ledger", {"README.md": README + "\n\nClone github.com/your-username/ledger."}, "your-username"),
    ("readme", "ledger", {"README.md": README + "\n\nTODO: say more."}, "placeholder"),
    ("references", "ledger", {"README.md": README + "\n\n![Screen](docs/screen.png)"}, "docs/screen.png"),
    ("references", "ledger", {"index.html": LEDGER.replace("</body>", "<img src='a.png'></body>")}, "a.png"),
    (
        "references",
        "ledger",
        {"index.html": LEDGER.replace("for (let", 'fetch("/harvest.csv"); for (let')},
        ":14",
    ),
    (
        "references",
        "ledger",
        {"index.html": LEDGER.replace("</body>", "<img src='http://x.org/a.png'></body>")},
        "https",
    ),
    (
        "references",
        "ledger",
        {"index.html": LEDGER.replace("<p>", "<link rel=stylesheet href=Style.css>", 1)},
        "Style.css",
    ),
    ("references", "folders", {"js/tide.js": MISSING}, "js/tide.js"),
    (
        "references",
        "folders",
        {"js/app.js": FOLDERS["js/app.js"].replace("tides.json", "data/tides.json")},
        "js/app.js:5",
    ),
    ("references", "folders", {"assets/base.css": MISSING}, "assets/base.css"),
    (
        "files",
        "folders",
        {"about.html": MISSING, "index.html": FOLDERS["index.html"].replace('"about"', '"#"')},
        "about.html",
    ),
    ("javascript", "folders", {"js/tide.js": "export const level = ;"}, "js/tide.js:1"),
    ("javascript", "ledger", {"index.html": LEDGER.replace("reduce((sum, row)", "reduce(sum, row)")}, "index.html:9"),
    ("json", "folders", {"tides.json": "{north: 4}"}, "tides.json"),
    ("json", "folders", {"tides.json": '{"north": NaN}'}, "NaN"),
    ("json", "folders", {"index.html": FOLDERS["index.html"].replace('"Tides"}', '"Tides",}')}, "index.html:5"),
    ("paths", "folders", {"CNAME": "example.org"}, "CNAME"),
    ("paths", "folders", {".github/workflows/deploy.yml": WORKFLOW.replace("python count.py", "date")}, "deploy.yml"),
    ("paths", "folders", {"license.md": "MIT"}, "license.md"),
    ("paths", "folders", {"big.bin": b"\0" * 1_000_001}, "big.bin"),
    ("attachments", "ledger", {"harvest.csv": HARVEST.rstrip()}, "harvest.csv"),
    ("ids", "ledger", {"index.html": LEDGER.replace("total-crates", "total-crate")}, "similar: `total-crate`"),
    ("title", "ledger", {"index.html": LEDGER.replace("Harvest ledger", "Ledger")}, "`Ledger`"),
    ("files", "anthology", {"count.json": "{}"}, "must not be committed"),
    ("content", "anthology", {"motto.md": "Rivers and herons again"}, "motto.md has 4 words"),
    ("content", "anthology", {"heron.txt": "word " * 31}, "20 to 30"),
    *[
        ("content", "anthology", {"odds.json": ANTHOLOGY["odds.json"].replace(old, new)}, evidence)
        for old, new, evidence in (
            ("0.25", "1", "decimal point"),
            ("0.25", "1.5", "from 0 to 1"),
            ("Elbe", "Oder", "'Elbe'"),
            ("3,", '"3",', "a integer"),
            ('"high": true', '"high": 1', "`tide.high`"),
            ('"reason"', '"why"', "`reason` is missing"),
        )
    ],
    *[
        ("secrets", "folders", {"js/tide.js": f"\nexport const level = '{key}';"}, "js/tide.js:2")
        for key in KEYS.values()
    ],
]
ALSO = {
    "files": {"1", "6"},
    "content": {"4", "7", "8", "9"},
    "ids": {"4"},
    "title": {"1"},
    "readme": {"6"},
    "license": {"5", "references"},
}


@pytest.mark.parametrize(("rule", "base", "change", "evidence"), BROKEN)
def test_a_site_broken_in_one_way_fails_by_that_rule(
    rule: str, base: str, change: Mapping[str, str | bytes], evidence: str
) -> None:
    asked, files, attachments = GOOD[base]
    changed = {**files, **change}
    gone = [path for path, data in changed.items() if data == MISSING]
    found = failing(review(asked, site(changed).drop(*gone), attachments))
    assert evidence in found.pop(rule)
    assert found.keys() <= ALSO.get(rule, set())


@pytest.mark.parametrize(
    ("brief", "wanted"),
    [
        ("Save `moons.json` and write about.md.", "about.md moons.json"),
        ("Convert raw.xlsx to moons.csv.", "moons.csv"),
        ("Uses chart.js, Three.js and helper.js from a CDN; app.js draws.", "app.js"),
        ("Export the table as moons.csv, or let people upload any.json.", ""),
        ("Commit a file such as notes.txt? No: moons.csv, at data/moons.csv.", "data/moons.csv moons.csv"),
        ("Never push build.log. It loads https://x.org/a.csv from www.y.org/b.csv.", ""),
        ("Files: *.csv, <name>.json, {id}.txt, await response.json(), mail@x.md", ""),
        ("Shows input.csv (attachment) and other.csv from the attachments.", ""),
    ],
)
def test_files_are_wanted_only_where_the_brief_asks_for_them(brief: str, wanted: str) -> None:
    evidence = failing(review(task(brief), site({"index.html": LEDGER, "harvest.csv": HARVEST}), {})).get("files", "")
    assert " ".join(sorted(evidence.split("`")[1::2])) == wanted


def test_an_empty_workspace_fails_and_names_what_is_missing() -> None:
    asked, _, attachments = GOOD["ledger"]
    found = failing(review(asked, Workspace(), attachments))
    assert {"index", "license", "readme", "attachments", "1", "2", "3", "4", "5", "6"} <= found.keys()


@pytest.mark.parametrize("encode", [str, lambda s: base64.b64encode(b"ab" + s.encode()).decode()])
def test_a_secret_of_the_process_is_found_plain_and_encoded_and_never_echoed(encode: type[str]) -> None:
    secret = "correct-horse-battery-staple"
    page = f"<!doctype html><title>{secret}</title>\n<p>{encode(secret)}</p><script>let x = '{secret}</script>"
    asked = task("Build it.", check("document.title === 'x'", "js"))
    found = review(asked, site({"index.html": page, "notes.txt": encode(secret)}), {}, secrets=(secret, "", "ab"))
    assert "notes.txt:1" in failing(found)["secrets"]
    assert "index.html:1" in failing(found)["secrets"]
    assert secret not in found.model_dump_json()


def test_a_key_in_an_intact_attachment_is_not_ours_to_judge() -> None:
    sample = f"key,{KEYS['AWS']}\n".encode()
    assert "secrets" not in failing(review(task(), site({"index.html": LEDGER, "k.csv": sample}), {"k.csv": sample}))


# -- js and selector checks ----------------------------------------------------------------------------------------

STILL = """<!doctype html><title>Two  moons </title><h1 class="big loud" id="name">Two <b>moons</b></h1>
<form id="ask" aria-live="polite" data-moon-count="2"></form><p id="pad"> Io </p><i>1</i><i>2</i>
<p id="n">12.5 km</p>"""
MOVING = (
    STILL
    + """<div id="chart"></div><table id="moons"><tbody></tbody></table><script>
document.querySelector("#chart").innerHTML = '<canvas class="plot"></canvas>';
for (const m of ["io"]) moons.insertRow().id = `moon-${m}`;
</script><script src="https://cdn.jsdelivr.net/npm/marked@12.0.2/marked.min.js"></script>"""
)


@pytest.mark.parametrize(
    ("page", "expression", "verdict", "evidence"),
    [
        (STILL, 'document.title === "Two moons"', "pass", "Two moons"),
        (STILL, "document.title == 'Two moon' || document.title.startsWith(`Two`)", "pass", ""),
        (STILL, 'document.title.includes("Moons")', "fail", "`Two moons`"),
        (STILL, "!!document.querySelector('h1#name.big b')", "pass", ""),
        (STILL, "document.querySelector('#nam') !== null", "fail", "similar: `name`"),
        (STILL, "document.getElementById('nam').textContent.length > 0", "fail", "is null"),
        (STILL, 'document.querySelector("#ask").tagName === "FORM"', "pass", "FORM"),
        (STILL, 'document.querySelector("#ask").getAttribute("aria-live") === "assertive"', "fail", "polite"),
        (STILL, 'document.querySelector("#ask").dataset.moonCount !== undefined', "pass", ""),
        (STILL, 'document.querySelector("#ask").dataset.region !== undefined', "fail", ""),
        (STILL, "document.querySelectorAll('i').length >= 2;", "pass", "matches 2"),
        (STILL, "document.querySelectorAll('i').length === 3", "fail", "matches 2"),
        (STILL, "!document.querySelector('nav')", "pass", ""),
        (STILL, "Math.abs(parseFloat(document.querySelector('#n').textContent) - 12.5) < 0.01", "pass", "12.5"),
        (STILL, "parseInt(document.querySelector('#n').textContent, 10) > 12", "fail", "12.5"),
        (STILL, "document.querySelector('#pad').textContent === 'Io'", "fail", "white space"),
        (STILL, "document.querySelector('#pad').textContent.trim().toUpperCase() === 'IO'", "pass", ""),
        (STILL, "typeof add === 'function'", "fail", "no script defines `add`"),
        (STILL, "document.body.textContent.includes('moons')", "pass", ""),
        (STILL, "[...document.querySelectorAll('i')].length === 3", "unknown", "browser"),
        (STILL, "return document.title", "unknown", "browser"),
        (STILL, "document.querySelector('p::first-line') || document.querySelector(':nope(')", "unknown", "browser"),
        (STILL, "(() => document.querySelector('#rings').children.length > 2)()", "fail", "`rings`"),
        (STILL, "(() => document.querySelector('#rings') === null)()", "unknown", "browser"),
        (STILL, "(" * 2_000 + "1" + ")" * 2_000, "unknown", "browser"),
        (MOVING, 'document.title === "Two moons"', "pass", ""),
        (MOVING, "document.querySelector('#name').textContent.includes('moons')", "pass", ""),
        (MOVING, "document.querySelector('#chart').textContent.includes('x')", "unknown", "browser"),
        (MOVING, "!!document.querySelector('#chart .plot')", "unknown", "script"),
        (MOVING, "!!document.querySelector('#moon-io')", "unknown", "script"),
        (MOVING, "document.querySelectorAll('#moons tbody tr').length >= 1", "unknown", "script"),
        (
            MOVING,
            "document.querySelectorAll('i').length >= 2 && document.querySelectorAll('i').length < 9",
            "unknown",
            "",
        ),
        (
            MOVING,
            "document.querySelectorAll('i').length >= 2 && document.querySelector('#rings') !== null",
            "fail",
            "rings",
        ),
        (
            MOVING,
            "document.querySelectorAll('#chart i').length < 9 && !!document.getElementById('rings')",
            "fail",
            "rings",
        ),
        (MOVING, "!!document.querySelector(\"script[src*='marked']\")", "pass", ""),
        (MOVING, "!!document.querySelector(\"script[src*='highlight.js']\")", "fail", "highlight.js"),
        (MOVING, "!!document.querySelector(\"link[href*='moons']\")", "fail", "link"),
        (MOVING, 'document.querySelector("script").textContent.includes("innerHTML")', "pass", ""),
        (
            MOVING.replace("<script>", "<script src=app.js></script><script>"),
            "document.scripts.length > 1",
            "unknown",
            "",
        ),
        (
            MOVING.replace("<div", "<script src='https://x.org/a.js'></script><div"),
            'document.querySelector("script").textContent.includes("innerHTML")',
            "fail",
            "inline script before",
        ),
        (
            MOVING.replace("innerHTML", "title") + "<script>document.title = 'x'</script>",
            "document.title === 'x'",
            "unknown",
            "",
        ),
        ("<b>x</b><noscript><p id=a></p></noscript>", "!!document.querySelector('#a')", "fail", ""),
    ],
)
def test_an_expression_is_decided_only_where_the_static_page_decides_it(
    page: str, expression: str, verdict: str, evidence: str
) -> None:
    found = one("js", expression, {"index.html": page})
    assert (found.verdict, evidence in found.evidence) == (verdict, True), found.evidence


@pytest.mark.parametrize(
    ("selector", "verdict"),
    [
        ("#name b", "pass"),
        ("#chart canvas", "unknown"),
        ("#rings", "fail"),
        ("#rings, .plot", "unknown"),
        ("p::before", "unknown"),
    ],
)
def test_a_selector_is_decided_only_where_the_static_page_decides_it(selector: str, verdict: str) -> None:
    assert one("selector", selector, {"index.html": MOVING}).verdict == verdict


# -- prose checks --------------------------------------------------------------------------------------------------

FACTS = {"facts.json": '{"moon": "Io", "day": {"hours": 42, "in": "text"}, "old": {"hours": 7}}'}
MOONS = {"index.html": MOVING, "data.txt": "one two three", **FACTS}
VALUES = {
    **FACTS,
    "index.html": "<!doctype html><title>Io</title><h1 id='moon'>Io</h1><b id='hours'>42</b><script>"
    "new URLSearchParams(location.search).get('orbit'); fetch('https://api.example.org/moons?id=1')</script>"
    "<link rel=stylesheet href='https://cdn.jsdelivr.net/npm/bootstrap@5.3.3/dist/css/bootstrap.min.css'>"
    "<a href='facts.json'>f</a>",
}


@pytest.mark.parametrize(
    ("files", "sentence", "verdict"),
    [
        (MOONS, "Repo has MIT license", "pass"),
        (MOONS, "LICENSE contains the MIT License text", "pass"),
        ({**MOONS, "LICENSE": "Apache"}, "Repo has an MIT license", "fail"),
        (MOONS, "README.md is clear and complete", "pass"),
        ({**MOONS, "README.md": "# Hi"}, "README.md is professional", "fail"),
        (MOONS, "README.md updated", "unknown"),
        (MOONS, "README.md explains the rings", "unknown"),
        (MOONS, "index.html exists", "pass"),
        (MOONS, "facts.json and data.txt exist", "pass"),
        (MOONS, "facts.json and rings.json exist", "fail"),
        (MOONS, "facts.json is NOT committed", "fail"),
        (MOONS, "rings.json is not committed", "pass"),
        (MOONS, "data.txt is tasteful", "unknown"),
        (MOONS, "data.txt contains exactly three words", "pass"),
        (MOONS, "data.txt has 5-6 words", "fail"),
        (MOONS, 'data.txt does not contain the typo "tow"', "pass"),
        (MOONS, "data.txt must not contain 'two'", "fail"),
        (MOONS, "data.txt contains the word 'two'", "pass"),
        (MOONS, "data.txt contains the word 'ten'", "fail"),
        (MOONS, "facts.json exists and is valid JSON", "pass"),
        ({**MOONS, "facts.json": "{'a'}"}, "facts.json is valid JSON", "fail"),
        ({**MOONS, "a.svg": "<svg><g></svg>"}, "a.svg is valid SVG", "fail"),
        (MOONS, "facts.json matches the sky", "unknown"),
        ({**MOONS, "a.svg": "<svg/>"}, "a.svg is a valid SVG file", "fail"),
        (MOONS, "facts.json has 'moon' field matching 'Io'", "pass"),
        (MOONS, "facts.json has 'moon' field matching 'Europa'", "fail"),
        (MOONS, "facts.json has 'day' object with 'hours' (number) and 'in' (string) fields", "pass"),
        (MOONS, "facts.json has 'day' object with 'hours' (string) and 'in' (string) fields", "fail"),
        (MOONS, "facts.json day.hours is greater than or equal to old.hours", "pass"),
        (MOONS, "facts.json day.hours and old.hours are both > 7", "fail"),
        (MOONS, "facts.json day.in is > '2020'", "pass"),
        (MOONS, "Page title is 'Two moons'", "pass"),
        (MOONS, "Page title is “Two moons”", "pass"),
        (MOONS, "Page title is 'Moons'", "fail"),
        (MOONS, "The title contains 'moons'", "pass"),
        (MOONS, "Page has element with id='name'", "pass"),
        (MOONS, "Page has a form with id='name'", "fail"),
        (MOONS, "Element with id='name' exists and shows a date", "unknown"),
        (MOONS, "Element with id='rings' exists and shows a date", "fail"),
        (MOONS, "Page displays the moons in #rings", "fail"),
        (MOONS, "Page displays the moons in #moon-io", "unknown"),
        (MOONS, "form id must be ring-<seed>", "unknown"),
        (MOONS, "Page does not have an element with id='rings'", "unknown"),
        (MOONS, "Page is pretty", "unknown"),
        (MOONS, "Page loads without errors", "unknown"),
        (MOONS, "Page loads marked from CDN", "pass"),
        (MOONS, "Page uses Bootstrap 5 from CDN", "fail"),
        (MOONS, "Supports ?orbit=3", "fail"),
        (MOONS, "index.html links to facts.json", "fail"),
        (MOONS, "README.md links to facts.json", "unknown"),
        (MOONS, "Each section has the title 'Rings'", "unknown"),
        (MOONS, "Page uses Bootstrap or Tailwind", "unknown"),
        (MOONS, "Follows https://example.org/search?orbit=3", "unknown"),
        (MOONS, "facts.json day.none is greater than old.hours", "fail"),
        (MOONS, "index.html has 5 to 6 words", "unknown"),
        (VALUES, "index.html links to facts.json and index.html", "fail"),
        (VALUES, "index.html links to facts.json", "pass"),
        (VALUES, "Page uses Bootstrap 5 from jsdelivr", "pass"),
        (VALUES, "Page uses Bootstrap 4 from jsdelivr", "unknown"),
        (VALUES, "Page handles ?orbit=...", "unknown"),
        (VALUES, "index.html <title> contains the moon from facts.json", "pass"),
        (VALUES, "index.html <h1 id='moon'> contains the moon from facts.json", "pass"),
        (VALUES, "index.html contains element with id='hours' displaying day.hours", "pass"),
        (VALUES, "index.html contains element with id='hours' displaying old.hours", "fail"),
        (VALUES, "Element with id='hours' shows a number", "unknown"),
        (VALUES, "index.html fetches it using fetch('https://api.example.org/moons?id=1')", "pass"),
        (VALUES, "index.html fetches it using fetch('https://api.example.org/moons?id=2')", "fail"),
    ],
)
def test_a_sentence_is_decided_only_where_rules_cover_it(
    files: Mapping[str, str | bytes], sentence: str, verdict: str
) -> None:
    found = one("prose", sentence, files)
    assert found.verdict == verdict, found.evidence


# -- what may be touched -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("brief", "allowed"),
    [
        ("Commit execute.py after fixing the error in it.", True),
        ("Fix the non-trivial bug in `execute.py`.", True),
        ("execute.py must be corrected.", True),
        ("Fix nothing. Commit execute.py as-is.", False),
        ("Do not change execute.py.", False),
        ("Update the page so that it loads execute.py.", False),
        ("Load execute.py and update #total when it changes.", False),
        ("Publish execute.py.", False),
        ("Fix my-execute.py.", False),
    ],
)
def test_an_attachment_may_change_only_where_the_task_says_so(brief: str, allowed: bool) -> None:
    assert may_change(task(brief), "execute.py") is allowed


def test_a_check_against_an_old_word_lets_its_file_change_and_pages_always_may() -> None:
    asked = task("Tidy up.", check('execute.py does not contain the typo "pirnt"'))
    assert may_change(asked, "execute.py")
    assert may_change(asked, "index.html")
    assert not may_change(asked, "data.csv")


@pytest.mark.parametrize(
    ("asked", "allowed"),
    [
        (task("Add a workflow at .github/workflows/ci.yml."), True),
        (task("Publish it.", check("GitHub Actions ran for this commit")), True),
        (task("Publish it without GitHub Actions."), False),
        (task("Publish it."), False),
    ],
)
def test_workflows_are_written_only_where_brief_or_checks_name_them(asked: Task, allowed: bool) -> None:
    assert workflows_allowed(asked) is allowed


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
    asked, files, attachments = GOOD["anthology"]
    started = time.thread_time()
    found = review(asked, site({**files, **BOMBS[name]}), attachments, secrets=("correct horse",))
    assert time.thread_time() - started < 8
    assert not [finding for finding in found.findings if "broke" in finding.evidence]


@pytest.mark.parametrize(
    "text",
    [
        "{a:" * 20_000,
        "- x.json: {" * 5_000,
        "ids: " + "`a`, " * 20_000,
        "a-" * 40_000 + ".json",
        "id='" * 20_000,
        "#" * 40_000,
        "not " * 20_000 + "x.txt",
        "a.json " * 10_000,
        "title is '" * 8_000,
        "fix " * 20_000 + "seal.txt",
        "document.querySelector('" * 5_000,
        "!" * 5_000 + "1",
        "\n " * 40_000,
    ],
)
def test_a_hostile_brief_or_check_ends_soon(text: str) -> None:
    _, files, attachments = GOOD["anthology"]
    checks = [check(text, kind, number=n) for n, kind in enumerate(("prose", "js", "selector"), 1)]
    started = time.thread_time()
    found = review(task(text, *checks), site(files), attachments)
    assert time.thread_time() - started < 4
    assert len(found.findings) == len(checks) + len(RULES)
    assert not [finding for finding in found.findings if "broke" in finding.evidence]


@pytest.mark.skipif(not TASKS.is_dir(), reason="the recorded requests are not beside this checkout")
@pytest.mark.parametrize("path", sorted(TASKS.glob("*.json")), ids=lambda path: path.stem)
def test_every_recorded_request_can_be_reviewed(path: Path) -> None:
    body = json.loads(path.read_text())
    checks = [
        check(next(iter(entry.values())) if isinstance(entry, dict) else entry, _kind(entry), number=n)
        for n, entry in enumerate(body["checks"], 1)
    ]
    for files in ({}, {"index.html": LEDGER}):
        found = review(task(body["brief"], *checks), site(files), {"data.csv": b"a,b\n"})
        assert len(found.findings) == len(checks) + len(RULES)
        assert not [finding for finding in found.findings if "broke" in finding.evidence]


def _kind(entry: object) -> str:
    if isinstance(entry, dict):
        return str(next(iter(entry)))
    return "js" if "document." in str(entry) else "prose"
