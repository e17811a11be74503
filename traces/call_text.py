"""A call in one line of plain text: `Find(clip=clip0, obj="cup") -> clip2: frames 3 to 9`.

Words of programs and models are untrusted: characters that do not print are written as escapes, and lines are
cut at a length. Draws no colours and reads no run.
"""

from __future__ import annotations

import json
from typing import Final

from pydantic import JsonValue

from aotd.traces.handles import entries, handle, runs
from aotd.traces.records import Call, Clip

__all__ = ["LONGEST", "asked_text", "call_text", "flat", "given_text"]

LONGEST: Final = 60
"""Characters of one value."""


def flat(text: str, longest: int = LONGEST) -> str:
    """Put a text that is not ours on one line that prints, cut at a length."""
    told = " ".join(text.split())
    if not told.isprintable():
        told = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in told)
    return told if len(told) <= longest else f"{told[: longest - 1]}\u2026"


def call_text(call: Call) -> str:
    """Tell what a call was asked and what it gave."""
    return f"{asked_text(call)} \u2192 {given_text(call)}"


def asked_text(call: Call) -> str:
    """Tell a call as a program would write it."""
    given = ", ".join(f"{name}={flat(_argument(value), 40)}" for name, value in call.args.items())
    return f"{flat(call.function)}({flat(given, 2 * LONGEST)})"


def given_text(call: Call) -> str:
    """Tell what a call gave: an error, frames, or a value; and how many boxes it rests on."""
    if call.error is not None:
        return flat(f"{call.error.kind}: {call.error.message}", 2 * LONGEST)
    boxes = f", {len(call.sightings)} boxes" if call.sightings else ""
    if isinstance(call.result, Clip):
        windows = (f"{s} to {e}" if e > s + 1 else str(s) for s, e in runs(call.result.grid_ids))
        told = flat(", ".join(windows))
        return f"clip{call.number}: {f'frames {told}' if told else 'no frames'}{boxes}"
    return flat(json.dumps(call.result, ensure_ascii=False)) + boxes


def _argument(value: JsonValue) -> str:
    if isinstance(value, dict):
        return handle(value) or "{" + ", ".join(f"{k}: {_argument(v)}" for k, v in entries(value)) + "}"
    return json.dumps(value, ensure_ascii=False)
