"""A PostgreSQL for the tests of one process, from the server programs that are installed here."""

import getpass
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest

from tests.harness import free_port


@dataclass(frozen=True)
class PostgresServer:
    """A running server; every test takes a database of its own."""

    address: str  # without a database
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def new_database(self) -> str:
        """The DATABASE_URL of a database that nobody else uses."""
        name = f"test{next(self._numbers)}"
        with psycopg.connect(f"{self.address}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return f"{self.address}/{name}"


def dump(database_url: str, path: Path) -> None:
    """All rows of all tables as text, for `traces` to search; bytes stay readable where they are ASCII."""
    tables = b"SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables WHERE tableowner = 'test'"
    with psycopg.connect(database_url, options="-c bytea_output=escape") as connection, path.open("wb") as file:
        for (table,) in connection.execute(tables).fetchall():
            with connection.cursor().copy(f"COPY {table} TO STDOUT".encode()) as rows:
                file.writelines(bytes(row) for row in rows)


@contextmanager
def postgres() -> Iterator[PostgresServer]:
    """Without the server programs the test is skipped, unless they are required."""
    programs = server_programs()
    with TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True) as home:
        user = getpass.getuser()
        if user == "root":  # which the server refuses to run as
            user = "nobody"
            shutil.chown(home, user)
        data, port = f"{home}/data", free_port()

        def run(program: str, *arguments: str) -> None:
            line = [str(programs / program), *arguments, "--pgdata", data]
            done = subprocess.run(line, cwd=home, user=user, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr

        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={home} -c fsync=off"
        run("initdb", "--auth=trust", "--username=test", "--no-sync")
        run("pg_ctl", "start", "--wait", "--log", f"{home}/log", "--options", options)
        try:
            yield PostgresServer(f"postgresql://test@127.0.0.1:{port}")
        finally:
            run("pg_ctl", "stop", "--mode=immediate")


def server_programs() -> Path:
    on_path = shutil.which("initdb")
    found = [Path(on_path)] if on_path else sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        missing = "PostgreSQL's server programs are not installed"
        pytest.fail(missing) if "REQUIRE_POSTGRES" in os.environ else pytest.skip(missing)
    return found[-1].parent
