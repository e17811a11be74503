"""The operating system's layers around a child: prepared once in the zygote, put around each child for good.

Each layer is a name and one function, in the order in which they are put up; the filter for system calls is
last, because it forbids all the others. Which layers are wanted is for the caller to say, and whether they
hold is for `selftest` to try.
"""

from __future__ import annotations

import mmap
import os
import resource
from collections.abc import Callable, Collection
from typing import Final, NamedTuple, NoReturn

from . import kernel, landlock, seccomp

__all__ = ["LAYERS", "Bounds", "Step", "confine", "follow", "prepare", "silence"]

_SPARE: Final = 32 * 1024 * 1024
"""Bytes, at most, that are kept back for telling that memory ran out."""

_SET_PDEATHSIG: Final = 1
_SET_DUMPABLE: Final = 4
_SET_NO_NEW_PRIVS: Final = 38
_SIGKILL: Final = 9


class Bounds(NamedTuple):
    """What one child may use."""

    cpu_seconds: int
    memory_bytes: int
    parent: int
    """Process id of the zygote; the child ends with it."""


Step = Callable[[Bounds], None]
"""Puts up one layer; raises OSError or ValueError when it cannot."""


def prepare(names: Collection[str]) -> dict[str, Step]:
    """Make ready the layers of these names, or all for `*`, in the order to put them up.

    A layer that this system does not have becomes a step that says so when it is taken.
    """
    steps = {name: make() for name, make in LAYERS.items() if name in names or "*" in names}
    unknown = {name: _cannot("there is no such layer") for name in names if name not in {*LAYERS, "*"}}
    return unknown | steps


def confine(steps: dict[str, Step], bounds: Bounds) -> mmap.mmap:
    """Put layers around this process for good.

    Parameters
    ----------
    steps
        What `prepare` gave.
    bounds
        What the process may use.

    Returns
    -------
    mmap.mmap
        Memory kept back: close it to have some when there is no more.

    Raises
    ------
    OSError or ValueError
        When a layer cannot be put up. The process must then do nothing more.
    """
    spare = mmap.mmap(-1, min(_SPARE, bounds.memory_bytes // 8))
    for step in steps.values():
        step(bounds)
    return spare


def silence() -> None:
    """Point standard input at what standard output is: the null device."""
    os.dup2(1, 0)


def follow(parent: int) -> None:
    """End with the process that started this one, or now if that has ended already.

    Raises
    ------
    OSError
        Where the kernel cannot arrange it.
    """
    kernel.prctl(_SET_PDEATHSIG, _SIGKILL)
    if os.getppid() != parent:  # it ended before the flag was set
        os._exit(1)


def _flag(option: int, value: int) -> Step:
    return lambda _bounds: kernel.prctl(option, value)


def _limit(which: int, value: Callable[[Bounds], int]) -> Step:
    """Lower a resource limit: the first figure may end the child, the second is for good."""

    def step(bounds: Bounds) -> None:
        _, most = resource.getrlimit(which)
        wanted = value(bounds)
        soft = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
        # One second between SIGXCPU, which says what happened, and SIGKILL, which cannot be ignored.
        hard = soft + 1 if which == resource.RLIMIT_CPU and soft != most else soft
        resource.setrlimit(which, (soft, hard))

    return step


def _processes() -> Step:
    if os.geteuid() == 0:
        return _cannot("the kernel does not hold root to it")
    return _limit(resource.RLIMIT_NPROC, lambda _: 0)


def _paths() -> Step:
    try:
        restrict = landlock.prepare()
    except OSError as error:
        return _cannot(str(error))
    return lambda _bounds: restrict()


def _calls() -> Step:
    try:
        install = seccomp.prepare(os.uname().machine)
    except OSError as error:
        return _cannot(str(error))
    return lambda _bounds: install()


def _cannot(why: str) -> Step:
    def step(_bounds: Bounds) -> NoReturn:
        raise OSError(why)

    return step


LAYERS: Final[dict[str, Callable[[], Step]]] = {
    "no-capabilities": lambda: lambda _bounds: kernel.drop_capabilities(),
    "dies-with-parent": lambda: lambda bounds: follow(bounds.parent),
    "not-dumpable": lambda: _flag(_SET_DUMPABLE, 0),
    "no-new-privileges": lambda: _flag(_SET_NO_NEW_PRIVS, 1),
    "limit-memory": lambda: _limit(resource.RLIMIT_AS, lambda bounds: bounds.memory_bytes),
    "limit-cpu": lambda: _limit(resource.RLIMIT_CPU, lambda bounds: bounds.cpu_seconds),
    "limit-file-size": lambda: _limit(resource.RLIMIT_FSIZE, lambda _: 0),
    "limit-core": lambda: _limit(resource.RLIMIT_CORE, lambda _: 0),
    "limit-processes": _processes,
    "limit-open-files": lambda: _limit(resource.RLIMIT_NOFILE, lambda _: 0),
    "landlock": _paths,
    "seccomp": _calls,
}
"""What makes each layer ready, by its name, in the order to put them up."""
