"""The process that children are forked from: clean, single-threaded, without secrets, started once.

It makes the layers ready and tries them, then reads jobs from the host on standard input (a socket), forks a
child for each, collects what the child writes as opaque bytes, ends it at the deadline and reports how it
died. When the host goes away, so do the child and the zygote. It never reads a program or an outcome, and
does not judge what holds: the host does.
"""

from __future__ import annotations

import gc
import json
import mmap
import os
import select
import signal
import socket
import time
import warnings
from collections.abc import Collection
from contextlib import suppress
from typing import Final, NoReturn

from . import child, confine, selftest
from .confine import Bounds, Step
from .protocol import JOB, OUTCOME, REPLY, STARTED

__all__ = ["prepare", "serve"]

_PART: Final = 1 << 16
"""Bytes read of a child at once."""


def prepare(names: Collection[str], memory_mb: int, host: int) -> tuple[dict[str, Step], bytes]:
    """Make the layers ready and try them.

    Parameters
    ----------
    names
        Layers to put around each child, `*` for all.
    memory_mb
        Memory of a child in the self-test, MB.
    host
        Process id of the host.

    Returns
    -------
    tuple
        The layers that hold, and the greeting that tells the host what was found.
    """
    with suppress(OSError):  # a second way to notice its end, which works even while this process is stopped
        confine.follow(host)
    warnings.simplefilter("ignore")
    gc.collect()
    gc.freeze()
    bounds = Bounds(cpu_seconds=1, memory_bytes=memory_mb << 20, parent=os.getpid())
    steps = confine.prepare(names)
    layers = selftest.held(steps, bounds)
    steps = {name: step for name, step in steps.items() if not layers[name]}
    deeds = {what: selftest.attempt(steps, bounds, deed) for what, deed in selftest.ATTEMPTS.items()}
    return steps, STARTED + json.dumps({"layers": layers, "deeds": deeds}).encode() + b"\n"


def serve(steps: dict[str, Step], greeting: bytes) -> NoReturn:
    """Greet the host and take jobs until it closes its end."""
    control = socket.socket(fileno=0)
    control.sendall(greeting)
    while True:
        size, wall, cpu, memory = JOB.unpack(_receive(control, JOB.size))
        # A later child is a copy of this process: what one program said and was told goes with these pages.
        with _pages(size) as job, _pages(OUTCOME + _PART) as outcome:
            _fill(control, job, size)
            bounds = Bounds(cpu, memory << 20, os.getpid())
            header, length = _attend(control, job, outcome, wall, steps, bounds)
            control.sendall(header)
            with memoryview(outcome) as view, view[:length] as told:
                control.sendall(told)


def _pages(size: int) -> mmap.mmap:
    """Take memory of this process alone, which is gone when it is closed."""
    return mmap.mmap(-1, max(size, 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def _receive(control: socket.socket, size: int) -> bytes:
    """Read exactly `size` bytes of a header, or leave with the host."""
    data = b""
    while len(data) < size:
        part = control.recv(size - len(data))
        if not part:
            os._exit(0)
        data += part
    return data


def _fill(control: socket.socket, pages: mmap.mmap, size: int) -> None:
    """Read `size` bytes into pages, or leave with the host."""
    done = 0
    with memoryview(pages) as view:
        while done < size:
            with view[done:size] as rest:
                part = control.recv_into(rest)
            if not part:
                os._exit(0)
            done += part


def _attend(
    control: socket.socket,
    job: mmap.mmap,
    outcome: mmap.mmap,
    wall: float,
    steps: dict[str, Step],
    bounds: Bounds,
) -> tuple[bytes, int]:
    """Run one child to its end, its bytes into `outcome`; give the reply's header and how many there are."""
    begun = time.monotonic()
    source, sink = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(source)
            outcome.close()
            child.main(job, sink, steps, bounds)
        finally:
            os._exit(1)
    os.close(sink)
    length, late, orphaned = _collect(control, source, outcome, begun + wall)
    # Not reaped yet, so the number is still the child's; killing one that has ended changes nothing.
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    os.close(source)
    if orphaned:
        os._exit(0)
    return REPLY.pack(length, status, late, time.monotonic() - begun), length


def _collect(
    control: socket.socket, source: int, outcome: mmap.mmap, deadline: float
) -> tuple[int, bool, bool]:
    """Read the child's bytes to their end: `(bytes read, deadline passed, host gone)`."""
    length = 0
    with memoryview(outcome) as view:
        while (left := deadline - time.monotonic()) > 0:
            ready, _, _ = select.select([control.fileno(), source], [], [], left)
            if control.fileno() in ready:  # the host sends nothing while a child runs: this is its end
                return 0, False, True
            if source in ready:
                with view[length : length + _PART] as part:
                    count = os.readv(source, [part])
                length += count
                if not count or length > OUTCOME:
                    return length, False, False
    return 0, True, False
