"""The commands `check` and `exec`: one program in the sandbox, answers by hand, JSON on standard output.

No model is asked and no video is opened; `exec` shows at which call a program stands.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from pydantic import JsonValue, TypeAdapter, ValidationError

from aotd.agent.sandbox.host import AnswerMisfit, Inputs, Limits, Sandbox
from aotd.agent.sandbox.isolation import DEFAULT, Isolation
from aotd.agent.sandbox.outcome import Killed, NextCall, Outcome, Raised, Refused, Returned
from aotd.cli.errors import UsageError
from aotd.traces.records import GRID, Record

__all__ = ["check", "exec_program"]

_EXAMPLE = Inputs(
    frames=tuple(range(GRID)),
    query="What did the person do before they opened the door?",
    possible_answers=("Took the cup.", "Closed the book.", "Sat on the sofa.", "Washed the dish."),
)


class _Span(Record):
    """The root clip: frames `start <= id < end` of a video's grid."""

    video: str
    start: int
    end: int


class _Inputs(Record):
    """The entry function's arguments as a user writes them."""

    video_clip: _Span
    query: str
    possible_answers: list[str] | None


class _Error(Record):
    """An error that a call raises."""

    kind: str
    message: str


class _Ok(Record):
    """A call's answer."""

    ok: JsonValue


class _Failed(Record):
    """A call's error."""

    error: _Error


_ANSWERS: TypeAdapter[list[_Ok | _Failed]] = TypeAdapter(list[_Ok | _Failed])


Walls = Annotated[str, typer.Option(help=f"How programs are confined: {', '.join(get_args(Isolation))}")]


def check(
    program: Annotated[Path, typer.Argument(help="File with a program.")], isolation: Walls = DEFAULT
) -> None:
    """Say whether a program may run: syntax, policy, contract and a dry run without models.

    Prints `{"ok", "reasons": [{"line", "kind", "message", "hint"}]}`. Exit 0 when ok, 1 when not, 2 when the
    file cannot be read.
    """
    source = _read(program)
    with _sandbox(isolation) as sandbox:
        reasons = sandbox.check(source, _EXAMPLE)
    print(json.dumps({"ok": not reasons, "reasons": [r.model_dump() for r in reasons]}, ensure_ascii=False))
    raise typer.Exit(1 if reasons else 0)


def exec_program(
    program: Annotated[Path, typer.Argument(help="File with a program.")],
    inputs: Annotated[
        str,
        typer.Option(
            help="File or JSON: video_clip {video, start, end}, query, possible_answers (a list or null)."
        ),
    ],
    answers: Annotated[
        str,
        typer.Option(
            help='File or JSON: a list of {"ok": value} or {"error": {kind, message}}, one per call.'
        ),
    ] = "[]",
    isolation: Walls = DEFAULT,
) -> None:
    """Run a program with the answers given, up to the first call without one.

    Prints one JSON object: outcome (next_call, returned, raised, refused or killed), line, function, args,
    answer, error, reason, calls (calls answered, local ones included) and isolation. Exit 0 for returned and
    next_call, 1 for the others, 2 when a file cannot be used.
    """
    source = _read(program)
    given = _inputs(_load(inputs, "--inputs"), _title(inputs, "--inputs"))
    known = _answers(_load(answers, "--answers"), _title(answers, "--answers"))
    try:
        with _sandbox(isolation) as sandbox:
            outcome = sandbox.run(source, given, known)
            active = sandbox.active
    except AnswerMisfit as error:
        raise UsageError(f"{_title(answers, '--answers')}: {error}") from None
    print(json.dumps(_describe(outcome, active), ensure_ascii=False))
    raise typer.Exit(0 if isinstance(outcome, (Returned, NextCall)) else 1)


def _describe(outcome: Outcome, active: Sequence[str]) -> dict[str, Any]:
    """Flatten an outcome; what does not apply is null."""
    flat: dict[str, Any] = dict.fromkeys(("line", "function", "args", "answer", "error", "reason"))
    match outcome:
        case NextCall(call=call):
            flat |= {"line": call.line, "function": call.function, "args": call.args}
        case Returned(answer=answer, parsable=parsable):
            flat |= {"answer": answer, "reason": None if parsable else "unparseable"}
        case Raised(line=line, type=kind, message=message):
            flat |= {"line": line, "error": {"type": kind, "message": message}}
        case Refused(reasons=reasons):
            first = reasons[0]
            flat |= {"line": first.line, "reason": f"{first.kind}: {first.message}"}
        case Killed(reason=reason, message=message):
            flat |= {"reason": reason, "error": {"type": reason, "message": message}}
    history = None if isinstance(outcome, Refused) else outcome.history
    walls = list(history.isolation if history else active)
    calls = len(history.calls) if history else 0
    return {"outcome": outcome.outcome, **flat, "calls": calls, "isolation": walls}


def _sandbox(isolation: str) -> Sandbox:
    """Make a sandbox with the walls that are asked for."""
    try:
        return Sandbox(Limits.model_validate({"isolation": isolation}), workers=1)
    except ValidationError:
        known = ", ".join(get_args(Isolation))
        raise UsageError(f"unknown isolation {isolation!r}: it is one of {known}") from None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"{path}: {why}") from None


def _title(given: str, option: str) -> str:
    """Name a value by its file, or by the option when it is JSON itself."""
    return option if given.lstrip()[:1] in ("{", "[") else f"{option} {given}"


def _load(given: str, option: str) -> Any:
    """Read JSON from a file, or from the text itself when it begins like JSON."""
    title = _title(given, option)
    text = given if title == option else _read(Path(given))
    try:
        return json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{title}: not JSON: {error}") from None


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is not a number")


def _inputs(value: Any, title: str) -> Inputs:
    try:
        given = _Inputs.model_validate(value, strict=True)
    except ValidationError as error:
        raise UsageError(f"{title}: {_first(error)}") from None
    clip = given.video_clip
    if not 0 <= clip.start <= clip.end <= GRID:
        raise UsageError(f"{title}: video_clip: start and end must be 0 <= start <= end <= {GRID}")
    options = None if given.possible_answers is None else tuple(given.possible_answers)
    return Inputs(frames=tuple(range(clip.start, clip.end)), query=given.query, possible_answers=options)


def _answers(value: Any, title: str) -> list[dict[str, Any]]:
    try:
        return [answer.model_dump() for answer in _ANSWERS.validate_python(value, strict=True)]
    except ValidationError as error:
        raise UsageError(f"{title}: {_first(error)}") from None


def _first(error: ValidationError) -> str:
    """Name the first field at fault and what is wrong with it."""
    fault = error.errors()[0]
    return f"{'.'.join(str(part) for part in fault['loc']) or 'value'}: {fault['msg']}"
