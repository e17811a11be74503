"""Read rows of JSONL, or of one JSON array, each with the number of its line; any bytes give rows or faults.

This file knows no format.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

__all__ = ["Place", "read_rows"]


class Place(NamedTuple):
    """A row and where it stands; `fault` says why it could not be read."""

    where: str
    value: Any = None
    fault: str = ""


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


_DECODER: Final = json.JSONDecoder(parse_constant=_no_constant)
_SPACE: Final = " \t\r\n"


def read_rows(path: Path) -> Iterator[Place]:
    """Read the rows of a file: a JSON array if it begins with `[`, else one JSON value per line.

    Blank lines are no rows. After a fault in an array nothing more of it can be read.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    with path.open("rb") as file:
        if file.read(256).lstrip()[:1] == b"[":
            file.seek(0)
            yield from _array(file.read())
            return
        file.seek(0)
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield _row(line, number)


def _row(line: bytes, number: int) -> Place:
    where = f"line {number}"
    try:
        return Place(where, _DECODER.decode(line.decode("utf-8")))
    except (ValueError, RecursionError) as error:
        return Place(where, fault=_why(error))


def _array(content: bytes) -> Iterator[Place]:
    """Read the elements of an array one by one, to know their lines."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content.count(b"\n", 0, error.start)
        yield Place(f"line {before + 1}", fault=_why(error))
        return
    at, line, counted = _skip(text, text.index("[") + 1), 1, 0
    more = text[at : at + 1] != "]"
    while more:
        line, counted = line + text.count("\n", counted, at), at
        try:
            value, end = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            yield Place(f"line {line}", fault=_why(error))
            return
        yield Place(f"line {line}", value)
        at = _skip(text, end)
        more = text[at : at + 1] == ","
        if more:
            at = _skip(text, at + 1)
        elif text[at : at + 1] != "]":
            yield Place(f"line {line}", fault="the array does not go on after this row")
            return
    if text[at + 1 :].strip(_SPACE):
        yield Place(f"line {line}", fault="something follows the array")


def _skip(text: str, at: int) -> int:
    """Return the position of the next character that is not blank."""
    while text[at : at + 1] and text[at] in _SPACE:
        at += 1
    return at


def _why(error: Exception) -> str:
    """Tell a fault without quoting the file."""
    match error:
        case UnicodeDecodeError():
            return "not UTF-8"
        case json.JSONDecodeError():
            return f"not JSON: {error.msg}"
        case RecursionError():
            return "not JSON that can be read: nested too deeply"
        case _:
            return f"not JSON: {' '.join(str(error).split())[:100]}"
