"""The person at work: how each move goes, frame by frame, and what it does to hands, seat and objects.

Boxes and relations come from the same numbers that are drawn. What happens and when is decided in `plan.py`;
nothing is drawn here.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from aotd.world.figure import Figure, Point, Posture, between, pose, ramp
from aotd.world.plan import Event, Plan
from aotd.world.scene import BACK_ROW, HUNG_FOOT, SIZES, TABLE, USES, Move, Spot

__all__ = ["Body", "Box", "Frame", "Gesture", "Thing", "thing_box"]

Box = tuple[float, float, float, float]
"""`x1, y1, x2, y2` in pixels of the frame, origin top-left; the pixels at x2 and y2 belong to it."""

_ARM: Final = 27
"""Distance at which the person stops to the right of what is to be handled."""
_THROW: Final = 84
"""Distance from which something is thrown."""
_LOOK: Final = 44
"""Distance from which something on the wall is watched."""
_NEAR: Final = 40
"""An object whose middle is closer than this to the person's, sideways, is near."""
_BESIDE: Final = 70
"""One that is farther, but closer than this, is on the person's side."""
_CHEST: Final = (Point(16, 106), Point(0, 102))
_MOUTH: Final = (Point(8, 85), Point(-16, 108))
_BROW: Final = (Point(-10, 76), Point(-20, 103))
"""Where hands go, beside an upright and beside a lying person (see `Posture.at`)."""


class Thing(NamedTuple):
    """An object in one frame: middle of its foot, how far it is open (0 to 1), its scale and its shape.

    A cloth is open when it is untidy, a television when it shows a picture.
    """

    name: str
    x: float
    base: float
    open: float
    scale: float
    shape: int


class Frame(NamedTuple):
    """All that a frame shows.

    Attributes
    ----------
    figure : Figure
    things : tuple[Thing, ...]
        Objects that exist now (an eaten sandwich does not).
    held : str or None
        Name of the object in the person's hands.
    relations : tuple[tuple[str, str], ...]
        (STAR relation, object); the person is the other end of each.
    foam : tuple[Point, ...]
        Soap bubbles; the first is where the sponge is.
    """

    figure: Figure
    things: tuple[Thing, ...]
    held: str | None
    relations: tuple[tuple[str, str], ...]
    foam: tuple[Point, ...] = ()


class Gesture(NamedTuple):
    """What the person does beyond standing there: posture, hands, load, and the contact that it makes.

    `left` and `right` are hands, `load` is the middle of what is held; `leans` tells that it happens at the
    table, `lean` how far the body is bent just now.
    """

    crouch: float = 0.0
    step: float = 0.0
    left: Point | None = None
    right: Point | None = None
    load: Point | None = None
    gaze: float = 0.0
    contact: tuple[str, str] | None = None
    lean: float = 0.0
    leans: bool = False
    foam: tuple[Point, ...] = ()


def thing_box(thing: Thing) -> Box:
    """Give the box of an object before mirroring, on whole pixels."""
    shut, wide = SIZES[thing.name][thing.shape]
    width, height = (thing.scale * (a + (b - a) * thing.open) for a, b in zip(shut, wide, strict=True))
    x1, y1 = round(thing.x - width / 2), round(thing.base - height)
    return (float(x1), float(y1), float(x1 + round(width) - 1), float(y1 + round(height) - 1))


class Body:
    """The moving state: where the person is, what is held, how every object stands."""

    def __init__(self, script: Plan) -> None:
        room = script.room
        self.things = {
            name: Thing(name, spot.x, spot.base, float(name in room.opened), 1.0, room.finish[name].shape)
            for name, spot in sorted(room.homes.items())
        }
        self.x = self.origin = script.person_x
        self.held = room.held
        self.lifted = Point(0, 0)
        self.sit = self.lie = self.rise = self.was_open = 0.0
        self.seat = room.seat
        if room.seat:
            self.x = self.origin = _place_on(room.homes[room.seat.object], room.seat)
            self.sit, self.lie = 1.0, float(room.seat.verb == "lie")

    def place_for(self, event: Event) -> float:
        """Give where the person goes for an event, and remember where the walk begins."""
        self.origin, self.rise = self.x, self.sit
        self.was_open = self.things[event.move.object].open
        verb, spot = event.move.verb, event.spot
        if spot == (0, 0):
            return self.x
        if verb in {"sit", "lie"}:
            return _place_on(spot, event.move)
        return spot.x + {"throw": _THROW, "watch": _LOOK}.get(verb, _ARM)

    def walk(self, target: float, u: float) -> Frame:
        """Go a share `u` of the way; who sits or lies and must move gets up first."""
        share = ramp(u, 0.35 * self.rise, 1)
        if target != self.origin:
            gone = ramp(u, 0, 0.35)
            self.lie, self.sit = min(self.lie, 1 - min(1.0, 2 * gone)), self.rise * (1 - gone)
            self.seat = None if self.sit < 0.5 else self.seat
        self.x = self.origin + (target - self.origin) * share
        moving = target != self.origin and 0 < share < 1
        return self.frame(Gesture(step=u * 9 if moving else 0.0))

    def act(self, event: Event, p: float) -> Gesture:
        """Give what the person does a share `p` of the way through an event."""
        doing = self._do(event, p)
        if not event.leans:
            return doing
        return doing._replace(leans=True, lean=ramp(p, 0, 0.25) * (1 - ramp(p, 0.8, 1)))

    def _do(self, event: Event, p: float) -> Gesture:
        """Give what the hands and legs do."""
        verb, name = event.move
        if verb in {"sit", "lie"}:
            return self._settle(event.move, p)
        if verb in {"eat", "drink"}:
            return self._consume(event.move, p)
        if verb == "watch":
            return self._watch(event, p)
        if verb == "throw":
            return self._throw(event, p)
        crouch = ramp(p, 0, 0.3) * (1 - ramp(p, 0.7, 1)) if event.spot.base > BACK_ROW else 0.0
        if verb == "take":
            return self._take(name, p, crouch)
        if verb == "put":
            return self._put(event, p, crouch)
        if verb == "wash":
            return self._wash(name, p, crouch)
        if verb == "tidy":
            return self._tidy(name, p, crouch)
        return self._turn(event.move, p, crouch)

    def finish(self, event: Event) -> None:
        """Take away what an event has used up, and switch off what was only watched."""
        if event.move.verb == "eat":
            self.held = None
            del self.things[event.move.object]
        elif event.move.verb == "watch":
            self._open(event.move.object, self.was_open)

    def _settle(self, move: Move, p: float) -> Gesture:
        """Sit down, or sit down and lie back."""
        self.sit = ramp(p, 0.1, 0.45)
        if move.verb == "lie":
            self.lie = ramp(p, 0.35, 0.7)
        if self.sit > 0.5:
            self.seat = move
        return Gesture()

    def _turn(self, move: Move, p: float, crouch: float) -> Gesture:
        """Open or close: a hand on the object's edge for as long as its lid moves."""
        share = ramp(p, 0.25, 0.85)
        self._open(move.object, share if move.verb == "open" else 1 - share)
        near = ramp(p, 0, 0.2) * (1 - ramp(p, 0.88, 1))
        hand = between(self._rest(-14, crouch), self._grip(move.object), near)
        return Gesture(crouch, left=hand, gaze=-1, contact=_touch(move.object, now=0.15 < p < 0.9))

    def _take(self, name: str, p: float, crouch: float) -> Gesture:
        """Reach for an object, then bring it to the chest."""
        if self.held is None:
            self.lifted = self._middle(name)
            if p < 0.4:
                hand = between(self._rest(-14, crouch), self._grip(name), ramp(p, 0, 0.35))
                return Gesture(crouch, left=hand, gaze=-1, contact=_touch(name, now=p > 0.3))
            self.held = name
        load = between(self.lifted, self._chest(crouch), ramp(p, 0.4, 1))
        return Gesture(crouch, left=load, load=load, gaze=-1, contact=("holding", name))

    def _put(self, event: Event, p: float, crouch: float) -> Gesture:
        """Carry an object to its spot, let go, draw the hand back."""
        name = event.move.object
        spot = Point(event.spot.x, event.spot.base - self._tall(name) / 2)
        if p < 0.6:
            load = between(self._chest(crouch), spot, ramp(p, 0, 0.55))
            return Gesture(crouch, load=load, gaze=-1, contact=("holding", name))
        if self.held == name:
            self.held = None
            self._place(name, event.spot.x, event.spot.base)
        hand = between(spot, self._rest(14, crouch), ramp(p, 0.6, 1))
        return Gesture(crouch, right=hand, gaze=-1, contact=_touch(name, now=p < 0.7))

    def _throw(self, event: Event, p: float) -> Gesture:
        """Swing an object up and back, let it fly to the floor on the left."""
        name = event.move.object
        raised = Point(self.x + 18, 66)
        if p < 0.4:
            load = between(self._chest(0), raised, ramp(p, 0, 0.35))
            return Gesture(load=load, gaze=-1, contact=("holding", name))
        self.held = None
        u = min(1.0, (p - 0.4) / 0.45)
        start, end = Point(raised.x, raised.y + self._tall(name) / 2), Point(event.spot.x, event.spot.base)
        flown = between(start, end, u)
        self._place(name, flown.x, flown.y - 120 * u * (1 - u))
        hand = between(Point(self.x - 20, 78), self._rest(14, 0), ramp(p, 0.7, 1))
        return Gesture(right=hand, gaze=-1)

    def _consume(self, move: Move, p: float) -> Gesture:
        """Bring food or drink to the mouth: one long draught, or three bites until little is left."""
        verb, name = move
        if verb == "drink":
            near = ramp(p, 0, 0.25) * (1 - ramp(p, 0.8, 1))
        else:
            near = 1 - 0.7 * math.cos(3 * math.pi * p) ** 2
            self.things[name] = self.things[name]._replace(scale=1 - 0.5 * p)
        load = between(self._chest(0), self._posture().at(*_MOUTH), near)
        return Gesture(load=load, contact=({"drink": "drinking_from", "eat": "eating"}[verb], name))

    def _watch(self, event: Event, p: float) -> Gesture:
        """Look long: at a book held open, or at a screen or out of a window with a hand above the eyes."""
        name = event.move.object
        near = ramp(p, 0, 0.2) * (1 - ramp(p, 0.85, 1))
        if name == "book":
            self._open(name, max(self.was_open, near))
            load = between(self._chest(0), self._posture().at(Point(-4, 97), Point(-12, 92)), near)
            return Gesture(left=Point(load.x - 14, load.y + 4), load=load, contact=("holding", name))
        if name == "television":
            self._open(name, near)
        brow = between(self._rest(-14, 0), self._posture().at(*_BROW), near)
        return Gesture(left=brow, gaze=-1 if self.things[name].x < self.x else 1)

    def _wash(self, name: str, p: float, crouch: float) -> Gesture:
        """Rub an object with a sponge, up and down and across, in foam."""
        x1, y1, x2, y2 = thing_box(self.things[name])
        across, along = (x2 - x1) / 2 - 3, min((y2 - y1) / 2 - 3, 14)
        middle = Point((x1 + x2) / 2, min((y1 + y2) / 2, 170))
        rub = Point(
            middle.x + 3 + 0.8 * across * math.sin(17 * p), middle.y + 0.8 * along * math.sin(29 * p + 1)
        )
        near = ramp(p, 0, 0.18) * (1 - ramp(p, 0.88, 1))
        hand = between(self._rest(-14, crouch), rub, near)
        foam = [hand]
        for number in range(round(10 * ramp(p, 0.1, 0.5) * (1 - ramp(p, 0.9, 1)))):
            turn = 2.4 * number + 6 * p
            foam.append(Point(middle.x + across * math.sin(turn), middle.y + along * math.cos(1.7 * turn)))
        return Gesture(crouch, left=hand, gaze=-1, contact=_touch(name, now=near > 0.8), foam=tuple(foam))

    def _tidy(self, name: str, p: float, crouch: float) -> Gesture:
        """Fold a cloth: both hands go to its ends and bring them together, twice."""
        x1, y1, x2, _ = thing_box(self.things[name])
        self._open(name, 1 - ramp(p, 0.3, 0.85))
        near = ramp(p, 0, 0.25) * (1 - ramp(p, 0.88, 1))
        pull = 0.5 + 0.5 * abs(math.cos(2 * math.pi * p))
        middle, half = (x1 + x2) / 2, (x2 - x1) / 2 * pull
        lift = y1 + 4 - 8 * (1 - pull)
        left = between(self._rest(-14, crouch), Point(middle - half, lift), near)
        right = between(self._rest(14, crouch), Point(middle + half, lift), near)
        return Gesture(crouch, left=left, right=right, gaze=-1, contact=_touch(name, now=near > 0.8))

    def frame(self, doing: Gesture) -> Frame:
        """Give the frame of this moment."""
        posture, right = self._posture(doing.crouch, doing.lean, doing.step), doing.right
        if self.held is not None:
            middle = doing.load or self._chest(doing.crouch)
            base = middle.y + self._tall(self.held) / 2
            self._place(self.held, middle.x, base)
            right = Point(middle.x + (14 if doing.left and doing.load else 0), base - 4)
        figure = pose(posture, doing.left, right, doing.gaze)
        relations = self._relations(doing.contact, leans=doing.leans)
        return Frame(figure, tuple(self.things.values()), self.held, relations, doing.foam)

    def _relations(self, contact: tuple[str, str] | None, *, leans: bool) -> tuple[tuple[str, str], ...]:
        """List how the person stands to each object, contact first."""
        found = [("holding", self.held), ("touching", self.held)] if self.held is not None else []
        if contact and contact not in found:
            found.append(contact)
        if self.seat:
            found.append(("lying_on" if self.seat.verb == "lie" else "sitting_on", self.seat.object))
            found.append(("beneath", self.seat.object))
        if leans:
            found.append(("leaning_on", TABLE))
        handled = dict.fromkeys(name for name in (self.held, contact and contact[1]) if name)
        found += [("in_front_of", name) for name in handled]
        told = {name for _, name in found}
        away = {name: abs(thing.x - self.x) for name, thing in self.things.items() if name not in told}
        close = (
            ("near" if far < _NEAR else "on_the_side_of", name) for name, far in away.items() if far < _BESIDE
        )
        return (*found, *close)

    def _open(self, name: str, share: float) -> None:
        """Open an object so far, or untidy it."""
        self.things[name] = self.things[name]._replace(open=share)

    def _place(self, name: str, x: float, base: float) -> None:
        """Put an object somewhere, by the middle of its foot."""
        self.things[name] = self.things[name]._replace(x=x, base=base)

    def _posture(self, crouch: float = 0.0, lean: float = 0.0, step: float = 0.0) -> Posture:
        """Give the posture of this moment."""
        return Posture(self.x, crouch, self.sit, self.lie, lean, step)

    def _rest(self, side: float, crouch: float) -> Point:
        """Give where a hand rests when it does nothing."""
        return self._posture(crouch).at(Point(side, 117), Point(4, 120))

    def _chest(self, crouch: float) -> Point:
        """Give where a load is held."""
        return self._posture(crouch).at(*_CHEST)

    def _grip(self, name: str) -> Point:
        """Give where a hand takes hold of an object: its right edge, never higher than it can reach."""
        _, y1, x2, y2 = thing_box(self.things[name])
        top = 62 if self.things[name].base == HUNG_FOOT else 92
        return Point(x2 - 3, max((y1 + y2) / 2, top))

    def _tall(self, name: str) -> float:
        """Give an object's height now."""
        _, y1, _, y2 = thing_box(self.things[name])
        return y2 - y1 + 1

    def _middle(self, name: str) -> Point:
        """Give the middle of an object."""
        x1, y1, x2, y2 = thing_box(self.things[name])
        return Point((x1 + x2) / 2, (y1 + y2) / 2)


def _place_on(spot: Spot, seat: Move) -> float:
    """Give where the person is on a seat."""
    return spot.x if seat.verb == "lie" else spot.x + (-12 if seat.object in USES["lie"] else 4)


def _touch(name: str, *, now: bool) -> tuple[str, str] | None:
    """Give the contact of a hand, while there is one."""
    return ("touching", name) if now else None
