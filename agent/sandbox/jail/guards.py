"""What stands behind the syntax that the policy rewrites: attributes, items, formatting, `+=`.

Attributes are an allow-list by exact type, so frames, functions, modules and exceptions have none. Nothing
here looks at arguments of the program's functions.
"""

from __future__ import annotations

import collections
import difflib
import itertools
import re
import string
from collections.abc import Callable, Iterator
from types import BuiltinMethodType, MethodDescriptorType
from typing import Any, Final, NoReturn, Self

from .clips import ATTRIBUTES, Clip

__all__ = [
    "Facade",
    "Hint",
    "format_value",
    "get_attribute",
    "get_item",
    "writable",
]

WIDTH: Final = 1000
"""Largest width or precision of a format."""

_SPEC: Final = re.compile(r"(?:.?[<>=^])?[-+ ]?z?#?0?(\d{0,9})[,_]?(?:\.(\d{1,9}))?[a-zA-Z%]?", re.DOTALL)

_DICT: Final = "clear copy fromkeys get items keys pop popitem setdefault update values"
_SET: Final = "copy difference intersection isdisjoint issubset issuperset symmetric_difference union"
_METHODS: Final[dict[type, frozenset[str]]] = {
    kind: frozenset(names.split())
    for kind, names in {
        str: "capitalize casefold center count endswith expandtabs find index isalnum isalpha isascii"
        " isdecimal isdigit islower isnumeric isprintable isspace istitle isupper join ljust lower lstrip"
        " maketrans partition removeprefix removesuffix replace rfind rindex rjust rpartition rsplit rstrip"
        " split splitlines startswith strip swapcase title translate upper zfill",
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
        re.Pattern: "findall finditer fullmatch match pattern search split sub subn",
        difflib.SequenceMatcher: "quick_ratio ratio",
    }.items()
}
_WRITABLE: Final = frozenset(
    {list, dict, collections.deque} | {collections.defaultdict, collections.Counter, collections.OrderedDict}
)
_READABLE: Final = frozenset({*_WRITABLE, str, tuple, range, re.Match})
_REFUSING: Final = frozenset({str, tuple, range, set, frozenset, int, float, bool, type(None)})
"""Types that refuse to have items set, in Python's own words."""
_GENERIC: Final = (list, dict, tuple, set, frozenset)
_UNBOUND: Final = (MethodDescriptorType, BuiltinMethodType)
"""What a type may give, such as `str.lower`; methods written in Python would trust whatever is `self`."""

_CONVERSIONS: Final[dict[str, Callable[[object], str]]] = {"r": repr, "s": str, "a": ascii}


class Hint:
    """Stands for each name of `typing`: it may be subscripted and joined by `|`, and serves nothing else."""

    def __new__(cls, *_args: object, **_named: object) -> Self:
        """Refuse: what typing makes of its arguments is not made here."""
        raise TypeError("names from typing serve annotations only")


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
    if name in _METHODS.get(kind, ()):
        return getattr(value, name)
    if kind is type and name in _METHODS.get(value, ()):
        found = getattr(value, name)
        if type(found) in _UNBOUND:
            return found
    shown = f"type object '{value.__name__}'" if kind is type else f"'{kind.__name__}' object"
    raise AttributeError(f"{shown} has no attribute '{name}'")


def get_item(value: Any, key: Any) -> Any:
    """Subscript a sequence or a mapping; `list[str]` and the like are what they are without the brackets."""
    if value is Hint or (type(value) is type and value in _GENERIC):
        return value
    if type(value) not in _READABLE:
        _no_items(value)
    return value[key]


def writable(value: Any) -> Any:
    """Give back what may have its items set or deleted; raise TypeError for anything else."""
    if type(value) not in _WRITABLE and type(value) not in _REFUSING:
        raise TypeError(f"items of '{type(value).__name__}' cannot be set or deleted")
    return value


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
    return _fill(template, args, named, iter(range(len(args))), levels=2)


def _fill(
    template: str, args: tuple[Any, ...], named: dict[str, Any], places: Iterator[int], *, levels: int
) -> str:
    """Fill a template's fields; the format of a field may hold fields in turn, and theirs none."""
    if not levels:
        raise ValueError("Max string recursion exceeded")
    parts = []
    for literal, field, spec, conversion in string.Formatter().parse(template):
        parts.append(literal)
        if field is not None:
            value = _named(field, args, named, places)
            spec = _fill(spec, args, named, places, levels=levels - 1) if spec else ""  # noqa: PLW2901
            parts.append(format_value(value, conversion or "", spec))
    return "".join(parts)


def _named(field: str, args: tuple[Any, ...], named: dict[str, Any], places: Iterator[int]) -> Any:
    """Give the value that a field stands for: by name, by number, or the next one."""
    if field.isidentifier():
        return named[field]
    if field and not field.isdecimal():
        raise ValueError(f"format field '{{{field[:40]}}}' is not simple; use a name or a number")
    place = int(field) if field else next(places, len(args))
    if place >= len(args):
        raise IndexError(f"Replacement index {place} out of range for positional args tuple")
    return args[place]
