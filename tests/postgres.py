"""A PostgreSQL of its own for a test, from the server programs that are installed here."""

import getpass
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.harness import free_port


@contextmanager
def postgres() -> Iterator[str]:
    """Its address. Without the server programs the test is skipped, except in CI."""
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
            yield f"postgresql://test@127.0.0.1:{port}/postgres"
        finally:
            run("pg_ctl", "stop", "--mode=immediate")


def server_programs() -> Path:
    on_path = shutil.which("initdb")
    found = [Path(on_path)] if on_path else sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        missing = "PostgreSQL's server programs are not installed"
        pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
    return found[-1].parent
