"""As much of a workflow file as the GitHub on loopback needs to know."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

FOLDER = ".github/workflows/"


@dataclass(frozen=True)
class Workflow:
    path: str
    valid: bool
    starts_on_push: bool = False
    publishes: bool = False


def workflows(files: Mapping[str, bytes]) -> Iterator[Workflow]:
    for path, data in files.items():
        if path.startswith(FOLDER) and path.endswith((".yml", ".yaml")):
            try:
                document: Any = yaml.load(data, Loader=yaml.BaseLoader)  # noqa: S506 - makes strings, lists, mappings
                yield _read(path, document)
            except (yaml.YAMLError, AttributeError, KeyError, TypeError):
                yield Workflow(path, valid=False)


def _read(path: str, document: Any) -> Workflow:
    events = document["on"]
    push = events.get("push") or {} if isinstance(events, dict) else {}
    actions = [step.get("uses", "") for job in document["jobs"].values() for step in job.get("steps", ())]
    return Workflow(
        path,
        valid=True,
        starts_on_push="push" in events and "main" in push.get("branches", ["main"]),
        publishes=any("pages-artifact" in action or "deploy-pages" in action for action in actions),
    )
