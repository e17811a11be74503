"""The run folders under a benchmark's `--out`: made, gone on with, or refused if made with other settings.

Reads no flags and scores nothing.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from aotd.agent.config import RunConfig
from aotd.agent.pipeline import Item
from aotd.cli.errors import UsageError
from aotd.cli.execution import composed, manifest_of, usage_of
from aotd.cli.progress import Progress
from aotd.cli.questions import annotation_digest
from aotd.tools.cache import Cache
from aotd.traces.call_index import CallIndex
from aotd.traces.outcomes import RIGHT
from aotd.traces.records import Example
from aotd.traces.runs import Run

__all__ = ["folder_of", "whole_run"]


def whole_run(config: RunConfig, items: Sequence[Item], folder: Path, name: str) -> list[Example]:
    """Answer questions, or what is left of them, and give their examples in order."""
    run = folder_of(config, config.digest, folder, len(items))
    done = run.examples()
    todo = [item for item in items if item.question.id not in done]
    if not todo:
        return [done[item.question.id] for item in items]
    print(f"{name}: {len(todo)} of {len(items)} questions", file=sys.stderr)
    with (
        run.writer() as writer,
        CallIndex.open(run.folder) as index,
        composed(config, Cache(config.functions.cache_mb * 1_000_000, index), writer.call) as pipeline,
        Progress(len(items), len(items) - len(todo)) as progress,
    ):

        def record(example: Example) -> None:
            writer.example(example)
            progress.add("right" if example.outcome in RIGHT else example.outcome.value)

        try:
            asyncio.run(pipeline.generate(todo, record, asyncio.Event()))
        except BaseExceptionGroup as group:
            raise _first(group) from group
    run.write_usage(usage_of(run, config.text))
    done = run.examples()
    return [done[item.question.id] for item in items]


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


def folder_of(config: RunConfig, digest: str, folder: Path, questions: int) -> Run:
    """Open the folder of an earlier call with these settings and this annotation, or make it.

    Parameters
    ----------
    digest
        Hash of the settings that must be the same.

    Raises
    ------
    UsageError
        If the folder was made with others, or the annotation has changed.
    """
    if not folder.exists():
        manifest = manifest_of(config, questions).model_copy(update={"config_hash": digest})
        return Run.create(folder, config.model_dump(mode="json"), manifest)
    run = Run.open(folder)
    if run.manifest.config_hash != digest:
        raise UsageError(f"{folder} was made with other settings: give --out another folder")
    known = run.manifest.annotation
    if known is None or known.sha256 != annotation_digest(config.source.annotations):
        raise UsageError(f"{config.source.annotations} has changed since {folder}: give --out another folder")
    return run
