"""Asks every configured model what it can do; keeps and shows the answers. About 2,000 tokens a model."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from agent.cli.show import mark, plain
from agent.errors import ConfigError
from agent.events import Redactor
from agent.llm.capabilities import Line, Probe
from agent.llm.choice import NO_MODEL, ModelChoice, all_models, choose_models
from agent.llm.gateway import Gateway
from agent.prompts import Prompts
from agent.records import Capabilities, Json
from agent.settings import Settings
from agent.store import Store
from agent.tools import registry


@dataclass(frozen=True)
class Probed:
    """One model. `capabilities` is None when it could not be reached: then what was known of it is kept."""

    model: str
    lines: Sequence[Line]
    capabilities: Capabilities | None


async def probe(settings: Settings) -> list[Probed]:
    """Every model that may be called, the first one first. Raises ConfigError when there is none."""
    choices = [choice for choice in all_models(settings) if not choice.is_recording]
    if recorded := [choice for choice in choose_models(settings)[:1] if choice.is_recording and not choices]:
        raise ConfigError(f"{recorded[0].name} is a recording and can do nothing else: set LLM_MODEL to a live model")
    if not choices:
        raise ConfigError(NO_MODEL)
    with suppress(OSError):  # then the store says what is wrong
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    with closing(await asyncio.to_thread(Store, settings.database)) as store:
        return [await _probed(choice, settings, store) for choice in choices]


async def _probed(choice: ModelChoice, settings: Settings, store: Store) -> Probed:
    prompts = Prompts(settings.prompts_dir)
    nothing_yet = Capabilities(key=choice.capabilities_key, made_at=time.time())
    asked = Probe(Gateway([choice], prompts=prompts), nothing_yet, schemas=registry.schemas(), prompts=prompts)
    await asked.run()
    if asked.reached:
        await asyncio.to_thread(store.put_capabilities, asked.capabilities)
    clean = Redactor(settings.secret_values).clean  # a provider may repeat the key that it was sent
    lines = [Line(line.what, line.verdict, plain(clean(line.found))) for line in asked.lines]
    return Probed(choice.name, lines, asked.capabilities if asked.reached else None)


def copy_profiles(settings: Settings, data_dir: Path) -> None:
    """Gives another DATA_DIR what is known of the models. Raises ConfigError."""
    if not settings.database_url and not settings.data_dir.is_dir():
        return
    with suppress(OSError):
        data_dir.mkdir(parents=True, exist_ok=True)
    own = settings.model_copy(update={"data_dir": data_dir, "database_url": None})
    with closing(Store(settings.database)) as here, closing(Store(own.database)) as there:
        for known in here.capabilities([choice.capabilities_key for choice in all_models(settings)]):
            there.put_capabilities(known)


def table(probed: Sequence[Probed]) -> RenderableType:
    return Group(*(part for one in probed for part in _parts(one)))


def _parts(one: Probed) -> Sequence[RenderableType]:
    rows = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for line in one.lines:
        rows.add_row(mark(line.verdict), Text(line.what), Text(line.found))
    if one.capabilities is None:
        return Text(one.model, style="bold"), rows
    usage = one.capabilities.usage
    tokens = usage.prompt_tokens + usage.completion_tokens
    return Text(one.model, style="bold"), rows, Text(f"{usage.model_calls} answers, {tokens:,} tokens", style="dim")


def as_json(probed: Sequence[Probed]) -> list[Json]:
    return [
        {
            "model": one.model,
            "capabilities": one.capabilities and one.capabilities.model_dump(mode="json"),
            "lines": [{"what": line.what, "verdict": line.verdict, "found": line.found} for line in one.lines],
        }
        for one in probed
    ]
