"""The names of a program: where each is bound, and all that it is ever given there.

A name that a function binds itself may also be read from around it; both are meant then. Knows no statements.
"""

from __future__ import annotations

import ast
import builtins
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from aotd.traces.flows import Flows, Value

__all__ = ["COPYING", "Scopes", "api_name", "bound_names"]

_PLAIN: Final = (
    "abs all any bool chr divmod float format int isinstance len ord pow print range repr round str"
)
COPYING: Final = frozenset(_PLAIN.split())
"""Builtins whose result shares no part with what they are given."""


def bound_names(tree: ast.AST) -> Iterator[str]:
    """Yield the names that a tree binds, those of functions inside included, as often as it does."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()) | ast.arg(arg=name):
                yield name
            case ast.FunctionDef(name=name) | ast.ExceptHandler(name=str(name)):
                yield name
            case ast.alias(name=name, asname=other):
                yield other or name


def api_name(name: str) -> bool:
    """Tell whether a name that the program does not bind is a function of the API."""
    return not hasattr(builtins, name) and name not in {"EmptyClip", "ToolError"}


@dataclass
class _Scope:
    """The module, a function or a comprehension."""

    own: frozenset[str]
    """Names that are surely its own; others may be those of a scope around."""
    comprehension: bool = False
    names: dict[str, Value] = field(default_factory=dict)
    outside: set[str] = field(default_factory=set)
    """Names declared global."""
    around: set[str] = field(default_factory=set)
    """Names declared nonlocal."""


class Scopes:
    """The scopes around the place that is being read.

    Parameters
    ----------
    flows
        The graph that the names belong to.
    tree
        The program.
    listing
        Functions of the API that give lists.
    """

    def __init__(self, flows: Flows, tree: ast.Module, listing: Collection[str]) -> None:
        counted = Counter(bound_names(tree))
        self.bound = frozenset(counted)
        """Names that the program binds anywhere."""
        self._simple = self._bound_simply(tree, listing, counted)
        self._flows = flows
        self._stack = [_Scope(self.bound)]

    @property
    def at_module(self) -> bool:
        """Whether no function and no comprehension is being read."""
        return len(self._stack) == 1

    def enter(self, own: Iterable[str], *, comprehension: bool = False) -> None:
        """Begin a function with its parameters, or a comprehension with its targets."""
        self._stack.append(_Scope(frozenset(own), comprehension))

    def leave(self) -> None:
        """End what was entered last."""
        self._stack.pop()

    def declare_global(self, names: Iterable[str]) -> None:
        """Let the function bind names of the module."""
        self._stack[-1].outside.update(names)

    def declare_nonlocal(self, names: Iterable[str]) -> None:
        """Let the function bind names of the functions around it; which of them is left open."""
        self._stack[-1].around.update(names)

    def bind(self, name: str, value: Value) -> None:
        """Give a name a value, besides those that it has."""
        scope = next(s for s in reversed(self._stack) if name in s.own or not s.comprehension)
        bound = [self._stack[0] if name in scope.outside else scope]
        for held in (self._held(s, name) for s in (self._stack if name in scope.around else bound)):
            self._flows.flow(value.node, held.node)
            self._flows.steer(held.node)
            self._flows.kin(held, value)

    def read(self, name: str) -> Value:
        """Read a name: its own scope's, or else that of any scope around."""
        found = []
        for scope in reversed(self._stack):
            found.append(self._held(scope, name))
            if name in scope.own:
                break
        return found[0] if len(found) == 1 else Value(self._flows.node(*found), self._flows.kin(*found))

    def _held(self, scope: _Scope, name: str) -> Value:
        if name not in scope.names:
            object_ = None if name in self._simple else self._flows.node()
            scope.names[name] = Value(self._flows.node(), object_)
        return scope.names[name]

    def _bound_simply(self, tree: ast.Module, listing: Collection[str], counted: Counter[str]) -> set[str]:
        """Find names that are never given what could be changed: clips, texts and numbers only."""
        simply = Counter(
            target.id
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign) and self._simple_value(node.value, listing)
            for target in node.targets
            if isinstance(target, ast.Name)
        )
        return {name for name, times in counted.items() if simply[name] == times}

    def _simple_value(self, expr: ast.expr, listing: Collection[str]) -> bool:
        match expr:
            case ast.Call(func=ast.Name(id=name)) if name not in self.bound:
                return name in COPYING or (api_name(name) and name not in listing)
            case _:
                return isinstance(expr, ast.Constant | ast.Compare | ast.JoinedStr | ast.UnaryOp)
