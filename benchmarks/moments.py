"""Scores of retrieved moments: R1 at an overlap, mean overlap of the first, mean average precision.

The definitions are those of QVHighlights (Lei et al., NeurIPS 2021): the first window of a query is held
against its best-overlapping true one; average precision is taken for each query over its ten best windows,
interpolated, and averaged over queries and over overlaps 0.5, 0.55, ..., 0.95. Runs no model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aotd.benchmarks.geometry import interval_iou_table

__all__ = ["MomentScores", "Query", "average_precision", "moment_scores"]

OVERLAPS: Final = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
_BEST: Final = 10
"""Windows of a query that count for average precision."""

Window = tuple[float, float]


class Query(NamedTuple):
    """One query's windows."""

    true: Sequence[Window]
    found: Sequence[Window]
    """Best first."""


class MomentScores(NamedTuple):
    """Percentages over queries."""

    queries: int
    r1: dict[float, float]
    """Share of queries whose first window overlaps a true one by at least so much."""
    mean_iou: float
    """Mean overlap of first windows."""
    ap: dict[float, float]
    """Mean average precision by overlap."""
    mean_ap: float


def moment_scores(
    queries: Sequence[Query], r1_at: Sequence[float] = (0.3, 0.5, 0.7), ap_at: Sequence[float] = OVERLAPS
) -> MomentScores:
    """Score queries.

    Raises
    ------
    ValueError
        If there are none, or one has no true window.
    """
    if not queries:
        raise ValueError("there are no queries to score")
    if not all(query.true for query in queries):
        raise ValueError("a query without a true window cannot be scored")
    first = np.array([interval_iou_table(query.found[:1], query.true).max(initial=0.0) for query in queries])
    precisions = np.array([average_precision(query, ap_at) for query in queries])
    by_overlap = 100 * precisions.mean(axis=0)
    return MomentScores(
        queries=len(queries),
        r1={at: float(100 * np.mean(first >= at)) for at in r1_at},
        mean_iou=float(100 * first.mean()),
        ap=dict(zip(ap_at, map(float, by_overlap), strict=True)),
        mean_ap=float(by_overlap.mean()),
    )


def average_precision(query: Query, overlaps: Sequence[float]) -> NDArray[np.float64]:
    """Give the interpolated average precision of one query at each overlap: [len(overlaps)]."""
    found = query.found[:_BEST]
    if not found:
        return np.zeros(len(overlaps))
    table = interval_iou_table(found, query.true)
    if len(found) == 1:  # precision is 1 up to the recall of one hit
        return np.array([table.max() >= overlap for overlap in overlaps]) / len(query.true)
    return np.array([_interpolated(_hits(table, overlap), len(query.true)) for overlap in overlaps])


def _hits(table: NDArray[np.float64], overlap: float) -> NDArray[np.bool_]:
    """Match windows, best first, each to the free true window that it overlaps most."""
    free = np.ones(table.shape[1], dtype=bool)
    hits = np.zeros(len(table), dtype=bool)
    for place, row in enumerate(table):
        best = int(np.argmax(np.where(free, row, -1)))
        if free[best] and row[best] >= overlap:
            hits[place], free[best] = True, False
    return hits


def _interpolated(hits: NDArray[np.bool_], positives: int) -> float:
    """Take the area under precision made monotone, over recall."""
    right = np.cumsum(hits)
    precision = np.concatenate([right / np.arange(1, len(hits) + 1), [0.0]])
    recall = np.concatenate([right / positives, [1.0]])
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))
