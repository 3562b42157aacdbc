"""The environment, read once: typed, frozen, passed down as values. The only module that reads it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from dotenv import load_dotenv
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from agent.errors import ConfigError

SECRET_NAME_ENDINGS = ("_KEY", "_TOKEN", "_SECRET", "_PASSWORD")
Exporter = Literal["otlp", "console", "none"]
MIN_SECRET_CHARS = 6  # shorter values would be found by chance


def _keys_by_variable() -> dict[str, SecretStr]:
    """Every key of the environment: which of them are providers', `agent.llm.providers` knows."""
    return {k: SecretStr(v) for k, v in os.environ.items() if v and k.upper().endswith(SECRET_NAME_ENDINGS)}


class Settings(BaseSettings):
    """Every setting of docs/settings.md, by its environment variable in lower case."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, populate_by_name=True)

    secret: SecretStr = Field(min_length=1)

    llm_model: str | None = None
    llm_api_key: SecretStr | None = None
    llm_base_url: str | None = None
    llm_fallback_models: str = ""  # comma list
    llm_tool_mode: Literal["auto", "native", "text"] = "auto"
    review_model: str | None = None  # LLM_MODEL
    provider_keys: Mapping[str, SecretStr] = Field(default_factory=_keys_by_variable)

    publisher: Literal["auto", "github", "local"] = "auto"
    github_token: SecretStr | None = None
    github_owner: str | None = None
    github_api_url: str = "https://api.github.com"

    data_dir: Path = Path("data")
    database_url: SecretStr | None = None  # may hold a password

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    sites_port: int = Field(8001, ge=0, le=65535)
    sites_url: str = "http://localhost:8001"
    admin_token: SecretStr | None = None
    contact: str | None = Field(None, pattern=r"^[!-'*-~]{3,200}$")  # printable, and nothing that ends a comment
    max_body_bytes: int = Field(25_000_000, ge=1_000)
    queue_limit: int = Field(1_000, ge=1)  # tasks that may wait; more are answered 503

    task_deadline_s: float = Field(600, gt=0)
    task_max_turns: int = Field(12, ge=1)
    task_max_tokens: int = Field(400_000, ge=1)  # prompt and completion together
    task_max_usd: float | None = Field(None, gt=0)
    worker_tasks: int = Field(4, ge=1)

    otel_exporter_otlp_endpoint: str | None = None  # OpenTelemetry reads this and its other variables itself
    otel_traces_exporter: Exporter | None = None

    browser: str = "auto"
    allow_private_callbacks: bool = False
    prompts_dir: Path = Path(__file__).parent.parent / "prompts"

    @model_validator(mode="before")
    @classmethod
    def _sites_follow_their_port(cls, values: dict[str, object]) -> dict[str, object]:
        port = values.get("sites_port")
        return {"sites_url": f"http://localhost:{port}", **values} if port and str(port) != "0" else values

    @field_validator("sites_url", "llm_base_url", "github_api_url")
    @classmethod
    def _web_address(cls, url: str | None) -> str | None:
        if url is not None and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname):
            raise ValueError(f"{url!r} is not an http(s) address")
        return url.rstrip("/") if url else url

    @classmethod
    def load(cls, **overrides: object) -> Self:
        """From the environment and `.env`; overrides win. Raises ConfigError naming the variable."""
        load_dotenv(".env")
        try:
            return cls(**overrides)  # type: ignore[arg-type]
        except ValidationError as error:
            raise ConfigError("; ".join(_sentence(e["loc"], e["msg"], e["type"]) for e in error.errors())) from None

    @property
    def database(self) -> str:
        """SQLAlchemy address of the store; PostgreSQL always through psycopg."""
        if self.database_url is None:
            return f"sqlite:///{self.data_dir.resolve() / 'agent.sqlite'}"
        scheme, _, rest = self.database_url.get_secret_value().partition("://")
        if scheme in ("postgres", "postgresql", "postgresql+psycopg"):
            return f"postgresql+psycopg://{rest}"
        if scheme == "sqlite":
            return f"sqlite://{rest}"
        raise ConfigError(f"DATABASE_URL begins with {scheme!r}; use sqlite:///… or postgresql://…")

    @property
    def traces(self) -> Exporter:
        """Where traces go."""
        return self.otel_traces_exporter or ("otlp" if self.otel_exporter_otlp_endpoint else "none")

    @property
    def secret_values(self) -> tuple[str, ...]:
        """Every secret this process holds: none of them may leave it in a file, a log or a prompt."""
        fields = [*dict(self).values(), *self.provider_keys.values()]
        own = [v.get_secret_value() for v in fields if isinstance(v, SecretStr)]
        others = [v for k, v in os.environ.items() if k.upper().endswith(SECRET_NAME_ENDINGS)]
        return tuple(sorted({v for v in own + others if len(v) >= MIN_SECRET_CHARS}))


def _sentence(location: tuple[int | str, ...], message: str, kind: str) -> str:
    name = str(location[0]).upper() if location else "settings"
    if kind == "missing":
        return f"{name} is not set: put it in the environment or in .env (see .env.example)"
    return f"{name}: {message.removeprefix('Value error, ')}"
