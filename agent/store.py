"""Everything that must outlive the process, and the only SQL: tasks, blobs, model answers, events, deliveries.

SQLite or PostgreSQL, the same statements. Methods block for milliseconds: call them from a thread.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from agent.errors import ConfigError
from agent.records import Attempt, Capabilities, Fetched, Finding, Json, Publication, Record, State, Task, Usage
from agent.workspace import sha256

NotificationState = Literal["pending", "delivered", "blocked", "dead"]

CAPABILITIES_VERSION = 2  # raise it when what is asked or kept changes: older ones count as none

metadata = sa.MetaData()

tasks = sa.Table(
    "tasks",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("email", sa.String, nullable=False),
    sa.Column("task", sa.String, nullable=False),
    sa.Column("round", sa.Integer, nullable=False),
    sa.Column("nonce", sa.String, nullable=False),
    sa.Column("repo", sa.String, nullable=False, index=True),
    sa.Column("received_at", sa.Float, nullable=False, index=True),
    sa.Column("request", sa.Text, nullable=False),  # Task as JSON
    sa.Column("attempt", sa.Integer, nullable=False, default=1),  # runs begun; a failed task may be run again
    sa.Column("state", sa.String, nullable=False, default="queued", index=True),
    sa.Column("stage", sa.String, nullable=False, default="queued"),
    sa.Column("findings", sa.Text, nullable=False, default="[]"),  # of the best workspace so far
    sa.Column("usage", sa.Text, nullable=False, default="{}"),
    sa.Column("details", sa.Text, nullable=False, default="{}"),  # models, turns, prompt hash
    sa.Column("stopped_by", sa.String),
    sa.Column("error", sa.Text),
    sa.Column("publication", sa.Text),
    sa.Column("notification", sa.Text),  # the exact bytes every delivery sends
    sa.Column("notification_state", sa.String, nullable=False, default="pending"),
    sa.UniqueConstraint("email", "task", "round", "nonce"),
)
blobs = sa.Table(
    "blobs",
    metadata,
    sa.Column("sha256", sa.String, primary_key=True),
    sa.Column("data", sa.LargeBinary, nullable=False),
)
answers = sa.Table(
    "answers",
    metadata,
    sa.Column("request", sa.String, primary_key=True),  # hash of task, run and request
    sa.Column("reply", sa.Text, nullable=False),
)
readings = sa.Table(
    "readings",
    metadata,
    sa.Column("task_id", sa.String, primary_key=True),
    sa.Column("repo", sa.String, nullable=False, index=True),
    sa.Column("reading", sa.Text, nullable=False),  # what the task requires, with its acceptance tests as they stand
)
events = sa.Table(
    "events",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("task_id", sa.String, nullable=False, index=True),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("data", sa.Text, nullable=False),
)
profiles = sa.Table(
    "profiles",
    metadata,
    sa.Column("key", sa.String, primary_key=True),  # of the model
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("profile", sa.Text, nullable=False),  # Capabilities as JSON
)
kept = sa.Table(
    "kept",
    metadata,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
workers = sa.Table(
    "workers",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("seen", sa.Float, nullable=False),  # the database's clock: machines need not agree on the time
)
deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("id", sa.String, primary_key=True),  # chain and number of the attempt: a replayed attempt adds no row
    sa.Column("task_id", sa.String, nullable=False, index=True),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("status", sa.Integer),
    sa.Column("error", sa.Text),
)


class TaskView(Record):
    """A task and all that is known about its progress."""

    task: Task
    attempt: int
    state: State
    stage: str
    findings: tuple[Finding, ...]
    usage: Usage
    seconds: dict[str, float]  # by stage, the running one up to now
    details: Json
    fetched: tuple[Fetched, ...]
    stopped_by: str | None
    error: str | None
    publication: Publication | None
    notification: str | None
    notification_state: NotificationState
    attempts: tuple[Attempt, ...]


class Event(Record):
    """One thing that happened to a task; `seq` grows."""

    seq: int
    at: float
    name: str
    data: Json


class Totals(Record):
    """Figures over all tasks. `usage.cost_usd` adds up the known costs."""

    tasks: dict[str, int]  # by state
    notifications: dict[str, int]  # by state
    usage: Usage
    unpriced_tasks: int  # tasks with a call of unknown price


class Store:
    """The database at an SQLAlchemy address; tables are made when missing. Raises ConfigError when that fails."""

    def __init__(self, url: str, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        try:
            self._engine = sa.create_engine(url, pool_pre_ping=not url.startswith("sqlite"))
            if self._engine.dialect.name == "sqlite":
                sa.event.listen(self._engine, "connect", _prepare_sqlite)
            metadata.create_all(self._engine)
        except sa.exc.SQLAlchemyError as error:
            raise ConfigError(
                f"the database cannot be used ({_reason(error)}): check DATABASE_URL and DATA_DIR"
            ) from error

    def close(self) -> None:
        self._engine.dispose()

    def trouble(self) -> str | None:
        """None when the database answers, else the sentence that says what to fix."""
        try:
            with self._engine.connect() as db:
                db.execute(sa.select(1))
        except sa.exc.SQLAlchemyError as error:
            return f"the database does not answer ({_reason(error)}): check DATABASE_URL and DATA_DIR"
        return None

    # -- tasks -----------------------------------------------------------------------------------------------------

    def add_task(self, task: Task, attachments: Iterable[bytes]) -> tuple[str, bool]:
        """Stores task and attachments at once. The id of the one stored under this identity, and whether it is new."""
        row = {
            "id": task.id,
            "email": task.email,
            "task": task.task,
            "round": task.round,
            "nonce": task.nonce,
            "repo": task.repo,
            "received_at": task.received_at,
            "request": task.model_dump_json(),
        }
        with self._engine.begin() as db:
            # What was inserted comes back: psycopg tells no row count of an INSERT.
            insert = self._insert(tasks).values(row).on_conflict_do_nothing().returning(tasks.c.id)
            if db.execute(insert).scalar() is not None:
                self._put_blobs(db, attachments)
                self._add_event(db, task.id, "accepted", {"task": task.task, "round": task.round})
                return task.id, True
            found = db.execute(sa.select(tasks.c.id).where(*_identity(task))).scalar_one()
            return found, False

    def earlier_round(self, email: str, task: str, round_: int) -> Task | None:
        """The newest earlier round of the site that this round changes: that of the newest round 1, if there is one."""
        earlier = sa.select(tasks.c.request).where(tasks.c.email == email, tasks.c.task == task, tasks.c.round < round_)
        first = self._newest(earlier.where(tasks.c.round == 1))
        return self._newest(earlier.where(tasks.c.repo == first.repo) if first else earlier)

    def task(self, task_id: str) -> Task:
        """Raises KeyError."""
        with self._engine.connect() as db:
            request = db.execute(sa.select(tasks.c.request).where(tasks.c.id == task_id)).scalar()
        if request is None:
            raise KeyError(task_id)
        return Task.model_validate_json(request)

    def rounds(self, task: Task) -> list[Task]:
        """This round and the earlier ones of its site, newest first."""
        found = [task]
        while found[-1].previous_id is not None:
            found.append(self.task(found[-1].previous_id))
        return found

    def number(self, task: Task) -> int:
        """1 for the first task that was received for a repository, 2 for the next …"""
        earlier = sa.select(sa.func.count()).where(tasks.c.repo == task.repo, tasks.c.received_at < task.received_at)
        with self._engine.connect() as db:
            return 1 + db.execute(earlier).scalar_one()

    def unfinished(self, *states: State) -> list[tuple[str, int]]:
        """(id, attempt) of every task that must still run, or of those in these states."""
        waiting = sa.select(tasks.c.id, tasks.c.attempt).where(tasks.c.state.in_(states or ("queued", "running")))
        with self._engine.connect() as db:
            return [(row.id, row.attempt) for row in db.execute(waiting.order_by(tasks.c.received_at))]

    def count(self, *states: State) -> int:
        with self._engine.connect() as db:
            return db.execute(sa.select(sa.func.count()).where(tasks.c.state.in_(states))).scalar_one()

    def update(self, task_id: str, **columns: object) -> None:
        """Sets columns of a task: state, stage, findings, usage, details, stopped_by, error, publication, notification…

        Records become JSON. A cancelled task keeps its state. A new stage is an event too.
        """
        values = {name: _plain(value) for name, value in columns.items()}
        with self._engine.begin() as db:
            old = db.execute(sa.select(tasks.c.stage).where(tasks.c.id == task_id)).scalar()
            change = sa.update(tasks).where(tasks.c.id == task_id, tasks.c.state != "cancelled")
            changed = db.execute(change.values(**values)).rowcount == 1
            if changed and "stage" in values and old != values["stage"]:
                self._add_event(db, task_id, "stage", {"stage": values["stage"]})

    def add_usage(self, task_id: str, usage: Usage) -> None:
        """Adds what one model call consumed, so that a running task shows it."""
        with self._engine.begin() as db:
            spent = db.execute(sa.select(tasks.c.usage).where(tasks.c.id == task_id)).scalar_one()
            total = Usage.model_validate_json(spent) + usage
            db.execute(sa.update(tasks).where(tasks.c.id == task_id).values(usage=total.model_dump_json()))

    def run_again(self, task_id: str) -> int | None:
        """Puts a failed task back into the queue; its new attempt number, or None when it has not failed."""
        with self._engine.begin() as db:
            again = sa.update(tasks).where(tasks.c.id == task_id, tasks.c.state == "failed")
            again = again.values(state="queued", stage="queued", error=None, attempt=tasks.c.attempt + 1)
            if db.execute(again).rowcount == 0:
                return None
            attempt: int = db.execute(sa.select(tasks.c.attempt).where(tasks.c.id == task_id)).scalar_one()
            return attempt

    def cancel(self, task_id: str) -> bool:
        """Whether the task was still unfinished and is cancelled now."""
        with self._engine.begin() as db:
            stop = sa.update(tasks).where(tasks.c.id == task_id, tasks.c.state.in_(("queued", "running")))
            cancelled = db.execute(stop.values(state="cancelled", stage="cancelled")).rowcount == 1
            if cancelled:
                self._add_event(db, task_id, "stage", {"stage": "cancelled"})
            return cancelled

    def view(self, task_id: str) -> TaskView:
        """Raises KeyError."""
        with self._engine.connect() as db:
            row = db.execute(sa.select(tasks).where(tasks.c.id == task_id)).mappings().first()
            if row is None:
                raise KeyError(task_id)
            stages = sa.select(events).where(events.c.task_id == task_id, events.c.name.in_(("accepted", "stage")))
            sent = sa.select(deliveries).where(deliveries.c.task_id == task_id).order_by(deliveries.c.at)
            return _view(
                row,
                fetched=self._fetched(db, task_id),
                seconds=self._seconds(db.execute(stages.order_by(events.c.seq)).mappings().all()),
                attempts=[Attempt(at=d.at, status=d.status, error=d.error) for d in db.execute(sent)],
            )

    def fetched(self, task_id: str) -> list[Fetched]:
        """What the model asked for, in order; again what it asked for in a turn that a crash cut off."""
        with self._engine.connect() as db:
            return self._fetched(db, task_id)

    def newest(self, limit: int) -> list[TaskView]:
        """The newest tasks, newest first."""
        with self._engine.connect() as db:
            ids = db.execute(sa.select(tasks.c.id).order_by(tasks.c.received_at.desc()).limit(limit)).scalars().all()
        return [self.view(task_id) for task_id in ids]

    def totals(self) -> Totals:
        """Reads every task: for the operator's figures, not for the way of a task."""
        with self._engine.connect() as db:
            rows = db.execute(sa.select(tasks.c.state, tasks.c.notification_state, tasks.c.usage)).all()
        spent = [Usage.model_validate_json(row.usage) for row in rows]
        priced = (usage.model_copy(update={"cost_usd": usage.cost_usd or 0.0}) for usage in spent)
        return Totals(
            tasks=Counter(row.state for row in rows),
            notifications=Counter(row.notification_state for row in rows),
            usage=sum(priced, Usage()),
            unpriced_tasks=sum(usage.cost_usd is None for usage in spent),
        )

    # -- notification ----------------------------------------------------------------------------------------------

    def add_delivery(self, task_id: str, key: str, attempt: Attempt, state: NotificationState) -> None:
        """Records one delivery attempt under its key; a delivered notification stays delivered."""
        row = {"id": key, "task_id": task_id, **attempt.model_dump()}
        with self._engine.begin() as db:
            db.execute(self._insert(deliveries).values(row).on_conflict_do_nothing())
            change = sa.update(tasks).where(tasks.c.id == task_id, tasks.c.notification_state != "delivered")
            db.execute(change.values(notification_state=state))

    # -- blobs, answers, events ------------------------------------------------------------------------------------

    def put_blobs(self, data: Iterable[bytes]) -> None:
        """Idempotent."""
        with self._engine.begin() as db:
            self._put_blobs(db, data)

    def get_blobs(self, hashes: Iterable[str]) -> dict[str, bytes]:
        """Raises KeyError when one is missing."""
        wanted = set(hashes)
        with self._engine.connect() as db:
            rows = db.execute(sa.select(blobs).where(blobs.c.sha256.in_(wanted))).all()
        found = {row.sha256: bytes(row.data) for row in rows}
        if missing := wanted - found.keys():
            raise KeyError(min(missing))
        return found

    def answer(self, request: str) -> Json | None:
        """The stored model reply to this request, if it was bought before."""
        with self._engine.connect() as db:
            reply = db.execute(sa.select(answers.c.reply).where(answers.c.request == request)).scalar()
        return None if reply is None else dict(json.loads(reply))

    def put_answer(self, request: str, reply: Json) -> None:
        with self._engine.begin() as db:
            row = {"request": request, "reply": json.dumps(reply)}
            db.execute(self._insert(answers).values(row).on_conflict_do_nothing())

    def reading(self, task_id: str) -> Json | None:
        """What the task requires, if it was read."""
        with self._engine.connect() as db:
            stored = db.execute(sa.select(readings.c.reading).where(readings.c.task_id == task_id)).scalar()
        return None if stored is None else dict(json.loads(stored))

    def put_reading(self, task: Task, reading: Json) -> None:
        """In place of an earlier one."""
        text = json.dumps(reading)
        with self._engine.begin() as db:
            added = self._insert(readings).values({"task_id": task.id, "repo": task.repo, "reading": text})
            db.execute(added.on_conflict_do_update(index_elements=["task_id"], set_={"reading": text}))

    def add_event(self, task_id: str, name: str, data: Json) -> None:
        with self._engine.begin() as db:
            self._add_event(db, task_id, name, data)

    def events_after(self, task_id: str, seq: int) -> list[Event]:
        with self._engine.connect() as db:
            later = sa.select(events).where(events.c.task_id == task_id, events.c.seq > seq).order_by(events.c.seq)
            return [Event(seq=e.seq, at=e.at, name=e.name, data=json.loads(e.data)) for e in db.execute(later)]

    # -- capabilities ------------------------------------------------------------------------------------------------

    def put_capabilities(self, known: Capabilities) -> None:
        """In place of the one that the model had."""
        now = {"version": CAPABILITIES_VERSION, "profile": known.model_dump_json()}
        with self._engine.begin() as db:
            row = self._insert(profiles).values(key=known.key, **now)
            db.execute(row.on_conflict_do_update(index_elements=["key"], set_=now))

    def capabilities(self, keys: Sequence[str]) -> tuple[Capabilities, ...]:
        """Those that are there, in the order of the keys."""
        kept = sa.select(profiles).where(profiles.c.key.in_(keys), profiles.c.version == CAPABILITIES_VERSION)
        with self._engine.connect() as db:
            found = {row.key: Capabilities.model_validate_json(row.profile) for row in db.execute(kept)}
        return tuple(found[key] for key in keys if key in found)

    # -- workers ---------------------------------------------------------------------------------------------------

    def beat(self, worker_id: str, *, lease_s: float) -> list[str]:
        """Says that this worker lives. The ids of those that have not said so for `lease_s`: each is told only once."""
        now = sa.extract("epoch", sa.func.now())
        alive = self._insert(workers).values(id=worker_id, seen=now)
        dead = sa.delete(workers).where(workers.c.id != worker_id, workers.c.seen < now - lease_s)
        with self._engine.begin() as db:
            db.execute(alive.on_conflict_do_update(index_elements=["id"], set_={"seen": now}))
            return list(db.execute(dead.returning(workers.c.id)).scalars())

    def tell_again(self, worker_id: str) -> None:
        """A dead worker whose tasks could not be taken over is told to the next one that asks."""
        with self._engine.begin() as db:
            db.execute(self._insert(workers).values(id=worker_id, seen=0).on_conflict_do_nothing())

    # -- what all processes of a service share -----------------------------------------------------------------------

    def keep(self, name: str, value: str) -> str:
        """The value of this name: the first one that was ever kept."""
        with self._engine.begin() as db:
            db.execute(self._insert(kept).values(name=name, value=value).on_conflict_do_nothing())
            found: str = db.execute(sa.select(kept.c.value).where(kept.c.name == name)).scalar_one()
            return found

    # -- helpers ---------------------------------------------------------------------------------------------------

    def _insert(self, table: sa.Table) -> Any:
        """Both dialects' inserts know on_conflict_do_nothing; SQLAlchemy has no common name for it."""
        return (sqlite if self._engine.dialect.name == "sqlite" else postgresql).insert(table)

    def _put_blobs(self, db: sa.Connection, data: Iterable[bytes]) -> None:
        """Sends only what is not there yet: most of a site is stored again and again as it grows."""
        wanted = {sha256(item): item for item in data}
        there = set(db.execute(sa.select(blobs.c.sha256).where(blobs.c.sha256.in_(wanted))).scalars())
        for digest in wanted.keys() - there:
            row = {"sha256": digest, "data": wanted[digest]}
            db.execute(self._insert(blobs).values(row).on_conflict_do_nothing())

    def _add_event(self, db: sa.Connection, task_id: str, name: str, data: Json) -> None:
        row = {"task_id": task_id, "at": self._clock(), "name": name, "data": json.dumps(data)}
        db.execute(sa.insert(events).values(row))

    def _fetched(self, db: sa.Connection, task_id: str) -> list[Fetched]:
        told = sa.select(events.c.data).where(events.c.task_id == task_id, events.c.name == "fetched")
        return [Fetched.model_validate_json(data) for data in db.execute(told.order_by(events.c.seq)).scalars()]

    def _newest(self, query: sa.Select[Any]) -> Task | None:
        with self._engine.connect() as db:
            request = db.execute(query.order_by(tasks.c.received_at.desc()).limit(1)).scalar()
        return None if request is None else Task.model_validate_json(request)

    def _seconds(self, stages: Sequence[sa.RowMapping]) -> dict[str, float]:
        """Seconds spent in each stage; one still running counts up to now."""
        seconds: dict[str, float] = {}
        for number, event in enumerate(stages):
            stage = json.loads(event["data"]).get("stage", "queued")
            if stage in ("done", "failed", "cancelled"):
                continue
            end = stages[number + 1]["at"] if number + 1 < len(stages) else self._clock()
            seconds[stage] = round(seconds.get(stage, 0.0) + max(0.0, end - event["at"]), 3)
        return seconds


def _identity(task: Task) -> tuple[sa.ColumnElement[bool], ...]:
    same = (tasks.c.email == task.email, tasks.c.task == task.task)
    return (*same, tasks.c.round == task.round, tasks.c.nonce == task.nonce)


def _view(
    row: sa.RowMapping, *, fetched: list[Fetched], seconds: dict[str, float], attempts: list[Attempt]
) -> TaskView:
    return TaskView(
        task=Task.model_validate_json(row["request"]),
        findings=tuple(Finding.model_validate(f) for f in json.loads(row["findings"])),
        usage=Usage.model_validate_json(row["usage"]),
        details=json.loads(row["details"]),
        publication=Publication.model_validate_json(row["publication"]) if row["publication"] else None,
        fetched=tuple(fetched),
        seconds=seconds,
        attempts=tuple(attempts),
        **{name: row[name] for name in ("attempt", "state", "stage", "stopped_by", "error")},
        **{name: row[name] for name in ("notification", "notification_state")},
    )


def _plain(value: object) -> object:
    if isinstance(value, Record):
        return value.model_dump_json()
    if isinstance(value, tuple | list | dict):
        return json.dumps([v.model_dump(mode="json") for v in value] if not isinstance(value, dict) else value)
    return value


def _reason(error: sa.exc.SQLAlchemyError) -> str:
    """The first line of the driver's own words: they hold no password, the address would."""
    cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    return str(cause).strip().split("\n", 1)[0]


def _prepare_sqlite(connection: Any, _: Any) -> None:
    """WAL lets readers and one writer work at once; the mode stays in the file, so the engine gets it too."""
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA busy_timeout=30000")
