"""Where models run, and whose turn it is.

A GPU runs one batch at a time whichever model it belongs to: models that share it share one `Device`. A
server that batches for itself is a device of its own with as many lanes as it may be asked at once. A free
lane is given at once; when several models wait for one, the model whose queue is fullest for its batch size
goes first, unless another was passed over too often. This file knows nothing of requests or models.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Protocol, Self

__all__ = ["Device", "Devices", "Line"]

PASSED_OVER: Final = 16
"""Turns that others may take before a waiting line goes first, however short it is."""


class Line(Protocol):
    """Requests that wait for one model."""

    @property
    def fill(self) -> float:
        """Waiting requests over the model's batch size."""
        ...


@dataclass(eq=False)
class _Waiting:
    line: Line
    granted: asyncio.Future[None]
    passed: int = 0

    @property
    def rank(self) -> tuple[int, float]:
        return max(self.passed - PASSED_OVER, -1), self.line.fill


class Device:
    """Threads for models, and the turns on them; for use by one event loop at a time.

    Parameters
    ----------
    threads
        Runs the models; needs as many workers as there are lanes.
    lanes
        Batches that may run at once.
    """

    def __init__(self, threads: Executor, lanes: int = 1) -> None:
        self.threads = threads
        self.lanes = lanes
        self._free = lanes
        self._waiting: list[_Waiting] = []

    @asynccontextmanager
    async def turn(self, line: Line) -> AsyncIterator[None]:
        """Hold a lane for one batch of `line`; what the batch holds is best decided inside."""
        await self._enter(line)
        try:
            yield
        finally:
            self._leave()

    async def _enter(self, line: Line) -> None:
        if self._free:
            self._free -= 1
            return
        waiting = _Waiting(line, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        try:
            await waiting.granted
        except asyncio.CancelledError:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
            else:  # the turn came together with the cancellation: hand it on
                self._leave()
            raise

    def _leave(self) -> None:
        # One whose task was cancelled stays listed until that task wakes up.
        waiting = [w for w in self._waiting if not w.granted.done()]
        if not waiting:
            self._free += 1
            return
        chosen = max(waiting, key=lambda w: w.rank)
        self._waiting.remove(chosen)
        for other in self._waiting:
            other.passed += 1
        chosen.granted.set_result(None)


class Devices:
    """The devices of a run by name, each with a thread of its own; ended with the `with` block."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._devices: dict[str, Device] = {}

    def of(self, name: str) -> Device:
        """Give the device of a name such as `cuda:1`; models that name the same one share it."""
        name = "cuda:0" if name == "cuda" else name
        if name not in self._devices:
            threads = self._stack.enter_context(ThreadPoolExecutor(1, name))
            self._devices[name] = Device(threads)
        return self._devices[name]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
