"""How furniture and what hangs on the wall look: each is drawn inside its box, in one of two shapes."""

from __future__ import annotations

from typing import Final

from PIL import ImageDraw

from aotd.world.scene import Colour
from aotd.world.shapes import DARK, GOLD, INK, PAPER, Edges, Painter, lighter

__all__ = ["FURNITURE"]

_SKY: Final = (150, 200, 240)
_GLASS: Final = (205, 226, 232)


def _door(pen: ImageDraw.ImageDraw, box: Edges, tone: Colour, opened: float, shape: int) -> None:
    """Draw a door in its frame: shut with a knob, or swung in before a dark doorway."""
    x1, y1, x2, y2 = box
    pen.rectangle(box, fill=DARK, outline=(245, 245, 240), width=3)
    edge = x2 - 3 - round((x2 - x1 - 12) * opened)
    slant = round(6 * opened)
    leaf = ((x1 + 3, y1 + 3), (edge, y1 + 3 + slant), (edge, y2 - slant), (x1 + 3, y2))
    pen.polygon(leaf, fill=tone, outline=INK)
    if opened < 0.5:
        panels = ((10, 36), (46, 76)) if shape else ((10, 36),)
        for top, bottom in panels:
            fill = _GLASS if not shape else None
            pen.rectangle((x1 + 7, y1 + top, edge - 5, y1 + bottom), outline=INK, fill=fill)
    pen.ellipse((edge - 5, (y1 + y2) // 2, edge - 1, (y1 + y2) // 2 + 4), fill=GOLD)


def _closet(pen: ImageDraw.ImageDraw, box: Edges, tone: Colour, opened: float, shape: int) -> None:
    """Draw a closet: two shut leaves, or shelves with folded cloths between folded leaves."""
    x1, y1, x2, y2 = box
    pen.rectangle(box, fill=tone, outline=INK, width=2)
    shown = round(((x2 - x1 - 4) // 2 - 4) * opened)
    middle = (x1 + x2) // 2
    if shown > 1:
        pen.rectangle((middle - shown, y1 + 4, middle + shown, y2 - 4), fill=DARK)
        for y, cloth in ((y1 + 24, (235, 150, 170)), (y1 + 46, (240, 240, 240)), (y2 - 5, (150, 190, 240))):
            pen.rectangle((middle - shown + 2, y - 8, middle + shown - 2, y - 1), fill=cloth)
            pen.line((middle - shown, y, middle + shown, y), fill=tone, width=2)
    for x in (middle - shown, middle + shown):
        pen.line((x, y1 + 3, x, y2 - 3), fill=INK)
    for x in (middle - shown - 4, middle + shown + 2):
        pen.rectangle((x, (y1 + y2) // 2 - 3, x + 2, (y1 + y2) // 2 + 3), fill=GOLD)
    if shape:
        pen.rectangle((x1, y1, x2, y1 + 4), fill=lighter(tone, -0.4))


def _refrigerator(pen: ImageDraw.ImageDraw, box: Edges, tone: Colour, opened: float, shape: int) -> None:
    """Draw a pale refrigerator with a coloured stripe: shut, or with a lit inside and food on its shelves."""
    x1, y1, x2, y2 = box
    body = lighter(tone, 0.75)
    pen.rounded_rectangle(box, radius=4, fill=body, outline=INK)
    cut = y1 + (26 if shape else 20)
    edge = x2 - 2 - round((x2 - x1 - 8) * opened)
    if opened > 0.1:
        pen.rectangle((edge, cut + 2, x2 - 3, y2 - 4), fill=(255, 252, 205), outline=INK)
        for number, y in enumerate(range(cut + 15, y2 - 5, 14)):
            pen.line((edge, y, x2 - 3, y), fill=(150, 160, 170))
            food = ((220, 70, 60), (90, 170, 70), (240, 190, 60), (150, 110, 70))[number % 4]
            if x2 - edge > 12:
                pen.rectangle((x2 - 11, y - 7, x2 - 5, y - 1), fill=food)
    pen.rectangle((x1 + 2, cut + 2, edge, y2 - 3), fill=body, outline=INK)
    pen.line((x1, cut, x2, cut), fill=INK)
    pen.rectangle((x1 + 3, y1 + 5, x2 - 4, y1 + 9), fill=tone)
    pen.rectangle((max(edge - 5, x1 + 3), cut + 8, max(edge - 3, x1 + 4), cut + 24), fill=(130, 135, 145))


def _chair(pen: ImageDraw.ImageDraw, box: Edges, tone: Colour, _open: float, shape: int) -> None:
    """Draw a chair from the side, its back at the left; or an armchair."""
    x1, y1, x2, y2 = box
    if shape:
        pen.rounded_rectangle((x1, y1, x1 + 12, y2 - 3), radius=4, fill=tone, outline=INK)
        pen.rectangle((x1 + 4, y2 - 22, x2, y2 - 6), fill=tone, outline=INK)
        pen.line((x1 + 4, y2 - 16, x2, y2 - 16), fill=INK)
        for x in (x1 + 3, x2 - 6):
            pen.rectangle((x, y2 - 5, x + 3, y2), fill=INK)
        return
    pen.rectangle((x1, y1, x1 + 6, y2), fill=tone, outline=INK)
    pen.rectangle((x2 - 6, y2 - 22, x2 - 1, y2), fill=tone, outline=INK)
    pen.rectangle((x1, y2 - 24, x2, y2 - 17), fill=tone, outline=INK)


def _sofa(pen: ImageDraw.ImageDraw, box: Edges, tone: Colour, _open: float, shape: int) -> None:
    """Draw a sofa from the front: back, seat in two or three parts, arms."""
    x1, y1, x2, y2 = box
    seat = y2 - 20
    pen.rounded_rectangle((x1 + 4, y1, x2 - 4, y2 - 4), radius=6, fill=tone, outline=INK)
    pen.rectangle((x1 + 8, seat, x2 - 8, y2 - 5), fill=lighter(tone, 0.25), outline=INK)
    parts = 3 if shape else 2
    for number in range(1, parts):
        x = x1 + 8 + (x2 - x1 - 16) * number // parts
        pen.line((x, y1 + 3, x, y2 - 6), fill=INK)
    for x in (x1, x2 - 10):
        pen.rounded_rectangle((x, seat - 6, x + 10, y2 - 4), radius=4, fill=tone, outline=INK)
    for x in (x1 + 4, x2 - 7):
        pen.rectangle((x, y2 - 4, x + 3, y2), fill=INK)


def _bed(pen: ImageDraw.ImageDraw, box: Edges, tone: Colour, _open: float, shape: int) -> None:
    """Draw a bed from the side: headboard at the left, mattress, cover."""
    x1, y1, x2, y2 = box
    wood = (120, 82, 52)
    pen.rectangle((x1, y1, x1 + 5, y2), fill=wood, outline=INK)
    foot = y1 + (y2 - y1) // (3 if shape else 2)
    pen.rectangle((x2 - 5, foot, x2, y2), fill=wood, outline=INK)
    pen.rectangle((x1 + 5, y2 - 12, x2 - 5, y2 - 6), fill=wood, outline=INK)
    pen.rounded_rectangle((x1 + 5, y2 - 24, x2 - 5, y2 - 11), radius=3, fill=PAPER, outline=INK)
    pen.rectangle((x1 + 27, y2 - 24, x2 - 5, y2 - 9), fill=tone, outline=INK)
    if shape:
        for x in range(x1 + 33, x2 - 8, 9):
            pen.line((x, y2 - 23, x, y2 - 10), fill=PAPER)


def _window(pen: ImageDraw.ImageDraw, box: Edges, tone: Colour, opened: float, shape: int) -> None:
    """Draw a window: two shut leaves with bars before the sky, or leaves folded to the sides."""
    x1, y1, x2, y2 = box
    pen.rectangle(box, fill=_SKY, outline=tone, width=3)
    horizon = y2 - 14
    pen.rectangle((x1 + 3, horizon, x2 - 3, y2 - 3), fill=(110, 175, 90))
    pen.ellipse((x1 + 8, y1 + 6, x1 + 16, y1 + 14), fill=(255, 240, 140))
    half = (x2 - x1 - 6) // 2
    leaf = max(3, round(half * (1 - 0.8 * opened)))
    for left in (x1 + 3, x2 - 3 - leaf):
        if opened < 0.5:
            pen.rectangle((left, y1 + 3, left + leaf, y2 - 3), outline=tone, width=2)
            pen.line((left, (y1 + y2) // 2, left + leaf, (y1 + y2) // 2), fill=tone, width=2)
        else:
            pen.rectangle((left, y1 + 3, left + leaf, y2 - 3), fill=_GLASS, outline=tone, width=2)
    if shape:
        pen.rectangle((x1, y2 - 3, x2, y2), fill=lighter(tone, 0.5), outline=INK)


def _television(pen: ImageDraw.ImageDraw, box: Edges, tone: Colour, shown: float, _shape: int) -> None:
    """Draw a screen: dark, or with a bright picture on it."""
    x1, y1, x2, y2 = box
    pen.rectangle(box, fill=tone, outline=INK, width=2)
    pen.rectangle((x1 + 3, y1 + 3, x2 - 3, y2 - 3), fill=(24, 26, 34))
    if shown > 0.3:
        middle = (y1 + y2) // 2
        pen.rectangle((x1 + 3, y1 + 3, x2 - 3, middle), fill=(120, 215, 255))
        pen.rectangle((x1 + 3, middle, x2 - 3, y2 - 3), fill=(95, 205, 85))
        pen.ellipse((x1 + 12, middle - 6, x1 + 22, middle + 4), fill=(250, 90, 70))
        pen.rectangle((x2 - 12, y1 + 5, x2 - 6, y1 + 8), fill=PAPER)
    else:
        pen.line((x1 + 7, y2 - 6, x1 + 14, y1 + 6), fill=(60, 64, 76))


def _mirror(pen: ImageDraw.ImageDraw, box: Edges, tone: Colour, _open: float, shape: int) -> None:
    """Draw a tall or a round mirror in a frame, with gleams."""
    x1, y1, x2, y2 = box
    draw = pen.ellipse if shape else pen.rectangle
    draw(box, fill=tone, outline=INK)
    draw((x1 + 4, y1 + 4, x2 - 4, y2 - 4), fill=(214, 226, 232), outline=INK)
    middle, height = (x1 + x2) // 2, (y1 + y2) // 2
    pen.line((middle - 5, height + 4, middle + 3, height - 8), fill=(255, 255, 255), width=2)
    pen.line((middle, height + 6, middle + 6, height - 3), fill=(255, 255, 255), width=2)


FURNITURE: Final[dict[str, Painter]] = {
    "door": _door,
    "closet/cabinet": _closet,
    "refrigerator": _refrigerator,
    "chair": _chair,
    "sofa/couch": _sofa,
    "bed": _bed,
    "window": _window,
    "television": _television,
    "mirror": _mirror,
}
