"""Annotation files as text, JSON or a table, with every fault told in one line that names its place.

Knows no data set: `aotd.benchmarks.star` and `aotd.benchmarks.nextqa` say what the files must hold.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from aotd.traces.records import Question

__all__ = [
    "AnnotationError",
    "Row",
    "Table",
    "check_unique",
    "json_records",
    "parse_json",
    "read_table",
    "read_text",
]


class AnnotationError(ValueError):
    """An annotation file that cannot be used; the message is one line and names the fault."""


class Row(NamedTuple):
    """A row of a table: what an error calls it by, and a text for every column."""

    where: str
    fields: Mapping[str, str]


class Table(NamedTuple):
    """A CSV file with a header."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def read_text(path: Path, mend: str) -> str:
    """Read a text file whole; `mend` says what to give when there is none.

    Raises
    ------
    AnnotationError
        If it is missing, cannot be read or is not UTF-8.
    """
    if not path.is_file():
        raise AnnotationError(f"{path}: no such file; {mend}")
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise AnnotationError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise AnnotationError(f"{path}: not UTF-8 text") from None


def parse_json(path: Path, text: str) -> object:
    """Parse the text of a JSON file; AnnotationError if it is none."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise AnnotationError(f"{path}: not JSON ({error})") from None


def json_records(path: Path, text: str) -> Iterator[object]:
    """Give the records of a JSON list one by one, so that only one is held; a lone object is one record.

    Raises
    ------
    AnnotationError
        If it is not JSON, or neither a list nor an object.
    """
    decoder = json.JSONDecoder()
    here = _past_space(text, 0)
    if text[here : here + 1] != "[":
        whole = parse_json(path, text)
        if not isinstance(whole, dict):
            raise AnnotationError(f"{path}: must hold a list of records, not {type(whole).__name__}")
        yield whole
        return
    here = _past_space(text, here + 1)
    while text[here : here + 1] != "]":
        try:
            record, here = decoder.raw_decode(text, here)
        except json.JSONDecodeError as error:
            raise AnnotationError(f"{path}: not JSON ({error})") from None
        yield record
        here = _past_space(text, here)
        if text[here : here + 1] == ",":
            here = _past_space(text, here + 1)
        elif text[here : here + 1] != "]":
            parse_json(path, text)  # which says where it breaks off
    if _past_space(text, here + 1) != len(text) or text[:here].rstrip().endswith(","):
        parse_json(path, text)


def _past_space(text: str, here: int) -> int:
    while here < len(text) and text[here] in " \t\n\r":
        here += 1
    return here


def read_table(
    path: Path, text: str, required: Sequence[str], name: Callable[[Mapping[str, str]], str]
) -> Table:
    """Read the text of a CSV file with a header.

    Parameters
    ----------
    path
        What errors call the file.
    text
        Its text.
    required
        Columns that it must have.
    name
        Gives a row's id; an empty one is replaced by the row's number.

    Raises
    ------
    AnnotationError
        If it is not CSV, lacks a required column, or a row has more or fewer fields than the header.
    """
    table = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    rows = []
    try:
        columns = tuple(table.fieldnames or ())
        missing = [c for c in required if c not in columns]
        if missing:
            raise AnnotationError(f"{path}: no column {', '.join(missing)}; it has {', '.join(columns)}")
        for number, fields in enumerate(table, 1):
            where = f"record {name(fields) or number}"
            if None in fields or None in fields.values():
                raise AnnotationError(f"{path}: {where}: row {number} must have {len(columns)} fields")
            rows.append(Row(where, fields))
    except csv.Error as error:
        raise AnnotationError(f"{path}: line {table.line_num}: not CSV ({error})") from None
    return Table(columns, tuple(rows))


def check_unique(path: Path, questions: Iterable[Question]) -> None:
    """Refuse an id that two records share, naming both."""
    seen: dict[str, int] = {}
    for number, question in enumerate(questions, 1):
        first = seen.setdefault(question.id, number)
        if first != number:
            raise AnnotationError(
                f"{path}: record {question.id}: duplicate id, at records {first} and {number}"
            )
