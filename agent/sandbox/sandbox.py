"""Python scripts run where they can do no harm. It knows nothing of tasks.

A script gets a copy of some files in memory and an interpreter that sees the standard library, openpyxl, selectolax,
and pandas where it is installed: no other file of this machine that tells anything, no network, no process, no
environment. The walls are the kernel's (see `jail`); where the kernel does not allow them nothing is run.
"""

import asyncio
import base64
import json
import os
import platform
import re
import signal
import sys
import sysconfig
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import metadata
from itertools import accumulate, pairwise
from math import inf
from pathlib import Path
from typing import Any

from agent.errors import NoSandbox
from agent.sandbox import seccomp

JAIL = Path(__file__).with_name("jail.py")
PROJECT = JAIL.parents[2]
PYTHON = Path(getattr(sys, "_base_executable", "") or sys.executable).resolve()  # of a virtual environment its base
EXTRA = ("pandas", "openpyxl", "selectolax")  # each with what it needs; the first is pyproject's extra `data`
PACKAGES = "/packages"  # where the jail shows them
SYSTEM = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", "/etc/ld.so.cache")

CHECK_S, GRACE_S = 20.0, 5.0
ENVIRONMENT = {  # all of it, the same on every machine
    "HOME": "/tmp",  # noqa: S108 - the jail's own
    "LANG": "C.UTF-8",
    "PATH": str(PYTHON.parent),
    "PYTHONHASHSEED": "0",
    "PYTHONPATH": PACKAGES,
    "OPENBLAS_NUM_THREADS": "1",
    "TZ": "UTC",
}
REMEDY = "allow user namespaces for the user of this service, or give it the capability SYS_ADMIN (no script gets it)"


@dataclass(frozen=True)
class Limits:
    """What one script may use. Memory, processor and open files count for each of its processes."""

    wall_s: float = 30.0
    cpu_s: int = 20
    memory_bytes: int = 512_000_000
    processes: int = 12  # threads count, and so do up to two of the jail's own
    open_files: int = 64
    file_bytes: int = 20_000_000
    written_bytes: int = 40_000_000  # of all files together, beyond those that were there
    written_files: int = 1_000
    output_bytes: int = 200_000  # of stdout, and as many of stderr

    @property
    def resources(self) -> dict[str, tuple[int, int]]:
        """As the kernel knows them."""
        each = {
            "RLIMIT_AS": self.memory_bytes,
            "RLIMIT_NPROC": self.processes,
            "RLIMIT_NOFILE": self.open_files,
            "RLIMIT_FSIZE": self.file_bytes,
            "RLIMIT_CORE": 0,
        }
        return {"RLIMIT_CPU": (self.cpu_s, self.cpu_s + 1), **{name: (limit, limit) for name, limit in each.items()}}


LIMITS = Limits()


@dataclass(frozen=True)
class Script:
    """What is to be run: the arguments of a Python interpreter that starts in the folder of the files."""

    arguments: Sequence[str]
    files: Mapping[str, bytes] = field(default_factory=dict)  # by relative path
    stdin: bytes = b""


@dataclass(frozen=True)
class Run:
    """How a script ended. Everything in it is the script's word but `status` and `ended_by`."""

    status: int  # of its process; negative: the signal that ended it
    ended_by: str  # empty, or the limit that it met: time or output
    stdout: bytes
    stderr: bytes
    changed: Mapping[str, bytes]  # files that are new or other than before
    left: Sequence[str]  # what cannot be handed back: links, devices, too large


class Sandbox:
    """Runs scripts. `hidden`: folders that no script may see, wherever they lie; `machine`: the kernel's make."""

    def __init__(
        self, *, hidden: Sequence[Path] = (), limits: Limits = LIMITS, machine: str = platform.machine()
    ) -> None:
        self._hidden = (PROJECT, *hidden)
        self._limits = limits
        self._machine = machine
        self._filter = seccomp.program(machine)
        self._starting = asyncio.Lock()
        self._view: dict[str, Any] = {}
        self._walls = ""
        self._trouble = ""

    @property
    def status(self) -> str:
        """How far a script is locked in, or why none is run."""
        return f"none: {self._trouble}" if self._trouble else self._walls or "not started yet"

    async def start(self) -> str:
        """Tries the walls, once. The status; raises NoSandbox."""
        async with self._starting:
            if not self._walls and not self._trouble:
                try:
                    self._view = await asyncio.to_thread(view, self._hidden)
                    self._walls = await self._try()
                except NoSandbox as no:
                    self._trouble = str(no)
        if self._trouble:
            raise NoSandbox(self._trouble)
        return self._walls

    async def run(self, script: Script, *, timeout_s: float = inf) -> Run:
        """Raises NoSandbox; whatever the script does is in the answer."""
        await self.start()
        return (await self._run(script, min(timeout_s, self._limits.wall_s)))[0]

    async def _try(self) -> str:
        """What the walls are, after a look from within. Raises NoSandbox."""
        if sys.platform != "linux":
            raise NoSandbox("scripts are run on Linux only")
        look = f"import ctypes, json, os; print(os.path.exists({str(JAIL)!r}), len(os.listdir()))"
        run, walls = await self._run(Script(["-c", look]), CHECK_S)
        if run.stdout != b"False 0\n":
            raise NoSandbox(f"the interpreter does not run behind walls ({_last_line(run.stderr)}): {REMEDY}")
        calls = "system calls filtered" if self._filter else f"no filter of system calls on {self._machine}"
        return f"own root, no network, {walls}, {calls}"

    async def _run(self, script: Script, timeout_s: float) -> tuple[Run, str]:
        said, complaint = await _jailed(self._plan(script, timeout_s), timeout_s + GRACE_S)
        if not said:
            raise NoSandbox(f"the walls cannot be put up ({_last_line(complaint)}): {REMEDY}")
        return _read(said)

    def _plan(self, script: Script, wall_s: float) -> bytes:
        limits, size = self._limits, sum(map(len, script.files.values()))
        head = {
            **self._view,
            "filter": base64.b64encode(self._filter).decode(),
            "files": [[path, len(data)] for path, data in script.files.items()],
            "stdin_bytes": len(script.stdin),
            "command": [str(PYTHON), "-s", "-B", "-u", "-X", "utf8", *script.arguments],
            "env": ENVIRONMENT,
            "wall_s": wall_s,
            "disk_bytes": size + limits.written_bytes,
            "inodes": 4 * len(script.files) + limits.written_files,
            "output_bytes": limits.output_bytes,
            "returned_bytes": limits.written_bytes,
            "resources": limits.resources,
        }
        return b"".join([json.dumps(head).encode(), b"\n", *script.files.values(), script.stdin])


# -- what a script sees ------------------------------------------------------------------------------------------------


def view(hidden: Iterable[Path]) -> dict[str, Any]:
    """What of this machine the jail shows, links by what they point to, and what it covers."""
    base = Path(sys.base_prefix).resolve()
    wanted = dict.fromkeys((*map(Path, SYSTEM), base / "lib", base / sys.platlibdir, PYTHON))
    links = [path for path in wanted if path.is_symlink()]
    whole = [path for path in wanted if path.exists() and path not in links]
    shown = [path for path in whole if not any(other in path.parents for other in whole)]
    packages = extra_packages()
    site = [Path(sysconfig.get_path("stdlib")).resolve() / name for name in ("site-packages", "dist-packages")]
    covered = [*site, Path("/usr/lib/python3/dist-packages"), *(path.resolve() for path in hidden)]
    return {
        "links": [(str(path.readlink()), str(path)) for path in links],
        "shown": [(str(path), str(path)) for path in shown] + [(str(p), f"{PACKAGES}/{p.name}") for p in packages],
        "hidden": [str(path) for path in covered if path.is_dir() and any(other in path.parents for other in shown)],
    }


def extra_packages() -> list[Path]:
    """The folders and modules of EXTRA and of what they need, as far as they are installed."""
    wanted, seen, found = list(EXTRA), set[str](), set[Path]()
    while wanted:
        name = wanted.pop()
        if name in seen:
            continue
        seen.add(name)
        with suppress(metadata.PackageNotFoundError):
            package = metadata.distribution(name)
            wanted += [_name(need) for need in package.requires or () if "extra ==" not in need]
            found |= {Path(str(package.locate_file(top))).resolve() for top in _contents(package)}
    return sorted(path for path in found if path.exists())


def _contents(package: metadata.Distribution) -> set[str]:
    """The names of what was installed, from the list that installers keep: one path a line, then a comma."""
    lines = (package.read_text("RECORD") or "").splitlines()
    tops = {line.partition(",")[0].partition("/")[0] for line in lines}
    return {top for top in tops if top not in ("", "..", "__pycache__") and not top.endswith((".pth", ".dist-info"))}


def _name(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0]


# -- plan and answer ---------------------------------------------------------------------------------------------------


async def _jailed(plan: bytes, timeout_s: float) -> tuple[bytes, bytes]:
    """What the jail answers and what it complains of. Whatever happens, nothing of it goes on."""
    process = await asyncio.create_subprocess_exec(
        PYTHON, "-I", "-S", "-B", "-X", "utf8", str(JAIL),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={}, cwd="/", start_new_session=True,
    )  # fmt: skip
    try:
        async with asyncio.timeout(timeout_s):
            return await process.communicate(plan)
    except TimeoutError:
        return b"", f"no answer within {timeout_s:g} s".encode()
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


def _read(said: bytes) -> tuple[Run, str]:
    line, _, rest = said.partition(b"\n")
    head = json.loads(line)
    ends = list(accumulate([*head["output"], *(size for _, size in head["files"])], initial=0))
    stdout, stderr, *contents = (rest[start:end] for start, end in pairwise(ends))
    changed = {path: data for (path, _), data in zip(head["files"], contents, strict=True)}
    return Run(head["status"], head["ended_by"], stdout, stderr, changed, head["left"]), head["walls"]


def _last_line(said: bytes) -> str:
    lines = said.decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:200] if lines else "no reason was given"
