"""From text to a syntax tree within limits, before anything else looks at it.

Sizes are checked here because compilers crash on trees that are too deep. No policy and no contract.
"""

from __future__ import annotations

import ast
import unicodedata  # noqa: F401 - loaded now: names beyond ASCII and \N{...} need it when confined
from typing import Final, TypedDict

__all__ = ["DEPTH", "NODES", "SIZE", "Reason", "read", "reason"]

SIZE: Final = 64 * 1024
"""Bytes of a program."""

NODES: Final = 20_000
"""Nodes of its syntax tree."""

DEPTH: Final = 80
"""Levels of its syntax tree."""


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
        return reason(None, "limits", f"the program is longer than {SIZE // 1024} KB")
    try:
        tree = ast.parse(source, "<program>")
    except SyntaxError as error:
        return reason(error.lineno, "syntax", error.msg, "reply with plain Python code only")
    except (ValueError, MemoryError, RecursionError) as error:
        return reason(None, "syntax", f"the program cannot be parsed: {error}")
    nodes, depth = _measure(tree)
    if nodes > NODES:
        return reason(None, "limits", f"the program has more than {NODES} syntax nodes")
    if depth > DEPTH:
        return reason(None, "limits", f"the program is nested deeper than {DEPTH} levels")
    tree.body = [statement for statement in tree.body if not _is_main_guard(statement)]
    return tree


def _measure(tree: ast.AST) -> tuple[int, int]:
    """Count nodes and levels with a stack of our own: recursion is what the limit guards against."""
    nodes, depth, stack = 0, 0, [(tree, 1)]
    while stack:
        node, level = stack.pop()
        nodes += 1
        depth = max(depth, level)
        if nodes > NODES or depth > DEPTH:
            break
        stack.extend((child, level + 1) for child in ast.iter_child_nodes(node))
    return nodes, depth


def _is_main_guard(statement: ast.stmt) -> bool:
    """Recognise `if __name__ == "__main__":`, which never runs here and is dropped."""
    return (
        isinstance(statement, ast.If)
        and isinstance(statement.test, ast.Compare)
        and isinstance(statement.test.left, ast.Name)
        and statement.test.left.id == "__name__"
    )
