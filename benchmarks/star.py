"""STAR's annotation as questions: the release's JSON with its graphs and programs, or a table of questions.

Two layouts are read: the release's JSON (STAR_train, STAR_val and STAR_test, or any file written like
them; a single record will do) and the CSV that holds the questions alone. Everything is checked on the way
in, and the first fault stops the load with one line that names it. This file runs no program
(`aotd.benchmarks.executor` does) and looks for no video. Source: STAR (NeurIPS 2021).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Final, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from aotd.benchmarks.annotation import (
    AnnotationError,
    check_unique,
    json_records,
    parse_json,
    read_table,
    read_text,
)
from aotd.traces.records import Question
from aotd.traces.situations import ReleaseFrame, SituationGraph, parse_situations

__all__ = ["AnnotationError", "StarItem", "Step", "load_star"]

_ID: Final = re.compile(
    r"(?P<template>(?:[a-z]+_)?(?P<type>Interaction|Sequence|Prediction|Feasibility)_T\d+)_\w+", re.ASCII
)
_COLUMNS: Final = ("question_id", "video_name", "question", "answer_number")
_FPS_NAMES: Final = ("classes/video_fps.json", "video_fps.json")


class Step(NamedTuple):
    """One step of a symbolic program: what it pushes on the stack, then the function it applies."""

    function: str
    inputs: tuple[str, ...]


class StarItem(NamedTuple):
    """A question and what STAR gives to reason about it; None where the file holds no such thing."""

    question: Question
    graph: SituationGraph | None
    program: tuple[Step, ...] | None
    choice_programs: tuple[tuple[Step, ...], ...] | None
    """One program for each option, in the options' order; it follows the question's program."""


_Text = Annotated[str, Field(min_length=1)]
_Seconds = Annotated[FiniteFloat, Field(ge=0)]


class _Step(BaseModel):
    """A program step of the release."""

    model_config = ConfigDict(strict=True)
    function: _Text
    value_input: list[str]


class _Choice(BaseModel):
    """A choice of the release, with the end of its program."""

    model_config = ConfigDict(strict=True)
    choice: _Text
    choice_program: list[_Step] | None = None


class _Record(BaseModel):
    """A record of the release; the test split has neither answer, programs nor situations."""

    model_config = ConfigDict(strict=True)
    question_id: _Text
    question: _Text
    video_id: _Text
    start: _Seconds
    end: _Seconds
    choices: Annotated[list[_Choice], Field(min_length=2)]
    answer: str | None = None
    question_program: list[_Step] | None = None
    situations: dict[str, ReleaseFrame] | None = None
    clip: str | None = None


def load_star(path: Path, *, fps_file: Path | None = None) -> list[StarItem]:
    """Read a STAR annotation file.

    Parameters
    ----------
    path
        `.json` in the release's layout, or `.csv` with the columns question_id, video_name
        (`VIDEO_START_END`, seconds), question, answer_number and a0, a1, ...
    fps_file
        JSON that maps `ID.mp4` to the frames per second of the original videos. By default
        `classes/video_fps.json`, else `video_fps.json`, beside `path`; without either, or for a video that
        it does not list, `Question.fps` is None.

    Returns
    -------
    list of StarItem
        In the file's order. A question's type and template come from its id (`Sequence_T3_12`); an id of
        another form has neither. Ids that start with `pre_` keep it in their template, because the
        pre-release numbers its templates in another way.

    Raises
    ------
    AnnotationError
        If a file is missing, is not what its name says, or breaks the layout; if two records share an id;
        if an answer is none of the choices; or if a graph names an unknown id.
    """
    readers = {".json": _read_json, ".csv": _read_csv}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise AnnotationError(f"{path}: STAR's annotation must be a .json or .csv file, not {path.suffix!r}")
    text = read_text(path, "give the path of STAR's annotation, such as STAR_val.json")
    rates = _frame_rates(path, fps_file)
    items = []
    for where, row in reader(path, text):
        try:
            items.append(_item(row, rates))
        except ValidationError as error:
            raise AnnotationError(f"{path}: {where}: {_complaint(error)}") from None
        except ValueError as error:
            raise AnnotationError(f"{path}: {where}: {error}") from None
    check_unique(path, (item.question for item in items))
    return items


def _read_json(path: Path, text: str) -> Iterable[tuple[str, object]]:
    """Give each record of the release with the name that an error calls it by."""
    for number, row in enumerate(json_records(path, text), 1):
        name = row.get("question_id") if isinstance(row, dict) else None
        yield f"record {name or number}", row


def _read_csv(path: Path, text: str) -> Iterable[tuple[str, object]]:
    """Give each row of the question table in the release's layout."""
    table = read_table(path, text, (*_COLUMNS, "a0", "a1"), lambda row: row["question_id"])
    options = [c for c in table.columns if re.fullmatch(r"a\d+", c)]
    for where, row in table.rows:
        yield where, _release_row(f"{path}: {where}", row, [row[c] for c in options])


def _release_row(where: str, row: Mapping[str, str], options: list[str]) -> dict[str, object]:
    """Put one row of the question table into the release's layout."""
    name = re.fullmatch(r"(.+)_(\d+(?:\.\d+)?)_(\d+(?:\.\d+)?)", row["video_name"])
    if name is None:
        raise AnnotationError(f"{where}: video_name {row['video_name']!r} must be VIDEO_START_END (seconds)")
    number = row["answer_number"]
    if number and not (number.isdecimal() and int(number) < len(options)):
        raise AnnotationError(f"{where}: answer_number {number!r} must be 0 to {len(options) - 1}, or empty")
    answer = options[int(number)] if number else None
    if row.get("answer") and row["answer"] != answer:
        raise AnnotationError(f"{where}: answer {row['answer']!r} is not choice {number!r}, {answer!r}")
    return {
        "question_id": row["question_id"],
        "question": row["question"],
        "video_id": name[1],
        "start": float(name[2]),
        "end": float(name[3]),
        "choices": [{"choice": option} for option in options],
        "answer": answer,
    }


def _item(row: object, rates: Mapping[str, float]) -> StarItem:
    """Check one record and make its question, graph and programs. Raises ValueError."""
    record = _Record.model_validate(row)
    options = tuple(c.choice for c in record.choices)
    if record.end <= record.start:
        raise ValueError(f"end: {record.end} is not after start, {record.start}")
    if record.answer is not None and record.answer not in options:
        raise ValueError(f"answer: {record.answer!r} is none of the choices {list(options)}")
    name = _ID.fullmatch(record.question_id)
    question = Question(
        id=record.question_id,
        dataset="star",
        video_id=record.video_id,
        text=record.question,
        options=options,
        answer=record.answer,
        type=name and name["type"],
        template=name and name["template"],
        span=(record.start, record.end),
        fps=rates.get(record.video_id),
        clip_file=record.clip,
    )
    graph = None if record.situations is None else parse_situations(record.situations)
    return StarItem(question, graph, _program(record.question_program), _choice_programs(record.choices))


def _program(steps: list[_Step] | None) -> tuple[Step, ...] | None:
    """Make a program of the release's steps."""
    return None if steps is None else tuple(Step(s.function, tuple(s.value_input)) for s in steps)


def _choice_programs(choices: list[_Choice]) -> tuple[tuple[Step, ...], ...] | None:
    """Make the choices' programs: all or none of them. Raises ValueError."""
    programs = [_program(c.choice_program) for c in choices]
    found = tuple(p for p in programs if p is not None)
    if found and len(found) < len(programs):
        raise ValueError(f"choices.{programs.index(None)}.choice_program: missing, other choices have one")
    return found or None


def _complaint(error: ValidationError) -> str:
    """Put the first finding of a validation into one line: field, expectation, what was found."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    found = "" if first["type"] == "missing" else f", found {ascii(first['input'])[:60]}"
    return f"{field or 'the record'}: {first['msg']}{found}"


def _frame_rates(path: Path, fps_file: Path | None) -> dict[str, float]:
    """Give the frames per second by video id; none at all when no file tells."""
    beside = [path.parent / name for name in _FPS_NAMES]
    source = fps_file or next((p for p in beside if p.is_file()), None)
    if source is None:
        return {}
    table = parse_json(
        source, read_text(source, "give --fps a JSON file that maps ID.mp4 to frames per second")
    )
    if not isinstance(table, dict):
        raise AnnotationError(f"{source}: must map ID.mp4 to frames per second, not {type(table).__name__}")
    for video, fps in table.items():
        if isinstance(fps, bool) or not isinstance(fps, int | float) or not 0 < fps < float("inf"):
            raise AnnotationError(f"{source}: {video}: frames per second must be positive, found {fps!r}")
    return {video.removesuffix(".mp4"): float(fps) for video, fps in table.items()}
