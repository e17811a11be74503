"""Paired tests and intervals, beside textbook values and exact enumeration."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from aotd.benchmarks.statistics import bootstrap, mcnemar


def test_mcnemar_of_a_hand_worked_table() -> None:
    """With 1 and 6 in disagreement the two-sided p is 2 * (1 + 7) / 128 = 0.125."""
    first = [True] + [False] * 6 + [True] * 5
    second = [False] + [True] * 6 + [True] * 5
    assert mcnemar(first, second) == (1, 6, pytest.approx(0.125))


def test_mcnemar_equals_counting_all_signs() -> None:
    """The p value is the share of sign patterns at least as lopsided as the one seen."""
    for ours, theirs in itertools.product(range(6), range(6)):
        first = [True] * ours + [False] * theirs
        second = [False] * ours + [True] * theirs
        parted = ours + theirs
        patterns = itertools.product([0, 1], repeat=parted)
        as_lopsided = sum(abs(2 * sum(p) - parted) >= abs(ours - theirs) for p in patterns)
        assert mcnemar(first, second).p == pytest.approx(as_lopsided / 2**parted)


def test_mcnemar_wants_the_same_questions() -> None:
    """Lists of unlike length are no pairs."""
    with pytest.raises(ValueError, match="answers of one system"):
        mcnemar([True], [True, False])


def test_a_bootstrap_interval_holds_the_mean_and_repeats() -> None:
    """The interval surrounds the mean of the values, is of the width theory gives, and is seeded."""
    values = [100.0 * (i % 4 == 0) for i in range(400)]
    interval = bootstrap(values, range(400))
    assert interval == bootstrap(values, range(400))
    assert interval.mean == 25.0
    half = 1.96 * float(np.std(values)) / 20
    assert interval.high - interval.mean == pytest.approx(half, rel=0.1)
    assert interval.mean - interval.low == pytest.approx(half, rel=0.1)


def test_questions_of_one_video_are_resampled_together() -> None:
    """When questions of a video agree, clusters give the wider interval that they should."""
    values = [100.0 * (i // 10 % 2) for i in range(4000)]
    apart = bootstrap(values, range(4000))
    together = bootstrap(values, [i // 10 for i in range(4000)])
    assert (together.high - together.low) / (apart.high - apart.low) == pytest.approx(10**0.5, rel=0.15)


@pytest.mark.parametrize(("values", "clusters"), [([], []), ([1.0], [1, 2])])
def test_a_bootstrap_wants_a_cluster_for_each_value(values: list[float], clusters: list[int]) -> None:
    """No values, or clusters that do not match, are refused."""
    with pytest.raises(ValueError, match="clusters"):
        bootstrap(values, clusters)
