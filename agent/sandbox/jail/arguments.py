"""Bind and check the arguments of a program's call, and write them as JSON.

Kinds come from the API's declarations. A fault raises inside the program at once: TypeError for the wrong
kind, ValueError for the right kind out of bounds. Nothing is coerced but tuples and sets to lists. The host
holds every call against the same bounds again, since it does not trust what wrote it.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final, TypedDict

from .clips import Clip

__all__ = [
    "DEPTH",
    "INTEGER",
    "ITEMS",
    "SIZE",
    "TEXT",
    "Function",
    "Parameter",
    "bind",
    "controls",
    "encode",
    "escape",
]

TEXT: Final = 2000
"""Characters of a text."""

ITEMS: Final = 200
"""Items of a list or dict."""

DEPTH: Final = 6
"""Levels of a dict."""

SIZE: Final = 64 * 1024
"""Bytes of one call's arguments as JSON."""

INTEGER: Final = 2**63
"""Whole numbers are at least its negative and less than it."""

_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class Parameter(TypedDict):
    """A parameter as declared."""

    name: str
    kind: str
    required: bool


class Function(TypedDict):
    """A function as declared."""

    name: str
    parameters: list[Parameter]
    returns: str
    local: bool


def bind(function: Function, args: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any]:
    """Bind values to parameter names, in order of declaration.

    Raises
    ------
    TypeError
        For a missing, unknown, repeated or surplus argument.
    """
    name, parameters = function["name"], function["parameters"]
    if len(args) > len(parameters):
        raise TypeError(f"{name}() takes {len(parameters)} arguments but {len(args)} were given")
    known = [p["name"] for p in parameters]
    bound = dict(zip(known, args, strict=False))
    for key, value in named.items():
        if key not in known:
            raise TypeError(
                f"{name}() got an unexpected keyword argument '{key}'; it takes {', '.join(known)}"
            )
        if key in bound:
            raise TypeError(f"{name}() got multiple values for argument '{key}'")
        bound[key] = value
    missing = [p["name"] for p in parameters if p["required"] and p["name"] not in bound]
    if missing:
        raise TypeError(f"{name}() is missing the argument '{missing[0]}'")
    return {key: bound[key] for key in known if key in bound}


def encode(function: Function, bound: dict[str, Any]) -> dict[str, Any]:
    """Write bound arguments as JSON; an optional argument that is None is left out.

    Raises
    ------
    TypeError
        For an argument of the wrong kind.
    ValueError
        For one that is too long, too deep or not finite.
    """
    encoded, room = {}, _Room(f"{function['name']}() arguments are longer than {SIZE // 1024} KB")
    for parameter in function["parameters"]:
        key = parameter["name"]
        if key not in bound or (bound[key] is None and not parameter["required"]):
            continue
        where = f"{function['name']}() argument '{key}'"
        encoded[key] = _encode(parameter["kind"], bound[key], where, room)
    if len(json.dumps(encoded, ensure_ascii=False, separators=(",", ":")).encode()) > SIZE:
        raise ValueError(room.told)
    return encoded


def controls(text: str) -> bool:
    """Tell whether a text holds control characters but tabs and line ends, or marks that turn it around."""
    return _CONTROL.search(text) is not None


def escape(text: str) -> str:
    """Write a text's control characters as their code points in hexadecimal."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


class _Room:
    """What is left of `SIZE` while arguments are written: lists that hold one another grow without end."""

    __slots__ = ("left", "told")

    def __init__(self, told: str) -> None:
        self.left = SIZE
        self.told = told

    def take(self, size: int) -> None:
        """Use some, at most what the JSON will take."""
        self.left -= size
        if self.left < 0:
            raise ValueError(self.told)


def _encode(kind: str, value: Any, where: str, room: _Room) -> Any:
    found = type(value)
    if value is None and kind in ("str?", "int?", "list[str]?"):
        return None
    if kind == "clip" and found is Clip:
        return {"$clip": value.name}
    if kind in ("str", "str?", "str|list[str]") and found is str:
        return _text(value, where, room)
    if kind == "int?" and found is int:
        return _integer(value, where)
    if kind in ("list[str]?", "str|list[str]") and found in (list, tuple, set, frozenset):
        return _texts(value, where, room)
    if kind == "dict" and isinstance(value, dict):
        return _plain(value, where, room, 1)
    raise TypeError(f"{where} must be {_WORDS[kind]}, not {_name(value)}")


_WORDS: Final = {
    "clip": "a clip",
    "str": "a str",
    "str?": "a str or None",
    "int?": "an int or None",
    "list[str]?": "a list of str or None",
    "str|list[str]": "a str or a list of str",
    "dict": "a dict",
}


def _name(value: object) -> str:
    return "None" if value is None else "a clip" if type(value) is Clip else type(value).__name__


def _text(value: str, where: str, room: _Room) -> str:
    if len(value) > TEXT:
        raise ValueError(f"{where} is longer than {TEXT} characters")
    if controls(value):
        raise ValueError(f"{where} holds a control character")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{where} holds half of a character") from None
    room.take(len(value) + 2)
    return value


def _integer(value: int, where: str) -> int:
    if not -INTEGER <= value < INTEGER:
        raise ValueError(f"{where} is larger than 64 bits")
    return value


def _texts(value: Any, where: str, room: _Room) -> list[str]:
    if len(value) > ITEMS:
        raise ValueError(f"{where} has more than {ITEMS} items")
    for item in value:
        if type(item) is not str:
            raise TypeError(f"{where} must hold str only, not {_name(item)}")
    ordered = sorted(value) if isinstance(value, (set, frozenset)) else list(value)
    return [_text(item, where, room) for item in ordered]


def _plain(value: Any, where: str, room: _Room, level: int) -> Any:
    """Write a dict's contents: JSON scalars, lists and dicts of them."""
    found = type(value)
    room.take(1)
    if value is None or found is bool:
        return value
    if found is str:
        return _text(value, where, room)
    if found is int:
        return _integer(value, where)
    if found is float:
        if not math.isfinite(value):
            raise ValueError(f"{where} holds {value}, which is not a number")
        return value
    if found in (set, frozenset):
        return _texts(value, where, room)
    if found not in (list, tuple) and not isinstance(value, dict):
        hint = "; put in what was seen, or clip.start and clip.end" if found is Clip else ""
        raise TypeError(f"{where} cannot hold {_name(value)}{hint}")
    if len(value) > ITEMS:
        raise ValueError(f"{where} has more than {ITEMS} items")
    if level > DEPTH:
        raise ValueError(f"{where} is nested deeper than {DEPTH} levels")
    if not isinstance(value, dict):
        return [_plain(item, where, room, level + 1) for item in value]
    for key in value:
        if type(key) is not str:
            raise TypeError(f"{where} must have str keys, not {_name(key)}")
    return {
        "$dict": [
            [_text(key, where, room), _plain(item, where, room, level + 1)] for key, item in value.items()
        ]
    }
