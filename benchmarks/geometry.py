"""Overlap of boxes and of intervals, and recall of key frames, over whole arrays at once.

Boxes are x1, y1, x2, y2 with no pixel added at the far edge; intervals are half-open, of any unit. Knows no
dataset and no model.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["box_iou", "interval_iou", "interval_iou_table", "keyframe_recall"]

Floats = NDArray[np.float64]


def box_iou(first: ArrayLike, second: ArrayLike) -> Floats:
    """Give intersection over union of boxes, pair by pair.

    Parameters
    ----------
    first, second
        [N, 4] each: x1, y1, x2, y2. A box without area overlaps nothing.

    Returns
    -------
    array
        [N], 0 to 1.
    """
    a, b = _rows(first, 4), _rows(second, 4)
    low = np.maximum(a[:, :2], b[:, :2])
    high = np.minimum(a[:, 2:], b[:, 2:])
    common = _product(high - low)
    areas = _product(a[:, 2:] - a[:, :2]), _product(b[:, 2:] - b[:, :2])
    union = areas[0] + areas[1] - common
    solid = (areas[0] > 0) & (areas[1] > 0)
    shares: Floats = np.divide(common, union, out=np.zeros(len(a)), where=solid)
    return shares


def interval_iou(first: ArrayLike, second: ArrayLike) -> Floats:
    """Give intersection over union of intervals [start, end), pair by pair: [N, 2] and [N, 2] to [N].

    Two empty intervals agree (1), an empty and a full one do not (0).
    """
    a, b = _rows(first, 2), _rows(second, 2)
    common = np.maximum(np.minimum(a[:, 1], b[:, 1]) - np.maximum(a[:, 0], b[:, 0]), 0)
    lengths = np.maximum(a[:, 1] - a[:, 0], 0), np.maximum(b[:, 1] - b[:, 0], 0)
    common = np.where((lengths[0] > 0) & (lengths[1] > 0), common, 0)
    union = lengths[0] + lengths[1] - common
    shares: Floats = np.divide(common, union, out=np.ones(len(a)), where=union > 0)
    return shares


def interval_iou_table(first: ArrayLike, second: ArrayLike) -> Floats:
    """Give the overlap of each interval of one list with each of another: [N, 2] and [M, 2] to [N, M]."""
    a, b = _rows(first, 2), _rows(second, 2)
    pairs = interval_iou(np.repeat(a, len(b), axis=0), np.tile(b, (len(a), 1)))
    return pairs.reshape(len(a), len(b))


def keyframe_recall(window: ArrayLike, positions: ArrayLike) -> float | None:
    """Give the share of key frames that a window [start, end) holds; None without key frames."""
    start, end = np.asarray(window, dtype=float)
    frames = np.asarray(positions, dtype=float)
    return float(np.mean((frames >= start) & (frames < end))) if frames.size else None


def _rows(values: ArrayLike, width: int) -> Floats:
    return np.asarray(values, dtype=float).reshape(-1, width)


def _product(sides: Floats) -> Floats:
    """Multiply two sides, [N, 2] to [N]; a side that runs backwards is 0."""
    sides = np.maximum(sides, 0)
    product: Floats = sides[:, 0] * sides[:, 1]
    return product
