"""Overlap of boxes and intervals, beside hand-worked cases and plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aotd.benchmarks.geometry import box_iou, interval_iou, interval_iou_table, keyframe_recall

number = st.integers(-20, 20).map(float)
boxes = st.lists(st.tuples(number, number, number, number), min_size=1, max_size=8)


def plain_box_iou(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Overlap of two boxes, counted cell by cell on the integer grid."""

    def cells(box: tuple[float, ...]) -> set[tuple[int, int]]:
        x1, y1, x2, y2 = map(int, box)
        return {(x, y) for x in range(x1, x2) for y in range(y1, y2)}

    first, second = cells(a), cells(b)
    return len(first & second) / len(first | second) if first and second else 0.0


@given(boxes, boxes)
def test_box_overlap_equals_counting_cells(
    first: list[tuple[float, ...]], second: list[tuple[float, ...]]
) -> None:
    """For integer boxes, overlap is the share of cells in common; one without area overlaps nothing."""
    pairs = list(zip(first, second, strict=False))
    expected = [plain_box_iou(a, b) for a, b in pairs]
    assert box_iou([a for a, _ in pairs], [b for _, b in pairs]) == pytest.approx(expected)


def test_a_hand_worked_pair_of_boxes() -> None:
    """Two 10 by 10 boxes shifted by half a side share 50 of 150 pixels."""
    assert box_iou([[0, 0, 10, 10]], [[5, 0, 15, 10]]) == pytest.approx([1 / 3])


@given(st.lists(st.tuples(number, number, number, number), min_size=1, max_size=8))
def test_interval_overlap_equals_counting_cells(rows: list[tuple[float, ...]]) -> None:
    """For integer intervals, overlap is the share of cells in common; two empty ones agree."""
    for s, e, t, f in rows:
        a, b = set(range(int(s), int(e))), set(range(int(t), int(f)))
        expected = len(a & b) / len(a | b) if a | b else 1.0
        assert interval_iou([[s, e]], [[t, f]]) == pytest.approx([expected])


def test_a_table_holds_every_pair() -> None:
    """Row i, column j is the overlap of interval i of one list with j of the other."""
    table = interval_iou_table([[0, 2], [4, 8]], [[0, 4], [6, 8], [9, 10]])
    assert table == pytest.approx(np.array([[0.5, 0, 0], [0, 0.5, 0]]))


def test_key_frame_recall_counts_frames_inside_a_half_open_window() -> None:
    """The end of a window is outside it, and without key frames there is nothing to recall."""
    assert keyframe_recall((2, 5), [1, 2, 4, 5]) == 0.5
    assert keyframe_recall((5, 5), [5]) == 0.0
    assert keyframe_recall((0, 32), []) is None
