"""How things that are carried look: each is drawn inside its box, in its colour, in one of two shapes.

A person can tell them apart at 240 x 180, shut and open, tidy and untidy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from PIL import ImageDraw

from aotd.world.scene import Colour

__all__ = ["DARK", "GOLD", "INK", "PAPER", "SHAPES", "Edges", "Painter", "lighter"]

INK: Final = (25, 25, 30)
DARK: Final = (38, 34, 40)
PAPER: Final = (248, 246, 236)
GOLD: Final = (250, 220, 90)
_BREAD: Final = (226, 182, 110)

Edges = tuple[int, int, int, int]
"""`x1, y1, x2, y2`; the last pixels belong to the object."""

Painter = Callable[[ImageDraw.ImageDraw, Edges, Colour, float, int], None]
"""Draws an object: pen, box, colour, how far it is open (0 to 1), shape (0 or 1)."""


def lighter(tone: Colour, share: float) -> Colour:
    """Mix a colour with white, or with black where `share` is negative."""
    end = 255 if share > 0 else 0
    red, green, blue = (round(part + (end - part) * abs(share)) for part in tone)
    return (red, green, blue)


def _cup(pen: ImageDraw.ImageDraw, box: Edges, tone: Colour, _open: float, shape: int) -> None:
    """Draw a mug with a handle, or a bottle with a label."""
    x1, y1, x2, y2 = box
    if shape:
        middle, neck = (x1 + x2) // 2, max(1, (x2 - x1) // 5)
        pen.rectangle((middle - neck, y1, middle + neck, y1 + 10), fill=lighter(tone, 0.3), outline=INK)
        pen.rectangle((middle - neck - 1, y1, middle + neck + 1, y1 + 3), fill=INK)
        pen.rounded_rectangle((x1, y1 + 9, x2, y2), radius=3, fill=tone, outline=INK)
        pen.rectangle((x1 + 1, y1 + 15, x2 - 1, y1 + 22), fill=PAPER)
        return
    pen.ellipse((x2 - 13, y1 + 6, x2, y2 - 5), outline=tone, width=3)
    pen.rectangle((x1, y1 + 3, x2 - 7, y2), fill=tone, outline=INK)
    pen.ellipse((x1, y1, x2 - 7, y1 + 7), fill=PAPER, outline=INK)


def _book(pen: ImageDraw.ImageDraw, box: Edges, tone: Colour, opened: float, shape: int) -> None:
    """Draw a book: a cover with a title, upright or lying; or two pages of print."""
    x1, y1, x2, y2 = box
    pen.rectangle(box, fill=tone, outline=INK)
    if opened < 0.3:
        if shape:
            pen.rectangle((x1 + 1, y2 - 4, x2 - 1, y2 - 1), fill=PAPER)
        else:
            pen.rectangle((x1 + 1, y1 + 1, x1 + 3, y2 - 1), fill=PAPER)
        pen.rectangle((x1 + 7, y1 + 5, x2 - 4, y1 + 9), fill=GOLD)
        return
    middle = (x1 + x2) // 2
    pen.rectangle((x1 + 2, y1 + 1, x2 - 2, y2 - 3), fill=PAPER)
    pen.line((middle, y1, middle, y2), fill=INK, width=2)
    for y in range(y1 + 5, y2 - 5, 4):
        pen.line((x1 + 5, y, middle - 3, y), fill=(130, 130, 130))
        pen.line((middle + 4, y, x2 - 5, y), fill=(130, 130, 130))


def _sandwich(pen: ImageDraw.ImageDraw, box: Edges, tone: Colour, _open: float, shape: int) -> None:
    """Draw slices of bread with salad and filling, flat or cut to a triangle."""
    x1, y1, x2, y2 = box
    third = max(2, (y2 - y1) // 3)
    if shape:
        pen.polygon(((x1, y2), (x2, y2), ((x1 + x2) // 2, y1)), fill=_BREAD, outline=INK)
        pen.rectangle((x1 + 3, y2 - third, x2 - 3, y2 - third // 2), fill=tone)
        pen.rectangle((x1 + 4, y2 - third - 3, x2 - 4, y2 - third - 1), fill=(70, 185, 60))
        return
    pen.rounded_rectangle((x1, y1, x2, y1 + third + 1), radius=4, fill=_BREAD, outline=INK)
    pen.rectangle((x1 + 2, y1 + third, x2 - 2, y2 - third), fill=tone)
    pen.rectangle((x1, y1 + third, x2, y1 + third + third // 2), fill=(70, 185, 60))
    pen.rounded_rectangle((x1, y2 - third, x2, y2), radius=3, fill=_BREAD, outline=INK)


def _laptop(pen: ImageDraw.ImageDraw, box: Edges, tone: Colour, opened: float, shape: int) -> None:
    """Draw a laptop: a slab, or a slab with a bright screen above it; thin or thick."""
    x1, y1, x2, y2 = box
    slab = y2 - (5 if shape else 7)
    if opened > 0.1:
        pen.rectangle((x1 + 2, y1, x2 - 2, slab), fill=DARK, outline=INK)
        if slab - y1 > 6:
            pen.rectangle((x1 + 5, y1 + 3, x2 - 5, slab - 2), fill=(110, 215, 250))
            pen.rectangle((x1 + 8, y1 + 5, x1 + 18, y1 + 7), fill=PAPER)
    else:
        lid = lighter(tone, 0.35)
        pen.polygon(((x1 + 4, y1), (x2 - 4, y1), (x2, slab), (x1, slab)), fill=lid, outline=INK)
    pen.rectangle((x1, slab, x2, y2), fill=tone, outline=INK)
    pen.line((x1 + 4, slab + 3, x2 - 4, slab + 3), fill=(190, 195, 205))


def _dish(pen: ImageDraw.ImageDraw, box: Edges, tone: Colour, _open: float, shape: int) -> None:
    """Draw a white plate with a coloured rim, or a coloured bowl."""
    x1, y1, x2, y2 = box
    if shape:
        middle = (y1 + y2) // 2
        pen.chord((x1, y1 - (y2 - y1) // 2, x2, y2), 0, 180, fill=tone, outline=INK)
        pen.ellipse((x1, y1, x2, middle), fill=lighter(tone, 0.65), outline=INK)
        return
    pen.ellipse(box, fill=tone, outline=INK)
    pen.ellipse((x1 + 4, y1 + 2, x2 - 4, y2 - 3), fill=PAPER)
    pen.ellipse((x1 + 10, y1 + 5, x2 - 10, y2 - 6), outline=(190, 190, 190))


def _bag(pen: ImageDraw.ImageDraw, box: Edges, tone: Colour, opened: float, shape: int) -> None:
    """Draw a handbag or a rucksack: with a buckled flap, or gaping."""
    x1, y1, x2, y2 = box
    pen.arc((x1 + 6, y1, x2 - 6, y1 + 18), 180, 360, fill=INK, width=3)
    top = y1 + 7
    if shape:
        pen.rounded_rectangle((x1, top, x2, y2), radius=6, fill=tone, outline=INK)
        pen.rectangle((x1 + 5, y2 - 11, x2 - 5, y2 - 4), fill=lighter(tone, -0.25), outline=INK)
    else:
        pen.polygon(((x1 + 3, top), (x2 - 3, top), (x2, y2), (x1, y2)), fill=tone, outline=INK)
    if opened > 0.3:
        pen.ellipse((x1 + 2, y1 + 3, x2 - 2, y1 + 4 + round(11 * opened)), fill=DARK, outline=PAPER, width=2)
    else:
        middle = (x1 + x2) // 2
        flap = lighter(tone, 0.2)
        pen.polygon(((x1 + 3, top), (x2 - 3, top), (middle, top + 11)), fill=flap, outline=INK)
        pen.rectangle((middle - 2, top + 8, middle + 2, top + 12), fill=GOLD)


def _carton(pen: ImageDraw.ImageDraw, box: Edges, tone: Colour, opened: float, shape: int) -> None:
    """Draw a box: taped shut, or with raised flaps; with a label or a ribbon."""
    x1, y1, x2, y2 = box
    inset = round(3 * opened)
    top = y1 + round(9 * opened)
    middle = (x1 + x2) // 2
    if opened > 0.2:
        pen.rectangle((x1 + inset, max(y1, top - 3), x2 - inset, top + 2), fill=DARK)
        pen.line((x1 + inset, top, x1 + 1, y1 + 1), fill=tone, width=3)
        pen.line((x2 - inset, top, x2 - 1, y1 + 1), fill=tone, width=3)
    pen.rectangle((x1 + inset, top, x2 - inset, y2), fill=tone, outline=INK)
    if opened <= 0.2:
        pen.line((x1, y1 + 6, x2, y1 + 6), fill=INK)
    if shape:
        pen.rectangle((middle - 2, top + 1, middle + 2, y2 - 1), fill=lighter(tone, 0.6))
    else:
        pen.rectangle((middle - 3, top + 1, middle + 3, top + 9), fill=(240, 225, 180))


def _shoe(pen: ImageDraw.ImageDraw, box: Edges, tone: Colour, _open: float, shape: int) -> None:
    """Draw a shoe with laces, or a boot."""
    x1, y1, x2, y2 = box
    heel = x2 - (x2 - x1) // 2
    ankle = y1 + (y2 - y1) // 2
    outline = ((x1, y2 - 3), (x1 + 3, ankle), (heel - 2, ankle - 1), (heel + 1, y1), (x2, y1), (x2, y2 - 3))
    pen.polygon(outline, fill=tone, outline=INK)
    pen.rectangle((x1, y2 - 3, x2, y2), fill=PAPER if not shape else DARK, outline=INK)
    for x in range(x1 + 7, heel, 4):
        pen.line((x, ankle, x + 2, ankle + 4), fill=PAPER, width=1)


def _pillow(pen: ImageDraw.ImageDraw, box: Edges, tone: Colour, _open: float, shape: int) -> None:
    """Draw a puffed cushion, with a cross seam or with dots."""
    x1, y1, x2, y2 = box
    middle, height = (x1 + x2) // 2, (y1 + y2) // 2
    puffed = [(x1, y1), (middle, y1 + 3), (x2, y1), (x2 - 3, height)]
    puffed += ((x2, y2), (middle, y2 - 3), (x1, y2), (x1 + 3, height))
    pen.polygon(puffed, fill=lighter(tone, 0.35), outline=INK)
    if shape:
        for x in (x1 + 8, middle, x2 - 8):
            pen.ellipse((x - 2, height - 2, x + 2, height + 2), fill=tone)
    else:
        pen.line((x1 + 4, y1 + 4, x2 - 4, y2 - 4), fill=tone, width=2)
        pen.line((x1 + 4, y2 - 4, x2 - 4, y1 + 4), fill=tone, width=2)


def _heap(pen: ImageDraw.ImageDraw, box: Edges, tone: Colour) -> None:
    """Draw a crumpled cloth."""
    x1, y1, x2, y2 = box
    step = (x2 - x1) / 6
    tops = (0.55, 0.1, 0.35, 0.0, 0.4, 0.15, 0.6)
    ridge = [(x1 + step * i, y1 + top * (y2 - y1)) for i, top in enumerate(tops)]
    pen.polygon((*ridge, (x2, y2), (x1, y2)), fill=tone, outline=INK)
    for x, top in ridge[1:-1]:
        pen.line((x, top + 3, x + 3, y2 - 3), fill=lighter(tone, -0.35))


def _towel(pen: ImageDraw.ImageDraw, box: Edges, tone: Colour, opened: float, shape: int) -> None:
    """Draw a folded towel with stripes, or a rolled one; untidy, a heap."""
    x1, y1, x2, y2 = box
    if opened > 0.4:
        _heap(pen, box, tone)
        pen.line((x1 + 2, y2 - 4, x2 - 2, y2 - 4), fill=PAPER, width=2)
        return
    pen.rounded_rectangle(box, radius=6 if shape else 2, fill=tone, outline=INK)
    if shape:
        pen.ellipse((x1, y1, x1 + y2 - y1, y2), fill=lighter(tone, 0.4), outline=INK)
        pen.ellipse((x1 + 4, y1 + 4, x1 + y2 - y1 - 4, y2 - 4), outline=INK)
        return
    for x in (x1 + 5, x1 + 9, x2 - 9, x2 - 5):
        pen.line((x, y1 + 1, x, y2 - 1), fill=PAPER, width=2)


def _clothes(pen: ImageDraw.ImageDraw, box: Edges, tone: Colour, opened: float, shape: int) -> None:
    """Draw a shirt or trousers: folded with a collar or a belt, or spread out."""
    x1, y1, x2, y2 = box
    middle, width, height = (x1 + x2) // 2, x2 - x1, y2 - y1
    if opened < 0.4:
        pen.rectangle(box, fill=tone, outline=INK)
        pen.line((x1, y2 - 5, x2, y2 - 5), fill=INK)
        if shape:
            pen.rectangle((x1 + 1, y1 + 1, x2 - 1, y1 + 4), fill=DARK)
        else:
            pen.polygon(((middle - 6, y1), (middle + 6, y1), (middle, y1 + 7)), fill=PAPER, outline=INK)
        return
    if shape:
        legs = [(x1, y2), (x1 + 5, y1), (x2 - 5, y1), (x2, y2), (x2 - width // 3, y2)]
        legs += ((middle, y1 + height // 3), (x1 + width // 3, y2))
        pen.polygon(legs, fill=tone, outline=INK)
        pen.rectangle((x1 + 5, y1, x2 - 5, y1 + 3), fill=DARK)
        return
    sleeve, side = y1 + height // 2, width // 4
    spread = [(x1, sleeve - 3), (x1 + side, y1), (x2 - side, y1), (x2, sleeve - 3), (x2 - 4, sleeve + 2)]
    spread += ((x2 - side, sleeve - 3), (x2 - side, y2), (x1 + side, y2), (x1 + side, sleeve - 3))
    pen.polygon((*spread, (x1 + 4, sleeve + 2)), fill=tone, outline=INK)
    pen.polygon(((middle - 5, y1), (middle + 5, y1), (middle, y1 + 7)), fill=PAPER, outline=INK)


def _blanket(pen: ImageDraw.ImageDraw, box: Edges, tone: Colour, opened: float, shape: int) -> None:
    """Draw a folded blanket, chequered or fringed; untidy, a heap with the same pattern."""
    x1, y1, x2, y2 = box
    pale = lighter(tone, 0.45)
    if opened > 0.4:
        _heap(pen, box, tone)
        for x in range(x1 + 4, x2 - 2, 6):
            pen.rectangle((x, y2 - 8, x + 2, y2 - 2), fill=pale)
        return
    pen.rectangle(box, fill=tone, outline=INK)
    if shape:
        for x in range(x1 + 2, x2, 4):
            pen.line((x, y2 - 5, x, y2 - 1), fill=PAPER)
        pen.rectangle((x1 + 1, y1 + 6, x2 - 1, y1 + 9), fill=pale)
        return
    for x in range(x1 + 2, x2 - 4, 8):
        pen.rectangle((x, y1 + 1, x + 3, y2 - 1), fill=pale)
    for y in range(y1 + 3, y2 - 2, 7):
        pen.line((x1 + 1, y, x2 - 1, y), fill=PAPER)


SHAPES: Final[dict[str, Painter]] = {
    "cup/glass/bottle": _cup,
    "book": _book,
    "sandwich": _sandwich,
    "laptop": _laptop,
    "dish": _dish,
    "bag": _bag,
    "box": _carton,
    "shoe": _shoe,
    "pillow": _pillow,
    "towel": _towel,
    "clothes": _clothes,
    "blanket": _blanket,
}
