"""STAR's symbolic programs run on situation graphs: a stack machine over a closed table of functions.

A question's program is followed by each choice's program and must call the right choice Correct and every
other Wrong. By default the machine does what STAR's templates mean; `compat` repeats the faults of the
published executor, so that numbers made with it can be reproduced. This file reads no file and asks no
model. Source: STAR (NeurIPS 2021) and its published executor.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal, NamedTuple, TypeAlias

from aotd.benchmarks.star import StarItem, Step
from aotd.traces.situations import SituationGraph
from aotd.traces.star_vocabulary import ACTIONS_BY_ID, FEASIBLE, OBJECTS, Action, object_id, relation_id

__all__ = ["Share", "Verdict", "Verdicts", "bound", "execute"]

Verdict = Literal["Correct", "Wrong", "error"]

_Value: TypeAlias = SituationGraph | tuple["_Value", ...] | str | None
"""What lies on the stack: situations, a group, a word or id, or nothing."""

_Table: TypeAlias = Mapping[str, Callable[..., _Value]]


class Verdicts(NamedTuple):
    """What the programs of one question say of its choices."""

    choices: tuple[Verdict, ...]
    """`error` where a program cannot be run or ends without a verdict."""
    answer: int | None
    """The single choice that came out Correct; None if none or several did."""
    solved: bool
    """Every choice came out as it should: Correct for the right one, Wrong for the others. False when the
    right one is not known."""


class Share(NamedTuple):
    """How many of a number of questions are solved."""

    solved: int
    total: int


class _Unrunnable(Exception):
    """A function met too few values, or one that it has no meaning for."""


def execute(item: StarItem, *, compat: bool = False) -> Verdicts:
    """Run a question's program with each choice's program.

    Parameters
    ----------
    item
        A question with graph and programs.
    compat
        Repeat the published executor's faults: filters by relation and by object compare numbers with ids
        and so keep every frame, the feasible objects of a verb are never found, `Except` with a word
        drops whatever is part of that word's spelling, and After or Before an action that is not among
        those given cannot be run instead of giving nothing.

    Raises
    ------
    ValueError
        If the item holds no graph or no programs.
    """
    if item.graph is None or item.program is None or item.choice_programs is None:
        raise ValueError(
            f"question {item.question.id} has no graph or no programs; STAR gives them for train and val only"
        )
    table = _PUBLISHED if compat else _FUNCTIONS
    verdicts = tuple(_run(table, item.graph, (*item.program, *steps)) for steps in item.choice_programs)
    correct = [i for i, v in enumerate(verdicts) if v == "Correct"]
    answer = item.question.answer
    expected = tuple("Correct" if option == answer else "Wrong" for option in item.question.options or ())
    return Verdicts(
        verdicts, correct[0] if len(correct) == 1 else None, answer is not None and verdicts == expected
    )


def bound(items: Iterable[StarItem], *, compat: bool = False) -> dict[str, Share]:
    """Count the questions that their own programs solve, the mark for any other program.

    Returns
    -------
    dict
        By question type in order of appearance, then `total`.
    """
    shares: dict[str, Share] = {}
    for item in items:
        kind = item.question.type or "unknown"
        solved, total = shares.get(kind, Share(0, 0))
        shares[kind] = Share(solved + execute(item, compat=compat).solved, total + 1)
    counts = shares.values()
    shares["total"] = Share(sum(s.solved for s in counts), sum(s.total for s in counts))
    return shares


def _run(table: _Table, graph: SituationGraph, program: Iterable[Step]) -> Verdict:
    """Run one program: words are pushed, functions take their values from the stack and push one."""
    stack: list[_Value] = []
    try:
        for word in (w for step in program for w in (*step.inputs, step.function)):
            if word == "Situations":
                stack.append(graph)
            elif word in table:
                stack.append(_apply(table, word, stack))
            else:
                stack.append(word)
    except _Unrunnable:
        return "error"
    match stack:
        case [*_, ("Correct" | "Wrong") as verdict]:
            return verdict
        case _:
            return "error"


def _apply(table: _Table, name: str, stack: list[_Value]) -> _Value:
    """Take a function's values off the stack and give its result; an empty group is nothing."""
    arity = _ARITY[name]
    if len(stack) < arity:
        raise _Unrunnable
    args = [stack.pop() for _ in range(arity)][::-1]
    if name not in _MEETS_NOTHING and any(a is None for a in args):
        return None
    return table[name](*args) or None


def _situations(value: _Value) -> SituationGraph:
    """Insist on situations."""
    if not isinstance(value, SituationGraph):
        raise _Unrunnable
    return value


def _group(value: _Value) -> tuple[_Value, ...]:
    """Give a group's members; a word alone is a group of one."""
    if isinstance(value, tuple):
        return value
    if isinstance(value, str):
        return (value,)
    raise _Unrunnable


def _action(value: _Value) -> Action:
    """Look an action id up."""
    if not isinstance(value, str) or value not in ACTIONS_BY_ID:
        raise _Unrunnable
    return ACTIONS_BY_ID[value]


def _known(value: str | None) -> str:
    """Insist on the id of a name."""
    if value is None:
        raise _Unrunnable
    return value


def _with_relation(situations: _Value, relation: str) -> _Value:
    """Keep the frames with a relation, whatever its object; all of them if none has it."""
    graph = _situations(situations)
    kept = graph.with_relation(_known(relation_id(relation)))
    return kept if kept.keyframes else graph


def _with_object(situations: _Value, obj: str) -> _Value:
    """Keep the frames that list an object; all of them if none does."""
    graph = _situations(situations)
    kept = graph.with_object(_known(object_id(obj)))
    return kept if kept.keyframes else graph


def _all_kept(situations: _Value, name: str) -> _Value:
    """Filter as the published executor does: no number equals an id, and no match keeps all."""
    return situations


def _feasible(objects: _Value, verb: str) -> _Value:
    """Name those of some objects with which a verb makes an action."""
    if verb not in FEASIBLE:
        raise _Unrunnable
    names = (OBJECTS[o] for o in _group(objects) if isinstance(o, str) and o in OBJECTS)
    return tuple(name for name in names if name in FEASIBLE[verb])


def _none_feasible(objects: _Value, verb: str) -> _Value:
    """Look objects up as the published executor does: by number, so that no id is found."""
    return None


def _after(actions: _Value, action: _Value) -> _Value:
    """Give what first appeared after an action."""
    group = _group(actions)
    return group[group.index(action) + 1 :] if action in group else None


def _before(actions: _Value, action: _Value) -> _Value:
    """Give what first appeared before an action."""
    group = _group(actions)
    return group[: group.index(action)] if action in group else None


def _given(cut: Callable[[_Value, _Value], _Value]) -> Callable[[_Value, _Value], _Value]:
    """Make a cut that cannot be run without its action, like the published executor's."""

    def strict(actions: _Value, action: _Value) -> _Value:
        if action not in _group(actions):
            raise _Unrunnable
        return cut(actions, action)

    return strict


def _each(actions: _Value, read: Callable[[Action], _Value]) -> _Value:
    """Read one action, or every action of a group."""
    if isinstance(actions, tuple):
        return tuple(read(_action(a)) for a in actions)
    return read(_action(actions))


def _pairs(actions: _Value) -> _Value:
    """Give verb and object of one action, or of each; a pair of nothings for nothing."""
    return (None, None) if actions is None else _each(actions, lambda a: (a.verb, a.obj))


def _union(first: _Value, second: _Value) -> _Value:
    """Join two groups; two words make a new one."""
    match first, second:
        case None, None:
            return None
        case (tuple() as group, None) | (None, tuple() as group):
            return group
        case tuple(), tuple():
            return first + second
        case _:
            return first, second


def _except(group: _Value, left_out: _Value) -> _Value:
    """Leave out the members of another group."""
    if group is None or left_out is None:
        return group
    return tuple(item for item in _group(group) if item not in _group(left_out))


def _except_spelling(group: _Value, left_out: _Value) -> _Value:
    """Do as `_except`, but a word leaves out every item that is part of its spelling, as was published."""
    if isinstance(left_out, str) and group is not None:
        return tuple(item for item in _group(group) if not (isinstance(item, str) and item in left_out))
    return _except(group, left_out)


def _verdict(*, correct: bool) -> Verdict:
    """Put a comparison into the programs' words."""
    return "Correct" if correct else "Wrong"


_FUNCTIONS: Final[_Table] = {
    "Actions": lambda situations: _situations(situations).actions,
    "Objs": lambda situations: _situations(situations).objects,
    "Rels": lambda situations: _situations(situations).relations,
    "Filter_Actions_with_Verb": lambda acts, verb: tuple(a for a in _group(acts) if _action(a).verb == verb),
    "Filter_Actions_with_Obj": lambda acts, obj: tuple(a for a in _group(acts) if _action(a).obj == obj),
    "Filter_After_Actions": _after,
    "Filter_Before_Actions": _before,
    "Filter_Situations_with_Rel": _with_relation,
    "Filter_Situations_with_Obj": _with_object,
    "Filter_Objs_by_Verb": _feasible,
    "Unique": lambda actions: _group(actions)[0],
    "Query_Earliest_Action": lambda actions: _group(actions)[0],
    "Query_Latest_Action": lambda actions: _group(actions)[-1],
    "Query_Verbs": lambda actions: _each(actions, lambda a: a.verb),
    "Query_Objs": lambda actions: _each(actions, lambda a: a.obj),
    "Query_Actions": _pairs,
    "Equal": lambda a, b: _verdict(correct=a is not None and a == b),
    "Belong_to": lambda group, item: _verdict(correct=None not in (group, item) and item in _group(group)),
    "Union": _union,
    "Except": _except,
}
"""What STAR's functions mean; `Situations`, which takes nothing, is the graph itself."""

_PUBLISHED: Final[_Table] = {
    **_FUNCTIONS,
    "Filter_Situations_with_Rel": _all_kept,
    "Filter_Situations_with_Obj": _all_kept,
    "Filter_Objs_by_Verb": _none_feasible,
    "Filter_After_Actions": _given(_after),
    "Filter_Before_Actions": _given(_before),
    "Except": _except_spelling,
}
"""The same functions with the faults of the published executor."""

_ARITY: Final = {name: len(inspect.signature(function).parameters) for name, function in _FUNCTIONS.items()}

_MEETS_NOTHING: Final = frozenset({"Query_Actions", "Equal", "Belong_to", "Union", "Except"})
"""Functions that have a meaning for nothing (None); any other gives nothing for it."""
