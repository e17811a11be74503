"""The builtins that programs see, and the parts of modules that they may import.

Own tables, nothing inherited: a live module, even `re`, leads to `sys` through its public attributes.
"""

from __future__ import annotations

import collections
import heapq  # noqa: F401 - loaded now: Counter.most_common would import it after the child is confined
import itertools
import json
import math
import re
import statistics
from typing import Any, Final

from .clips import EmptyClip, ToolError
from .guards import Facade, format_value

__all__ = ["BUILTINS", "MODULES", "load"]


def _format(value: object, spec: str = "") -> str:
    """Stand in for the builtin `format`."""
    return format_value(value, "", spec)


def _dumps(value: object, indent: int | None = None, sort_keys: bool = False) -> str:  # noqa: FBT001, FBT002
    """Stand in for `json.dumps`."""
    return json.dumps(value, indent=indent, sort_keys=sort_keys)


def _loads(text: str) -> Any:
    """Stand in for `json.loads`."""
    return json.loads(text)


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
    "collections": _part(collections, "Counter OrderedDict defaultdict deque"),
    "itertools": _part(
        itertools, "accumulate chain combinations count cycle groupby islice permutations product zip_longest"
    ),
    "json": {"dumps": _dumps, "loads": _loads},
    "math": _part(math, "ceil e fabs floor fsum gcd inf isclose isnan log log10 log2 pi pow prod sqrt trunc"),
    "re": _part(re, "compile escape findall finditer fullmatch match search split sub")
    | {"I": 2, "IGNORECASE": 2, "M": 8, "MULTILINE": 8, "S": 16, "DOTALL": 16},
    "statistics": _part(statistics, "mean median median_high median_low mode multimode pstdev stdev"),
}
"""What each module offers."""

_FACADES: Final = {title: Facade(title, names) for title, names in MODULES.items()}


def load(module: str, name: str | None) -> object:
    """Give a module's facade, or one of its names."""
    return _FACADES[module] if name is None else MODULES[module][name]
