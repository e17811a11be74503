"""What one run of a program in the sandbox came to: five kinds of outcome, frozen.

These are the records the host hands on, and the child's outcome is validated into them field by field: text
that an honest child would have cut or cleaned is refused, not mended. This file neither starts nor talks to a
process.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, JsonValue, model_validator

from aotd.agent.sandbox.jail.answers import is_answer
from aotd.agent.sandbox.jail.recorder import READS, VARIABLES
from aotd.agent.sandbox.jail.text import MESSAGE, VARIABLE
from aotd.traces.records import Read, Reason, Record

__all__ = [
    "LINES",
    "Answer",
    "History",
    "Killed",
    "Made",
    "NextCall",
    "Outcome",
    "Raised",
    "Refused",
    "Returned",
]

LINES: Final = 100_000
"""No program has a line beyond."""


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("it holds characters that do not print")
    return text


_Line = Annotated[int, Field(ge=1, le=LINES)]
_Count = Annotated[int, Field(ge=1, lt=2**63)]
_Moment = Annotated[str, Field(pattern="^(?:end|[1-9][0-9]{0,4})$")]
_Name = Annotated[str, Field(min_length=1, max_length=80), AfterValidator(_printable)]
_Value = Annotated[str, Field(max_length=VARIABLE), AfterValidator(_printable)]
_Message = Annotated[str, Field(max_length=MESSAGE), AfterValidator(_printable)]
_Output = Annotated[str, Field(max_length=2000), AfterValidator(_printable)]

Answer = str | int | float | bool | list[str] | None
"""What a program may return."""


class Made(Record):
    """One call that the program made; numbers start at 1 and count local calls too."""

    number: int
    function: str
    args: dict[str, JsonValue]
    """By parameter name, omitted defaults left out. A clip is `{"$clip": "clipN"}`, a program's own dict is
    `{"$dict": [[key, value], ...]}`."""
    line: _Line
    """Line of the program, from 1."""
    local: bool
    """Computed inside the child (`trim`): it consumed no answer."""


class History(Record):
    """What the program did up to where the run stopped."""

    calls: tuple[Made, ...] = ()
    """Calls that were answered; the call at which a run paused is not among them."""
    reads: tuple[Read, ...] = Field(default=(), max_length=READS)
    lines: dict[_Line, _Count] = {}
    """Hits per program line."""
    variables: dict[_Moment, Annotated[dict[_Name, _Value], Field(max_length=VARIABLES)]] = {}
    """Program variables as text when call N was made, by N, the pending one too; `end` for the last state."""
    output: tuple[_Output, ...] = ()
    """What the program printed, by line, control characters escaped."""
    isolation: tuple[_Message, ...] = Field(default=(), max_length=64)
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

    @model_validator(mode="after")
    def _is_bounded(self) -> Self:
        shown = isinstance(self.answer, str) and len(self.answer) <= VARIABLE and self.answer.isprintable()
        if not (is_answer(self.answer) if self.parsable else shown):
            raise ValueError("it is no answer")
        return self


class Raised(Record):
    """The program ended by an exception that it did not catch."""

    outcome: Literal["raised"] = "raised"
    type: _Name
    message: _Message
    """The exception's first argument when that is a text or an integer, 300 characters at most."""
    line: _Line | None
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
