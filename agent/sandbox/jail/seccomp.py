"""A filter for system calls: what a running interpreter needs is allowed, and nothing else.

Numbers are data, one table a machine. The filter refuses looking at files with an error, so that an import
that comes too late fails softly; refuses memory that can be executed; and ends the process for every other
call and for calls in another machine's numbers. It knows no paths, no processes and no programs.
"""

from __future__ import annotations

import ctypes
import errno
import struct
import sys
from collections.abc import Callable
from typing import Final, NamedTuple

from . import kernel

__all__ = ["TABLES", "Instruction", "Table", "instructions", "prepare"]


class Table(NamedTuple):
    """System calls of one machine."""

    architecture: int
    """As the kernel names it (`AUDIT_ARCH_...` in linux/audit.h)."""
    allowed: dict[str, int]
    """Numbers of calls that cannot reach beyond the process."""
    refused: dict[str, int]
    """Numbers of calls that fail with EPERM."""
    executable: dict[str, int]
    """Numbers of calls whose third argument may not ask for memory that can be executed."""
    prctl: int


class Instruction(NamedTuple):
    """One instruction of the kernel's filter machine (linux/filter.h)."""

    code: int
    yes: int
    """Instructions to skip when the comparison holds."""
    no: int
    value: int


TABLES: Final = {
    "x86_64": Table(
        architecture=0xC000003E,
        allowed={
            "read": 0,
            "write": 1,
            "close": 3,
            "munmap": 11,
            "brk": 12,
            "rt_sigreturn": 15,
            "sched_yield": 24,
            "mremap": 25,
            "madvise": 28,
            "nanosleep": 35,
            "exit": 60,
            "gettimeofday": 96,
            "time": 201,
            "futex": 202,
            "restart_syscall": 219,
            "clock_gettime": 228,
            "clock_getres": 229,
            "clock_nanosleep": 230,
            "exit_group": 231,
            "getrandom": 318,
        },
        refused={
            "open": 2,
            "stat": 4,
            "fstat": 5,
            "lstat": 6,
            "lseek": 8,
            "ioctl": 16,
            "access": 21,
            "fcntl": 72,
            "getdents": 78,
            "getcwd": 79,
            "readlink": 89,
            "getdents64": 217,
            "openat": 257,
            "newfstatat": 262,
            "readlinkat": 267,
            "faccessat": 269,
            "statx": 332,
            "openat2": 437,
            "faccessat2": 439,
        },
        executable={"mmap": 9, "mprotect": 10},
        prctl=157,
    ),
    "aarch64": Table(
        architecture=0xC00000B7,
        allowed={
            "read": 63,
            "write": 64,
            "close": 57,
            "munmap": 215,
            "brk": 214,
            "rt_sigreturn": 139,
            "sched_yield": 124,
            "mremap": 216,
            "madvise": 233,
            "nanosleep": 101,
            "exit": 93,
            "gettimeofday": 169,
            "futex": 98,
            "restart_syscall": 128,
            "clock_gettime": 113,
            "clock_getres": 114,
            "clock_nanosleep": 115,
            "exit_group": 94,
            "getrandom": 278,
        },
        refused={
            "getcwd": 17,
            "fcntl": 25,
            "ioctl": 29,
            "faccessat": 48,
            "openat": 56,
            "getdents64": 61,
            "lseek": 62,
            "readlinkat": 78,
            "newfstatat": 79,
            "fstat": 80,
            "statx": 291,
            "openat2": 437,
            "faccessat2": 439,
        },
        executable={"mmap": 222, "mprotect": 226},
        prctl=167,
    ),
}
"""By the machine's name as `os.uname` gives it. Source: asm/unistd_64.h and asm-generic/unistd.h."""

_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_EQUAL: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_AT_LEAST: Final = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_ANY_BIT: Final = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_RETURN: Final = 0x06  # BPF_RET | BPF_K

_ALLOW: Final = 0x7FFF0000
_KILL: Final = 0x80000000  # the whole process
_ERROR: Final = 0x00050000  # with the error's number in the low half

_NUMBER: Final = 0  # offsets in struct seccomp_data
_ARCHITECTURE: Final = 4
_FIRST: Final = 16  # low half of the first argument
_THIRD: Final = 32

_OTHER_NUMBERS: Final = 0x40000000  # x32 calls; no call of either machine is numbered so high
_EXECUTABLE: Final = 4  # PROT_EXEC
_NAME_MEMORY: Final = 0x53564D41  # PR_SET_VMA: interpreters name their memory and do not mind a refusal

_SET_SECCOMP: Final = 22
_FILTER: Final = 2


def instructions(table: Table) -> list[Instruction]:
    """Write the filter for a machine.

    Parameters
    ----------
    table
        Its system calls.

    Returns
    -------
    list of Instruction
        About 100; the first that returns decides.
    """
    steps = [
        Instruction(_LOAD, 0, 0, _ARCHITECTURE),
        *_unless(_EQUAL, table.architecture, _KILL),
        Instruction(_LOAD, 0, 0, _NUMBER),
        *_if(_AT_LEAST, _OTHER_NUMBERS, _KILL),
    ]
    for number in table.allowed.values():
        steps += _if(_EQUAL, number, _ALLOW)
    for number in table.refused.values():
        steps += _if(_EQUAL, number, _ERROR | errno.EPERM)
    for number in table.executable.values():
        inner = [
            Instruction(_LOAD, 0, 0, _THIRD),
            *_if(_ANY_BIT, _EXECUTABLE, _ERROR | errno.EACCES),
            Instruction(_RETURN, 0, 0, _ALLOW),
        ]
        steps += [Instruction(_EQUAL, 0, len(inner), number), *inner]
    name = [
        Instruction(_LOAD, 0, 0, _FIRST),
        *_if(_EQUAL, _NAME_MEMORY, _ERROR | errno.EINVAL),
        Instruction(_RETURN, 0, 0, _KILL),
    ]
    steps += [Instruction(_EQUAL, 0, len(name), table.prctl), *name]
    return [*steps, Instruction(_RETURN, 0, 0, _KILL)]


def prepare(machine: str) -> Callable[[], None]:
    """Build the filter, and give the function that puts it around a process for good.

    Parameters
    ----------
    machine
        Name of the machine as `os.uname` gives it.

    Raises
    ------
    OSError
        When there is no table for the machine.
    """
    table = TABLES.get(machine)
    if table is None or sys.platform != "linux":
        raise OSError(f"there is no table of system calls for {sys.platform} on {machine}")
    steps = instructions(table)
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    program = ctypes.create_string_buffer(struct.pack("@HP", len(steps), ctypes.addressof(code)))

    def install(_code: object = code) -> None:  # what the kernel reads must live as long as this function
        kernel.prctl(_SET_SECCOMP, _FILTER, ctypes.addressof(program))

    return install


def _if(code: int, value: int, action: int) -> list[Instruction]:
    """Return the action if a comparison holds."""
    return [Instruction(code, 0, 1, value), Instruction(_RETURN, 0, 0, action)]


def _unless(code: int, value: int, action: int) -> list[Instruction]:
    """Return the action if a comparison does not hold."""
    return [Instruction(code, 1, 0, value), Instruction(_RETURN, 0, 0, action)]
