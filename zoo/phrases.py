"""What can be true of the household at a moment, and how a text may ask for it.

A fact is an action of the world or a relation of STAR's, with its object. A saying is what a text means: STAR
words some actions and the state that follows them alike ("sitting on the chair"), and then the action is
meant where the clip shows it. No text is read here and no picture drawn.
"""

from __future__ import annotations

import random
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aotd.traces.star_phrases import inflect, relation_phrase
from aotd.world.motion import Episode
from aotd.world.scene import CARRIED, SEATS, TABLE, THINGS, USES, VERBS, Move
from aotd.world.templates import words

__all__ = ["ACTIONS", "FACTS", "SAYINGS", "Fact", "Saying", "meant", "pick_text", "runs", "truth"]


class Fact(NamedTuple):
    """A verb of the world, or a relation as STAR writes it, and its object; the person is the other end."""

    name: str
    object: str


class Saying(NamedTuple):
    """What a text means."""

    readings: tuple[int, ...]
    """Numbers of facts: the first that a clip shows is meant."""
    texts: tuple[str, ...]
    """Its wordings; the first is that of programs for STAR's questions."""


_RELATIONS: Final = {
    "holding": CARRIED,
    "touching": THINGS,
    "in_front_of": THINGS,
    "near": THINGS,
    "on_the_side_of": THINGS,
    "beneath": SEATS,
    "leaning_on": (TABLE,),
    "sitting_on": USES["sit"],
    "lying_on": USES["lie"],
    "drinking_from": USES["drink"],
    "eating": USES["eat"],
}
"""The objects to which the person comes to stand in a relation."""

_SAME: Final = {"sit": "sitting_on", "lie": "lying_on", "drink": "drinking_from", "eat": "eating"}
"""Relations that are worded as an action is."""

ACTIONS: Final = sum(len(names) for names in USES.values())
"""Facts, and sayings, that are actions: the first so many."""

FACTS: Final = (
    *(Fact(verb, name) for verb in VERBS for name in USES[verb]),
    *(Fact(relation, name) for relation, names in _RELATIONS.items() for name in names),
)
_NUMBERS: Final = {fact: number for number, fact in enumerate(FACTS)}

_ALSO: Final = {
    "take": (("grab", ""), ("pick", "up")),
    "put": (("place", ""),),
    "close": (("shut", ""),),
    "throw": (("toss", ""),),
    "wash": (("clean", ""),),
    "watch": (("look", "at"),),
}
"""Other verbs for the same, with what follows them."""

_OTHERWISE: Final = {
    "on_the_side_of": ("beside", "next to"),
    "near": ("close to",),
}


def truth(episode: Episode) -> NDArray[np.bool_]:
    """Tell what is true in each frame of an episode: [frames, facts]."""
    told = np.zeros((len(episode.frames), len(FACTS)), np.bool_)
    for index, frame in enumerate(episode.frames):
        for relation, name in frame.relations:
            told[index, _NUMBERS[Fact(relation, name)]] = True
    for event in episode.plan.events:
        told[event.start : event.end, _NUMBERS[Fact(*event.move)]] = True
    return told


def meant(saying: Saying, told: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tell where what a saying means is true.

    Parameters
    ----------
    told
        [frames, facts] of a clip.

    Returns
    -------
    NDArray[np.bool_]
        [frames]; nowhere true if the clip shows none of its readings.
    """
    shown = (told[:, number] for number in saying.readings)
    return next((hits for hits in shown if hits.any()), np.zeros(len(told), np.bool_))


def runs(hits: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """List the half-open runs of true in [frames]."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], hits, [False]]).astype(np.int8)))
    return [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]


def pick_text(rng: random.Random, saying: Saying) -> int:
    """Choose a wording by its number: the first half of the time."""
    return 0 if rng.random() < 0.5 else rng.randrange(len(saying.texts))


def _nouns(name: str) -> tuple[str, ...]:
    """List what an object is called: its whole name, then the parts."""
    return tuple(dict.fromkeys((name, *name.split("/"))))


def _third(verb: str) -> str:
    """Give a verb as it follows "the person"."""
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return f"{verb[:-1]}ies"
    return f"{verb}es" if verb.endswith(("s", "sh", "ch")) else f"{verb}s"


def _deeds(move: Move) -> tuple[str, ...]:
    """Word an action, as "person is washing the dish" first."""
    said = words(move)
    verbs = [(move.verb, said.base.removeprefix(move.verb).strip()), *_ALSO.get(move.verb, ())]
    if move == ("watch", "book"):
        verbs.append(("read", ""))
    texts = []
    for noun in _nouns(move.object):
        for verb, particle in verbs:
            rest = f"{particle} the {noun}".strip()
            doing = f"{inflect(verb, 'gerund')} {rest}"
            texts += [f"person is {doing}", f"the person is {doing}", doing, f"{verb} {rest}"]
            texts += [f"the person {_third(verb)} {rest}", f"the person {inflect(verb, 'past')} {rest}"]
    return tuple(dict.fromkeys(texts))


def _states(relation: str, name: str) -> tuple[str, ...]:
    """Word a relation, as "person is holding the dish" first."""
    texts = []
    for noun in _nouns(name):
        also = (f"{wording} the {noun}" for wording in _OTHERWISE.get(relation, ()))
        for state in (relation_phrase(relation, noun), *also):
            texts += [f"person is {state}", f"the person is {state}", state]
    return tuple(dict.fromkeys(texts))


def _sayings() -> tuple[Saying, ...]:
    found = []
    for number, (name, thing) in enumerate(FACTS):
        if number >= ACTIONS:
            if name not in _SAME.values():
                found.append(Saying((number,), _states(name, thing)))
            continue
        state = Fact(_SAME.get(name, ""), thing)
        after = (_NUMBERS[state],) if state in _NUMBERS else ()
        found.append(Saying((number, *after), _deeds(Move(name, thing))))
    return tuple(found)


SAYINGS: Final = _sayings()
"""All that a text may mean, in the order of facts."""
