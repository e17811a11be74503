"""Programs in an interpreter of their own: Monty, a Python written in Rust, in place of a confined CPython.

Fits `Backend` as `Sandbox` does. There is no CPython in the worker to break out of and nothing of the
operating system within reach of a program, on Linux, macOS and Windows alike; but the worker is not confined
by the operating system, and its bytes are decoded by Monty's own library in the host. Needs the extra
`monty`. How outcomes differ from those of `Sandbox` is listed in `docs/security.md`.
"""

from __future__ import annotations

import datetime
import json
import os
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from types import TracebackType
from typing import Any, Final, Self

from aotd.agent.sandbox.admit import admit
from aotd.agent.sandbox.backend import Inputs, Limits
from aotd.agent.sandbox.jail import standins
from aotd.agent.sandbox.jail.arguments import Function
from aotd.agent.sandbox.jail.calls import Source, replay
from aotd.agent.sandbox.jail.protocol import OUTCOME
from aotd.agent.sandbox.outcome import Killed, Outcome, Raised, Refused
from aotd.agent.sandbox.reader import Reading, Unread, read
from aotd.agent.sandbox.wire import Malformed, decode
from aotd.tools.api import API
from aotd.traces.records import Reason

try:
    import pydantic_monty
except ModuleNotFoundError:
    message = "sandbox.backend=monty needs pydantic-monty: pip install 'aotd[monty]'"
    raise ModuleNotFoundError(message) from None

from aotd.agent.sandbox.monty_run import TURNS, Run

__all__ = ["HEAP_MB", "MontySandbox"]

HEAP_MB: Final = 64
"""Most memory of a program, whatever its limit: arguments of calls reach the host at their full size."""

_GRACE: Final = 0.4
_READINGS: Final = 256
_FAULTS: Final = frozenset({"NameError", "UnboundLocalError", "TypeError", "AttributeError"})
_MISSING: Final = frozenset({"ImportError", "ModuleNotFoundError"})
_FUNCTIONS: Final[dict[str, Function]] = {
    f.name: {
        "name": f.name,
        "parameters": [{"name": p.name, "kind": p.kind, "required": p.required} for p in f.parameters],
        "returns": f.returns,
        "local": f.local,
    }
    for f in API.values()
}
_POLICY: Final[pydantic_monty.OSPolicy] = {
    "datetime": datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC),
    "sleep": "zero",
    "random_start": {"seed": 0},
}
"""Nothing that differs from one run to the next, or a run could not be repeated."""


class MontySandbox:
    """A pool of Monty workers, a fresh one for each run; may be used from many threads.

    Parameters
    ----------
    limits
        Limits of each program.
    workers
        Programs that run at the same time.

    Raises
    ------
    ValueError
        If the limits ask for walls of the operating system, which are not put around Monty.
    """

    def __init__(self, limits: Limits | None = None, *, workers: int = 2) -> None:
        if workers < 1:
            raise ValueError(f"workers={workers}: a sandbox needs at least one")
        self.limits = limits or Limits(isolation="best-effort")
        if self.limits.isolation == "strict":
            raise ValueError(
                "sandbox.backend=monty has no walls of the operating system, which sandbox.isolation=strict "
                "demands; set sandbox.isolation=best-effort"
            )
        self._read = lru_cache(_READINGS)(read)
        self._busy: set[int] = set()
        self._lock = threading.Lock()
        self._closed = False
        self._pool = pydantic_monty.Monty(
            max_processes=workers,
            max_checkouts_per_worker=1,
            request_timeout=self.limits.wall_seconds + _GRACE,
            feed_duration_limit_grace=_GRACE,
        )
        self._pool.__enter__()

    def run(
        self, program: str, inputs: Inputs, answers: Sequence[Mapping[str, Any]], *, spent: float = 0.0
    ) -> Outcome:
        """Run a program from the top with the answers known so far.

        Parameters, outcomes and errors are those of `Sandbox.run`; a name that no program has is refused
        before the run rather than raised during it.
        """
        wall = self.limits.wall_seconds - spent
        reading = self._reading(program)
        if isinstance(reading, Killed):
            return reading
        if reading.unfit:
            return Refused(reasons=reading.unfit)
        if wall <= 0:
            return Killed(reason="timeout", message=f"the program took {self.limits.wall_seconds:g} seconds")
        known = [dict(answer) for answer in answers]
        text = reading.text(program)
        outcome = self._run(text, inputs, known, replay(known), wall)
        if isinstance(outcome, Killed) and outcome.reason == "lost":  # once more, in a fresh worker
            outcome = self._run(text, inputs, known, replay(known), wall)
        return outcome

    def check(self, program: str, inputs: Inputs) -> tuple[Reason, ...]:
        """Find why a program should not be run, as `Sandbox.check` does.

        The dry run refuses only for a fault that it meets at one line whatever the answers are: which lines
        were passed without a fault cannot be told.
        """
        reading = self._reading(program)
        if isinstance(reading, Killed):
            return (Reason(line=None, kind="limits", message=reading.message),)
        if reading.reasons:
            return reading.reasons
        text = reading.text(program)
        met: list[Reason] = []
        for stand_in in (standins.rich(), standins.lean(), standins.blind()):
            given: list[dict[str, Any]] = []
            outcome = self._run(text, inputs, given, _keeping(stand_in, given), self.limits.wall_seconds)
            if isinstance(outcome, Refused):
                return outcome.reasons
            if not isinstance(outcome, Raised) or not _is_fault(outcome):
                return ()
            told = f"{outcome.type}: {outcome.message}"
            hint = "it comes about whenever this line is reached"
            met.append(Reason(line=outcome.line, kind="dry-run", message=told, hint=hint))
        return (met[0],) if len({reason.line for reason in met}) == 1 else ()

    def close(self) -> None:
        """End all workers and what runs in them."""
        with self._lock:
            self._closed = True
            for pid in self._busy:
                with suppress(OSError):
                    os.kill(pid, signal.SIGTERM)
        self._pool.__exit__(None, None, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _reading(self, program: str) -> Reading | Killed:
        if self._closed:
            raise RuntimeError("the sandbox is closed")
        try:
            return self._read(program)
        except Unread as error:
            return Killed(reason="lost", message=str(error))

    def _run(
        self, text: str, inputs: Inputs, answers: list[dict[str, Any]], source: Source, wall: float
    ) -> Outcome:
        """Run once in a fresh worker; `answers` are those that the source gives, or has given at the end."""
        begin = time.monotonic()
        run = Run(text, _FUNCTIONS, source, self.limits, begin + wall)
        found = self._drive(run, inputs, wall)
        if self._closed:
            raise RuntimeError("the sandbox was closed during a run")
        if found["outcome"] != "refused":
            found = found | {"history": run.history()}
        data = json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        if len(data) > OUTCOME:
            return Killed(reason="output", message="the record of the run is too long")
        try:
            read_back = decode(data, len(answers), self.limits.calls)
            outcome = admit(read_back, inputs.frames, answers, self.limits)
        except Malformed as error:
            return Killed(reason="lost", message=f"the outcome cannot be read: {error}")
        if isinstance(outcome, Refused) or outcome.history is None:
            return outcome
        known = {"seconds": time.monotonic() - begin, "isolation": self.active}
        return outcome.model_copy(update={"history": outcome.history.model_copy(update=known)})

    @property
    def active(self) -> tuple[str, ...]:
        """What is around programs, as in `History.isolation`."""
        return (f"monty {pydantic_monty.__version__}", "process", "heap-limit", "time-limit", "language")

    def _drive(self, run: Run, inputs: Inputs, wall: float) -> dict[str, Any]:
        limits: pydantic_monty.ResourceLimits = {
            "max_feed_duration_secs": min(wall, self.limits.cpu_seconds),
            "max_memory": min(self.limits.memory_mb, HEAP_MB) << 20,
            "max_suspensions": TURNS + 10,
        }
        checkout = self._pool.checkout(limits=limits, os_policy=_POLICY, assert_message_annotations=False)
        with checkout as session:
            pid = session.worker_pid
            with self._lock:
                if self._closed:
                    raise RuntimeError("the sandbox is closed")
                if pid is not None:
                    self._busy.add(pid)
            try:
                return run.drive(session, inputs)
            finally:
                with self._lock:
                    self._busy -= {pid or 0}


def _is_fault(outcome: Raised) -> bool:
    """Tell a fault of the program, or of Python that is missing, from what other answers would mend."""
    if outcome.type == "NotImplementedError":
        return "suspend" in outcome.message
    return outcome.type in _FAULTS | _MISSING


def _keeping(source: Source, given: list[dict[str, Any]]) -> Source:
    """Give a source's answers and keep them."""

    def answer(function: Function, bound: dict[str, Any]) -> dict[str, Any] | None:
        found = source(function, bound)
        given.extend([found] if found else [])
        return found

    return answer
