"""The process that children are forked from: clean, single-threaded, without secrets, started once.

It reads jobs from the host on standard input (a socket), forks a child for each, collects what the child
writes as opaque bytes, ends it at the deadline and reports how it died. When the host goes away, so do the
child and the zygote. It never reads a program or an outcome.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import time
import warnings
from typing import NoReturn

from . import child
from .protocol import JOB, OUTCOME, REPLY, STARTED

__all__ = ["serve"]


def serve() -> NoReturn:
    """Take jobs until the host closes its end."""
    control = socket.socket(fileno=0)
    warnings.simplefilter("ignore")
    gc.collect()
    gc.freeze()
    control.sendall(STARTED)
    while True:
        size, wall, cpu, memory = JOB.unpack(_receive(control, JOB.size))
        reply = _attend(control, _receive(control, size), wall, cpu, memory)
        control.sendall(reply)


def _receive(control: socket.socket, size: int) -> bytes:
    """Read exactly `size` bytes, or leave with the host."""
    data = bytearray()
    while len(data) < size:
        part = control.recv(min(size - len(data), 1 << 20))
        if not part:
            os._exit(0)
        data += part
    return bytes(data)


def _attend(control: socket.socket, job: bytes, wall: float, cpu: int, memory: int) -> bytes:
    """Run one child to its end and give the reply."""
    zygote = os.getpid()
    begun = time.monotonic()
    source, sink = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(source)
            child.main(job, sink, cpu, memory << 20, zygote)
        finally:
            os._exit(1)
    os.close(sink)
    outcome, late, orphaned = _collect(control, source, begun + wall)
    # Not reaped yet, so the number is still the child's; killing one that has ended changes nothing.
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    os.close(source)
    if orphaned:
        os._exit(0)
    return REPLY.pack(len(outcome), status, late, time.monotonic() - begun) + outcome


def _collect(control: socket.socket, source: int, deadline: float) -> tuple[bytes, bool, bool]:
    """Read the child's bytes to their end: `(bytes, deadline passed, host gone)`."""
    data = bytearray()
    while (left := deadline - time.monotonic()) > 0:
        ready, _, _ = select.select([control.fileno(), source], [], [], left)
        if control.fileno() in ready:  # the host sends nothing while a child runs: this is its end
            return b"", False, True
        if source in ready:
            part = os.read(source, 1 << 16)
            data += part
            if not part or len(data) > OUTCOME:
                return bytes(data), False, False
    return b"", True, False
