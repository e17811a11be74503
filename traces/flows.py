"""A graph of what may depend on what: nodes for values, guards and objects, and the flows between them.

Lists and dicts are followed by kinship: all that may share a part count as one object, and what any of them
is given, all may hold. Knows no syntax and no calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["Flows", "Unfollowed", "Value"]

_LARGEST: Final = 400_000
"""Flows that are followed; a program of fifty lines has a few hundred."""


class Unfollowed(ValueError):
    """A program that cannot be followed; one line, naming the line of the program where there is one."""


class Value(NamedTuple):
    """A node, and the object that the value may be, hold or be a part of."""

    node: int
    object: int | None = None


class Flows:
    """The graph, and the guard under which nodes are being made.

    Each edge has the attribute `control`: it decides whether something happens, and is no part of it.
    """

    def __init__(self) -> None:
        import networkx as nx  # a fifth of a second, which only those who need it should wait

        self.graph: nx.DiGraph[int] = nx.DiGraph()
        self._room = _LARGEST
        self.control = self.node()
        """What decides whether the place that is being read is reached."""

    def node(self, *sources: Value | int) -> int:
        """Make a node that depends on the sources."""
        node = len(self.graph)
        self.graph.add_node(node)
        for source in sources:
            self.flow(source, node)
        return node

    def guard(self, *sources: Value | int) -> int:
        """Make a node by which the sources decide whether something happens."""
        guard = self.node()
        for source in sources:
            self.flow(source, guard, control=True)
        return guard

    def flow(self, source: Value | int, to: int, *, control: bool = False) -> None:
        """Let `to` depend on a source; an edge that is known as data stays data.

        Raises
        ------
        Unfollowed
            If the graph gets larger than any program has a need of.
        """
        for part in source if isinstance(source, Value) else (source,):
            if part is None or part == to:
                continue
            self._room -= 1
            if self._room < 0:
                raise Unfollowed(f"the program has more than {_LARGEST} possible flows")
            known = self.graph.get_edge_data(part, to)
            self.graph.add_edge(part, to, control=control and (known is None or known["control"]))

    def steer(self, to: int) -> None:
        """Let `to` depend on whether the place that is being read is reached."""
        self.flow(self.control, to, control=True)

    def kin(self, *values: Value) -> int | None:
        """Make the objects of the values one, and give it."""
        objects = [v.object for v in values if v.object is not None]
        for other in objects[1:]:
            self.flow(objects[0], other)
            self.flow(other, objects[0])
        return objects[0] if objects else None

    def hold(self, node: int, *parts: Value) -> Value:
        """Make a new object with the content of `node`, which may share the parts."""
        made = Value(node, self.node(node))
        self.kin(made, *parts)
        return made

    def put(self, holder: Value, *contents: Value) -> None:
        """Put contents into a value's object."""
        if holder.object is None:
            return
        for content in contents:
            self.flow(content.node, holder.object)
        self.steer(holder.object)
        self.kin(holder, *contents)
