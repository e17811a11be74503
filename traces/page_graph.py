"""The data-flow graph of a trace's calls as coordinates for an SVG: calls in layers, from the root clip down.

What depends on what is `aotd.traces.dataflow`'s; this file leaves out what is implied, lays the rest out and
draws nothing itself. Lengths are in SVG user units.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from aotd.traces.dataflow import ANSWER, Unfollowed, dataflow
from aotd.traces.page_text import shown
from aotd.traces.records import Call, Trace

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["Graph", "GraphEdge", "GraphNode", "graph_of"]

_WIDTH: Final = 172
_HEIGHT: Final = 38
_GAP: Final = (14, 26)
"""Between nodes of a layer, and between layers."""
_MARGIN: Final = 6
_LANE: Final = 16
"""Width of the lane in which an edge passes a layer."""
_SWEEPS: Final = 6
_SUBJECT: Final = 24
"""Letters that fit into a box."""
_MANY: Final = 60
"""Edges above which those of data that others imply are left out too."""

_Key = int | str | tuple[int | str, int | str, int]
"""A call's number, the answer, or the place where an edge passes a layer."""


class GraphNode(NamedTuple):
    """A call, or the answer (number 0), as a box."""

    number: int
    label: str
    subject: str
    """What the call is about, shortened."""
    x: float
    y: float
    matters: bool
    """The answer depends on it."""


class GraphEdge(NamedTuple):
    """A dependence, as a path."""

    source: int
    target: int
    """0 for the answer."""
    path: str
    control: bool


class Graph(NamedTuple):
    """What the SVG is made of."""

    nodes: tuple[GraphNode, ...] = ()
    edges: tuple[GraphEdge, ...] = ()
    width: float = 0
    height: float = 0
    node_width: int = _WIDTH
    node_height: int = _HEIGHT
    hidden: int = 0
    """Dependences left out because others imply them."""
    why_not: str = ""
    """Why there is no graph."""


def graph_of(trace: Trace) -> Graph:
    """Lay out the dependences between the calls of a trace and its answer."""
    import networkx as nx

    if not trace.calls:
        return Graph(why_not="no call was made")
    try:
        whole = dataflow(trace)
    except Unfollowed as error:
        return Graph(why_not=str(error))
    needed = {ANSWER, *nx.ancestors(whole, ANSWER)} if trace.failure is None else set(whole)
    if trace.failure is not None:
        whole.remove_node(ANSWER)
    drawn = _thinned(whole)
    layers = _with_lanes(drawn)
    at = _places(_ordered(layers))
    calls: Mapping[int | str, Call] = {call.number: call for call in trace.calls}
    nodes = [
        GraphNode(n, f"{n} {shown(calls[n].function)[:_SUBJECT]}", _subject(calls[n]), *at[n], n in needed)
        if isinstance(n, int)
        else GraphNode(0, n, shown(trace.answer)[:_SUBJECT], *at[n], matters=True)
        for n in drawn
    ]
    edges = [
        GraphEdge(
            int(a),
            b if isinstance(b, int) else 0,
            _path([at[a], *(at[lane] for lane in layers.lanes[a, b]), at[b]]),
            drawn.edges[a, b]["kind"] == "control",
        )
        for a, b in drawn.edges
    ]
    width = max(x for x, _ in at.values()) + _WIDTH + _MARGIN
    height = max(y for _, y in at.values()) + _HEIGHT + _MARGIN
    return Graph(tuple(nodes), tuple(edges), width, height, hidden=whole.size() - drawn.size())


def _thinned(whole: nx.DiGraph[int | str]) -> nx.DiGraph[int | str]:
    """Leave out dependences of control that follow from others; in a large graph those of data too."""
    import networkx as nx

    direct = set(nx.transitive_reduction(whole).edges)
    many = whole.size() > _MANY
    drawn = whole.copy()
    drawn.remove_edges_from(
        [
            (a, b)
            for a, b in whole.edges
            if (a, b) not in direct and (many or whole.edges[a, b]["kind"] == "control")
        ]
    )
    return drawn


class _Layers(NamedTuple):
    """Nodes in layers, with a lane in each layer that an edge passes."""

    graph: nx.DiGraph[_Key]
    depth: dict[_Key, int]
    lanes: dict[tuple[int | str, int | str], list[_Key]]


def _with_lanes(drawn: nx.DiGraph[int | str]) -> _Layers:
    import networkx as nx

    layer: dict[_Key, int] = {
        n: depth for depth, ns in enumerate(nx.topological_generations(drawn)) for n in ns
    }
    if ANSWER in layer:
        layer[ANSWER] = 1 + max(depth for n, depth in layer.items() if n != ANSWER)
    layered: nx.DiGraph[_Key] = nx.DiGraph()
    layered.add_nodes_from(layer)
    lanes: dict[tuple[int | str, int | str], list[_Key]] = {}
    for a, b in drawn.edges:
        passed: list[_Key] = [(a, b, depth) for depth in range(layer[a] + 1, layer[b])]
        layer |= {lane: depth for depth, lane in enumerate(passed, start=layer[a] + 1)}
        layered.add_edges_from(pairwise([a, *passed, b]))
        lanes[a, b] = passed
    return _Layers(layered, layer, lanes)


def _ordered(layers: _Layers) -> list[list[_Key]]:
    """Order each layer by the mean place of its neighbours, down and up in turn."""
    order: list[list[_Key]] = [[] for _ in range(1 + max(layers.depth.values()))]
    for node, depth in layers.depth.items():
        order[depth].append(node)
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        neighbours = layers.graph.pred if down else layers.graph.succ
        for row in order if down else reversed(order):
            place = {n: i / max(1, len(ns) - 1) for ns in order for i, n in enumerate(ns)}
            row.sort(key=lambda n: _mean([place[m] for m in neighbours[n]], place[n]))
    return order


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _places(order: list[list[_Key]]) -> dict[_Key, tuple[float, float]]:
    """Give the top-left corner of each node, rows centred over one another."""
    widths = [
        sum(_LANE if isinstance(n, tuple) else _WIDTH for n in row) + _GAP[0] * (len(row) - 1)
        for row in order
    ]
    at: dict[_Key, tuple[float, float]] = {}
    for depth, row in enumerate(order):
        x = _MARGIN + (max(widths) - widths[depth]) / 2
        for node in row:
            wide = _LANE if isinstance(node, tuple) else _WIDTH
            at[node] = (round(x + (wide - _WIDTH) / 2, 1), _MARGIN + depth * (_HEIGHT + _GAP[1]))
            x += wide + _GAP[0]
    return at


def _path(corners: list[tuple[float, float]]) -> str:
    """Draw a curve from the foot of one box through the lanes to the head of another."""
    x, y = corners[0]
    x, y = x + _WIDTH / 2, y + _HEIGHT
    parts = [f"M{x:g},{y:g}"]
    for place, (left, top) in enumerate(corners[1:], start=2):
        to = left + _WIDTH / 2
        bend = (top - y) / 2
        parts.append(f"C{x:g},{y + bend:g} {to:g},{top - bend:g} {to:g},{top:g}")
        x, y = to, top
        if place < len(corners):
            y += _HEIGHT
            parts.append(f"V{y:g}")
    return "".join(parts)


def _subject(call: Call) -> str:
    """Give the first text among a call's arguments."""
    texts = (value for value in call.args.values() if isinstance(value, str))
    return shown(" ".join(next(texts, "").split()))[:_SUBJECT]
