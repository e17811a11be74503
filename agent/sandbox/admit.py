"""Hold what a program did against what it was given: clips that are its own, and budgets.

`wire.py` has seen to it that the calls are calls of the API. Here the host keeps the table of clips: it knows
what each handle stands for from the answers that it gave, and takes no frame from the child. Answers no call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from pydantic import JsonValue

from aotd.agent.sandbox.backend import AnswerMisfit, Limits
from aotd.agent.sandbox.jail.calls import fits
from aotd.agent.sandbox.jail.clips import trim
from aotd.agent.sandbox.outcome import History, Killed, Made, NextCall, Outcome, Refused
from aotd.agent.sandbox.wire import Malformed, Misfit
from aotd.tools.api import API
from aotd.traces.handles import handle
from aotd.traces.records import Read

__all__ = ["admit"]

_KILO: Final = 1024


def admit(
    outcome: Outcome | Misfit, frames: tuple[int, ...], answers: Sequence[Mapping[str, Any]], limits: Limits
) -> Outcome:
    """Give the outcome, or that its program is ended because it went beyond a budget.

    Parameters
    ----------
    outcome
        What `decode` gave.
    frames
        Grid ids of the root clip.
    answers
        The answers that the run was given.
    limits
        Budgets of clips, frames and text; that of calls is checked when the outcome is read.

    Raises
    ------
    AnswerMisfit
        If the outcome is that an answer does not fit its call, and it does not.
    Malformed
        If it says so of an answer that fits, if the program names a clip that it was not given, or if it read
        something else off a clip than is there.
    """
    if isinstance(outcome, Misfit):
        raise _misfit(outcome.history, answers)
    if isinstance(outcome, Refused) or outcome.history is None:
        return outcome
    history = outcome.history
    made = [*history.calls, outcome.call] if isinstance(outcome, NextCall) else list(history.calls)
    table, spent, given = _Table(frames), _Spent(limits), iter(answers)
    for call in made:
        seen = {name: table.of(call, name) for name in _clips(call)}
        if told := spent.on(call, seen):
            return Killed(reason="budget", message=told, history=_until(history, call.number))
        table.add(call, given)
    for read in history.reads:
        table.check(read, len(history.calls))
    return outcome


class _Table:
    """What each handle stands for."""

    def __init__(self, root: tuple[int, ...]) -> None:
        self._frames = {"clip0": root}

    def of(self, call: Made, name: str) -> tuple[int, ...]:
        """Give the frames of an argument that is a clip."""
        frames = self._frames.get(handle(call.args[name]) or "")
        if frames is None:
            raise Malformed(f"call {call.number} names a clip that it was not given")
        return frames

    def add(self, call: Made, answers: Iterator[Mapping[str, Any]]) -> None:
        """Take the clip that a call gave; one that raised gave none."""
        if call.local:
            bounds = (call.args.get(name) for name in ("start", "end"))
            start, end = (value if isinstance(value, int) else None for value in bounds)
            self._frames[f"clip{call.number}"] = trim(self.of(call, "clip"), start, end)
            return
        answer = next(answers, {})
        if API[call.function].returns == "clip" and "error" not in answer:
            value = answer.get("ok")
            frames = value["$clip"]["frames"] if isinstance(value, dict) and "$clip" in value else ()
            self._frames[f"clip{call.number}"] = tuple(frames)

    def check(self, read: Read, calls: int) -> None:
        """Hold a read against the clip."""
        frames = self._frames.get(read.clip)
        if frames is None or not 0 <= read.after_call <= calls or int(read.clip[4:]) > read.after_call:
            raise Malformed("it read a clip that it was not given")
        there = {"num_frames": len(frames)}
        if frames:
            there |= {"start": frames[0], "end": frames[-1] + 1}
        if read.value != there.get(read.attribute):
            raise Malformed(f"it read a {read.attribute} that its clip does not have")


class _Spent:
    """What the calls so far have used of each budget."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._clips = self._frames = self._text = 0

    def on(self, call: Made, seen: Mapping[str, tuple[int, ...]]) -> str | None:
        """Add a call; say so if that is beyond a budget."""
        limits, function = self._limits, API[call.function]
        self._clips += function.returns == "clip"
        self._frames += 0 if call.local else sum(map(len, seen.values()))
        self._text += sum(_size(value) for name, value in call.args.items() if name not in seen)
        if self._clips > limits.clips:
            return f"the program made more than {limits.clips} clips"
        if self._frames > limits.frames:
            return f"the program asked about more than {limits.frames} frames"
        if self._text > limits.text_kb * _KILO:
            return f"the program wrote more than {limits.text_kb} KB in its calls"
        return None


def _misfit(history: History, answers: Sequence[Mapping[str, Any]]) -> AnswerMisfit:
    number = sum(not call.local for call in history.calls)
    last = history.calls[-1] if history.calls else None
    if last is None or last.local:
        raise Malformed("it says that an answer does not fit, and was given none")
    function, answer = API[last.function], answers[number - 1]
    if "error" in answer or fits(function.returns, answer.get("ok")):
        raise Malformed("it says that an answer does not fit, and it does")
    text = f"answer {number} must be a {function.returns}, which {function.name} gives"
    return AnswerMisfit(text, history)


def _clips(call: Made) -> list[str]:
    """Name the arguments of a call that are clips."""
    return [p.name for p in API[call.function].parameters if p.kind == "clip" and p.name in call.args]


def _size(value: JsonValue) -> int:
    """Count the bytes of the texts in a value."""
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, list):
        return sum(map(_size, value))
    return sum(map(_size, value.values())) if isinstance(value, dict) else 0


def _until(history: History, number: int) -> History:
    """Cut a history off before a call."""
    reads = tuple(read for read in history.reads if read.after_call < number)
    return history.model_copy(update={"calls": history.calls[: number - 1], "reads": reads})
