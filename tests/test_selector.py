"""The rule selector."""

from __future__ import annotations

import pytest

from aotd.tools.models import Choice, SelectRequest
from aotd.tools.selector import RuleSelector

OPTIONS = ("The bag.", "The sandwich.", "The laptop.", "The sandwich.")


def choose(info: dict[str, object], options: tuple[str, ...] | None = OPTIONS) -> Choice:
    """Select once."""
    request = SelectRequest.model_validate({"query": "q", "info": info, "options": options})
    (choice,) = RuleSelector().select([request])
    assert isinstance(choice, Choice)
    return choice


@pytest.mark.parametrize(
    ("info", "chosen"),
    [
        ({"object": ["sandwich"]}, "The sandwich."),
        ({"object": ["The sandwich."], "summary": ""}, "The sandwich."),
        ({"actions": ["put down the sandwich"]}, "The sandwich."),
        ({"nested": {"deep": ["take the bag"]}}, "The bag."),
        ({"object": "THE SANDWICH", "other": "take the bag"}, "The sandwich."),
    ],
)
def test_one_supported_option_is_chosen(info: dict[str, object], chosen: str) -> None:
    """The one distinct option that the evidence names is chosen, equal words before equal meaning."""
    assert choose(info).text == chosen


@pytest.mark.parametrize(
    "info",
    [{}, {"object": []}, {"object": ["sandwich", "bag"]}, {"object": ["rhinoceros"]}, {"n": 3, "ok": True}],
)
def test_no_or_several_supported_options_are_no_choice(info: dict[str, object]) -> None:
    """Without exactly one supported option the selector abstains."""
    assert choose(info).text is None


def test_verb_options_need_the_verb_and_pair_options_need_both() -> None:
    """An option is supported by what it says: a verb alone, or verb and object together."""
    assert choose({"a": ["put down the sandwich"]}, ("Put down.", "Ate.")).text == "Put down."
    pairs = ("Put down the sandwich.", "Put down the bag.", "Took the sandwich.")
    assert choose({"a": ["put down the sandwich"]}, pairs).text == "Put down the sandwich."


def test_open_evidence_that_says_one_thing_is_the_answer() -> None:
    """Without options the only distinct text is given, and two are no answer."""
    assert choose({"a": ["red"], "b": "red"}, None).text == "red"
    assert choose({"a": ["red"], "b": "blue"}, None).text is None
