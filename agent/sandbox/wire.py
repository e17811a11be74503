"""Turn the bytes that a child wrote into an outcome, trusting none of them.

Size, depth, number of nodes and odd numbers are bounded before the bytes are parsed; fields and their types
are validated strictly; calls are held against the API, so a child that lies about its rules gains nothing.
Nothing is unpickled, evaluated or repaired. Whose clips a call names is held against the table in `admit.py`.
"""

from __future__ import annotations

import json
import math
import re
from typing import Annotated, Any, Final, Literal

from pydantic import Field, TypeAdapter, ValidationError

from aotd.agent.sandbox.jail.arguments import DEPTH as LEVELS
from aotd.agent.sandbox.jail.arguments import INTEGER, ITEMS, SIZE, TEXT, controls
from aotd.agent.sandbox.jail.protocol import OUTCOME
from aotd.agent.sandbox.jail.text import MESSAGE
from aotd.agent.sandbox.outcome import (
    LINES,
    History,
    Killed,
    Made,
    NextCall,
    Outcome,
    Raised,
    Refused,
    Returned,
)
from aotd.tools.api import API, Function, Kind
from aotd.traces.records import Reason, Record

__all__ = ["DEPTH", "NODES", "Malformed", "Misfit", "bound", "decode", "hold"]

DEPTH: Final = 24
"""Levels of brackets; arguments take up to 16 of them."""

NODES: Final = 200_000
"""Brackets and commas, and again as many texts."""

_REASONS: Final = 100
_KINDS: Final = frozenset({"syntax", "limits", "policy", "contract", "dry-run"})
_ODD_NUMBER: Final = re.compile(rb"[NI]|[0-9]{25}")
_STRUCTURE: Final = b"[]{},"
_OTHER: Final = bytes(set(range(256)) - set(_STRUCTURE))


class Malformed(ValueError):
    """The bytes are no outcome that an honest child would write."""


class Misfit(Record):
    """An answer given to the run was not of the kind that the function gives."""

    outcome: Literal["misfit"]
    message: str = Field(max_length=MESSAGE)
    history: History
    """The call whose answer it was is the last."""


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
    bound(data)
    try:
        json.loads(data.decode(), object_pairs_hook=_once)  # a second value of a key would hide the first
        outcome = _SHAPE.validate_json(data, strict=True)
    except ValidationError as error:
        raise Malformed(f"{error.error_count()} faults in its fields") from None
    except ValueError:
        raise Malformed("it is no JSON, or a key stands in it twice") from None
    if isinstance(outcome, Refused):
        hold(outcome.reasons)
    elif isinstance(outcome, Killed) and not _fair(outcome.message):
        raise Malformed("its message is too long or does not print")
    if not isinstance(outcome, Refused) and outcome.history is not None:
        _honest(outcome, outcome.history, answers, limit)
    return outcome


def bound(data: bytes) -> None:
    """Bound what a parser would be given, in one pass over the bytes whatever they are."""
    if len(data) > OUTCOME:
        raise Malformed("it is too long")
    plain = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    if plain.count(b'"') > 2 * NODES:
        raise Malformed("it has too many texts")
    parts = plain.split(b'"')
    if not len(parts) % 2:
        raise Malformed("a text in it does not end")
    bare = b" ".join(parts[::2])
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


def _once(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("a key stands twice")


def hold(reasons: tuple[Reason, ...]) -> None:
    """Hold reasons against what a check may say."""
    if len(reasons) > _REASONS:
        raise Malformed("it gives too many reasons")
    for reason in reasons:
        if reason.kind not in _KINDS or not (_fair(reason.message) and _fair(reason.hint)):
            raise Malformed("it gives a reason that no check gives")
        if reason.line is not None and not 0 <= reason.line <= LINES:
            raise Malformed("it gives a reason for a line that is none")


def _fair(text: str) -> bool:
    return len(text) <= MESSAGE and text.isprintable()


def _honest(
    outcome: NextCall | Returned | Raised | Killed | Misfit, history: History, answers: int, limit: int
) -> None:
    """Hold the calls against the API, the numbers of calls and of answers."""
    made = list(history.calls)
    answered = sum(not call.local for call in made)
    if isinstance(outcome, NextCall):
        made.append(outcome.call)
        if outcome.call.local or answered != answers:
            raise Malformed("it pauses although answers are left")
    if answered > answers or len(made) > limit:
        raise Malformed("it made more calls than it could")
    if any(not 1 <= read.line <= LINES for read in history.reads):
        raise Malformed("it read a clip on a line that is none")
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
            raise Malformed(f"call {call.number} has a {name} of the wrong kind, or too much of it")
    if len(json.dumps(call.args, ensure_ascii=False, separators=(",", ":")).encode()) > SIZE:
        raise Malformed(f"call {call.number} has too much in its arguments")


def _fits(kind: Kind, value: Any, clips: set[str]) -> bool:
    if kind == "clip":
        return (
            isinstance(value, dict)
            and value.keys() == {"$clip"}
            and isinstance(value["$clip"], str)
            and value["$clip"] in clips
        )
    if kind == "dict":
        return isinstance(value, dict) and _is_plain(value, 1)
    match kind:
        case "str" | "str?":
            return _is_text(value)
        case "int?":
            return _is_integer(value)
        case "list[str]?":
            return value is None or _are_texts(value)
        case "str|list[str]":
            return _is_text(value) or _are_texts(value)
    return False


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= TEXT and not controls(value)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= ITEMS and all(map(_is_text, value))


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -INTEGER <= value < INTEGER


def _is_plain(value: Any, level: int) -> bool:
    """Tell whether a value is a scalar, a list of such values, or a dict written as `[[key, value], ...]`."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        pairs = value.get("$dict")
        if value.keys() != {"$dict"} or not isinstance(pairs, list) or not _is_room(pairs, level):
            return False
        return all(
            isinstance(pair, list) and len(pair) == 2 and _is_text(pair[0]) and _is_plain(pair[1], level + 1)
            for pair in pairs
        )
    if isinstance(value, list):
        return _is_room(value, level) and all(_is_plain(item, level + 1) for item in value)
    return value is None or isinstance(value, bool) or _is_text(value) or _is_integer(value)


def _is_room(items: list[Any], level: int) -> bool:
    return len(items) <= ITEMS and level <= LEVELS
