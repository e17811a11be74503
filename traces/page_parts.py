"""What a page says of one question, as plain records that a template only has to lay out.

Texts that are not ours pass `shown` and are cut at a length; they are still to be escaped. Numbers, windows
and links between parts are settled here. This file writes no HTML and chooses no pictures.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Final, Literal, NamedTuple

from pydantic import JsonValue

from aotd.traces.answers import letter, match_option
from aotd.traces.handles import clip_argument, clips, entries, handle, runs
from aotd.traces.page_frames import Album, Shots
from aotd.traces.page_graph import Graph, graph_of
from aotd.traces.page_text import LONGEST, frames_told, in_seconds, shorten, shown, source_lines, took
from aotd.traces.records import Attempt, Call, Clip, Example, Question, Trace

__all__ = [
    "LIMITS",
    "AttemptPart",
    "Card",
    "Choice",
    "Limit",
    "Line",
    "Told",
    "attempt_part",
    "choices",
    "told",
]

_DEEP: Final = 5
"""Levels of a value that are laid out."""
_READS: Final = 4
"""Reads of clips told on one line of a program."""


class Limit(NamedTuple):
    """How much is shown of what calls were given and gave."""

    letters: int
    """Of one text."""
    items: int
    """Of one list or table."""


LIMITS: Final = (Limit(LONGEST, 40), Limit(LONGEST // 10, 20), Limit(LONGEST // 50, 6))
"""For a page of common size, a large one and one that would be too large."""


class Told(NamedTuple):
    """A value: a text, a clip, a list or a table of values."""

    kind: Literal["text", "clip", "list", "table", "code"]
    text: str = ""
    call: int | None = None
    """For a clip, the call that gave it; 0 for the root clip."""
    items: tuple[tuple[str, Told], ...] = ()
    left: int = 0
    """Items that are left out."""


class Line(NamedTuple):
    """A line of a program."""

    number: int
    source: str
    status: Literal["ran", "failed", "unreached", "refused", "unknown"]
    hits: int
    time: str
    """Seconds of the calls on this line."""
    calls: tuple[int, ...]
    reads: tuple[str, ...]
    faults: tuple[str, ...]


class Axis(NamedTuple):
    """Where on the grid a call looked, what it gave, and where it saw something; half-open windows."""

    looked: tuple[tuple[int, int], ...]
    gave: tuple[tuple[int, int], ...]
    seen: tuple[int, ...]
    told: str


class Card(NamedTuple):
    """A call."""

    number: int
    line: int
    function: str
    args: tuple[tuple[str, Told], ...]
    result: Told | None
    error: str
    notes: tuple[str, ...]
    time: str
    cached: bool
    local: bool
    axis: Axis | None
    shots: Shots
    variables: tuple[tuple[str, str], ...]
    """Those that are new or different since the call before."""


class AttemptPart(NamedTuple):
    """A program and what came of it."""

    number: int
    title: str
    outcome: str
    lines: tuple[Line, ...]
    faults: tuple[str, ...]
    """Reasons for a refusal that name no line."""
    cards: tuple[Card, ...]
    output: tuple[str, ...]
    failure: str
    remarks: tuple[str, ...]
    graph: Graph | None
    time: str


class Choice(NamedTuple):
    """An option of a question."""

    letter: str
    text: str
    true: bool
    given: bool


def choices(question: Question, answer: str | None) -> tuple[Choice, ...]:
    """Lay out the options with the truth and what was answered."""
    options = question.options or ()
    true = match_option(question.answer, options).index if question.answer is not None and options else None
    given = match_option(answer, options).index if answer is not None and options else None
    return tuple(
        Choice(letter(index), shorten(shown(text)), index == true, index == given)
        for index, text in enumerate(options)
    )


def attempt_part(
    number: int, attempt: Attempt, example: Example | None, album: Album, limit: Limit = LIMITS[0]
) -> AttemptPart:
    """Lay out one program, refused or run; `limit` holds for what its calls were given and gave."""
    trace, refusal = attempt.trace, attempt.refusal
    last = example is not None and number == len(example.attempts)
    if refusal is not None:
        outcome = str(refusal.outcome)
    elif last and example is not None:
        outcome = str(example.outcome)
    else:
        outcome = (
            str(trace.failure.outcome) if trace is not None and trace.failure is not None else "returned"
        )
    return AttemptPart(
        number=number,
        title="refused before it ran" if refusal is not None else outcome,
        outcome=outcome,
        lines=tuple(_lines(attempt)),
        faults=tuple(
            _fault(r.message, r.hint) for r in (refusal.reasons if refusal else ()) if r.line is None
        ),
        cards=tuple(_cards(trace, album, limit)) if trace is not None else (),
        output=tuple(shorten(shown(line), limit.letters) for line in trace.output[: limit.items])
        if trace is not None
        else (),
        failure=_failure(trace),
        remarks=tuple(_remarks(trace)) if trace is not None else (),
        graph=graph_of(trace) if trace is not None and trace.calls else None,
        time=took(trace.seconds) if trace is not None else "",
    )


def _fault(message: str, hint: str) -> str:
    return shorten(shown(f"{message}; {hint}" if hint else message))


def _failure(trace: Trace | None) -> str:
    if trace is None or trace.failure is None:
        return ""
    failure = trace.failure
    where = "" if failure.line is None else f" (line {failure.line})"
    return shorten(shown(f"{failure.type}: {failure.message}")) + where


def _remarks(trace: Trace) -> Iterator[str]:
    if trace.future_visible:
        yield "An oracle saw annotation after the end of the question's span."
    if trace.degraded:
        yield "The program caught a tool's error and went on."
    if trace.keyframes_outside:
        yield f"{trace.keyframes_outside} annotated keyframes lie outside the span; no oracle saw them."


def _lines(attempt: Attempt) -> Iterator[Line]:
    trace = attempt.trace
    reasons = attempt.refusal.reasons if attempt.refusal else ()
    for number, source in enumerate(source_lines(attempt.program), start=1):
        calls = [call for call in trace.calls if call.line == number] if trace else []
        faults = tuple(_fault(r.message, r.hint) for r in reasons if r.line == number)
        yield Line(
            number=number,
            source=shown(source),
            status=_status(number, trace, refused=bool(faults)),
            hits=trace.lines.get(number, 0) if trace else 0,
            time=took(sum(call.seconds for call in calls)),
            calls=tuple(call.number for call in calls),
            reads=_reads(number, trace) if trace else (),
            faults=faults,
        )


def _status(
    number: int, trace: Trace | None, *, refused: bool
) -> Literal["ran", "failed", "unreached", "refused", "unknown"]:
    if trace is None:
        return "refused" if refused else "unknown"
    if trace.failure is not None and trace.failure.line == number:
        return "failed"
    return "ran" if trace.lines.get(number) else "unreached"


def _reads(number: int, trace: Trace) -> tuple[str, ...]:
    """Tell what the program read of clips on a line, each reading once."""
    told = dict.fromkeys(
        f"{shown(read.clip)}.{read.attribute} = {'EmptyClip' if read.value is None else read.value}"
        for read in trace.reads
        if read.line == number
    )
    return tuple(told)[:_READS]


def _cards(trace: Trace, album: Album, limit: Limit) -> Iterator[Card]:
    named = clips(trace)
    before: Mapping[str, str] = {}
    for call in trace.calls:
        now = trace.variables.get(str(call.number), {})
        changed = [(name, text) for name, text in now.items() if before.get(name) != text]
        before = now
        yield Card(
            number=call.number,
            line=call.line,
            function=shown(call.function),
            args=tuple((shown(name), told(value, named, limit)) for name, value in call.args.items()),
            result=None if call.error is not None else _result(call, named, limit),
            error=shorten(shown(f"{call.error.kind}: {call.error.message}"), limit.letters)
            if call.error
            else "",
            notes=tuple(shorten(shown(note), limit.letters) for note in call.notes[: limit.items]),
            time=took(call.seconds),
            cached=call.cached,
            local=call.local,
            axis=_axis(call, named),
            shots=album.shots(call, trace, named),
            variables=tuple(
                (shown(name), shorten(shown(text), limit.letters)) for name, text in changed[: limit.items]
            ),
        )


def _result(call: Call, named: Mapping[str, Clip], limit: Limit) -> Told:
    if isinstance(call.result, Clip):
        return Told("text", _clip_told(call.result, f"clip{call.number}"))
    if isinstance(call.result, list):
        return told(list[JsonValue](call.result), named, limit)
    return told(call.result, named, limit)


def told(value: JsonValue, named: Mapping[str, Clip], limit: Limit = LIMITS[0], depth: int = 0) -> Told:
    """Lay out a recorded value, clips by the frames that they hold."""
    name = handle(value)
    if name is not None and name in named:
        number = name.removeprefix("clip")
        return Told("clip", _clip_told(named[name], name), int(number) if number.isdecimal() else None)
    if isinstance(value, str):
        return Told("text", shorten(shown(value), limit.letters))
    if depth < _DEEP and isinstance(value, list):
        rows = [("", told(item, named, limit, depth + 1)) for item in value[: limit.items]]
        return Told("list", items=tuple(rows), left=len(value[limit.items :]))
    if depth < _DEEP and isinstance(value, dict):
        pairs = list(entries(value))
        items = [
            (shorten(shown(key), 200), told(item, named, limit, depth + 1))
            for key, item in pairs[: limit.items]
        ]
        return Told("table", items=tuple(items), left=len(pairs[limit.items :]))
    return Told("code", shorten(shown(json.dumps(value, ensure_ascii=False)), limit.letters))


def _clip_told(clip: Clip, name: str) -> str:
    time = in_seconds(clip.grid_ids, clip.span)
    cropped = ", cropped" if clip.crops else ""
    return f"{name}: {frames_told(clip.grid_ids)}{cropped}{f', {time}' if time else ''}"


def _axis(call: Call, named: Mapping[str, Clip]) -> Axis | None:
    looked = named.get(clip_argument(call) or "")
    if looked is None:
        return None
    gave = call.result if isinstance(call.result, Clip) else None
    seen = tuple(sorted({sighting.frame for sighting in call.sightings}))
    words = f"Looked at frames {frames_told(looked.grid_ids)}"
    words += f", gave {frames_told(gave.grid_ids)}" if gave else ""
    return Axis(
        tuple(runs(looked.grid_ids)),
        tuple(runs(gave.grid_ids)) if gave else (),
        seen,
        words.replace("no frames", "none"),
    )
