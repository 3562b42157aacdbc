"""Every error this project raises on purpose, grouped by who can act on it.

    AgentError
    ├── BadRequest      the caller: the request itself must change      → a 4xx answer, or 503 when it may be sent again
    ├── ToolError       the model: answered to it as the tool's result
    ├── Objection       the model: what a host has against a commit     → the loop goes on with it
    ├── PageFault       the model: a page, or what runs in it, fails    → a verdict of the review
    ├── ConfigError     the operator: a setting                         → the service does not start
    ├── PublishError    the operator: a token, a permission, a name     → the task fails
    ├── NoBrowser       the operator: no Chromium starts                → pages are only read
    ├── NoSandbox       the operator: nothing can be run safely         → no script is run
    ├── ModelError      a model call that gave no usable answer
    │   ├── Transient   nobody: the same call may succeed later         → retried inside the deadline
    │   └── Permanent   the operator: a key, a name, a quota            → next model, else the loop stops
    ├── LimitReached    nobody: a budget or the deadline is used up     → the best workspace is published
    ├── Blocked         nobody: an address that may not be reached      → the request is not made
    ├── Undecided       nobody: reading alone cannot tell               → the verdict is unknown
    ├── CannotTell      nobody: two files that cannot be compared       → the verdict is unknown
    ├── Gone            nobody: the browser ended under a page          → once more in a new one
    └── GitError        a repository, here or elsewhere, did not do what it was asked to
        ├── HeadMoved       somebody else committed first               → committed again on top of it
        ├── UnknownCommit   no such commit in the history
        ├── Rejected        the host refuses the content for good       → an Objection or a PublishError
        ├── NoAccess        the host does not open this repository      → tried again, then a PublishError
        └── Unreachable     no complete answer                          → tried again

The message says what is wrong, with which value, and what to do instead. An error is its class and its `args`, which
are plain JSON: `as_json` and `from_json` are exact inverses, so that one stored by the engine comes back as itself.
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
        super().__init__(status, message)
        self.status = status

    def __str__(self) -> str:
        return str(self.args[1])


class ToolError(AgentError):
    """The model asked for something that cannot be done; the text tells it what can."""


class Objection(AgentError):
    """The host does not take a commit, and who wrote its files can fix that; the message is the host's own."""


class PageFault(AgentError):
    """The page, or what was evaluated in it, failed; the message is the browser's."""


class ConfigError(AgentError):
    """A setting is missing or wrong; the message names it."""


class PublishError(AgentError):
    """The site cannot be published until an operator fixes what the message names."""


class NoBrowser(AgentError):
    """There is no Chromium that starts; the message says what to install or to set."""


class NoSandbox(AgentError):
    """Nothing can be run safely here; the message says why and what to allow."""


class CannotTell(AgentError):
    """Whether two files hold the same cannot be told; the message says why."""


class ModelError(AgentError):
    """A model call gave no usable answer. `spent` is what its requests took all the same: a `Usage` as JSON."""

    def __init__(self, message: str, spent: Mapping[str, Any] | None = None) -> None:
        super().__init__(message, spent)
        self.spent = spent or {}


class Transient(ModelError):
    """The provider may answer the same call later. `retry_after_s` is its own request, when it named one."""

    def __init__(
        self, message: str, retry_after_s: float | None = None, spent: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message, spent)
        self.args = (message, retry_after_s, spent)
        self.retry_after_s = retry_after_s


class Permanent(ModelError):
    """The provider will never answer this call: the message names the setting to fix."""


class LimitReached(AgentError):
    """A limit of the task is used up: turns, tokens, usd or deadline.

    `reason`: what used it up, where it is known; `spent`: what that took, a `Usage` as JSON.
    """

    def __init__(self, limit: str, reason: str = "", spent: Mapping[str, Any] | None = None) -> None:
        super().__init__(limit, reason, spent)
        self.reason = reason
        self.spent = spent or {}


class Blocked(AgentError):
    """The guard does not let this address, or this answer, through; the message names the host and the reason."""


class Undecided(AgentError):
    """Static rules cannot tell; the message says what could."""

    def __init__(self, why: str = "needs a browser") -> None:
        super().__init__(why)


class Gone(AgentError):
    """The browser ended under the page; a new one may well do."""


class GitError(AgentError):
    """A repository, here or elsewhere, did not do what it was asked to."""


class HeadMoved(GitError):
    """Somebody else committed first; nothing was changed."""


class UnknownCommit(GitError):
    """The history of the repository has no such commit."""


class Rejected(GitError):
    """The host refuses the content of a push for good; the message is the host's own."""


class NoAccess(GitError):
    """The host refuses a request for this repository, with this status, these headers (in lower case) and words."""

    def __init__(self, message: str, status: int, headers: Mapping[str, str], said: str) -> None:
        super().__init__(message, status, headers, said)
        self.status = status
        self.headers = headers
        self.said = said


class Unreachable(GitError):
    """No complete answer; the same call may succeed later."""


def as_json(error: AgentError) -> dict[str, Any]:
    """Its class and `args`. What a module derives for itself alone is stored as the class here that it derives from."""
    known = next(kind for kind in type(error).__mro__ if globals().get(kind.__name__) is kind)
    return {"error": known.__name__, "args": list(error.args)}


def from_json(stored: Mapping[str, Any]) -> AgentError:
    error: AgentError = globals()[stored["error"]](*stored["args"])
    return error
