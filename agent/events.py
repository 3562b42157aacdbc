"""What happened, as named events with values: one line each on standard error, never a secret in it."""

import logging
import sys
from collections.abc import MutableMapping, Sequence
from typing import Any

import structlog

_log = structlog.get_logger()


def emit(name: str, **values: object) -> None:
    """Names are `noun.verb`; values carry their units: `emit("notify.retry", attempt=3, wait_s=4.0)`."""
    _log.info(name, **values)


def configure(secrets: Sequence[str], *, as_json: bool | None = None, quiet: bool = False) -> None:
    """Once per process. JSON lines unless a person is looking; `quiet` keeps warnings only."""
    human = sys.stderr.isatty() if as_json is None else not as_json
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            Redactor(secrets),
            structlog.dev.ConsoleRenderer() if human else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING if quiet else logging.INFO),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),  # of now: it may be another one later
        cache_logger_on_first_use=False,
    )


class Redactor:
    """Replaces every secret value by [secret], wherever it stands in an event or a text."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._secrets = sorted(secrets, key=len, reverse=True)

    def __call__(self, _logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return {key: self.clean(value) if isinstance(value, str) else value for key, value in event.items()}

    def clean(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "[secret]")
        return text
