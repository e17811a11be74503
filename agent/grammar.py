"""The planner that needs no language model: a grammar of STAR's templates, and a plain program for the rest.

A question belongs to a template when all of its text fits and every slot is a word of STAR's vocabulary. The
template is read from the text, never from an id: releases number templates differently. Text of a question
enters a program only as words of the vocabulary or as a quoted literal.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from aotd.agent.general_program import general_program
from aotd.agent.plan import Planned
from aotd.agent.star_programs import Reading, star_program
from aotd.traces.records import Attempt, Question
from aotd.traces.star_phrases import Phrase, parse_phrase, relation_phrase

__all__ = ["GrammarPlanner", "read_question", "template_of"]

_TEMPLATES: Final = tuple(
    (label, re.compile(rf"{pattern}\s*\??", re.IGNORECASE))
    for label, pattern in (
        ("Interaction_T1", r"Which object was (?P<verb>.+) by the person"),
        ("Interaction_T2", r"What did the person do with the (?P<obj>.+)"),
        ("Interaction_T4", r"What did the person do while they were (?P<state>.+) and (?P<second>.+)"),
        ("Interaction_T3", r"What did the person do while they were (?P<state>.+)"),
        ("Sequence_T1", r"Which object did the person (?P<verb>.+) after they (?P<event>.+)"),
        ("Sequence_T2", r"Which object did the person (?P<verb>.+) before they (?P<event>.+)"),
        ("Sequence_T3", r"What happened after the person (?P<event>.+)"),
        ("Sequence_T4", r"What happened before the person (?P<event>.+)"),
        ("Sequence_T5", r"What did the person do to the (?P<obj>.+) after (?P<event>.+)"),
        ("Sequence_T6", r"What did the person do to the (?P<obj>.+) before (?P<event>.+)"),
        ("Prediction_T1", r"What will the person do next"),
        ("Prediction_T2", r"What will the person do next with the (?P<obj>.+)"),
        ("Prediction_T4", r"Which object would the person (?P<verb>.+) next after they (?P<event>.+)"),
        ("Prediction_T3", r"Which object would the person (?P<verb>.+) next"),
        ("Feasibility_T1", r"Which other object is possible to be (?P<verb>.+) by the person"),
        ("Feasibility_T2", r"What else is the person able to do with the (?P<obj>.+)"),
        ("Feasibility_T3", r"Which object is possible to be (?P<verb>.+) when the person is (?P<state>.+)"),
        ("Feasibility_T4", r"What is the person able to do when they are (?P<state>.+)"),
        ("Feasibility_T5", r"Which object is the person able to (?P<verb>.+) after (?P<event>.+)"),
        ("Feasibility_T6", r"What is the person able to do after (?P<event>.+)"),
    )
)
"""STAR's 20 templates (NeurIPS 2021) by their release labels."""


class GrammarPlanner:
    """Writes a program for every question; it never fails and asks no model."""

    @property
    def identity(self) -> str:
        """The planner's name and the version of its programs."""
        return "grammar/3"

    @property
    def prompts(self) -> Mapping[str, str]:
        """None."""
        return {}

    async def plan(self, question: Question, attempts: Sequence[Attempt] = ()) -> Planned:
        """Write the question's one program; the detail names its template, or `general`."""
        reading = read_question(question.text)
        options = question.options is not None
        if reading is None:
            return Planned(general_program(question.text, options=options), None, "general")
        return Planned(star_program(reading._replace(options=options)), None, reading.template)


def template_of(text: str) -> str | None:
    """Return the label of the STAR template that a question's text follows, such as `Interaction_T1`."""
    reading = read_question(text)
    return reading.template if reading else None


@lru_cache(maxsize=4096)
def read_question(text: str) -> Reading | None:
    """Read a question's template and slots; None when its text follows none, or names unknown words."""
    plain = " ".join(text.split())
    for label, pattern in _TEMPLATES:
        match = pattern.fullmatch(plain)
        reading = _fill(label, match.groupdict()) if match else None
        if reading:
            return reading
    return None


def _fill(label: str, slots: dict[str, str]) -> Reading | None:
    """Read each slot; None if one holds a word that the vocabulary lacks."""
    verb = parse_phrase(slots.get("verb", ""))
    obj = parse_phrase(slots.get("obj", ""))
    event = parse_phrase(slots.get("event", ""))
    states = [parse_phrase(slots[name]) for name in ("state", "second") if name in slots]
    known = (
        ("verb" not in slots or (verb.verb is not None and not verb.noun))
        and ("obj" not in slots or (obj.verb is None and obj.relation is None and _named(obj)))
        and ("event" not in slots or (event.verb is not None and _named(event)))
        and all(state.relation and _named(state) for state in states)
    )
    if not known:
        return None
    worded = tuple(relation_phrase(state.relation or "", state.obj or "") for state in states)
    return Reading(label, verb if "verb" in slots else obj, event, worded)


def _named(phrase: Phrase) -> bool:
    """Tell whether the object is a name of the vocabulary and nothing more: "dish", not "dish of soup"."""
    return phrase.obj is not None and " " not in phrase.noun
