"""NExT-QA's annotation as questions: the multiple-choice table, and the open-ended one of NExT-OE.

Which of the two a CSV file is, its header tells: with the columns a0 to a4 `answer` is an option's number
from 0, without them it is the answer's text. Questions concern whole videos, so they have neither span nor
frame rate. The videos are VidOR's: the published map leads from NExT-QA's ids to VidOR's folders. This file
looks for no video and scores nothing. Source: NExT-QA (CVPR 2021).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, Literal

from aotd.benchmarks.annotation import AnnotationError, check_unique, parse_json, read_table, read_text
from aotd.traces.records import Question

__all__ = ["TYPES", "group_of", "load_nextqa"]

TYPES: Final = ("CW", "CH", "TN", "TP", "TC", "DC", "DL", "DO", "DB")
"""Causal why and how; temporal next, previous and current; descriptive count, location, other and binary.
Binary questions are open-ended only."""

_COLUMNS: Final = ("video", "question", "answer", "qid", "type")
_MAP: Final = "map_vid_vidorID.json"


def group_of(kind: str) -> Literal["C", "T", "D"]:
    """Give the group that the benchmark reports a type under: causal, temporal or descriptive.

    Raises
    ------
    ValueError
        If it is none of `TYPES`.
    """
    if kind not in TYPES:
        raise ValueError(f"type {kind!r} must be one of {', '.join(TYPES)}")
    return "C" if kind[0] == "C" else "T" if kind[0] == "T" else "D"


def load_nextqa(path: Path, *, map_file: Path | None = None) -> list[Question]:
    """Read a table of NExT-QA or NExT-OE.

    Parameters
    ----------
    path
        CSV with the columns video, question, answer, qid, type, and a0, a1, ... if it is multiple choice;
        others, such as the video's size and a second reference answer, are not read.
    map_file
        JSON that maps a video's id to VidOR's `folder/id`. By default `map_vid_vidorID.json` beside `path`,
        if it is there. A mapped question's `clip_file` is `folder/id.mp4`, the whole video; the look-up
        falls back on `{video}.mp4`, and so it does for a video that the map does not list.

    Returns
    -------
    list of Question
        In the file's order. The id is `{video}_{qid}`, since a qid is unique in its video only; NExT-OE's
        training split gives three of them twice, to questions of different types, so a second one's id is
        `{video}_{qid}_{type}`. The type is the table's own; blanks around texts are dropped; equal options
        stay.

    Raises
    ------
    AnnotationError
        If a file is missing, is not what its name says, or breaks the layout, or if two rows share an id.
    """
    if path.suffix.lower() != ".csv":
        raise AnnotationError(f"{path}: NExT-QA's annotation must be a .csv file, not {path.suffix!r}")
    text = read_text(path, "give the path of NExT-QA's annotation, such as val.csv")
    table = read_table(path, text, _COLUMNS, _name)
    folders = _folders(path, map_file)
    columns = [c for c in table.columns if re.fullmatch(r"a\d+", c)]
    questions = []
    for where, fields in table.rows:
        row = {column: value.strip() for column, value in fields.items()}
        try:
            options = tuple(row[c] for c in columns) or None
            questions.append(_question(row, options, folders.get(row["video"])))
        except ValueError as error:
            raise AnnotationError(f"{path}: {where}: {error}") from None
    questions = _told_apart(questions)
    check_unique(path, questions)
    return questions


def _name(row: Mapping[str, str]) -> str:
    """Name a row by its question's id."""
    return f"{row['video']}_{row['qid']}"


def _question(row: Mapping[str, str], options: tuple[str, ...] | None, folder: str | None) -> Question:
    """Check one row and make its question. Raises ValueError."""
    empty = [column for column in ("video", "qid", "question") if not row[column]]
    if empty:
        raise ValueError(f"{empty[0]}: is empty")
    if options is not None and "" in options:
        raise ValueError(f"a{options.index('')}: is empty")
    group_of(row["type"])
    return Question(
        id=_name(row),
        dataset="nextqa",
        video_id=row["video"],
        text=row["question"],
        options=options,
        answer=_answer(row["answer"], options),
        type=row["type"],
        clip_file=None if folder is None else f"{folder}.mp4",
    )


def _told_apart(questions: Iterable[Question]) -> list[Question]:
    """Add its type to the id of a question whose id is taken."""
    taken: set[str] = set()
    apart = []
    for question in questions:
        second = question.id in taken
        taken.add(question.id)
        apart.append(
            question.model_copy(update={"id": f"{question.id}_{question.type}"}) if second else question
        )
    return apart


def _answer(given: str, options: tuple[str, ...] | None) -> str | None:
    """Give the answer's text, if there is an answer. Raises ValueError."""
    if not given or options is None:
        return given or None
    if not (given.isascii() and given.isdecimal() and int(given) < len(options)):
        raise ValueError(f"answer {given!r} must be an option's number, 0 to {len(options) - 1}, or empty")
    return options[int(given)]


def _folders(path: Path, map_file: Path | None) -> dict[str, str]:
    """Give VidOR's `folder/id` by video id; none at all when no file tells."""
    beside = path.parent / _MAP
    source = map_file or (beside if beside.is_file() else None)
    if source is None:
        return {}
    found = parse_json(source, read_text(source, f"give NExT-QA's {_MAP}"))
    if not isinstance(found, dict):
        raise AnnotationError(
            f"{source}: must map video ids to VidOR's folder/id, not {type(found).__name__}"
        )
    for video, folder in found.items():
        if not isinstance(folder, str) or not folder:
            raise AnnotationError(f"{source}: {video}: must be a text such as 1164/3238737531")
    return found
