"""The report: its counts sum up, and its figures are those worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aotd.traces.outcomes import RIGHT, Outcome
from aotd.traces.records import Example, Provenance, Question, Rationale, Verdict
from aotd.traces.report import Calls, Funnel, report

STORIES = [
    Example.model_validate_json(line)
    for line in (Path(__file__).parent / "golden/stories.jsonl").read_text().splitlines()
]


def ended(outcome: Outcome, *, kind: str | None = None, truth: str | None = "x", upto: int = 0) -> Example:
    """Make an example that ended so; its chain was converted (1), faithful (2) and kept (3) up to a step."""
    verdict = Verdict(check="faithful", passed=upto >= 2, reason="")
    return Example(
        question=Question(id="q", dataset="d", video_id="v", text="?", answer=truth, type=kind),
        attempts=(),
        outcome=outcome,
        rationale=Rationale(writer="w", sentences=()) if upto else None,
        verdicts=(verdict,) if upto else (),
        kept=upto >= 3,
        provenance=Provenance(run="r"),
    )


def test_by_hand() -> None:
    """Accuracies, funnel and macro mean of a small run are those worked out on paper."""
    counted = report(
        [
            ended(Outcome.RIGHT, kind="A", upto=3),
            ended(Outcome.RIGHT_AFTER_REPAIR, kind="A", upto=2),
            ended(Outcome.WRONG, kind="A"),
            ended(Outcome.NOT_FOUND, kind="A"),
            ended(Outcome.RIGHT, kind="B", upto=1),
            ended(Outcome.RIGHT, kind="B"),
            ended(Outcome.ANSWERED_UNSCORED, kind="C", truth=None),
            ended(Outcome.ANSWERED_UNSCORED),
        ]
    )
    assert (counted.questions, counted.right, counted.scored, counted.gold) == (8, 4, 5, 7)
    assert counted.accuracy_all == pytest.approx(4 / 7)
    assert counted.accuracy_answered == pytest.approx(4 / 5)
    assert counted.macro == pytest.approx((2 / 4 + 2 / 2 + 0 / 1) / 3)
    assert counted.funnel == Funnel(right=4, converted=3, faithful=2, complete=2, judged=2, kept=1)
    a = counted.by_type["A"].funnel
    assert a == Funnel(right=2, converted=2, faithful=2, complete=2, judged=2, kept=1)
    assert {name: t.accuracy for name, t in counted.by_type.items()} == {
        "A": 0.5,
        "B": 1,
        "C": None,
        "untyped": 0,
    }
    assert list(counted.outcomes.items()) == [
        ("not-found", 1), ("answered-unscored", 2), ("wrong", 1), ("right-after-repair", 1), ("right", 3),
    ]  # fmt: skip


def test_nothing_to_count() -> None:
    """An empty run has no accuracy, rather than one of zero."""
    counted = report([])
    assert (counted.questions, counted.accuracy_all, counted.accuracy_answered, counted.macro) == (
        0,
        None,
        None,
        None,
    )


def test_calls_of_all_attempts() -> None:
    """Calls are counted by function over every attempt, with what was cached and the time spent."""
    story = STORIES[0]
    repaired = story.model_copy(update={"attempts": (*story.attempts, *story.attempts)})
    calls = report([repaired, STORIES[4]]).calls
    assert calls["Video_summary"] == Calls(calls=2, cached=2, seconds=0.5)
    assert calls["Find"] == Calls(calls=2, cached=0, seconds=3.0)
    assert calls["exist"].calls == 3
    assert list(calls) == sorted(calls)


ENDS = st.builds(
    ended,
    st.sampled_from(Outcome),
    kind=st.sampled_from([None, "A", "B", "C"]),
    truth=st.sampled_from([None, "x"]),
    upto=st.integers(0, 3),
)


@given(st.lists(ENDS, max_size=30))
@settings(max_examples=60, deadline=None)
def test_counts_sum_up(examples: list[Example]) -> None:
    """Outcomes sum to the questions, types sum to the whole, and every funnel narrows."""
    counted = report(examples)
    types = list(counted.by_type.values())
    assert sum(counted.outcomes.values()) == counted.questions == len(examples)
    assert sum(t.questions for t in types) == counted.questions
    assert sum(t.right for t in types) == counted.right == sum(e.outcome in RIGHT for e in examples)
    assert all(counted.outcomes.values())
    for funnel in (counted.funnel, *(t.funnel for t in types)):
        steps = list(funnel.model_dump().values())
        assert steps == sorted(steps, reverse=True)
    for step in Funnel.model_fields:
        assert sum(getattr(t.funnel, step) for t in types) == getattr(counted.funnel, step)
