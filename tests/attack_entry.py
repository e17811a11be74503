"""Entry file of a zygote whose children do what a breach program says: the language layer has fallen.

Run by the host in the product's stead as `python ... attack_entry.py USER START ARGUMENTS`, where START is
the product's own entry file and USER a user to become, or `-`. Everything but one thing is the product's:
after a child has put up its layers, a program that begins with `#!breach` is executed with all of Python
instead of being checked, rewritten and guarded. Modules that attacks want are loaded before, as if they had
been there.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import mmap
import multiprocessing.connection
import os
import resource
import runpy
import select
import signal
import socket
import struct
import sys
import threading
import time
from types import ModuleType
from typing import Any, Final, NoReturn

MARK: Final = "#!breach\n"

MODULES: Final = (ctypes, gc, json, mmap, os, resource, select, signal, socket, struct, sys, threading, time)

LIBC: Final = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long
LIBC.mmap.restype = ctypes.c_void_p
LIBC.dlsym.restype = ctypes.c_void_p

# By machine: x86_64, aarch64. Source: asm/unistd_64.h, asm-generic/unistd.h of Linux 6.1.
NUMBERS: Final = {
    "add_key": (248, 217),
    "bpf": (321, 280),
    "capset": (126, 91),
    "chroot": (161, 51),
    "clone": (56, 220),
    "clone3": (435, 435),
    "dup": (32, 23),
    "eventfd2": (290, 19),
    "execveat": (322, 281),
    "fsopen": (430, 430),
    "inotify_init1": (294, 26),
    "io_uring_setup": (425, 425),
    "kcmp": (312, 272),
    "memfd_create": (319, 279),
    "migrate_pages": (256, 238),
    "mlockall": (151, 230),
    "openat": (257, 56),
    "openat2": (437, 437),
    "perf_event_open": (298, 241),
    "personality": (135, 92),
    "pidfd_getfd": (438, 438),
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "pkey_alloc": (330, 289),
    "prlimit64": (302, 261),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "quotactl": (179, 60),
    "sched_setaffinity": (203, 122),
    "sched_setscheduler": (144, 119),
    "seccomp": (317, 277),
    "setns": (308, 268),
    "shmget": (29, 194),
    "signalfd4": (289, 74),
    "socket": (41, 198),
    "splice": (275, 76),
    "statx": (332, 291),
    "syslog": (103, 116),
    "tgkill": (234, 131),
    "timer_create": (222, 107),
    "timerfd_create": (283, 85),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
}


def system(name: str, *args: int | bytes | None) -> int:
    """Make a system call by name; raises OSError when it fails."""
    number = NUMBERS[name][os.uname().machine == "aarch64"] if name in NUMBERS else int(name)
    values = [ctypes.c_char_p(a) if isinstance(a, bytes) else ctypes.c_long(a or 0) for a in args]
    result: int = LIBC.syscall(ctypes.c_long(number), *values)
    if result == -1:
        raise OSError(ctypes.get_errno(), name)
    return result


def act(program: str, channel: int) -> NoReturn:
    """Execute a breach program and leave."""

    def say(**outcome: Any) -> None:
        os.write(channel, json.dumps(outcome).encode())

    def won(text: object) -> NoReturn:
        say(outcome="raised", type="Won", message=str(text)[:300], line=None, history={})
        os._exit(0)

    names = {module.__name__: module for module in MODULES}
    tools = {"channel": channel, "say": say, "won": won, "system": system, "libc": LIBC}
    try:
        exec(program, names | tools | {"Connection": multiprocessing.connection.Connection})  # noqa: S102
    except BaseException as error:  # noqa: BLE001 - whatever stops a breach is for the test to see
        text = f"{type(error).__name__}: {error}"[:200]
        say(outcome="raised", type="Stopped", message=text, line=None, history={})
    os._exit(0)


def opened(child: ModuleType) -> None:
    """Put breach programs in the place of the language layer of the product's child."""
    work = child._Job.work

    def breach(job: Any) -> None:
        if job.program.startswith(MARK):
            act(job.program, job.channel)
        work(job)

    child._Job.work = breach


def main() -> None:
    """Start the product's zygote with the language layer open."""
    user = sys.argv.pop(1)
    load = importlib.import_module

    def loaded(name: str, package: str | None = None) -> ModuleType:
        module = load(name, package)
        if name == "jail.zygote":
            opened(sys.modules["jail.child"])
            if user != "-":
                os.setgroups([])
                os.setgid(int(user))
                os.setuid(int(user))
                LIBC.prctl(4, 1, 0, 0, 0)  # as open to its own user as any process is
        return module

    importlib.import_module = loaded  # type: ignore[assignment]
    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
