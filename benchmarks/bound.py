"""STAR's own programs beside a run's: the bound, and where the two part.

STAR's symbolic programs, under the corrected executor, see the same annotation as oracle models do; what they
solve is the mark for any planner. Reads a run's examples; runs no model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from aotd.benchmarks.executor import Share, Verdicts, bound, execute
from aotd.benchmarks.star import StarItem
from aotd.traces.outcomes import RIGHT, Outcome
from aotd.traces.records import Example, Record

__all__ = ["Beside", "BoundReport", "beside_the_bound"]


class Beside(Record):
    """One question under STAR's program and under ours."""

    question_id: str
    executor: str
    """The option that STAR's program marks, or why there is none."""
    executor_right: bool
    """Every option came out as it should."""
    answer: str
    """What our program returned, or the outcome that it ended in."""
    outcome: Outcome
    detail: str


class BoundReport(Record):
    """A run beside the bound."""

    solved: dict[str, Share]
    """Questions that STAR's programs solve, by type and in total."""
    agreement: dict[Literal["both right", "bound only", "ours only", "neither"], int]
    parted: tuple[Beside, ...]
    """Questions that one of the two got wrong."""


def beside_the_bound(items: Iterable[StarItem], examples: Mapping[str, Example]) -> BoundReport:
    """Run STAR's programs of the questions in `examples` and compare.

    Raises
    ------
    ValueError
        If a question has no graph or no programs.
    """
    asked = [item for item in items if item.question.id in examples]
    agreement: dict[Literal["both right", "bound only", "ours only", "neither"], int] = {
        "both right": 0,
        "bound only": 0,
        "ours only": 0,
        "neither": 0,
    }
    parted = []
    for item in asked:
        example, verdicts = examples[item.question.id], execute(item)
        ours = example.outcome in RIGHT
        if ours and verdicts.solved:
            agreement["both right"] += 1
            continue
        agreement["ours only" if ours else "bound only" if verdicts.solved else "neither"] += 1
        parted.append(
            Beside(
                question_id=item.question.id,
                executor=_marked(item, verdicts),
                executor_right=verdicts.solved,
                answer=str(example.trace.answer) if example.trace and example.trace.answer else "",
                outcome=example.outcome,
                detail=example.detail,
            )
        )
    return BoundReport(solved=bound(asked), agreement=agreement, parted=tuple(parted))


def _marked(item: StarItem, verdicts: Verdicts) -> str:
    options = item.question.options or ()
    correct = [o for o, v in zip(options, verdicts.choices, strict=True) if v == "Correct"]
    return " / ".join(correct) or ("error" if "error" in verdicts.choices else "none")
