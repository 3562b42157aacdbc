"""A script does what scripts do, and whatever it tries beyond that fails; the machine and the service go on."""

import asyncio
import os
import platform
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from agent.errors import NoSandbox
from agent.sandbox import seccomp
from agent.sandbox.sandbox import LIMITS, PROJECT, PYTHON, Limits, Run, Sandbox, Script
from tests.harness import Json

# What an attempt prints. The same scripts run outside the jail show that they would succeed there.
ATTEMPT = """
import ctypes, errno, os, signal, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
def attempt(what, act):
    try:
        found = act()
    except (OSError, KeyError, ValueError) as error:
        print("held", what, type(error).__name__, getattr(error, "errno", ""))
    else:
        print("escaped", what, repr(found)[:80])
def call(name, *args):
    if getattr(libc, name)(*args) < 0:
        raise OSError(ctypes.get_errno(), name)
"""
NETWORK = """
def reach(family, kind, address):
    with socket.socket(family, kind) as s:
        s.settimeout(2)
        s.connect(address)
        s.send(b"canary")
attempt("tcp", lambda: reach(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", {tcp})))
attempt("udp", lambda: reach(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", {udp})))
attempt("abstract", lambda: reach(socket.AF_UNIX, socket.SOCK_STREAM, {abstract!r}))
attempt("path", lambda: reach(socket.AF_UNIX, socket.SOCK_STREAM, {path!r}))
"""
NETWORK_6 = """
attempt("tcp6", lambda: reach(socket.AF_INET6, socket.SOCK_STREAM, ("::1", {tcp})))
attempt("far", lambda: reach(socket.AF_INET, socket.SOCK_STREAM, ("192.0.2.1", 80)))
attempt("name", lambda: socket.getaddrinfo("example.com", 80))
"""
FILES = """
for path in {paths!r}:
    attempt(path, lambda: open(path, "rb").read(20))
for path in {folders!r}:
    attempt(path, lambda: os.listdir(path))
os.symlink({canary!r}, "link")
attempt("through a link", lambda: open("link").read())
attempt("hard link", lambda: os.link({canary!r}, "hard"))
attempt("environment", lambda: os.environ["CANARY_SECRET"])
"""
WRITES = """
for path in {paths!r}:
    attempt("write " + path, lambda: open(path, "ab"))
    attempt("remove " + path, lambda: os.remove(path))
attempt("root", lambda: os.mkdir("/new"))
attempt("device", lambda: os.mknod("disk", 0o60600, os.makedev(8, 0)))
attempt("memory", lambda: open("/dev/mem", "rb"))
attempt("chmod", lambda: os.chmod({paths!r}[0], 0o777))
"""
RIGHTS = """
attempt("root user", lambda: os.setresuid(0, 0, 0))
attempt("root group", lambda: os.setresgid(0, 0, 0))
attempt("groups", lambda: os.setgroups([0]))
attempt("mount", lambda: call("mount", b"tmpfs", b"/tmp", b"tmpfs", 0, None))
attempt("unmount", lambda: call("umount2", b"/dev/null", 2))
attempt("remount", lambda: call("mount", None, b"/", None, 32 | 4096, None))
attempt("chroot", lambda: os.chroot("/tmp"))
attempt("trace", lambda: call("ptrace", 16, 1, 0, 0))
attempt("memory of 1", lambda: open("/proc/1/mem"))
attempt("host name", lambda: socket.sethostname("mine"))
attempt("clock", lambda: __import__("time").clock_settime(0, 0))
attempt("nice", lambda: os.setpriority(os.PRIO_PROCESS, 0, -5))
attempt("limits", lambda: __import__("resource").setrlimit(4, (10**9, 10**9)))
for pid in {pids!r}:
    attempt(f"signal {{pid}}", lambda: os.kill(pid, 0))
"""


@pytest.fixture(scope="module", params=["filtered", "walls alone"])
def box(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    """With the filter of system calls, and as on a machine whose numbers are not known."""
    machine = platform.machine() if request.param == "filtered" else "unknown"
    return started(Sandbox(hidden=[tmp_path_factory.getbasetemp()], machine=machine))


@pytest.fixture(scope="module")
def filtered() -> Sandbox:
    return started(Sandbox())


def started(sandbox: Sandbox) -> Sandbox:
    try:
        asyncio.run(sandbox.start())
    except NoSandbox as no:
        if "REQUIRE_SANDBOX" in os.environ:
            raise
        pytest.skip(str(no))
    return sandbox


def run(sandbox: Sandbox, code: str, files: Mapping[str, bytes] | None = None, **more: object) -> Run:
    timeout_s = float(str(more.pop("timeout_s", 20)))
    stdin = more.pop("stdin", b"")
    assert isinstance(stdin, bytes)
    return asyncio.run(sandbox.run(Script(["-c", code], files or {}, stdin), timeout_s=timeout_s))


def said(done: Run) -> str:
    assert (done.status, done.ended_by) == (0, ""), done
    return done.stdout.decode().strip()


def unjailed(code: str, folder: Path) -> list[str]:
    """What the script prints where nothing holds it."""
    environment = {"CANARY_SECRET": "4711"}
    ran = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


def assert_held(done: Run) -> None:
    lines = said(done).splitlines()
    assert lines
    assert [line for line in lines if not line.startswith("held ")] == []


# -- what scripts are for ----------------------------------------------------------------------------------------------


def test_a_script_reads_the_files_and_its_changes_come_back(filtered: Sandbox) -> None:
    code = """
import csv, json, pathlib, sys
rows = list(csv.DictReader(open("data/ferries.csv")))
pathlib.Path("out").mkdir()
json.dump(sum(int(row["n"]) for row in rows), open("out/total.json", "w"))
open("notes.txt", "a").write(sys.stdin.read())
open("same.txt", "w").write("same")
pathlib.Path("gone.txt").unlink()
print(len(rows))
"""
    files = {"data/ferries.csv": b"n\n40\n2\n", "notes.txt": b"a", "same.txt": b"same", "gone.txt": b""}
    done = run(filtered, code, files, stdin=b"bc")
    assert said(done) == "2"
    assert done.changed == {"out/total.json": b"42", "notes.txt": b"abc"}
    assert list(done.left) == []


def test_a_script_is_a_module_among_its_files_and_gets_its_arguments(filtered: Sandbox) -> None:
    files = {
        "tools/main.py": b"import sys, helper; print(helper.word, sys.argv[1:])",
        "tools/helper.py": b"word = 'ok'",
    }
    done = asyncio.run(filtered.run(Script(["tools/main.py", "a b", "-x"], files)))
    assert said(done) == "ok ['a b', '-x']"
    assert done.changed == {}


def test_a_fault_is_told_with_its_line(filtered: Sandbox) -> None:
    done = asyncio.run(filtered.run(Script(["a.py"], {"a.py": b"print('begun')\n1/0\n"})))
    assert (done.status, done.stdout) == (1, b"begun\n")
    assert b'File "/tmp/site/a.py", line 2' in done.stderr
    assert done.stderr.endswith(b"ZeroDivisionError: division by zero\n")


def test_a_run_is_the_same_everywhere_and_every_time(filtered: Sandbox) -> None:
    code = """
import locale, os, sys, time
print(sorted(os.environ), hash("a"), time.tzname[0], sys.getfilesystemencoding(), os.getcwd(), sys.flags.no_user_site)
print([path for path in sys.path if path.startswith("/")][0], locale.getencoding())
"""
    first, second = said(run(filtered, code)), said(run(filtered, code))
    assert first == second
    assert "'LANG', 'OPENBLAS_NUM_THREADS', 'PATH', 'PYTHONHASHSEED', 'PYTHONPATH', 'TZ'] " in first
    assert "UTC utf-8 /tmp/site 1" in first


def test_the_standard_library_and_the_extra_are_there_and_no_other_package(filtered: Sandbox) -> None:
    pytest.importorskip("pandas")
    code = """
import asyncio, bz2, ctypes, decimal, hashlib, lzma, sqlite3, ssl, statistics, subprocess, sys, xml.etree, zoneinfo
import openpyxl, pandas
pandas.DataFrame({"day": ["a", "b"], "n": [40, 2]}).to_excel("t.xlsx", index=False)
print(pandas.read_excel("t.xlsx").n.sum(), zoneinfo.ZoneInfo("Europe/Vienna"))
print(subprocess.run([sys.executable, "-c", "print('child')"], capture_output=True, text=True).stdout.strip())
print(asyncio.run(asyncio.sleep(0, "async")))
for name in ("pydantic", "httpx", "litellm", "agent", "pip"):
    try: print(__import__(name))
    except ImportError: pass
"""
    done = run(filtered, code)
    assert said(done).split("\n") == ["42 Europe/Vienna", "child", "async"]
    assert list(done.changed) == ["t.xlsx"]


# -- what it cannot do -------------------------------------------------------------------------------------------------


@contextmanager
def listeners(folder: Path) -> Iterator[tuple[Json, list[bytes]]]:
    """Canaries on this machine: how each is reached, and what they have heard."""
    heard: list[bytes] = []
    with ExitStack() as ends:

        def bound(family: int, kind: int, address: object) -> socket.socket:
            made = ends.enter_context(socket.socket(family, kind))
            made.bind(address)  # type: ignore[arg-type]
            made.setblocking(False)
            return made

        name = f"\0canary-{os.getpid()}"
        tcp = bound(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0))
        udp = bound(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0))
        abstract = bound(socket.AF_UNIX, socket.SOCK_STREAM, name)
        path = bound(socket.AF_UNIX, socket.SOCK_STREAM, str(folder / "socket"))
        for made in (tcp, abstract, path):
            made.listen()
        where = {
            "tcp": tcp.getsockname()[1],
            "udp": udp.getsockname()[1],
            "abstract": name,
            "path": str(folder / "socket"),
        }
        yield where, heard
        for made in (tcp, abstract, path):
            with suppress(BlockingIOError):
                made.accept()[0].close()
                heard.append(b"connected")
        with suppress(BlockingIOError):
            heard.append(udp.recv(100))


def test_nothing_is_reached_over_any_network(box: Sandbox, tmp_path: Path) -> None:
    with listeners(tmp_path) as (where, heard):
        assert_held(run(box, ATTEMPT + (NETWORK + NETWORK_6).format(**where)))
    assert heard == []


def test_the_same_attempts_reach_the_canaries_from_outside(tmp_path: Path) -> None:
    with listeners(tmp_path) as (where, heard):
        lines = unjailed(ATTEMPT + NETWORK.format(**where), tmp_path)
    assert [line.split()[0] for line in lines] == ["escaped"] * 4
    assert len(heard) == 4


def looked_for(canary: Path) -> Json:
    package = str(Path(pytest.__file__).parent)
    paths = ["/etc/passwd", "/etc/hostname", str(canary), str(PROJECT / "agent" / "loop.py"), "../../../etc/passwd"]
    paths += ["/proc/1/environ", "/proc/self/environ", "/proc/self/cmdline", "/proc/version", f"{package}/__init__.py"]
    folders = [
        "/proc/self",
        "/sys/kernel",
        "/home",
        "/var",
        str(PROJECT),
        str(canary.parent),
        str(Path(package).parent),
    ]
    return {"paths": paths, "folders": folders, "canary": str(canary)}


def test_no_file_of_the_machine_is_seen_and_no_environment(
    box: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY_SECRET", "4711")
    canary = tmp_path / "canary"
    canary.write_text("4711")
    done = run(box, ATTEMPT + FILES.format(**looked_for(canary)))
    assert_held(done)
    assert b"4711" not in done.stdout
    assert list(done.left) == ["link"]


def test_the_same_attempts_find_these_files_from_outside(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.write_text("4711")
    lines = unjailed(ATTEMPT + FILES.format(**looked_for(canary)), tmp_path)
    held = {line.split()[1] for line in lines if not line.startswith("escaped ")}
    assert held <= {"../../../etc/passwd", "/proc/1/environ"}  # where it starts, and who it is, decide about these
    assert sum("4711" in line for line in lines) == 4


def test_a_hidden_folder_is_hidden_wherever_it_lies(filtered: Sandbox) -> None:
    folder = Path(os.__file__).parent / "json"
    code = f"import os; print(os.path.exists({str(folder)!r}), os.path.exists({str(folder / 'decoder.py')!r}))"
    assert said(run(filtered, code)) == "True True"
    assert said(run(Sandbox(hidden=[folder]), code)) == "True False"


def test_what_is_shown_cannot_be_written_to(box: Sandbox) -> None:
    paths = [os.__file__, str(PYTHON), "/dev", "/", "/usr/lib"]
    before = Path(os.__file__).stat()
    assert_held(run(box, ATTEMPT + WRITES.format(paths=paths)))
    assert Path(os.__file__).stat() == before


def test_no_right_can_be_had_and_no_other_process_is_touched(box: Sandbox) -> None:
    pids = [os.getpid(), os.getppid(), -os.getpgrp()]
    assert_held(run(box, ATTEMPT + RIGHTS.format(pids=pids)))


def test_signals_to_everybody_reach_only_itself(box: Sandbox) -> None:
    code = """
import os, signal, time
child = os.fork()
if not child: time.sleep(60)
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGSTOP, signal.SIGKILL): os.kill(1, number)
os.kill(-1, signal.SIGKILL)
print(os.waitpid(child, 0)[1], os.getppid())
"""
    assert said(run(box, code)) == "9 1"


def test_the_filter_refuses_every_call_that_it_names(filtered: Sandbox) -> None:
    if not seccomp.program(platform.machine()):
        pytest.skip("no numbers are known for this machine")
    column = list(seccomp.MACHINES).index(platform.machine())
    numbers = {name: pair[column] for name, pair in seccomp.REFUSED.items()}
    code = f"""
import ctypes, errno, socket
libc = ctypes.CDLL(None, use_errno=True)
def answer(*args):
    libc.syscall(*map(ctypes.c_long, args))
    return errno.errorcode.get(ctypes.get_errno())
print([name for name, number in {numbers!r}.items() if answer(number, 0, 0, 0, 0, 0) != "EPERM"])
print([answer({seccomp.CLONE[column]}, flag | 17, 0, 0, 0, 0) for flag in (0x10000000, 0x20000, 0x40000000, 0x2000000)])
print(answer({seccomp.CLONE3[column]}, 0, 0), answer({seccomp.SOCKETPAIR[column]}, 16, 3, 0, 0))
print(answer(0x40000000 | 39), len(socket.socketpair()))
"""
    lines = said(run(filtered, code)).split("\n")
    assert lines[:3] == ["[]", "['EPERM', 'EPERM', 'EPERM', 'EPERM']", "ENOSYS EPERM"]
    assert lines[3] == "ENOSYS 2"


def test_a_machine_with_unknown_numbers_has_no_filter_and_says_so(box: Sandbox) -> None:
    expected = "no filter of system calls on unknown" if "unknown" in box.status else "system calls filtered"
    assert box.status.startswith("own root, no network, a user")
    assert box.status.endswith(expected)


# -- what it may use ---------------------------------------------------------------------------------------------------


def test_memory_has_a_limit(box: Sandbox) -> None:
    done = run(box, "b = bytearray(4 * 10**9)")
    assert done.status == 1
    assert b"MemoryError" in done.stderr


def test_processes_have_a_limit_and_all_of_them_end(box: Sandbox) -> None:
    code = """
import os, time
count = 0
try:
    while count < 200:
        if not os.fork():
            time.sleep(60)
            os._exit(0)
        count += 1
except OSError as error:
    print(count, error.errno)
"""
    count, code_of_error = map(int, said(run(box, code)).split())
    assert 2 < count < LIMITS.processes
    assert code_of_error == 11


@pytest.mark.parametrize("code", ["while True: pass", "import os; os.read(os.pipe()[0], 1)"])
def test_time_has_a_limit(filtered: Sandbox, code: str) -> None:
    done = run(filtered, code, timeout_s=0.3)
    assert (done.status, done.ended_by) == (-9, "time")


def test_what_was_said_and_written_until_a_limit_is_told(filtered: Sandbox) -> None:
    done = run(filtered, "import time; print('begun'); open('a', 'w').close(); time.sleep(600)", timeout_s=3)
    assert (done.ended_by, done.stdout, done.changed) == ("time", b"begun\n", {"a": b""})


def test_processor_time_has_a_limit() -> None:
    done = run(started(Sandbox(limits=Limits(cpu_s=1))), "while True: pass")
    assert (done.status, done.ended_by) == (-24, "")


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_output_has_a_limit(filtered: Sandbox, stream: str) -> None:
    done = run(filtered, f"import sys\nfor _ in range(1000): sys.{stream}.write('x' * 1_000_000)")
    assert done.ended_by == "output"
    assert len(getattr(done, stream)) == LIMITS.output_bytes


def test_files_have_limits_of_size_and_number(box: Sandbox) -> None:
    code = """
import errno, os
def until_refused(act):
    count = 0
    try:
        while count < 100_000:
            act(count)
            count += 1
    except OSError as error:
        return count, errno.errorcode[error.errno]
def whole(n):
    with open(f"w{n}", "wb") as file: file.write(bytes(19_000_000))
one = open("one", "wb")
print(until_refused(lambda n: (one.write(bytes(1_000_000)), one.flush())))
one.close(); os.remove("one")
print(until_refused(whole))
for name in os.listdir(): os.remove(name)
print(until_refused(lambda n: open(f"f{n}", "w").close()))
print(until_refused(lambda n: os.truncate("f0", 10**9)))
"""
    done = run(box, code)
    one, whole, many, sparse = said(done).split("\n")
    assert one == "(20, 'EFBIG')"
    assert whole == "(2, 'ENOSPC')"
    assert 900 < int(many.split(",")[0].strip("(")) < 1_000
    assert "ENOSPC" in many
    assert sparse == "(0, 'EFBIG')"


def test_open_files_have_a_limit(filtered: Sandbox) -> None:
    code = "import os\nn = 0\ntry:\n    while n < 1000: os.dup(0); n += 1\nexcept OSError as e: print(n, e.errno)"
    assert said(run(filtered, code)) == f"{LIMITS.open_files - 3} 24"


# -- what it leaves ----------------------------------------------------------------------------------------------------


def test_only_plain_files_come_back(box: Sandbox) -> None:
    code = r"""
import os
os.symlink("/etc/passwd", "passwd")
os.symlink("given.txt", "inner")
os.symlink("/usr/lib", "folder")
os.mkfifo("pipe")
os.link("given.txt", "hard.txt")
open("sparse", "w").truncate(1_000_000)
open(b"b\xff\n", "w").write("odd")
open("ünï 字.txt", "w").write("name")
open("closed", "w").write("x"); os.chmod("closed", 0)
os.mkdir("shut"); open("shut/in", "w").close(); os.chmod("shut", 0)
deep = os.getcwd()
for _ in range(300):
    os.mkdir("abcdefghijklmnop"); os.chdir("abcdefghijklmnop")
open("bottom", "w").write("x")
"""
    done = run(box, code, {"given.txt": b"given"})
    assert (done.status, done.stderr) == (0, b"")
    names = {"hard.txt": b"given", "sparse": bytes(1_000_000), "b\udcff\n": b"odd", "ünï 字.txt": b"name"}
    assert {name: data for name, data in done.changed.items() if "abcdef" not in name} == names
    assert sorted(done.left) == ["closed", "folder", "inner", "passwd", "pipe"]


@pytest.mark.parametrize(
    "code",
    [
        "import shutil; shutil.rmtree('/tmp/site')",
        "import os; os.rename('/tmp/site', '/tmp/old'); os.symlink('/usr/lib', '/tmp/site')",
        "import os; os.rename('/tmp/site', '/tmp/old'); os.mkdir('/tmp/site'); open('/tmp/site/x', 'w').close()",
    ],
)
def test_a_folder_put_in_the_place_of_its_own_is_not_read(box: Sandbox, code: str) -> None:
    done = run(box, code, {"a.txt": b"a"})
    assert (done.status, done.changed, list(done.left)) == (0, {}, [])


DAEMON = """
import os, sys, time
if not os.fork():
    os.setsid()
    if not os.fork():
        while True: time.sleep(0.05)
    os._exit(0)
print("left", flush=True)
"""


def running(mark: str) -> list[str]:
    """Processes of this machine with the mark in their command line."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark.encode() in (folder / "cmdline").read_bytes():
                found.append(folder.name)
    return found


def await_count(mark: str, reached: Callable[[int], bool]) -> None:
    until = time.monotonic() + 20
    while not reached(len(running(mark))):
        assert time.monotonic() < until, running(mark)
        time.sleep(0.01)


def test_a_daemon_ends_with_the_run_that_left_it(box: Sandbox) -> None:
    mark = f"daemon-{time.monotonic_ns()}"
    assert said(asyncio.run(box.run(Script(["-c", DAEMON, mark])))) == "left"
    assert running(mark) == []


def test_nothing_goes_on_after_a_run_is_cancelled(filtered: Sandbox) -> None:
    mark = f"cancelled-{time.monotonic_ns()}"

    async def cancelled() -> None:
        runs = asyncio.create_task(filtered.run(Script(["-c", DAEMON + "time.sleep(60)", mark])))
        await asyncio.to_thread(await_count, mark, lambda count: count >= 2)
        runs.cancel()
        with suppress(asyncio.CancelledError):
            await runs

    asyncio.run(cancelled())
    await_count(mark, lambda count: count == 0)


SERVICE = """
import asyncio, sys
from agent.sandbox.sandbox import Sandbox, Script
async def main():
    sandbox = Sandbox()
    print(await sandbox.start(), flush=True)
    run = await sandbox.run(Script(sys.argv[1:]))
    print(run.status, run.stdout.decode(), flush=True)
asyncio.run(main())
"""


@contextmanager
def service(before: Sequence[str], python: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process of another kind than this one, which runs one script."""
    environment = {"PYTHONPATH": str(PROJECT), "PYTHONDONTWRITEBYTECODE": "1", "PATH": os.environ["PATH"]}
    command = [*before, python, "-c", SERVICE, *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd="/", env=environment, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_nothing_goes_on_when_the_service_is_killed(filtered: Sandbox) -> None:
    mark = f"killed-{time.monotonic_ns()}"
    with service([], sys.executable, "-c", DAEMON + "time.sleep(60)", mark) as process:
        await_count(mark, lambda count: count >= 3)
        process.kill()
        await_count(mark, lambda count: count == 0)


# -- who may run the service -------------------------------------------------------------------------------------------

as_root = pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="only root can be others too")
OTHERS = {
    "a user": ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"],
    "root without a capability": ["setpriv", "--bounding-set=-sys_admin"],
}
INSIDE = "import os; print(os.getuid() > 60000, os.getgroups(), os.path.exists('/proc'))"


@as_root
@pytest.mark.parametrize("who", OTHERS)
def test_it_needs_no_root(filtered: Sandbox, who: str) -> None:
    python = "/usr/bin/python3"
    enough = [python, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
    if not Path(python).exists() or subprocess.run(enough, check=False).returncode:
        pytest.skip("no interpreter that every user may read")
    with service(OTHERS[who], python, "-c", INSIDE) as process:
        out, err = process.communicate(timeout=30)
    if "NoSandbox" in err and "unshare" in err:
        pytest.skip("user namespaces are not allowed here")
    assert out.splitlines() == [
        f"own root, no network, a user namespace of its own, {filtered.status.rpartition(', ')[2]}",
        "0 True [] False",
        "",
    ]


def test_a_service_that_keeps_its_files_to_itself_can_run_scripts(filtered: Sandbox) -> None:
    before = os.umask(0o077)
    try:
        assert said(run(filtered, "print('ok')", {"a/b": b""})) == "ok"
    finally:
        os.umask(before)


@as_root
def test_where_the_kernel_allows_nothing_nothing_is_run_and_the_remedy_is_named() -> None:
    with service(["setpriv", "--bounding-set=-sys_admin,-setuid,-setgid"], sys.executable, "-c", INSIDE) as process:
        out, err = process.communicate(timeout=30)
    assert out == ""
    assert "the walls cannot be put up (Operation not permitted): allow user namespaces" in err
