"""Tables of a benchmark's result: Markdown for a page, and rows for a terminal.

Draws nothing (`aotd.benchmarks.bench_plots` does) and writes no file.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Final, NamedTuple

from aotd.benchmarks.star_bench import BenchResult, Published
from aotd.benchmarks.star_scores import FILLS, Score

__all__ = ["AMBIGUITIES", "Row", "markdown", "rows", "text"]

AMBIGUITIES: Final = (
    "The paper gives neither the number of units nor how they were drawn.",
    "It does not say whether the localiser saw the clip or the whole video (`bench.input`); where an event "
    "fills the clip, saying the whole clip is right: see the row and the count.",
    "It does not say whether ends of windows are inclusive; here they are half-open on the grid of 32.",
    "It names neither the objects that detectors were asked for nor what a miss counts (`bench.objects`; "
    "here a miss is 0).",
    "It does not say how the words of generative models become classes (`bench.match`).",
    "It does not say whether a language model chose the answer in the decomposition (`bench.selector`).",
    "Its sample is from STAR's train split, where its chains of thought come from as well.",
)
"""What the paper leaves open, with the choice made here."""


class Row(NamedTuple):
    """One system on one sub-task, as text."""

    subtask: str
    system: str
    n: str
    figure: str
    more: str


def rows(result: BenchResult) -> Iterator[Row]:
    """Give a row for each system, and the paper's figure under each sub-task."""
    for subtask, systems in result.subtasks.items():
        for system, score in systems.items():
            figure = f"{score.metric} {score.mean:.1f} [{score.low:.1f}, {score.high:.1f}]"
            yield Row(subtask, system, f"{score.n:,}", figure, _more(score))
        published = result.paper.get(subtask)
        if published is not None:
            yield _paper(subtask, published)


def _paper(subtask: str, published: Published) -> Row:
    main, *others = (f"{name} {value:.1f}" for name, value in published.figures.items())
    more = ", ".join([*others, "another sample, not comparable"])
    return Row(subtask, f"for reference: {published.system}", "", main, more)


def _more(score: Score) -> str:
    parts = [f"{name} {value:.1f}" for name, value in score.more.items()]
    if score.metric == "accuracy":
        parts += [f"{kind} {value:.1f} ({score.sizes[kind]})" for kind, value in score.by.items()]
    parts += [f"{name}: {count}" for name, count in score.counts.items() if count or name == FILLS]
    if score.against is not None:
        beside = score.against
        parts.append(
            f"{beside.change:+.1f} against {beside.system} (right alone {beside.only_this}, wrong alone "
            f"{beside.only_other}, McNemar p = {beside.p:.2g})"
        )
    return ", ".join(parts)


def text(result: BenchResult, width: int) -> str:
    """Lay the table out for a terminal: a line for each system, its other figures below."""
    lines: list[str] = []
    subtask = ""
    for row in rows(result):
        if row.subtask != subtask:
            subtask = row.subtask
            lines.append(f"{'' if not lines else chr(10)}{subtask}")
        units = f" ({row.n} units)" if row.n else ""
        lines.append(f"  {row.system}: {row.figure}{units}")
        lines += textwrap.wrap(
            row.more, max(40, width - 6), initial_indent=" " * 6, subsequent_indent=" " * 6
        )
    return "\n".join(lines)


def markdown(result: BenchResult) -> str:
    """Write the page: what was run, with which choices, the table, and how to read it."""
    switches = ", ".join(f"`bench.{name}={value}`" for name, value in result.switches.model_dump().items())
    models = ", ".join(f"{role} `{model}`" for role, model in result.models.items()) or "none"
    faults = ", ".join(f"{what}: {count}" for what, count in result.faults.items()) or "nothing"
    lines = [
        "# STAR tool benchmark",
        "",
        *(f"**{label}**\n" for label in result.labels),
        f"```sh\n{result.command}\n```",
        "",
        f"- Questions: {result.questions}, seed {result.seed}. Lacking: {faults}.",
        f"- Choices: {switches}.",
        f"- Models: {models}.",
        "- Figures are in per cent; intervals are 95 %, resampling videos.",
        "",
        "| sub-task | system | units | figure | more |",
        "|---|---|---|---|---|",
        *("| " + " | ".join(map(_cell, row)) + " |" for row in rows(result)),
        "",
        "What the paper (AoTD, CVPR 2025) leaves open, so that its rows stand for reference only:",
        "",
        *(f"{number}. {text}" for number, text in enumerate(AMBIGUITIES, 1)),
    ]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
