"""Which models to call, and with which keys: settings in, choices out. No network, no litellm."""

from pathlib import Path

from pydantic import SecretStr

from agent.llm.gateway import Gateway
from agent.llm.model import Model
from agent.llm.providers import AIPIPE_VARIABLE, PROVIDERS, REPLAY, WITH_DEFAULT, Provider, prefix_of
from agent.llm.providers import ModelChoice as ModelChoice
from agent.llm.replay import ReplayModel
from agent.prompts import Prompts
from agent.settings import Settings

_KEY_VARIABLES = ", ".join([*(row.key_variables[0] for row in WITH_DEFAULT), AIPIPE_VARIABLE])
NO_MODEL = f"no model can be called: set LLM_MODEL and its provider's key, or only one of {_KEY_VARIABLES}"


def open_model(settings: Settings) -> Model | None:
    """The configured model, not yet called; None when none can answer (`NO_MODEL` says why). Raises ConfigError."""
    return _opened(choose_models(settings), settings)


def open_review_model(settings: Settings) -> Model | None:
    """The model that reads tasks and judges sites, as `open_model` opens the one that builds."""
    return _opened(choose_review_models(settings), settings)


def choose_models(settings: Settings) -> tuple[ModelChoice, ...]:
    """LLM_MODEL or the default of the key that is set, then the fallbacks; empty when none of them can answer."""
    first = _first_name(settings)
    if first is None:
        return ()
    fallbacks = filter(None, map(str.strip, settings.llm_fallback_models.split(",")))
    choices = (
        _choice(first, settings),
        *(_choice(_full_name(name, settings), settings, variable="LLM_FALLBACK_MODELS") for name in fallbacks),
    )
    return () if all(choice.lacks_key for choice in choices) else choices


def choose_review_model(settings: Settings) -> ModelChoice | None:
    """REVIEW_MODEL, whether its key is there or not; without it LLM_MODEL."""
    if settings.review_model:
        return _choice(_full_name(settings.review_model.strip(), settings), settings, variable="REVIEW_MODEL")
    return next(iter(choose_models(settings)), None)


def choose_review_models(settings: Settings) -> tuple[ModelChoice, ...]:
    """REVIEW_MODEL, then those that build, which take its place when it fails for good."""
    models, first = choose_models(settings), choose_review_model(settings)
    if first is None or [first.name] == [choice.name for choice in models[:1]]:
        return models
    choices = (first, *(choice for choice in models if not choice.is_recording and not first.is_recording))
    return () if all(choice.lacks_key for choice in choices) else choices


def all_models(settings: Settings) -> tuple[ModelChoice, ...]:
    """Each model that may be called, once."""
    found: dict[str, ModelChoice] = {}
    for choice in (*choose_models(settings), *choose_review_models(settings)):
        found.setdefault(choice.capabilities_key, choice)
    return tuple(found.values())


def _opened(choices: tuple[ModelChoice, ...], settings: Settings) -> Model | None:
    if choices and choices[0].is_recording:
        return ReplayModel(Path(choices[0].name.removeprefix(f"{REPLAY}/")))
    return Gateway(choices, prompts=Prompts(settings.prompts_dir)) if choices else None


def _first_name(settings: Settings) -> str | None:
    """Of LLM_MODEL, or of the model that a lone key stands for."""
    if settings.llm_model:
        return _full_name(settings.llm_model.strip(), settings)
    keyed = next((row for row in WITH_DEFAULT if _own_key(row, settings)), None)
    if keyed:
        return keyed.default_model
    if AIPIPE_VARIABLE in settings.provider_keys:
        return WITH_DEFAULT[0].default_model
    return _owner(settings.llm_api_key).default_model if settings.llm_api_key else None


def _choice(name: str, settings: Settings, *, variable: str = "LLM_MODEL") -> ModelChoice:
    """LLM_API_KEY and LLM_BASE_URL are meant for all models of LLM_MODEL's provider."""
    prefix, first = prefix_of(name), _first_name(settings)
    row = PROVIDERS.get(prefix, Provider(prefix))
    is_meant = first is not None and prefix == prefix_of(first)
    base_url = settings.llm_base_url if is_meant else None
    own = _own_key(row, settings)
    key_variable = row.key_variables[0] if row.key_variables else "LLM_API_KEY"
    override = settings.llm_api_key if is_meant else None
    if override and own and not settings.llm_model and _owner(override) != row:
        override = None  # the provider was chosen by a key of its own, and this one belongs to another provider
    key = override or own
    if override:
        key_variable = "LLM_API_KEY"
    elif not own and row.aipipe_url and (key := settings.provider_keys.get(AIPIPE_VARIABLE)):
        base_url, key_variable = base_url or row.aipipe_url, AIPIPE_VARIABLE
    return ModelChoice(
        name=name,
        api_key=key,
        base_url=base_url,
        name_variable=variable,
        key_variable=key_variable,
        tool_mode=settings.llm_tool_mode,
    )


def _full_name(name: str, settings: Settings) -> str:
    """With the provider's prefix, as far as it can be told."""
    if prefix_of(name):
        return name
    if settings.llm_base_url:
        return f"openai/{name}"
    owner = next((row for row in WITH_DEFAULT if name.startswith(row.model_starts)), None)
    return f"{owner.prefix}/{name}" if owner else name


def _owner(key: SecretStr) -> Provider:
    """Whose key this is by how it begins; openai's when nothing more special fits."""
    fitting = (row for row in WITH_DEFAULT if key.get_secret_value().startswith(row.key_start))
    return max(fitting, key=lambda row: len(row.key_start))


def _own_key(row: Provider, settings: Settings) -> SecretStr | None:
    return next((settings.provider_keys[name] for name in row.key_variables if name in settings.provider_keys), None)
