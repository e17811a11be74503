"""What one run of a program in the sandbox came to: five kinds of outcome, frozen.

These are the records the host hands on, and the child's outcome is validated into them field by field.
This file neither starts nor talks to a process.
"""

from __future__ import annotations

from typing import Literal

from pydantic import JsonValue

from aotd.traces.records import Read, Reason, Record

__all__ = ["Answer", "History", "Killed", "Made", "NextCall", "Outcome", "Raised", "Refused", "Returned"]

Answer = str | int | float | bool | list[str] | None
"""What a program may return."""


class Made(Record):
    """One call that the program made; numbers start at 1 and count local calls too."""

    number: int
    function: str
    args: dict[str, JsonValue]
    """By parameter name, omitted defaults left out. A clip is `{"$clip": "clipN"}`, a program's own dict is
    `{"$dict": [[key, value], ...]}`."""
    line: int
    """Line of the program, from 1."""
    local: bool
    """Computed inside the child (`trim`): it consumed no answer."""


class History(Record):
    """What the program did up to where the run stopped."""

    calls: tuple[Made, ...] = ()
    """Calls that were answered; the call at which a run paused is not among them."""
    reads: tuple[Read, ...] = ()
    lines: dict[int, int] = {}
    """Hits per program line."""
    variables: dict[str, dict[str, str]] = {}
    """Program variables as text when call N was made, by N, the pending one too; `end` for the last state."""
    output: tuple[str, ...] = ()
    """What the program printed, by line, control characters escaped."""
    isolation: tuple[str, ...] = ()
    """Sandbox layers that were active."""
    seconds: float = 0.0
    """Wall time of this run's child."""


class NextCall(Record):
    """The program called a function whose answer is not among those given."""

    outcome: Literal["next_call"] = "next_call"
    call: Made
    history: History


class Returned(Record):
    """The program returned."""

    outcome: Literal["returned"] = "returned"
    answer: Answer
    """None when the program returned None; the value as text when it is not `parsable`."""
    parsable: bool = True
    """False when the value was no text, number, truth value or list of texts."""
    history: History


class Raised(Record):
    """The program ended by an exception that it did not catch."""

    outcome: Literal["raised"] = "raised"
    type: str
    message: str
    """The exception's first argument when that is a text or an integer, 300 characters at most."""
    line: int | None
    history: History


class Refused(Record):
    """The program was not run."""

    outcome: Literal["refused"] = "refused"
    reasons: tuple[Reason, ...]
    """In order of lines; kinds are `syntax`, `limits`, `policy`, `contract` and `dry-run`."""


class Killed(Record):
    """The run was ended from outside the program."""

    outcome: Literal["killed"] = "killed"
    reason: Literal["timeout", "memory", "budget", "output", "lost"]
    message: str
    history: History | None = None
    """None when the child could not tell."""


Outcome = NextCall | Returned | Raised | Refused | Killed
