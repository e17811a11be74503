"""Episodes: two to four events in a furnished room, with their times, all from a seed.

The rules of the household are here: what hands, seats and lids allow at a moment. This file moves and draws
nothing.
"""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Final, NamedTuple

from aotd.world.furnish import furnish
from aotd.world.scene import (
    COLUMNS,
    FRONT_ROW,
    HUNG_FOOT,
    IN_HANDS,
    TABLE_TOP,
    USES,
    VERBS,
    Move,
    Room,
    Spot,
    source,
)
from aotd.world.split import split_of

__all__ = ["SHORTEST", "Event", "Plan", "plan"]

_WEIGHTS: Final = {
    "take": 0.1,
    "put": 1.0,
    "throw": 3.0,
    "open": 0.4,
    "close": 0.4,
    "eat": 5.0,
    "drink": 3.5,
    "sit": 1.0,
    "lie": 1.7,
    "wash": 0.37,
    "watch": 0.5,
    "tidy": 1.5,
}
_FOCUS: Final = {"take": 0.2, "throw": 1.3, "eat": 3.5, "drink": 3.5}
"""How readily a verb is chosen, and a room furnished for it, 1 unless told: each is seen about as often."""
SHORTEST: Final = 124
_LONGEST: Final = 140
"""Fewest and most frames of an episode, unless its events need more."""
_LEAST_QUIET: Final = 10
"""Frames in which nothing happens, at least: two before the first event, the others after the last."""
_EAGER: Final = 0.85
"""How often the verb of the room is gone for at once."""

_STILL: Final = frozenset({"eat", "drink", "watch"})
"""Verbs for which nobody stands up."""


class Event(NamedTuple):
    """One move with its time.

    Attributes
    ----------
    move : Move
    approach, start, end : int
        Frames: the person walks up during [approach, start) and acts during [start, end).
    spot : Spot
        Where the object is found, or for "put" and "throw" where it comes to rest; what happens in the
        hands or on a seat already taken has none, (0, 0).
    held : str or None
        What else is held throughout the event, or is used in it without leaving the hands.
    seat : Move or None
        How the person sits or lies throughout the event.
    """

    move: Move
    approach: int
    start: int
    end: int
    spot: Spot
    held: str | None
    seat: Move | None

    @property
    def leans(self) -> bool:
        """Whether the person leans on the table: to reach what lies on it or hangs behind it."""
        return self.spot.base in {TABLE_TOP, HUNG_FOOT} and self.move.verb != "watch"


class Plan(NamedTuple):
    """A room, what happens in it, and how long the video runs (in frames)."""

    seed: int
    room: Room
    events: tuple[Event, ...]
    frames: int
    person_x: float


def plan(seed: int) -> Plan:
    """Furnish a room and choose two to four events, all from `seed`."""
    rng = source(seed)
    focus = rng.choices(VERBS, [_FOCUS.get(verb, 1.0) for verb in VERBS])[0]
    room, free = furnish(rng, split_of(seed), focus)
    state = _State(room, free)
    steps = []
    for _ in range(rng.choice((2, 3, 3, 4))):
        before, move = state.held, _pick(rng, state.legal(), focus)
        focus = "" if move.verb == focus else focus
        spot = state.apply(move, rng)
        held = state.held if state.held == before else None
        walk, work = rng.randint(8, 11), rng.randint(16, 20)
        steps.append(Event(move, 0, walk, walk + work, spot, held, state.seat_during(move)))
    frames = max(rng.randint(SHORTEST, _LONGEST), sum(step.end for step in steps) + _LEAST_QUIET)
    return Plan(seed, room, _spread(rng, steps, frames), frames, rng.uniform(70, 200))


def _spread(rng: random.Random, steps: list[Event], frames: int) -> tuple[Event, ...]:
    """Set events in time: the quiet that is left is divided at random before, between and after them."""
    quiet = frames - sum(step.end for step in steps) - _LEAST_QUIET
    cuts = sorted(rng.randint(0, quiet) for _ in steps)
    events, clock = [], 2
    for step, wait in zip(steps, (b - a for a, b in pairwise([0, *cuts])), strict=True):
        clock += wait
        events.append(step._replace(approach=clock, start=clock + step.start, end=clock + step.end))
        clock += step.end
    return tuple(events)


def _pick(rng: random.Random, legal: tuple[Move, ...], focus: str) -> Move:
    """Choose a move: towards the verb that the room was furnished for, or any by the weight of its verb."""
    if focus and rng.random() < _EAGER:
        aims = [move for move in legal if move.verb == focus]
        means = [Move("take", name) for name in USES[focus]] if focus in IN_HANDS else []
        if aims := aims or [move for move in means if move in legal]:
            return rng.choice(aims)
    verbs = sorted({move.verb for move in legal})
    verb = rng.choices(verbs, [_WEIGHTS[verb] for verb in verbs])[0]
    return rng.choice([move for move in legal if move.verb == verb])


class _State:
    """What the rules look at while events are chosen: places, hands, seat, what is open, what is done."""

    def __init__(self, room: Room, free: list[Spot]) -> None:
        self.places = {name: spot for name, spot in room.homes.items() if name != room.held}
        self.opened = set(room.opened)
        self.free = free
        self.held = room.held
        self.seat = room.seat
        self.done: set[Move] = set()

    def legal(self) -> tuple[Move, ...]:
        """List the moves that can be made now; none is made twice in an episode."""
        moves = (Move(verb, name) for verb, names in USES.items() for name in names)
        return tuple(move for move in moves if move not in self.done and self._possible(move))

    def _possible(self, move: Move) -> bool:
        """Tell whether hands, places, seats and lids allow the move."""
        verb, name = move
        if verb in IN_HANDS or move == ("watch", "book"):
            return self.held == name and (verb not in {"put", "throw"} or bool(self._spots(verb)))
        if name not in self.places:
            return False
        if verb in {"sit", "lie"}:
            return self.seat is None
        if verb in {"take", "tidy"} and self.held is not None:
            return False
        if verb in {"open", "close", "tidy"}:
            return (name in self.opened) == (verb != "open")
        return True

    def seat_during(self, move: Move) -> Move | None:
        """Tell on what the person is during a move that was just made, its own seat left out."""
        return self.seat if move.verb in _STILL else None

    def apply(self, move: Move, rng: random.Random) -> Spot:
        """Make the move and give the spot at which it happens."""
        verb, name = move
        self.done.add(move)
        if verb in {"sit", "lie"}:
            self.seat = move
        elif verb not in _STILL:
            self.seat = None
        if verb in {"eat", "drink"} or move == ("watch", "book"):
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
        elif verb in {"close", "tidy"}:
            self.opened.discard(name)
        return Spot(0, 0) if verb == "watch" and self.seat else spot

    def _spots(self, verb: str) -> list[Spot]:
        """List the free places; a throw needs one on the floor, where there is room to throw from."""
        aims = [spot for spot in self.free if spot.base == FRONT_ROW and spot.x < COLUMNS[3]]
        return sorted(aims if verb == "throw" else self.free)
