r"""Words of the pages: texts that are not ours made visible, frames, seconds and sizes in words.

What is left of a text are characters that print; others are written as `\u202e`, so that no text can turn
the direction of what stands beside it, or hide. Escaping for HTML is the templates' work, not done here.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from typing import Final

from aotd.traces.handles import runs
from aotd.traces.records import GRID, Span

__all__ = ["LONGEST", "frames_told", "in_seconds", "page_name", "shorten", "shown", "source_lines", "took"]

LONGEST: Final = 4000
"""Characters of one text that a page shows."""

_JOINERS: Final = "\u200c\u200d"
"""Invisible, but some scripts are not written without them."""


def shown(text: object) -> str:
    """Make every character of a text visible; line breaks stay, tabs become spaces."""
    words = str(text).expandtabs(4)
    if words.isprintable():
        return words
    return "".join(c if _prints(c) else _named(c) for c in words.replace("\r\n", "\n"))


def _prints(character: str) -> bool:
    return (
        character == "\n"
        or character in _JOINERS
        or character.isprintable()
        or unicodedata.category(character) == "Zs"
    )


def _named(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def shorten(text: str, longest: int = LONGEST) -> str:
    """Cut a text off, saying how long it was."""
    if len(text) <= longest:
        return text
    return f"{text[:longest]} \u2026 (cut here; {len(text):,} characters)"


def frames_told(grid_ids: Iterable[int]) -> str:
    """Write frames of the grid as half-open windows: `[4, 10) [12, 13)`, or `no frames`."""
    return " ".join(f"[{start}, {end})" for start, end in runs(grid_ids)) or "no frames"


def in_seconds(grid_ids: Iterable[int], span: Span | None) -> str:
    """Write when the first of some frames begins and the last ends, in seconds; empty if not known."""
    windows = runs(grid_ids)
    if span is None or not windows:
        return ""
    start, end = (span[0] + (span[1] - span[0]) * at / GRID for at in (windows[0][0], windows[-1][1]))
    return f"{start:.1f}\u2013{end:.1f}\u00a0s"


def took(seconds: float) -> str:
    """Write a duration; empty for none measured."""
    if seconds <= 0:
        return ""
    return f"{seconds * 1000:.0f} ms" if seconds < 0.9995 else f"{seconds:.1f} s"


def page_name(question_id: str) -> str:
    """Name the file of a question's page; ids are untrusted, and some file systems take `q` for `Q`.

    Sixty letters, digits, `-` and `_` of the id stay; eight hex digits of its SHA-256 tell ids apart.
    """
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", question_id)[:60].strip("-")
    digest = hashlib.sha256(question_id.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{plain or 'question'}-{digest}.html"


def source_lines(program: str) -> list[str]:
    """Split a program as Python does, which knows fewer line breaks than `str.splitlines`."""
    lines = re.split(r"\r\n|\r|\n", program)
    return lines if lines[-1] else lines[:-1]
