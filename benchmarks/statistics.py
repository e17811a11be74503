"""Is a difference more than chance: the exact McNemar test, and intervals by resampling videos.

Questions about one video are not independent, so intervals resample whole videos (a cluster bootstrap).
Everything is seeded. Knows no dataset.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np

__all__ = ["Interval", "Paired", "bootstrap", "mcnemar"]


class Paired(NamedTuple):
    """Two systems on the same questions."""

    first_only: int
    """Right by the first alone."""
    second_only: int
    p: float
    """Two-sided: how likely a difference at least this large is if neither is better."""


class Interval(NamedTuple):
    """A mean with its interval."""

    mean: float
    low: float
    high: float


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> Paired:
    """Compare two systems question by question (exact binomial form of McNemar's test).

    Raises
    ------
    ValueError
        If they were not asked the same number of questions.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} answers of one system and {len(second)} of the other")
    ours = sum(a and not b for a, b in zip(first, second, strict=True))
    theirs = sum(b and not a for a, b in zip(first, second, strict=True))
    parted, fewer = ours + theirs, min(ours, theirs)
    tail = sum(math.comb(parted, k) for k in range(fewer + 1))
    return Paired(ours, theirs, float(min(1, 2 * tail / 2**parted)) if parted else 1.0)


def bootstrap(
    values: Sequence[float],
    clusters: Sequence[Hashable],
    *,
    rounds: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Give the mean of values and its percentile interval, resampling whole clusters.

    Parameters
    ----------
    values
        One per question.
    clusters
        The video of each question.
    rounds
        Resamples.
    level
        Share of resamples inside the interval.
    seed
        Of the resampling.

    Raises
    ------
    ValueError
        If there are no values, or not one cluster for each.
    """
    if not values or len(values) != len(clusters):
        raise ValueError(
            f"{len(values)} values and {len(clusters)} clusters: give one for each, at least one"
        )
    places = {cluster: place for place, cluster in enumerate(dict.fromkeys(clusters))}
    of = np.array([places[cluster] for cluster in clusters])
    sums = np.bincount(of, weights=np.asarray(values, dtype=float))
    counts = np.bincount(of)
    drawn = np.random.default_rng(seed).integers(len(places), size=(rounds, len(places)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    edge = (1 - level) / 2
    low, high = np.quantile(means, [edge, 1 - edge])
    return Interval(float(np.mean(values)), float(low), float(high))
