"""How every conversation begins: the system prompt and the task, with pictures for a model that sees."""

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

from agent.files.images import picture_uri
from agent.files.previews import previews
from agent.llm.messages import with_pictures
from agent.net import hosts_in
from agent.prompts import Prompts
from agent.publish.publisher import Target
from agent.quoting import fence, label
from agent.records import Check, Json, Task
from agent.worker import questions
from agent.workspace import ENGINE_FILES, WORKFLOWS, is_published

PREVIEW_CHARS = 6_000  # of all attachments together: 2,000 tokens of prose, 4,000 of digits
MAX_PICTURES = 4  # images among the attachments that are shown to a model that sees; the others are described
SHOWN_FILE_CHARS = 24_000  # a larger file of an earlier round is named, not shown
HINTS = ("silent", "stalled")
LIBRARIES = {  # files of libraries that briefs often name, in versions that serve them
    "bootstrap": "cdn.jsdelivr.net/npm/bootstrap@5.3.3/dist/css/bootstrap.min.css",
    "marked": "cdn.jsdelivr.net/npm/marked@12.0.2/marked.min.js",
    "highlight.js": "cdnjs.cloudflare.com/ajax/libs/highlight.js/11.9.0/highlight.min.js",
    "qrcode": "cdnjs.cloudflare.com/ajax/libs/qrcodejs/1.0.0/qrcode.min.js",
}
SAMPLE = Task(
    **dict.fromkeys(("id", "email", "task", "nonce", "brief", "repo"), "a"),
    round=1,
    round_received=1,
    checks=(Check(id="1", kind="prose", text="a", round=1),),
    attachments=(),
    skipped=(),
    evaluation_url="https://e.example/",
    previous_id=None,
    received_at=0,
    deadline_at=600,
)


def check_prompts(folder: Path) -> None:
    """Raises ConfigError naming the prompt file that would fail a task."""
    prompts, rounds = Prompts(folder), [SAMPLE.model_copy(update={"round": 2}), SAMPLE]
    site = Target(repo="a", repo_url="https://o.example/a.git", pages_url="https://o.example/a/")
    first_messages(prompts, rounds, site, {"index.html": b"a"}, {"b.txt": b"b"})
    hints(prompts)
    questions.rehearse(prompts, SAMPLE)


def hints(prompts: Prompts) -> dict[str, str]:
    """What the loop tells a model that does not get on, by name."""
    return {name: prompts.render(f"{name}.md.j2") for name in HINTS}


def first_messages(
    prompts: Prompts,
    rounds: Sequence[Task],
    site: Target,
    files: Mapping[str, bytes],
    attachments: Mapping[str, bytes],
    *,
    pictures: bool = False,
) -> list[Json]:
    """`rounds`: this one, then the earlier ones; `files`: the site as they left it. Pictures stand before the words."""
    text = prompts.render("task.md.j2", **_task_variables(rounds, site, files, attachments))
    uris = ((label(name), picture_uri(data)) for name, data in attachments.items()) if pictures else ()
    seen = dict(islice(((name, uri) for name, uri in uris if uri), MAX_PICTURES))
    return [
        {"role": "system", "content": prompts.render("system.md.j2")},
        {"role": "user", "content": with_pictures(text, seen)},
    ]


def _task_variables(
    rounds: Sequence[Task], site: Target, files: Mapping[str, bytes], attachments: Mapping[str, bytes]
) -> dict[str, object]:
    """What `task.md.j2` may use; checks stand last and verbatim, so that they are read last."""
    task, *earlier = rounds
    asked = " ".join([task.brief, *(check.text for check in task.checks)])
    looks = previews(attachments, max_chars=PREVIEW_CHARS)
    return {
        "task": task.task,
        "round": task.round,
        "brief": task.brief,
        "earlier_briefs": earlier,
        "pages_url": site.pages_url,
        "repo_url": site.repo_url,
        "attachments": [
            {"name": label(name), "published": is_published(name), "preview": looks[name]} for name in attachments
        ],
        "files": [
            {"path": label(path), "size_bytes": len(data), "text": _fenced(path, data)}
            for path, data in sorted(files.items())
            if path not in ENGINE_FILES and path not in attachments
        ],
        "workflows": WORKFLOWS in asked,
        "libraries": [files for name, files in LIBRARIES.items() if name in asked.lower()],
        "fetches": bool(hosts_in(asked)),
        "checks": [check for check in task.checks if check.round == task.round],
        "unread_checks": sum(part.what.startswith("checks") for part in task.skipped),
        "earlier_checks": [check for check in task.checks if check.round < task.round],
    }


def _fenced(path: str, data: bytes) -> str | None:
    """A text file's text, unless it is too long for a prompt."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return fence(path, text, max_chars=2 * SHOWN_FILE_CHARS) if len(text) <= SHOWN_FILE_CHARS else None
