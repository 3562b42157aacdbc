"""What the model reads first: short, complete, the checks last and word for word."""

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import tiktoken

from agent.errors import ConfigError
from agent.files.previews import previews
from agent.intake.request import parse
from agent.prompts import Prompts
from agent.records import Check
from agent.tools import registry
from agent.worker.prompt import PREVIEW_CHARS
from tests.files import picture, xlsx

PROMPTS = Path(__file__).parent.parent / "prompts"
ATTACHMENTS = {
    path.name: path.read_bytes for path in sorted((Path(__file__).parent / "data" / "attachments").iterdir())
}
TASKS = sorted(Path(__file__).parents[2].glob("shared/tasks/*.json"))  # beside a checkout of ours: real ones, too
MAX_PREVIEW_TOKENS = 4_000  # of all attachments of a task together
MAX_FIXED_TOKENS = 2_000  # system prompt and tools: every request of every task pays for them
CHECKS = (
    Check(id="1", kind="js", text='document.querySelector("#a").textContent.includes("<b>")', round=1),
    Check(id="2", kind="prose", text="README.md is clear & complete", round=1),
)
VARIABLES = {
    "task": "harbour",
    "round": 1,
    "brief": "Show the total.",
    "earlier_briefs": [],
    "pages_url": "https://o.example/harbour/",
    "repo_url": "https://o.example/harbour.git",
    "attachments": [{"name": "ferries.csv", "published": True, "preview": "ferries.csv: csv"}],
    "files": [],
    "workflows": False,
    "libraries": [],
    "fetches": False,
    "checks": CHECKS,
    "unread_checks": 0,
    "earlier_checks": [],
}


@pytest.fixture
def tokens(monkeypatch: pytest.MonkeyPatch) -> tiktoken.Encoding:
    """A real vocabulary, from the files that litellm brings: nothing is downloaded."""
    spec = importlib.util.find_spec("litellm")
    assert spec
    assert spec.origin
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(Path(spec.origin).parent / "litellm_core_utils" / "tokenizers"))
    return tiktoken.get_encoding("o200k_base")


def test_system_prompt_and_tools_cost_little(tokens: tiktoken.Encoding) -> None:
    fixed = Prompts(PROMPTS).render("system.md.j2") + json.dumps(registry.schemas())
    assert len(tokens.encode(fixed)) <= MAX_FIXED_TOKENS


QUESTIONS: dict[str, tuple[dict[str, object], int]] = {  # with nothing of a task in them, and their bound in tokens
    "reading.md.j2": ({"briefs": "", "checks": "", "checks_only": False, "previews": [], "earlier": ""}, 1_000),
    "doubts.md.j2": (
        {"briefs": "", "checks": "", "doubts": [], "changes": [], "files": [], "objection": ""}, 360,
    ),
    "judge.md.j2": ({"briefs": "", "questions": [], "exhibits": [], "pictures": False}, 300),
}  # fmt: skip


@pytest.mark.parametrize("name", QUESTIONS)
def test_what_the_reader_is_told_costs_little(tokens: tiktoken.Encoding, name: str) -> None:
    variables, bound = QUESTIONS[name]
    assert len(tokens.encode(Prompts(PROMPTS).render(name, **variables))) <= bound


def test_libraries_and_fetching_are_told_where_they_are_asked_for() -> None:
    for change, words in ({"libraries": ["cdn/marked.js"]}, "cdn/marked.js"), ({"fetches": True}, "call fetch"):
        texts = [Prompts(PROMPTS).render("task.md.j2", **{**VARIABLES, **more}) for more in ({}, change)]
        assert [words in text for text in texts] == [False, True]


def assert_short(files: Mapping[str, bytes], tokens: tiktoken.Encoding) -> None:
    shown = previews(files, max_chars=PREVIEW_CHARS)
    assert sum(len(tokens.encode(text, disallowed_special=())) for text in shown.values()) <= MAX_PREVIEW_TOKENS
    assert all(shown[name].startswith(f"{name}: ") for name in files)


def test_previews_of_what_tasks_bring_keep_within_their_tokens(tokens: tiktoken.Encoding) -> None:
    ledger = [["route", "adults", "children"], *([f"route {n % 7}", n, n % 5] for n in range(400))]
    files = {name: read() for name, read in ATTACHMENTS.items()}
    files |= {
        "script.py": Path(__file__).read_bytes(),
        "ledger.xlsx": xlsx(("Ledger", ledger)),
        "map.png": picture("PNG", (320, 200)),
    }
    for name, data in files.items():
        assert_short({name: data}, tokens)
    assert_short(files, tokens)


@pytest.mark.parametrize("file", TASKS, ids=lambda path: path.stem)
def test_previews_of_a_real_task_keep_within_their_tokens(tokens: tiktoken.Encoding, file: Path) -> None:
    body = json.loads(file.read_text()) | {"evaluation_url": "https://evaluator.example/"}
    task, attachments = parse(body, task_id="5a" * 16, received_at=0, deadline_s=600, earlier=lambda *_: None)
    assert_short({a.name: data for a, data in zip(task.attachments, attachments, strict=True)}, tokens)


@pytest.mark.parametrize("line", ["0.8471,1.2093,-3.7719,0.0021\n", "3fa9c17e5b2d\n", "the ferry leaves at noon\n"])
def test_previews_of_many_large_files_keep_within_their_tokens(tokens: tiktoken.Encoding, line: str) -> None:
    files = {f"data-{n}.csv": line.encode() * 2_000 for n in range(9)}
    shown = previews(files, max_chars=PREVIEW_CHARS)
    assert sum(len(tokens.encode(text)) for text in shown.values()) <= MAX_PREVIEW_TOKENS


def test_the_checks_stand_last_and_word_for_word() -> None:
    prompt = Prompts(PROMPTS).render("task.md.j2", **VARIABLES)
    last = prompt.rsplit("# Checks, verbatim\n", 1)[1]
    assert last.startswith("".join(f"{check.id}. {check.kind}: {check.text}\n" for check in CHECKS))
    assert "ferries.csv: csv" in prompt
    assert "Round" not in prompt


def test_only_a_task_that_asks_for_a_workflow_pays_for_what_one_needs() -> None:
    texts = [Prompts(PROMPTS).render("task.md.j2", **{**VARIABLES, "workflows": asked}) for asked in (False, True)]
    assert ["deploy-pages" in text for text in texts] == [False, True]
    assert len(texts[1].splitlines()) - len(texts[0].splitlines()) <= 3


def test_a_later_round_shows_the_site_and_what_must_still_hold() -> None:
    later = {
        "round": 2,
        "earlier_briefs": [{"round": 1, "brief": "The first wish."}],
        "files": [
            {"path": "index.html", "size_bytes": 9, "text": "<p>now</p>"},
            {"path": "x.png", "size_bytes": 70_000, "text": None},
        ],
        "earlier_checks": [Check(id="r1.1", kind="selector", text="#old", round=1)],
    }
    prompt = Prompts(PROMPTS).render("task.md.j2", **{**VARIABLES, **later})
    for part in ("The first wish.", "<p>now</p>", "x.png: 70000 bytes", "r1.1. selector: #old"):
        assert part in prompt


def test_checks_that_cannot_be_read_are_not_said_to_be_none() -> None:
    texts = [Prompts(PROMPTS).render("task.md.j2", **{**VARIABLES, "checks": [], "unread_checks": n}) for n in (0, 2)]
    assert ["None were given" in text for text in texts] == [True, False]
    assert "None could be read of those that were given" in texts[1]


def test_an_edit_shows_in_the_next_task_and_in_the_hash(tmp_path: Path) -> None:
    (tmp_path / "a.md.j2").write_text("{# variables: name -#}\nHello {{ name }}")
    before = Prompts(tmp_path)
    assert before.render("a.md.j2", name="<Ann>") == "Hello <Ann>\n"
    old = before.sha256
    (tmp_path / "a.md.j2").write_text("{# variables: name -#}\nBye {{ name }}")
    assert Prompts(tmp_path).render("a.md.j2", name="Ann") == "Bye Ann\n"
    assert Prompts(tmp_path).sha256 != old


@pytest.mark.parametrize("text", ["{{ nobody }}", "{% if %}", "{{ ''.__class__ }}{{ ''.__class__.__mro__ }}"])
def test_a_broken_prompt_is_one_sentence_that_names_the_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.md.j2").write_text(text)
    with pytest.raises(ConfigError, match=r"a\.md\.j2"):
        Prompts(tmp_path).render("a.md.j2")


def test_a_missing_prompt_is_one_sentence_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a\.md\.j2"):
        Prompts(tmp_path).render("a.md.j2")
