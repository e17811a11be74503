"""Decide how a run question ended: the trace's own failure, or its answer against the options and the truth.

Judges no open-ended answer that differs from the truth: without a judge such an answer stays unscored.
"""

from __future__ import annotations

from typing import NamedTuple

from aotd.traces.answers import match_option, normalise, render
from aotd.traces.outcomes import Outcome
from aotd.traces.records import Question, Trace, Verdict

__all__ = ["Scored", "judged", "score"]


class Scored(NamedTuple):
    """An outcome, the rule that matched the answer (None if nothing did), and one line that says why."""

    outcome: Outcome
    rule: str | None
    detail: str
    open: bool = False
    """An open-ended answer that differs from the truth: a judge may compare them."""


def score(question: Question, trace: Trace, *, attempts: int = 1) -> Scored:
    """Score the answer of a trace.

    Parameters
    ----------
    question : Question
        Its `answer`, when known, is the truth; with options it is an option's text.
    trace : Trace
        A program that ran. A failure that it carries is its outcome, unparseable answers included.
    attempts : int
        Programs tried for the question; more than one makes a scored outcome "after repair".
    """
    if trace.failure is not None:
        return Scored(trace.failure.outcome, None, trace.failure.message)
    if trace.answer is None:
        return Scored(Outcome.NO_RETURN, None, "the program returned nothing")
    answer = render(trace.answer).strip()
    if not answer:
        return Scored(Outcome.ABSTAINED, None, "the program's answer is empty")
    if question.options is None:
        return _open_ended(question, answer, repaired=attempts > 1)
    parsed = match_option(answer, question.options)
    if parsed.index is None:
        return Scored(Outcome.NOT_AN_OPTION, parsed.rule, f'answered "{answer}", which is no one option')
    if question.answer is None:
        return Scored(Outcome.ANSWERED_UNSCORED, parsed.rule, "no truth is given")
    chosen = question.options[parsed.index]
    if not any(_same(option, question.answer) for option in question.options):
        return Scored(Outcome.ANSWERED_UNSCORED, parsed.rule, f'the truth "{question.answer}" is no option')
    detail = f'answered "{chosen}", the truth is "{question.answer}"'
    return Scored(_outcome(repaired=attempts > 1, right=_same(chosen, question.answer)), parsed.rule, detail)


def _open_ended(question: Question, answer: str, *, repaired: bool) -> Scored:
    if question.answer is None:
        return Scored(Outcome.ANSWERED_UNSCORED, None, "no truth is given")
    detail = f'answered "{answer}", the truth is "{question.answer}"'
    if normalise(answer) == normalise(question.answer):
        return Scored(_outcome(repaired=repaired, right=True), "text-equal", detail)
    return Scored(Outcome.ANSWERED_UNSCORED, None, f"{detail}; not judged", open=True)


def judged(scored: Scored, verdict: Verdict | None, *, attempts: int = 1) -> Scored:
    """Settle an open answer by a judge's verdict; without one it stays unscored."""
    if verdict is None:
        return scored._replace(detail=f"{scored.detail}: the judge said neither yes nor no")
    outcome = _outcome(repaired=attempts > 1, right=verdict.passed)
    return Scored(outcome, "judge", f"{scored.detail.removesuffix('; not judged')}; judged")


def _same(option: str, truth: str) -> bool:
    return option.strip() == truth.strip()


def _outcome(*, right: bool, repaired: bool) -> Outcome:
    if right:
        return Outcome.RIGHT_AFTER_REPAIR if repaired else Outcome.RIGHT
    return Outcome.WRONG_AFTER_REPAIR if repaired else Outcome.WRONG
