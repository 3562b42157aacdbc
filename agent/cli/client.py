"""A client of the API: reads task files, sends them and asks for their status."""

import json
from pathlib import Path
from urllib.parse import urljoin
from uuid import uuid4

import httpx
from pydantic import ValidationError

from agent.api.schema import TaskStatus
from agent.cli.show import plain
from agent.errors import AgentError
from agent.records import Json

PLACEHOLDER = "$SECRET"  # in a task file: the sender puts its own
TIMEOUT_S = 30.0


def read_task(path: Path) -> Json:
    """The file's JSON object without its notes, the keys that begin with "_". Raises AgentError."""
    try:
        task = json.loads(path.read_bytes())
    except OSError as error:
        raise AgentError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise AgentError(f"{path} is not JSON: {error}") from None
    if not isinstance(task, dict):
        raise AgentError(f"{path} is not a JSON object: a task has email, task, round, nonce, brief, evaluation_url")
    return {key: value for key, value in task.items() if not key.startswith("_")}


def new_nonce() -> str:
    return str(uuid4())


def open_client() -> httpx.AsyncClient:
    """Proxies of the environment are not for services on this machine."""
    return httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False)


async def send_task(http: httpx.AsyncClient, url: str, task: Json) -> tuple[str, str]:
    """Accepted or duplicate, and the address of the task's status. Raises AgentError with the service's sentence."""
    answer = _json(await _request(http, "POST", url, task), url)
    if not isinstance(answer.get("status_url"), str):
        raise AgentError(f"{url} accepted the task without a status_url: is it this service?")
    return str(answer.get("status")), urljoin(url, answer["status_url"])


async def get_status(http: httpx.AsyncClient, status_url: str) -> TaskStatus:
    """The task's status now. Raises AgentError."""
    try:
        return TaskStatus.model_validate(_json(await _request(http, "GET", status_url), status_url))
    except ValidationError:
        raise AgentError(f"{status_url} did not answer with the status of a task") from None


async def _request(http: httpx.AsyncClient, method: str, url: str, body: Json | None = None) -> httpx.Response:
    try:
        return await http.request(method, url, json=body)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = plain(error) or type(error).__name__
        raise AgentError(f"no service answers at {url} ({reason}): start one, or name its address") from None


def _json(response: httpx.Response, url: str) -> Json:
    """The answer's object; an error answer is raised as its own sentence."""
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if response.status_code >= 400:
        sentence = answer.get("error") if isinstance(answer, dict) else None
        raise AgentError(f"{url} answered {response.status_code}: {plain(sentence or response.reason_phrase)}")
    if not isinstance(answer, dict):
        raise AgentError(f"{url} did not answer with a JSON object: is it this service?")
    return answer
