"""Landlock: a process gives up files, TCP and reaching other processes, as far as the kernel knows how.

A second wall behind the filter for system calls, by what is reached instead of by how. It is absent from old
kernels, and from some containers; nothing may depend on it alone.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Callable
from typing import Final

from . import kernel

__all__ = ["prepare"]

# Numbers are the same on all machines. Source: linux/landlock.h.
_CREATE: Final = 444
_RESTRICT: Final = 446
_ASK_VERSION: Final = 1

_FILES: Final = {1: 13, 2: 14, 3: 15, 5: 16}
"""Rights on files by the version that brought them: how many of the lowest bits are rights."""
_TCP: Final = (4, 0b11)
_SCOPE: Final = (6, 0b11)
"""From which version on, and all rights: to bind and connect; abstract sockets and signals."""


def prepare() -> Callable[[], None]:
    """Make a set of rules that allows nothing, and give the function that puts it around a process for good.

    The function needs no-new-privileges, and closes its own copy of the set.

    Raises
    ------
    OSError
        When the kernel has no Landlock.
    """
    try:
        version = kernel.syscall(_CREATE, 0, 0, _ASK_VERSION)
    except OSError as error:
        why = "has Landlock switched off" if error.errno == errno.EOPNOTSUPP else "has no Landlock"
        raise OSError(f"this kernel {why}") from None
    rights = (1 << max(bits for since, bits in _FILES.items() if since <= version)) - 1
    others = [every for since, every in (_TCP, _SCOPE) if since <= version]
    rules = ctypes.create_string_buffer(struct.pack(f"={1 + len(others)}Q", rights, *others))
    descriptor = kernel.syscall(_CREATE, ctypes.addressof(rules), len(rules) - 1, 0)

    def restrict() -> None:
        kernel.syscall(_RESTRICT, descriptor, 0)
        os.close(descriptor)

    return restrict
