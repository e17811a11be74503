"""Exports of examples: which rows a format has, and files that are whole or not there.

Rows are pure views of an `Example`, sorted by question id; times, cache hits and hosts are left out, so equal
runs export equal files. The formats themselves are in `export_canonical`, `export_chat` and `export_hub`.
This file reads no run and no video.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal, TextIO

from aotd.traces.export_canonical import canonical_row
from aotd.traces.export_chat import aotd_row, llama_row, messages_row, swift_row
from aotd.traces.export_hub import write_hub
from aotd.traces.export_llama import dataset_info, with_entry
from aotd.traces.export_samples import AOTD_SUFFIXES, Sample, Suffixes, samples
from aotd.traces.records import Example

__all__ = [
    "AOTD_SUFFIXES",
    "ExportError",
    "FormatName",
    "Suffixes",
    "aotd_rows",
    "canonical_row",
    "export",
    "remarks",
]

FormatName = Literal["canonical", "aotd", "messages", "ms-swift", "llama-factory", "parquet"]
Row = dict[str, Any]

_WEIGHTED: Final = frozenset({"messages", "ms-swift", "parquet"})
"""Formats with a place for the weight of a sample's loss."""
_SPANLESS: Final = frozenset({"aotd", "ms-swift", "llama-factory"})
"""Formats that cannot say which part of a video is asked about."""


class ExportError(ValueError):
    """Options that do not fit the format, told in one line."""


def export(
    examples: Iterable[Example],
    fmt: FormatName,
    out: Path,
    *,
    videos: Path | None = None,
    loss_weight: float | None = None,
) -> int:
    """Write the rows of all examples to `out`, whole or not at all.

    Parameters
    ----------
    fmt
        `canonical` and `parquet` hold everything (the latter training samples as well), the others training
        samples only. `parquet` makes a folder; `llama-factory` also describes the file in
        `dataset_info.json` beside it.
    videos
        Folder of videos: paths become absolute ones under it. By default they are relative.
    loss_weight
        Weight of a rationale's loss where a label's is 1: the paper's lambda, which is 1 by default.

    Returns
    -------
    int
        Number of rows written.

    Raises
    ------
    ExportError
        If an option does not fit the format.
    InfoError
        If an existing `dataset_info.json` cannot take the entry.
    PyarrowMissing
        If `parquet` is asked for without pyarrow.
    OSError
        If the file cannot be written; an older file at `out` then stays as it was.
    """
    _check_options(fmt, out, videos, loss_weight)
    ordered = sorted(examples, key=lambda example: example.question.id)
    if fmt == "parquet":
        return write_hub(ordered, out, 1.0 if loss_weight is None else loss_weight)
    described = with_entry(out) if fmt == "llama-factory" else None
    rows = (row for example in ordered for row in _rows(example, fmt, videos, loss_weight))
    with _whole(out) as file:
        count = _write(file, rows, array=out.suffix == ".json" and fmt == "llama-factory")
    if described is not None:
        with _whole(dataset_info(out)) as file:
            file.write(described)
    return count


def aotd_rows(example: Example, suffixes: Suffixes = AOTD_SUFFIXES) -> list[Row]:
    """Return AoTD's training records of an example: one for its label, one for its chain of thought.

    See `aotd.traces.export_samples.samples` for which of them it has.
    """
    return [aotd_row(sample) for sample in samples(example, suffixes)]


def remarks(examples: Iterable[Example], fmt: FormatName, loss_weight: float | None = None) -> list[str]:
    """Say what a reader of the exported rows must know and cannot see, in one line each."""
    if fmt == "canonical":
        return []
    told = [sample for example in examples for sample in samples(example)]
    marked = sum(sample.marks > 0 for sample in told)
    parts = sum(sample.span is not None for sample in told)
    said = []
    if marked:
        said.append(f"{marked} samples held marks such as <video> in their texts; they are written [video]")
    if parts and fmt in _SPANLESS:
        said.append(
            f"{parts} samples ask about a part of their video, which {fmt} cannot say: "
            "cut the videos to their spans, or training shows the whole files"
        )
    if fmt == "ms-swift" and loss_weight not in (None, 0, 1):
        said.append("train with --is_binary_loss_scale false, or ms-swift ignores the weights")
    return said


def _check_options(fmt: FormatName, out: Path, videos: Path | None, loss_weight: float | None) -> None:
    if videos is not None and fmt in ("canonical", "parquet"):
        raise ExportError(f"{fmt} keeps the paths of videos relative: leave out --absolute")
    if loss_weight is not None and fmt not in _WEIGHTED:
        known = ", ".join(sorted(_WEIGHTED))
        raise ExportError(f"{fmt} has no place for --loss-weight; these have: {known}")
    if loss_weight is not None and not (math.isfinite(loss_weight) and loss_weight >= 0):
        raise ExportError(f"--loss-weight {loss_weight}: give a number from 0")
    if fmt == "llama-factory" and out.suffix not in (".json", ".jsonl"):
        raise ExportError(f"{out}: LLaMA-Factory knows files by their ending, give .jsonl or .json")
    if fmt == "llama-factory" and out == dataset_info(out):
        raise ExportError(f"{out} is where LLaMA-Factory describes its data: give --out another name")


def _rows(example: Example, fmt: FormatName, videos: Path | None, loss_weight: float | None) -> Iterator[Row]:
    if fmt == "canonical":
        yield canonical_row(example)
        return
    for sample in samples(example):
        yield _row(sample if videos is None else _placed(sample, videos), fmt, loss_weight)


def _row(sample: Sample, fmt: FormatName, loss_weight: float | None) -> Row:
    weight = None if loss_weight is None else loss_weight if sample.kind == "rationale" else 1.0
    match fmt:
        case "aotd":
            return aotd_row(sample)
        case "messages":
            return messages_row(sample, 1.0 if weight is None else weight)
        case "ms-swift":
            return swift_row(sample, weight)
        case "llama-factory":
            return llama_row(sample)
        case _:
            raise ExportError(f"{fmt} has no rows of training samples")


def _placed(sample: Sample, videos: Path) -> Sample:
    return sample._replace(video=str(videos.absolute() / sample.video))


def _write(file: TextIO, rows: Iterable[Row], *, array: bool) -> int:
    """Write one row per line, as JSONL or as the lines of one JSON array."""
    count = 0
    for count, row in enumerate(rows, start=1):
        lead = "" if not array else "[\n" if count == 1 else ",\n"
        file.write(lead + json.dumps(row, ensure_ascii=False, allow_nan=False) + ("" if array else "\n"))
    if array:
        file.write("\n]\n" if count else "[]\n")
    return count


@contextmanager
def _whole(out: Path) -> Iterator[TextIO]:
    """Open a file that takes the place of `out` when it is done, and leaves no trace when it fails."""
    draft = out.with_name(f".{out.name}.part")
    try:
        with draft.open("w", encoding="utf-8", newline="\n") as file:
            yield file
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)
