"""Runs one program behind walls that it puts up itself. Never imported: `sandbox` starts it as a process of its own.

    python -I -S -B jail.py <plan >answer

Two processes of it: one makes the namespaces and waits; the other, process 1 of the new ones, builds a root of
read-only mounts, gives up every right, runs the program and ends, which ends whatever the program has left behind.
The program sees no /proc, no device but four, no network, and a folder in memory that is the only place it can write
to; what it left there is handed back by process 1, never by the program.

Plan and answer are one line of JSON and then bytes, whose lengths the line tells.
"""

import base64
import ctypes
import json
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

LIBC = ctypes.CDLL(None, use_errno=True)
NEW_ROOT = "/proc"  # the new root is put up over it: nothing that is shown lies below it
SCRATCH, SITE = "/tmp", "/tmp/site"  # noqa: S108 - of the jail
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
FIRST_USER, USERS = 61_184, 4_000  # users that no account has, within what containers map

NEW_USER = 0x10000000
NEW_SPACES = 0x00020000 | 0x20000000 | 0x40000000 | 0x08000000 | 0x04000000  # mounts, processes, network, IPC, names
NOSUID, NODEV, NOEXEC, BIND, RECURSIVE, PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
SET_PDEATHSIG, SET_DUMPABLE, SET_SECCOMP, SET_NO_NEW_PRIVS = 1, 4, 22, 38
MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE, ATTR_READ_ONLY = 442, -100, 0x8000, 1
DETACH = 2
CAPABILITY_VERSION_3 = 0x20080522
READ_BYTES = 65_536
MAX_LEFT = 100  # names

Json = dict[str, Any]


def main() -> None:
    plan, data = read_plan()
    end_with_parent()
    os.umask(0o022)
    yield_to_others()
    user = FIRST_USER + os.getpid() % USERS  # of its own, so that the kernel counts its processes apart
    walls = leave(user)
    child = os.fork()
    if child:
        os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) & 0xFF)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # process 1 gets from within only the signals that it handles
    build_root(plan)
    give_up_rights(user)
    end_with_parent()
    take_in(plan["files"], data)
    given = stdin_file(data[len(plan["files"])])
    refuse_calls(base64.b64decode(plan["filter"]))
    outcome, output = run(plan, given)
    answer({**outcome, "walls": walls}, output, changes(plan, data))
    os._exit(0)


# -- plan and answer ---------------------------------------------------------------------------------------------------


def read_plan() -> tuple[Json, list[bytes]]:
    """The plan, then the bytes of each file, then those of stdin."""
    line = sys.stdin.buffer.readline()
    plan = json.loads(line)
    sizes = [*(size for _, size in plan["files"]), plan["stdin_bytes"]]
    return plan, [sys.stdin.buffer.read(size) for size in sizes]


def answer(outcome: Json, output: Sequence[bytes], changed: tuple[dict[str, bytes], list[str]]) -> None:
    files, left = changed
    sizes = [[path, len(data)] for path, data in files.items()]
    line = json.dumps({**outcome, "output": [len(part) for part in output], "files": sizes, "left": left})
    for part in (line.encode(), b"\n", *output, *files.values()):
        sys.stdout.buffer.write(part)
    sys.stdout.buffer.flush()


def yield_to_others() -> None:
    """When processors or memory run short, the service goes before, and this is what the kernel ends first."""
    os.nice(5)
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write("1000")


# -- walls -------------------------------------------------------------------------------------------------------------


def leave(user: int) -> str:
    """New namespaces for this process and its children, and how they were had."""
    if os.geteuid() == 0:
        with suppress(PermissionError):
            call("unshare", NEW_SPACES)
            return "a user of its own"
        become(user)
        call("prctl", SET_DUMPABLE, 1)  # else its own maps below are closed to it
    uid, gid = os.geteuid(), os.getegid()
    call("unshare", NEW_USER | NEW_SPACES)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {uid} 1"), ("gid_map", f"{user} {gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)
    return "a user namespace of its own"


def build_root(plan: Json) -> None:
    """A root of nothing but what the plan shows, read-only, and an empty folder in memory."""
    call("mount", None, b"/", None, RECURSIVE | PRIVATE, None)
    mount_memory(NEW_ROOT, "size=1m,mode=755")
    for target, path in plan["links"]:
        os.makedirs(os.path.dirname(NEW_ROOT + path), exist_ok=True)
        os.symlink(target, NEW_ROOT + path)
    for source, path in plan["shown"]:
        show(source, NEW_ROOT + path)
    for path in plan["hidden"]:
        mount_memory(NEW_ROOT + path, "size=4k,mode=755")
    for device in DEVICES:
        make_place(device, NEW_ROOT + device)
    os.mkdir(NEW_ROOT + SCRATCH)
    restrict(NEW_ROOT, ATTR_READ_ONLY | NOSUID | NODEV)
    for device in DEVICES:
        call("mount", device.encode(), (NEW_ROOT + device).encode(), None, BIND, None)
        restrict(NEW_ROOT + device, ATTR_READ_ONLY | NOSUID | NOEXEC)
    size, number = plan["disk_bytes"], plan["inodes"]
    mount_memory(NEW_ROOT + SCRATCH, f"size={size},nr_inodes={number},mode=1777", NOEXEC)
    os.chdir(NEW_ROOT)
    call("pivot_root", b".", b".")
    call("umount2", b".", DETACH)
    os.chdir("/")


def show(source: str, path: str) -> None:
    make_place(source, path)
    call("mount", source.encode(), path.encode(), None, BIND | RECURSIVE, None)


def make_place(source: str, path: str) -> None:
    """Something to mount the source on."""
    if os.path.isdir(source):
        os.makedirs(path, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))


def mount_memory(path: str, options: str, flags: int = 0) -> None:
    call("mount", b"tmpfs", path.encode(), b"tmpfs", NOSUID | NODEV | flags, options.encode())


def restrict(path: str, attributes: int) -> None:
    """This mount and all below it; the kernel knows no such thing before 5.12."""
    wanted = (ctypes.c_uint64 * 4)(attributes, 0, 0, 0)
    call("syscall", MOUNT_SETATTR, AT_FDCWD, path.encode(), AT_RECURSIVE, ctypes.byref(wanted), ctypes.sizeof(wanted))


# -- rights ------------------------------------------------------------------------------------------------------------


def give_up_rights(user: int) -> None:
    """A user who owns nothing, no group, no capability, and no way to get one back."""
    if os.geteuid() == 0:
        become(user)
    call("prctl", SET_DUMPABLE, 0)  # and what the program may not look into
    call("prctl", SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    header, none = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0), (ctypes.c_uint32 * 6)()
    call("capset", ctypes.byref(header), ctypes.byref(none))


def become(user: int) -> None:
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)


def refuse_calls(program: bytes) -> None:
    if program:
        codes = ctypes.create_string_buffer(program, len(program))

        class Program(ctypes.Structure):
            _fields_ = (("length", ctypes.c_ushort), ("codes", ctypes.c_void_p))

        filtering = Program(len(program) // 8, ctypes.cast(codes, ctypes.c_void_p))
        call("prctl", SET_SECCOMP, 2, ctypes.byref(filtering))


def end_with_parent() -> None:
    call("prctl", SET_PDEATHSIG, int(signal.SIGKILL))


def call(name: str, *arguments: Any) -> None:
    """A function of libc. Raises OSError that names it."""
    if getattr(LIBC, name)(*(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments)) < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


# -- the program -------------------------------------------------------------------------------------------------------


def take_in(files: Sequence[tuple[str, int]], data: Sequence[bytes]) -> None:
    """The files of the plan into the folder that the program starts in, which stays this process' own."""
    os.mkdir(SITE)
    os.chdir(SITE)
    for (path, _), content in zip(files, data, strict=False):
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)


def stdin_file(data: bytes) -> int:
    """In memory rather than a pipe: nobody has to feed it."""
    number = os.memfd_create("stdin")
    with open(number, "wb", closefd=False) as file:
        file.write(data)
    os.lseek(number, 0, os.SEEK_SET)
    return number


def run(plan: Json, given: int) -> tuple[Json, list[bytes]]:
    """How the program ended, and the beginning of what it said on stdout and stderr."""
    pipes = [os.pipe(), os.pipe()]
    child = os.fork()
    if child == 0:
        try:
            turn_into(plan, [given, *(write for _, write in pipes)])
        finally:
            os._exit(127)
    for _, write in pipes:
        os.close(write)
    heard = {read: bytearray() for read, _ in pipes}
    ended_by = listen(child, heard, plan["wall_s"], plan["output_bytes"])
    status = end_all(child)
    for read, said in heard.items():
        while len(said) <= plan["output_bytes"] and (part := os.read(read, READ_BYTES)):
            said += part
    output = [bytes(said[: plan["output_bytes"]]) for said in heard.values()]
    return {"status": status, "ended_by": ended_by}, output


def turn_into(plan: Json, streams: Sequence[int]) -> None:
    os.setsid()  # its signals to "my group" stay there
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.closerange(3, 1024)
    for name, limit in plan["resources"].items():
        resource.setrlimit(getattr(resource, name), tuple(limit))
    os.execve(plan["command"][0], plan["command"], plan["env"])  # noqa: S606 - this is what it is all about


def listen(child: int, heard: dict[int, bytearray], wall_s: float, output_bytes: int) -> str:
    """Until the program ends: empty, or the limit that it met: time or output."""
    until = time.monotonic() + wall_s
    ended = os.pidfd_open(child)
    poll = select.poll()
    for number in (*heard, ended):
        poll.register(number, select.POLLIN)
    while (left_s := until - time.monotonic()) > 0:
        for number, _ in poll.poll(left_s * 1000):
            if number == ended:
                return ""
            part = os.read(number, READ_BYTES)
            if not part:
                poll.unregister(number)
            heard[number] += part
            if len(heard[number]) > output_bytes:
                return "output"
    return "time"


def end_all(child: int) -> int:
    """Everything that the program has started ends with it. The status of the program itself."""
    with suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)
    status = 0
    with suppress(ChildProcessError):
        while True:
            pid, ended = os.wait()
            if pid == child:
                status = os.waitstatus_to_exitcode(ended)
    return status


# -- what it left ------------------------------------------------------------------------------------------------------


def changes(plan: Json, data: Sequence[bytes]) -> tuple[dict[str, bytes], list[str]]:
    """Plain files that are new or other than before, and the names of what cannot be handed back."""
    before = {path: content for (path, _), content in zip(plan["files"], data, strict=False)}
    changed: dict[str, bytes] = {}
    left: list[str] = []
    room = plan["returned_bytes"]
    for path, is_plain in found("."):
        content = content_of(path, max(room, len(before.get(path, b"")))) if is_plain else None
        if content is None:
            left.append(path)
        elif content != before.get(path):
            changed[path] = content
            room -= len(content)
    return changed, left[:MAX_LEFT]


def found(folder: str) -> Iterator[tuple[str, bool]]:
    """Every path below the folder that is no folder, and whether it is a plain file. Links are not followed."""
    folders = [folder]
    while folders:
        with suppress(OSError), os.scandir(folders.pop()) as entries:  # closed to us, or too deep to be named
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    yield entry.path.removeprefix("./"), entry.is_file(follow_symlinks=False)


def content_of(path: str, room: int) -> bytes | None:
    """None when it cannot be read or is larger than there is room for."""
    try:
        with open(path, "rb") as file:
            return file.read() if os.fstat(file.fileno()).st_size <= room else None
    except OSError:
        return None


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        sys.stderr.write(f"{error.strerror}\n")
        os._exit(1)
