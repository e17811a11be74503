"""Pictures of the household: one flat-coloured frame at a time, with Pillow.

Every object is drawn inside the box that `motion.thing_box` gives for it and in a colour of its own, so that
a person can tell what is what at 240 x 180. Nothing here decides where anything is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from PIL import Image, ImageDraw

from aotd.world.motion import Episode, Figure, Frame, Point, Thing, thing_box
from aotd.world.scene import BACK_ROW, CHAIR, HEIGHT, TABLE, TABLE_TOP, WALL_FOOT, WIDTH, Room

__all__ = ["draw", "paint"]

Colour = tuple[int, int, int]

_COLOURS: Final[dict[str, Colour]] = {
    "wall": (214, 208, 190),
    "floor": (150, 140, 130),
    "shirt": (60, 150, 75),
    TABLE: (165, 115, 65),
    "cup/glass/bottle": (215, 45, 45),
    "book": (40, 80, 205),
    "sandwich": (225, 180, 105),
    "laptop": (70, 74, 82),
    "bag": (145, 55, 165),
    "box": (205, 140, 60),
    "door": (120, 72, 42),
    "closet/cabinet": (70, 150, 155),
    CHAIR: (235, 200, 40),
}
_INK: Final = (25, 25, 30)
_DARK: Final = (38, 34, 40)
_PAPER: Final = (248, 246, 236)
_SKIN: Final = (240, 195, 160)
_TROUSERS: Final = (50, 60, 95)

Edges = tuple[int, int, int, int]


def draw(episode: Episode, index: int) -> Image.Image:
    """Draw frame `index` of an episode as an RGB picture of `WIDTH` x `HEIGHT` pixels."""
    return paint(episode.plan.room, episode.frames[index])


def paint(room: Room, frame: Frame) -> Image.Image:
    """Draw one state of a room: wall, furniture, the person, and what is held or lies in front."""
    image = Image.new("RGB", (WIDTH, HEIGHT), _tone(room, "wall"))
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, WALL_FOOT, WIDTH, HEIGHT), fill=_tone(room, "floor"))
    pen.rectangle((0, WALL_FOOT - 3, WIDTH, WALL_FOOT - 1), fill=(240, 238, 230))
    resting = [thing for thing in frame.things if thing.name != frame.held]
    fixtures = [thing for thing in resting if thing.base in {WALL_FOOT, BACK_ROW}]
    on_table = [thing for thing in resting if thing.base == TABLE_TOP]
    for thing in fixtures:
        _thing(pen, room, thing)
    _table(pen, room)
    for thing in on_table:
        _thing(pen, room, thing)
    _body(pen, frame.figure, _tone(room, "shirt"))
    for thing in frame.things:
        # What is held, flies or lies on the floor is nearer than the person.
        if thing not in fixtures and thing not in on_table:
            _thing(pen, room, thing)
    _arms(pen, frame.figure, _tone(room, "shirt"))
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if room.mirrored else image


def _tone(room: Room, name: str) -> Colour:
    """Give a colour at the room's brightness for it."""
    red, green, blue = (min(255, round(part * room.shade[name])) for part in _COLOURS[name])
    return (red, green, blue)


def _thing(pen: ImageDraw.ImageDraw, room: Room, thing: Thing) -> None:
    """Draw one object inside its box."""
    x1, y1, x2, y2 = thing_box(thing)
    _SHAPES[thing.name](pen, (int(x1), int(y1), int(x2), int(y2)), _tone(room, thing.name), thing.open)


def _table(pen: ImageDraw.ImageDraw, room: Room) -> None:
    """Draw the table: a top and two legs."""
    left, right = room.table
    tone = _tone(room, TABLE)
    for x in (left + 4, right - 9):
        pen.rectangle((x, TABLE_TOP, x + 5, BACK_ROW - 2), fill=tone, outline=_INK)
    pen.rectangle((left, TABLE_TOP, right, TABLE_TOP + 7), fill=tone, outline=_INK)


def _cup(pen: ImageDraw.ImageDraw, box: Edges, tone: Colour, _open: float) -> None:
    """Draw a red mug with a handle."""
    x1, y1, x2, y2 = box
    pen.ellipse((x2 - 11, y1 + 6, x2, y2 - 5), outline=tone, width=3)
    pen.rectangle((x1, y1 + 3, x2 - 6, y2), fill=tone, outline=_INK)
    pen.ellipse((x1, y1, x2 - 6, y1 + 6), fill=_PAPER, outline=_INK)


def _book(pen: ImageDraw.ImageDraw, box: Edges, tone: Colour, opened: float) -> None:
    """Draw a blue book: a cover with a title, or two pages."""
    x1, y1, x2, y2 = box
    pen.rectangle(box, fill=tone, outline=_INK)
    if opened < 0.3:
        pen.rectangle((x1 + 1, y1 + 1, x1 + 3, y2 - 1), fill=_PAPER)
        pen.rectangle((x1 + 6, y1 + 5, x2 - 3, y1 + 9), fill=(250, 220, 90))
        return
    middle = (x1 + x2) // 2
    pen.rectangle((x1 + 2, y1 + 1, x2 - 2, y2 - 3), fill=_PAPER)
    pen.line((middle, y1, middle, y2), fill=_INK, width=2)
    for y in range(y1 + 5, y2 - 5, 4):
        pen.line((x1 + 5, y, middle - 3, y), fill=(130, 130, 130))
        pen.line((middle + 4, y, x2 - 5, y), fill=(130, 130, 130))


def _sandwich(pen: ImageDraw.ImageDraw, box: Edges, tone: Colour, _open: float) -> None:
    """Draw two slices of bread with salad and tomato between them."""
    x1, y1, x2, y2 = box
    third = (y2 - y1) // 3
    pen.rounded_rectangle((x1, y1, x2, y1 + third + 1), radius=4, fill=tone, outline=_INK)
    pen.rectangle((x1 + 2, y1 + third, x2 - 2, y2 - third), fill=(225, 60, 50))
    pen.rectangle((x1, y1 + third, x2, y1 + third + third // 2), fill=(70, 185, 60))
    pen.rounded_rectangle((x1, y2 - third, x2, y2), radius=3, fill=tone, outline=_INK)


def _laptop(pen: ImageDraw.ImageDraw, box: Edges, tone: Colour, opened: float) -> None:
    """Draw a laptop: a dark slab, or a slab with a bright screen above it."""
    x1, y1, x2, y2 = box
    slab = y2 - 7
    if opened > 0.1:
        pen.rectangle((x1 + 2, y1, x2 - 2, slab), fill=tone, outline=_INK)
        if slab - y1 > 6:
            pen.rectangle((x1 + 5, y1 + 3, x2 - 5, slab - 2), fill=(110, 215, 250))
    else:
        pen.polygon(((x1 + 4, y1), (x2 - 4, y1), (x2, slab), (x1, slab)), fill=(120, 126, 136), outline=_INK)
    pen.rectangle((x1, slab, x2, y2), fill=tone, outline=_INK)
    pen.line((x1 + 4, slab + 3, x2 - 4, slab + 3), fill=(190, 195, 205))


def _bag(pen: ImageDraw.ImageDraw, box: Edges, tone: Colour, opened: float) -> None:
    """Draw a purple handbag: with a buckled flap, or gaping."""
    x1, y1, x2, y2 = box
    pen.arc((x1 + 6, y1, x2 - 6, y1 + 18), 180, 360, fill=_INK, width=3)
    pen.polygon(((x1 + 3, y1 + 8), (x2 - 3, y1 + 8), (x2, y2), (x1, y2)), fill=tone, outline=_INK)
    if opened > 0.3:
        pen.ellipse((x1 + 3, y1 + 4, x2 - 3, y1 + 4 + round(9 * opened)), fill=_DARK, outline=_PAPER)
    else:
        pen.polygon(((x1 + 3, y1 + 8), (x2 - 3, y1 + 8), ((x1 + x2) // 2, y1 + 18)), fill=tone, outline=_INK)
        pen.rectangle(((x1 + x2) // 2 - 2, y1 + 15, (x1 + x2) // 2 + 2, y1 + 19), fill=(250, 220, 90))


def _carton(pen: ImageDraw.ImageDraw, box: Edges, tone: Colour, opened: float) -> None:
    """Draw a cardboard box: taped shut, or with raised flaps."""
    x1, y1, x2, y2 = box
    inset = round(3 * opened)
    top = y1 + round(9 * opened)
    if opened > 0.2:
        pen.rectangle((x1 + inset, top - 3, x2 - inset, top + 2), fill=_DARK)
        pen.line((x1 + inset, top, x1 + 1, y1 + 1), fill=tone, width=3)
        pen.line((x2 - inset, top, x2 - 1, y1 + 1), fill=tone, width=3)
    pen.rectangle((x1 + inset, top, x2 - inset, y2), fill=tone, outline=_INK)
    if opened <= 0.2:
        pen.line((x1, y1 + 6, x2, y1 + 6), fill=_INK)
    pen.rectangle(((x1 + x2) // 2 - 3, top + 1, (x1 + x2) // 2 + 3, top + 9), fill=(240, 225, 180))


def _door(pen: ImageDraw.ImageDraw, box: Edges, tone: Colour, opened: float) -> None:
    """Draw a door in its frame: shut with a knob, or swung in before a dark doorway."""
    x1, y1, x2, y2 = box
    pen.rectangle(box, fill=_DARK, outline=(245, 245, 240), width=3)
    edge = x2 - 3 - round((x2 - x1 - 12) * opened)
    slant = round(6 * opened)
    leaf = ((x1 + 3, y1 + 3), (edge, y1 + 3 + slant), (edge, y2 - slant), (x1 + 3, y2))
    pen.polygon(leaf, fill=tone, outline=_INK)
    if opened < 0.5:
        pen.rectangle((x1 + 7, y1 + 10, edge - 5, y1 + 36), outline=_INK)
    pen.ellipse((edge - 5, (y1 + y2) // 2, edge - 1, (y1 + y2) // 2 + 4), fill=(250, 220, 90))


def _closet(pen: ImageDraw.ImageDraw, box: Edges, tone: Colour, opened: float) -> None:
    """Draw a closet: two shut leaves, or shelves with clothes between folded leaves."""
    x1, y1, x2, y2 = box
    pen.rectangle(box, fill=tone, outline=_INK, width=2)
    leaf = (x2 - x1 - 4) // 2
    shown = round((leaf - 4) * opened)
    middle = (x1 + x2) // 2
    if shown > 1:
        pen.rectangle((middle - shown, y1 + 4, middle + shown, y2 - 4), fill=_DARK)
        for y, cloth in ((y1 + 28, (235, 150, 170)), (y1 + 52, (240, 240, 240)), (y2 - 6, (150, 190, 240))):
            pen.rectangle((middle - shown + 2, y - 8, middle + shown - 2, y - 1), fill=cloth)
            pen.line((middle - shown, y, middle + shown, y), fill=tone, width=2)
    pen.line((middle - shown, y1 + 3, middle - shown, y2 - 3), fill=_INK)
    pen.line((middle + shown, y1 + 3, middle + shown, y2 - 3), fill=_INK)
    for x in (middle - shown - 4, middle + shown + 2):
        pen.rectangle((x, (y1 + y2) // 2 - 3, x + 2, (y1 + y2) // 2 + 3), fill=(250, 220, 90))


def _chair(pen: ImageDraw.ImageDraw, box: Edges, tone: Colour, _open: float) -> None:
    """Draw a yellow chair from the side, its back at the left."""
    x1, y1, x2, y2 = box
    pen.rectangle((x1, y1, x1 + 6, y2), fill=tone, outline=_INK)
    pen.rectangle((x2 - 6, y2 - 22, x2 - 1, y2), fill=tone, outline=_INK)
    pen.rectangle((x1, y2 - 24, x2, y2 - 17), fill=tone, outline=_INK)


_SHAPES: Final[dict[str, Callable[[ImageDraw.ImageDraw, Edges, Colour, float], None]]] = {
    "cup/glass/bottle": _cup,
    "book": _book,
    "sandwich": _sandwich,
    "laptop": _laptop,
    "bag": _bag,
    "box": _carton,
    "door": _door,
    "closet/cabinet": _closet,
    CHAIR: _chair,
}


def _body(pen: ImageDraw.ImageDraw, figure: Figure, shirt: Colour) -> None:
    """Draw head, trunk and legs."""
    head, shoulder, hip = figure.head, figure.shoulder, figure.hip
    for knee, foot in zip(figure.knees, figure.feet, strict=True):
        pen.line((*hip, *knee, *foot), fill=_TROUSERS, width=7, joint="curve")
        pen.ellipse((foot.x - 5, foot.y - 2, foot.x + 5, foot.y + 3), fill=_INK)
    trunk = (shoulder.x - 10, shoulder.y - 5, hip.x + 10, hip.y + 3)
    pen.rounded_rectangle(trunk, radius=6, fill=shirt, outline=_INK)
    pen.ellipse((head.x - 10, head.y - 10, head.x + 10, head.y + 10), fill=_SKIN, outline=_INK)
    pen.chord((head.x - 10, head.y - 11, head.x + 10, head.y + 8), 185, 355, fill=(70, 45, 30))
    for x in (head.x - 4, head.x + 4):
        pen.rectangle((x - 1, head.y, x, head.y + 2), fill=_INK)
    pen.line((head.x - 3, head.y + 6, head.x + 3, head.y + 6), fill=(180, 60, 60))


def _arms(pen: ImageDraw.ImageDraw, figure: Figure, shirt: Colour) -> None:
    """Draw both arms over what they hold, with bent elbows."""
    for side, hand in zip((-9, 9), figure.hands, strict=True):
        start = Point(figure.shoulder.x + side, figure.shoulder.y)
        span = max(abs(hand.x - start.x), abs(hand.y - start.y))
        elbow = Point((start.x + hand.x) / 2, (start.y + hand.y) / 2 + max(0.0, 18 - span / 2))
        pen.line((*start, *elbow, *hand), fill=_INK, width=7, joint="curve")
        pen.line((*start, *elbow, *hand), fill=shirt, width=5, joint="curve")
        pen.ellipse((hand.x - 4, hand.y - 4, hand.x + 4, hand.y + 4), fill=_SKIN, outline=_INK)
