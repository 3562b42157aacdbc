"""What is known of providers before any is called: one row each, with all of its quirks. Plain data, no litellm."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from pydantic import SecretStr

from agent.records import Capabilities, Record
from agent.workspace import sha256


@dataclass(frozen=True)
class Provider:
    """One provider. Whatever depends on who answers asks its row."""

    prefix: str  # litellm's, of its models' names
    key_variables: tuple[str, ...] = ()  # where its key is looked for; with one, `default_model` can be asked at once
    default_model: str = ""
    key_start: str = ""  # what its keys begin with
    model_starts: tuple[str, ...] = ()  # what the names of its models begin with, told without the prefix
    domain: str = ""  # its API's; a model of `openai/` at this address has this row
    aipipe_url: str = ""  # where AI Pipe passes its models on
    trace_name: str = ""  # in OpenTelemetry's conventions, where it differs from the prefix
    # It refuses messages that hold more than OpenAI's own keys, its own reasoning included.
    only_standard_keys: bool = False
    # It takes the whole bound of an answer off a minute's allowance, and refuses what exceeds that.
    counts_bound_ahead: bool = False
    # It takes the marks that tell a Claude where its cache may end.
    takes_cache_marks: bool = False


_ROWS = (  # those with a default first, in the order in which their keys are looked for
    Provider(
        "openai",
        key_variables=("OPENAI_API_KEY",),
        default_model="openai/gpt-5-mini",
        model_starts=("gpt-", "o3", "o4"),
        aipipe_url="https://aipipe.org/openai/v1",
    ),
    Provider(
        "anthropic",
        key_variables=("ANTHROPIC_API_KEY",),
        default_model="anthropic/claude-sonnet-4-5",
        key_start="sk-ant-",
        model_starts=("claude-",),
        takes_cache_marks=True,
    ),
    Provider(
        "gemini",
        key_variables=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        default_model="gemini/gemini-2.5-flash",
        key_start="AIza",
        model_starts=("gemini-",),
        trace_name="gcp.gemini",
    ),
    Provider(
        "openrouter",
        key_variables=("OPENROUTER_API_KEY",),
        default_model="openrouter/openai/gpt-5-mini",
        key_start="sk-or-",
        aipipe_url="https://aipipe.org/openrouter/v1",
        takes_cache_marks=True,
    ),
    Provider(
        "groq",
        key_variables=("GROQ_API_KEY",),
        default_model="groq/openai/gpt-oss-120b",
        key_start="gsk_",
        domain="groq.com",
        only_standard_keys=True,
        counts_bound_ahead=True,
    ),
    Provider("cerebras", domain="cerebras.ai", only_standard_keys=True, counts_bound_ahead=True),
    Provider("mistral", domain="mistral.ai", trace_name="mistral_ai", only_standard_keys=True),
    Provider("azure", trace_name="azure.ai.openai"),
    Provider("azure_ai", trace_name="azure.ai.inference"),
    Provider("bedrock", trace_name="aws.bedrock", takes_cache_marks=True),
    Provider("cohere_chat", trace_name="cohere"),
    Provider("vertex_ai", trace_name="gcp.vertex_ai", takes_cache_marks=True),
    Provider("watsonx", trace_name="ibm.watsonx.ai"),
    Provider("xai", trace_name="x_ai"),
)

# litellm's prefixes of the other chat providers, kept here because asking litellm costs its import.
_WITHOUT_QUIRKS = """
    ai21 cloudflare codestral cohere custom_openai dashscope databricks deepinfra deepseek featherless_ai fireworks_ai
    friendliai github github_copilot gradient_ai hosted_vllm huggingface hyperbolic lambda_ai litellm_proxy llamafile
    lm_studio meta_llama minimax moonshot nebius novita nscale nvidia_nim oci ollama ollama_chat openai_like perplexity
    poe replicate sagemaker sagemaker_chat sambanova snowflake together_ai vercel_ai_gateway vllm volcengine zai
"""
PROVIDERS = {row.prefix: row for row in (*_ROWS, *map(Provider, _WITHOUT_QUIRKS.split()))}
WITH_DEFAULT = tuple(row for row in _ROWS if row.default_model)

AIPIPE_VARIABLE = "AIPIPE_TOKEN"
REPLAY = "replay"  # our own: recorded answers, `replay/PATH`


class ModelChoice(Record):
    """One model that may be called; the variables are what an operator changes when it cannot be."""

    name: str  # litellm's name, with the provider's prefix
    api_key: SecretStr | None = None
    base_url: str | None = None
    name_variable: str = "LLM_MODEL"
    key_variable: str = "LLM_API_KEY"
    tool_mode: Literal["auto", "native", "text"] = "auto"
    capabilities: Capabilities | None = None  # what a probe found

    @property
    def capabilities_key(self) -> str:
        """Under which its capabilities are kept: the same name at another address is another model."""
        return f"{self.name} {sha256((self.base_url or '').encode())[:12]}"

    @property
    def sees_images(self) -> bool:
        return bool(self.capabilities and self.capabilities.images)

    @property
    def is_recording(self) -> bool:
        return prefix_of(self.name) == REPLAY

    @property
    def provider(self) -> Provider:
        """The row of whoever answers, known by the address or else by the name."""
        host = f".{urlsplit(self.base_url or '').hostname or ''}"
        there = (row for row in _ROWS if row.domain and host.endswith(f".{row.domain}"))
        prefix = prefix_of(self.name)
        return next(there, None) or PROVIDERS.get(prefix) or Provider(prefix)

    @property
    def lacks_key(self) -> bool:
        """It cannot answer: its provider wants a key, and there is none."""
        return bool(self.provider.key_variables) and not self.api_key and not self.base_url


def informed(choice: ModelChoice, capabilities: Iterable[Capabilities]) -> ModelChoice:
    """The choice with the capabilities that are its own, if they are known."""
    own = next((known for known in capabilities if known.key == choice.capabilities_key), None)
    return choice.model_copy(update={"capabilities": own})


def prefix_of(name: str) -> str:
    """The provider's prefix of a model's name; empty when it has none."""
    prefix, slash, _ = name.partition("/")
    return prefix if slash and (prefix in PROVIDERS or prefix == REPLAY) else ""


def trace_name(name: str) -> str:
    """The provider of a model as OpenTelemetry's conventions call it."""
    prefix = name.partition("/")[0]
    return PROVIDERS[prefix].trace_name or prefix if prefix in PROVIDERS else prefix
