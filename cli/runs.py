"""Looking at a run folder: `show`, `report`, `export`."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from json import dumps
from pathlib import Path
from typing import Annotated, Final, cast

import typer
from rich.console import Console

from aotd.benchmarks.bound import BoundReport, beside_the_bound
from aotd.benchmarks.star import load_star
from aotd.cli.errors import UsageError
from aotd.cli.settings import check_config
from aotd.cli.viewers import Viewer, write_for_viewer
from aotd.cli.views import bound_table, example_view, report_table
from aotd.traces.export import ExportError, FormatName, remarks
from aotd.traces.export import export as write_export
from aotd.traces.export_hub import PyarrowMissing
from aotd.traces.export_llama import InfoError
from aotd.traces.records import Example
from aotd.traces.report import report as count
from aotd.traces.runs import Run
from aotd.traces.text import paper_text

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder")]


class Format(StrEnum):
    """File formats of `aotd export`."""

    CANONICAL = "canonical"
    AOTD = "aotd"
    MESSAGES = "messages"
    MS_SWIFT = "ms-swift"
    LLAMA_FACTORY = "llama-factory"
    PARQUET = "parquet"
    RERUN = "rerun"
    INSPECT = "inspect"


VIEWERS: Final[dict[Format, Viewer]] = {Format.RERUN: "rerun", Format.INSPECT: "inspect"}
"""Formats for looking, not for training."""


def show(
    folder: RunFolder,
    question_id: Annotated[str, typer.Argument(help="Question to show")],
    text: Annotated[bool, typer.Option("--text", help="Print the trace in the paper's text form")] = False,
) -> None:
    """Show one question: program with per-line status, calls, answer, chain of thought, verdicts."""
    example = Run.open(folder).example(question_id)
    if not text:
        Console().print(example_view(example))
    elif example.trace is None:
        raise UsageError(f"{question_id} has no trace: it ended as {example.outcome}")
    else:
        print(paper_text(example.question, example.trace))


def report(
    folder: RunFolder,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables")] = False,
    bound: Annotated[bool, typer.Option("--bound", help="Run STAR's own programs beside ours")] = False,
) -> None:
    """Count outcomes, accuracy, the funnel of kept chains of thought, and calls."""
    run = Run.open(folder)
    examples = run.examples()
    counted = count(examples.values())
    beside = _bound(run, examples) if bound else None
    if json:
        told = counted.model_dump(mode="json")
        if beside is not None:
            told["bound"] = beside.model_dump(mode="json")
        print(dumps(told, indent=2))
        return
    Console().print(report_table(counted))
    if beside is not None:
        Console().print(bound_table(beside))


def _bound(run: Run, examples: Mapping[str, Example]) -> BoundReport:
    source = check_config(dict(run.config)).source
    try:
        items = load_star(Path(source.annotations))
        return beside_the_bound(items, examples)
    except ValueError as error:
        raise UsageError(f"no bound: {error}") from None


def export(
    folder: RunFolder,
    out: Annotated[Path, typer.Option(help="File to write; a new folder for parquet")],
    format: Annotated[  # noqa: A002
        Format,
        typer.Option(
            help="canonical: all of each example; parquet: that for the Hub; rerun, inspect: for viewers; "
            "else for trainers"
        ),
    ],
    absolute: Annotated[bool, typer.Option("--absolute", help="Write absolute paths of videos")] = False,
    video_dir: Annotated[
        Path | None, typer.Option(help="Folder of videos for --absolute; by default the run's own")
    ] = None,
    loss_weight: Annotated[
        float | None, typer.Option(help="Weight of a rationale's loss where a label's is 1")
    ] = None,
    question: Annotated[
        str | None, typer.Option(metavar="ID", help="Write this question alone; for rerun and inspect")
    ] = None,
) -> None:
    """Write a run's examples in a training or exchange format (docs/exports.md), or for a viewer."""
    run = Run.open(folder)
    viewer = VIEWERS.get(format)
    if viewer is not None:
        for line in write_for_viewer(run, viewer, out, question, video_dir):
            print(line)
        return
    name = cast("FormatName", format.value)
    if question is not None:
        raise UsageError("--question is for the viewers' formats, rerun and inspect")
    videos = _video_folder(run, video_dir) if absolute else None
    if video_dir is not None and not absolute:
        raise UsageError("--video-dir is for --absolute: give both or neither")
    examples = run.examples().values()
    try:
        rows = write_export(examples, name, out, videos=videos, loss_weight=loss_weight)
    except (ExportError, InfoError, PyarrowMissing, FileExistsError) as error:
        raise UsageError(str(error)) from None
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror}") from None
    print(f"{rows} rows written to {out}")
    for remark in remarks(examples, name, loss_weight):
        print(f"note: {remark}")


def _video_folder(run: Run, given: Path | None) -> Path:
    if given is not None:
        return given
    known = check_config(dict(run.config)).source.videos
    if known is None:
        raise UsageError("the run opened no videos: give --absolute a --video-dir DIR")
    return Path(known)
