"""The page that lists the questions of a run: figures, filters, a row for each question.

All rows stand in the file, so that it can be read without a script; with one, a filter looks at thousands of
them at once and only a hundred are laid out. What is filtered by is numbered: no text of a run stands where
the script reads. This file writes nothing to disk.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from aotd.traces.answers import render
from aotd.traces.outcomes import GROUPS, RIGHT, Outcome
from aotd.traces.page import fragment, shell, template
from aotd.traces.page_text import shorten, shown
from aotd.traces.records import Example
from aotd.traces.report import UNTYPED, Funnel, Report, report

__all__ = ["index_page", "run_fragment"]

_TEXT: Final = 300
"""Letters of a question or an answer in a row."""

_FIRST: Final = 25
"""Rows that a notebook shows."""


class Choice(NamedTuple):
    """What can be filtered by, and how many questions have it."""

    name: str
    questions: int


class Row(NamedTuple):
    """A question. Outcome, type, functions and checks are numbers of their lists of choices."""

    id: str
    href: str
    question: str
    type: str
    outcome: str
    right: bool
    answer: str
    truth: str
    calls: int
    attempts: int
    seconds: float
    chain: str
    numbers: dict[str, tuple[int, ...]]


class Bar(NamedTuple):
    """A count with its share of all questions."""

    name: str
    group: str
    number: int
    share: float
    tone: str
    choice: int
    """To filter by; -1 when there is none."""


def index_page(examples: Iterable[Example], *, title: str, pages: Mapping[str, str]) -> str:
    """Draw the page of a run.

    Parameters
    ----------
    pages
        Address of the page of each question that has one, by question id: made by us, not taken from a run.
    """
    given = _given(list(examples), title, pages)
    body = template("index_page.j2").render(given | {"whole": True, "uid": "run"})
    return shell(f"Run {title}", body, "index_page.js", ["page.css", "index_page.css"])


def run_fragment(examples: Iterable[Example], *, title: str) -> str:
    """Draw a run for a notebook: its figures and first questions, with their own style and no script."""
    given = _given(list(examples), title, {})
    rows: list[Row] = given["rows"]
    shown_rows = {"rows": rows[:_FIRST], "whole": False, "uid": "run"}
    return fragment(["page.css", "index_page.css"], template("index_page.j2").render(given | shown_rows))


def _given(examples: Sequence[Example], title: str, pages: Mapping[str, str]) -> dict[str, Any]:
    facets = {
        "outcome": [str(outcome) for outcome in Outcome],
        "type": sorted({example.question.type or UNTYPED for example in examples}),
        "function": sorted({name for example in examples for name in _functions(example)}),
        "check": ["kept", "not kept", *sorted({name for example in examples for name in _checks(example)})],
    }
    places = {facet: {name: i for i, name in enumerate(names)} for facet, names in facets.items()}
    rows = [_row(example, places, pages.get(example.question.id, "")) for example in examples]
    counted = {facet: Counter(n for row in rows for n in row.numbers[facet]) for facet in facets}
    figures = report(examples)
    return {
        "title": shown(title),
        "report": figures,
        "accuracy": _accuracy(figures),
        "outcomes": _outcomes(figures, places["outcome"]),
        "funnel": _funnel(figures.funnel),
        "by_type": {shorten(shown(name), 60): of_type for name, of_type in figures.by_type.items()},
        "facets": {
            facet: [(i, Choice(shorten(shown(name), 60), counted[facet][i])) for i, name in enumerate(names)]
            for facet, names in facets.items()
        },
        "rows": rows,
    }


def _functions(example: Example) -> set[str]:
    """Give the functions that the program that counts called."""
    return {call.function for call in example.trace.calls} if example.trace is not None else set()


def _checks(example: Example) -> set[str]:
    return {f"{v.check} {'passed' if v.passed else 'failed'}" for v in example.verdicts}


def _row(example: Example, places: Mapping[str, Mapping[str, int]], href: str) -> Row:
    question, trace = example.question, example.trace
    checks = _checks(example) | {"kept" if example.kept else "not kept"}
    failed = sorted(v.check for v in example.verdicts if not v.passed)
    answer = "" if trace is None or trace.answer is None else render(trace.answer)
    return Row(
        id=shorten(shown(question.id), 100),
        href=href,
        question=shorten(shown(question.text), _TEXT),
        type=shorten(shown(question.type or UNTYPED), 60),
        outcome=str(example.outcome),
        right=example.outcome in RIGHT,
        answer=shorten(shown(answer), _TEXT),
        truth=shorten(shown(question.answer or ""), _TEXT),
        calls=sum(len(a.trace.calls) for a in example.attempts if a.trace is not None),
        attempts=len(example.attempts),
        seconds=sum(a.trace.seconds for a in example.attempts if a.trace is not None),
        chain="kept" if example.kept else shown(", ".join(failed)) if example.rationale else "",
        numbers={
            "outcome": (places["outcome"][str(example.outcome)],),
            "type": (places["type"][question.type or UNTYPED],),
            "function": tuple(sorted(places["function"][name] for name in _functions(example))),
            "check": tuple(sorted(places["check"][name] for name in checks)),
        },
    )


def _accuracy(figures: Report) -> list[str]:
    told = [f"{figures.right} of {figures.questions} questions right"]
    if figures.accuracy_all is not None:
        told.append(f"{figures.accuracy_all:.1%} of the {figures.gold} with a known answer")
    if figures.accuracy_answered is not None:
        told.append(f"{figures.accuracy_answered:.1%} of the {figures.scored} answered and scored")
    if figures.repair.tried:
        told.append(f"{figures.repair.tried} sent back to the planner, {figures.repair.right} of them right")
    if figures.future_visible:
        told.append(f"{figures.future_visible} answered with the future visible to an oracle")
    return told


def _outcomes(figures: Report, numbers: Mapping[str, int]) -> list[Bar]:
    bars = []
    for group, outcomes in GROUPS.items():
        for outcome in outcomes:
            count = figures.outcomes.get(outcome, 0)
            tone = "ok" if outcome in RIGHT else "bad" if group == "scored" else "warn"
            if count:
                share = count / figures.questions
                bars.append(Bar(str(outcome), group, count, share, tone, numbers[str(outcome)]))
    return bars


def _funnel(funnel: Funnel) -> list[Bar]:
    """Give the steps of chains of thought, as shares of the right answers."""
    steps: dict[str, int] = funnel.model_dump()
    return [Bar(name, "", count, count / max(1, funnel.right), "ok", -1) for name, count in steps.items()]
