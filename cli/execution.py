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
from aotd.tools.config_text import ServerConfig, TextConfig, TextRoleName
from aotd.tools.ledger import Ledger, Prices, Usage
from aotd.tools.models import Reply
from aotd.traces.call_index import CallIndex
from aotd.traces.outcomes import RIGHT
from aotd.traces.records import Example
from aotd.traces.report import report
from aotd.traces.runs import Manifest, ModelCall, Run, RunWriter, new_manifest

SYNC_EVERY = 32
"""Examples between two fsyncs of the run folder."""


def start(config: RunConfig, out: Path) -> tuple[Run, list[Item]]:
    """Load the questions, see that the run can be composed, and create its folder; answer nothing yet."""
    items = load_items(config)
    manifest = manifest_of(config, len(items))
    return Run.create(out, config.model_dump(mode="json"), manifest), items


def manifest_of(config: RunConfig, questions: int) -> Manifest:
    """Say what a run with these settings is made with; composing it shows whether it can be."""
    with composed(config, Cache(1), lambda _: None) as pipeline:
        made = pipeline.provenance
    return new_manifest(
        config.digest,
        models=made.models,
        prompts=made.prompts,
        seeds={"sandbox hash seed": 0},
        annotation=Path(config.source.annotations),
        counts={"questions": questions},
    )


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
    if config.random_weights is not None:
        print("aotd: weights are made up (random/...): these answers mean nothing", file=sys.stderr)
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
    """Add up what language models were asked in all sittings of a run, by role, from its journal.

    Those in this process have no price, so what they cost is not known.
    """
    ledgers: dict[str, Ledger] = {}
    for call in run.calls():
        role = _role(call)
        if role is None or not isinstance(call.answer, dict):
            continue
        if role not in ledgers:
            model = config.of(role)
            ledgers[role] = Ledger(model.prices if isinstance(model, ServerConfig) else Prices())
        prompt, reply = (call.answer.get(f"{part}_tokens") for part in ("prompt", "reply"))
        tokens = Reply.model_validate({"text": "", "prompt_tokens": prompt, "reply_tokens": reply})
        ledgers[role].add(role, tokens, call.seconds)
    return {role: ledger.usage()[role] for role, ledger in ledgers.items()}


def _role(call: ModelCall) -> TextRoleName | None:
    """Tell which role of a language model a call was made in, if any."""
    named = call.request.get("role")
    if call.model.startswith("selector/"):
        named = "comparer" if call.request.get("task") == "compare" else "selector"
    return next((role for role in get_args(TextRoleName) if role == named), None)
