"""Answers of the right kind for a dry run, when no model is asked.

Three characters: `rich` sees everything and says yes, `lean` sees half and says no, `blind` sees nothing at
all. None is an answer to anything; they only take a program through its branches, to its end.
"""

from __future__ import annotations

from typing import Any, Final

from .arguments import Function
from .calls import Source

__all__ = ["blind", "lean", "rich"]

_TEXTS: Final = {
    "Query_Objs": ["cup", "book", "phone"],
    "Query_Actions": ["open the door", "take the cup", "put down the cup"],
    "Video_caption": ["a person opens a door", "2 people take a cup"],
}
_SAID: Final = ["Yes, 2 people: one on the left takes the red cup, then opens the door", "no"]
"""Texts with a number, a yes and a no in them: programs look for these."""


def rich() -> Source:
    """Answer with all frames, yes, one, and the first options."""
    return lambda function, bound: {"ok": _answer(function, bound, generous=True)}


def lean() -> Source:
    """Answer with half of the frames, no, nothing counted, and the last option."""
    return lambda function, bound: {"ok": _answer(function, bound, generous=False)}


def blind() -> Source:
    """Answer that nothing was found: empty clips and lists, no, none, and an empty text."""
    nothing: dict[str, Any] = {"clip": {"$clip": {"frames": []}}, "list[str]": [], "str": "", "bool": False}
    return lambda function, bound: {"ok": nothing.get(function["returns"], 0)}


def _answer(function: Function, bound: dict[str, Any], *, generous: bool) -> Any:
    kind = function["returns"]
    options = list(bound.get("possible_answers") or ())
    if kind == "clip":
        frames = bound["clip"].frames
        return {"$clip": {"frames": list(frames if generous else frames[: (len(frames) + 1) // 2])}}
    if kind == "list[str]":
        texts = options or _TEXTS.get(function["name"], ["a cup", "a book"])
        return texts[:3] if generous else texts[-1:]
    if kind == "str":
        texts = options or _SAID
        return texts[0] if generous else texts[-1]
    return generous if kind == "bool" else int(generous)
