"""From text to a syntax tree within limits, before anything else looks at it.

Sizes are checked here because compilers crash on trees that are too deep. No policy and no contract.
"""

from __future__ import annotations

import ast
import unicodedata  # noqa: F401 - loaded now: names beyond ASCII and \N{...} need it when confined
from typing import Final, TypedDict

from .recorder import ENTRY

__all__ = ["DEPTH", "NODES", "SIZE", "Reason", "read", "reason"]

SIZE: Final = 64 * 1024
"""Bytes of a program."""

NODES: Final = 20_000
"""Nodes of its syntax tree."""

DEPTH: Final = 80
"""Levels of its syntax tree."""

_SHORTER: Final = "write a shorter program"


class Reason(TypedDict):
    """Why a program is refused; the JSON of `aotd.traces.records.Reason`."""

    line: int | None
    kind: str
    message: str
    hint: str


def reason(line: int | None, kind: str, message: str, hint: str = "") -> Reason:
    """Make a reason."""
    return {"line": line, "kind": kind, "message": message, "hint": hint}


def read(source: str) -> ast.Module | Reason:
    """Parse a program, or say why it cannot be read."""
    if len(source.encode("utf-8", "replace")) > SIZE:
        return reason(None, "limits", f"the program is longer than {SIZE // 1024} KB", _SHORTER)
    try:
        tree = ast.parse(source, "<program>")
    except SyntaxError as error:
        return reason(error.lineno, "syntax", error.msg, "reply with plain Python code only")
    except (ValueError, MemoryError, RecursionError) as error:
        return reason(None, "syntax", f"the program cannot be parsed: {error}", _SHORTER)
    excess = _excess(tree)
    if excess:
        return excess
    tree.body = _without_demonstration([s for s in tree.body if not _is_main_guard(s)])
    return tree


def _excess(tree: ast.AST) -> Reason | None:
    """Count nodes and levels with a stack of our own: recursion is what the limit guards against."""
    nodes, stack = 0, [(tree, 1, 1)]
    while stack:
        node, level, line = stack.pop()
        line = getattr(node, "lineno", line)
        nodes += 1
        if nodes > NODES:
            return reason(line, "limits", f"the program has more than {NODES} syntax nodes", _SHORTER)
        if level > DEPTH:
            message = f"the program is nested deeper than {DEPTH} levels"
            return reason(line, "limits", message, "split it into several statements")
        stack.extend((child, level + 1, line) for child in ast.iter_child_nodes(node))
    return None


def _without_demonstration(body: list[ast.stmt]) -> list[ast.stmt]:
    """Drop what follows the last function if it calls the entry function: a show of how that is used.

    Language models like to end with `print(execute_command(clip, ...))`. The entry function is called from
    outside, with the question's own inputs, so nothing of the answer is in these lines.
    """
    last = max((n for n, s in enumerate(body) if isinstance(s, (ast.FunctionDef, ast.ClassDef))), default=-1)
    tail = body[last + 1 :]
    shown = any(
        isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == ENTRY
        for statement in tail
        for node in ast.walk(statement)
    )
    return body[: last + 1] if last >= 0 and shown else body


def _is_main_guard(statement: ast.stmt) -> bool:
    """Recognise `if __name__ == "__main__":`, which never runs here and is dropped."""
    return (
        isinstance(statement, ast.If)
        and isinstance(statement.test, ast.Compare)
        and isinstance(statement.test.left, ast.Name)
        and statement.test.left.id == "__name__"
    )
