"""Try, in throw-away children, what a confined child must not be able to do.

Each layer reports for itself that it was accepted; only trying tells that the layers hold together. Every
attempt has a child of its own, because the right answer to most of them is its death.
"""

from __future__ import annotations

import mmap
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Final, NoReturn

from .confine import Bounds, Step, confine

__all__ = ["ATTEMPTS", "attempt", "held"]

_READY: Final = b"1"
_STOPPED: Final = b"2"


def held(steps: dict[str, Step], bounds: Bounds) -> dict[str, str]:
    """Put up all layers in one child, and tell which hold.

    Returns
    -------
    dict
        For each layer why it does not hold, empty if it does. Also for those after which nothing was heard.
    """

    def report(sink: int) -> NoReturn:
        for step in steps.values():
            try:
                step(bounds)
                told = "\n"
            except (OSError, ValueError) as error:
                told = f"{getattr(error, 'strerror', None) or error}\n"
            os.write(sink, told.encode("utf-8", "replace"))
        os._exit(0)

    lines = _child(report)[0].decode().splitlines()
    lines += ["the child ended when it was put up"] * (len(steps) - len(lines))
    return dict(zip(steps, lines, strict=True))


def attempt(steps: dict[str, Step], bounds: Bounds, deed: Callable[[Bounds], object]) -> str:
    """Attempt something in a child that is confined by the steps.

    Returns
    -------
    str
        Empty if the system stopped it: by an error, or by ending the child for the call. Else what happened.
    """

    def trial(sink: int) -> NoReturn:
        confine(steps, bounds)
        os.write(sink, _READY)
        try:
            deed(bounds)
        except (OSError, MemoryError):
            os.write(sink, _STOPPED)
        os._exit(0)

    told, status = _child(trial)
    if not told:
        return "a child could not be confined"
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGSYS:
        return ""
    if status == 0 and told == _READY + _STOPPED:
        return ""
    return "it was let through" if status == 0 else f"the child ended by status {status}"


def _child(work: Callable[[int], NoReturn]) -> tuple[bytes, int]:
    """Do work in a child; give what it wrote and its wait status."""
    source, sink = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            work(sink)
        finally:
            os._exit(1)
    os.close(sink)
    with os.fdopen(source, "rb") as stream:
        told = stream.read()
    _, status = os.waitpid(pid, 0)
    return told, status


def _fork(_: Bounds) -> None:
    if os.fork() == 0:
        os._exit(0)


def _take(bounds: Bounds) -> None:
    mmap.mmap(-1, 2 * bounds.memory_bytes).close()


def _execute(_: Bounds) -> None:
    mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()


ATTEMPTS: Final[dict[str, Callable[[Bounds], object]]] = {
    "open a file": lambda _: os.open("/", os.O_RDONLY),
    "make a socket": lambda _: socket.socket(socket.AF_UNIX),
    "start a process": _fork,
    "execute a program": lambda _: os.execv(sys.executable, [sys.executable, "-S", "-c", ""]),  # noqa: S606
    "have memory that it can write and execute": _execute,
    "take twice its memory": _take,
}
"""By what a child would say it can do."""
