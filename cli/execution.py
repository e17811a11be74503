"""What `generate`, `resume` and `demo` share: start a run, answer what is left, record it, report.

Reads no flags.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import get_args

from rich.console import Console

from aotd.agent.config import RunConfig
from aotd.agent.engine import engine
from aotd.agent.pipeline import Item, Pipeline
from aotd.cli.errors import INTERRUPTED, UsageError
from aotd.cli.progress import Progress
from aotd.cli.questions import load_items
from aotd.cli.views import report_table
from aotd.tools.cache import Cache
from aotd.tools.config import TextConfig, TextRoleName
from aotd.tools.ledger import Ledger, Prices, Usage
from aotd.tools.models import Reply
from aotd.traces.call_index import CallIndex
from aotd.traces.outcomes import RIGHT
from aotd.traces.records import Example
from aotd.traces.report import report
from aotd.traces.runs import ModelCall, Run, RunWriter, new_manifest

SYNC_EVERY = 32
"""Examples between two fsyncs of the run folder."""


def start(config: RunConfig, out: Path) -> tuple[Run, list[Item]]:
    """Load the questions, see that the run can be composed, and create its folder; answer nothing yet."""
    items = load_items(config)
    with composed(config, Cache(1), lambda _: None) as pipeline:
        made = pipeline.provenance
    manifest = new_manifest(
        config.digest,
        models=made.models,
        prompts=made.prompts,
        seeds={"sandbox hash seed": 0},
        annotation=Path(config.source.annotations),
        counts={"questions": len(items)},
    )
    return Run.create(out, config.model_dump(mode="json"), manifest), items


def execute(run: Run, config: RunConfig, items: Sequence[Item], done: Collection[str]) -> int:
    """Answer what is not done, record it, print the report; return the exit code."""
    todo = [item for item in items if item.question.id not in done]
    with (
        run.writer() as writer,
        CallIndex.open(run.folder) as index,
        composed(config, Cache(config.functions.cache_mb * 1_000_000, index), writer.call) as pipeline,
        Progress(len(items), len(items) - len(todo)) as progress,
    ):
        stopped = asyncio.run(_drive(pipeline, todo, writer, progress))
        troubles = pipeline.toolbox.troubles()
    run.write_usage(usage_of(run, config.text))
    examples = run.examples()
    Console().print(report_table(report(examples.values())))
    for trouble in troubles:
        print(f"aotd: {trouble}", file=sys.stderr)
    if stopped:
        left = len(items) - len(examples)
        print(
            f"aotd: stopped with {left} questions left; go on with `aotd resume {run.folder}`",
            file=sys.stderr,
        )
        return INTERRUPTED
    return 0


@contextmanager
def composed(config: RunConfig, cache: Cache, record: Callable[[ModelCall], None]) -> Iterator[Pipeline]:
    """Compose the engine with its configured planner; what the settings lack is told in one line."""
    with ExitStack() as stack:
        try:
            pipeline = stack.enter_context(engine(config, None, cache, record))
        except (ValueError, ModuleNotFoundError) as error:
            raise UsageError(str(error)) from None
        yield pipeline


async def _drive(pipeline: Pipeline, items: Sequence[Item], writer: RunWriter, progress: Progress) -> bool:
    """Run the pipeline; the first Ctrl-C lets what is in flight finish, a second one cancels it."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    task = loop.create_task(pipeline.generate(items, _recorder(writer, progress), stop))

    def interrupt() -> None:
        if stop.is_set():
            task.cancel()
        stop.set()

    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, interrupt)
    try:
        await task
    except asyncio.CancelledError:
        pass
    except BaseExceptionGroup as group:
        raise _first(group) from group
    return stop.is_set()


def _recorder(writer: RunWriter, progress: Progress) -> Callable[[Example], None]:
    count = 0

    def record(example: Example) -> None:
        nonlocal count
        writer.example(example)
        progress.add("right" if example.outcome in RIGHT else example.outcome.value)
        count += 1
        if count % SYNC_EVERY == 0:
            writer.sync()

    return record


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


def usage_of(run: Run, config: TextConfig) -> dict[str, Usage]:
    """Add up what language models were asked in all sittings of a run, by role, from its journal."""
    ledgers: dict[str, Ledger] = {}
    for call in run.calls():
        role = "selector" if call.model.startswith("selector/") else call.request.get("role")
        if not isinstance(role, str) or not isinstance(call.answer, dict):
            continue
        if role not in ledgers:
            server = next((config.of(name) for name in get_args(TextRoleName) if name == role), None)
            server = server or config.of("selector")  # which also compares
            ledgers[role] = Ledger(server.prices if server else Prices())
        prompt, reply = (call.answer.get(f"{part}_tokens") for part in ("prompt", "reply"))
        tokens = Reply.model_validate({"text": "", "prompt_tokens": prompt, "reply_tokens": reply})
        ledgers[role].add(role, tokens, call.seconds)
    return {role: ledger.usage()[role] for role, ledger in ledgers.items()}
