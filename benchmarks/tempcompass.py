"""TempCompass: free answers to multiple-choice questions, and its own judgement of each.

An outside truth for reading options out of a model's words: how often a rule of
`aotd.benchmarks.extraction` and the benchmark's own rating come to the same. Source: TempCompass (ACL
Findings 2024), its published answers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from aotd.benchmarks.annotation import AnnotationError, parse_json, read_text
from aotd.benchmarks.extraction import RULES, Rule

__all__ = ["Agreement", "RatedAnswer", "agreement", "load_tempcompass"]

_OPTION: Final = re.compile(r"^([A-Z])\. (.*)$")


class RatedAnswer(NamedTuple):
    """One answer and its rating."""

    id: str
    question: str
    options: tuple[str, ...]
    truth: int
    words: str
    rated_right: bool


class Agreement(NamedTuple):
    """A rule beside the benchmark's own rating."""

    answers: int
    rated_right: int
    read_right: int
    agree: int
    parted: tuple[tuple[RatedAnswer, str], ...]
    """Answers that the two judge differently, each with the rule that read it."""


def load_tempcompass(path: Path) -> list[RatedAnswer]:
    """Read a file of rated answers.

    Raises
    ------
    AnnotationError
        Naming the file and the entry.
    """
    data = parse_json(path, read_text(path, "give TempCompass's file of rated multiple-choice answers"))
    if not isinstance(data, dict):
        raise AnnotationError(f"{path} is no table of answers by video")
    return [answer for video, aspects in data.items() for answer in _answers(path, video, aspects)]


def agreement(answers: list[RatedAnswer], rule: Rule = "mc_v1") -> Agreement:
    """Read every answer by a rule and hold it against the rating."""
    parted, read_right = [], 0
    for answer in answers:
        parsed = RULES[rule](answer.words, answer.options)
        right = parsed.index == answer.truth
        read_right += right
        if right != answer.rated_right:
            parted.append((answer, parsed.rule))
    rated = sum(answer.rated_right for answer in answers)
    return Agreement(len(answers), rated, read_right, len(answers) - len(parted), tuple(parted))


def _answers(path: Path, video: str, aspects: object) -> Iterator[RatedAnswer]:
    if not isinstance(aspects, dict):
        raise AnnotationError(f"{path}: video {video} holds no answers by aspect")
    for aspect, entries in aspects.items():
        for number, entry in enumerate(entries, 1):
            place = f"{video}/{aspect}/{number}"
            try:
                yield _answer(place, entry)
            except (KeyError, TypeError, ValueError, IndexError):
                raise AnnotationError(f"{path}: entry {place} is no rated multiple-choice answer") from None


def _answer(place: str, entry: dict[str, str]) -> RatedAnswer:
    head, *lines = entry["question"].split("\n")
    options = [found for line in lines if (found := _OPTION.match(line.strip()))]
    truth = ord(entry["gt-answer"].strip()[0]) - ord("A")
    return RatedAnswer(
        id=place,
        question=head,
        options=tuple(found[2].strip() for found in options),
        truth=range(len(options))[truth],
        words=entry["video-llm-prediction"],
        rated_right=bool(int(entry["rating"])),
    )
