"""One zygote process seen from the host: start it, give it a job, wait for the reply, end it.

Moves bytes only. What a reply means is decided in `host.py`, what a zygote must have found in `isolation.py`.
"""

from __future__ import annotations

import importlib.util
import os
import queue
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Collection
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from aotd.agent.sandbox.isolation import Found
from aotd.agent.sandbox.jail.protocol import JOB, OUTCOME, REPLY, STARTED

__all__ = ["Lost", "Reply", "SandboxUnavailable", "Starter", "Worker"]

_ENVIRONMENT: Final = {"PYTHONHASHSEED": "0", "PYTHON_JIT": "0"}
_GRACE: Final = 0.4
"""Seconds beyond the deadline that the zygote, which ends the child at the deadline, may take to say so."""
_START: Final = 30.0
"""Seconds that a zygote may take to start."""


class SandboxUnavailable(RuntimeError):
    """The sandbox cannot be had on this machine, or not as isolated as was asked."""


class Lost(Exception):
    """The zygote went away or did not answer."""

    def __init__(self, why: str, *, late: bool) -> None:
        super().__init__(why)
        self.late = late
        """The run's time was over as well."""


class Reply(NamedTuple):
    """What came of a child."""

    data: bytes
    """The bytes it wrote."""
    status: int
    """Its wait status."""
    late: bool
    """It was ended at the deadline."""
    seconds: float
    """Wall time from its start to its end."""


class Starter:
    """A thread that starts processes, and then stays as long as they may live.

    The kernel ends a zygote when the thread that started it ends: so no killed host leaves one behind, not
    even a stopped one. Threads that ask for runs may come and go.
    """

    def __init__(self) -> None:
        self._orders: _Orders | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def start(self, command: list[str], stdin: int) -> subprocess.Popen[bytes]:
        """Start a process with nothing but one descriptor, in a session of its own.

        Raises
        ------
        OSError
            When the system cannot start it.
        """
        started: _Started = Future()
        with self._lock:
            if self._orders is None or self._thread is None or not self._thread.is_alive():
                self._orders = queue.SimpleQueue()
                self._thread = threading.Thread(
                    target=_obey, args=(self._orders,), name="sandbox-starter", daemon=True
                )
                self._thread.start()
            self._orders.put((command, stdin, started))
        return started.result()

    def close(self) -> None:
        """Let the thread end, and with it what it started."""
        with self._lock:
            if self._orders is not None:
                self._orders.put(None)
            self._orders = self._thread = None


_Started = Future[subprocess.Popen[bytes]]
_Orders = queue.SimpleQueue[tuple[list[str], int, _Started] | None]


def _obey(orders: _Orders) -> None:
    """Start what is ordered until there is None."""
    while (order := orders.get()) is not None:
        command, stdin, started = order
        try:
            process = subprocess.Popen(
                command,
                stdin=stdin,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env=_ENVIRONMENT,
                start_new_session=True,  # an interrupt at the terminal is the host's to handle
            )
        except OSError as error:
            started.set_exception(error)
        else:
            started.set_result(process)


class Worker:
    """A zygote, started when first needed and again after it was lost. Not for two threads at once.

    Parameters
    ----------
    starter
        Starts the process.
    layers
        Names of the layers to put around each child, `*` for all.
    memory_mb
        Memory of a child in the zygote's self-test.
    """

    def __init__(self, starter: Starter, layers: Collection[str], memory_mb: int) -> None:
        self._starter = starter
        self._layers = layers
        self._memory_mb = memory_mb
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._ending = threading.Lock()

    @property
    def pid(self) -> int | None:
        """Process id of the zygote if it takes jobs."""
        return self._process.pid if self._process and self._control else None

    def start(self) -> Found | None:
        """Start the zygote and give what it found; None if it is running.

        Raises
        ------
        SandboxUnavailable
            When it cannot be started.
        """
        if self._control is not None:
            return None
        ours, theirs = socket.socketpair()
        command = self._command()
        with theirs:
            try:
                self._process = self._starter.start(command, theirs.fileno())
            except OSError as error:
                ours.close()
                raise SandboxUnavailable(f"the sandbox process did not start: {error}") from None
        line = _greeting(ours)
        if not line.startswith(STARTED) or not line.endswith(b"\n"):
            ours.close()
            self.close()
            why = line.decode(errors="replace").strip() or f"run `{shlex.join(command)}` to see why"
            raise SandboxUnavailable(f"the sandbox process did not start: {why}")
        self._control = ours
        return Found.read(line.removeprefix(STARTED))

    def exchange(self, job: bytes, *, wall: float, cpu_seconds: int, memory_mb: int) -> Reply:
        """Have one child do a job; the zygote has been started.

        Raises
        ------
        Lost
            When the zygote went away or kept silent. It is no more, nor is its child.
        """
        end = time.monotonic() + wall + _GRACE
        control = self._control
        if control is None:
            raise Lost("the sandbox process ended", late=False)
        try:
            control.settimeout(wall + _GRACE)
            control.sendall(JOB.pack(len(job), wall, cpu_seconds, memory_mb) + job)
            size, status, late, seconds = REPLY.unpack(_receive(control, REPLY.size, end))
            return Reply(_receive(control, size, end), status, late, seconds)
        except TimeoutError:
            self.close()
            raise Lost("the sandbox process did not answer in time", late=True) from None
        except OSError as error:
            self.close()
            raise Lost(str(error) or type(error).__name__, late=False) from None

    def close(self) -> None:
        """End the zygote and its child at once, even a stopped one."""
        with self._ending:
            control, self._control = self._control, None
            process, self._process = self._process, None
        if control is not None:
            with suppress(OSError):
                control.shutdown(socket.SHUT_RDWR)  # wakes a thread that waits here
            control.close()
        if process is not None:
            with suppress(OSError):
                # The whole group. The zygote is not reaped yet, so the number is still its own.
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _command(self) -> list[str]:
        jail = Path(__file__).parent / "jail"
        found = importlib.util.find_spec("RestrictedPython")
        if found is None or found.origin is None:
            raise SandboxUnavailable(
                "RestrictedPython is not installed: pip install 'RestrictedPython>=9,<10'"
            )
        job = [",".join(self._layers), str(self._memory_mb), str(os.getpid())]
        folders = [str(Path(found.origin).parent.parent), str(jail.parent)]
        return [sys.executable, "-P", "-s", "-S", "-B", str(jail / "start.py"), *job, *folders]


def _greeting(control: socket.socket) -> bytes:
    """Read a zygote's first line, or what is there when it ends."""
    line = b""
    control.settimeout(_START)
    try:
        while not line.endswith(b"\n") and (part := control.recv(4096)):
            line += part
    except OSError as error:
        line = str(error).encode()
    return line


def _receive(control: socket.socket, size: int, end: float) -> bytes:
    if size > 2 * OUTCOME:
        raise ConnectionAbortedError("the sandbox process wrote more than it may")
    data = bytearray()
    while len(data) < size:
        control.settimeout(max(end - time.monotonic(), 0.001))
        part = control.recv(size - len(data))
        if not part:
            raise ConnectionResetError("the sandbox process ended")
        data += part
    return bytes(data)
