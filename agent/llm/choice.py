"""Which models to call, and with which keys: settings in, choices out. No network, no litellm."""

from pathlib import Path

from pydantic import SecretStr

from agent.llm.gateway import Gateway
from agent.llm.model import Model
from agent.llm.providers import (
    AIPIPE_URLS,
    AIPIPE_VARIABLE,
    BARE_NAMES,
    BY_PREFIX,
    PROVIDERS,
    REPLAY,
    Provider,
    provider_of,
)
from agent.llm.providers import ModelChoice as ModelChoice
from agent.llm.replay import ReplayModel
from agent.prompts import Prompts
from agent.settings import Settings

_KEY_VARIABLES = ", ".join([*(provider.key_variable for provider in PROVIDERS), AIPIPE_VARIABLE])
NO_MODEL = f"no model can be called: set LLM_MODEL and its provider's key, or only one of {_KEY_VARIABLES}"


def open_model(settings: Settings) -> Model | None:
    """The configured model, not yet called; None when none can answer (`NO_MODEL` says why). Raises ConfigError."""
    choices = choose_models(settings)
    if choices and choices[0].provider == REPLAY:
        return ReplayModel(Path(choices[0].name.removeprefix(f"{REPLAY}/")))
    return Gateway(choices, prompts=Prompts(settings.prompts_dir)) if choices else None


def choose_models(settings: Settings) -> tuple[ModelChoice, ...]:
    """LLM_MODEL or the default of the key that is set, then the fallbacks; empty when none of them can answer."""
    first = settings.llm_model or _default(settings)
    if first is None:
        return ()
    names = [first, *filter(str.strip, settings.llm_fallback_models.split(","))]
    names = [_full_name(name.strip(), settings) for name in names]
    leader = provider_of(names[0])
    choices = [_choice(name, settings, overrides=provider_of(name) == leader) for name in names]
    choices = [choice.model_copy(update={"tool_mode": settings.llm_tool_mode}) for choice in choices]
    fallbacks = [choice.model_copy(update={"name_variable": "LLM_FALLBACK_MODELS"}) for choice in choices[1:]]
    return () if all(choice.lacks_key for choice in choices) else (choices[0], *fallbacks)


def _default(settings: Settings) -> str | None:
    keyed = next((provider for provider in PROVIDERS if _own_key(provider, settings)), None)
    if keyed:
        return keyed.default
    if settings.aipipe_token:
        return PROVIDERS[0].default
    return _owner(settings.llm_api_key).default if settings.llm_api_key else None


def _choice(name: str, settings: Settings, *, overrides: bool) -> ModelChoice:
    """`overrides`: LLM_API_KEY and LLM_BASE_URL are meant for this model's provider."""
    prefix = provider_of(name)
    provider = BY_PREFIX.get(prefix)
    base_url = settings.llm_base_url if overrides else None
    own_key = _own_key(provider, settings) if provider else None
    if overrides and (key := _override(provider, own_key, settings)):
        return ModelChoice(name=name, api_key=key, base_url=base_url)
    if not own_key and prefix in AIPIPE_URLS and settings.aipipe_token:
        url = base_url or AIPIPE_URLS[prefix]
        return ModelChoice(name=name, api_key=settings.aipipe_token, base_url=url, key_variable=AIPIPE_VARIABLE)
    variable = provider.key_variable if provider else "LLM_API_KEY"
    return ModelChoice(name=name, api_key=own_key, base_url=base_url, key_variable=variable)


def _override(provider: Provider | None, own_key: SecretStr | None, settings: Settings) -> SecretStr | None:
    """LLM_API_KEY, unless the provider was chosen by a key of its own and this one belongs to another provider."""
    key = settings.llm_api_key
    if key and own_key and not settings.llm_model and _owner(key) != provider:
        return None
    return key or None


def _full_name(name: str, settings: Settings) -> str:
    """With the provider's prefix, as far as it can be told."""
    if provider_of(name):
        return name
    if settings.llm_base_url:
        return f"openai/{name}"
    prefix = next((prefix for start, prefix in BARE_NAMES.items() if name.startswith(start)), None)
    return f"{prefix}/{name}" if prefix else name


def _owner(key: SecretStr) -> Provider:
    """Whose key this is by how it begins; openai's when nothing more special fits."""
    fitting = (provider for provider in PROVIDERS if key.get_secret_value().startswith(provider.key_start))
    return max(fitting, key=lambda provider: len(provider.key_start))


def _own_key(provider: Provider, settings: Settings) -> SecretStr | None:
    key: SecretStr | None = getattr(settings, provider.key_variable.lower())
    return key or None
