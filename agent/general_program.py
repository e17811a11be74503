"""A program for a question of any wording: find the part that it speaks of, look there, answer.

`aotd.agent.question_forms` reads the question. The part is cut by its clause of time, by the section of the
video that it names, and for why and how by the act itself; then the subject is looked at, and the form
decides who answers. Words of the question enter a program only as quoted literals of bounded length; what
they do not show is left to the tools, who get the whole question.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from aotd.agent.question_forms import Asked, Form, Section, read_question, singular

__all__ = ["general_program"]

_TEXT: Final = 2000
"""Characters that a function takes in one text."""

_WORDS: Final = 200
"""Characters of the question in one literal."""

_CUTS: Final[Mapping[Section, str]] = MappingProxyType(
    {"start": "end=11", "middle": "start=8, end=24", "end": "start=21"}
)
"""Grid ids of the first third, the middle half and the last third of a clip's 32 positions."""


class _Part(NamedTuple):
    """The part of the video that a question speaks of."""

    name: str
    """The program's variable."""
    lines: tuple[str, ...] = ()
    """What cuts it."""
    label: str = "the video"
    may_be_empty: bool = False


def general_program(text: str, *, options: bool) -> str:
    """Write a program for a question of any wording; `options` tells whether it is multiple choice."""
    asked = read_question(text)
    part = _localise(asked)
    write = (_CHOOSING if options else _TELLING).get(asked.form, _choose if options else _tell)
    lines = [*part.lines, *write(asked, part)]
    if len(text) > _TEXT:
        lines.insert(0, f"query = query[:{_TEXT}]")
    body = "".join(f"    {line}\n" for line in (*lines, "return answer"))
    return f"def execute_command(video_clip, query, possible_answers):\n{body}"


def _quoted(words: str) -> str:
    """Quote words of the question, cut to a bounded length."""
    return repr(words[:_WORDS])


def _localise(asked: Asked) -> _Part:
    """Cut the part: by the section, then by the clause, or else by the act."""
    whole, label = "video_clip", "the video"
    lines: tuple[str, ...] = ()
    if asked.section:
        whole, label = "scene", f"the {asked.section} of the video"
        lines = (f"scene = trim(video_clip, {_CUTS[asked.section]})",)
    event = asked.clause.event if asked.clause else asked.act
    if not event:
        return _Part(whole, lines, label)
    find = f"Filter_frames_with_act({whole}, {_quoted(event)})"
    if asked.clause is None or asked.clause.relation == "during":
        return _Part("part", (*lines, f"part = {find}"), f"while {event}", may_be_empty=True)
    edge, other = ("start=event.end", "start=event.start")
    if asked.clause.relation == "before":
        edge, other = ("end=event.start", "end=event.end")
    cut = (
        f"event = {find}",
        f"part = trim(video_clip, {edge})",
        "if part.num_frames == 0:",
        f"    part = trim(video_clip, {other})",
    )
    return _Part("part", (*lines, *cut), f"{asked.clause.relation} {event}", may_be_empty=True)


def _evidence(asked: Asked, part: _Part) -> list[str]:
    """Describe the part, and its subject where it is seen."""
    lines = [f"info = {{{_quoted(part.label)}: Video_summary({part.name}, query)}}"]
    if asked.form == "cause" and part.name != "video_clip":
        lines += ['info["the whole video"] = Video_summary(video_clip, query)']
    if asked.subject and asked.form != "place":
        lines += [
            f"seen = Find({part.name}, {_quoted(singular(asked.subject))})",
            "if seen.num_frames > 0:",
            f"    info[{_quoted(f'the {asked.subject}')}] = Video_summary(seen, query)",
        ]
    return lines


_SELECT: Final = "answer = select_answer(query, info, possible_answers)"


def _choose(asked: Asked, part: _Part) -> list[str]:
    return [*_evidence(asked, part), _ask(part), _SELECT]


def _ask(part: _Part) -> str:
    return f'info["answer seen"] = Video_query({part.name}, query, possible_answers)'


def _choose_count(asked: Asked, part: _Part) -> list[str]:
    """Give the count in digits and in words; the video is asked too when nothing, or too much, is counted."""
    label = _quoted(f"number of {asked.thing}")
    lines = [
        f"info = {{{_quoted(part.label)}: Video_summary({part.name}, query)}}",
        f"count = Count({part.name}, {_quoted(singular(asked.thing))})",
        'names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]',
    ]
    told = f'info[{label}] = [f"{{count}}"] + names[count:count + 1]'
    if asked.narrowed:
        return [*lines, told, _ask(part), _SELECT]
    return [*lines, "if count > 0:", f"    {told}", "else:", f"    {_ask(part)}", _SELECT]


def _choose_presence(asked: Asked, part: _Part) -> list[str]:
    return [
        f"info = {{{_quoted(part.label)}: Video_summary({part.name}, query)}}",
        f"there = exist({part.name}, {_quoted(asked.thing)})",
        f'info[{_quoted(f"there is {asked.thing}")}] = "yes" if there else "no"',
        _SELECT,
    ]


def _tell(asked: Asked, part: _Part) -> list[str]:
    return [f"answer = Video_query({part.name}, query)"]


def _tell_count(asked: Asked, part: _Part) -> list[str]:
    if asked.narrowed:
        return _tell(asked, part)
    return [*_needed(part), f"answer = Count({part.name}, {_quoted(singular(asked.thing))})"]


def _tell_presence(asked: Asked, part: _Part) -> list[str]:
    return [*_needed(part), f"answer = exist({part.name}, {_quoted(asked.thing)})"]


def _needed(part: _Part) -> list[str]:
    """Look at a part before counting in it: an event that is never seen ends the program, it is no "0"."""
    if not part.may_be_empty:
        return []
    return [f"info = {{{_quoted(part.label)}: Video_summary({part.name}, query)}}"]


_Writer = Callable[[Asked, _Part], list[str]]

_CHOOSING: Final[Mapping[Form, _Writer]] = MappingProxyType(
    {"count": _choose_count, "presence": _choose_presence}
)
"""Writers for multiple choice; every other form is asked of the video and its evidence."""

_TELLING: Final[Mapping[Form, _Writer]] = MappingProxyType({"count": _tell_count, "presence": _tell_presence})
"""Writers for open-ended questions; every other form is asked of the video."""
