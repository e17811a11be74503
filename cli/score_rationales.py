"""`aotd score rationales`: what rationales say of when and where, held against STAR's situation graphs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple, get_args

from pydantic import JsonValue
from rich.console import Console
from rich.table import Table

from aotd.agent.pipeline import Item
from aotd.agent.prepare import Fault
from aotd.benchmarks.draw import draw
from aotd.benchmarks.rationale_text import Origin
from aotd.benchmarks.rationales import (
    PAPER,
    Estimate,
    Measure,
    RationaleReport,
    Which,
    load_rationales,
    score_rationales,
    setting_of,
)
from aotd.cli.errors import UsageError
from aotd.cli.questions import load_questions
from aotd.tools.library import Library

__all__ = ["RationaleOptions", "rationales"]

MEASURES: Final = {"temporal IoU": "temporal_iou", "recall": "recall", "spatial IoU": "spatial_iou"}


class RationaleOptions(NamedTuple):
    """What the paper leaves open, and what a sample is."""

    origin: str
    window: str
    videos: Path | None
    fps: Path | None
    n: int | None
    seed: int


def rationales(annotations: Path, predictions: Path, options: RationaleOptions) -> dict[str, JsonValue]:
    """Score a file of rationales, print the table, and give the result.

    Raises
    ------
    AnnotationError, ValueError
        In one line.
    """
    origin = next((known for known in get_args(Origin) if known == options.origin), None)
    which = next((known for known in get_args(Which) if known == options.window), None)
    if origin is None or which is None:
        told = f"--origin {options.origin}" if origin is None else f"--window {options.window}"
        known = get_args(Origin) if origin is None else get_args(Which)
        raise UsageError(f"{told} is unknown: known are {', '.join(known)}")
    if options.videos is not None and not options.videos.is_dir():
        raise UsageError(f"video folder {options.videos} does not exist: give --videos an existing folder")
    texts = load_rationales(predictions)
    items = _asked(annotations, texts, options)
    library = Library(options.videos, annotations.parent) if options.videos else None
    made = [setting_of(item, library) for item in items]
    settings = [setting for setting in made if not isinstance(setting, Fault)]
    if not settings:
        fault = next(setting for setting in made if isinstance(setting, Fault))
        raise UsageError(f"none of {len(made)} questions can be scored; the first: {fault.detail}")
    report = score_rationales(settings, texts, origin=origin, window=which)
    unknown = len(texts.keys() - {item.question.id for item in items}) if options.n is None else 0
    faults = len(made) - len(settings)
    _show(report, unknown, faults)
    plain: dict[str, JsonValue] = json.loads(report.model_dump_json())
    return {
        "dataset": "rationales",
        "n": options.n,
        "seed": options.seed,
        "unknown": unknown,
        "without_video": faults,
        **plain,
        "question_ids": [setting.question.id for setting in settings],
    }


def _asked(annotations: Path, texts: dict[str, str | None], options: RationaleOptions) -> list[Item]:
    """Take the drawn questions, or those that have a row."""
    items = load_questions("star", annotations, options.fps, None)
    if options.n is not None:
        items = draw(items, options.n, options.seed, lambda item: item.question.type)
    else:
        items = [item for item in items if item.question.id in texts]
    if not items:
        raise UsageError(f"no row is about a question of {annotations}: the ids must be the same")
    lacking = next((item.question.id for item in items if item.graph is None), None)
    if lacking is not None:
        raise UsageError(
            f"{annotations}: {lacking} has no situation graph: rationales are scored against STAR's release "
            "JSON (train or val)"
        )
    return items


def _show(report: RationaleReport, unknown: int, faults: int) -> None:
    table = Table("", "coverage", "mean of covered", "with 0 for others", "by item", box=None)
    for name, field in MEASURES.items():
        measure: Measure = getattr(report, field)
        cells = [_interval(measure.covered), _interval(measure.zero_filled)]
        items = "-" if measure.items is None else f"{measure.items:.1f}"
        table.add_row(name, f"{measure.coverage:.1f} % ({measure.valid})", *cells, items)
    Console().print(table)
    for name, figures in report.trivial.items():
        print(f"{name}, on the same items: {_figures(figures)}")
    for name, published in PAPER.items():
        print(f"for reference, {name} (AoTD Table 7, another sample): {_figures(published)}")
    if report.other_origin is not None:
        other = "bottom" if report.origin == "top" else "top"
        print(f"spatial IoU if y counted from the {other}: {report.other_origin:.1f}")
    print(f"questions: {report.temporal_iou.questions:,}, with a rationale {report.rationales:,}")
    for what, count in report.counts.items():
        print(f"  {what}: {count:,}")
    if unknown:
        print(f"{unknown:,} rows are about questions that were not asked")
    if faults:
        print(f"{faults:,} questions are left out: no video or frame rate to place key frames by")


def _interval(found: Estimate | None) -> str:
    return "-" if found is None else f"{found.mean:.1f} [{found.low:.1f}, {found.high:.1f}]"


def _figures(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.1f}" for name, value in figures.items())
