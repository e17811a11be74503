"""One zygote process seen from the host: start it, give it a job, wait for the reply, end it.

Moves bytes only. What a reply means is decided in `host.py`.
"""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from aotd.agent.sandbox.jail.protocol import JOB, REPLY, STARTED

__all__ = ["Lost", "Reply", "SandboxUnavailable", "Worker"]

_ENVIRONMENT: Final = {"PYTHONHASHSEED": "0", "PYTHON_JIT": "0"}
_GRACE: Final = 5.0
"""Seconds beyond the deadline that the zygote may take to answer."""
_START: Final = 30.0
"""Seconds that a zygote may take to start."""


class SandboxUnavailable(RuntimeError):
    """The sandbox process cannot be started on this machine."""


class Lost(Exception):
    """The zygote went away or did not answer."""


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


class Worker:
    """A zygote, started when first needed and again after it was lost. Not for two threads at once."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    @property
    def pid(self) -> int | None:
        """Process id of the running zygote."""
        return self._process.pid if self._process else None

    def exchange(self, job: bytes, *, wall: float, cpu_seconds: int, memory_mb: int) -> Reply:
        """Have one child do a job.

        Raises
        ------
        Lost
            When the zygote went away; the next exchange starts another.
        SandboxUnavailable
            When it cannot be started.
        """
        control = self._control or self._start()
        try:
            control.settimeout(wall + _GRACE)
            control.sendall(JOB.pack(len(job), wall, cpu_seconds, memory_mb) + job)
            size, status, late, seconds = REPLY.unpack(_receive(control, REPLY.size))
            return Reply(_receive(control, size), status, late, seconds)
        except OSError as error:
            self.close()
            raise Lost(str(error) or type(error).__name__) from None

    def close(self) -> None:
        """End the zygote and its child."""
        control, self._control = self._control, None
        process, self._process = self._process, None
        if control is not None:
            with suppress(OSError):
                control.shutdown(socket.SHUT_RDWR)  # wakes a thread that waits here, and the zygote
            control.close()
        if process is not None:
            try:
                process.wait(1)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(self) -> socket.socket:
        """Start a zygote on the far end of a socket pair."""
        ours, theirs = socket.socketpair()
        jail = Path(__file__).parent / "jail"
        command = [
            sys.executable,
            "-P",
            "-s",
            "-S",
            "-B",
            str(jail / "start.py"),
            _library(),
            str(jail.parent),
        ]
        with theirs:
            self._process = subprocess.Popen(
                command,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env=_ENVIRONMENT,
                start_new_session=True,  # an interrupt at the terminal is the host's to handle
            )
        self._control = ours
        ours.settimeout(_START)
        line = b""
        try:
            while not line.endswith(b"\n") and (part := ours.recv(4096)):
                line += part
        except OSError as error:
            line = str(error).encode()
        if line != STARTED:
            self.close()
            why = line.decode(errors="replace").strip() or f"run `{' '.join(command)}` to see why"
            raise SandboxUnavailable(f"the sandbox process did not start: {why}")
        return ours


def _receive(control: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = control.recv(size - len(data))
        if not part:
            raise ConnectionResetError("the sandbox process ended")
        data += part
    return bytes(data)


def _library() -> str:
    """Folder that holds RestrictedPython."""
    found = importlib.util.find_spec("RestrictedPython")
    if found is None or found.origin is None:
        raise SandboxUnavailable("RestrictedPython is not installed: pip install 'RestrictedPython>=9,<10'")
    return str(Path(found.origin).parent.parent)
