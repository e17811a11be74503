"""What the handles of a trace stand for: `clip0` is the root clip, `clipN` the clip that call N gave.

Reads recorded arguments; computes no clip anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydantic import JsonValue

from aotd.traces.records import GRID, Call, Clip, Trace

__all__ = ["clip_argument", "clips", "entries", "handle", "runs"]


def clips(trace: Trace) -> dict[str, Clip]:
    """Return every clip of a trace by its handle."""
    named = {"clip0": Clip(video=trace.video.id, span=trace.span, grid_ids=tuple(range(GRID)))}
    for call in trace.calls:
        if isinstance(call.result, Clip):
            named[f"clip{call.number}"] = call.result
    return named


def handle(value: JsonValue) -> str | None:
    """Return the clip handle that a recorded value is, if it is one."""
    if isinstance(value, dict) and len(value) == 1:
        name = value.get("$clip")
        return name if isinstance(name, str) else None
    return None


def clip_argument(call: Call) -> str | None:
    """Return the handle of the clip that a call looked at."""
    return handle(call.args.get("clip"))


def entries(value: JsonValue) -> Iterator[tuple[str, JsonValue]]:
    """Yield the items of a program's dict, recorded as an object or as `{"$dict": [[k, v], ...]}`."""
    if isinstance(value, dict):
        pairs = value.get("$dict")
        if len(value) == 1 and isinstance(pairs, list):
            for pair in pairs:
                if isinstance(pair, list) and len(pair) == 2:
                    yield str(pair[0]), pair[1]
        else:
            yield from value.items()


def runs(grid_ids: Iterable[int]) -> list[tuple[int, int]]:
    """Return the maximal half-open windows `[start, end)` of consecutive grid ids, in order."""
    windows: list[tuple[int, int]] = []
    for grid_id in sorted(set(grid_ids)):
        if windows and windows[-1][1] == grid_id:
            windows[-1] = (windows[-1][0], grid_id + 1)
        else:
            windows.append((grid_id, grid_id + 1))
    return windows
