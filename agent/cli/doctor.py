"""Checks settings, token permissions, model and browser before a task comes and before money is spent."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing, closing
from dataclasses import dataclass
from ipaddress import ip_address
from tempfile import TemporaryFile
from urllib.parse import urlsplit

import httpx
from rich.table import Table
from rich.text import Text

from agent import net, telemetry
from agent.api.servers import listen
from agent.browser.chromium import Browser
from agent.cli.show import mark, plain, span
from agent.errors import AgentError, ConfigError, NoSandbox
from agent.llm.choice import (
    NO_MODEL,
    ModelChoice,
    all_models,
    choose_models,
    choose_review_model,
    open_model,
    open_review_model,
)
from agent.llm.model import ModelRequest
from agent.prompts import Prompts
from agent.publish.git import Repositories
from agent.publish.github.publisher import GitHubPublisher
from agent.records import Capabilities
from agent.sandbox.sandbox import Sandbox
from agent.service import local_url, open_publisher
from agent.settings import MIN_SECRET_CHARS, Settings
from agent.store import Store

QUESTION = "Answer with the one word: ready"
ANSWER_S = 60.0
HEALTHZ_S = 2.0
WHOLE_PROMPTS = ("silent.md.j2", "stalled.md.j2", "system.md.j2")  # those that need no variables
TASK_PROMPT = "task.md.j2"


@dataclass(frozen=True)
class Diagnosis:
    """What was examined and what was found; if it must be fixed, also how."""

    what: str
    healthy: bool
    found: str


Examination = Callable[[Settings], Awaitable[str]]  # what was found; raises AgentError with the fix


async def examine(*, call: bool = False) -> list[Diagnosis]:
    """Examines everything, even if one part is wrong. `call` asks the model one tiny question, for money."""
    diagnoses = []
    try:
        settings = Settings.load()
    except ConfigError as error:
        diagnoses.append(Diagnosis("settings", False, str(error)))
        try:  # with a secret, for that may be all that is missing
            settings = Settings.load(secret="x" * MIN_SECRET_CHARS)
        except ConfigError:
            return diagnoses
    examinations = EXAMINATIONS | ({"model answers": ask_model} if call else {})
    return diagnoses + [await _diagnosis(what, check, settings) for what, check in examinations.items()]


async def _diagnosis(what: str, check: Examination, settings: Settings) -> Diagnosis:
    try:
        return Diagnosis(what, True, await check(settings))
    except AgentError as error:
        return Diagnosis(what, False, str(error))


def table(diagnoses: Sequence[Diagnosis]) -> Table:
    rows = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for diagnosis in diagnoses:
        verdict = mark("pass" if diagnosis.healthy else "fail")
        rows.add_row(verdict, Text(diagnosis.what), Text(plain(diagnosis.found)))
    return rows


async def secret(settings: Settings) -> str:
    length = len(settings.secret.get_secret_value())
    if length < MIN_SECRET_CHARS:
        raise ConfigError(f"SECRET has {length} characters, too few to recognise it in logs and sites: use 12 or more")
    return f"{length} characters"


async def model(settings: Settings) -> str:
    choices = choose_models(settings)
    if not choices:
        raise ConfigError(NO_MODEL)
    for choice in choices:
        if choice.lacks_key:
            raise ConfigError(f"{choice.name} has no key: set {choice.key_variable} or change {choice.name_variable}")
    open_model(settings)
    return ", then ".join(origin(choice, settings) for choice in choices)


async def review_model(settings: Settings) -> str:
    choice = choose_review_model(settings)
    if choice is None or settings.review_model is None:
        return "LLM_MODEL reads and judges too"
    if choice.lacks_key:
        raise ConfigError(f"{choice.name} has no key: set {choice.key_variable} or change {choice.name_variable}")
    open_review_model(settings)
    return origin(choice, settings)


def origin(choice: ModelChoice, settings: Settings) -> str:
    """The model and the variables that it comes from."""
    if choice.name_variable == "LLM_MODEL" and settings.llm_model is None:
        return f"{choice.name}, the default of {choice.key_variable}"
    key = f", with the key of {choice.key_variable}" if choice.api_key else ""
    return f"{choice.name}, named by {choice.name_variable}{key}"


async def capabilities(settings: Settings) -> str:
    choices = all_models(settings)
    try:
        with closing(await asyncio.to_thread(Store, settings.database)) as store:
            known = {one.key: one for one in store.capabilities([choice.capabilities_key for choice in choices])}
    except ConfigError:  # the line of the database says why
        return "unknown until the database answers"
    return (
        "; ".join(f"{choice.name}: {_abilities(known.get(choice.capabilities_key))}" for choice in choices)
        or "no model"
    )


def _abilities(known: Capabilities | None) -> str:
    if known is None:
        return "not probed, so tasks find out what it can do: main.py probe asks it"
    named = {"tools": known.tools, "parallel calls": known.parallel, "images": known.images}
    found = ", ".join(name if can else f"no {name}" for name, can in named.items() if can is not None)
    return f"probed {span(time.time() - known.made_at)} ago: {found or 'nothing could be told'}"


async def ask_model(settings: Settings) -> str:
    """Spends a few tokens."""
    asked = open_model(settings)
    if asked is None:
        raise ConfigError(NO_MODEL)
    began = time.monotonic()
    reply = await asked.complete(ModelRequest([{"role": "user", "content": QUESTION}], timeout_s=ANSWER_S))
    tokens = reply.usage.prompt_tokens + reply.usage.completion_tokens
    return f"{reply.model} said {reply.text[:40]!r} after {time.monotonic() - began:.1f} s, {tokens} tokens"


async def browser(settings: Settings) -> str:
    if settings.browser == "off":
        return "off: pages are read, not run"
    async with aclosing(Browser(settings.browser)) as chromium:
        level = await chromium.start()
    if level.startswith("no sandbox"):
        raise ConfigError(f"{level}: allow user namespaces here, or run the service as a user of its own")
    return level


async def run_python(settings: Settings) -> str:
    """Tasks run without this tool, too."""
    try:
        return await Sandbox(hidden=[settings.data_dir]).start()
    except NoSandbox as error:
        return f"not offered to models: {error}"


async def data_dir(settings: Settings) -> str:
    folder = settings.data_dir.resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            return f"{folder} is writable"
    except OSError as error:
        raise ConfigError(f"DATA_DIR {folder} is not writable ({error.strerror}): name another folder") from None


async def database(settings: Settings) -> str:
    with closing(await asyncio.to_thread(Store, settings.database)) as store:
        kind = settings.database.partition("+")[0].partition(":")[0]
        return f"{kind} answers, {await asyncio.to_thread(store.count, 'queued', 'running')} unfinished tasks"


async def port(settings: Settings) -> str:
    return await _free(settings, settings.port, "PORT")


async def sites_port(settings: Settings) -> str:
    if settings.sites_port in (0, settings.port):
        return "the sites share PORT"
    return await _free(settings, settings.sites_port, "SITES_PORT")


async def _free(settings: Settings, number: int, setting: str) -> str:
    try:
        listen(settings.host, number, setting).close()
    except ConfigError:
        if not await _is_running(settings):
            raise
        return f"{number} on {settings.host}, where the service is running"
    return f"{number} on {settings.host} is free"


async def _is_running(settings: Settings) -> bool:
    """Whether the service itself has PORT and SITES_PORT."""
    url = f"{local_url(settings.host, settings.port)}/healthz"
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=HEALTHZ_S) as http:
            return bool((await http.get(url)).json() == {"status": "ok"})
    except (httpx.HTTPError, ValueError):
        return False


async def sites_url(settings: Settings) -> str:
    url = urlsplit(settings.sites_url)
    name = url.hostname or ""
    if name == settings.host:
        raise ConfigError(f"SITES_URL is on {name} like the API: another port is not enough, give it another host name")
    if _is_public(settings) and _is_loopback(name):
        raise ConfigError(
            f"HOST lets other machines in, but {settings.sites_url} is this machine: set a public SITES_URL"
        )
    if _is_loopback(name) and url.port not in (settings.sites_port, settings.port):
        raise ConfigError(
            f"no site is served at {settings.sites_url}: set SITES_URL to http://{name}:{settings.sites_port}"
        )
    return settings.sites_url


async def publisher(settings: Settings) -> str:
    async with net.client(allow_private=True) as http:
        chosen = open_publisher(settings, Repositories(settings.data_dir / "repositories"), http)
        if isinstance(chosen, GitHubPublisher):
            return f"github, {await chosen.examine()}"
        trouble = await chosen.ready()
    if trouble:
        raise ConfigError(trouble)
    return f"{chosen.name} is ready"


async def admin_token(settings: Settings) -> str:
    if settings.admin_token:
        return "set"
    place = "DATABASE_URL" if not settings.database.startswith("sqlite") else settings.data_dir / "admin_token"
    return f"not set: serve makes one, prints it and keeps it in {place}"


async def callbacks(settings: Settings) -> str:
    if settings.allow_private_callbacks and _is_public(settings):
        raise ConfigError("tasks may make this service call private addresses: turn ALLOW_PRIVATE_CALLBACKS off")
    return "private addresses are called" if settings.allow_private_callbacks else "public addresses only"


async def contact(settings: Settings) -> str:
    return (
        settings.contact
        or "not set: some public APIs, such as data.sec.gov, refuse requests that do not say whom to ask"
    )


async def prompts(settings: Settings) -> str:
    folder = settings.prompts_dir.resolve()
    if not (folder / TASK_PROMPT).is_file():
        raise ConfigError(f"PROMPTS_DIR {folder} holds no {TASK_PROMPT}: name the folder of the prompts")
    for name in WHOLE_PROMPTS:
        Prompts(folder).render(name)
    return str(folder)


async def traces(settings: Settings) -> str:
    if settings.traces == "none":
        return "off: OTEL_EXPORTER_OTLP_ENDPOINT names no collector"
    if not telemetry.is_installed():
        raise ConfigError(telemetry.MISSING)
    return f"sent by {settings.traces}"


async def limits(settings: Settings) -> str:
    usd = f"${settings.task_max_usd:g}" if settings.task_max_usd else "any price"
    spent = f"{settings.task_max_turns} turns, {settings.task_max_tokens:,} tokens, {usd}"
    return f"{settings.task_deadline_s:g} s, {spent} a task; {settings.worker_tasks} tasks at once"


def _is_public(settings: Settings) -> bool:
    return not _is_loopback(settings.host)


def _is_loopback(name: str) -> bool:
    """Whether it is localhost or a loopback address; a name is never looked up."""
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


EXAMINATIONS: dict[str, Examination] = {
    "SECRET": secret,
    "model": model,
    "REVIEW_MODEL": review_model,
    "BROWSER": browser,
    "run_python": run_python,
    "DATA_DIR": data_dir,
    "database": database,
    "capabilities": capabilities,
    "PORT": port,
    "SITES_PORT": sites_port,
    "SITES_URL": sites_url,
    "publisher": publisher,
    "ADMIN_TOKEN": admin_token,
    "call backs": callbacks,
    "CONTACT": contact,
    "prompts": prompts,
    "traces": traces,
    "limits": limits,
}
