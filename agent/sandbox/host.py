"""Run or check a program in a fresh child: one JSON job in, one outcome back, whatever the program does.

The host never compiles or evaluates a program. It keeps a few zygotes, gives each job to an idle one, and
reads deadlines, deaths and bounded JSON as outcomes. It asks no model: that is the caller's part, between
two runs.
"""

from __future__ import annotations

import json
import os
import queue
import signal
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

from pydantic import PositiveFloat, PositiveInt

from aotd.agent.sandbox.outcome import Killed, Outcome, Refused
from aotd.agent.sandbox.wire import Malformed, Misfit, decode
from aotd.agent.sandbox.worker import Lost, Reply, SandboxUnavailable, Worker
from aotd.tools.api import ENTRY, wire
from aotd.traces.records import Reason, Record

__all__ = ["AnswerMisfit", "Inputs", "Limits", "Sandbox", "SandboxUnavailable"]

_PROGRAM: Final = 1024 * 1024
_JOB: Final = 16 * 1024 * 1024


class Limits(Record):
    """What one question's program may use."""

    wall_seconds: PositiveFloat = 10.0
    """Wall time of children, summed over the question's runs."""
    cpu_seconds: PositiveInt = 10
    """Processor time of one child."""
    memory_mb: PositiveInt = 512
    """Address space of one child."""
    output_kb: PositiveInt = 64
    """Text printed in one run."""
    calls: PositiveInt = 64
    """Calls of the API, local ones included."""


class Inputs(Record):
    """The entry function's arguments."""

    frames: tuple[int, ...]
    """Grid ids of the root clip."""
    query: str
    possible_answers: tuple[str, ...] | None


class AnswerMisfit(ValueError):
    """An answer given to a run is not of the kind that its call gives: the caller's fault."""


class Sandbox:
    """A few workers that run untrusted programs; may be used from many threads.

    Parameters
    ----------
    limits
        Limits of each program.
    workers
        Programs that run at the same time. Workers start when first needed.
    """

    def __init__(self, limits: Limits | None = None, *, workers: int = 2) -> None:
        if workers < 1:
            raise ValueError(f"workers={workers}: a sandbox needs at least one")
        self.limits = limits or Limits()
        self._all = tuple(Worker() for _ in range(workers))
        self._idle: queue.LifoQueue[Worker] = queue.LifoQueue()
        self._closed = False
        for worker in self._all:
            self._idle.put(worker)

    def run(
        self, program: str, inputs: Inputs, answers: Sequence[Mapping[str, Any]], *, spent: float = 0.0
    ) -> Outcome:
        """Run a program from the top with the answers known so far.

        Parameters
        ----------
        program
            Source text.
        inputs
            Arguments of `execute_command`.
        answers
            One per call that is not local, in order: `{"ok": value}` or `{"error": {"kind", "message"}}`. A
            clip is `{"$clip": {"frames": [...]}}`. Kind `EmptyClip` raises EmptyClip, any other ToolError.
        spent
            Seconds that earlier runs for the same question took.

        Returns
        -------
        Outcome
            NextCall at the first call without an answer, else how the program ended.

        Raises
        ------
        AnswerMisfit
            When an answer is not of the kind that its call gives.
        SandboxUnavailable
            When no child can be started on this machine.
        """
        return self._job(program, inputs, list(answers), self.limits.wall_seconds - spent)

    def check(self, program: str, inputs: Inputs) -> tuple[Reason, ...]:
        """Find why a program should not be run: syntax, policy, contract, and a dry run on stand-ins.

        The dry run refuses only for faults (NameError, TypeError, AttributeError) that arise under unlike
        answers; one that runs out of calls, time or memory says nothing.
        """
        outcome = self._job(program, inputs, None, self.limits.wall_seconds)
        return outcome.reasons if isinstance(outcome, Refused) else ()

    def close(self) -> None:
        """End all workers and what runs in them."""
        self._closed = True
        for worker in self._all:
            worker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _job(
        self, program: str, inputs: Inputs, answers: list[Mapping[str, Any]] | None, wall: float
    ) -> Outcome:
        if self._closed:
            raise RuntimeError("the sandbox is closed")
        if len(program) > _PROGRAM:
            return Refused(reasons=(Reason(line=None, kind="limits", message="the program is too long"),))
        if wall <= 0:
            return Killed(reason="timeout", message=f"the program took {self.limits.wall_seconds:g} seconds")
        job = _write(program, inputs, answers, self.limits)
        worker = self._idle.get()
        try:
            outcome = self._try(worker, job, wall, len(answers or ()))
            if isinstance(outcome, Killed) and outcome.reason == "lost":  # once more, in a fresh child
                outcome = self._try(worker, job, wall, len(answers or ()))
            return outcome
        finally:
            if self._closed:
                worker.close()
            self._idle.put(worker)

    def _try(self, worker: Worker, job: bytes, wall: float, answers: int) -> Outcome:
        limits = self.limits
        try:
            reply = worker.exchange(
                job, wall=wall, cpu_seconds=limits.cpu_seconds, memory_mb=limits.memory_mb
            )
        except Lost as error:
            if self._closed:
                raise RuntimeError("the sandbox was closed during a run") from None
            return Killed(reason="lost", message=str(error))
        return self._read(reply, answers)

    def _read(self, reply: Reply, answers: int) -> Outcome:
        """Read a reply: how the child died, then what it wrote."""
        killed = self._death(reply)
        if killed is not None:
            return killed
        try:
            outcome = decode(reply.data, answers, self.limits.calls)
        except Malformed as error:
            return Killed(reason="lost", message=f"the child's outcome cannot be read: {error}")
        if isinstance(outcome, Misfit):
            raise AnswerMisfit(outcome.message)
        if isinstance(outcome, Refused) or outcome.history is None:
            return outcome
        timed = outcome.history.model_copy(update={"seconds": reply.seconds})
        return outcome.model_copy(update={"history": timed})

    def _death(self, reply: Reply) -> Killed | None:
        """Say what ended a child that did not end itself."""
        limits = self.limits
        if reply.late:
            return Killed(reason="timeout", message=f"the program took {limits.wall_seconds:g} seconds")
        if reply.data:
            return None
        number = os.WTERMSIG(reply.status) if os.WIFSIGNALED(reply.status) else 0
        if number == signal.SIGXCPU:
            return Killed(
                reason="timeout", message=f"the program took {limits.cpu_seconds} processor seconds"
            )
        if number == signal.SIGKILL:
            return Killed(reason="memory", message="the system ended the child, most likely for its memory")
        how = f"signal {number}" if number else f"status {os.waitstatus_to_exitcode(reply.status)}"
        return Killed(reason="lost", message=f"the child ended by {how}")


def _write(program: str, inputs: Inputs, answers: list[Mapping[str, Any]] | None, limits: Limits) -> bytes:
    """Write a job; `answers` None asks for a check."""
    job = {
        "program": program,
        "inputs": inputs.model_dump(mode="json"),
        "answers": answers,
        "api": wire(),
        "entry": ENTRY,
        "calls": limits.calls,
        "output_bytes": limits.output_kb * 1024,
    }
    data = json.dumps(job, allow_nan=False).encode()
    if len(data) > _JOB:
        raise ValueError(f"the answers of one run are longer than {_JOB >> 20} MB")
    return data
