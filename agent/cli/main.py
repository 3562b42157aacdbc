"""The commands for people. Whatever goes wrong is one sentence that says what to do, never a traceback."""

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.errors import AgentError, ConfigError

# What a command needs is imported inside it: `--help` must not wait for a web framework and a database.
if TYPE_CHECKING:
    from rich.console import Console

    from agent.settings import Settings
    from agent.store import Store

BAD_END = 1  # the command did its work, and the result is bad
REFUSED = 2  # the command could not do its work; the sentence says why
PIPE_COLUMNS = 140  # how wide a table is where there is no terminal

app = typer.Typer(
    help="POST a brief, get a live, verified site and a call back. Without a command: serve.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
TaskFile = Annotated[Path, typer.Argument(metavar="FILE", help="A task as JSON; keys that begin with _ are ignored.")]
TaskId = Annotated[str, typer.Argument(metavar="ID", help="The id that the POST answered.")]


def main() -> None:
    """Runs the command line and ends the process."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # an ASCII terminal cannot print ✓
    try:
        app()
    except AgentError as error:
        sys.stderr.write(f"{' '.join(str(error).split())}\n")
        sys.exit(REFUSED)


@app.callback(invoke_without_command=True)
def default(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        serve()


@app.command()
def serve() -> None:
    """Serve the API on PORT and the sites on SITES_PORT."""
    from agent.api import app as api
    from agent.settings import Settings

    api.serve(Settings.load())


@app.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="End by itself instead of going on serving.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The last line of the output is the result as JSON.")] = False,
    live: Annotated[
        bool, typer.Option("--live", help="Ask the live model of the environment, not the recording.")
    ] = False,
    port: Annotated[int | None, typer.Option(help="Port of the API; a free one unless PORT is set.")] = None,
    github: Annotated[bool, typer.Option("--github", help="Publish to a GitHub double on loopback.")] = False,
) -> None:
    """Take a task through two rounds on this machine, graded by an evaluator of its own."""
    from agent.cli.demo.demo import REPLAY, play

    model = {} if live else REPLAY
    passed = asyncio.run(
        play(_console(plain=as_json), model=model, once=once, as_json=as_json, port=port, github=github)
    )
    raise typer.Exit(0 if passed else BAD_END)


@app.command()
def send(
    file: TaskFile,
    url: Annotated[str, typer.Argument(metavar="[URL]")] = "http://127.0.0.1:8000/handle_task",
    secret: Annotated[str | None, typer.Option(help="Sent instead of the file's secret.")] = None,
    new: Annotated[bool, typer.Option("--new", help="With a fresh nonce: a task of its own, no duplicate.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the task until the evaluator was called.")] = False,
) -> None:
    """POST a task file to a service."""
    from agent.cli import client
    from agent.settings import Settings

    task = client.read_task(file)
    if secret or task.get("secret", client.PLACEHOLDER) == client.PLACEHOLDER:
        task["secret"] = secret or Settings.load().secret.get_secret_value()
    if new:
        task["nonce"] = client.new_nonce()
    raise typer.Exit(asyncio.run(_send(task, url, wait=wait)))


async def _send(task: dict[str, Any], url: str, *, wait: bool) -> int:
    from agent.cli import client, show

    async with client.open_client() as http:
        answer, status_url = await client.send_task(http, url, task)
        typer.echo(f"{show.plain(answer)}: {show.plain(status_url)}")
        if not wait:
            return 0
        status = await show.follow(lambda: client.get_status(http, status_url), _console(), "task")
    _console().print(show.record(status, now=time.time()))
    return 0 if status.passed else BAD_END


@app.command()
def run(
    file: TaskFile,
    data: Annotated[Path | None, typer.Option(help="Its DATA_DIR instead of DATA_DIR/run.")] = None,
) -> None:
    """Build one task in this process. The site and the call back stay on this machine."""
    from agent.cli import run

    passed = asyncio.run(run.run(file, _settings(), data, _console()))
    raise typer.Exit(0 if passed else BAD_END)


@app.command()
def show(task_id: TaskId) -> None:
    """Show everything known about a task of DATA_DIR or DATABASE_URL."""
    from agent.api.schema import TaskStatus
    from agent.cli import show

    with _store(_settings(), task_id) as store:
        status = TaskStatus.of(store.view(task_id))
    _console().print(show.record(status, now=time.time()))


@app.command()
def resend(task_id: TaskId) -> None:
    """Send the stored call back again; the serving process does it, now or when it starts."""
    from agent.worker.engine import Remote

    settings = _settings()
    with _store(settings, task_id) as store, closing(Remote(store, database=settings.database)) as remote:
        remote.resend(task_id)
    typer.echo("The call back is queued; the serving process sends it.")


@app.command()
def cancel(task_id: TaskId) -> None:
    """Stop a task before its next step."""
    from agent.worker.engine import Remote

    settings = _settings()
    with _store(settings, task_id) as store, closing(Remote(store, database=settings.database)) as remote:
        if not remote.cancel(task_id):
            raise AgentError(f"task {task_id} has ended already: it is {store.view(task_id).state}")
    typer.echo("The task is cancelled.")


@app.command()
def doctor(
    call: Annotated[
        bool, typer.Option("--call", help="Also ask the model one tiny question: it may cost money.")
    ] = False,
) -> None:
    """Check every setting before money is spent."""
    from agent.cli import doctor

    diagnoses = asyncio.run(doctor.examine(call=call))
    _console().print(doctor.table(diagnoses))
    raise typer.Exit(0 if all(diagnosis.healthy for diagnosis in diagnoses) else BAD_END)


@app.command()
def probe(
    as_json: Annotated[bool, typer.Option("--json", help="The result as JSON instead of a table.")] = False,
) -> None:
    """Ask every configured model what it can do, and keep the answer: about 2,000 tokens a model."""
    from agent.cli import probe
    from agent.events import configure

    settings = _settings()
    configure(settings.secret_values, quiet=True)
    probed = asyncio.run(probe.probe(settings))
    if as_json:
        typer.echo(json.dumps(probe.as_json(probed)))
    else:
        _console().print(probe.table(probed))
    raise typer.Exit(0 if all(one.capabilities for one in probed) else BAD_END)


def _settings() -> "Settings":
    """For commands that accept no request, and so need no SECRET."""
    from agent.cli.client import new_nonce
    from agent.settings import Settings

    return Settings.load(secret=new_nonce())


@contextmanager
def _store(settings: "Settings", task_id: str) -> Iterator["Store"]:
    """The store that holds this task. Raises AgentError."""
    from agent.store import Store

    place = "DATABASE_URL" if settings.database_url else f"DATA_DIR {settings.data_dir}"
    if not settings.database_url and not settings.data_dir.is_dir():
        raise ConfigError(f"{place} does not exist: name the folder that the service uses")
    with closing(Store(settings.database)) as store:
        try:
            store.task(task_id)
        except KeyError:
            raise AgentError(f"there is no task {task_id!r} in the database of {place}") from None
        yield store


def _console(*, plain: bool = False) -> "Console":
    from rich.console import Console

    width = None if sys.stdout.isatty() else PIPE_COLUMNS
    return Console(force_terminal=False if plain else None, width=width, highlight=False, emoji=False)
