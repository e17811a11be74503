"""Answers: every rule of `mc_v1`, the misreadings it must not make, and agreement with published ratings."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aotd.traces.answers import Parsed, letter, match_option, mc_v1, normalise, render

FRUIT = ["An apple", "A pear", "The plum", "Two figs"]
WRAPPINGS = [
    "{}", "({})", "[{}]", "{}.", "{})", "{}:", "({}).", " {}\n", "**{}**", '"{}"',
    "Answer: {}", "answer:{}", "The answer is {}.", "The answer is: ({})", "Option {}",
    "The best option is {}.", "I would choose ({}) here", "{}, because of the colour",
    "First the answer is Z, no, the answer is {}",
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "index", "rule"),
    [
        ("B", 1, "letter-alone"),
        ("b", 1, "letter-alone"),
        ("(D)", 3, "letter-alone"),
        ("C) The plum", 2, "letter-leading"),
        ("(B) An apple", 1, "letter-leading"),
        ("B A pear", 1, "letter-leading"),
        ("Answer: B", 1, "letter-alone"),
        ("It must be (C), the blue one", 2, "letter-bracketed"),
        ("It must be [C]", 2, "letter-bracketed"),
        ("Either (B) or (C)", None, "ambiguous"),
        ("pear", 1, "text-equal"),
        ("the APPLE!", 0, "text-equal"),
        ("She picks up two figs and leaves", 3, "text-contained"),
        ("She swaps the pear for the plum", None, "ambiguous"),
        ("A man walks by", None, "unparsed"),
        ("I see a spear", None, "unparsed"),
        ("E", None, "unparsed"),
        ("", None, "unparsed"),
        (" ()\n", None, "unparsed"),
        ("The answer is A", 0, "letter-alone"),
        ("B is my answer: ", None, "unparsed"),
        ("Option B, not option D", 3, "letter-alone"),
    ],
)
def test_rules(text: str, index: int | None, rule: str) -> None:
    """Each rule, and each misreading of published evaluators, gives the option it should by that rule."""
    assert mc_v1(text, FRUIT) == Parsed(index, rule)


def test_exact_option_text_wins_over_letters() -> None:
    """An option that looks like another's letter is taken at its word."""
    assert match_option("B", ["B", "A"]) == Parsed(0, "exact")
    assert match_option("B", ["A", "x"]) == Parsed(1, "letter-alone")


def test_equal_options_are_one_answer() -> None:
    """Options with equal texts are one answer, whichever letter names it."""
    options = ["Put down.", "Took.", "Put down."]
    assert {mc_v1(text, options).index for text in ("A", "C", "put down", "(A) or (C)")} == {0}


@given(st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=5), st.data())
@settings(max_examples=60, deadline=None)
def test_own_text_of_any_option(options: list[str], data: st.DataObject) -> None:
    """The text of any option, whatever it holds, is matched to an option with that text."""
    text = data.draw(st.sampled_from(options))
    index = match_option(text, options).index
    assert index is not None
    assert options[index].strip() == text.strip()


@given(st.text(), st.lists(st.text(), max_size=5))
@settings(max_examples=60, deadline=None)
def test_any_text_parses(text: str, options: list[str]) -> None:
    """Any text gives a valid index or none, and never an error."""
    index = mc_v1(text, options).index
    assert index is None or 0 <= index < len(options)


@pytest.mark.parametrize("wrapping", WRAPPINGS)
@pytest.mark.parametrize("index", range(4))
def test_letter_in_each_wrapping(wrapping: str, index: int) -> None:
    """A letter is read in every usual wrapping."""
    assert mc_v1(wrapping.format(letter(index)), FRUIT).index == index


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [
        ("The  Cup.", "cup", True),
        ("cup/glass", "Cup, glass", True),
        ("don't", "dont", True),
        ("3.5", "35", False),
        ("-2", "2", False),
        ("A", "The", False),
        ("C++", "C", False),
        ("\uff46\uff55\uff4c\uff4c", "full", True),
    ],
)
def test_normalise(a: str, b: str, equal: bool) -> None:  # noqa: FBT001
    """Case, articles and punctuation make no difference; numbers and symbols do."""
    assert (normalise(a) == normalise(b)) is equal


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (True, "yes"),
        (False, "no"),
        (3, "3"),
        (3.0, "3"),
        (2.5, "2.5"),
        (["a", "b"], "a, b"),
        ([], ""),
        ("A ", "A "),
    ],
)
def test_render(answer: str | float | bool | list[str], text: str) -> None:  # noqa: FBT001
    """Every kind of answer has one text."""
    assert render(answer) == text


def test_agrees_with_tempcompass(data: Path) -> None:
    """Replies of a real model are judged as TempCompass itself judged them: 1,580 ratings, 720 right."""
    right = []
    published = (data / "tempcompass/video-llava_auto_eval_multi-choice.json").read_text()
    for aspects in json.loads(published).values():
        for record in (record for records in aspects.values() for record in records):
            lines = [*record["question"].splitlines()[1:], record["gt-answer"]]
            *options, gold = [re.sub(r"^[A-Z]\.? ?", "", line).strip() for line in lines if line.strip()]
            index = match_option(record["video-llm-prediction"], options).index
            right.append(index is not None and options[index] == gold)
            assert right[-1] == bool(record["rating"]), record
    assert (len(right), sum(right)) == (1580, 720)
