"""A plain program for any question: find the part that it speaks of, look, answer.

A clause with after, before, while or when names the part; "how many" is counted, "is there" looked up, and
everything else asked of the clip. Words of the question enter the program only as quoted literals. This is
no understanding of language: what the clauses do not show is left to the tools, who get the whole question.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

__all__ = ["general_program"]

_CLAUSE_FIRST: Final = re.compile(r"(after|before|while|when)\s+([^,]+),\s*(.+)", re.IGNORECASE)
_CLAUSE_LAST: Final = re.compile(r"(.+?)\s+(after|before|while|when)\s+(.+)", re.IGNORECASE)
_HOW_MANY: Final = re.compile(
    r"how many (?!times\b)(.+?)"
    r"(?:\s+(?:are|can|could|did|do|does|had|has|have|in|is|of|on|there|was|were)\b.*)?",
    re.IGNORECASE,
)
_IS_THERE: Final = re.compile(
    r"(?:are|is|was|were) there (?:an?\s|any\s|some\s|the\s)?\s*(.+?)(?:\s+in the (?:clip|scene|video))?",
    re.IGNORECASE,
)


class _Clause(NamedTuple):
    """A condition in time."""

    word: str
    event: str


def general_program(text: str, *, options: bool) -> str:
    """Write a program for a question of any wording; `options` tells whether it is multiple choice."""
    question, clause = _split(" ".join(text.split()).rstrip("? "))
    part = "part" if clause else "video_clip"
    label, query = _query(question, part, options=options)
    lines = _localise(clause)
    looks_only = query.startswith("Video_query")
    if options or not looks_only:
        # An event that is never seen ends the program here: nothing else may be counted instead.
        lines += [f'info = {{"summary": Video_summary({part}, query)}}']
    if options:
        lines += [f"info[{label!r}] = {query}", "answer = select_answer(query, info, possible_answers)"]
    else:
        lines += [f"answer = {query}"]
    body = "".join(f"    {line}\n" for line in (*lines, "return answer"))
    return f"def execute_command(video_clip, query, possible_answers):\n{body}"


def _split(question: str) -> tuple[str, _Clause | None]:
    """Part a question from its clause in time."""
    first = _CLAUSE_FIRST.fullmatch(question)
    if first:
        return first[3], _Clause(first[1].lower(), first[2])
    last = _CLAUSE_LAST.fullmatch(question)
    if last:
        return last[1], _Clause(last[2].lower(), last[3])
    return question, None


def _localise(clause: _Clause | None) -> list[str]:
    """Cut the part that a clause speaks of; an event at the clip's edge leaves nothing else and is kept."""
    if clause is None:
        return []
    find = f"Filter_frames_with_act(video_clip, {clause.event!r})"
    if clause.word in ("while", "when"):
        return [f"part = {find}"]
    edge, other = ("start=event.end", "start=event.start")
    if clause.word == "before":
        edge, other = ("end=event.start", "end=event.end")
    return [
        f"event = {find}",
        f"part = trim(video_clip, {edge})",
        "if part.num_frames == 0:",
        f"    part = trim(video_clip, {other})",
    ]


def _query(question: str, part: str, *, options: bool) -> tuple[str, str]:
    """Choose the call that answers a question without its clause, and a label for what it gives."""
    counted = _HOW_MANY.fullmatch(question)
    if counted:
        return f"number of {counted[1]}", f"Count({part}, {counted[1]!r})"
    there = _IS_THERE.fullmatch(question)
    if there:
        return f"there is {there[1]}", f"exist({part}, {there[1]!r})"
    given = ", possible_answers" if options else ""
    return "answer seen", f"Video_query({part}, query{given})"
