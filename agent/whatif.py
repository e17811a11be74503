"""Suppose that a call had given something else, or that the program were another.

The program runs again: up to the change every call has its recorded result, the changed one has the result
that was set by hand, and what comes after is asked anew. An example of this kind is never kept for training.
This file asks no model itself and compares nothing (`aotd.traces.alignment` does).
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from pydantic import JsonValue

from aotd.agent.replay import BY_HAND, Steps
from aotd.agent.run import Ask, Watch
from aotd.tools.api import API
from aotd.tools.recorded import NOT_RECORDED
from aotd.traces.call_text import asked_text, flat
from aotd.traces.handles import clip_argument, clips
from aotd.traces.records import GRID, Call, Clip, Example, Trace, Value

__all__ = ["Supposition", "Unanswered", "not_kept", "with_line", "with_result"]

_PLAIN: Final[dict[str, tuple[type, str]]] = {
    "bool": (bool, "true or false"),
    "int": (int, "a whole number"),
    "str": (str, "a text"),
    "list[str]": (list, "a list of texts"),
}
_CLIP: Final = '{"frames": [3, 4]} or {"start": 3, "end": 9}'


class Unanswered(Exception):
    """The journal does not answer a call, and no model may be asked."""


class Supposition:
    """What is supposed, and where the results of the calls came from.

    Parameters
    ----------
    recorded
        The trace as it was; None for a program that never ran.
    changed
        The call whose result is set by hand, with that result.
    """

    def __init__(self, recorded: Trace | None, changed: Call | None) -> None:
        self.counts: Counter[str] = Counter()
        """Calls by where their results came from: `replayed`, `hand`, `at hand`, `asked`."""
        self._steps = Steps(recorded)
        self._changed = changed

    @property
    def watch(self) -> Watch:
        """Puts it into a run."""
        return Watch(heard=self._steps.heard, answer=self._answer)

    async def _answer(self, call: Call, ask: Ask) -> Call:
        known = self._steps.same(call)
        if known is not None and self._changed is not None and known.number == self._changed.number:
            self.counts["hand"] += 1
            return self._changed
        if known is not None:
            self.counts["replayed"] += 1
            return known
        found = await ask()
        if found.error is not None and found.error.kind == NOT_RECORDED:
            raise Unanswered(
                f"call {call.number}, {asked_text(call)} (line {call.line}): {found.error.message}"
            )
        self.counts["at hand" if found.cached else "asked"] += 1
        return found


def with_result(trace: Trace, number: int, given: JsonValue) -> Call:
    """Give a call of a trace another result.

    Parameters
    ----------
    number
        The call's, from 1.
    given
        The result; a clip is `{"frames": [...]}` or `{"start": s, "end": e}`, half-open, of the frames that
        the call looked at.

    Raises
    ------
    ValueError
        If there is no such call, it is computed inside the sandbox, or the result is not of its kind.
    """
    calls = trace.calls
    if not 1 <= number <= len(calls):
        has = f"calls 1 to {len(calls)}" if calls else "no calls"
        raise ValueError(f"call {number}: the trace has {has}")
    call = calls[number - 1]
    if call.local:
        raise ValueError(
            f"call {number}, {asked_text(call)}, follows from its arguments: change line {call.line} or the "
            "call that gave the clip"
        )
    kind = API[call.function].returns
    plain = {"result": None, "error": None, "sightings": (), "notes": (BY_HAND,), "cached": False}
    if kind == "clip":
        clip = _clip(call, trace, given)
        seen = tuple(s for s in call.sightings if s.frame in clip.grid_ids)
        return call.model_copy(update=plain | {"result": clip, "sightings": seen})
    return call.model_copy(update=plain | {"result": _value(call, kind, given)})


def with_line(program: str, number: int, source: str) -> str:
    """Put another text in place of a line, from 1; without indentation of its own it gets the old one's.

    Raises ValueError if the program has no such line.
    """
    lines = program.splitlines()
    if not 1 <= number <= len(lines):
        raise ValueError(f"line {number}: the program has lines 1 to {len(lines)}")
    old = lines[number - 1]
    indent = old[: len(old) - len(old.lstrip())] if source == source.lstrip() else ""
    return "\n".join([*lines[: number - 1], indent + source, *lines[number:]]) + "\n"


def not_kept(example: Example, why: str) -> Example:
    """Keep a supposed example out of training data, saying why."""
    return example.model_copy(update={"kept": False, "dropped": why})


def _value(call: Call, kind: str, given: JsonValue) -> Value:
    expected, told = _PLAIN[kind]
    fits = type(given) is expected and (expected is not list or _texts(given))
    if not fits:
        raise ValueError(f"call {call.number}, {call.function}, gives {told}, not {flat(repr(given))}")
    return given  # type: ignore[return-value]  # its type was just seen to be one of these


def _texts(given: JsonValue) -> bool:
    return isinstance(given, list) and all(isinstance(item, str) for item in given)


def _clip(call: Call, trace: Trace, given: JsonValue) -> Clip:
    """Make a clip of frames that the call looked at; they keep the crops that they have."""
    looked = clips(trace)[clip_argument(call) or "clip0"]
    frames = _frames(call, looked, given)
    crops = dict(zip(looked.grid_ids, looked.crops, strict=True)) if looked.crops else {}
    if isinstance(call.result, Clip) and call.result.crops:
        crops |= dict(zip(call.result.grid_ids, call.result.crops, strict=True))
    cropped = tuple(crops[frame] for frame in frames) if all(frame in crops for frame in frames) else ()
    return looked.model_copy(update={"grid_ids": frames, "crops": cropped})


def _frames(call: Call, looked: Clip, given: JsonValue) -> tuple[int, ...]:
    match given:
        case {"frames": list(frames), **rest} if not rest and all(type(f) is int for f in frames):
            chosen = tuple(sorted({f for f in frames if isinstance(f, int)}))
        case {"start": int(start), "end": int(end), **rest} if not rest and bool not in (
            type(start),
            type(end),
        ):
            if not 0 <= start <= end <= GRID:
                raise ValueError(f"frames {start} to {end}: give 0 <= start <= end <= {GRID}")
            return tuple(f for f in looked.grid_ids if start <= f < end)
        case _:
            raise ValueError(f"call {call.number}, {call.function}, gives a clip: write {_CLIP}")
    strange = sorted(set(chosen) - set(looked.grid_ids))
    if strange:
        where = "an empty clip"
        if looked.grid_ids:
            where = f"frames {looked.start} to {looked.end}"
        raise ValueError(f"frames {strange} are not among those that call {call.number} looked at, {where}")
    return chosen
