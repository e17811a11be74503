"""The program's functions as it sees them: each call is answered from the answers at hand, or ends the run.

`trim` is computed here; everything else comes from the host. The run ends inside the call itself, by
`finish`, so that no `except` or `finally` of the program can get in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NoReturn, Protocol

from .arguments import Function, bind, encode, escape
from .clips import Clip, EmptyClip, ToolError, trim
from .text import MESSAGE, clean

__all__ = ["Calls", "Keeper", "Source", "fits", "replay"]


class Source(Protocol):
    """Where answers come from."""

    def __call__(self, function: Function, bound: dict[str, Any], /) -> dict[str, Any] | None:
        """Answer with `{"ok": value}` or `{"error": {"kind", "message"}}`; None if there is no answer."""
        ...


class Keeper(Protocol):
    """Where calls are kept, such as the recorder."""

    calls: list[dict[str, object]]

    def state(self, number: int) -> int:
        """Keep what there is to keep of the moment at which call `number` is made, and give its line."""
        ...


def replay(answers: list[dict[str, Any]]) -> Source:
    """Give known answers in order."""
    left: Iterator[dict[str, Any]] = iter(answers)
    return lambda _function, _bound: next(left, None)


class Calls:
    """The calls of one run.

    Parameters
    ----------
    recorder
        Keeps the calls.
    source
        Answers all but local calls.
    limit
        Number of calls that may be made.
    finish
        Ends the run at once with an outcome; never returns.
    """

    def __init__(
        self, recorder: Keeper, source: Source, limit: int, finish: Callable[[dict[str, Any]], NoReturn]
    ) -> None:
        self._recorder = recorder
        self._source = source
        self._limit = limit
        self._finish = finish
        self._answered = 0

    def call(self, function: Function, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Make a call: check, record, answer or finish."""
        bound = bind(function, args, named)
        encoded = encode(function, bound)
        number = len(self._recorder.calls) + 1
        if number > self._limit:
            text = f"the program made more than {self._limit} calls"
            self._finish({"outcome": "killed", "reason": "budget", "message": text})
        line = self._recorder.state(number)
        made = {"number": number, "function": function["name"], "args": encoded, "line": line}
        made["local"] = function["local"]
        if function["local"]:
            self._recorder.calls.append(made)
            return Clip(number, trim(bound["clip"].frames, bound.get("start"), bound.get("end")))
        answer = self._source(function, bound)
        if answer is None:
            self._finish({"outcome": "next_call", "call": made})
        self._recorder.calls.append(made)
        self._answered += 1
        return self._value(function, answer, number)

    def _value(self, function: Function, answer: dict[str, Any], number: int) -> Any:
        """Give an answer's value or raise its error."""
        if "error" in answer:
            kind, message = str(answer["error"]["kind"]), clean(str(answer["error"]["message"]), MESSAGE)
            raise EmptyClip(message) if kind == "EmptyClip" else ToolError(message)
        value: Any = answer.get("ok")
        kind = function["returns"]
        if fits(kind, value):
            return Clip(number, tuple(value["$clip"]["frames"])) if kind == "clip" else _clean(value)
        # The host's fault, not the program's: the run ends here, where no handler of the program can see it.
        text = f"answer {self._answered} must be a {kind}, which {function['name']} gives"
        return self._finish({"outcome": "misfit", "message": text})


def _clean(value: Any) -> Any:
    """Escape control characters in what a model wrote: the program could not hand them on."""
    if type(value) is list:
        return [escape(item) for item in value]
    return escape(value) if type(value) is str else value


def fits(kind: str, value: object) -> bool:
    """Tell whether an answer's value is of the kind that a function returns."""
    if kind == "clip":
        frames = value["$clip"].get("frames") if type(value) is dict and _is_clip(value) else None
        return type(frames) is list and all(type(f) is int for f in frames)
    if kind == "list[str]":
        return type(value) is list and all(type(item) is str for item in value)
    return type(value).__name__ == kind


def _is_clip(value: dict[str, Any]) -> bool:
    return type(value.get("$clip")) is dict
