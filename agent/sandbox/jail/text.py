"""Program text and values as bounded, printable, repeatable text.

Everything that leaves the child as prose passes here: no control characters, no direction marks, no
addresses. This file does not judge arguments of calls; those go out verbatim or not at all.
"""

from __future__ import annotations

import codecs
import re
import reprlib
from typing import Final

__all__ = ["MESSAGE", "VARIABLE", "clean", "show"]

MESSAGE: Final = 300
"""Characters of an exception's message."""

VARIABLE: Final = 200
"""Characters of a variable's value."""

_ADDRESS: Final = re.compile(r" at 0x[0-9a-fA-F]+")


def clean(text: str, limit: int) -> str:
    """Escape what does not print, drop addresses and cut to `limit` characters."""
    text = _ADDRESS.sub("", text[: 2 * limit])
    if not text.isprintable():
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def show(value: object) -> str:
    """Give a value's repr in at most 200 characters; sets and dicts are shown sorted."""
    try:
        return clean(_SHORT.repr(value), VARIABLE)
    except (ValueError, RecursionError, TypeError) as error:
        return f"<{type(value).__name__} that cannot be shown: {type(error).__name__}>"


def _short() -> reprlib.Repr:
    short = reprlib.Repr()
    short.maxlist = short.maxtuple = short.maxset = short.maxfrozenset = short.maxdict = 20
    short.maxdeque = 20
    short.maxstring = short.maxother = short.maxlong = VARIABLE
    short.maxlevel = 3
    return short


_SHORT: Final = _short()
codecs.lookup("unicode_escape")  # a confined child could not load it
