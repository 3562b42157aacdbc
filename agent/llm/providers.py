"""What is known of providers before any is called: prefixes, keys, defaults. Plain data, no litellm."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from pydantic import SecretStr

from agent.records import Profile, Record
from agent.workspace import sha256


@dataclass(frozen=True)
class Provider:
    """A provider whose key alone is enough to begin."""

    prefix: str
    key_variable: str
    default: str
    key_start: str  # what its keys begin with


PROVIDERS = (  # in the order in which their keys are looked for
    Provider("openai", "OPENAI_API_KEY", "openai/gpt-5-mini", ""),
    Provider("anthropic", "ANTHROPIC_API_KEY", "anthropic/claude-sonnet-4-5", "sk-ant-"),
    Provider("gemini", "GEMINI_API_KEY", "gemini/gemini-2.5-flash", "AIza"),
    Provider("openrouter", "OPENROUTER_API_KEY", "openrouter/openai/gpt-5-mini", "sk-or-"),
    Provider("groq", "GROQ_API_KEY", "groq/openai/gpt-oss-120b", "gsk_"),
)
BY_PREFIX = {provider.prefix: provider for provider in PROVIDERS}

AIPIPE_VARIABLE = "AIPIPE_TOKEN"
AIPIPE_URLS = {"openai": "https://aipipe.org/openai/v1", "openrouter": "https://aipipe.org/openrouter/v1"}

REPLAY = "replay"  # our own: recorded answers, `replay/PATH`

# litellm's prefixes of chat providers, kept here because asking litellm costs its import.
_NAMES = """
    ai21 anthropic azure azure_ai bedrock cerebras cloudflare codestral cohere cohere_chat custom_openai dashscope
    databricks deepinfra deepseek featherless_ai fireworks_ai friendliai gemini github github_copilot gradient_ai groq
    hosted_vllm huggingface hyperbolic lambda_ai litellm_proxy llamafile lm_studio meta_llama minimax mistral moonshot
    nebius novita nscale nvidia_nim oci ollama ollama_chat openai openai_like openrouter perplexity poe replicate
    sagemaker sagemaker_chat sambanova snowflake together_ai vercel_ai_gateway vertex_ai vllm volcengine watsonx xai zai
"""
PREFIXES = frozenset(_NAMES.split())
_KNOWN = PREFIXES | {REPLAY}
BARE_NAMES = {"gpt-": "openai", "o3": "openai", "o4": "openai", "claude-": "anthropic", "gemini-": "gemini"}


class ModelChoice(Record):
    """One model that may be called; the variables are what an operator mends when it cannot be."""

    name: str  # litellm's name, with the provider's prefix
    api_key: SecretStr | None = None
    base_url: str | None = None
    name_variable: str = "LLM_MODEL"
    key_variable: str = "LLM_API_KEY"
    tool_mode: Literal["auto", "native", "text"] = "auto"
    profile: Profile | None = None  # what is known of it from a probe

    @property
    def profile_key(self) -> str:
        """Under which its profile is kept: the same name at another address is another model."""
        return f"{self.name} {sha256((self.base_url or '').encode())[:12]}"

    @property
    def sees(self) -> bool:
        """Whether pictures may be sent to it."""
        return bool(self.profile and self.profile.images)

    @property
    def provider(self) -> str:
        return provider_of(self.name)

    @property
    def lacks_key(self) -> bool:
        """It cannot answer: its provider wants a key, and there is none."""
        return self.provider in BY_PREFIX and not self.api_key and not self.base_url


def informed(choice: ModelChoice, profiles: Iterable[Profile]) -> ModelChoice:
    """The choice with the profile that is its own, if there is one."""
    own = next((profile for profile in profiles if profile.key == choice.profile_key), None)
    return choice.model_copy(update={"profile": own})


def provider_of(name: str) -> str:
    """The provider's prefix of a model's name; empty when it has none."""
    prefix, slash, _ = name.partition("/")
    return prefix if slash and prefix in _KNOWN else ""
