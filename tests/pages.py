# ruff: noqa: E501 - the pages are markup
"""A good page with the checks that an evaluator may have, ways to break it, and the internet that it knows."""

from agent.net import Resource

CSV = b"route,passengers\nNorth Quay,9120\nSaltmarsh,2210\nLighthouse Point,21265\n"
BRIEF = (
    "Fetch ferries.csv, show the sum of its passengers in #total as a raw number, the routes in #routes and the notes "
    'rendered with marked. The title is exactly "Port Alder ferries". Show it within 2 seconds.'
)
CHECKS = (
    ("js", "document.title === 'Port Alder ferries'"),
    ("js", "document.querySelector('#total').textContent.trim() === '32595'"),
    ("js", "Math.abs(parseFloat(document.querySelector('#total').textContent) - 32595) < 0.01"),
    ("js", "document.querySelectorAll('#routes tbody tr').length === 3"),
    ("js", "!!document.querySelector(\"link[href*='bootstrap']\")"),
    ("js", "!!document.querySelector(\"script[src*='marked']\")"),
    ("js", "document.querySelector('#notes h2').textContent === 'Notes'"),
    ("js", "document.querySelector('#status').getAttribute('aria-live') === 'polite'"),
    ("js", "(() => { document.querySelector('#more').click(); return document.querySelector('#count').textContent === '1' })()"),
    ("selector", "#filter"),
)  # fmt: skip
OTHER_DATA = {
    "kind": "page",
    "serve": {"ferries.csv": "route,passengers\nNorth Quay,7\nSaltmarsh,4\n"},
    "expect": "document.querySelector('#total').textContent === '11' || 'the total is ' + document.querySelector('#total').textContent",
}  # fmt: skip
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Port Alder ferries</title>
<link rel="stylesheet" href="https://cdn.jsdelivr.net/npm/bootstrap@5.3.3/dist/css/bootstrap.min.css">
<link rel="stylesheet" href="style.css">
</head>
<body>
<h1>Ferries</h1>
<p id="total">0</p>
<p id="status" aria-live="polite">Loading</p>
<table id="routes"><tbody></tbody></table>
<div id="notes"></div>
<select id="filter"><option>all</option></select>
<button id="more">More</button><span id="count">0</span>
<a href="ferries.csv">data</a>
<img src="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg'/%3E" alt="">
<script src="https://cdn.jsdelivr.net/npm/marked@12.0.2/marked.min.js"></script>
<script>
const at = (id) => document.getElementById(id);
let count = 0;
at("more").addEventListener("click", () => { count += 1; at("count").textContent = count; });
at("notes").innerHTML = marked.parse("## Notes");
async function show() {
  const answer = await fetch("ferries.csv");
  const rows = (await answer.text()).trim().split("\\n").slice(1).map((line) => line.split(","));
  at("total").textContent = rows.reduce((sum, row) => sum + Number(row[1]), 0);
  for (const [route, passengers] of rows) at("routes").tBodies[0].insertRow().textContent = route + passengers;
  at("status").textContent = "Ready";
}
show();
</script>
</body>
</html>
"""
INTERNET = {
    "https://cdn.jsdelivr.net/npm/bootstrap@5.3.3/dist/css/bootstrap.min.css": Resource(b"h1{color:navy}", "text/css", "*"),
    "https://cdn.jsdelivr.net/npm/marked@12.0.2/marked.min.js": Resource(
        b"window.marked = {parse: (t) => t.replace(/^## (.*)$/m, '<h2>$1</h2>')};", "text/javascript", "*"
    ),
    "https://cdn.jsdelivr.net/npm/harbour@1/harbour.js": Resource(b"window.harbour = 1;", "text/javascript", "*"),
    "https://open.example/a": Resource(b"{}", "application/json", "*"),
    "https://shut.example/a": Resource(b"{}", "application/json"),
}  # fmt: skip
MUTATIONS = {
    "wrong id": ('id="total"', 'id="totals"'),
    "strings summed": ("sum + Number(row[1])", "sum + row[1]"),
    "hard-coded total": ("rows.reduce((sum, row) => sum + Number(row[1]), 0)", "32595"),
    "version that does not exist": ("marked@12.0.2/marked.min.js", "marked@99/marked.min.js"),
    "missing style": ("bootstrap@5.3.3/dist/css/bootstrap.min.css", "bootstrap@5.3.3/bootstrap.css"),
    "library after its use": (".min.js\"></script>", '.min.js" defer></script>'),
    "wrong integrity": ('marked.min.js"></script>', 'marked.min.js" integrity="sha384-oqVuAfXRKap7fdgcCY5uykM6+R9GqQ8K/uxy9rx7HNQlGYl1kPzQho1wx4JwY8wC" crossorigin></script>'),
    "data from the root": ('fetch("ferries.csv")', 'fetch("/ferries.csv")'),
    "data misspelt": ('fetch("ferries.csv")', 'fetch("ferry.csv")'),
    "insecure address": ("https://cdn.jsdelivr.net/npm/marked", "http://cdn.jsdelivr.net/npm/marked"),
    "late value": ("\nshow();", "\nsetTimeout(show, 6500);"),
    "never shown": ("\nshow();", "\n"),
    "value that goes away": ('at("status").textContent = "Ready"', 'at("status").textContent = "Ready"; setTimeout(() => { at("total").textContent = ""; }, 20)'),
    "dead link": ('href="ferries.csv"', 'href="ferries.xlsx"'),
    "broken image": ('src="data:image/svg+xml,%3Csvg', 'src="missing.png" title="%3Csvg'),
    "button without effect": ("count += 1;", ""),
    "listener on another event": ('addEventListener("click"', 'addEventListener("keydown"'),
    "attribute wrong": ('aria-live="polite"', 'aria-live="assertive"'),
    "syntax error": ("let count = 0;", "let count = ;"),
    "name declared twice": ("let count = 0;", "let count = 0; let at = 1;"),
    "uncaught error": ("\nshow();", "\nshow(); missing();"),
    "rejected promise": ('at("status").textContent = "Ready"', 'throw new Error("not ready")'),
    "element removed": ('at("status").textContent = "Ready"', 'at("status").remove()'),
    "script in a comment": ("<script>\nconst at", "<!-- <script>\nconst at"),
}  # fmt: skip
