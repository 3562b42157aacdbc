"""The model is chosen by the environment alone."""

import json
from pathlib import Path
from typing import Any

import pytest

from agent.errors import ConfigError
from agent.llm.choice import NO_MODEL, choose_models, open_model
from agent.llm.gateway import Gateway
from agent.llm.providers import WITH_DEFAULT
from agent.llm.replay import ReplayModel
from agent.settings import Settings

AIPIPE_OPENAI = "https://aipipe.org/openai/v1"
AIPIPE_OPENROUTER = "https://aipipe.org/openrouter/v1"
LOCAL = "http://127.0.0.1:11434/v1"

# what is set → (name, key, base URL) of each model
CHOSEN: dict[str, tuple[dict[str, str], list[tuple[str, str | None, str | None]]]] = {
    "openai's key": ({"OPENAI_API_KEY": "k"}, [("openai/gpt-5-mini", "k", None)]),
    "anthropic's key": ({"ANTHROPIC_API_KEY": "k"}, [("anthropic/claude-sonnet-4-5", "k", None)]),
    "gemini's key": ({"GEMINI_API_KEY": "k"}, [("gemini/gemini-2.5-flash", "k", None)]),
    "openrouter's key": ({"OPENROUTER_API_KEY": "k"}, [("openrouter/openai/gpt-5-mini", "k", None)]),
    "groq's key": ({"GROQ_API_KEY": "k"}, [("groq/openai/gpt-oss-120b", "k", None)]),
    "the first of two keys": (
        {"GROQ_API_KEY": "g", "ANTHROPIC_API_KEY": "a"},
        [("anthropic/claude-sonnet-4-5", "a", None)],
    ),
    "aipipe alone": ({"AIPIPE_TOKEN": "t"}, [("openai/gpt-5-mini", "t", AIPIPE_OPENAI)]),
    "aipipe and a bare name": (
        {"AIPIPE_TOKEN": "t", "llm_model": "gpt-4.1-mini"},
        [("openai/gpt-4.1-mini", "t", AIPIPE_OPENAI)],
    ),
    "aipipe's openrouter": (
        {"AIPIPE_TOKEN": "t", "llm_model": "openrouter/qwen/qwen3-coder"},
        [("openrouter/qwen/qwen3-coder", "t", AIPIPE_OPENROUTER)],
    ),
    "a provider's own key before aipipe": (
        {"AIPIPE_TOKEN": "t", "OPENAI_API_KEY": "k", "llm_model": "openai/gpt-5"},
        [("openai/gpt-5", "k", None)],
    ),
    "an anthropic key without a name": (
        {"llm_api_key": "sk-ant-1"},
        [("anthropic/claude-sonnet-4-5", "sk-ant-1", None)],
    ),
    "a gemini key without a name": ({"llm_api_key": "AIza1"}, [("gemini/gemini-2.5-flash", "AIza1", None)]),
    "an openrouter key without a name": (
        {"llm_api_key": "sk-or-1"},
        [("openrouter/openai/gpt-5-mini", "sk-or-1", None)],
    ),
    "a groq key without a name": ({"llm_api_key": "gsk_1"}, [("groq/openai/gpt-oss-120b", "gsk_1", None)]),
    "any other key without a name": ({"llm_api_key": "sk-1"}, [("openai/gpt-5-mini", "sk-1", None)]),
    "a key of another provider does not override": (
        {"llm_api_key": "sk-1", "ANTHROPIC_API_KEY": "a"},
        [("anthropic/claude-sonnet-4-5", "a", None)],
    ),
    "LLM_API_KEY before the provider's own": (
        {"llm_model": "anthropic/claude-x", "llm_api_key": "k", "ANTHROPIC_API_KEY": "a"},
        [("anthropic/claude-x", "k", None)],
    ),
    "any provider that litellm knows": ({"llm_model": "bedrock/claude"}, [("bedrock/claude", None, None)]),
    "a local server needs no key": (
        {"llm_model": "qwen3-coder", "llm_base_url": LOCAL},
        [("openai/qwen3-coder", None, LOCAL)],
    ),
    "a name with a slash that is no provider's": (
        {"llm_model": "meta-llama/Llama-3.3", "llm_base_url": LOCAL, "llm_api_key": "k"},
        [("openai/meta-llama/Llama-3.3", "k", LOCAL)],
    ),
    "ollama needs no key": ({"llm_model": "ollama_chat/qwen3"}, [("ollama_chat/qwen3", None, None)]),
    "fallbacks of the same provider share key and address": (
        {"llm_model": "openai/a", "llm_api_key": "k", "llm_base_url": LOCAL, "llm_fallback_models": "openai/b, c"},
        [("openai/a", "k", LOCAL), ("openai/b", "k", LOCAL), ("openai/c", "k", LOCAL)],
    ),
    "fallbacks of another provider have their own key": (
        {"llm_model": "openai/a", "llm_api_key": "k", "GROQ_API_KEY": "g", "llm_fallback_models": ",groq/b,"},
        [("openai/a", "k", None), ("groq/b", "g", None)],
    ),
    "a fallback may have the only key": (
        {"llm_model": "openai/a", "GROQ_API_KEY": "g", "llm_fallback_models": "groq/b"},
        [("openai/a", None, None), ("groq/b", "g", None)],
    ),
    "nothing": ({}, []),
    "a name without its key": ({"llm_model": "openai/gpt-5-mini", "GROQ_API_KEY": "g"}, []),
    "an address without a name": ({"llm_base_url": LOCAL}, []),
}


@pytest.fixture(autouse=True)
def _no_keys_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def settings(**values: Any) -> Settings:
    """Names in capitals are variables of providers."""
    keys = {name: values.pop(name) for name in list(values) if name.isupper()}
    return Settings(secret="s", provider_keys=keys, **values)


@pytest.mark.parametrize("name", CHOSEN)
def test_settings_choose_the_models(name: str) -> None:
    values, expected = CHOSEN[name]
    choices = choose_models(settings(**values))
    assert [(c.name, c.api_key.get_secret_value() if c.api_key else None, c.base_url) for c in choices] == expected


def test_a_choice_names_the_variables_to_mend() -> None:
    first, second = choose_models(settings(llm_model="openai/a", OPENAI_API_KEY="k", llm_fallback_models="groq/b"))
    assert (first.name_variable, first.key_variable) == ("LLM_MODEL", "OPENAI_API_KEY")
    assert (second.name_variable, second.key_variable) == ("LLM_FALLBACK_MODELS", "GROQ_API_KEY")
    assert second.lacks_key


def test_a_key_is_never_printed() -> None:
    (choice,) = choose_models(settings(OPENAI_API_KEY="canary"))
    assert "canary" not in f"{choice!r} {choice} {choice.model_dump()} {choice.model_dump_json()}"


def test_without_a_model_the_sentence_names_what_to_set() -> None:
    assert open_model(settings()) is None
    assert all(row.key_variables[0] in NO_MODEL for row in WITH_DEFAULT)
    assert "LLM_MODEL" in NO_MODEL
    assert "AIPIPE_TOKEN" in NO_MODEL


def test_a_live_model_is_reached_through_the_gateway() -> None:
    model = open_model(settings(OPENAI_API_KEY="k"))
    assert isinstance(model, Gateway)
    assert model.name == "openai/gpt-5-mini"


@pytest.mark.parametrize("base_url", [None, LOCAL])
def test_a_recording_is_named_like_a_model(tmp_path: Path, base_url: str | None) -> None:
    file = tmp_path / "demo.json"
    file.write_text(json.dumps({"conversations": []}))
    model = open_model(settings(llm_model=f"replay/{file}", llm_base_url=base_url))
    assert isinstance(model, ReplayModel)
    assert model.name == "replay/demo.json"


def test_a_missing_recording_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"LLM_MODEL names the recording .*none\.json"):
        open_model(settings(llm_model=f"replay/{tmp_path / 'none.json'}"))
