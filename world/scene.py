"""The household: what there is, how large it is, and what can be done with it.

Tables and small records alone: nothing is chosen (`furnish.py`, `plan.py`), moved (`motion.py`) or drawn
(`draw.py`) here, and STAR's ids are not known (`annotate.py`). Coordinates are pixels of the drawn frame,
origin top-left, before the room is mirrored.
"""

from __future__ import annotations

import random
from typing import Final, NamedTuple

from aotd.traces.star_vocabulary import FEASIBLE

__all__ = [
    "BACK_ROW",
    "CARRIED",
    "CLOTHS",
    "COLUMNS",
    "FPS",
    "FRONT_ROW",
    "HEIGHT",
    "HUNG",
    "HUNG_FOOT",
    "IN_HANDS",
    "SEATS",
    "SIZES",
    "STANDING",
    "TABLE",
    "TABLE_TOP",
    "THINGS",
    "USES",
    "VERBS",
    "WALL_FOOT",
    "WIDTH",
    "Colour",
    "Finish",
    "Look",
    "Move",
    "Person",
    "Room",
    "Spot",
    "source",
]

WIDTH: Final = 240
HEIGHT: Final = 180
FPS: Final = 10

TABLE: Final = "table"
CLOTHS: Final = ("towel", "clothes", "blanket")
"""What lies about untidily until it is tidied."""
CARRIED: Final = (
    *("cup/glass/bottle", "book", "sandwich", "laptop", "dish"),
    *("bag", "box", "shoe", "pillow"),
    *CLOTHS,
)
SEATS: Final = ("chair", "sofa/couch", "bed")
STANDING: Final = ("door", "closet/cabinet", "refrigerator", *SEATS)
HUNG: Final = ("window", "television", "mirror")
THINGS: Final = (*CARRIED, *STANDING, *HUNG)
"""All that has a place of its own; the table is part of the room."""

VERBS: Final = (
    *("take", "put", "throw", "open", "close", "eat"),
    *("drink", "sit", "lie", "wash", "watch", "tidy"),
)
IN_HANDS: Final = frozenset({"put", "throw", "eat", "drink"})
"""Verbs for what is held."""
_LEFT_OUT: Final = {("tidy", "closet/cabinet")}
"""STAR's actions that this world cannot show."""
USES: Final = {
    verb: tuple(name for name in THINGS if name in FEASIBLE[verb] and (verb, name) not in _LEFT_OUT)
    for verb in VERBS
}
"""The objects of this world that each verb applies to: a part of STAR's 111 actions, in its words."""

COLUMNS: Final = (22, 60, 98, 136, 174)
"""Middles of the places along the back wall and along the front; what is right of them is the person's."""

HUNG_FOOT: Final = 76
WALL_FOOT: Final = 132
TABLE_TOP: Final = 112
BACK_ROW: Final = 146
FRONT_ROW: Final = 178

Size = tuple[int, int]
"""Width and height."""

SIZES: Final[dict[str, tuple[tuple[Size, Size], tuple[Size, Size]]]] = {
    "cup/glass/bottle": (((30, 27), (30, 27)), ((18, 31), (18, 31))),
    "book": (((24, 31), (37, 24)), ((31, 22), (37, 20))),
    "sandwich": (((32, 22), (32, 22)), ((34, 26), (34, 26))),
    "laptop": (((36, 14), (36, 30)), ((34, 12), (34, 26))),
    "dish": (((36, 16), (36, 16)), ((33, 21), (33, 21))),
    "bag": (((32, 30), (32, 30)), ((28, 31), (28, 31))),
    "box": (((34, 24), (37, 31)), ((30, 26), (35, 31))),
    "shoe": (((34, 20), (34, 20)), ((30, 29), (30, 29))),
    "pillow": (((36, 24), (36, 24)), ((31, 30), (31, 30))),
    "towel": (((32, 18), (37, 25)), ((30, 16), (36, 21))),
    "clothes": (((30, 20), (37, 30)), ((30, 17), (31, 31))),
    "blanket": (((34, 22), (37, 30)), ((32, 26), (37, 25))),
    "door": (((36, 88), (36, 88)), ((33, 84), (33, 84))),
    "closet/cabinet": (((37, 82), (37, 82)), ((37, 70), (37, 70))),
    "refrigerator": (((32, 82), (32, 82)), ((36, 72), (36, 72))),
    "chair": (((32, 50), (32, 50)), ((37, 46), (37, 46))),
    "sofa/couch": (((73, 44), (73, 44)), ((70, 38), (70, 38))),
    "bed": (((74, 36), (74, 36)), ((74, 44), (74, 44))),
    "window": (((37, 42), (37, 42)), ((34, 36), (34, 36))),
    "television": (((37, 30), (37, 30)), ((37, 26), (37, 26))),
    "mirror": (((27, 44), (27, 44)), ((34, 34), (34, 34))),
}
"""By shape (0 or 1): shut and open, or tidy and untidy."""

Colour = tuple[int, int, int]


class Move(NamedTuple):
    """One thing that the person can do."""

    verb: str
    object: str


class Spot(NamedTuple):
    """Where an object rests: the middle of its foot, in pixels."""

    x: float
    base: float


class Finish(NamedTuple):
    """How an object looks: its shape (0 or 1) and its main colour."""

    shape: int
    colour: Colour


class Person(NamedTuple):
    """How the person looks."""

    skin: Colour
    hair: Colour
    shirt: Colour
    trousers: Colour
    long_hair: bool


class Look(NamedTuple):
    """What the camera sees behind everything else, and how it sees it.

    Attributes
    ----------
    wall, floor : Colour
    pattern : int
        The kind of room, 0 to 4: decides wallpaper and flooring.
    clutter : tuple[tuple[int, int, Colour], ...]
        Ornaments that no question is about: kind, middle (pixels from the left), colour.
    table : Colour
    light : tuple[float, float, float]
        What the camera makes of red, green and blue, about 1.
    grain : int
        Largest change of a pixel's channel by noise, 0 to 6.
    """

    wall: Colour
    floor: Colour
    pattern: int
    clutter: tuple[tuple[int, int, Colour], ...]
    table: Colour
    light: tuple[float, float, float]
    grain: int


class Room(NamedTuple):
    """What does not change during an episode.

    Attributes
    ----------
    homes : dict[str, Spot]
        Where each object stands at the start; for what is held from the start, where the hands are free
        to put it first.
    table : tuple[float, float]
        Left and right edge of the table.
    opened : frozenset[str]
        Objects that are open, or untidy, at the start.
    held : str or None
        What the person holds at the start.
    seat : Move or None
        How the person sits or lies at the start.
    finish : dict[str, Finish]
    person : Person
    look : Look
    mirrored : bool
        Whether frames and boxes are flipped left to right at the end.
    """

    homes: dict[str, Spot]
    table: tuple[float, float]
    opened: frozenset[str]
    held: str | None
    seat: Move | None
    finish: dict[str, Finish]
    person: Person
    look: Look
    mirrored: bool


def source(seed: int) -> random.Random:
    """Give the generator of random choices that belongs to a seed."""
    return random.Random(seed)  # noqa: S311 (a picture's layout is no secret)
