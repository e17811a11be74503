"""Doors to the Linux kernel that the standard library does not have: prctl, capset, calls by number."""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from typing import Final

__all__ = ["drop_capabilities", "prctl", "syscall"]

_CAPABILITY_VERSION: Final = 0x20080522

_LIBC: Final = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
if _LIBC is not None:
    _LIBC.prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
    _LIBC.syscall.restype = ctypes.c_long


def prctl(option: int, second: int, third: int = 0) -> None:
    """Operate on this process (`man 2 prctl`).

    Raises
    ------
    OSError
        When the kernel refuses, and where there is no such call.
    """
    if _LIBC is None:
        raise OSError(f"{sys.platform} has no prctl")
    if _LIBC.prctl(option, second, third, 0, 0) != 0:
        raise _error()


def drop_capabilities() -> None:
    """Give up all of root's powers over the system, as far as this process has any (`man 2 capset`).

    Raises
    ------
    OSError
        When the kernel refuses, and where there is no such call.
    """
    if _LIBC is None:
        raise OSError(f"{sys.platform} has no capabilities")
    none = struct.pack("=6I", 0, 0, 0, 0, 0, 0)  # effective, permitted, inheritable: low halves, high halves
    if _LIBC.capset(struct.pack("=Ii", _CAPABILITY_VERSION, 0), none) != 0:
        raise _error()


def syscall(number: int, *args: int) -> int:
    """Make a system call by its number and give what it returns.

    Raises
    ------
    OSError
        When the call fails, and where calls have no numbers that can be relied on.
    """
    if _LIBC is None:
        raise OSError(f"{sys.platform} has no system calls by number")
    result: int = _LIBC.syscall(ctypes.c_long(number), *map(ctypes.c_ulong, args))
    if result == -1:
        raise _error()
    return result


def _error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
