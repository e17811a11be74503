"""Wrong options, chosen so that neither the question's text nor what is in the room tells the right one.

Wrong options are drawn in proportion to how often they are right in questions of the same form and condition,
and a question whose answer is more usual than its options is asked less often, by just as much. With w(m) for
how usual a move is, a set of options S with right option m then comes up in proportion to the product of w
over S, whichever of them is right. How usual a move is, is counted once on plans of the training split.
Nothing is worded here.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from aotd.world.cases import Case, cases
from aotd.world.plan import plan
from aotd.world.scene import Move
from aotd.world.split import seed_of

__all__ = ["choose_wrong"]

_COUNTED: Final = 4000
"""Plans that are counted: those of the training split's last episodes."""
_LAST: Final = 1_199_999
"""Number of the training split's last episode."""
_WRONG: Final = 3
_USED: Final = 10
"""How much more often what was used already is offered where other objects are asked for: it is there too."""


class _Usual(NamedTuple):
    """Counts on many plans.

    Attributes
    ----------
    verbs : Mapping[tuple[str, ...], Counter[str]]
        Cases by what they are like (`_key`) and verb of the answer.
    moves : Counter[Move]
        Events.
    done, followed : Counter[str]
        Events by verb: all, and those that are not the last.
    rooms : Counter[str]
        Rooms by object.
    meanwhile : Mapping[tuple[str, ...], Counter[Move]]
        Cases of what is done meanwhile, by what they are like, and by move.
    others : Counter[Move]
        Events by verb and by another object in the room, of events that are not the last.
    """

    verbs: Mapping[tuple[str, ...], Counter[str]]
    moves: Counter[Move]
    done: Counter[str]
    followed: Counter[str]
    rooms: Counter[str]
    meanwhile: Mapping[tuple[str, ...], Counter[Move]]
    others: Counter[Move]


def choose_wrong(case: Case, pool: Sequence[Move], rng: random.Random) -> list[Move]:
    """Choose three wrong moves of a pool, or none: the pool is too small, or the question is left out.

    Parameters
    ----------
    case : Case
    pool : Sequence[Move]
        Moves that would make a wrong option, each worded differently.
    rng : random.Random
    """
    usual = [(move, weight) for move in pool if (weight := _weight(case, move)) > 0]
    right = _weight(case, case.answer.move)
    if len(usual) < _WRONG or not right:
        # What is never right would give itself away.
        return []
    weights = [weight for _, weight in usual]
    ways = _ways(weights)[0][_WRONG]
    everyone = (right, *weights)
    most = max(
        _ways([*everyone[:place], *everyone[place + 1 :]])[0][_WRONG] for place in range(len(everyone))
    )
    if rng.random() > ways / most:
        return []
    return _draw([move for move, _ in usual], weights, rng)


def _ways(weights: Sequence[float]) -> list[list[float]]:
    """Tabulate by place and number how much all sets of so many moves from that place on weigh."""
    table = [[1.0] + [0.0] * _WRONG]
    for weight in reversed(weights):
        last = table[-1]
        table.append([1.0] + [last[number] + weight * last[number - 1] for number in range(1, _WRONG + 1)])
    return table[::-1]


def _draw(pool: Sequence[Move], weights: Sequence[float], rng: random.Random) -> list[Move]:
    """Draw a set of three in proportion to the product of its weights."""
    table, chosen = _ways(weights), list[Move]()
    for place, (move, weight) in enumerate(zip(pool, weights, strict=True)):
        left = _WRONG - len(chosen)
        if left and rng.random() * table[place][left] < weight * table[place + 1][left - 1]:
            chosen.append(move)
    return chosen if len(chosen) == _WRONG else []


def _weight(case: Case, move: Move) -> float:
    """Tell how usual a move is as the answer of such a question."""
    usual = _usual()
    if case.template == "Feasibility_T1":
        # Right is what is in the room, wrong what is not: the odds that it is.
        there = (usual.others[move] + 1) / (usual.followed[move.verb] + 2)
        used = case.condition is not None and move == case.condition.move
        return there / (1 - there) * (_USED if used else 1)
    if case.template in {"Interaction_T3", "Interaction_T4"}:
        return usual.meanwhile[_key(case)][move] / (usual.rooms[move.object] + 1)
    often = usual.verbs.get(_key(case), usual.done)[move.verb]
    return often * usual.moves[move] / (usual.done[move.verb] * usual.rooms[move.object] + 1)


def _key(case: Case) -> tuple[str, ...]:
    """Tell which cases are alike: the form, the verb of the condition, the relations.

    Where the person is tells little of what comes next: such cases are like those without a condition.
    """
    if case.template in {"Feasibility_T3", "Feasibility_T4"}:
        return ("Prediction_T1", "")
    condition = case.named.verb if case.named else ""
    return (case.template, condition, *(relation for relation, _ in case.states))


@lru_cache(maxsize=1)
def _usual() -> _Usual:
    """Count on plans of the training split."""
    verbs: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    meanwhile: dict[tuple[str, ...], Counter[Move]] = defaultdict(Counter)
    moves, others = Counter[Move](), Counter[Move]()
    done, followed, rooms = Counter[str](), Counter[str](), Counter[str]()
    for number in range(_COUNTED):
        script = plan(seed_of("train", _LAST - number))
        rooms.update(list(script.room.homes))
        moves.update(event.move for event in script.events)
        done.update(event.move.verb for event in script.events)
        followed.update(event.move.verb for event in script.events[:-1])
        for case in cases(script):
            move = case.answer.move
            if case.template == "Feasibility_T1":
                others[move] += 1
            elif move.object not in case.told:
                verbs[_key(case)][move.verb] += 1
                if case.states:
                    meanwhile[_key(case)][move] += 1
    return _Usual(verbs, moves, done, followed, rooms, meanwhile, others)
