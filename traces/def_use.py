"""What can reach what in a program: definitions, uses and control, read off its syntax tree in one pass.

A name counts as all that it is ever given in its function, whatever the order; a function of the program
is read once, as an object that is given its arguments and gives back its results. So loops, branches and
recursion need no second pass, and the graph errs on one side only: a flow too many, never one too few. A
program that ends by an exception gives no answer, so only exceptions that it may catch are followed. Nothing
is run, and what calls found is not looked at.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from aotd.traces.flows import Flows, Unfollowed, Value
from aotd.traces.scopes import COPYING, Scopes, api_name, bound_names

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["DefUse", "Site", "def_use"]

_ENTRY: Final = "execute_command"
_CALLING: Final = frozenset({"map", "filter", "iter", "next"})
"""Builtins that call what they are given, or use it up."""
_METHODS: Final = (
    "capitalize casefold center copy count difference elements end endswith expandtabs find findall"
    " finditer format fromkeys fullmatch get group groupdict groups index intersection is_integer isalnum"
    " isalpha isdecimal isdigit isdisjoint islower isnumeric isspace issubset issuperset istitle isupper"
    " items join keys ljust lower lstrip match most_common partition removeprefix removesuffix replace rfind"
    " rindex rjust rpartition rsplit rstrip search span split splitlines start startswith strip swapcase"
    " symmetric_difference title total union upper values zfill"
)
_READING: Final = frozenset(_METHODS.split())
"""Methods that change nothing; any other may change what it is called on and what it is given."""


class Site(NamedTuple):
    """A place in the program that calls a function of the API, from its first line to its last."""

    function: str
    first: int
    last: int | None
    """None for a function that is passed on as a value: its calls may stand anywhere."""


class DefUse(NamedTuple):
    """The flows of a program; each edge has the attribute `control`."""

    graph: nx.DiGraph[int]
    sites: dict[int, Site]
    answer: int
    """The node of what the program returns."""


@dataclass
class _Function:
    """What a function being read has met so far."""

    result: Value
    exits: list[tuple[int, bool]] = field(default_factory=list)
    """The guard of each `return`, `raise`, `break` and `continue`, and whether it leaves the function."""
    raising: list[int] = field(default_factory=list)
    """For each `try` around, what may raise in it."""


def def_use(tree: ast.Module, listing: Collection[str] = ()) -> DefUse:
    """Read a program.

    Parameters
    ----------
    tree
        The program.
    listing
        Functions of the API that give lists, which a program may change; texts, numbers and clips it cannot.

    Raises
    ------
    Unfollowed
        For syntax that programs may not use, and if there is no `execute_command`.
    """
    reader = _Reader(tree, listing)
    reader.block(tree.body)
    if reader.answer is None:
        raise Unfollowed(f"the program defines no {_ENTRY}")
    return DefUse(reader.flows.graph, reader.sites, reader.answer)


class _Reader:
    """Builds the flows; each method reads one kind of syntax."""

    def __init__(self, tree: ast.Module, listing: Collection[str]) -> None:
        self.flows = Flows()
        self.sites: dict[int, Site] = {}
        self.answer: int | None = None
        self._listing = listing
        self._scopes = Scopes(self.flows, tree, listing)
        self._tries = any(isinstance(node, ast.Try) for node in ast.walk(tree))
        self._passed_on: dict[str, Value] = {}
        self._function = _Function(Value(self.flows.node()))

    # Names

    def _name(self, name: str) -> Value:
        if name in self._scopes.bound:
            return self._scopes.read(name)
        return self._passing_on(name) if api_name(name) else Value(self.flows.node())

    def _passing_on(self, function: str) -> Value:
        """Read a function of the API as a value: whoever holds it may call it with what he has."""
        if function not in self._passed_on:
            given = self.flows.node()
            site = self.flows.node(given)
            self.sites[site] = Site(function, 1, None)
            self._passed_on[function] = Value(site, given)
        return self._passed_on[function]

    # Statements

    def block(self, statements: Iterable[ast.stmt]) -> None:
        """Read statements one after another."""
        for statement in statements:
            self._statement(statement)

    def _statement(self, statement: ast.stmt) -> None:
        match statement:
            case ast.Assign(targets=targets, value=expr):
                value = self._value(expr)
                for target in targets:
                    self._assign(target, value)
            case ast.AnnAssign(target=target, value=ast.expr() as expr):
                self._assign(target, self._value(expr))
            case ast.AugAssign(target=target, value=expr):
                self._augment(target, self._value(expr))
            case ast.Delete(targets=targets):
                for target in targets:
                    self._assign(target, Value(self.flows.node()))
            case ast.Expr(value=expr):
                self._value(expr)
            case ast.If(test=test, body=body, orelse=orelse):
                self._branch(self._value(test), body, orelse)
            case ast.For() | ast.While():
                self._loop(statement)
            case ast.Try():
                self._try(statement)
            case ast.FunctionDef(name=name, args=arguments, body=body):
                self._scopes.bind(name, self._define(name, arguments, body))
            case ast.Global(names=names):
                self._scopes.declare_global(names)
            case ast.Nonlocal(names=names):
                self._scopes.declare_nonlocal(names)
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                for alias in aliases:
                    self._scopes.bind(alias.asname or alias.name, Value(self.flows.node()))
            case ast.Pass() | ast.AnnAssign():
                pass
            case _:
                self._leave(statement)

    def _leave(self, statement: ast.stmt) -> None:
        """Read a statement that may leave the function or end a turn of its loop."""
        match statement:
            case ast.Return(value=expr):
                value, result = self._value(expr) if expr else Value(self.flows.node()), self._function.result
                self.flows.flow(value, result.node)
                self.flows.steer(result.node)
                self.flows.kin(result, value)
            case ast.Raise(exc=error, cause=cause):
                for expr in filter(None, (error, cause)):
                    self._value(expr)
            case ast.Assert(test=test):
                self.flows.control = self.flows.guard(self.flows.control, self._value(test))
            case ast.Break() | ast.Continue():
                pass
            case _:
                raise Unfollowed(_misfit(statement))
        self._function.exits.append((self.flows.control, not isinstance(statement, ast.Break | ast.Continue)))
        for raising in self._function.raising[-1:]:
            self.flows.flow(self.flows.control, raising)

    def _assign(self, target: ast.expr, value: Value) -> None:
        match target:
            case ast.Name(id=name):
                self._scopes.bind(name, value)
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                for part in parts:
                    self._assign(part, value)
            case ast.Starred(value=inner):
                self._assign(inner, value)
            case ast.Subscript(value=holder, slice=key):
                self.flows.put(self._value(holder), value, self._value(key))
            case _:
                raise Unfollowed(_misfit(target))

    def _augment(self, target: ast.expr, value: Value) -> None:
        """Read `x += v`: a list is changed where it is, anything else replaced."""
        if isinstance(target, ast.Name):
            self.flows.put(self._name(target.id), value)
        self._assign(target, value)

    def _branch(self, test: Value, body: list[ast.stmt], orelse: list[ast.stmt]) -> None:
        outer, mark = self.flows.control, len(self._function.exits)
        guard = self.flows.guard(outer, test)
        for block in (body, orelse):
            self.flows.control = guard
            self.block(block)
        self._go_on(outer, mark)

    def _go_on(self, outer: int, mark: int) -> None:
        """Leave a statement: what comes after it also depends on whether something in it left."""
        left = [guard for guard, _ in self._function.exits[mark:]]
        self.flows.control = self.flows.guard(outer, *left) if left else outer

    def _loop(self, loop: ast.For | ast.While) -> None:
        outer, exits = self.flows.control, self._function.exits
        mark = len(exits)
        turns = self._value(loop.iter) if isinstance(loop, ast.For) else None
        guard = self.flows.control = self.flows.guard(outer)
        if isinstance(loop, ast.While):
            turns = self._value(loop.test)
        elif turns is not None:
            self._assign(loop.target, turns)
        self.block(loop.body)
        if turns is not None:
            self.flows.flow(turns, guard, control=True)
        for left, _ in exits[mark:]:
            self.flows.flow(left, guard, control=True)
        exits[mark:] = [(left, True) for left, function in exits[mark:] if function]
        self.flows.control = guard
        self.block(loop.orelse)
        self._go_on(outer, mark)

    def _try(self, statement: ast.Try) -> None:
        """Read a `try`: whatever its body looks at may decide whether the rest of it or a handler runs."""
        outer, mark, around = self.flows.control, len(self._function.exits), self._function.raising
        raised = self.flows.node()
        for raising in around[-1:]:
            self.flows.flow(raised, raising)
        guard = self.flows.guard(outer, raised)
        around.append(raised)
        self.flows.control = guard
        self.block(statement.body)
        around.pop()
        for handler in statement.handlers:
            self.flows.control = guard
            if handler.name:
                self._scopes.bind(handler.name, Value(raised))
            self.block(handler.body)
        self.flows.control = guard
        self.block(statement.orelse)
        self._go_on(outer, mark)
        self.block(statement.finalbody)

    def _define(self, name: str, arguments: ast.arguments, body: list[ast.stmt]) -> Value:
        """Read a function of the program."""
        flows, given = self.flows, self.flows.node()
        made = Value(flows.node(), given)
        flows.put(
            made, *(self._value(expr) for expr in (*arguments.defaults, *arguments.kw_defaults) if expr)
        )
        outer, around = flows.control, self._function
        flows.control = flows.guard(given)
        inner = self._function = _Function(
            Value(flows.node(), given), raising=[flows.node()] if self._tries else []
        )
        parameters = {node.arg for node in ast.walk(arguments) if isinstance(node, ast.arg)}
        self._scopes.enter(parameters)
        for parameter in sorted(parameters):
            self._scopes.bind(parameter, Value(given, given))
        self.block(body)
        self._scopes.leave()
        for source in (inner.result.node, *inner.raising):
            flows.flow(source, made.node)
        flows.control, self._function = outer, around
        if name == _ENTRY and self._scopes.at_module:
            self.answer = flows.node(inner.result.node)
        return made

    # Expressions

    def _value(self, expr: ast.expr) -> Value:
        """Read an expression."""
        value = self._read(expr)
        for raising in self._function.raising[-1:]:
            self.flows.flow(value, raising)
        return value

    def _read(self, expr: ast.expr) -> Value:
        match expr:
            case ast.Name(id=name):
                return self._name(name)
            case ast.Call():
                return self._call(expr)
            case ast.Lambda(args=arguments, body=body):
                return self._define("", arguments, [ast.copy_location(ast.Return(body), body)])
            case ast.ListComp(elt=element) | ast.SetComp(elt=element) | ast.GeneratorExp(elt=element):
                return self._comprehension(expr.generators, [element])
            case ast.DictComp(key=key, value=inner):
                return self._comprehension(expr.generators, [key, inner])
            case ast.NamedExpr(target=target, value=inner):
                value = self._value(inner)
                self._assign(target, value)
                return value
            case ast.IfExp() | ast.BoolOp():
                return self._choice(expr)
            case ast.Await() | ast.Yield() | ast.YieldFrom():
                raise Unfollowed(_misfit(expr))
        parts = [self._value(child) for child in ast.iter_child_nodes(expr) if isinstance(child, ast.expr)]
        node = self.flows.node(*parts)
        if isinstance(expr, ast.Subscript | ast.Starred | ast.Attribute | ast.Slice):
            return Value(node, self.flows.kin(*parts))
        if isinstance(expr, ast.List | ast.Tuple | ast.Set | ast.Dict | ast.BinOp):
            return self.flows.hold(node, *parts)
        return Value(node)

    def _choice(self, expr: ast.IfExp | ast.BoolOp) -> Value:
        """Read expressions of which not all are: what comes before decides about what comes after."""
        outer = self.flows.control
        parts: list[Value] = []
        for operand in [expr.test, expr.body, expr.orelse] if isinstance(expr, ast.IfExp) else expr.values:
            self.flows.control = self.flows.guard(outer, *parts)
            parts.append(self._value(operand))
        self.flows.control = outer
        chosen = parts[1:] if isinstance(expr, ast.IfExp) else parts
        node = self.flows.node(*chosen)
        self.flows.flow(parts[0], node, control=True)
        return Value(node, self.flows.kin(*chosen))

    def _comprehension(self, generators: list[ast.comprehension], elements: list[ast.expr]) -> Value:
        """Read a comprehension: a loop that keeps its targets to itself."""
        outer = self.flows.control
        targets = {name for generator in generators for name in bound_names(generator.target)}
        turns = self._value(generators[0].iter)  # the only part that is read outside
        self._scopes.enter(targets, comprehension=True)
        guard = self.flows.control = self.flows.guard(outer)
        for number, generator in enumerate(generators):
            turns = self._value(generator.iter) if number else turns
            self._assign(generator.target, turns)
            for decides in (turns, *map(self._value, generator.ifs)):
                self.flows.flow(decides, guard, control=True)
        parts = [self._value(element) for element in elements]
        self._scopes.leave()
        self.flows.control = outer
        node = self.flows.node(*parts)
        self.flows.flow(guard, node, control=True)
        return self.flows.hold(node, *parts)

    def _call(self, call: ast.Call) -> Value:
        """Read a call: of the API, of a builtin, of a method that only reads, or of whatever else."""
        given = [self._value(expr) for expr in (*call.args, *(keyword.value for keyword in call.keywords))]
        name = (
            call.func.id if isinstance(call.func, ast.Name) and call.func.id not in self._scopes.bound else ""
        )
        if name and api_name(name):
            return self._site(name, call, given)
        parts = given if name else [self._value(call.func), *given]
        node = self.flows.node(*parts)
        if name in COPYING:
            return Value(node)
        reads = isinstance(call.func, ast.Attribute) and call.func.attr in _READING
        calls_back = name in _CALLING or any(keyword.arg == "key" for keyword in call.keywords)
        if not reads and (calls_back or not name):
            self.flows.steer(node)
            for part in parts:
                self.flows.put(part, Value(node))
        return self.flows.hold(node, *parts)

    def _site(self, function: str, call: ast.Call, given: list[Value]) -> Value:
        """Read a call of the API: it changes nothing, and a list that it gives is new."""
        node = self.flows.node(*given)
        self.flows.steer(node)
        self.sites[node] = Site(function, call.lineno, call.end_lineno)
        return Value(node, self.flows.node(node) if function in self._listing else None)


def _misfit(node: ast.stmt | ast.expr) -> str:
    return f"line {node.lineno}: {type(node).__name__} is no part of a program"
