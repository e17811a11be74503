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
import time
from collections.abc import Collection, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

from aotd.agent.sandbox.admit import admit
from aotd.agent.sandbox.backend import AnswerMisfit, Inputs, Limits
from aotd.agent.sandbox.isolation import Layer, active, objection, wanted
from aotd.agent.sandbox.outcome import Killed, Outcome, Refused
from aotd.agent.sandbox.wire import Malformed, decode
from aotd.agent.sandbox.worker import Lost, Reply, SandboxUnavailable, Starter, Worker
from aotd.tools.api import ENTRY, wire
from aotd.traces.records import Reason

__all__ = ["AnswerMisfit", "Inputs", "Limits", "Sandbox", "SandboxUnavailable"]

_PROGRAM: Final = 1024 * 1024
_JOB: Final = 16 * 1024 * 1024


class Sandbox:
    """A few workers that run untrusted programs; may be used from many threads.

    Parameters
    ----------
    limits
        Limits of each program.
    workers
        Programs that run at the same time. Workers start when first needed.
    layers
        Names of the operating system's layers to put up; by default those of the limits' isolation. With
        fewer, `strict` still demands that its self-test passes.
    """

    def __init__(
        self, limits: Limits | None = None, *, workers: int = 2, layers: Collection[str] | None = None
    ) -> None:
        if workers < 1:
            raise ValueError(f"workers={workers}: a sandbox needs at least one")
        self.limits = limits or Limits()
        self._starter = Starter()
        names = wanted(self.limits.isolation) if layers is None else layers
        self._all = tuple(Worker(self._starter, names, self.limits.memory_mb) for _ in range(workers))
        self._layers: tuple[Layer, ...] = ()
        self._active: tuple[str, ...] = ()
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

    def layers(self) -> tuple[Layer, ...]:
        """Give the operating system's layers, each with why it is not active if it is not.

        Raises
        ------
        SandboxUnavailable
            When no child can be started on this machine, or not as isolated as the limits ask.
        """
        if not self._active:
            worker = self._idle.get()
            try:
                self._start(worker)
            finally:
                self._idle.put(worker)
        return self._layers

    @property
    def active(self) -> tuple[str, ...]:
        """Names of what is around programs, as in `History.isolation`; empty before the first run."""
        return self._active

    def close(self) -> None:
        """End all workers and what runs in them."""
        self._closed = True
        for worker in self._all:
            worker.close()
        self._starter.close()

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
            begun = time.monotonic()
            outcome, again = self._try(worker, job, wall, inputs, answers or [])
            left = wall - (time.monotonic() - begun)
            if again and left > 0:  # once more, in a fresh child and in what is left of the time
                outcome, _ = self._try(worker, job, left, inputs, answers or [])
            return outcome
        finally:
            if self._closed:
                worker.close()
                self._starter.close()
            self._idle.put(worker)

    def _try(
        self, worker: Worker, job: bytes, wall: float, inputs: Inputs, answers: Sequence[Mapping[str, Any]]
    ) -> tuple[Outcome, bool]:
        """Run a job once; also tell whether it was lost for no fault of its own and has time for another."""
        self._start(worker)
        limits = self.limits
        try:
            reply = worker.exchange(
                job, wall=wall, cpu_seconds=limits.cpu_seconds, memory_mb=limits.memory_mb
            )
        except Lost as error:
            if self._closed:
                raise RuntimeError("the sandbox was closed during a run") from None
            return Killed(reason="lost", message=str(error)), not error.late
        outcome = self._read(reply, inputs, answers)
        return outcome, isinstance(outcome, Killed) and outcome.reason == "lost"

    def _start(self, worker: Worker) -> None:
        """Start a worker if it is not running, and refuse one that does not hold."""
        try:
            found = worker.start()
        except SandboxUnavailable:
            if self._closed:
                raise RuntimeError("the sandbox was closed during a run") from None
            raise
        if self._closed:
            worker.close()
            raise RuntimeError("the sandbox was closed during a run")
        if found is None:
            return
        isolation = self.limits.isolation
        if objected := objection(isolation, found):
            worker.close()
            raise SandboxUnavailable(objected)
        self._layers, self._active = found.layers, active(isolation, found)

    def _read(self, reply: Reply, inputs: Inputs, answers: Sequence[Mapping[str, Any]]) -> Outcome:
        """Read a reply: how the child died, then what it wrote."""
        killed = self._death(reply)
        if killed is not None:
            return killed
        try:
            found = decode(reply.data, len(answers), self.limits.calls)
            outcome = admit(found, inputs.frames, answers, self.limits)
        except Malformed as error:
            return Killed(reason="lost", message=f"the child's outcome cannot be read: {error}")
        if isinstance(outcome, Refused) or outcome.history is None:
            return outcome
        known = {"seconds": reply.seconds, "isolation": self._active}  # not the child's to say
        return outcome.model_copy(update={"history": outcome.history.model_copy(update=known)})

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
        if number == signal.SIGSYS:
            return Killed(reason="lost", message="the system ended the child for a call that is not allowed")
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
