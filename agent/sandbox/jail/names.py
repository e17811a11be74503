"""The builtins that programs see, and the parts of modules that they may import.

Own tables, nothing inherited: a live module, even `re`, leads to `sys` through its public attributes.
"""

from __future__ import annotations

import bisect
import collections
import difflib
import functools
import heapq
import itertools
import json
import math
import operator
import re
import statistics
import string
from collections.abc import Callable
from typing import Any, Final

from .clips import EmptyClip, ToolError
from .guards import Facade, Hint, format_value

__all__ = ["BUILTINS", "MODULES", "load"]


def _format(value: object, spec: str = "") -> str:
    """Stand in for the builtin `format`."""
    return format_value(value, "", spec)


def _dumps(
    value: object,
    *,
    indent: int | str | None = None,
    sort_keys: bool = False,
    ensure_ascii: bool = True,
    separators: tuple[str, str] | None = None,
    default: Callable[[Any], Any] | None = None,
) -> str:
    """Stand in for `json.dumps`."""
    return json.dumps(
        value,
        indent=indent,
        sort_keys=sort_keys,
        ensure_ascii=ensure_ascii,
        separators=separators,
        default=default,
    )


def _loads(text: str) -> Any:
    """Stand in for `json.loads`."""
    return json.loads(text)


def _copy(value: Any) -> Any:
    """Stand in for `copy.copy`: new containers, the same content."""
    return value.copy() if type(value) in _COPIED else value


def _deepcopy(value: Any) -> Any:
    """Stand in for `copy.deepcopy`: containers within containers; clips and functions stay themselves."""
    if type(value) in (list, tuple):
        return type(value)(map(_deepcopy, value))
    if type(value) not in _COPIED or isinstance(value, set):
        return _copy(value)
    made = value.copy()
    if type(value) is collections.deque:
        made.clear()
        made.extend(map(_deepcopy, value))
    else:
        made.update({key: _deepcopy(item) for key, item in value.items()})
    return made


def _cast(_: object, value: Any) -> Any:
    """Stand in for `typing.cast`."""
    return value


_COPIED: Final = (
    *(list, dict, set),
    *(collections.Counter, collections.OrderedDict, collections.defaultdict, collections.deque),
)

_PLAIN: Final = (
    *(
        abs,
        all,
        any,
        bool,
        chr,
        dict,
        divmod,
        enumerate,
        filter,
        float,
        frozenset,
        int,
        isinstance,
        iter,
        len,
    ),
    *(
        list,
        map,
        max,
        min,
        next,
        ord,
        pow,
        range,
        repr,
        reversed,
        round,
        set,
        slice,
        sorted,
        str,
        sum,
        tuple,
        zip,
    ),
    *(
        ArithmeticError,
        AssertionError,
        AttributeError,
        Exception,
        IndexError,
        KeyError,
        LookupError,
        NameError,
    ),
    *(NotImplementedError, OverflowError, RecursionError, RuntimeError, StopIteration, TypeError),
    *(UnboundLocalError, ValueError, ZeroDivisionError, EmptyClip, ToolError),
)

BUILTINS: Final[dict[str, object]] = {**{item.__name__: item for item in _PLAIN}, "format": _format}
"""By name; `print` is added for each run."""


def _part(module: Any, names: str) -> dict[str, object]:
    return {name: getattr(module, name) for name in names.split()}


MODULES: Final[dict[str, dict[str, object]]] = {
    "bisect": _part(bisect, "bisect bisect_left bisect_right insort"),
    "collections": _part(collections, "Counter OrderedDict defaultdict deque"),
    "copy": {"copy": _copy, "deepcopy": _deepcopy},
    "difflib": _part(difflib, "SequenceMatcher get_close_matches"),
    "functools": _part(functools, "cmp_to_key partial reduce"),
    "heapq": _part(heapq, "heapify heappop heappush nlargest nsmallest"),
    "itertools": _part(
        itertools,
        "accumulate chain combinations compress count cycle dropwhile filterfalse groupby islice pairwise"
        " permutations product repeat starmap takewhile zip_longest",
    ),
    "json": {"dumps": _dumps, "loads": _loads, "JSONDecodeError": json.JSONDecodeError},
    "math": _part(
        math,
        "ceil comb copysign cos degrees dist e exp fabs factorial floor fmod fsum gcd hypot inf isclose"
        " isfinite isinf isnan isqrt lcm log log10 log1p log2 nan perm pi pow prod radians sin sqrt tan tau"
        " trunc",
    ),
    "operator": _part(
        operator, "add and_ contains eq floordiv ge gt itemgetter le lt mod mul ne neg not_ or_ sub truediv"
    ),
    "re": _part(re, "compile error escape findall finditer fullmatch match search split sub subn")
    | {"A": 256, "ASCII": 256, "I": 2, "IGNORECASE": 2, "M": 8, "MULTILINE": 8, "S": 16, "DOTALL": 16}
    | {"X": 64, "VERBOSE": 64},
    "statistics": _part(
        statistics,
        "StatisticsError fmean geometric_mean harmonic_mean mean median median_high median_low mode multimode"
        " pstdev pvariance quantiles stdev variance",
    ),
    "string": _part(
        string, "ascii_letters ascii_lowercase ascii_uppercase digits hexdigits punctuation whitespace"
    ),
}
"""What each module offers."""

_FACADES: Final = {title: Facade(title, names) for title, names in MODULES.items()}
_ANNOTATIONS: Final[dict[str, object]] = {
    "Dict": dict,
    "FrozenSet": frozenset,
    "List": list,
    "Set": set,
    "Tuple": tuple,
    "cast": _cast,
}
"""Names of `typing` that are more than a stand-in."""


def load(module: str, name: str | None) -> object:
    """Give a module's facade, or one of its names; a module that is not offered holds annotations only."""
    if module not in MODULES:
        return _ANNOTATIONS.get(name or "", Hint)
    return _FACADES[module] if name is None else MODULES[module][name]
