"""A clock that jumps: an asyncio loop and threads in which waiting takes no time.

When nothing is left to do before the next timer, the loop's time jumps to it, so hours of waiting pass at
once, and the same way every time. A program in which everyone waits for everyone raises instead of hanging.
Real threads, sockets and child processes know nothing of this clock.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, Future
from typing import Any, ParamSpec, TypeVar

__all__ = ["Stuck", "VirtualLoop", "VirtualThreads", "run"]

Params = ParamSpec("Params")
Result = TypeVar("Result")


class Stuck(RuntimeError):
    """Nothing is left that could go on: a deadlock."""


class _Jumping(selectors.SelectSelector):
    """Waits for nothing: moves the clock to when the wait would have ended."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if not events:
            if timeout is None:
                raise Stuck("every task waits and no timer is set")
            self.now += max(timeout, 0.0)
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual seconds."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Return the virtual seconds since the loop was made."""
        return self._jumping.now


class VirtualThreads(Executor):
    """Threads on which work takes the virtual seconds that it says it takes.

    The work is done at once; its result arrives after as many seconds as it spent.
    """

    def __init__(self) -> None:
        self._spent = 0.0

    def spend(self, seconds: float) -> None:
        """Say, from within the work, that so much time passes."""
        self._spent += seconds

    def submit(
        self, fn: Callable[Params, Result], /, *args: Params.args, **kwargs: Params.kwargs
    ) -> Future[Result]:
        """Do the work and let its result arrive when its time has passed."""
        future: Future[Result] = Future()
        self._spent = 0.0
        try:
            result = fn(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - it is raised where the result is awaited
            asyncio.get_running_loop().call_later(self._spent, _fail, future, error)
        else:
            asyncio.get_running_loop().call_later(self._spent, _finish, future, result)
        return future


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine on a virtual clock of its own."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def _finish(future: Future[Result], result: Result) -> None:
    if future.set_running_or_notify_cancel():
        future.set_result(result)


def _fail(future: Future[Result], error: Exception) -> None:
    if future.set_running_or_notify_cancel():
        future.set_exception(error)
