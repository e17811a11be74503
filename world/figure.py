"""The person's joints: standing, walking, crouching, sitting or lying, and the box round them.

Everything is in pixels of the drawn frame before mirroring. Nothing is drawn here (`portrait.py` does).
"""

from __future__ import annotations

import math
from typing import NamedTuple

__all__ = ["Figure", "Point", "Posture", "between", "figure_box", "pose", "ramp"]


class Point(NamedTuple):
    """A place in the frame, in pixels."""

    x: float
    y: float


class Figure(NamedTuple):
    """The person in one frame: the joints that are drawn; of pairs the left one comes first."""

    head: Point
    shoulder: Point
    hip: Point
    knees: tuple[Point, Point]
    feet: tuple[Point, Point]
    hands: tuple[Point, Point]
    gaze: float
    """How far the pupils are turned to the left (-1) or to the right (1)."""


class Posture(NamedTuple):
    """How the person stands at `x`: crouching, sitting, lying and leaning from 0 to 1, and a step's phase."""

    x: float
    crouch: float = 0.0
    sit: float = 0.0
    lie: float = 0.0
    lean: float = 0.0
    step: float = 0.0

    def at(self, upright: Point, flat: Point) -> Point:
        """Place what is at `upright` beside an upright person, at `flat` beside a lying one.

        Both are given as (right of `x`, height in the frame of a standing person).
        """
        raised = Point(self.x + upright.x, upright.y + 24 * self.crouch + 10 * self.sit)
        return between(raised, Point(self.x + flat.x, flat.y), self.lie)


def ramp(p: float, start: float, end: float) -> float:
    """Rise smoothly from 0 at `start` to 1 at `end`."""
    u = min(1.0, max(0.0, (p - start) / (end - start)))
    return u * u * (3 - 2 * u)


def between(a: Point, b: Point, u: float) -> Point:
    """Give the point a share `u` of the way from `a` to `b`."""
    return Point(a.x + (b.x - a.x) * u, a.y + (b.y - a.y) * u)


def pose(
    posture: Posture, left: Point | None = None, right: Point | None = None, gaze: float = 0.0
) -> Figure:
    """Give the joints of a posture; a hand that is not told hangs, or rests beside the lying body."""
    sit, lie, at = posture.sit, posture.lie, posture.at
    drop = 24 * posture.crouch + 10 * sit
    knee = 119 + (29 - drop) * 0.5 * (1 - sit)
    spread, forward, swing = 6 + 7 * posture.crouch, 22 * sit, 7 * math.sin(posture.step)
    ground = 148 - drop
    return Figure(
        head=at(Point(-9 * posture.lean, 78 + 2 * posture.lean), Point(-27, 112)),
        shoulder=at(Point(-6 * posture.lean, 92 + posture.lean), Point(-13, 114)),
        hip=at(Point(0, 119), Point(9, 114)),
        knees=(
            at(Point(swing / 2 - spread + forward, knee), Point(21, 110 + 2 * (1 - lie))),
            at(Point(spread - swing / 2 + forward - 8 * sit, knee), Point(20, 115)),
        ),
        feet=(
            at(Point(swing - 6 + forward, ground), Point(35, 113)),
            at(Point(6 - swing + forward - 8 * sit, ground), Point(33, 117)),
        ),
        hands=(
            left or at(Point(-14, 117), Point(2, 121)),
            right or at(Point(14, 117), Point(6, 120)),
        ),
        gaze=gaze,
    )


def figure_box(body: Figure) -> tuple[float, float, float, float]:
    """Give the box round the drawn figure, thickness of limbs, hair and trunk included."""
    limbs = (*body.knees, *body.feet, *body.hands)
    trunk = (body.shoulder, body.hip)
    left = min(body.head.x - 12, *(p.x - 11 for p in trunk), *(p.x - 6 for p in limbs))
    right = max(body.head.x + 12, *(p.x + 11 for p in trunk), *(p.x + 6 for p in limbs))
    top = min(body.head.y - 12, *(p.y - 11 for p in trunk), *(p.y - 5 for p in limbs))
    bottom = max(body.head.y + 12, *(p.y + 11 for p in trunk), *(p.y + 5 for p in limbs))
    return (float(round(left)), float(round(top)), float(round(right)), float(round(bottom)))
