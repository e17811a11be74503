"""STAR's closed vocabulary: 111 actions, 17 verbs, 37 objects and 24 relations, with their ids.

The facts are those of STAR (Situated Reasoning in Real-World Videos, NeurIPS 2021, Apache-2.0), whose ids are
a000..a110, v000..v016, o000..o036 and r000..r023; an id's number is the place in the tables below. The
particle of an action is the one that STAR's questions use with that verb and object. Inflection and the
reading of phrases are in `aotd.traces.star_phrases`; this file knows names only.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

__all__ = [
    "ACTIONS",
    "ACTIONS_BY_ID",
    "CONTACT",
    "FEASIBLE",
    "OBJECTS",
    "OBJECT_NAMES",
    "RELATIONS",
    "RELATION_NAMES",
    "SPATIAL",
    "VERB_NAMES",
    "Action",
    "action_id",
    "action_ids",
    "object_id",
    "relation_id",
]


class Action(NamedTuple):
    """One action class."""

    id: str
    verb: str
    """Its verb, one word: `put`."""
    particle: str
    """What STAR's questions say after the verb: `down`; empty when nothing."""
    obj: str
    """Its object, slash name whole: `cup/glass/bottle`."""
    label: str
    """STAR's class name: `put a book somewhere`."""


VERB_NAMES: Final = (
    *("close", "drink", "eat", "grasp", "hold", "lie", "open", "put", "sit"),
    *("stand", "take", "throw", "tidy", "turn", "walk", "wash", "watch"),
)
"""Verbs by the number of their id."""

OBJECT_NAMES: Final = (
    *("person", "broom", "picture", "closet/cabinet", "blanket", "window", "table", "paper/notebook"),
    *("refrigerator", "pillow", "cup/glass/bottle", "shelf", "shoe", "medicine", "phone/camera", "box"),
    *("sandwich", "book", "bed", "clothes", "mirror", "sofa/couch", "floor", "bag", "dish", "laptop"),
    *("door", "towel", "food", "chair", "doorknob", "doorway", "groceries", "hands", "light", "vacuum"),
    "television",
)
"""Objects by the number of their id; a slash joins names for one object."""

RELATION_NAMES: Final = (
    *("on", "behind", "in_front_of", "on_the_side_of", "above", "beneath", "drinking_from"),
    *("have_it_on_the_back", "wearing", "holding", "lying_on", "covered_by", "carrying", "eating"),
    *("leaning_on", "sitting_on", "twisting", "writing_on", "standing_on", "touching", "wiping"),
    *("at", "under", "near"),
)
"""Relations by the number of their id."""

SPATIAL: Final = frozenset(
    {"on", "behind", "in_front_of", "on_the_side_of", "above", "beneath", "at", "under", "near"}
)
"""Spatial relations. A graph writes every pair person first, but for these the OBJECT is the one that stands
in the relation: `[person, mirror]` with `in_front_of` reads (mirror, in front of, person)."""

CONTACT: Final = frozenset(RELATION_NAMES) - SPATIAL
"""Contact relations, whose subject is the person: `[person, dish]` with `holding`."""

_ROWS: Final = (
    ("hold", "", "clothes", "hold some clothes"),
    ("put", "down", "clothes", "put clothes somewhere"),
    ("take", "", "clothes", "take some clothes from somewhere"),
    ("throw", "", "clothes", "throw clothes somewhere"),
    ("tidy", "up", "clothes", "tidy some clothes"),
    ("wash", "", "clothes", "wash some clothes"),
    ("close", "", "door", "close a door"),
    ("open", "", "door", "open a door"),
    ("sit", "on", "table", "sit on a table"),
    ("sit", "at", "table", "sit at a table"),
    ("tidy", "up", "table", "tidy up a table"),
    ("wash", "", "table", "wash a table"),
    ("hold", "", "phone/camera", "hold a phone/camera"),
    ("put", "down", "phone/camera", "put a phone/camera somewhere"),
    ("take", "", "phone/camera", "take a phone/camera from somewhere"),
    ("open", "", "bag", "open a bag"),
    ("put", "down", "bag", "put a bag somewhere"),
    ("take", "", "bag", "take a bag from somewhere"),
    ("throw", "", "bag", "throw a bag somewhere"),
    ("close", "", "book", "close a book"),
    ("hold", "", "book", "hold a book"),
    ("open", "", "book", "open a book"),
    ("put", "down", "book", "put a book somewhere"),
    ("take", "", "book", "take a book from somewhere"),
    ("throw", "", "book", "throw a book somewhere"),
    ("watch", "at", "book", "watch/read/look at a book"),
    ("put", "down", "towel", "put a towel/s somewhere"),
    ("take", "", "towel", "take a towel/s from somewhere"),
    ("throw", "", "towel", "throw a towel/s somewhere"),
    ("tidy", "up", "towel", "tidy up a towel/s"),
    ("close", "", "box", "close a box"),
    ("hold", "", "box", "hold a box"),
    ("open", "", "box", "open a box"),
    ("put", "down", "box", "put a box somewhere"),
    ("take", "", "box", "take a box from somewhere"),
    ("throw", "", "box", "throw a box somewhere"),
    ("close", "", "laptop", "close a laptop"),
    ("hold", "", "laptop", "hold a laptop"),
    ("open", "", "laptop", "open a laptop"),
    ("put", "down", "laptop", "put a laptop somewhere"),
    ("take", "", "laptop", "take a laptop from somewhere"),
    ("hold", "", "shoe", "hold a shoe/shoes"),
    ("put", "down", "shoe", "put shoes somewhere"),
    ("take", "", "shoe", "take shoes from somewhere"),
    ("throw", "", "shoe", "throw shoes somewhere"),
    ("sit", "on", "chair", "sit in a chair"),
    ("stand", "on", "chair", "stand on a chair"),
    ("hold", "", "food", "hold some food"),
    ("put", "down", "food", "put some food somewhere"),
    ("take", "", "food", "take food from somewhere"),
    ("throw", "", "food", "throw food somewhere"),
    ("eat", "", "sandwich", "eat a sandwich"),
    ("hold", "", "sandwich", "hold a sandwich"),
    ("put", "down", "sandwich", "put a sandwich somewhere"),
    ("take", "", "sandwich", "take a sandwich from somewhere"),
    ("hold", "", "blanket", "hold a blanket"),
    ("put", "down", "blanket", "put a blanket somewhere"),
    ("take", "", "blanket", "take a blanket from somewhere"),
    ("throw", "", "blanket", "throw a blanket somewhere"),
    ("tidy", "up", "blanket", "tidy up a blanket/s"),
    ("hold", "", "pillow", "hold a pillow"),
    ("put", "down", "pillow", "put a pillow somewhere"),
    ("take", "", "pillow", "take a pillow from somewhere"),
    ("throw", "", "pillow", "throw a pillow somewhere"),
    ("take", "", "picture", "reach for and grab a picture"),
    ("hold", "", "picture", "hold a picture"),
    ("put", "down", "picture", "put a picture somewhere"),
    ("watch", "at", "picture", "watch/look at a picture"),
    ("close", "", "window", "close a window"),
    ("open", "", "window", "open a window"),
    ("wash", "", "window", "wash a window"),
    ("watch", "outside", "window", "watch/look outside of a window"),
    ("hold", "", "mirror", "hold a mirror"),
    ("wash", "", "mirror", "wash a mirror"),
    ("walk", "through", "doorway", "walk through a doorway"),
    ("hold", "", "broom", "hold a broom"),
    ("put", "down", "broom", "put a broom somewhere"),
    ("take", "", "broom", "take a broom from somewhere"),
    ("throw", "", "broom", "throw a broom somewhere"),
    ("tidy", "up", "broom", "tidy up with a broom"),
    ("turn", "on", "light", "turn on a light"),
    ("turn", "off", "light", "turn off a light"),
    ("drink", "from", "cup/glass/bottle", "drink from a cup/glass/bottle"),
    ("put", "down", "cup/glass/bottle", "put a cup/glass/bottle somewhere"),
    ("take", "", "cup/glass/bottle", "take a cup/glass/bottle from somewhere"),
    ("wash", "", "cup/glass/bottle", "wash a cup/glass/bottle"),
    ("close", "", "closet/cabinet", "close a closet/cabinet"),
    ("open", "", "closet/cabinet", "open a closet/cabinet"),
    ("tidy", "up", "closet/cabinet", "tidy up a closet/cabinet"),
    ("put", "down", "paper/notebook", "put their paper/notebook somewhere"),
    ("take", "", "paper/notebook", "take paper/notebook from somewhere"),
    ("hold", "", "dish", "hold a dish"),
    ("put", "down", "dish", "put a dish/es somewhere"),
    ("take", "", "dish", "take a dish/es from somewhere"),
    ("wash", "", "dish", "wash a dish/dishes"),
    ("lie", "on", "sofa/couch", "lie on a sofa/couch"),
    ("sit", "on", "sofa/couch", "sit on sofa/couch"),
    ("lie", "on", "floor", "lie on the floor"),
    ("sit", "on", "floor", "sit on the floor"),
    ("hold", "", "medicine", "hold some medicine"),
    ("eat", "", "medicine", "take/consume some medicine"),
    ("put", "", "groceries", "put groceries somewhere"),
    ("watch", "", "television", "watch television"),
    ("lie", "on", "bed", "lie on a bed"),
    ("sit", "on", "bed", "sit in a bed"),
    ("hold", "", "vacuum", "hold a vacuum"),
    ("take", "", "vacuum", "take a vacuum from somewhere"),
    ("wash", "", "hands", "wash their hands"),
    ("grasp", "onto", "doorknob", "grasp onto a doorknob"),
    ("close", "", "refrigerator", "close a refrigerator"),
    ("open", "", "refrigerator", "open a refrigerator"),
)

ACTIONS: Final = tuple(Action(f"a{number:03d}", *row) for number, row in enumerate(_ROWS))
"""Actions by the number of their id."""


ACTIONS_BY_ID: Final[Mapping[str, Action]] = MappingProxyType({a.id: a for a in ACTIONS})
OBJECTS: Final[Mapping[str, str]] = MappingProxyType(
    {f"o{n:03d}": name for n, name in enumerate(OBJECT_NAMES)}
)
"""Object names by id."""

RELATIONS: Final[Mapping[str, str]] = MappingProxyType(
    {f"r{n:03d}": name for n, name in enumerate(RELATION_NAMES)}
)
"""Relation names by id."""

FEASIBLE: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {verb: frozenset(a.obj for a in ACTIONS if a.verb == verb) for verb in VERB_NAMES}
)
"""The objects with which each verb makes an action."""

_IDS_BY_PAIR: Final = {
    (a.verb, a.obj): tuple(b.id for b in ACTIONS if (b.verb, b.obj) == (a.verb, a.obj)) for a in ACTIONS
}
_OBJECT_IDS: Final = {name: key for key, name in OBJECTS.items()}
_RELATION_IDS: Final = {name: key for key, name in RELATIONS.items()}


def action_ids(verb: str, obj: str) -> tuple[str, ...]:
    """Return the actions of a verb and an object, in id order.

    None for a pair that is no action; two for (sit, table), on and at, and for (turn, light), on and off.
    """
    return _IDS_BY_PAIR.get((verb, obj), ())


def action_id(verb: str, obj: str, particle: str | None = None) -> str | None:
    """Return the one action of a verb and an object, told apart by its particle where two share them.

    A particle that none of them has decides nothing. None if there is no action, or more than one is left.
    """
    ids = action_ids(verb, obj)
    exact = tuple(key for key in ids if ACTIONS_BY_ID[key].particle == particle)
    left = exact or ids
    return left[0] if len(left) == 1 else None


def object_id(name: str) -> str | None:
    """Return the id of an object's whole name, such as `o010` for `cup/glass/bottle`."""
    return _OBJECT_IDS.get(name)


def relation_id(name: str) -> str | None:
    """Return the id of a relation, such as `r002` for `in_front_of`."""
    return _RELATION_IDS.get(name)
