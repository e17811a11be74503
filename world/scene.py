"""The household: what there is, what can be done with it, and an episode's plan from a seed.

An episode is a room, a person and three or four events in time order; everything follows from the seed.
This file decides what happens and when. It moves nothing (`motion.py`), draws nothing (`draw.py`) and knows
no STAR ids (`annotate.py`). Coordinates are pixels of the drawn frame, origin top-left, before the room is
mirrored.
"""

from __future__ import annotations

import random
from typing import Final, NamedTuple

from aotd.traces.star_vocabulary import FEASIBLE

__all__ = [
    "BACK_ROW",
    "CHAIR",
    "FPS",
    "HEIGHT",
    "TABLE",
    "TABLE_TOP",
    "USES",
    "WALL_FOOT",
    "WIDTH",
    "Event",
    "Move",
    "Plan",
    "Room",
    "Spot",
    "plan",
    "source",
]

WIDTH: Final = 240
HEIGHT: Final = 180
FPS: Final = 10

TABLE: Final = "table"
CHAIR: Final = "chair"
_DOORS: Final = ("door", "closet/cabinet")
_SMALL: Final = ("cup/glass/bottle", "book", "sandwich", "laptop")
_BULKY: Final = ("bag", "box")
_THINGS: Final = (*_SMALL, *_BULKY, *_DOORS, CHAIR)

_VERBS: Final = ("take", "put", "throw", "open", "close", "eat", "drink", "sit")
USES: Final = {verb: tuple(name for name in _THINGS if name in FEASIBLE[verb]) for verb in _VERBS}
"""The objects of this world that each verb applies to: a part of STAR's 111 actions, in its words."""

_WEIGHTS: Final = {"take": 2.0, "throw": 2.0, "eat": 5.0, "drink": 5.0, "open": 0.7, "close": 0.7}
"""How readily a verb is chosen, 1 unless told: there is much to open and little to drink."""

_COLUMNS: Final = (22, 60, 98, 136, 174)
"""Middles of the places along the back wall and along the front; what is right of them is the person's."""

WALL_FOOT: Final = 132
TABLE_TOP: Final = 112
BACK_ROW: Final = 150
FRONT_ROW: Final = 178

_IN_HANDS: Final = frozenset({"put", "throw", "eat", "drink"})


class Move(NamedTuple):
    """One thing that the person can do."""

    verb: str
    object: str


class Spot(NamedTuple):
    """Where an object rests: the middle of its foot, in pixels."""

    x: float
    base: float


class Room(NamedTuple):
    """What does not change during an episode.

    Attributes
    ----------
    homes : dict[str, Spot]
        Where each object stands at the start.
    table : tuple[float, float]
        Left and right edge of the table.
    opened : frozenset[str]
        Objects that are open at the start.
    shade : dict[str, float]
        Brightness of each object, the wall, the floor and the shirt, about 1.
    mirrored : bool
        Whether frames and boxes are flipped left to right at the end.
    """

    homes: dict[str, Spot]
    table: tuple[float, float]
    opened: frozenset[str]
    shade: dict[str, float]
    mirrored: bool


class Event(NamedTuple):
    """One move with its time.

    Attributes
    ----------
    move : Move
    approach, start, end : int
        Frames: the person walks up during [approach, start) and acts during [start, end).
    spot : Spot
        Where the object is found, or for "put" and "throw" where it comes to rest; eating and drinking
        happen in the hands and have none, (0, 0).
    legal : tuple[Move, ...]
        All moves that were possible when the event began, its own among them.
    """

    move: Move
    approach: int
    start: int
    end: int
    spot: Spot
    legal: tuple[Move, ...]


class Plan(NamedTuple):
    """A room, what happens in it, and how long the video runs (in frames)."""

    seed: int
    room: Room
    events: tuple[Event, ...]
    frames: int
    person_x: float


def source(seed: int) -> random.Random:
    """Give the generator of random choices that belongs to a seed."""
    return random.Random(seed)  # noqa: S311 (a picture's layout is no secret)


def plan(seed: int) -> Plan:
    """Lay out a room and choose three or four events, all from `seed`."""
    rng = source(seed)
    room, free = _furnish(rng)
    state = _State(room, free)
    events: list[Event] = []
    clock = rng.randint(2, 5)
    for _ in range(rng.choice((3, 4))):
        legal = state.legal()
        verbs = sorted({move.verb for move in legal})
        verb = rng.choices(verbs, [_WEIGHTS.get(verb, 1.0) for verb in verbs])[0]
        move = rng.choice([move for move in legal if move.verb == verb])
        start = clock + rng.randint(8, 11)
        end = start + rng.randint(16, 20)
        events.append(Event(move, clock, start, end, state.apply(move, rng), legal))
        clock = end
    return Plan(seed, room, tuple(events), clock + 10, rng.uniform(70, 200))


def _furnish(rng: random.Random) -> tuple[Room, list[Spot]]:
    """Place four things to carry and one or two fixtures; also give the places left free."""
    fixtures = rng.sample((*_DOORS, CHAIR), rng.choice((1, 2)))
    carried = rng.sample((*_SMALL, *_BULKY), 4)
    left = rng.randint(0, len(fixtures))
    rng.shuffle(fixtures)
    span = _COLUMNS[left : left + len(_COLUMNS) - len(fixtures)]
    ends = (*_COLUMNS[:left], *_COLUMNS[left + len(span) :])
    homes = {
        name: Spot(x, BACK_ROW if name == CHAIR else WALL_FOOT)
        for name, x in zip(fixtures, ends, strict=True)
    }
    on_table = [Spot(x, TABLE_TOP) for x in span]
    on_floor = [Spot(x, FRONT_ROW) for x in _COLUMNS]
    rng.shuffle(on_table)
    rng.shuffle(on_floor)
    for name in carried:
        homes[name] = on_table.pop() if name in _SMALL and on_table else on_floor.pop()
    lids = [name for name in USES["close"] if name in homes]
    opened = frozenset(name for name in lids if rng.random() < 0.5)
    shade = {name: rng.uniform(0.85, 1.15) for name in (*homes, TABLE, "wall", "floor", "shirt")}
    table = (span[0] - 18.0, span[-1] + 18.0)
    return Room(homes, table, opened, shade, rng.random() < 0.5), [*on_table, *on_floor]


class _State:
    """What the rules look at while events are chosen: places, hands, what is open, what is done."""

    def __init__(self, room: Room, free: list[Spot]) -> None:
        self.places = dict(room.homes)
        self.opened = set(room.opened)
        self.free = free
        self.held: str | None = None
        self.seated = False
        self.done: set[Move] = set()

    def legal(self) -> tuple[Move, ...]:
        """List the moves that can be made now; none is made twice in an episode."""
        moves = (Move(verb, name) for verb, names in USES.items() for name in names)
        return tuple(move for move in moves if move not in self.done and self._possible(move))

    def _possible(self, move: Move) -> bool:
        """Tell whether hands, places and lids allow the move."""
        verb, name = move
        if verb in _IN_HANDS:
            return self.held == name and bool(self._spots(verb))
        if name not in self.places:
            return False
        if verb == "take":
            return self.held is None
        if verb == "sit":
            return not self.seated
        return (name in self.opened) == (verb == "close")

    def apply(self, move: Move, rng: random.Random) -> Spot:
        """Make the move and give the spot at which it happens."""
        verb, name = move
        self.done.add(move)
        self.seated = verb == "sit" or (self.seated and verb in {"eat", "drink"})
        if verb in {"eat", "drink"}:
            self.held = None if verb == "eat" else self.held
            return Spot(0, 0)
        if verb in {"put", "throw"}:
            spot = rng.choice(self._spots(verb))
            self.free.remove(spot)
            self.places[name], self.held = spot, None
            return spot
        spot = self.places[name]
        if verb == "take":
            self.free.append(self.places.pop(name))
            self.held = name
        elif verb == "open":
            self.opened.add(name)
        elif verb == "close":
            self.opened.discard(name)
        return spot

    def _spots(self, verb: str) -> list[Spot]:
        """List the free places; a throw needs one on the floor, where there is room to throw from."""
        aims = [spot for spot in self.free if spot.base == FRONT_ROW and spot.x < _COLUMNS[3]]
        return sorted(aims if verb == "throw" else self.free)
