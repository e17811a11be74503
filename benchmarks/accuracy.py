"""Multiple-choice accuracy from predictions: overall, by type, by group, with intervals and paired tests.

Every question counts: one without a prediction, or whose words name no option, is wrong and is counted as
such. The overall figure is the share of all questions; the mean of types is reported beside it, since
papers on STAR mean that one by "average". Reads no file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from aotd.benchmarks.extraction import RULES, Rule
from aotd.benchmarks.predictions import Prediction
from aotd.benchmarks.statistics import Interval, Paired, bootstrap, mcnemar
from aotd.traces.records import Question

__all__ = ["Accuracy", "Answered", "accuracy", "answered", "compare"]


class Answered(NamedTuple):
    """How one question came out."""

    question: Question
    option: int | None
    rule: str
    """How the option was read: by index, by a rule of `aotd.benchmarks.extraction`, or why there is none."""
    right: bool


class Accuracy(NamedTuple):
    """Accuracy in per cent."""

    questions: int
    right: int
    overall: Interval
    by_type: dict[str, tuple[int, float]]
    """Questions and accuracy of each type."""
    by_group: dict[str, tuple[int, float]]
    """The same by the benchmark's own groups of types; empty where it has none."""
    mean_of_types: float
    rules: dict[str, int]
    """How options were read, and how many questions have none."""
    unknown: int
    """Predictions for questions that were not asked."""


def answered(
    questions: Sequence[Question], predictions: Mapping[str, Prediction], rule: Rule = "mc_v1"
) -> list[Answered]:
    """Read an option for every question.

    Raises
    ------
    ValueError
        If a question has no options or no known answer: there is nothing to score.
    """
    return [_answered(question, predictions.get(question.id), rule) for question in questions]


def accuracy(
    outcomes: Sequence[Answered],
    predictions: Mapping[str, Prediction],
    group_of: Callable[[str], str] | None = None,
) -> Accuracy:
    """Add up; intervals resample videos (95 %, 2,000 rounds, seed 0)."""
    right = [100.0 * outcome.right for outcome in outcomes]
    types = [outcome.question.type or "" for outcome in outcomes]
    groups = [group_of(kind) for kind in types] if group_of else []
    by_type = _shares(types, right)
    asked = {outcome.question.id for outcome in outcomes}
    return Accuracy(
        questions=len(outcomes),
        right=sum(outcome.right for outcome in outcomes),
        overall=bootstrap(right, [outcome.question.video_id for outcome in outcomes]),
        by_type=by_type,
        by_group=_shares(groups, right) if groups else {},
        mean_of_types=sum(share for _, share in by_type.values()) / len(by_type),
        rules=dict(Counter(outcome.rule for outcome in outcomes).most_common()),
        unknown=len(predictions.keys() - asked),
    )


def compare(first: Sequence[Answered], second: Sequence[Answered]) -> Paired:
    """Test two systems on the same questions.

    Raises
    ------
    ValueError
        If they did not answer the same questions.
    """
    theirs = {outcome.question.id: outcome.right for outcome in second}
    if theirs.keys() != {outcome.question.id for outcome in first}:
        raise ValueError("the two systems were not scored on the same questions")
    return mcnemar([outcome.right for outcome in first], [theirs[outcome.question.id] for outcome in first])


def _answered(question: Question, prediction: Prediction | None, rule: Rule) -> Answered:
    options = question.options
    if options is None or question.answer is None:
        raise ValueError(f"{question.id} has no options or no known answer: it cannot be scored")
    if prediction is None:
        return Answered(question, None, "no prediction", right=False)
    if prediction.option is not None:
        if not 0 <= prediction.option < len(options):
            return Answered(question, None, "index of no option", right=False)
        option, read = prediction.option, "index"
    else:
        parsed = RULES[rule](prediction.words or "", options)
        if parsed.index is None:
            return Answered(question, None, parsed.rule, right=False)
        option, read = parsed.index, parsed.rule
    # Options with equal texts are one answer.
    return Answered(question, option, read, right=options[option].strip() == question.answer.strip())


def _shares(keys: Sequence[str], values: Sequence[float]) -> dict[str, tuple[int, float]]:
    counts = Counter(keys)
    sums = dict.fromkeys(counts, 0.0)
    for key, value in zip(keys, values, strict=True):
        sums[key] += value
    return {key: (count, sums[key] / count) for key, count in counts.items()}
