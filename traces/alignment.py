"""Two traces side by side: which calls are the same, which were changed, added or left out.

Calls are aligned in order by what they ask: a clip among the arguments counts as its frames, so that a call
more or less does not make all later ones look changed. This file compares two traces; `aotd.benchmarks` has
the counts over runs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple

from pydantic import JsonValue

from aotd.traces.call_text import asked_text, call_text, flat
from aotd.traces.handles import clips, entries, handle
from aotd.traces.records import Call, Clip, Trace

__all__ = ["Change", "Difference", "Pair", "align", "first_difference"]

Change = Literal["same", "result", "arguments", "added", "removed"]
"""What became of a call: the same, other results, other arguments, new, or gone."""

_SAME: Final = 3
_ALIKE: Final = 1
"""Worth of a pair that asks the same, and of one that only calls the same function."""


class Pair(NamedTuple):
    """A call of each trace that stand for one another; None where one has none."""

    old: Call | None
    new: Call | None
    change: Change


class Difference(NamedTuple):
    """Where two traces part first."""

    where: str
    """Such as `call 3 (Find, line 4)`, `span`, `answer`, `failure`."""
    function: str
    """Of the call, or `where` when it is no call."""
    was: str
    now: str


class _Asked(NamedTuple):
    """What a call asks, clips told as frames."""

    function: str
    arguments: str


def align(old: Trace, new: Trace) -> list[Pair]:
    """Align the calls of two traces in order, with as many that ask the same as can be."""
    before, after = _asked(old), _asked(new)
    worth = _worths(before, after)
    pairs: list[Pair] = []
    i = j = 0
    while i < len(before) or j < len(after):
        gain = _gain(before[i], after[j]) if i < len(before) and j < len(after) else 0
        if gain and worth[i][j] == worth[i + 1][j + 1] + gain:
            pairs.append(_pair(old.calls[i], new.calls[j], same=gain == _SAME))
            i, j = i + 1, j + 1
        elif i < len(before) and worth[i][j] == worth[i + 1][j]:
            pairs.append(Pair(old.calls[i], None, "removed"))
            i += 1
        else:
            pairs.append(Pair(None, new.calls[j], "added"))
            j += 1
    return pairs


def first_difference(old: Trace, new: Trace) -> Difference | None:
    """Name the first difference of two traces: video, span, a call, the answer, how the program ended."""
    given = [(f"video {trace.video.digest[:20]}", f"span {trace.span}") for trace in (old, new)]
    for where, was, now in zip(("video", "span"), *given, strict=True):
        if was != now:
            return Difference(where, where, was, now)
    for pair in align(old, new):
        if pair.change != "same":
            return _difference(pair)
    answers = [json.dumps(trace.answer, ensure_ascii=False) for trace in (old, new)]
    if answers[0] != answers[1]:
        return Difference("answer", "answer", *map(flat, answers))
    ends = [_end(trace) for trace in (old, new)]
    return Difference("failure", "failure", *ends) if ends[0] != ends[1] else None


def _asked(trace: Trace) -> list[_Asked]:
    named = clips(trace)
    return [_Asked(c.function, json.dumps(_resolved(c.args, named), sort_keys=True)) for c in trace.calls]


def _resolved(value: JsonValue, named: Mapping[str, Clip]) -> JsonValue:
    """Write a value with the frames of its clips in place of their handles."""
    if isinstance(value, list):
        return [_resolved(item, named) for item in value]
    if not isinstance(value, dict):
        return value
    clip = named.get(handle(value) or "")
    if clip is not None:
        return {"frames": list(clip.grid_ids), "crops": [list(box) for box in clip.crops]}
    return {key: _resolved(item, named) for key, item in entries(value)}


def _gain(old: _Asked, new: _Asked) -> int:
    return _SAME if old == new else _ALIKE if old.function == new.function else 0


def _worths(before: Sequence[_Asked], after: Sequence[_Asked]) -> list[list[int]]:
    """Give the worth of the best alignment of what is left from each pair of places on."""
    worth = [[0] * (len(after) + 1) for _ in range(len(before) + 1)]
    for i in reversed(range(len(before))):
        for j in reversed(range(len(after))):
            gain = _gain(before[i], after[j])
            paired = worth[i + 1][j + 1] + gain if gain else 0
            worth[i][j] = max(paired, worth[i + 1][j], worth[i][j + 1])
    return worth


def _pair(old: Call, new: Call, *, same: bool) -> Pair:
    if not same:
        return Pair(old, new, "arguments")
    return Pair(old, new, "same" if _result(old) == _result(new) else "result")


def _result(call: Call) -> tuple[JsonValue, ...]:
    told = call.canonical()
    return told["result"], told["error"], told["sightings"]


def _difference(pair: Pair) -> Difference:
    call = pair.new or pair.old
    assert call is not None  # noqa: S101 - a pair has at least one side
    where = f"call {call.number} ({call.function}, line {call.line})"
    told = asked_text if pair.change == "arguments" else call_text
    was, now = ("no such call" if side is None else told(side) for side in (pair.old, pair.new))
    if was == now:  # told alike, such as clips of other frames under one handle, or other boxes
        was, now = (call_text(side) if side else "no such call" for side in (pair.old, pair.new))
        now += " (other frames or boxes)" if was == now else ""
    return Difference(where, call.function, was, now)


def _end(trace: Trace) -> str:
    if trace.failure is None:
        return "returned"
    return flat(f"{trace.failure.outcome}: {trace.failure.type}: {trace.failure.message}", 120)
