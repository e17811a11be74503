"""Which calls of a trace the answer, and every other call, depends on.

The program is read, not run (`aotd.traces.def_use`); each place in it that calls a function of the API stands
for the calls recorded there, by line. What a place that was never reached could have given reaches nothing.
The graph errs on the safe side: it may hold a dependence too many, never one too few. It draws nothing.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from aotd.traces.def_use import DefUse, def_use
from aotd.traces.flows import Unfollowed
from aotd.traces.records import Call, Trace

if TYPE_CHECKING:
    import networkx as nx

__all__ = ["ANSWER", "Unfollowed", "dataflow"]

ANSWER: Final = "answer"
"""The node of what the program returned."""

_SIZE: Final = 64 * 1024
_NODES: Final = 20_000
_DEPTH: Final = 80
"""Bytes, syntax nodes and levels of a program: the limits of the sandbox, which refuses anything larger."""


def dataflow(trace: Trace) -> nx.DiGraph[int | str]:
    """Build the graph of dependences between a trace's calls.

    Parsing here, outside the sandbox, is bounded: a program that was run has passed the sandbox's own parse
    and its limits in the same interpreter, and the limits are applied again for traces that come from
    elsewhere. Nothing of the program is executed.

    Returns
    -------
    networkx.DiGraph
        Nodes are the numbers of all calls, and `ANSWER`. An edge goes from a call to what depends on it
        directly and carries `kind`: `data` when its result may be part of the arguments or of the answer,
        else `control`, when it may only decide whether the other is made or returned. Everything that
        matters for the answer is `networkx.ancestors(graph, ANSWER)`.

    Raises
    ------
    Unfollowed
        If the program cannot be parsed, is over the limits, or uses syntax that programs may not use.
    """
    import networkx as nx

    listing = {call.function for call in trace.calls if isinstance(call.result, list)}
    flow = def_use(_parsed(trace.program), listing)
    graph: nx.DiGraph[int | str] = nx.DiGraph()
    graph.add_nodes_from([*(call.number for call in trace.calls), ANSWER])
    made = _made(flow, trace.calls)
    found: dict[tuple[int, ...], dict[int, str]] = {}
    for call in trace.calls:
        places = tuple(made[call.number])
        if places not in found:
            found[places] = _sources(flow, places, made)
        kinds = found[places] if places else dict.fromkeys(made, "data")
        graph.add_edges_from((n, call.number, {"kind": k}) for n, k in kinds.items() if n < call.number)
    needed = _sources(flow, (flow.answer,), made) | {n: "data" for n, places in made.items() if not places}
    graph.add_edges_from((number, ANSWER, {"kind": kind}) for number, kind in needed.items())
    return graph


def _parsed(source: str) -> ast.Module:
    if len(source.encode("utf-8", "replace")) > _SIZE:
        raise Unfollowed(f"the program is longer than {_SIZE // 1024} KB")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a doubtful escape is the program's business
            tree = ast.parse(source, "<program>")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise Unfollowed(f"the program cannot be parsed: {error}") from None
    level: list[ast.AST] = [tree]
    nodes = 0
    for _ in range(_DEPTH):
        nodes += len(level)
        if not level or nodes > _NODES:
            break
        level = [child for node in level for child in ast.iter_child_nodes(node)]
    if level:
        raise Unfollowed(f"the program has more than {_NODES} syntax nodes or {_DEPTH} levels of them")
    return tree


def _made(flow: DefUse, calls: Iterable[Call]) -> dict[int, list[int]]:
    """Find the places in the program at which each call may have been made; none if no place fits."""
    return {
        call.number: [
            node
            for node, site in flow.sites.items()
            if site.function == call.function
            and site.first <= call.line
            and (site.last is None or call.line <= site.last)
        ]
        for call in calls
    }


def _sources(flow: DefUse, places: tuple[int, ...], made: Mapping[int, list[int]]) -> dict[int, str]:
    """Give the calls on which any of the places depends directly, and how."""
    at: dict[int, list[int]] = {}
    for number, sites in made.items():
        for site in sites:
            at.setdefault(site, []).append(number)
    reached = {
        number: "control" for site in _back(flow, places, data_only=False) for number in at.get(site, ())
    }
    data = {number: "data" for site in _back(flow, places, data_only=True) for number in at.get(site, ())}
    return reached | data


def _back(flow: DefUse, places: Iterable[int], *, data_only: bool) -> set[int]:
    """Go back along the flows, up to the next place that calls a function."""
    seen: set[int] = set()
    left = list(places)
    while left:
        for source, edge in flow.graph.pred[left.pop()].items():
            if source not in seen and not (data_only and edge["control"]):
                seen.add(source)
                if source not in flow.sites:
                    left.append(source)
    return seen
