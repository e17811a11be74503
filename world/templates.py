"""STAR's question forms, with their programs, and how a move of the world is put into STAR's words.

The numbering is that of STAR's release (NeurIPS 2021 Datasets and Benchmarks). Which question is asked about
what is decided in `annotate.py`.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from aotd.traces.star_phrases import inflect
from aotd.traces.star_vocabulary import ACTIONS_BY_ID, action_id
from aotd.world.scene import Move

__all__ = ["TEMPLATES", "Relation", "Template", "Wording", "action", "program", "words"]

_FUNCTIONS: Final = {
    "S": "Situations",
    "A": "Actions",
    "FV": "Filter_Actions_with_Verb",
    "FO": "Filter_Actions_with_Obj",
    "FA": "Filter_After_Actions",
    "FB": "Filter_Before_Actions",
    "SR": "Filter_Situations_with_Rel",
    "SO": "Filter_Situations_with_Obj",
    "U": "Unique",
    "E": "Query_Earliest_Action",
    "L": "Query_Latest_Action",
    "QO": "Query_Objs",
    "QV": "Query_Verbs",
    "QA": "Query_Actions",
}
"""Short names of STAR's program steps; a step not named here stands for itself."""


class Option(NamedTuple):
    """An option's text and its choice program, as format strings over its move `o`."""

    text: str
    check: str


class Template(NamedTuple):
    """One question form, as format strings: `a` is the answer's move, `c` the condition's, `r` relations.

    A program is steps divided by blanks, each with its inputs after "=", divided by commas.
    """

    question: str
    program: str
    option: Option

    @property
    def asks_object(self) -> bool:
        """Whether options name an object only."""
        return "{o.verb}" not in self.option.check

    @property
    def asks_verb(self) -> bool:
        """Whether options name a verb only."""
        return "{o.object}" not in self.option.check


class Wording(NamedTuple):
    """A move in STAR's words; the verb's forms carry its particle ("put down")."""

    verb: str
    object: str
    base: str
    past: str
    gerund: str
    participle: str


class Relation(NamedTuple):
    """A relation in STAR's words: its name, its object, and both as a question puts them."""

    name: str
    object: str
    text: str


_OBJECT: Final = Option("The {o.object}.", "Equal={o.object}")
_OBJECTS: Final = Option("The {o.object}.", "Belong_to={o.object}")
_DONE: Final = Option("{o.past}.", "Equal={o.verb}")
_TO_DO: Final = Option("{o.base}.", "Belong_to={o.verb}")
_DEED: Final = Option("{o.past} the {o.object}.", "Union={o.verb},{o.object} Equal")
_DEEDS: Final = Option("{o.past} the {o.object}.", "Union={o.verb},{o.object} Belong_to")
_PLANS: Final = Option("{o.base} the {o.object}.", "Union={o.verb},{o.object} Belong_to")

_COND: Final = "S A S A FO={c.object} FV={c.verb} U"
_NEXT: Final = "S A S A E FA"

TEMPLATES: Final = {
    "Interaction_T1": Template(
        "Which object was {a.participle} by the person?", "S A FV={a.verb} U QO", _OBJECT
    ),
    "Interaction_T2": Template(
        "What did the person do with the {a.object}?", "S A FO={a.object} U QV", _DONE
    ),
    "Interaction_T3": Template(
        "What did the person do while they were {r[0].text}?",
        "S SR={r[0].name} SO={r[0].object} A QA",
        _DEEDS,
    ),
    "Interaction_T4": Template(
        "What did the person do while they were {r[0].text} and {r[1].text}?",
        "S SR={r[0].name} SO={r[0].object} A S SR={r[1].name} SO={r[1].object} A Union QA",
        _DEEDS,
    ),
    "Sequence_T1": Template(
        "Which object did the person {a.base} after they {c.past} the {c.object}?",
        _COND + " FA FV={a.verb} E QO",
        _OBJECT,
    ),
    "Sequence_T2": Template(
        "Which object did the person {a.base} before they {c.past} the {c.object}?",
        _COND + " FB FV={a.verb} L QO",
        _OBJECT,
    ),
    "Sequence_T3": Template(
        "What happened after the person {c.past} the {c.object}?", _COND + " FA E QA", _DEED
    ),
    "Sequence_T4": Template(
        "What happened before the person {c.past} the {c.object}?", _COND + " FB L QA", _DEED
    ),
    "Sequence_T5": Template(
        "What did the person do to the {a.object} after {c.gerund} the {c.object}?",
        _COND + " FA FO={a.object} E QV",
        _DONE,
    ),
    "Sequence_T6": Template(
        "What did the person do to the {a.object} before {c.gerund} the {c.object}?",
        _COND + " FB FO={a.object} L QV",
        _DONE,
    ),
    "Prediction_T1": Template("What will the person do next?", _NEXT + " QA", _PLANS),
    "Prediction_T2": Template(
        "What will the person do next with the {a.object}?", _NEXT + " FO={a.object} QV", _TO_DO
    ),
    "Prediction_T3": Template(
        "Which object would the person {a.base} next?", _NEXT + " FV={a.verb} QO", _OBJECTS
    ),
    "Prediction_T4": Template(
        "Which object would the person {a.base} next after they {c.base} the {c.object}?",
        _COND + " FA FV={a.verb} QO",
        _OBJECTS,
    ),
    "Feasibility_T1": Template(
        "Which other object is possible to be {c.participle} by the person?",
        "S Objs Filter_Objs_by_Verb={c.verb} S A FV={c.verb} E QO Except",
        _OBJECTS,
    ),
    "Feasibility_T2": Template(
        "What else is the person able to do with the {a.object}?",
        "S A FO={a.object} S A FO={a.object} E Except QA",
        _PLANS,
    ),
    "Feasibility_T3": Template(
        "Which object is possible to be {a.participle} when the person is {r[0].text}?",
        "S SR={r[0].name} SO={r[0].object} A FV={a.verb} QO",
        _OBJECTS,
    ),
    "Feasibility_T4": Template(
        "What is the person able to do when they are {r[0].text}?",
        "S SR={r[0].name} SO={r[0].object} A QA",
        _PLANS,
    ),
    "Feasibility_T5": Template(
        "Which object is the person able to {a.base} after {c.gerund} the {c.object}?",
        _COND + " FA FV={a.verb} QO",
        _OBJECTS,
    ),
    "Feasibility_T6": Template(
        "What is the person able to do after {c.gerund} the {c.object}?", _COND + " FA QA", _PLANS
    ),
}
"""All of STAR's forms, in the order of a file."""


def action(move: Move) -> str:
    """Give the STAR id of a move.

    Raises
    ------
    ValueError
        If STAR has no such action.
    """
    found = action_id(move.verb, move.object)
    if found is None:
        raise ValueError(f"{move.verb} {move.object}: STAR has no such action; mend the world's USES")
    return found


def words(move: Move) -> Wording:
    """Put a move into STAR's words."""
    particle = ACTIONS_BY_ID[action(move)].particle
    forms = (inflect(move.verb, form) for form in ("base", "past", "gerund", "participle"))
    return Wording(move.verb, move.object, *(f"{form} {particle}".strip() for form in forms))


def program(steps: str) -> list[dict[str, Any]]:
    """Write a program of short steps in STAR's form."""
    written = []
    for step in steps.split():
        name, _, inputs = step.partition("=")
        literals = inputs.split(",") if inputs else []
        written.append({"function": _FUNCTIONS.get(name, name), "value_input": literals})
    return written
