"""Read a program without running it: why it should be refused, and which statements at its end to leave out.

A process of its own that reads one job on standard input, writes one JSON outcome and ends, for a backend
that has its own interpreter: the host parses no program that has not been looked at.
"""

from __future__ import annotations

import ast
import json
import os
import sys
from contextlib import suppress
from typing import Any, Final

from . import lint, names, source
from .policy import Policy
from .text import MESSAGE, clean

__all__ = ["main"]

_REASONS: Final = 100
_SECONDS: Final = 5
_MEMORY: Final = 512 * 1024 * 1024


def main() -> None:
    """Do the job."""
    job = json.loads(sys.stdin.buffer.read())
    _confine()
    text = json.dumps(_read(job["program"], job["entry"], job["api"]), ensure_ascii=False)
    sys.stdout.buffer.write(text.encode("utf-8", "replace"))


def _confine() -> None:
    """Put up what layers there are; nothing is executed here, so that one lacks is no reason not to read."""
    try:
        from .confine import LAYERS, Bounds, prepare
    except ImportError:  # a system without resource limits
        return
    bounds = Bounds(_SECONDS, _MEMORY, os.getppid())
    for step in prepare(LAYERS).values():
        with suppress(OSError, ValueError):
            step(bounds)


def _read(program: str, entry: list[str], api: list[Any]) -> dict[str, Any]:
    """Give all reasons, those for which it cannot be run, and the places of statements to drop."""
    tree = source.read(program)
    if not isinstance(tree, ast.Module):
        return {"reasons": _told([tree]), "unfit": _told([tree])}
    functions = {f["name"]: f for f in api}
    kept = {_place(statement) for statement in tree.body}
    dropped = [place for s in ast.parse(program).body if (place := _place(s)) not in kept]
    found, bare = lint.lint(tree, entry, functions, {*names.BUILTINS, "print"}), lint.entry(tree, entry)
    policy = Policy(functions, names.MODULES)
    policy.visit(tree)
    # Names that no program has are a matter of policy here: the interpreter may have them.
    unfit = bare + [reason for reason in found if reason["kind"] == "policy"] + policy.reasons
    return {"reasons": _told(found + policy.reasons), "unfit": _told(unfit), "dropped": dropped}


def _told(reasons: list[source.Reason]) -> list[Any]:
    """Bound reasons, and put them in order of lines."""
    return [
        reason | {"message": clean(reason["message"], MESSAGE), "hint": clean(reason["hint"], MESSAGE)}
        for reason in sorted(reasons, key=lambda r: r["line"] or 0)[:_REASONS]
    ]


def _place(statement: ast.stmt) -> tuple[int, int, int, int]:
    """Give a statement's place: lines from 1, columns in bytes from 0."""
    line, column = statement.end_lineno, statement.end_col_offset
    return statement.lineno, statement.col_offset, line or statement.lineno, column or statement.col_offset
