"""Two runs of the same questions: which answers turned right or wrong, and at which call they first part.

Only questions that both runs have count; the test is the exact one of McNemar on those with a known answer.
A question without one takes part in the comparison of traces only. Reads no file and draws nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from aotd.benchmarks.statistics import mcnemar
from aotd.traces.alignment import Difference, first_difference
from aotd.traces.outcomes import RIGHT
from aotd.traces.records import Example, Record

__all__ = ["Compared", "OtherQuestion", "Parted", "RunDiff", "compare_runs", "diff_row"]

_UNTYPED: Final = "untyped"


class OtherQuestion(ValueError):
    """Two runs ask different things under one id."""


class Parted(Record):
    """A question on which two runs differ."""

    question_id: str
    type: str
    before: str
    """Outcome in the first run."""
    after: str
    where: str
    """First difference, such as `call 3 (Find, line 4)`."""
    function: str
    """Of the call where they part, or `video`, `span`, `answer`, `failure`, `no trace`, `outcome`."""
    was: str
    now: str
    same_program: bool


class Compared(Record):
    """Right answers of two runs on the same questions."""

    questions: int
    """With a known answer, in both runs."""
    right_before: int
    right_after: int
    turned_right: int
    turned_wrong: int
    p: float
    """Exact McNemar test, two-sided."""


class RunDiff(Record):
    """How two runs differ."""

    both: int
    """Questions in both runs."""
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    all: Compared
    by_type: dict[str, Compared]
    turned_right: tuple[Parted, ...]
    turned_wrong: tuple[Parted, ...]
    parted: tuple[Parted, ...]
    """Every question whose traces differ, those that turned among them."""
    functions: dict[str, int]
    """Questions by the function where their traces first part, most first."""
    functions_of_turned: dict[str, int]
    """The same of those that turned right or wrong."""


def compare_runs(first: Mapping[str, Example], second: Mapping[str, Example]) -> RunDiff:
    """Compare two runs question by question.

    Raises
    ------
    OtherQuestion
        If an id stands for different questions.
    """
    pairs = [(first[key], second[key]) for key in first if key in second]
    for old, new in pairs:
        if (old.question.text, old.question.options) != (new.question.text, new.question.options):
            raise OtherQuestion(
                f"the runs ask different things as {old.question.id}: they cannot be compared"
            )
    known = [(old, new) for old, new in pairs if new.question.answer is not None]
    by_type: dict[str, list[tuple[Example, Example]]] = {}
    for old, new in known:
        by_type.setdefault(old.question.type or _UNTYPED, []).append((old, new))
    parted = tuple(row for old, new in pairs if (row := diff_row(old, new)) is not None)
    ids = {old.question.id for old, _ in known}
    turned = [
        row for row in parted if row.question_id in ids and (row.before in RIGHT) != (row.after in RIGHT)
    ]
    right = tuple(row for row in turned if row.after in RIGHT)
    wrong = tuple(row for row in turned if row.before in RIGHT)
    return RunDiff(
        both=len(pairs),
        only_first=tuple(key for key in first if key not in second),
        only_second=tuple(key for key in second if key not in first),
        all=_compared(known),
        by_type={name: _compared(some) for name, some in sorted(by_type.items())},
        turned_right=right,
        turned_wrong=wrong,
        parted=parted,
        functions=_functions(parted),
        functions_of_turned=_functions(turned),
    )


def diff_row(old: Example, new: Example) -> Parted | None:
    """Name the first difference of one question; None if what was done and how it ended is the same."""
    found = _first(old, new)
    if found is None:
        return None
    return Parted(
        question_id=old.question.id,
        type=old.question.type or _UNTYPED,
        before=old.outcome.value,
        after=new.outcome.value,
        where=found.where,
        function=found.function,
        was=found.was,
        now=found.now,
        same_program=old.program == new.program,
    )


def _first(old: Example, new: Example) -> Difference | None:
    was, now = old.trace, new.trace
    if was is not None and now is not None:
        found = first_difference(was, now)
        if found is not None:
            return found
    elif was is not None or now is not None:
        told = ("no program ran" if trace is None else "a program ran" for trace in (was, now))
        return Difference("no trace", "no trace", *told)
    if old.outcome != new.outcome:
        return Difference("outcome", "outcome", old.outcome.value, new.outcome.value)
    return None


def _compared(pairs: Sequence[tuple[Example, Example]]) -> Compared:
    before = [old.outcome in RIGHT for old, _ in pairs]
    after = [new.outcome in RIGHT for _, new in pairs]
    tested = mcnemar(before, after)
    return Compared(
        questions=len(pairs),
        right_before=sum(before),
        right_after=sum(after),
        turned_right=tested.second_only,
        turned_wrong=tested.first_only,
        p=tested.p,
    )


def _functions(rows: Sequence[Parted]) -> dict[str, int]:
    return dict(Counter(row.function for row in rows).most_common())
