"""Ask a question of the household again in other words: another sentence, other names, another person.

Sentences come from `wordings.py`; names and verbs have the same few synonyms in every split. What is asked
stays the same, and so does the program for it.
"""

from __future__ import annotations

import random
import re
from typing import Final, NamedTuple

from aotd.agent.star_programs import Reading
from aotd.traces.star_phrases import Form, Phrase, inflect, parse_phrase
from aotd.world.split import Split
from aotd.zoo.wordings import WORDINGS

__all__ = ["reword"]

_PEOPLE: Final = (
    ("the person", "they", "was is has does", "were are have"),
    ("the man", "he", "was is has does", "was is has"),
    ("the woman", "she", "was is has does", "was is has"),
    ("he", "he", "was is has does", "was is has"),
    ("she", "she", "was is has does", "was is has"),
    ("they", "they", "were are have do", "were are have"),
    ("someone", "they", "was is has does", "were are have"),
    ("this person", "they", "was is has does", "were are have"),
)
"""Who, who again, and their verbs."""
_OBJECTIVE: Final = {"he": "him", "she": "her", "they": "them"}
_BY: Final = re.compile(r"by (he|she|they)\b")
_USUAL: Final = 8
"""How much more often it is "the person"."""

_VERBS: Final = {
    ("take", ""): (("pick", "up"), ("grab", "")),
    ("put", "down"): (("place", ""),),
    ("close", ""): (("shut", ""),),
    ("watch", "at"): (("look", "at"),),
    ("watch", "outside"): (("look", "out of"), ("look", "outside")),
    ("tidy", "up"): (("tidy", ""),),
}
_APART: Final = frozenset({("put", "down"), ("tidy", "up"), ("pick", "up")})
"""Verbs whose particle may stand after the object."""
_NAMES: Final = {"television": ("TV",), "refrigerator": ("fridge",), "vacuum": ("vacuum cleaner",)}
_STATES: Final = {
    "on_the_side_of": ("beside", "next to", "at the side of"),
    "near": ("close to",),
    "leaning_on": ("leaning against",),
}


def reword(reading: Reading, split: Split, rng: random.Random) -> str:
    """Word a question that was read in one of the sentences of a split.

    Parameters
    ----------
    reading
        The question, of one of STAR's forms.
    """
    sentence = rng.choice(WORDINGS[reading.template][split])
    who, again, is_one, is_again = rng.choices(_PEOPLE, [_USUAL] + [1] * (len(_PEOPLE) - 1))[0]
    slots = {"S": who, "they": again}
    slots |= zip(("was", "is", "has", "does"), is_one.split(), strict=True)
    slots |= zip(("were", "are", "have"), is_again.split(), strict=True)
    if reading.event.verb:
        slots |= _condition(reading.event, rng, plural=again == "they")
    if reading.asked.verb:
        verb = _Verb.of(reading.asked, rng)
        slots |= {"v": verb.form("base"), "v_past": verb.form("past"), "v_part": verb.form("participle")}
    if reading.asked.obj:
        slots["o"] = _name(reading.asked.obj, rng)
    slots |= {name: _state(text, rng) for name, text in zip(("st", "st2"), reading.states, strict=False)}
    text = _BY.sub(lambda match: f"by {_OBJECTIVE[match[1]]}", sentence.format(**slots))
    return ". ".join(part[:1].upper() + part[1:] for part in text.split(". "))


class _Verb(NamedTuple):
    head: str
    particle: str

    @classmethod
    def of(cls, phrase: Phrase, rng: random.Random) -> _Verb:
        """Choose a verb for a phrase's verb: itself, or a synonym."""
        own = (phrase.verb or "", phrase.particle)
        others = _VERBS.get(own, ())
        if own == ("watch", "at") and phrase.obj:  # without it, "watch" would be that of the television
            others = (*others, ("read" if phrase.obj == "book" else "watch", ""))
        return cls(*(rng.choice(others) if others and rng.random() < 0.4 else own))

    def form(self, form: Form) -> str:
        return f"{_inflect(self.head, form)} {self.particle}".strip()

    def with_object(self, form: Form, name: str, *, apart: bool) -> str:
        """Word the verb with its object: "put down the book", or apart "put the book down"."""
        parts = [name, self.particle] if apart else [self.particle, name]
        return " ".join(filter(None, [_inflect(self.head, form), *parts]))


def _condition(event: Phrase, rng: random.Random, *, plural: bool) -> dict[str, str]:
    verb, name = _Verb.of(event, rng), _name(event.obj or "", rng)
    apart = verb in _APART and rng.random() < 0.3
    base = verb.with_object("base", name, apart=apart)
    return {
        "past": verb.with_object("past", name, apart=apart),
        "ing": verb.with_object("gerund", name, apart=apart),
        "done": verb.with_object("participle", name, apart=apart),
        "now": base if plural else f"{_third(verb.head)}{base.removeprefix(verb.head)}",
        "noun": name,
        "part": verb.form("participle"),
    }


def _inflect(verb: str, form: Form) -> str:
    """Inflect as grammars do; STAR's own sentences, with their "lied", come with the world."""
    if verb == "lie":
        return {"base": "lie", "past": "lay", "gerund": "lying", "participle": "lain"}[form]
    return inflect(verb, form)


def _third(verb: str) -> str:
    """Give the form after "he"."""
    if verb.endswith("y"):
        return f"{verb[:-1]}ies"
    return f"{verb}es" if verb.endswith(("sh", "ch")) else f"{verb}s"


def _name(obj: str, rng: random.Random) -> str:
    """Name an object with an article: a name of several often by one of them."""
    parts = obj.split("/")
    name = rng.choice(parts) if rng.random() < 0.7 else obj
    if obj in _NAMES and rng.random() < 0.3:
        name = rng.choice(_NAMES[obj])
    if rng.random() < 0.94:
        return f"the {name}"
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}" if not name.endswith("s") else f"some {name}"


def _state(text: str, rng: random.Random) -> str:
    """Word a relation, as STAR does or otherwise."""
    phrase = parse_phrase(text)
    relation, obj = phrase.relation or "", phrase.obj or phrase.noun
    if relation == "have_it_on_the_back":
        return text
    wordings = (relation.replace("_", " "), *_STATES.get(relation, ()))
    return f"{wordings[0] if rng.random() < 0.5 else rng.choice(wordings)} {_name(obj, rng)}"
