"""Which of STAR's 111 action classes a model's words name.

A model lists actions in its own words, best first; the first one counts. Two rules read it, from strict to
lax. Both read words alone: no class is guessed by likeness.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, Literal

from aotd.traces.answers import normalise
from aotd.traces.star_phrases import action_phrase, parse_phrase
from aotd.traces.star_vocabulary import ACTIONS

__all__ = ["MATCHES", "Match", "first_item", "read_action"]

Match = Literal["verb-object", "class-name"]

_HEADING: Final = re.compile(r"^[^\n:]*:\s*(?=\S)")
_SEPARATORS: Final = re.compile(r"\n|[,;]|(?:^|(?<=\s))(?:\(?\d{1,2}[.):]|[-*\u2022])\s+")
_HEAD: Final = 4
"""Words among which the verb stands: "The young man opens"."""
_CLASSES: Final = {
    normalise(wording): action.id
    for action in ACTIONS
    for wording in (action.label, action_phrase(action.id))
}


def first_item(texts: Sequence[str]) -> str:
    """Return the first item of a list that may still be one text: at line ends, commas, numbers, bullets."""
    for text in texts:
        for item in _SEPARATORS.split(_HEADING.sub("", text.strip())):
            if item.strip():
                return item.strip()
    return ""


def _by_class_name(texts: Sequence[str]) -> set[str]:
    """Take the class of this very name, or of its canonical phrase; case, articles, points do not count."""
    action = _CLASSES.get(normalise(first_item(texts)))
    return set() if action is None else {action}


def _by_verb_object(texts: Sequence[str]) -> set[str]:
    """Take the classes of the verb and the object, by their stems and synonyms.

    Where a particle parts two classes ("turn on", "turn off") and the words hold it, only that one.
    """
    named = _by_class_name(texts)
    if named:
        return named
    return set(read_action(first_item(texts)))


def read_action(text: str) -> tuple[str, ...]:
    """Read a short phrase that begins with who acts or with what is done; gives ids of actions, or none."""
    for wording in _wordings(text):
        phrase = parse_phrase(wording)
        if phrase.actions:
            return (phrase.action,) if phrase.action else phrase.actions
    return ()


def _wordings(text: str) -> Iterator[str]:
    """Give a text, then the same with one of its first words in plain form: "opens" is "open"."""
    yield text
    words = text.split()
    for place, word in enumerate(words[:_HEAD]):
        if word.endswith("s"):
            for plain in (word[:-1], word.removesuffix("es"), word.removesuffix("ies") + "y"):
                yield " ".join([*words[:place], plain, *words[place + 1 :]])


MATCHES: Final[Mapping[Match, Callable[[Sequence[str]], set[str]]]] = {
    "verb-object": _by_verb_object,
    "class-name": _by_class_name,
}
"""By name; each takes a model's texts, best first, and gives ids of actions."""
