"""Scores of moments, beside hand-worked queries; for published ones see test_published_scores.py."""

from __future__ import annotations

import pytest

from aotd.benchmarks.moments import Query, average_precision, moment_scores


def test_the_first_window_is_held_against_its_best_true_one() -> None:
    """R1 looks at the first window alone, and at the true window that it fits best."""
    scores = moment_scores([Query([(0, 10), (20, 30)], [(20, 26), (0, 10)])])
    assert scores.r1 == {0.3: 100.0, 0.5: 100.0, 0.7: 0.0}
    assert scores.mean_iou == pytest.approx(60)


def test_average_precision_of_a_hand_worked_query() -> None:
    """Hits at ranks 1 and 3 of two true windows give half of 1 and half of 2/3."""
    query = Query([(0, 10), (20, 30)], [(0, 10), (50, 60), (20, 30)])
    assert average_precision(query, [0.5]) == pytest.approx([0.5 * 1 + 0.5 * 2 / 3])


def test_a_true_window_is_matched_once() -> None:
    """A second window on the same true one is a miss."""
    query = Query([(0, 10)], [(0, 10), (0, 10)])
    assert average_precision(query, [0.5]) == pytest.approx([1.0])
    assert average_precision(Query([(0, 10), (90, 99)], [(0, 10), (0, 10)]), [0.5]) == pytest.approx([0.5])


def test_a_query_that_finds_nothing_scores_nothing() -> None:
    """No window is a miss in every measure."""
    scores = moment_scores([Query([(0, 10)], [])])
    assert (scores.mean_iou, scores.mean_ap, scores.r1[0.5]) == (0, 0, 0)


@pytest.mark.parametrize("queries", [[], [Query([], [(0, 1)])]])
def test_what_cannot_be_scored_is_refused(queries: list[Query]) -> None:
    """No queries, or a query without a true window, is an error and no zero."""
    with pytest.raises(ValueError, match="quer"):
        moment_scores(queries)
