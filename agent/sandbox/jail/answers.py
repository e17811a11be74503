"""A program's answer as one of the plain kinds, or as text that is marked as no answer.

What an answer is worth is not judged here: an exact text stays exact, but for control characters.
"""

from __future__ import annotations

from typing import Any, Final

from .arguments import INTEGER, ITEMS, TEXT, controls
from .text import show

__all__ = ["ANSWER", "is_answer", "returned"]

ANSWER: Final = 10_000
"""Characters of an answer that is one text."""


def returned(value: Any) -> dict[str, Any]:
    """Write what a program returned as the JSON of `Returned`, all but its history.

    Tuples become lists and sets of texts sorted lists. What is neither text, number, truth value, list of
    texts nor None, or is beyond the bounds, becomes text and is marked as not parsable.
    """
    plain: Any = value
    if type(value) in (list, tuple):
        plain = list(value)
    elif type(value) in (set, frozenset) and all(type(item) is str for item in value):
        plain = sorted(value)
    parsable = is_answer(plain)
    return {"outcome": "returned", "answer": plain if parsable else show(value), "parsable": parsable}


def is_answer(value: object) -> bool:
    """Tell whether a value is an answer of a plain kind and within the bounds."""
    if type(value) is str:
        return _text(value, ANSWER)
    if type(value) is int:
        return -INTEGER <= value < INTEGER
    if type(value) is float:
        return value - value == 0  # neither infinite nor NaN
    if type(value) is list:
        return len(value) <= ITEMS and all(type(item) is str and _text(item, TEXT) for item in value)
    return value is None or type(value) is bool


def _text(value: str, limit: int) -> bool:
    return len(value) <= limit and not controls(value)
