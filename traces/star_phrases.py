"""STAR's language: how its actions and relations are worded, and how any such wording is read back.

`action_phrase` and `relation_phrase` write; `parse_phrase` reads what they write and what STAR's questions
and options say, odd prepositions included ("watched at the book", "lied on the bed"). It reads short
phrases, not sentences, and knows a few synonyms only; it never guesses a verb or an object.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from aotd.traces.star_vocabulary import (
    ACTIONS,
    ACTIONS_BY_ID,
    OBJECT_NAMES,
    RELATION_NAMES,
    SPATIAL,
    VERB_NAMES,
    action_id,
    action_ids,
)

__all__ = ["Form", "Phrase", "action_phrase", "inflect", "parse_phrase", "relation_phrase"]

Form = Literal["base", "past", "gerund", "participle"]

_FORMS: Final[tuple[Form, ...]] = ("base", "past", "gerund", "participle")

_IRREGULAR: Final = {
    "drink": ("drank", "drinking", "drunk"),
    "eat": ("ate", "eating", "eaten"),
    "grab": ("grabbed", "grabbing", "grabbed"),
    "hold": ("held", "holding", "held"),
    "lie": ("lied", "lying", "lied"),  # STAR's own wording; "lay" and "lain" are read as well
    "put": ("put", "putting", "put"),
    "read": ("read", "reading", "read"),
    "shut": ("shut", "shutting", "shut"),
    "sit": ("sat", "sitting", "sat"),
    "stand": ("stood", "standing", "stood"),
    "take": ("took", "taking", "taken"),
    "throw": ("threw", "throwing", "thrown"),
    "wear": ("wore", "wearing", "worn"),
    "write": ("wrote", "writing", "written"),
}

_SYNONYMS: Final = {
    "consume": "eat",
    "grab": "take",
    "look": "watch",
    "pick": "take",
    "place": "put",
    "reach": "take",
    "read": "watch",
    "shut": "close",
    "take/consume": "eat",
    "watch/look": "watch",
    "watch/read/look": "watch",
}
"""Verbs that STAR's class names and other questions use for one of its 17."""

_CONTACT_VERBS: Final = {
    ("carry", ""): "carrying",
    ("cover", "by"): "covered_by",
    ("cover", "with"): "covered_by",
    ("drink", "from"): "drinking_from",
    ("eat", ""): "eating",
    ("hold", ""): "holding",
    ("lean", "on"): "leaning_on",
    ("lean", "against"): "leaning_on",
    ("lie", "on"): "lying_on",
    ("lie", "in"): "lying_on",
    ("sit", "on"): "sitting_on",
    ("sit", "in"): "sitting_on",
    ("stand", "on"): "standing_on",
    ("touch", ""): "touching",
    ("twist", ""): "twisting",
    ("wear", ""): "wearing",
    ("wipe", ""): "wiping",
    ("write", "on"): "writing_on",
    ("write", "in"): "writing_on",
}
"""Relations that are worded as a verb; some of the verbs are verbs of actions too."""

_PARTICLES: Final = sorted(
    {particle for particle in (*(a.particle for a in ACTIONS), *(p for _, p in _CONTACT_VERBS)) if particle}
    | {
        "at",
        "away",
        "back",
        "for",
        "for and grab",
        "in",
        "into",
        "of",
        "off",
        "on",
        "out",
        "outside of",
        "over",
    }
    | {"to", "upon", "down at", "down in", "down on", "up from", "up with"},
    key=len,
    reverse=True,
)
"""What may stand between a verb and its object, longest first."""

_PARTS: Final = {part: name for name in OBJECT_NAMES for part in name.split("/")}

_NOUNS: Final = {
    **{f"{part}s": name for part, name in _PARTS.items()},
    **_PARTS,
    **{name: name for name in OBJECT_NAMES},
    "blanket/s": "blanket",
    "boxes": "box",
    "dish/dishes": "dish",
    "dish/es": "dish",
    "dishes": "dish",
    "hand": "hands",
    "shelves": "shelf",
    "shoe/shoes": "shoe",
    "towel/s": "towel",
}
"""Object names by whole name, slash part and plural, those of STAR's class names among them."""

_ARTICLES: Final = re.compile(r"\b(?:the|a|an|some|their|his|her|its)\s+")
_SUBJECT: Final = re.compile(
    r"^(?:(?:baby|boy|child|girl|he|lady|man|people|person|she|somebody|someone|they|woman)(?:\s+(?:who|that))?\s+)?"
    r"(?:(?:is|are|was|were|be|been|being)\s+)*(?=\S)"
)
_DESCRIBED: Final = re.compile(r"^(?:object|thing|item)s?\s+(?:(?:that|which)\s+)?")
_AGENT: Final = re.compile(r"\s+by\s+person$|^by\s+person$")
_SOMEWHERE: Final = re.compile(r"\s+(?:from\s+)?somewhere$")
_ON_THE_BACK: Final = re.compile(r"^(?:(?:have|has|had|having|with)\s+)?(?:(\S+)\s+)?on\s+back$")
_TAIL: Final = re.compile(r"\s(?:at|by|from|in|inside|into|near|of|on|onto|to|with)\s.*$")


class Phrase(NamedTuple):
    """What a text denotes. "holding the dish" is both the action (hold, dish) and the relation `holding`."""

    verb: str | None
    """One of STAR's 17 verbs."""
    particle: str
    """What follows the verb as written: `down` of "put down"; empty when nothing does."""
    obj: str | None
    """One of STAR's 37 objects, slash name whole."""
    relation: str | None
    """One of STAR's 24 relations, as STAR writes it: `in_front_of`."""
    noun: str
    """The object's words as written, without articles, known or not; empty when the text has none."""
    action: str | None
    """The id of the one action meant, when verb, particle and object single one out."""

    @property
    def actions(self) -> tuple[str, ...]:
        """Ids of all actions of the verb and the object."""
        return action_ids(self.verb, self.obj) if self.verb and self.obj else ()


def inflect(verb: str, form: Form) -> str:
    """Return a verb's form: `inflect("tidy", "past")` is `tidied`."""
    if form == "base":
        return verb
    if verb in _IRREGULAR:
        return _IRREGULAR[verb][_FORMS.index(form) - 1]
    stem = verb[:-1] if verb.endswith("e") else verb
    if form == "gerund":
        return f"{stem}ing"
    return f"{verb[:-1]}ied" if re.search(r"[^aeiou]y$", verb) else f"{stem}ed"


def action_phrase(action: str, form: Form = "base") -> str:
    """Word an action: `a022` is "put down the book"; in base form this is its canonical phrase.

    Raises
    ------
    KeyError
        If there is no action of that id.
    """
    a = ACTIONS_BY_ID[action]
    return " ".join(filter(None, (inflect(a.verb, form), a.particle, "the", a.obj)))


def relation_phrase(relation: str, obj: str) -> str:
    """Word a relation as STAR's questions do after "they were": "holding the dish", "behind the table"."""
    if relation == "have_it_on_the_back":
        return f"having {obj} on the back"
    return f"{relation.replace('_', ' ')} the {obj}"


@lru_cache(maxsize=4096)
def parse_phrase(text: str) -> Phrase:
    """Read an event, option, description or name; whatever is not known is None.

    Case, articles, "person is" and "object ... by the person" are ignored, and so are closing full stops and
    question marks. An object may be a whole slash name or one part of it ("cup").
    """
    plain = re.sub(r"\s+", " ", text.lower().replace("_", " ")).strip(" .?!,;:\"'")
    words = _ARTICLES.sub("", _SOMEWHERE.sub("", plain))
    words = _DESCRIBED.sub("", _AGENT.sub("", words))
    words = _SUBJECT.sub("", words, count=1) if words not in _NOUNS else words
    words = _AGENT.sub("", words)
    back = _ON_THE_BACK.match(words)
    if back:
        noun = "" if back[1] in (None, "it") else back[1]
        return _phrase(None, "", "have_it_on_the_back", noun)
    return _read_verb(words) or _read_relation(words) or _phrase(None, "", None, words)


def _read_verb(words: str) -> Phrase | None:
    """Read a text that begins with a verb; None if it does not."""
    head, _, rest = words.partition(" ")
    stem = _HEADS.get(head)
    if stem is None:
        return None
    placed = _read_relation(rest) if rest.startswith(_PLACES) else None
    if placed:
        return _phrase(stem if stem in VERB_NAMES else None, "", placed.relation, placed.noun)
    particle = next((p for p in _PARTICLES if rest == p or rest.startswith(f"{p} ")), "")
    noun = rest[len(particle) :].strip()
    relation = _CONTACT_VERBS.get((stem, particle))
    if stem in VERB_NAMES:
        return _phrase(stem, particle, relation, noun)
    # A relation's verb alone, such as "leaning", is not enough to name the relation.
    return _phrase(None, "", relation, noun) if relation else None


def _read_relation(words: str) -> Phrase | None:
    """Read a text that begins with a relation; None if it does not."""
    for wording, relation in _WORDINGS:
        if words == wording or words.startswith(f"{wording} "):
            return _phrase(None, "", relation, words[len(wording) :].strip())
    return None


def _phrase(verb: str | None, particle: str, relation: str | None, noun: str) -> Phrase:
    obj = _NOUNS.get(noun) or _NOUNS.get(_TAIL.sub("", noun))
    action = action_id(verb, obj, particle) if verb and obj else None
    return Phrase(verb, particle, obj, relation, noun, action)


_HEADS: Final = {
    word: _SYNONYMS.get(stem, stem)
    for stem in (*_SYNONYMS, *(verb for verb, _ in _CONTACT_VERBS), *VERB_NAMES)
    for word in (inflect(stem, form) for form in _FORMS)
} | {"lay": "lie", "laid": "lie", "lain": "lie"}
"""The first word of a verb phrase, in every form, to its verb."""

_WORDINGS: Final = sorted(
    ((name.replace("_", " ").replace(" the ", " "), name) for name in RELATION_NAMES),
    key=lambda wording: -len(wording[0]),
)
"""Relations as worded without articles, longest first."""

_PLACES: Final = tuple(f"{wording} " for wording, name in _WORDINGS if name in SPATIAL - {"on", "at"})
"""How a place begins after a verb ("standing in front of the door"); "on" and "at" are read as particles."""
