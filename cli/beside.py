"""Two examples of one question beside each other in the terminal: program, calls, answer, outcome.

Texts that are not ours are shown without markup and with characters that do not print written as escapes.
Compares nothing itself (`aotd.traces.alignment` does) and prints nothing.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from aotd.traces.alignment import Change, Pair, align, first_difference
from aotd.traces.answers import render
from aotd.traces.call_text import call_text, flat
from aotd.traces.outcomes import RIGHT
from aotd.traces.page_text import shown
from aotd.traces.records import Call, Example, Trace

__all__ = ["beside", "last_trace"]

_MARKS: Final[dict[Change, tuple[str, str]]] = {
    "same": ("=", "dim"),
    "result": ("\u2260", "yellow"),
    "arguments": ("\u2260", "yellow"),
    "added": ("+", "green"),
    "removed": ("\u2212", "red"),
}


def beside(old: Example, new: Example, before: str, after: str) -> Group:
    """Show two examples of one question.

    Parameters
    ----------
    old, new
        The examples.
    before, after
        What to call them.
    """
    parts: list[RenderableType] = [Text(flat(old.question.text, 200), style="bold")]
    if old.program != new.program:
        parts += [Text("\nProgram", style="bold"), *_program(old.program or "", new.program or "")]
    parts += [Text("\nCalls", style="bold"), _calls(old, new, before, after)]
    first = _first(old, new)
    if first:
        parts.append(Text(f"\nFirst difference: {first}"))
    return Group(*parts)


def last_trace(example: Example) -> Trace | None:
    """Give the trace of the last program that ran."""
    return next((a.trace for a in reversed(example.attempts) if a.trace is not None), None)


def _first(old: Example, new: Example) -> str:
    was, now = old.trace, new.trace
    found = first_difference(was, now) if was and now else None
    return found.where if found else ""


def _program(old: str, new: str) -> Iterator[Text]:
    """Show the lines that differ, with three lines around each."""
    was, now = (shown(source).splitlines() for source in (old, new))
    for line in list(difflib.unified_diff(was, now, lineterm="", n=3))[2:]:
        style = {"+": "green", "-": "red", "@": "dim"}.get(line[:1], "")
        yield Text(f"  {line}", style=style)


def _calls(old: Example, new: Example, before: str, after: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("")
    for name in (before, after):
        table.add_column(name, ratio=1, overflow="fold")
    for pair in _pairs(old.trace, new.trace):
        table.add_row(*_row(pair))
    table.add_section()
    answers = [_answer(side) for side in (old, new)]
    table.add_row("", *answers)
    table.add_row("", *(_outcome(side) for side in (old, new)))
    return table


def _pairs(old: Trace | None, new: Trace | None) -> list[Pair]:
    if old is not None and new is not None:
        return align(old, new)
    gone = [Pair(call, None, "removed") for call in (old.calls if old else ())]
    return [*gone, *(Pair(None, call, "added") for call in (new.calls if new else ()))]


def _row(pair: Pair) -> tuple[Text, Text, Text]:
    mark, style = _MARKS[pair.change]
    old, new = (_told(side) for side in (pair.old, pair.new))
    if pair.change == "same" and old == new:
        new = "the same"
    return Text(mark, style), Text(old, style), Text(new, style)


def _told(call: Call | None) -> str:
    if call is None:
        return ""
    notes = f" ({flat('; '.join(call.notes))})" if call.notes else ""
    return f"{call.number}. {call_text(call)}{notes}"


def _answer(example: Example) -> Text:
    trace = example.trace
    if trace is None or trace.answer is None:
        return Text("no answer", style="bold")
    return Text(f"answer: {flat(render(trace.answer), 120) or '(empty)'}", style="bold")


def _outcome(example: Example) -> Text:
    told = f"{example.outcome}: {flat(example.detail, 160)}" if example.detail else example.outcome.value
    return Text(told, style="green" if example.outcome in RIGHT else "red")
