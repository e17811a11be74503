"""What stands behind the syntax that the policy rewrites: attributes, items, formatting, `+=`.

Attributes are an allow-list by exact type, so frames, functions, modules and exceptions have none. Nothing
here looks at arguments of the program's functions.
"""

from __future__ import annotations

import collections
import itertools
import operator
import re
import string
from collections.abc import Callable
from typing import Any, Final, NoReturn

from .clips import ATTRIBUTES, Clip

__all__ = ["Facade", "format_value", "get_attribute", "get_item", "in_place", "in_place_item", "writable"]

WIDTH: Final = 1000
"""Largest width or precision of a format."""

_SPEC: Final = re.compile(r"(?:.?[<>=^])?[-+ ]?z?#?0?(\d{0,9})[,_]?(?:\.(\d{1,9}))?[a-zA-Z%]?", re.DOTALL)

_DICT: Final = "clear copy fromkeys get items keys pop popitem setdefault update values"
_SET: Final = "copy difference intersection isdisjoint issubset issuperset symmetric_difference union"
_METHODS: Final[dict[type, frozenset[str]]] = {
    kind: frozenset(names.split())
    for kind, names in {
        str: "capitalize casefold center count endswith expandtabs find index isalnum isalpha isdecimal"
        " isdigit islower isnumeric isspace istitle isupper join ljust lower lstrip partition removeprefix"
        " removesuffix replace rfind rindex rjust rpartition rsplit rstrip split splitlines startswith"
        " strip swapcase title upper zfill",
        list: "append clear copy count extend index insert pop remove reverse sort",
        tuple: "count index",
        dict: _DICT,
        set: _SET + " add clear difference_update discard intersection_update pop remove"
        " symmetric_difference_update update",
        frozenset: _SET,
        int: "bit_length",
        float: "is_integer",
        range: "count index start step stop",
        collections.Counter: _DICT + " elements most_common subtract total",
        collections.defaultdict: _DICT,
        collections.OrderedDict: _DICT + " move_to_end",
        collections.deque: "append appendleft clear copy count extend extendleft index insert pop popleft"
        " remove reverse rotate",
        itertools.chain: "from_iterable",
        re.Match: "end group groupdict groups span start",
        re.Pattern: "findall finditer fullmatch match search split sub",
    }.items()
}
_WRITABLE: Final = (list, dict, collections.defaultdict, collections.Counter, collections.OrderedDict)
_READABLE: Final = frozenset({*_WRITABLE, str, tuple, range, collections.deque, re.Match})

_IN_PLACE: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "+=": operator.iadd,
    "-=": operator.isub,
    "*=": operator.imul,
    "/=": operator.itruediv,
    "%=": operator.imod,
    "**=": operator.ipow,
    "<<=": operator.ilshift,
    ">>=": operator.irshift,
    "|=": operator.ior,
    "^=": operator.ixor,
    "&=": operator.iand,
    "//=": operator.ifloordiv,
}
_CONVERSIONS: Final[dict[str, Callable[[object], str]]] = {"r": repr, "s": str, "a": ascii}


class Facade:
    """A module with the named functions and no others."""

    __slots__ = ("names", "title")

    def __init__(self, title: str, names: dict[str, object]) -> None:
        self.title = title
        self.names = names

    def __repr__(self) -> str:
        return f"<module {self.title}>"


def get_attribute(
    value: Any, name: str, read: Callable[[Clip, str], int], functions: frozenset[str] = frozenset()
) -> Any:
    """Get an attribute that is allowed for the value's exact type.

    Raises
    ------
    AttributeError
        For every other attribute, with a hint where a clip is asked for a function of the API.
    """
    kind = type(value)
    if kind is Clip:
        if name in ATTRIBUTES:
            return read(value, name)
        hint = f"; write {name}(clip, ...)" if name in functions else "; it has start, end and num_frames"
        raise AttributeError(f"a clip has no attribute '{name}'{hint}")
    if kind is Facade:
        if name in value.names:
            return value.names[name]
        raise AttributeError(f"module '{value.title}' offers no '{name}' here, only {', '.join(value.names)}")
    if kind is str and name == "format":
        return lambda *args, **named: _format_text(value, args, named)
    if name in _METHODS.get(kind, ()) or (kind is type and name in _METHODS.get(value, ())):
        return getattr(value, name)
    raise AttributeError(f"'{kind.__name__}' object has no attribute '{name}'")


def get_item(value: Any, key: Any) -> Any:
    """Subscript a sequence or a mapping."""
    if type(value) not in _READABLE:
        _no_items(value)
    return value[key]


def writable(value: Any) -> Any:
    """Give back a list or dict; raise TypeError for anything whose items cannot be set or deleted."""
    if type(value) not in _WRITABLE:
        raise TypeError(f"items of '{type(value).__name__}' cannot be set or deleted")
    return value


def in_place(sign: str, left: Any, right: Any) -> Any:
    """Compute `left sign right`, such as `x += 1`."""
    if sign not in _IN_PLACE:
        raise TypeError(f"the operator {sign} is not allowed")
    return _IN_PLACE[sign](left, right)


def in_place_item(sign: str, holder: Any, key: Any, right: Any) -> None:
    """Do `holder[key] sign right`, evaluating each part once."""
    writable(holder)[key] = in_place(sign, holder[key], right)


def format_value(value: Any, conversion: str = "", spec: str = "") -> str:
    """Format one field.

    Raises
    ------
    ValueError
        For a format that is not simple, or wider than `WIDTH`.
    """
    if conversion:
        value = _CONVERSIONS[conversion](value)
    if not spec:
        return str(value)
    parts = _SPEC.fullmatch(spec)
    if not parts or any(int(number or 0) > WIDTH for number in parts.groups()):
        raise ValueError(f"format '{spec[:40]}' is not a simple one of at most {WIDTH} characters")
    return format(value, spec)


def _no_items(value: object) -> NoReturn:
    if type(value) is Clip:
        raise TypeError("a clip has no items; use trim(clip, start, end)")
    raise TypeError(f"'{type(value).__name__}' object is not subscriptable")


def _format_text(template: str, args: tuple[Any, ...], named: dict[str, Any]) -> str:
    """Do `str.format` with simple fields only: C code would walk attributes for the others."""
    parts, automatic = [], 0
    for literal, field, spec, conversion in string.Formatter().parse(template):
        parts.append(literal)
        if field is None:
            continue
        if not field:
            field, automatic = str(automatic), automatic + 1  # noqa: PLW2901
        if not (field.isdecimal() or field.isidentifier()) or "{" in (spec or ""):
            raise ValueError(f"format field '{{{field[:40]}}}' is not simple; use a name or a number")
        value = args[int(field)] if field.isdecimal() else named[field]
        parts.append(format_value(value, conversion or "", spec or ""))
    return "".join(parts)
