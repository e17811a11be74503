"""QVHighlights: true and retrieved moments of queries, in the layout of its evaluator.

One JSON row a line; `relevant_windows` in the annotation, `pred_relevant_windows` (start, end, score; best
first) in predictions, in seconds. Scores nothing. Source: Lei et al., NeurIPS 2021.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, FiniteFloat, ValidationError

from aotd.benchmarks.annotation import AnnotationError, read_text
from aotd.benchmarks.moments import Query

__all__ = ["load_moments"]


Row = TypeVar("Row", bound=BaseModel)


class _True(BaseModel):
    model_config = ConfigDict(frozen=True)
    qid: int | str
    relevant_windows: tuple[tuple[FiniteFloat, FiniteFloat], ...]


class _Found(BaseModel):
    model_config = ConfigDict(frozen=True)
    qid: int | str
    pred_relevant_windows: tuple[tuple[FiniteFloat, FiniteFloat, FiniteFloat], ...]


def load_moments(annotations: Path, predictions: Path) -> tuple[list[Query], int]:
    """Read queries with their true and retrieved windows.

    Returns
    -------
    list of Query, int
        In the annotation's order; and how many queries have no prediction, which find nothing.

    Raises
    ------
    AnnotationError
        Naming the file and the line.
    """
    found: dict[str, tuple[tuple[float, float], ...]] = {}
    for number, line in _lines(predictions):
        row = _read(predictions, number, line, _Found)
        if str(row.qid) in found:
            raise AnnotationError(f"{predictions}, line {number}: query {row.qid} is answered twice")
        best = sorted(row.pred_relevant_windows, key=lambda window: -window[2])
        found[str(row.qid)] = tuple((start, end) for start, end, _ in best)
    queries, missing = [], 0
    for number, line in _lines(annotations):
        true = _read(annotations, number, line, _True)
        missing += str(true.qid) not in found
        queries.append(Query(true.relevant_windows, found.get(str(true.qid), ())))
    return queries, missing


def _lines(path: Path) -> list[tuple[int, str]]:
    text = read_text(path, "give QVHighlights rows, one JSON object a line")
    return [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]


def _read(path: Path, number: int, line: str, kind: type[Row]) -> Row:
    try:
        return kind.model_validate(json.loads(line))
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise AnnotationError(f"{path}, line {number}: {where}: {error.errors()[0]['msg']}") from None
    except ValueError as error:
        raise AnnotationError(f"{path}, line {number} is not JSON: {error}") from None
