"""Turn the bytes that a child wrote into an outcome, trusting none of them.

Size, depth, number of nodes and odd numbers are bounded before the bytes are parsed; fields and their types
are validated strictly; calls are held against the API, so a child that lies about its rules gains nothing.
Nothing is unpickled, evaluated or repaired.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import Field, TypeAdapter, ValidationError

from aotd.agent.sandbox.jail.protocol import OUTCOME
from aotd.agent.sandbox.outcome import Killed, Made, NextCall, Outcome, Raised, Refused, Returned
from aotd.tools.api import API, Function, Kind
from aotd.traces.records import Record

__all__ = ["DEPTH", "NODES", "Malformed", "Misfit", "decode"]

DEPTH: Final = 24
"""Levels of brackets; arguments take up to 16 of them."""

NODES: Final = 200_000
"""Brackets and commas."""

_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_ODD_NUMBER: Final = re.compile(rb"[NI]|[0-9]{25}")
_STRUCTURE: Final = b"[]{},"
_OTHER: Final = bytes(set(range(256)) - set(_STRUCTURE))


class Malformed(ValueError):
    """The bytes are no outcome that an honest child would write."""


class Misfit(Record):
    """An answer given to the run was not of the kind that the function gives."""

    outcome: Literal["misfit"]
    message: str
    history: Any = None


_SHAPE: TypeAdapter[Outcome | Misfit] = TypeAdapter(
    Annotated[NextCall | Returned | Raised | Refused | Killed | Misfit, Field(discriminator="outcome")]
)


def decode(data: bytes, answers: int, limit: int) -> Outcome | Misfit:
    """Validate a child's outcome.

    Parameters
    ----------
    data
        What the child wrote.
    answers
        Number of answers the run was given.
    limit
        Number of calls it was allowed.

    Raises
    ------
    Malformed
        When anything about it is not as it must be.
    """
    _bounded(data)
    try:
        outcome = _SHAPE.validate_json(data, strict=True)
    except ValidationError as error:
        raise Malformed(f"{error.error_count()} faults in its fields") from None
    if not isinstance(outcome, (Refused, Misfit)) and outcome.history is not None:
        _honest(outcome, answers, limit)
    return outcome


def _bounded(data: bytes) -> None:
    """Bound what a parser would be given."""
    if len(data) > OUTCOME:
        raise Malformed("it is too long")
    bare = _STRING.sub(b"", data)
    if _ODD_NUMBER.search(bare):
        raise Malformed("it holds a number that is none")
    structure = bare.translate(None, _OTHER)
    if len(structure) > NODES:
        raise Malformed("it has too many parts")
    depth = 0
    for sign in structure:
        depth += (sign in b"[{") - (sign in b"]}")
        if depth > DEPTH:
            raise Malformed("it is nested too deeply")


def _honest(outcome: NextCall | Returned | Raised | Killed, answers: int, limit: int) -> None:
    """Hold the calls against the API, the numbers of calls and of answers."""
    history = outcome.history
    made = list(history.calls) if history is not None else []
    answered = sum(not call.local for call in made)
    if isinstance(outcome, NextCall):
        made.append(outcome.call)
        if outcome.call.local or answered != answers:
            raise Malformed("it pauses although answers are left")
    if answered > answers or len(made) > limit:
        raise Malformed("it made more calls than it could")
    gave = {"clip0"}
    for number, call in enumerate(made, 1):
        function = API.get(call.function)
        if function is None or call.number != number or call.local != function.local:
            raise Malformed(f"call {number} is not one of the API")
        _check_arguments(call, function, gave)
        if function.returns == "clip":
            gave.add(f"clip{number}")


def _check_arguments(call: Made, function: Function, clips: set[str]) -> None:
    parameters = {p.name: p for p in function.parameters}
    missing = [p.name for p in function.parameters if p.required and p.name not in call.args]
    if missing or not parameters.keys() >= call.args.keys():
        raise Malformed(f"call {call.number} has the wrong arguments")
    for name, value in call.args.items():
        if not _fits(parameters[name].kind, value, clips):
            raise Malformed(f"call {call.number} has a {name} of the wrong kind")


def _fits(kind: Kind, value: Any, clips: set[str]) -> bool:
    if kind == "clip":
        return isinstance(value, dict) and value.keys() == {"$clip"} and value["$clip"] in clips
    if kind == "dict":
        return isinstance(value, dict) and value.keys() == {"$dict"} and _pairs(value["$dict"])
    texts = isinstance(value, list) and all(isinstance(item, str) for item in value)
    match kind:
        case "str" | "str?":
            return isinstance(value, str)
        case "int?":
            return isinstance(value, int) and not isinstance(value, bool)
        case "list[str]?":
            return texts or value is None
        case "str|list[str]":
            return texts or isinstance(value, str)
    return False


def _pairs(value: Any) -> bool:
    """Tell whether a value is `[[key, plain], ...]`."""
    return isinstance(value, list) and all(
        isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) and _is_plain(pair[1])
        for pair in value
    )


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return value.keys() == {"$dict"} and _pairs(value["$dict"])
    return not isinstance(value, list) or all(_is_plain(item) for item in value)
