"""What a review looks at: one version of a site, and what came with its task."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.records import Task
from agent.review.probes import Compiled
from agent.workspace import Workspace


@dataclass(frozen=True)
class Subject:
    """Everything that a verdict may rest on."""

    task: Task
    workspace: Workspace
    attachments: Mapping[str, bytes] = field(default_factory=dict)  # of all rounds, by name
    downloads: Mapping[str, bytes | None] = field(default_factory=dict)  # address → what it served; None: no answer
    compiled: Compiled = field(default_factory=Compiled)
    patient: bool = True  # False: no check is waited for long, as the site was not made for these checks
