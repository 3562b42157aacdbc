"""The files around the code keep their word: locks, documents, templates and the contracts of pyproject.toml."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from dotenv import dotenv_values
from jinja2 import Environment, meta
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import agent
from agent.api.routes import REFUSALS
from agent.cli import main as cli
from agent.llm.providers import AIPIPE_VARIABLE, WITH_DEFAULT
from agent.prompts import TEMPLATES, Prompts
from agent.settings import Settings

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
RUNTIME: list[str] = PROJECT["project"]["dependencies"]
DEV: list[str] = PROJECT["dependency-groups"]["dev"]
LOCKS = {"requirements.txt": RUNTIME, "requirements-dev.txt": RUNTIME + DEV}
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
README_WORDS = 1_500  # for the first ten minutes: the rest stands in docs/
IMAGE_BYTES = 150_000


# -- locks ---------------------------------------------------------------------------------------------------------


def pins(lock: str) -> dict[str, Version]:
    """Name → version; a line that is not exactly a pin with its hashes fails."""
    found: dict[str, Version] = {}
    text = re.sub(r"^#.*\n", "", (ROOT / lock).read_text(), flags=re.M)
    for entry in re.split(r"\n(?! )", text.strip()):
        pin = re.fullmatch(r"([\w.-]+)==([\w.]+)(?: ; [^\\]+)?(?: \\\n +--hash=sha256:[0-9a-f]{64})+", entry)
        assert pin, f"{lock}: not a pin with its hashes: {entry[:80]!r}"
        found[canonicalize_name(pin[1])] = Version(pin[2])
    return found


def unmet(requirements: list[str], pinned: dict[str, Version]) -> list[str]:
    """The requirements that no pin satisfies."""
    wanted = [Requirement(line) for line in requirements]
    return [str(r) for r in wanted if not r.specifier.contains(pinned.get(canonicalize_name(r.name), "0"))]


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_pins_and_hashes_every_line_and_meets_every_requirement(lock: str) -> None:
    assert unmet(LOCKS[lock], pins(lock)) == []


def test_lock_check_sees_a_missing_and_an_outdated_pin() -> None:
    pinned = pins("requirements.txt")
    assert unmet(["httpx<0.1", "no-such-package>=1", "uvicorn"], pinned) == ["httpx<0.1", "no-such-package>=1"]


def test_lock_for_development_holds_the_pins_of_the_runtime_lock() -> None:
    assert pins("requirements.txt").items() <= pins("requirements-dev.txt").items()


def test_lock_has_no_release_of_litellm_known_to_be_broken_or_malicious() -> None:
    (bound,) = (Requirement(line).specifier for line in RUNTIME if line.startswith("litellm"))
    bad = ["1.82.7", "1.82.8", "1.106.0", "1.106.4", "1.107.0", "1.107.1"]
    assert [version for version in bad if bound.contains(version)] == []


def test_script_header_of_main_asks_for_what_pyproject_asks_for() -> None:
    block = re.search(r"^# /// script\n((?:#.*\n)+?)# ///$", (ROOT / "main.py").read_text(), re.M)
    assert block
    header = tomllib.loads("".join(line.removeprefix("#").removeprefix(" ") for line in block[1].splitlines(True)))
    assert header == {"requires-python": PROJECT["project"]["requires-python"], "dependencies": RUNTIME}


def test_no_file_names_a_package_index_host() -> None:
    hosts = re.compile(rb"py" rb"pi\.org|python" rb"hosted\.org|registry\.npm" rb"js\.org", re.I)
    git = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run(git, cwd=ROOT, capture_output=True, check=True)
    files = [ROOT / name for name in listing.stdout.decode().split("\0") if name]
    assert hosts.search(b"https://" + b"py" + b"pi.org/simple")
    assert [str(file) for file in files if file.is_file() and hosts.search(file.read_bytes())] == []


# -- documents -----------------------------------------------------------------------------------------------------


def documented(default: object) -> str:
    """A default as the table of settings writes it."""
    if default is None or default == "":
        return "-"
    if isinstance(default, bool):
        return "on" if default else "off"
    if isinstance(default, Path):
        return str(default.relative_to(ROOT) if default.is_absolute() else default)
    return f"{default:g}" if isinstance(default, float) else str(default)


KEY_VARIABLES = [*(row.key_variables[0] for row in WITH_DEFAULT), AIPIPE_VARIABLE]


def text_of(document: str) -> str:
    return (ROOT / document).read_text()


def test_every_setting_is_documented_with_its_default() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| ([^|]+) \| [^|]+ \|$", text_of("docs/settings.md"), re.M)
    fields = Settings.model_fields.items()
    expected = {
        name.upper(): "required" if f.is_required() else documented(f.default)
        for name, f in fields
        if name != "provider_keys"
    }
    expected |= dict.fromkeys(KEY_VARIABLES, "-")
    assert {name: default.strip("`") for name, default in rows} == expected
    assert len(rows) == len(expected)


def test_every_command_is_documented() -> None:
    commands = typer.main.get_command(cli.app)
    assert isinstance(commands, typer.core.TyperGroup)
    listed = re.findall(r"^\| `([a-z]+)", text_of("docs/commands.md"), re.M)
    assert sorted(set(listed) - {"python"}) == sorted(commands.commands)


def test_every_option_of_a_command_that_a_document_shows_exists() -> None:
    commands = typer.main.get_command(cli.app)
    assert isinstance(commands, typer.core.TyperGroup)
    for document in DOCUMENTS:
        for name, rest in re.findall(r"main\.py ([a-z]+)((?: [^`\n#|]*)?)", document.read_text()):
            assert name in commands.commands, f"{document.name}: main.py {name}"
            options = {option for parameter in commands.commands[name].params for option in parameter.opts}
            assert set(re.findall(r"--[a-z]+", rest)) <= options, f"{document.name}: main.py {name}{rest}"


def test_every_prompt_is_documented() -> None:
    listed = re.findall(r"^\| `([a-z_]+\.md\.j2)`", text_of("docs/prompts.md"), re.M)
    assert sorted(listed) == sorted(path.name for path in (ROOT / "prompts").iterdir())


def test_every_error_that_a_task_may_be_refused_with_is_documented() -> None:
    listed = re.findall(r"^\| (4\d\d|5\d\d) \|", text_of("docs/evaluators.md"), re.M)
    assert sorted(map(int, listed)) == sorted(REFUSALS)


def test_readme_is_for_the_first_ten_minutes() -> None:
    assert len(text_of("README.md").split()) <= README_WORDS
    images = list((ROOT / "docs" / "images").iterdir())
    assert {image.name for image in images} == set(re.findall(r"docs/images/([^)]+)", text_of("README.md")))
    assert all(image.stat().st_size < IMAGE_BYTES for image in images)


def test_readme_leads_to_every_document() -> None:
    named = {link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text_of("README.md"))}
    assert {str(document.relative_to(ROOT)) for document in DOCUMENTS} - named == {"README.md"}


def test_the_workflow_of_a_fork_runs_what_every_change_must_pass() -> None:
    workflow = yaml.safe_load(text_of(".github/workflows/ci.yml"))
    (job,) = workflow["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step][-1] == ".ci/run"
    assert workflow["permissions"] == {"contents": "read"}
    assert job["strategy"]["matrix"]["python"][0] == PROJECT["project"]["requires-python"].removeprefix(">=")


def test_env_example_names_known_settings_and_holds_no_value_that_works() -> None:
    text = (ROOT / ".env.example").read_text()
    named = set(re.findall(r"^#? ?([A-Z_]+)=", text, re.M))
    assert "SECRET" in named
    assert named <= {*(name.upper() for name in Settings.model_fields), *KEY_VARIABLES}
    assert {name: value for name, value in dotenv_values(ROOT / ".env.example").items() if value} == {}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_and_make_targets_of_a_document_exist(document: Path) -> None:
    text = document.read_text()
    links = [link for link in re.findall(r"\]\(([^)#\s]+)\)", text) if "://" not in link]
    assert [link for link in links if not (document.parent / link).exists()] == []
    targets = set(re.findall(r"^([a-z-]+):", text_of("Makefile"), re.M))
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.M)) <= targets
    modules = re.findall(r"python -m (benchmarks\.[a-z]+)", text)
    assert [name for name in modules if not (ROOT / f"{name.replace('.', '/')}.py").exists()] == []


def test_map_of_the_package_is_the_import_contract_and_stands_where_contributors_look() -> None:
    lines = re.findall(r"^    (\S+(?: · \S+)* {2,}.*)$", agent.__doc__ or "", re.M)
    (floors,) = (c for c in PROJECT["tool"]["importlinter"]["contracts"] if c["name"] == "floors")
    mapped = [line.split("  ")[0].split(" · ") for line in lines]
    assert mapped == [["main.py"], *(layer.split(" | ") for layer in floors["layers"])]
    assert "\n".join(lines) in text_of("CONTRIBUTING.md")


# -- templates -----------------------------------------------------------------------------------------------------

JINJA_FILES = sorted([*(TEMPLATES / "site").iterdir(), *(ROOT / "prompts").iterdir()])
HOSTILE = {"task_name": "<script>alert(1)</script>", "reason": 'It said "<b>"', "files": ["LICENSE", "a b.csv"]}


@pytest.mark.parametrize("file", JINJA_FILES, ids=lambda path: path.name)
def test_template_or_prompt_lists_its_variables_in_its_first_line(file: Path) -> None:
    text = file.read_text()
    comment = re.match(r"\{# variables: (.+) -#\}\n", text)
    assert comment
    listed = set(re.sub(r" \([^)]*\)", "", comment[1]).split(", ")) - {"none"}
    assert listed == meta.find_undeclared_variables(Environment(autoescape=True).parse(text))


def test_licence_of_a_site_is_the_text_of_our_own_licence() -> None:
    own = (ROOT / "LICENSE").read_text()
    signed = re.search(r"^Copyright \(c\) (\d{4}) (.+)$", own, re.M)
    assert signed
    assert Prompts(TEMPLATES).render("site/LICENSE.j2", year=signed[1], holder=signed[2]) == own
    assert "Permission is hereby granted, free of charge" in own
    assert 'THE SOFTWARE IS PROVIDED "AS IS"' in own


def test_page_of_last_resort_is_honest_and_inert() -> None:
    page = Prompts(TEMPLATES).render("site/index.html.j2", **HOSTILE)
    assert "This build did not finish." in page
    assert "<script>" not in page
    assert "<b>" not in page
    assert 'href="a%20b.csv"' in page


# -- contracts -----------------------------------------------------------------------------------------------------


def test_import_contracts_catch_a_floor_that_looks_up_and_a_library_away_from_its_owner(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "agent", tmp_path / "agent", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / "agent" / "records.py").open("a") as records:
        records.write("\nimport agent.worker.engine\nimport litellm\n")
    lint = Path(sys.executable).parent / "lint-imports"
    run = subprocess.run([lint, "--no-cache"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "agent.records is not allowed to import agent.worker" in run.stdout
    assert "agent.records -> litellm" in run.stdout


@pytest.mark.parametrize(("file", "finding"), [("agent/api/routes.py", "TID251"), ("agent/settings.py", "")])
def test_the_environment_is_read_by_settings_alone(file: str, finding: str) -> None:
    ruff = [sys.executable, "-m", "ruff", "check", "--select", "TID251", "--stdin-filename", file, "-"]
    source = "from os import environ\n"
    run = subprocess.run(ruff, input=source, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (run.returncode == 1) == bool(finding)
    assert finding in run.stdout


@pytest.mark.slow
def test_collecting_the_tests_imports_neither_litellm_nor_dbos() -> None:
    program = (
        "import sys, pytest; pytest.main(['--collect-only', '-qq']); print({'dbos', 'litellm'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "set()"
