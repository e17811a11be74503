"""Rules that read an option out of a model's words: ours, and those of released evaluators, quirks and all.

`mc_v1` is the rule to report. The others exist to reproduce published numbers; where the original draws a
random option when it finds none, none is given here, and counted. Scores nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

from aotd.traces.answers import Parsed, letter, match_option

__all__ = ["RULES", "Rule"]

Rule = Literal["mc_v1", "first-letter", "aotd-nextqa", "aotd-mvbench", "aotd-program", "ve-score"]


def _first_letter(text: str, options: Sequence[str]) -> Parsed:
    """Take the first capital that names an option, anywhere: "Answer: B" is read as A."""
    letters = [letter(i) for i in range(len(options))]
    return next((Parsed(letters.index(c), "first capital") for c in text if c in letters), _NONE)


def _aotd_nextqa(text: str, options: Sequence[str]) -> Parsed:
    """Take a leading capital, else the first of A, B, ... that occurs at all: "(B) An apple" is read as A."""
    letters = [letter(i) for i in range(len(options))]
    if text[:1] in letters:
        return Parsed(letters.index(text[0]), "leading capital")
    return next((Parsed(i, "capital occurs") for i, c in enumerate(letters) if c in text), _NONE)


def _aotd_mvbench(text: str, options: Sequence[str]) -> Parsed:
    """Compare the first word with "(a)", "(b)", ... as parts of each other: "(" fits every option."""
    first = text.lower().split(maxsplit=1)[0].replace(".", "") if text.split() else ""
    marks = [f"({letter(i).lower()})" for i in range(len(options))]
    fitting = [i for i, mark in enumerate(marks) if first in mark or mark in first]
    if len(fitting) == 1:
        return Parsed(fitting[0], "part of the mark")
    return Parsed(None, "fits every option") if fitting else _NONE


def _aotd_program(text: str, options: Sequence[str]) -> Parsed:
    """Take the letter and nothing else: "B." names none."""
    letters = [letter(i) for i in range(len(options))]
    return Parsed(letters.index(text), "the letter") if text in letters else _NONE


def _ve_score(text: str, options: Sequence[str]) -> Parsed:
    """Take the first of A to D, anywhere, whatever the options."""
    found = re.search("[A-D]", text)
    return Parsed(ord(found[0]) - ord("A"), "first of A to D") if found else _NONE


_NONE: Final = Parsed(None, "unparsed")

RULES: Final[Mapping[Rule, Callable[[str, Sequence[str]], Parsed]]] = {
    "mc_v1": match_option,
    "first-letter": _first_letter,
    "aotd-nextqa": _aotd_nextqa,
    "aotd-mvbench": _aotd_mvbench,
    "aotd-program": _aotd_program,
    "ve-score": _ve_score,
}
"""By name: each takes the model's words and the options."""
