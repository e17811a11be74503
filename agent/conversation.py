"""What a planning model is told: the question, and what became of each program that it wrote for it.

Questions and the words of tools are untrusted: they are told as JSON texts on one line, which cannot close
what is around them. Neither the right answer nor whether an answer was right is ever told. Asks no model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from pydantic import JsonValue

from aotd.prompts.loader import BUILT_IN, Templates
from aotd.prompts.quoting import quoted
from aotd.tools.models import Message
from aotd.traces.handles import entries, handle
from aotd.traces.records import Attempt, Call, Clip, Failure, Question, Reason, Trace

__all__ = ["conversation"]

ATTEMPTS: Final = 3
"""Earlier programs told, the last ones."""

REASONS: Final = 8
"""Reasons told of one refusal."""

CALLS: Final = (4, 12)
"""Calls told of one run: the first and the last ones."""

AROUND: Final = 3
"""Program lines shown before and after the one that failed."""

LINE: Final = 160
"""Characters of a program line, an argument, a result or a message."""


def conversation(
    page: Message, question: Question, attempts: Sequence[Attempt] = (), templates: Templates = BUILT_IN
) -> tuple[Message, ...]:
    """Write the messages that ask for a program.

    Parameters
    ----------
    page
        The planner's page: first and always the same, so that servers can keep what they computed for it.
    question
        What the program shall answer.
    attempts
        Earlier programs for it, each refused or failed; the last three are told.
    templates
        The prompts.

    Returns
    -------
    tuple of Message
        The page, then user and assistant by turns, the user last.
    """
    messages = [page, Message(role="user", content=_asked(question, templates))]
    for attempt in attempts[-ATTEMPTS:]:
        fault = _fault(attempt, templates)
        if attempt.program:
            program = Message(role="assistant", content=f"```python\n{attempt.program.rstrip()}\n```")
            messages += [program, Message(role="user", content=fault)]
        else:  # nothing to quote, and chat templates insist on turns
            messages[-1] = Message(role="user", content=f"{messages[-1].content}\n{fault}")
    return tuple(messages)


def _asked(question: Question, templates: Templates) -> str:
    options = quoted(list(question.options)) if question.options is not None else "None"
    return templates["question"].render({"question": quoted(question.text), "options": options})


def _fault(attempt: Attempt, templates: Templates) -> str:
    """Tell what was wrong with an attempt."""
    trace = attempt.trace
    reasons = attempt.refusal.reasons if attempt.refusal else ()
    unusable = "" if attempt.program else (_cut(reasons[0].message) if reasons else "it holds no program")
    lines = attempt.program.rstrip("\n").split("\n")
    slots = {
        "unusable": unusable,
        "reasons": [_reason(reason, lines) for reason in reasons[:REASONS]],
        "ended": _ended(trace) if trace else "",
        "listing": _listing(lines, trace.failure) if trace and trace.failure else [],
        "calls": list(_calls(trace.calls)) if trace else [],
    }
    return templates["repair"].render(slots)


def _reason(reason: Reason, lines: Sequence[str]) -> str:
    where = ""
    if reason.line is not None:
        code = lines[reason.line - 1].strip() if 0 < reason.line <= len(lines) else ""
        where = f"line {reason.line}, `{_cut(code)}`: " if code else f"line {reason.line}: "
    hint = f" ({_cut(reason.hint)})" if reason.hint else ""
    return f"{where}{_cut(reason.message)}{hint}"


def _ended(trace: Trace) -> str:
    failure = trace.failure
    if failure is not None:
        where = f" at line {failure.line}" if failure.line is not None else ""
        return f"It failed{where}: {failure.type}: {_told(failure.message)}."
    if trace.answer is None:
        return "It returned nothing: every way through it must end in `return answer`."
    return f"It returned {_told(trace.answer)}, which is not one of the possible answers."


def _listing(lines: Sequence[str], failure: Failure) -> list[str]:
    """Show the numbered lines around the one that failed."""
    if failure.line is None:
        return []
    first = max(1, failure.line - AROUND)
    shown = lines[first - 1 : failure.line + AROUND]
    return [
        f"{'>' if number == failure.line else ' '} {number:3d} | {_cut(line)}"
        for number, line in enumerate(shown, start=first)
    ]


def _calls(calls: Sequence[Call]) -> Iterator[str]:
    first, last = CALLS
    left_out = len(calls) - first - last
    if left_out <= 0:
        yield from map(_call, calls)
        return
    yield from map(_call, calls[:first])
    yield f"... {left_out} more calls ..."
    yield from map(_call, calls[-last:])


def _call(call: Call) -> str:
    arguments = ", ".join(f"{name}={_cut(_value(value))}" for name, value in call.args.items())
    if call.error is not None:
        result = f"raised {call.error.kind}: {_told(call.error.message)}"
    elif isinstance(call.result, Clip):
        result = f"returned clip{call.number}: {_clip(call.result)}"
    else:
        result = f"returned {_told(call.result)}"
    return f"{call.number}. line {call.line}: {call.function}({arguments}) {result}"


def _clip(clip: Clip) -> str:
    if not clip.grid_ids:
        return "an empty clip"
    return f"num_frames {clip.num_frames}, start {clip.start}, end {clip.end}"


def _value(value: JsonValue) -> str:
    clip = handle(value)
    if clip is not None:
        return "video_clip" if clip == "clip0" else clip
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(key)}: {_value(item)}" for key, item in entries(value)) + "}"
    return "[" + ", ".join(map(_value, value)) + "]" if isinstance(value, list) else quoted(value)


def _told(value: str | int | float | bool | list[str] | None) -> str:  # noqa: FBT001
    """Quote what may hold the words of tools."""
    return _cut(quoted(list(value) if isinstance(value, list) else value))


def _cut(text: str) -> str:
    text = " ".join(text.split()) if "\n" in text else text
    return text if len(text) <= LINE else f"{text[: LINE - 1]}…"
