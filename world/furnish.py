"""Rooms from a seed: which objects stand where, what they look like, how the person begins.

So that questions about a verb have four objects to choose from, a room is furnished round one verb: as many
of its objects as fit come in first. What happens in the room is decided in `plan.py`.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Final

from aotd.world.scene import (
    BACK_ROW,
    CARRIED,
    CLOTHS,
    COLUMNS,
    FRONT_ROW,
    HUNG,
    HUNG_FOOT,
    IN_HANDS,
    SEATS,
    STANDING,
    TABLE_TOP,
    THINGS,
    USES,
    WALL_FOOT,
    WIDTH,
    Colour,
    Finish,
    Look,
    Move,
    Person,
    Room,
    Spot,
)
from aotd.world.split import COLOURS, KINDS, Split, colours

__all__ = ["furnish"]

_WIDE: Final = frozenset({"sofa/couch", "bed"})
"""What takes two columns."""
_COLUMNS_STANDING: Final = 3
"""Columns that are not the table's, at most."""

_WALLS: Final[tuple[Colour, ...]] = (
    *((222, 214, 196), (196, 214, 226), (206, 224, 200), (232, 206, 206), (214, 206, 228)),
)
_FLOORS: Final[tuple[Colour, ...]] = (
    *((168, 136, 104), (150, 146, 142), (128, 104, 84), (186, 172, 150), (112, 126, 140)),
)
_SKINS: Final[tuple[Colour, ...]] = ((246, 208, 176), (214, 166, 124), (156, 108, 74), (98, 66, 46))
_HAIRS: Final[tuple[Colour, ...]] = (
    *((40, 30, 26), (96, 60, 34), (206, 160, 80), (150, 60, 36), (150, 150, 152)),
)
_TROUSERS: Final[tuple[Colour, ...]] = ((50, 60, 95), (70, 70, 74), (96, 78, 58), (44, 84, 80), (120, 50, 70))
_TABLES: Final[tuple[Colour, ...]] = ((165, 115, 65), (205, 200, 190), (110, 76, 52), (190, 150, 100))

_HELD_FIRST: Final = 0.6
_SEATED_FIRST: Final = 0.5
"""How often the person begins with something in hand, and on a seat that is there."""


def furnish(rng: random.Random, split: Split, focus: str) -> tuple[Room, list[Spot]]:
    """Furnish a room for a verb; also give the places left free for things to be put."""
    names = _choose(rng, focus)
    homes, span, free = _place(rng, names)
    kind = rng.randrange(KINDS)
    finish = {}
    for name in names:
        shape = rng.randrange(2)
        finish[name] = Finish(shape, _shade(rng, rng.choice(colours(name, shape, kind, split))))
    opened = frozenset(n for n in names if n in (*USES["open"], *CLOTHS) and rng.random() < 0.5)
    held = _held(rng, names, focus)
    if held:
        # Its home is the first place that the hands can put it to.
        free.append(homes[held])
    seats = [name for name in names if name in SEATS]
    seat = _seat(rng, rng.choice(seats)) if seats and rng.random() < _SEATED_FIRST else None
    table = (span[0] - 18.0, span[-1] + 18.0)
    person, look = _person(rng), _look(rng, kind)
    return Room(homes, table, opened, held, seat, finish, person, look, rng.random() < 0.5), free


def _choose(rng: random.Random, focus: str) -> list[str]:
    """Choose five or six things to carry, up to two to stand and up to two to hang."""
    most = {"carried": rng.choice((5, 6)), "standing": 2, "hung": rng.choice((1, 2))}
    wanted = rng.sample(USES[focus], min(4, len(USES[focus])))
    # Things of other verbs, so that what is there does not tell what is done.
    rest = [name for name in rng.sample(THINGS, len(THINGS)) if name not in wanted]
    taken: Counter[str] = Counter()
    columns, chosen = 0, []
    for name in (*wanted, *rest):
        group = "carried" if name in CARRIED else "hung" if name in HUNG else "standing"
        wide = 0 if group != "standing" else 2 if name in _WIDE else 1
        if taken[group] < most[group] and columns + wide <= _COLUMNS_STANDING:
            taken[group] += 1
            columns += wide
            chosen.append(name)
    return sorted(chosen)


def _place(rng: random.Random, names: list[str]) -> tuple[dict[str, Spot], list[int], list[Spot]]:
    """Give each thing its spot; also the table's columns and the places left free."""
    standing = [name for name in names if name in STANDING]
    rng.shuffle(standing)
    left = rng.randint(0, len(standing))
    columns = list(COLUMNS)
    homes: dict[str, Spot] = {}
    for number, name in enumerate(standing):
        taken = [columns.pop(0 if number < left else -1) for _ in range(2 if name in _WIDE else 1)]
        homes[name] = Spot(sum(taken) / len(taken), BACK_ROW if name in SEATS else WALL_FOOT)
    hung = [name for name in names if name in HUNG]
    for name, x in zip(hung, rng.sample(columns, len(hung)), strict=True):
        homes[name] = Spot(x, HUNG_FOOT)
    on_table = [Spot(x, TABLE_TOP) for x in columns]
    on_floor = [Spot(x, FRONT_ROW) for x in COLUMNS]
    rng.shuffle(on_table)
    rng.shuffle(on_floor)
    carried = [name for name in names if name in CARRIED]
    for name in rng.sample(carried, len(carried)):
        spots = on_table if on_table and (rng.random() < 0.6 or not on_floor) else on_floor
        homes[name] = spots.pop()
    return homes, columns, [*on_table, *on_floor]


def _held(rng: random.Random, names: list[str], focus: str) -> str | None:
    """Choose what the person holds at the start: for a verb of the hands, mostly what it needs."""
    carried = [name for name in names if name in CARRIED]
    fitting = [name for name in carried if name in USES[focus]]
    if focus in IN_HANDS and fitting:
        return rng.choice(fitting) if rng.random() < _HELD_FIRST else None
    return rng.choice(carried) if rng.random() < _HELD_FIRST else None


def _seat(rng: random.Random, name: str) -> Move:
    """Choose how the person is on a seat at the start."""
    return Move("lie" if name in USES["lie"] and rng.random() < 0.4 else "sit", name)


def _shade(rng: random.Random, colour: Colour) -> Colour:
    """Make a colour a little lighter or darker."""
    light = rng.uniform(0.88, 1.12)
    red, green, blue = (min(255, round(part * light)) for part in colour)
    return (red, green, blue)


def _person(rng: random.Random) -> Person:
    """Dress a person."""
    shirt, trousers = _shade(rng, rng.choice(COLOURS)), _shade(rng, rng.choice(_TROUSERS))
    return Person(rng.choice(_SKINS), rng.choice(_HAIRS), shirt, trousers, rng.random() < 0.5)


def _look(rng: random.Random, kind: int) -> Look:
    """Paint a room of a kind, hang ornaments, light it and choose a camera."""
    light = rng.uniform(0.88, 1.08)
    warm = rng.uniform(-0.05, 0.05)
    clutter = tuple(
        (rng.randrange(5), rng.randrange(8, WIDTH - 8), _shade(rng, rng.choice(COLOURS)))
        for _ in range(rng.randint(0, 4))
    )
    return Look(
        _shade(rng, _WALLS[kind]),
        _shade(rng, _FLOORS[kind]),
        kind,
        clutter,
        _shade(rng, rng.choice(_TABLES)),
        (light + warm, light, light - warm),
        rng.randint(0, 6),
    )
