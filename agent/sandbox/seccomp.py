"""The system calls that no script of a task has any business with, as a filter that the kernel runs.

The walls hold without it: it keeps a script away from the parts of the kernel where holes in such walls are found, and
from what namespaces do not part (vsock, keys, performance counters).
"""

import errno
import struct

LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050000, 0x80000000
NUMBER_AT, MACHINE_AT, FIRST_ARGUMENT_AT = 0, 4, 16  # in the kernel's record of a call; arguments little-endian
NAMESPACES = 0x7E020000  # every CLONE_NEW… flag
FOREIGN_NUMBERS = 0x40000000  # x86_64: the same calls again for another word size
AF_UNIX = 1

MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # as the kernel names them

# call: its number on x86_64, on aarch64
REFUSED = {
    # what is mounted where
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    # other namespaces
    "unshare": (272, 97),
    "setns": (308, 268),
    # other processes
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    # the world outside: what speaks within the jail comes from socketpair and pipe
    "socket": (41, 198),
    # memory that no limit counts
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    # parts of the kernel with a history
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "vmsplice": (278, 75),
    "personality": (135, 92),
    # the machine itself
    "acct": (163, 89),
    "syslog": (103, 116),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "reboot": (169, 142),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "adjtimex": (159, 171),
    "clock_adjtime": (305, 266),
}
X86_ONLY = {"modify_ldt": 154, "iopl": 172, "ioperm": 173, "uselib": 134, "ustat": 136, "sysfs": 139}
CLONE, SOCKETPAIR, CLONE3 = (56, 220), (53, 199), (435, 435)


def program(machine: str) -> bytes:
    """The filter for a machine as `platform.machine()` names it; empty where the numbers are not known."""
    if machine not in MACHINES:
        return b""
    column = list(MACHINES).index(machine)
    numbers = [pair[column] for pair in REFUSED.values()] + (list(X86_ONLY.values()) if machine == "x86_64" else [])
    return b"".join(
        [
            _code(LOAD, MACHINE_AT),
            _code(EQUAL, MACHINES[machine], then=1),
            _code(RETURN, KILL),
            _code(LOAD, NUMBER_AT),
            *_unless(AT_LEAST, FOREIGN_NUMBERS, errno.ENOSYS),
            *_unless(EQUAL, CLONE3[column], errno.ENOSYS),  # its flags cannot be seen; libc falls back to clone
            *(code for number in numbers for code in _unless(EQUAL, number, errno.EPERM)),
            *_with_argument(CLONE[column], [*_unless(ANY_BIT, NAMESPACES, errno.EPERM)]),
            *_with_argument(SOCKETPAIR[column], [_code(EQUAL, AF_UNIX, then=1), _code(RETURN, REFUSE | errno.EPERM)]),
            _code(RETURN, ALLOW),
        ]
    )


def _unless(test: int, value: int, error: int) -> tuple[bytes, bytes]:
    """Refuses what the test finds true."""
    return _code(test, value, otherwise=1), _code(RETURN, REFUSE | error)


def _with_argument(number: int, test: list[bytes]) -> list[bytes]:
    """The test of the first argument of one call, which passes when it gets to its end."""
    judged = [_code(LOAD, FIRST_ARGUMENT_AT), *test, _code(RETURN, ALLOW)]
    return [_code(EQUAL, number, otherwise=len(judged)), *judged]


def _code(code: int, value: int, *, then: int = 0, otherwise: int = 0) -> bytes:
    """One instruction; `then` and `otherwise`: how many are left out after it."""
    return struct.pack("=HBBI", code, then, otherwise, value)
