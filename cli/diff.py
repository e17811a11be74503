"""`aotd diff`: two runs of the same questions, or one question of both."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from aotd.benchmarks.run_diff import Compared, OtherQuestion, Parted, RunDiff, compare_runs, diff_row
from aotd.cli.beside import beside
from aotd.cli.errors import UsageError
from aotd.traces.alignment import align
from aotd.traces.call_text import flat
from aotd.traces.records import Example
from aotd.traces.runs import Run

__all__ = ["diff"]

MOST = 20
"""Questions that are told one by one."""


def diff(
    first: Annotated[Path, typer.Argument(metavar="RUN_A", help="Run folder")],
    second: Annotated[Path, typer.Argument(metavar="RUN_B", help="Run folder to compare with it")],
    question_id: Annotated[str | None, typer.Argument(help="One question; without it, all of both")] = None,
    out: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Also write what was found as JSON")
    ] = None,
) -> None:
    """Show where two runs part: which questions turned right or wrong, and at which call they first differ.

    With a question: both programs, the calls aligned, and the first difference.
    """
    runs = Run.open(first), Run.open(second)
    if question_id is not None:
        old, new = (run.example(question_id) for run in runs)
        Console().print(beside(old, new, flat(str(first)), flat(str(second))))
        found: dict[str, Any] = _aligned(old, new)
    else:
        try:
            compared = compare_runs(*(run.examples() for run in runs))
        except OtherQuestion as error:
            raise UsageError(str(error)) from None
        if not compared.both:
            raise UsageError(f"{first} and {second} have no question in common")
        Console().print(_view(compared))
        found = compared.model_dump(mode="json")
    if out is not None:
        _write(out, found)


def _write(out: Path, found: dict[str, Any]) -> None:
    try:
        out.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {out}: {error.strerror}") from None


def _aligned(old: Example, new: Example) -> dict[str, Any]:
    row = diff_row(old, new)
    pairs = align(old.trace, new.trace) if old.trace is not None and new.trace is not None else []
    return {
        "question_id": old.question.id,
        "outcomes": [old.outcome.value, new.outcome.value],
        "first_difference": None if row is None else row.model_dump(mode="json"),
        "calls": [
            {
                "change": pair.change,
                "before": None if pair.old is None else pair.old.canonical(),
                "after": None if pair.new is None else pair.new.canonical(),
            }
            for pair in pairs
        ],
    }


def _view(found: RunDiff) -> Group:
    parts: list[RenderableType] = [Text(_counted(found))]
    if found.all.questions:
        parts += [Text(), _types(found)]
    parts += _turned("Turned right", found.turned_right, "green")
    parts += _turned("Turned wrong", found.turned_wrong, "red")
    if found.functions:
        parts += [Text(), _functions(found)]
    return Group(*parts)


def _counted(found: RunDiff) -> str:
    told = (
        f"{found.both} question{'s' * (found.both != 1)} in both runs, {len(found.parted)} with a difference"
    )
    alone = [
        f"{len(ids)} only in the {name}"
        for ids, name in ((found.only_first, "first"), (found.only_second, "second"))
        if ids
    ]
    return "; ".join([told, *alone])


def _types(found: RunDiff) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("type")
    for name in ("questions", "right in first", "in second", "turned right", "turned wrong", "p"):
        table.add_column(name, justify="right")
    for name, compared in found.by_type.items():
        table.add_row(Text(flat(name)), *_figures(compared))
    table.add_section()
    table.add_row("all", *_figures(found.all))
    return table


def _figures(compared: Compared) -> Sequence[str]:
    counts = (
        compared.questions,
        compared.right_before,
        compared.right_after,
        compared.turned_right,
        compared.turned_wrong,
    )
    return *map(str, counts), f"{compared.p:.3g}"


def _turned(title: str, rows: Sequence[Parted], style: str) -> Iterator[RenderableType]:
    if not rows:
        return
    yield Text(f"\n{title}", style=f"bold {style}")
    for row in rows[:MOST]:
        programs = "" if row.same_program else ", other program"
        yield Text(f"  {flat(row.question_id, 100)}: {row.before}, then {row.after}; {row.where}{programs}")
        yield Text(f"    was  {row.was}\n    now  {row.now}", style="dim")
    if len(rows) > MOST:
        yield Text(f"  ... and {len(rows) - MOST} more (--json FILE has all)")


def _functions(found: RunDiff) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("first difference at")
    for name in ("questions", "of them turned"):
        table.add_column(name, justify="right")
    for function, count in found.functions.items():
        table.add_row(Text(flat(function)), str(count), str(found.functions_of_turned.get(function, 0)))
    return table
