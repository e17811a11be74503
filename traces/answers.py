"""From what was said to which option was meant: rendering, normalising and matching of answers.

Does not score: `aotd.agent.score` compares the match with the truth. Nothing here guesses: a text that
names no option, or several, gives none. The first option of several with equal texts stands for them all.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["Parsed", "letter", "match_option", "mc_v1", "normalise", "render"]

_ARTICLES: Final = frozenset({"a", "an", "the"})
_MARKER: Final = re.compile(r"\b(?:answer\s+is|answer\s*:|option\b(?:\s+is\b)?)\s*:?", re.IGNORECASE)
_ALONE: Final = re.compile(r"(?:\(([A-Za-z])\)|\[([A-Za-z])\]|([A-Za-z]))[.):]?")
_LEADING: Final = re.compile(r"\(?([A-Z])(?=[.:),]|\s*$)")
_SPACED: Final = re.compile(r"\(?([A-Z])\s+(.+)", re.DOTALL)
_BRACKETED: Final = re.compile(r"\(([A-Z])\)|\[([A-Z])\]")
_PUNCTUATION: Final = re.compile(r"(?!(?<=\d)\.\d)(?!(?<!\w)-\d)[^\w\s]|_")
_QUOTES: Final = " \t\r\n\"'`*\u201c\u201d\u2018\u2019"


@dataclass(frozen=True, slots=True)
class Parsed:
    """Which option a text means, and by which rule; without an option the rule says why."""

    index: int | None
    rule: str


def render(answer: str | int | float | bool | list[str]) -> str:  # noqa: FBT001
    """Put a program's answer into words: yes or no for a bool, a list joined by commas."""
    match answer:
        case bool():
            return "yes" if answer else "no"
        case float() if answer.is_integer():
            return str(int(answer))
        case list():
            return ", ".join(answer)
        case _:
            return str(answer)


def letter(index: int) -> str:
    """Return the letter of an option: A for 0."""
    return chr(ord("A") + index)


def normalise(text: str) -> str:
    """Drop case, punctuation and articles; signs and points of numbers stay, and so do lone articles."""
    folded = unicodedata.normalize("NFKC", text).casefold().replace("'", "").replace("\u2019", "")
    words = _PUNCTUATION.sub(_space_for_punctuation, folded).split()
    return " ".join([word for word in words if word not in _ARTICLES] or words)


def _space_for_punctuation(match: re.Match[str]) -> str:
    """Keep symbols such as `+` and combining marks, which are no punctuation."""
    return " " if unicodedata.category(match[0])[0] in "PC" else match[0]


def match_option(text: str, options: Sequence[str]) -> Parsed:
    """Find the option that a text means: an exact option text wins, else `mc_v1` decides."""
    for index, option in enumerate(options):
        if text.strip() == option.strip():
            return Parsed(index, "exact")
    return mc_v1(text, options)


def mc_v1(text: str, options: Sequence[str]) -> Parsed:
    """Find the option that a free text means.

    Rules in order: what follows the last "answer is", "answer:" or "option" stands for the text; a letter
    alone (`letter-alone`); a leading letter closed by punctuation, or followed by its own option's text
    (`letter-leading`); one letter in brackets (`letter-bracketed`; several different ones are
    `ambiguous`); an option's normalised text (`text-equal`); the only option contained (`text-contained`).
    """
    said = _after_marker(text.strip())
    for rule, parse in (("letter-alone", _alone), ("letter-leading", _leading)):
        index = parse(said, options)
        if index is not None:
            return Parsed(_first_equal(index, options), rule)
    bracketed = {a or b for a, b in _BRACKETED.findall(said)}
    for rule, found in (
        ("letter-bracketed", [i for i in range(len(options)) if letter(i) in bracketed]),
        ("text-equal", [i for i, option in enumerate(options) if _equal(option, said)]),
        ("text-contained", [i for i, option in enumerate(options) if _contains(said, option)]),
    ):
        meant = {_first_equal(index, options) for index in found}
        if meant:
            return Parsed(meant.pop(), rule) if len(meant) == 1 else Parsed(None, "ambiguous")
    return Parsed(None, "unparsed")


def _after_marker(text: str) -> str:
    """Return what follows the last marker, unless nothing does."""
    markers = list(_MARKER.finditer(text))
    rest = text[markers[-1].end() :].strip() if markers else ""
    return rest if re.search(r"\w", rest) else text


def _alone(said: str, options: Sequence[str]) -> int | None:
    found = _ALONE.fullmatch(said.strip(_QUOTES))
    return _position("".join(filter(None, found.groups())).upper(), options) if found else None


def _leading(said: str, options: Sequence[str]) -> int | None:
    said = said.strip(_QUOTES)
    found = _LEADING.match(said)
    if found:
        return _position(found[1], options)
    spaced = _SPACED.match(said)
    index = _position(spaced[1], options) if spaced else None
    return index if spaced and index is not None and _equal(spaced[2], options[index]) else None


def _position(name: str, options: Sequence[str]) -> int | None:
    index = ord(name) - ord("A")
    return index if index < len(options) else None


def _first_equal(index: int, options: Sequence[str]) -> int:
    return next(i for i, option in enumerate(options) if option.strip() == options[index].strip())


def _equal(a: str, b: str) -> bool:
    return normalise(a) == normalise(b) != ""


def _contains(said: str, option: str) -> bool:
    inner = normalise(option)
    return bool(inner) and f" {inner} " in f" {normalise(said)} "
