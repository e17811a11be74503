"""What runs programs, whatever runs them: one Protocol, and the records that go in.

Two things fit it: `aotd.agent.sandbox.host.Sandbox`, a confined process of CPython for each run, and
`aotd.agent.sandbox.monty.MontySandbox`, an interpreter of its own. What comes out is in `outcome.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

from pydantic import Field, PositiveFloat, PositiveInt

from aotd.agent.sandbox.isolation import DEFAULT, Isolation
from aotd.agent.sandbox.outcome import History, Outcome
from aotd.traces.records import Reason, Record

__all__ = ["AnswerMisfit", "Backend", "Inputs", "Limits"]


class Limits(Record):
    """How one question's program is run, and what it may use."""

    backend: Literal["process", "monty"] = "process"
    """What runs it: a confined process of CPython, or Monty, which is an extra and stands behind no walls."""
    wall_seconds: PositiveFloat = 10.0
    """Wall time of children, summed over the question's runs."""
    cpu_seconds: PositiveInt = 10
    """Processor time of one child."""
    memory_mb: int = Field(default=512, ge=64)
    """Address space of one child; the interpreter alone takes a good part of the least."""
    output_kb: PositiveInt = 64
    """Text printed in one run."""
    calls: PositiveInt = 64
    """Calls of the API, local ones included."""
    clips: PositiveInt = 64
    """Clips that calls give, local ones included."""
    frames: PositiveInt = 2048
    """Frames of the clips that calls ask models about, summed over the calls."""
    text_kb: PositiveInt = 256
    """Text in the arguments of all calls."""
    isolation: Isolation = DEFAULT
    """`strict` runs nothing unless a self-test shows that the walls hold; `best-effort` runs with the walls
    that there are; `none` limits memory and time only, for trusted programs. Every trace names what held."""


class Inputs(Record):
    """The entry function's arguments."""

    frames: tuple[int, ...]
    """Grid ids of the root clip."""
    query: str
    possible_answers: tuple[str, ...] | None


class AnswerMisfit(ValueError):
    """An answer given to a run is not of the kind that its call gives: the caller's fault.

    Parameters
    ----------
    message
        Which answer, and of what kind it must be.
    history
        What the program did up to the call.
    """

    def __init__(self, message: str, history: History) -> None:
        super().__init__(message)
        self.history = history


class Backend(Protocol):
    """Runs and checks untrusted programs; may be used from many threads."""

    @property
    def limits(self) -> Limits:
        """Limits of each program."""
        ...

    @property
    def active(self) -> tuple[str, ...]:
        """Names of what is around programs, as in `History.isolation`; empty where that is not known yet."""
        ...

    def run(
        self, program: str, inputs: Inputs, answers: Sequence[Mapping[str, Any]], *, spent: float = 0.0
    ) -> Outcome:
        """Run a program from the top with the answers known so far, as `Sandbox.run` says."""
        ...

    def check(self, program: str, inputs: Inputs) -> tuple[Reason, ...]:
        """Find why a program should not be run, as `Sandbox.check` says."""
        ...

    def close(self) -> None:
        """End what runs; nothing can be run afterwards."""
        ...
