"""How the person looks: head, trunk and legs, then the arms over what they hold."""

from __future__ import annotations

import math
from typing import Final

from PIL import ImageDraw

from aotd.world.figure import Figure, Point
from aotd.world.scene import Person
from aotd.world.shapes import INK

__all__ = ["draw_arms", "draw_body"]

_TRUNK: Final = 9
"""Half the trunk's thickness."""


def draw_body(pen: ImageDraw.ImageDraw, figure: Figure, person: Person) -> None:
    """Draw legs, trunk and head."""
    for knee, foot in zip(figure.knees, figure.feet, strict=True):
        pen.line((*figure.hip, *knee, *foot), fill=person.trousers, width=7, joint="curve")
        pen.ellipse((foot.x - 5, foot.y - 2, foot.x + 5, foot.y + 3), fill=INK)
    _trunk(pen, figure, person)
    head = figure.head
    if person.long_hair:
        pen.rounded_rectangle((head.x - 11, head.y - 8, head.x + 11, head.y + 11), radius=5, fill=person.hair)
    pen.ellipse((head.x - 10, head.y - 10, head.x + 10, head.y + 10), fill=person.skin, outline=INK)
    pen.chord((head.x - 10, head.y - 11, head.x + 10, head.y + 8), 185, 355, fill=person.hair)
    for x in (head.x - 4 + 3 * figure.gaze, head.x + 4 + 3 * figure.gaze):
        pen.rectangle((x - 1, head.y, x, head.y + 2), fill=INK)
    mouth = head.x + 2 * figure.gaze
    pen.line((mouth - 3, head.y + 6, mouth + 3, head.y + 6), fill=(180, 60, 60))


def draw_arms(pen: ImageDraw.ImageDraw, figure: Figure, person: Person) -> None:
    """Draw both arms, with bent elbows."""
    dark = (person.shirt[0] * 3 // 4, person.shirt[1] * 3 // 4, person.shirt[2] * 3 // 4)
    for side, hand in zip((-9, 9), figure.hands, strict=True):
        upright = abs(figure.hip.y - figure.shoulder.y) > 12
        start = Point(figure.shoulder.x + (side if upright else 0), figure.shoulder.y)
        span = max(abs(hand.x - start.x), abs(hand.y - start.y))
        elbow = Point((start.x + hand.x) / 2, (start.y + hand.y) / 2 + max(0.0, 18 - span / 2) * upright)
        pen.line((*start, *elbow, *hand), fill=INK, width=7, joint="curve")
        pen.line((*start, *elbow, *hand), fill=dark, width=5, joint="curve")
        pen.ellipse((hand.x - 4, hand.y - 4, hand.x + 4, hand.y + 4), fill=person.skin, outline=INK)


def _trunk(pen: ImageDraw.ImageDraw, figure: Figure, person: Person) -> None:
    """Draw the trunk from shoulder to hip, whichever way the body lies."""
    shoulder, hip = figure.shoulder, figure.hip
    length = math.dist(shoulder, hip) or 1.0
    along = Point((hip.x - shoulder.x) / length, (hip.y - shoulder.y) / length)
    across = Point(-along.y, along.x)
    corners = [
        (
            end.x + sign * _TRUNK * across.x + reach * along.x,
            end.y + sign * _TRUNK * across.y + reach * along.y,
        )
        for end, sign, reach in ((shoulder, -1, -5), (shoulder, 1, -5), (hip, 1, 3), (hip, -1, 3))
    ]
    pen.polygon(corners, fill=person.shirt, outline=INK)
