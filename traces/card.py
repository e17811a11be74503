"""The dataset card of an export: where it comes from, what was counted, what it was made with, its limits.

The words are in `dataset_card.j2` beside this file. Names from runs and data sets are untrusted and are made
harmless for Markdown tables. This file counts nothing that `aotd.traces.report` does not, but samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from typing import Final

from jinja2 import Environment, StrictUndefined, Template

from aotd.traces.export_samples import samples
from aotd.traces.records import Example
from aotd.traces.report import report

__all__ = ["dataset_card"]

_SIZES: Final = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"))
"""The Hub's names for sizes, by the first number of rows that is too many."""


def dataset_card(examples: Sequence[Example]) -> str:
    """Write the card of a data set made of these examples."""
    told = [sample for example in examples for sample in samples(example)]
    labels = sum(sample.kind == "label" for sample in told)
    return _template().render(
        datasets=sorted({example.question.dataset for example in examples}),
        report=report(examples),
        labels=labels,
        rationales=len(told) - labels,
        future_kept=sum(sample.future_visible for sample in told),
        marks=sum(sample.marks > 0 for sample in told),
        parts=sum(sample.span is not None for sample in told),
        size=next((name for most, name in _SIZES if len(told) < most), "100K<n<1M"),
        models=_pairs(example.provenance.models for example in examples),
        prompts=_pairs(example.provenance.prompts for example in examples),
        configurations=sorted({example.provenance.run for example in examples}),
    )


def _pairs(tables: Iterable[dict[str, str]]) -> list[tuple[str, str]]:
    """Collect what was used as what; runs that were put together may differ."""
    return sorted({pair for table in tables for pair in table.items()})


@cache
def _template() -> Template:
    environment = Environment(
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701  Markdown; `cell` makes foreign names harmless
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["cell"] = _cell
    return environment.from_string((files("aotd.traces") / "dataset_card.j2").read_text(encoding="utf-8"))


def _cell(text: object) -> str:
    """Write a foreign name as code in a table cell: no line break, bar, backtick or tag of its own."""
    plain = " ".join(str(text).split())
    return "`" + plain.replace("`", "'").replace("|", "/") + "`" if plain else ""
