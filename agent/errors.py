"""Errors, sorted by who can act on them.

    AgentError
    ├── BadRequest      the caller: the request itself must change      → a 4xx answer, or 503 when it may be sent again
    ├── ToolError       the model: answered to it as the tool's result
    ├── ModelError      a model call that gave no usable answer
    │   ├── Transient   nobody: the same call may succeed later         → retried inside the deadline
    │   └── Permanent   the operator: a key, a name, a quota            → next model, else the loop stops
    ├── LimitReached    nobody: a budget or the deadline is used up     → the best workspace is published
    ├── Objection       the model: what a host has against a commit     → the loop goes on with it
    ├── CannotTell      nobody: two files that cannot be compared        → the question stays open
    ├── PublishError    the operator: a token, a permission, a name
    ├── net.Blocked     nobody: an address that may not be reached
    └── ConfigError     the operator: a setting; the service does not start

The message says what is wrong, with which value, and what to do instead. An error is rebuilt from its class name and
`args`, so that one stored by the engine comes back as the same error.
"""

from collections.abc import Mapping
from typing import Any


class AgentError(Exception):
    """Root of every error this project raises on purpose; the first argument is its message."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else type(self).__name__


class BadRequest(AgentError):
    """The request cannot be taken as it is."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ToolError(AgentError):
    """The model asked for something that cannot be done; the text tells it what can."""


class CannotTell(AgentError):
    """Whether two files hold the same cannot be told; the message says why."""


class ModelError(AgentError):
    """A model call gave no usable answer. `spent` is what its requests took all the same: a `Usage` as JSON."""

    def __init__(self, message: str, spent: Mapping[str, Any] | None = None) -> None:
        super().__init__(message, spent)
        self.spent = spent or {}


class Transient(ModelError):
    """The provider may answer the same call later. `retry_after_s` is its own wish, when it named one."""

    def __init__(
        self, message: str, retry_after_s: float | None = None, spent: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message, spent)
        self.args = (message, retry_after_s, spent)
        self.retry_after_s = retry_after_s


class Permanent(ModelError):
    """The provider will never answer this call: the message names the setting to mend."""


class LimitReached(AgentError):
    """A limit of the task is used up: turns, tokens, usd or deadline.

    `reason`: what used it up, where it is known; `spent`: what that took, a `Usage` as JSON.
    """

    def __init__(self, limit: str, reason: str = "", spent: Mapping[str, Any] | None = None) -> None:
        super().__init__(limit, reason, spent)
        self.reason = reason
        self.spent = spent or {}


class Objection(AgentError):
    """The host does not take a commit, and whoever wrote its files can mend that; the message is the host's own."""


class PublishError(AgentError):
    """The site cannot be published until an operator mends what the message names."""


class ConfigError(AgentError):
    """A setting is missing or wrong; the message names it."""
