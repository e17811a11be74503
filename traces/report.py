"""Count what became of the questions of a run: outcomes, accuracy, the chain-of-thought funnel, calls.

Counts always sum to the number of questions. Accuracies are shares of 1, and None when nothing was there
to be right about. This file draws nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from aotd.traces.outcomes import RIGHT, SCORED, Outcome
from aotd.traces.records import Example, Record

__all__ = ["Calls", "Funnel", "OfType", "Repair", "Report", "report"]

UNTYPED = "untyped"
"""Questions whose dataset gives no type."""


class Funnel(Record):
    """How many questions came how far; each step counts only what passed the one before.

    A check that was never made on a chain did not stop it.
    """

    right: int
    converted: int
    """A chain of thought was written."""
    faithful: int
    """It passed the check `faithful`."""
    complete: int
    """It passed the check `complete`."""
    judged: int
    """A judge passed it, or none was asked."""
    kept: int
    """It passed every check and may be used for training."""


class Repair(Record):
    """Programs that went back to their planner."""

    tried: int
    """Questions with more than one program."""
    scored: int
    """Those of them whose answer was scored."""
    right: int
    accuracy_without: float | None
    """Share of right answers that a first program gave, among questions whose answer is known."""


class OfType(Record):
    """The questions of one type."""

    questions: int
    right: int
    accuracy: float | None
    """Right ones among those whose answer is known."""
    funnel: Funnel


class Calls(Record):
    """What was spent on one function, over all attempts."""

    calls: int
    cached: int
    seconds: float


class Report(Record):
    """The figures of a run."""

    questions: int
    outcomes: dict[str, int]
    """By outcome, in the order of the closed list, without zeros."""
    right: int
    scored: int
    """Questions whose answer was compared with the truth."""
    gold: int
    """Questions whose answer is known."""
    accuracy_all: float | None
    """`right / gold`: a question that ended early counts as wrong."""
    accuracy_answered: float | None
    """`right / scored`."""
    macro: float | None
    """Mean of the types' accuracies: what papers on STAR call the average."""
    repair: Repair
    funnel: Funnel
    by_type: dict[str, OfType]
    calls: dict[str, Calls]
    future_visible: int
    """Questions in which an oracle saw annotation after the end of the question's span."""


def report(examples: Iterable[Example]) -> Report:
    """Count the examples of a run."""
    rows = list(examples)
    found = Counter(example.outcome for example in rows)
    right = sum(found[outcome] for outcome in RIGHT)
    scored = sum(found[outcome] for outcome in SCORED)
    gold = _gold(rows)
    by_type = _by_type(rows)
    known = [of_type.accuracy for of_type in by_type.values() if of_type.accuracy is not None]
    return Report(
        questions=len(rows),
        outcomes={str(outcome): found[outcome] for outcome in Outcome if found[outcome]},
        right=right,
        scored=scored,
        gold=gold,
        accuracy_all=_share(right, gold),
        accuracy_answered=_share(right, scored),
        macro=sum(known) / len(known) if known else None,
        repair=_repair(rows, gold),
        funnel=_funnel(rows),
        by_type=by_type,
        calls=_calls(rows),
        future_visible=sum(example.trace is not None and example.trace.future_visible for example in rows),
    )


def _by_type(examples: Sequence[Example]) -> dict[str, OfType]:
    groups: dict[str, list[Example]] = {}
    for example in examples:
        groups.setdefault(example.question.type or UNTYPED, []).append(example)
    return {name: _of_type(groups[name]) for name in sorted(groups)}


def _of_type(examples: Sequence[Example]) -> OfType:
    right = sum(example.outcome in RIGHT for example in examples)
    return OfType(
        questions=len(examples),
        right=right,
        accuracy=_share(right, _gold(examples)),
        funnel=_funnel(examples),
    )


def _gold(examples: Sequence[Example]) -> int:
    return sum(example.question.answer is not None for example in examples)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _funnel(examples: Sequence[Example]) -> Funnel:
    right = [example for example in examples if example.outcome in RIGHT]
    converted = [example for example in right if example.rationale is not None]
    left, passed = converted, []
    for check in ("faithful", "complete", "judge"):
        left = [e for e in left if all(v.passed for v in e.verdicts if v.check == check)]
        passed.append(len(left))
    faithful, complete, judged = passed
    return Funnel(
        right=len(right),
        converted=len(converted),
        faithful=faithful,
        complete=complete,
        judged=judged,
        kept=sum(example.kept for example in left),
    )


def _repair(examples: Sequence[Example], gold: int) -> Repair:
    """Count repairs; an outcome says by itself whether a first program reached it."""
    tried = [example for example in examples if len(example.attempts) > 1]
    return Repair(
        tried=len(tried),
        scored=sum(example.outcome in SCORED for example in tried),
        right=sum(example.outcome in RIGHT for example in tried),
        accuracy_without=_share(sum(e.outcome is Outcome.RIGHT for e in examples), gold),
    )


def _calls(examples: Sequence[Example]) -> dict[str, Calls]:
    spent: dict[str, list[float]] = {}
    for example in examples:
        for attempt in example.attempts:
            for call in attempt.trace.calls if attempt.trace else ():
                totals = spent.setdefault(call.function, [0, 0, 0.0])
                totals[0] += 1
                totals[1] += call.cached
                totals[2] += call.seconds
    return {
        name: Calls(calls=int(totals[0]), cached=int(totals[1]), seconds=totals[2])
        for name, totals in sorted(spent.items())
    }
