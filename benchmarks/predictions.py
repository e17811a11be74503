"""Predictions of others, and of our runs, as one answer a question.

Read are JSON Lines and JSON in the layouts that papers publish: rows or entries that name the question and
give an option's index or the model's words. A question that is answered twice is an error. Reads no option
out of words (`aotd.benchmarks.extraction` does) and scores nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from pydantic import JsonValue

from aotd.benchmarks.annotation import AnnotationError, parse_json, read_text
from aotd.traces.answers import render
from aotd.traces.runs import Run

__all__ = ["Prediction", "load_predictions", "rows_by_question"]

_NAMES: Final = ("question_id", "qid", "id")
_INDICES: Final = ("pred_ans_idx", "prediction", "pred", "answer_idx", "pred_idx")
_WORDS: Final = ("output", "response", "raw", "text", "prediction", "pred", "answer", "video-llm-prediction")


class Prediction(NamedTuple):
    """What was answered to one question: an option, or words to read one from."""

    option: int | None
    words: str | None


def load_predictions(path: Path) -> dict[str, Prediction]:
    """Read predictions by question id.

    Parameters
    ----------
    path
        A file of JSON Lines or JSON, or the folder of a run of ours.

    Raises
    ------
    AnnotationError
        Naming the file, the place and what is wrong.
    """
    if path.is_dir():
        return _of_run(path)
    found: dict[str, Prediction] = {}
    for place, name, row in rows_by_question(path):
        if name in found:
            raise AnnotationError(f"{path}: question {name} is answered twice, the second time at {place}")
        found[name] = _prediction(path, place, row)
    if not found:
        raise AnnotationError(f"{path} holds no predictions")
    return found


def _of_run(folder: Path) -> dict[str, Prediction]:
    found = {}
    for name, example in Run.open(folder).examples().items():
        answer = example.trace.answer if example.trace else None
        found[name] = Prediction(None, None if answer is None else render(answer))
    return found


def rows_by_question(path: Path) -> Iterator[tuple[str, str, Mapping[str, JsonValue]]]:
    """Give `(place, question id, row)` of each row or entry of a file.

    Raises
    ------
    AnnotationError
        Naming the file, the place and what is wrong.
    """
    text = read_text(path, "give a file of predictions, or the folder of a run")
    if path.suffix == ".jsonl":
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                yield from _row(path, f"line {number}", _parsed_line(path, number, line))
        return
    data = parse_json(path, text)
    if isinstance(data, list):
        for number, row in enumerate(data, 1):
            yield from _row(path, f"entry {number}", row)
    elif isinstance(data, dict):
        for name, entry in data.items():
            row = entry if isinstance(entry, dict) else {"prediction": entry}
            yield f"entry {name}", str(name), row
    else:
        raise AnnotationError(f"{path} holds neither rows nor entries by question")


def _parsed_line(path: Path, number: int, line: str) -> object:
    try:
        return json.loads(line)
    except ValueError as error:
        raise AnnotationError(f"{path}, line {number} is not JSON: {error}") from None


def _row(path: Path, place: str, row: object) -> Iterator[tuple[str, str, Mapping[str, JsonValue]]]:
    if not isinstance(row, dict):
        raise AnnotationError(f"{path}, {place} is no object")
    name = next((row[key] for key in _NAMES if row.get(key) is not None), None)
    if name is None:
        raise AnnotationError(f"{path}, {place} names no question: give {', '.join(_NAMES)}")
    yield place, str(name), row


def _prediction(path: Path, place: str, row: Mapping[str, JsonValue]) -> Prediction:
    for key in _INDICES:
        value = row.get(key)
        if isinstance(value, int) and not isinstance(value, bool):
            return Prediction(value, None)
    for key in _WORDS:
        value = row.get(key)
        if isinstance(value, str):
            return Prediction(None, value)
    known = ", ".join(dict.fromkeys([*_INDICES, *_WORDS]))
    raise AnnotationError(f"{path}, {place} gives no prediction: one of {known}")
