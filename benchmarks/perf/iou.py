"""How fast overlaps and scores are: `python -m aotd.benchmarks.perf.iou [--units N] [--seed S]`.

Box and interval IoU over whole arrays beside the same sums in plain Python loops, over made-up boxes and
windows; both must agree. Then the time to score so many units of detection and of grounding, intervals and
all. No model is asked.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from aotd.benchmarks.geometry import box_iou, interval_iou
from aotd.benchmarks.star_scores import detection, detection_baseline, events, events_baseline
from aotd.benchmarks.star_units import DetectionUnit, EventUnit
from aotd.tools.models import Detection, DetectRequest, FrameRef, Frames, GroundRequest, Moment
from aotd.tools.oracle import Sheet
from aotd.tools.sampling import Timeline
from aotd.traces.records import GRID, Box
from aotd.traces.situations import SituationGraph
from aotd.traces.star_vocabulary import OBJECT_NAMES

Result = TypeVar("Result")

SHEET = Sheet("none", SituationGraph(), Timeline(video="v", first=0, frames=GRID), 0.0, 25.0, future=False)


def plain_box_iou(first: Sequence[Box], second: Sequence[Box]) -> list[float]:
    """Give the overlap of boxes, one pair after the other."""
    shares = []
    for (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) in zip(first, second, strict=True):
        common = max(0, min(ax2, bx2) - max(ax1, bx1)) * max(0, min(ay2, by2) - max(ay1, by1))
        union = (ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - common
        shares.append(common / union if union else 0.0)
    return shares


def plain_interval_iou(first: Sequence[tuple[int, int]], second: Sequence[tuple[int, int]]) -> list[float]:
    """Give the overlap of intervals, one pair after the other."""
    shares = []
    for (a, b), (c, d) in zip(first, second, strict=True):
        common = max(0, min(b, d) - max(a, c))
        union = (b - a) + (d - c) - common
        shares.append(common / union if union else 1.0)
    return shares


def timed(work: Callable[[], Result], rounds: int = 5) -> tuple[float, Result]:
    """Give the best time of a few rounds, seconds, and the result."""
    best, result = float("inf"), work()
    for _ in range(rounds):
        begin = time.perf_counter()
        result = work()
        best = min(best, time.perf_counter() - begin)
    return best, result


def random_boxes(units: int, chance: np.random.Generator) -> list[Box]:
    """Make boxes up, of some area."""
    low = chance.integers(0, 300, size=(units, 2))
    high = low + chance.integers(1, 180, size=(units, 2))
    return [(int(x1), int(y1), int(x2), int(y2)) for (x1, y1), (x2, y2) in zip(low, high, strict=True)]


def random_windows(units: int, chance: np.random.Generator) -> list[tuple[int, int]]:
    """Make windows on the grid up."""
    starts = chance.integers(0, GRID - 1, size=units)
    return [(int(start), int(chance.integers(start + 1, GRID + 1))) for start in starts]


def compare(name: str, plain: Callable[[], list[float]], arrays: Callable[[], object]) -> None:
    """Time both ways, see that they agree, and print the ratio."""
    slow, expected = timed(plain)
    fast, found = timed(arrays)
    assert np.allclose(expected, np.asarray(found))
    print(f"{name:13}: loop {1000 * slow:7.2f} ms, arrays {1000 * fast:6.2f} ms, ratio {slow / fast:5.1f}")


def score_units(units: int, chance: np.random.Generator) -> None:
    """Score made-up units of both kinds, a hundred to a video, with their trivial baselines."""
    names = [str(name) for name in chance.choice(OBJECT_NAMES, size=units)]
    truths, guesses = random_boxes(units, chance), random_boxes(units, chance)
    boxed = [
        DetectionUnit(
            f"{i}",
            f"v{i // 100}",
            names[i],
            DetectRequest(frame=FrameRef(video="v", index=0), names=(names[i],)),
            truths[i],
            SHEET,
        )
        for i in range(units)
    ]
    found = [(Detection(name="", box=box, score=1.0),) for box in guesses]
    request = GroundRequest(frames=Frames(video="v", indices=tuple(range(GRID))), text="an event")
    timed_units = [
        EventUnit(f"{i}", f"v{i // 100}", "Sequence", "a000", request, (s, e - 1), (s, e), GRID, SHEET)
        for i, (s, e) in enumerate(random_windows(units, chance))
    ]
    moments = [(Moment(windows=(w,), score=1.0),) for w in random_windows(units, chance)]
    for name, work in (
        ("detection", lambda: (detection(boxed, found), detection_baseline(boxed))),
        ("grounding", lambda: (events(timed_units, moments), events_baseline(timed_units, (0, GRID)))),
    ):
        seconds, _ = timed(work, rounds=1)
        print(f"{name:13}: {units:,} units and a baseline scored in {seconds:.2f} s")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args()
    chance = np.random.default_rng(wanted.seed)
    print(f"{wanted.units:,} pairs (seed {wanted.seed})")
    boxes = [np.array(random_boxes(wanted.units, chance)) for _ in range(2)]
    lists = [pairs.tolist() for pairs in boxes]
    compare("box IoU", lambda: plain_box_iou(*lists), lambda: box_iou(*boxes))
    windows = [np.array(random_windows(wanted.units, chance)) for _ in range(2)]
    spans = [pairs.tolist() for pairs in windows]
    compare("interval IoU", lambda: plain_interval_iou(*spans), lambda: interval_iou(*windows))
    score_units(wanted.units, chance)


if __name__ == "__main__":
    main()
