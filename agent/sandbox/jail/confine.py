"""The operating system's layers around one child, and a tuple of those that hold.

Resource limits and process flags. Filters for system calls and paths are not here yet; each will be one more
function whose name joins the tuple only if the kernel accepted it.
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from typing import Final

__all__ = ["confine", "relax", "silence"]

_SLACK: Final = 32 * 1024 * 1024
"""Bytes that the child may take beyond its limit to report that it met the limit."""

_SET_PDEATHSIG: Final = 1
_SET_DUMPABLE: Final = 4
_SET_NO_NEW_PRIVS: Final = 38
_SIGKILL: Final = 9

_LIBC: Final = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def silence() -> None:
    """Point standard input at what standard output is: the null device."""
    os.dup2(1, 0)


def confine(cpu_seconds: int, memory_bytes: int, parent: int) -> list[str]:
    """Confine this process for good.

    Parameters
    ----------
    cpu_seconds
        Processor time.
    memory_bytes
        Address space.
    parent
        Process id of the zygote; the child ends with it.

    Returns
    -------
    list of str
        Names of the layers that are active.
    """
    layers = ["process", *_flags(parent)]
    limits = {
        "limit-memory": (resource.RLIMIT_AS, memory_bytes, memory_bytes + _SLACK),
        "limit-cpu": (resource.RLIMIT_CPU, cpu_seconds, cpu_seconds + 1),
        "limit-file-size": (resource.RLIMIT_FSIZE, 0, 0),
        "limit-core": (resource.RLIMIT_CORE, 0, 0),
        "limit-processes": (resource.RLIMIT_NPROC, 0, 0),
        "limit-open-files": (resource.RLIMIT_NOFILE, 0, 0),
    }
    for name, (which, soft, hard) in limits.items():
        try:
            resource.setrlimit(which, (soft, hard))
        except (ValueError, OSError):
            continue
        if name != "limit-processes" or os.geteuid() != 0:  # the kernel does not hold root to it
            layers.append(name)
    return layers


def relax() -> None:
    """Use the slack, so that a child out of memory can say so."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def _flags(parent: int) -> list[str]:
    """Set process flags where there is a prctl."""
    if _LIBC is None:
        return []
    flags = {
        "dies-with-parent": (_SET_PDEATHSIG, _SIGKILL),
        "no-new-privileges": (_SET_NO_NEW_PRIVS, 1),
        "not-dumpable": (_SET_DUMPABLE, 0),
    }
    held = [name for name, (option, value) in flags.items() if _LIBC.prctl(option, value, 0, 0, 0) == 0]
    if os.getppid() != parent:  # it died before the flag was set
        os._exit(1)
    return held
