"""The household in motion: from a plan to the state of every frame, and the boxes that follow from it.

`simulate` turns each event into hand, body and object positions. Boxes come from the same numbers that
`draw.py` draws, so annotation and picture cannot disagree. Nothing is drawn here.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from aotd.world.scene import BACK_ROW, CHAIR, HEIGHT, TABLE, TABLE_TOP, WIDTH, Event, Plan, plan

__all__ = ["PERSON", "Box", "Episode", "Figure", "Frame", "Point", "Thing", "boxes", "simulate", "thing_box"]

Box = tuple[float, float, float, float]
"""`x1, y1, x2, y2` in pixels of the frame, origin top-left; the pixels at x2 and y2 belong to it."""

PERSON: Final = "person"

_CLOSED: Final[dict[str, tuple[int, int]]] = {
    "cup/glass/bottle": (24, 24),
    "book": (18, 25),
    "sandwich": (28, 20),
    "laptop": (34, 12),
    "bag": (26, 26),
    "box": (30, 21),
    "door": (34, 86),
    "closet/cabinet": (36, 80),
    CHAIR: (32, 48),
}
_OPEN: Final[dict[str, tuple[int, int]]] = {"book": (36, 22), "laptop": (34, 26), "box": (36, 26)}
"""Width and height; the second table where they differ when open."""

_ARM: Final = 26
"""Distance at which the person stops to the right of what is to be handled."""
_NEAR: Final = 40
"""An object whose middle is closer than this to the person's, sideways, is near."""


class Point(NamedTuple):
    """A place in the frame, in pixels."""

    x: float
    y: float


class Thing(NamedTuple):
    """An object in one frame: middle of its foot, how far it is open (0 to 1), and its scale."""

    name: str
    x: float
    base: float
    open: float
    scale: float


class Figure(NamedTuple):
    """The person in one frame: the joints that are drawn; of pairs the left one comes first."""

    head: Point
    shoulder: Point
    hip: Point
    knees: tuple[Point, Point]
    feet: tuple[Point, Point]
    hands: tuple[Point, Point]


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
    """

    figure: Figure
    things: tuple[Thing, ...]
    held: str | None
    relations: tuple[tuple[str, str], ...]


class Episode(NamedTuple):
    """A plan with all its frames; frame i is at i / FPS seconds."""

    plan: Plan
    frames: tuple[Frame, ...]


def simulate(seed: int) -> Episode:
    """Make the episode of a seed: always the same one.

    Parameters
    ----------
    seed : int
        Any integer.

    Returns
    -------
    Episode
        8 to 13 seconds at `FPS` frames a second, with three or four events.
    """
    script = plan(seed)
    body = _Body(script)
    frames = [body.frame() for _ in range(script.events[0].approach)]
    for event in script.events:
        walk, work = event.start - event.approach, event.end - event.start
        target = body.place_for(event)
        frames += [body.walk(target, i / (walk - 1)) for i in range(walk)]
        frames += [body.act(event, i / (work - 1)) for i in range(work)]
    frames += [body.frame() for _ in range(script.frames - len(frames))]
    return Episode(script, tuple(frames))


def boxes(episode: Episode, index: int) -> dict[str, Box]:
    """Give the boxes of the objects, the table and the person in one frame, cut at the frame's edge."""
    frame, room = episode.frames[index], episode.plan.room
    found = {thing.name: thing_box(thing) for thing in frame.things}
    found[TABLE] = (room.table[0], float(TABLE_TOP), room.table[1], float(BACK_ROW - 2))
    found[PERSON] = _figure_box(frame.figure)
    if room.mirrored:
        found = {name: (WIDTH - 1 - x2, y1, WIDTH - 1 - x1, y2) for name, (x1, y1, x2, y2) in found.items()}
    return {
        name: (max(x1, 0.0), max(y1, 0.0), min(x2, WIDTH - 1.0), min(y2, HEIGHT - 1.0))
        for name, (x1, y1, x2, y2) in found.items()
    }


def thing_box(thing: Thing) -> Box:
    """Give the box of an object before mirroring, on whole pixels."""
    closed = _CLOSED[thing.name]
    wide = _OPEN.get(thing.name, closed)
    width, height = (thing.scale * (a + (b - a) * thing.open) for a, b in zip(closed, wide, strict=True))
    x1, y1 = round(thing.x - width / 2), round(thing.base - height)
    return (float(x1), float(y1), float(x1 + round(width) - 1), float(y1 + round(height) - 1))


def _figure_box(body: Figure) -> Box:
    """Give the box round the drawn figure before mirroring, thickness of limbs included."""
    limbs = (*body.knees, *body.feet, *body.hands)
    left = min(body.shoulder.x - 11, *(point.x - 6 for point in limbs))
    right = max(body.shoulder.x + 11, *(point.x + 6 for point in limbs))
    top = min(body.head.y - 12, *(hand.y - 5 for hand in body.hands))
    bottom = max(point.y + 4 for point in limbs)
    return (float(round(left)), float(round(top)), float(round(right)), float(round(bottom)))


def _ramp(p: float, start: float, end: float) -> float:
    """Rise smoothly from 0 at `start` to 1 at `end`."""
    u = min(1.0, max(0.0, (p - start) / (end - start)))
    return u * u * (3 - 2 * u)


def _between(a: Point, b: Point, u: float) -> Point:
    """Give the point a share `u` of the way from `a` to `b`."""
    return Point(a.x + (b.x - a.x) * u, a.y + (b.y - a.y) * u)


def _pose(
    x: float, crouch: float, sit: float, step: float, hands: tuple[Point | None, Point | None]
) -> Figure:
    """Pose the person at `x`: `crouch` and `sit` from 0 to 1, a step's phase, hands (None hangs)."""
    drop = 24 * crouch + 10 * sit
    knee = 119 + drop + (29 - drop) * 0.5 * (1 - sit)
    spread, forward, swing = 6 + 7 * crouch, 22 * sit, 7 * math.sin(step)
    left, right = hands
    return Figure(
        head=Point(x, 78 + drop),
        shoulder=Point(x, 92 + drop),
        hip=Point(x, 119 + drop),
        knees=(
            Point(x - spread + swing / 2 + forward, knee),
            Point(x + spread - swing / 2 + forward - 8 * sit, knee),
        ),
        feet=(Point(x - 6 + swing + forward, 148), Point(x + 6 - swing + forward - 8 * sit, 148)),
        hands=(left or Point(x - 14, 117 + drop), right or Point(x + 14, 117 + drop)),
    )


class _Body:
    """The moving state: where the person is, what is held, how every object stands."""

    def __init__(self, script: Plan) -> None:
        room = script.room
        self.things = {
            name: Thing(name, spot.x, spot.base, float(name in room.opened), 1.0)
            for name, spot in sorted(room.homes.items())
        }
        self.x = self.origin = script.person_x
        self.sit = self.rise = 0.0
        self.held: str | None = None
        self.lifted = Point(0, 0)

    def place_for(self, event: Event) -> float:
        """Give where the person goes for an event, and remember where the walk begins."""
        self.origin, self.rise = self.x, self.sit
        verb, name = event.move
        if verb in {"eat", "drink"}:
            return self.x
        if verb == "throw":
            return event.spot.x + 84
        return event.spot.x + 4 if name == CHAIR else event.spot.x + _ARM

    def walk(self, target: float, u: float) -> Frame:
        """Go a share `u` of the way; who sits and must move stands up first."""
        stays = target == self.origin
        self.sit = self.rise * (1 - (0 if stays else _ramp(u, 0, 0.3)))
        share = 1.0 if stays else _ramp(u, 0.3 * self.rise, 1)
        self.x = self.origin + (target - self.origin) * share
        return self.frame(step=0.0 if share in {0.0, 1.0} else u * 9)

    def act(self, event: Event, p: float) -> Frame:
        """Give the frame a share `p` of the way through an event."""
        verb, name = event.move
        if verb == "sit":
            self.sit = _ramp(p, 0.1, 0.45)
            return self.frame()
        if verb in {"eat", "drink"}:
            return self._consume(verb, name, p)
        if verb == "throw":
            return self._throw(event, p)
        low = event.spot.base > BACK_ROW
        crouch = _ramp(p, 0, 0.3) * (1 - _ramp(p, 0.7, 1)) if low else 0.0
        if verb == "take":
            return self._take(name, p, crouch)
        if verb == "put":
            return self._put(event, p, crouch)
        share = _ramp(p, 0.25, 0.85)
        self.things[name] = self.things[name]._replace(open=share if verb == "open" else 1 - share)
        grip = _between(self._rest(-14, crouch), self._grip(name), _ramp(p, 0, 0.2) * (1 - _ramp(p, 0.88, 1)))
        touch = "touching" if 0.15 < p < 0.9 else ""
        return self.frame(crouch=crouch, reach=grip, relation=touch, target=name)

    def _take(self, name: str, p: float, crouch: float) -> Frame:
        """Reach for an object, then bring it to the chest."""
        if self.held is None:
            self.lifted = self._middle(name)
            if p < 0.4:
                grip = _between(self._rest(-14, crouch), self._grip(name), _ramp(p, 0, 0.35))
                touch = "touching" if p > 0.3 else ""
                return self.frame(crouch=crouch, reach=grip, relation=touch, target=name)
            self.held = name
        load = _between(self.lifted, self._rest(16, crouch), _ramp(p, 0.4, 1))
        return self.frame(crouch=crouch, reach=load, load=load)

    def _put(self, event: Event, p: float, crouch: float) -> Frame:
        """Carry an object to its spot, let go, draw the hand back."""
        name = event.move.object
        spot = Point(event.spot.x, event.spot.base - self._tall(name) / 2)
        if p < 0.6:
            return self.frame(crouch=crouch, load=_between(self._rest(16, crouch), spot, _ramp(p, 0, 0.55)))
        if self.held == name:
            self.held = None
            self.things[name] = self.things[name]._replace(x=event.spot.x, base=event.spot.base)
        hand = _between(spot, self._rest(14, crouch), _ramp(p, 0.6, 1))
        return self.frame(crouch=crouch, other=hand, relation="touching" if p < 0.7 else "", target=name)

    def _throw(self, event: Event, p: float) -> Frame:
        """Swing an object up and back, let it fly to the floor on the left."""
        name = event.move.object
        raised = Point(self.x + 18, 66)
        if p < 0.4:
            return self.frame(load=_between(self._rest(16, 0), raised, _ramp(p, 0, 0.35)))
        self.held = None
        u = min(1.0, (p - 0.4) / 0.45)
        thing = self.things[name]
        start = Point(raised.x, raised.y + self._tall(name) / 2)
        end = Point(event.spot.x, event.spot.base)
        flown = _between(start, end, u)
        self.things[name] = thing._replace(x=flown.x, base=flown.y - 120 * u * (1 - u))
        hand = _between(Point(self.x - 20, 78), self._rest(14, 0), _ramp(p, 0.7, 1))
        return self.frame(other=hand, target=name)

    def _consume(self, verb: str, name: str, p: float) -> Frame:
        """Bring food or drink to the mouth: one long draught, or three bites until nothing is left."""
        if verb == "drink":
            near = _ramp(p, 0, 0.25) * (1 - _ramp(p, 0.8, 1))
        else:
            near = 1 - 0.6 * math.cos(3 * math.pi * p) ** 2
            self.things[name] = self.things[name]._replace(scale=1 - 0.5 * p)
        drop = 10 * self.sit
        load = _between(self._rest(16, 0), Point(self.x + 7, 84 + drop), near)
        relation = {"drink": "drinking_from", "eat": "eating"}[verb]
        frame = self.frame(load=load, relation=relation, target=name)
        if verb == "eat" and p == 1:
            self.held = None
            del self.things[name]
        return frame

    def frame(
        self,
        *,
        crouch: float = 0,
        step: float = 0,
        reach: Point | None = None,
        other: Point | None = None,
        load: Point | None = None,
        relation: str = "",
        target: str = "",
    ) -> Frame:
        """Give the frame of this moment: `reach` and `other` are hands, `load` the middle of what is held."""
        if self.held is not None:
            middle = load or self._rest(16, crouch)
            base = middle.y + self._tall(self.held) / 2
            self.things[self.held] = self.things[self.held]._replace(x=middle.x, base=base)
            other = Point(middle.x, base - 3)
        figure = _pose(self.x, crouch, self.sit, step, (reach, other))
        return Frame(figure, tuple(self.things.values()), self.held, self._relations(relation, target))

    def _relations(self, relation: str, target: str) -> tuple[tuple[str, str], ...]:
        """List how the person stands to each object, contact first."""
        found = [("holding", self.held)] if self.held is not None else []
        found += [(relation, target)] if relation else []
        found += [("in_front_of", name) for name in sorted({self.held or "", target} - {""})]
        if CHAIR in self.things and self.sit > 0.5:
            found += [("sitting_on", CHAIR), ("beneath", CHAIR)]
        told = {name for _, name in found}
        close = (thing.name for thing in self.things.values() if abs(thing.x - self.x) < _NEAR)
        return (*found, *(("near", name) for name in close if name not in told))

    def _rest(self, side: float, crouch: float) -> Point:
        """Give where a hand rests: the left one hanging, the right one before the chest with a load."""
        return Point(self.x + side, (106 if side > 14 else 117) + 24 * crouch + 10 * self.sit)

    def _grip(self, name: str) -> Point:
        """Give where a hand takes hold of an object: its right edge, never higher than the shoulder."""
        _, y1, x2, y2 = thing_box(self.things[name])
        return Point(x2 - 3, max((y1 + y2) / 2, 92))

    def _tall(self, name: str) -> float:
        """Give an object's height now."""
        _, y1, _, y2 = thing_box(self.things[name])
        return y2 - y1 + 1

    def _middle(self, name: str) -> Point:
        """Give the middle of an object."""
        x1, y1, x2, y2 = thing_box(self.things[name])
        return Point((x1 + x2) / 2, (y1 + y2) / 2)
