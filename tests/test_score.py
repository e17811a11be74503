"""Scoring: which of the closed outcomes an executed program ends in."""

from __future__ import annotations

import pytest

from aotd.agent.score import Scored, score
from aotd.traces.outcomes import Outcome
from aotd.traces.records import Failure, Question, Trace, Video

OPTIONS = ("The laptop.", "The sandwich.", "The bag.", "The sandwich.")


def scored(
    answer: str | int | bool | list[str] | None,  # noqa: FBT001
    *,
    options: tuple[str, ...] | None = OPTIONS,
    truth: str | None = "The sandwich.",
    failure: Outcome | None = None,
    attempts: int = 1,
) -> Scored:
    """Score one answer of a question that has the given options and truth."""
    question = Question(
        id="q", dataset="d", video_id="v", text="Which object was eaten?", options=options, answer=truth
    )
    trace = Trace(
        video=Video(id="v", digest="id:v"),
        span=None,
        program="",
        answer=answer,
        failure=Failure(outcome=failure, type="T", message="why") if failure else None,
    )
    return score(question, trace, attempts=attempts)


@pytest.mark.parametrize(
    ("answer", "outcome", "rule"),
    [
        ("The sandwich.", Outcome.RIGHT, "exact"),
        ("B", Outcome.RIGHT, "letter-alone"),
        ("(D) The sandwich.", Outcome.RIGHT, "letter-leading"),
        (["sandwich"], Outcome.RIGHT, "text-equal"),
        ("They ate the sandwich", Outcome.RIGHT, "text-contained"),
        ("The bag.", Outcome.WRONG, "exact"),
        (["The bag.", "The laptop."], Outcome.NOT_AN_OPTION, "ambiguous"),
        ("The dish.", Outcome.NOT_AN_OPTION, "unparsed"),
        (3, Outcome.NOT_AN_OPTION, "unparsed"),
        ("", Outcome.ABSTAINED, None),
        ([], Outcome.ABSTAINED, None),
        (" \n", Outcome.ABSTAINED, None),
        (None, Outcome.NO_RETURN, None),
    ],
)
def test_multiple_choice(answer: str | int | list[str] | None, outcome: Outcome, rule: str | None) -> None:
    """An answer is right when it means the option with the true text, whichever of two equal ones."""
    assert scored(answer)[:2] == (outcome, rule)


@pytest.mark.parametrize(
    ("answer", "truth", "outcome"),
    [
        ("a Sandwich", "The sandwich.", Outcome.RIGHT),
        (True, "Yes", Outcome.RIGHT),
        (False, "Yes", Outcome.ANSWERED_UNSCORED),
        (2, "2", Outcome.RIGHT),
        ("a toast", "The sandwich.", Outcome.ANSWERED_UNSCORED),
        ("a toast", None, Outcome.ANSWERED_UNSCORED),
        ("", None, Outcome.ABSTAINED),
    ],
)
def test_open_ended(answer: str | int | bool, truth: str | None, outcome: Outcome) -> None:  # noqa: FBT001
    """An open-ended answer is right when it equals the truth, and otherwise waits for a judge."""
    assert scored(answer, options=None, truth=truth).outcome is outcome


def test_zero_and_no_are_answers() -> None:
    """A count of zero and a plain no are answers, not abstentions."""
    assert scored(0, options=("0", "1"), truth="0").outcome is Outcome.RIGHT
    assert scored(False, options=("Yes", "No"), truth="No").outcome is Outcome.RIGHT


def test_without_truth() -> None:
    """Without a truth, or with one that is no option, an option is answered but unscored."""
    assert scored("B", truth=None).outcome is Outcome.ANSWERED_UNSCORED
    assert scored("B", truth="The dish.").outcome is Outcome.ANSWERED_UNSCORED
    assert "The dish." in scored("B", truth="The dish.").detail


def test_after_repair() -> None:
    """More than one attempt marks a scored outcome, and no other."""
    assert scored("B", attempts=2).outcome is Outcome.RIGHT_AFTER_REPAIR
    assert scored("A", attempts=2).outcome is Outcome.WRONG_AFTER_REPAIR
    assert scored("x", attempts=2).outcome is Outcome.NOT_AN_OPTION


def test_failure_is_the_outcome() -> None:
    """A trace that failed ends as its failure says, with its message."""
    assert scored(None, failure=Outcome.EMPTY_GROUNDING)[:3] == (Outcome.EMPTY_GROUNDING, None, "why")
    assert scored(None, failure=Outcome.ANSWER_UNPARSEABLE).outcome is Outcome.ANSWER_UNPARSEABLE
