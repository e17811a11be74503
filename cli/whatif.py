"""`aotd whatif`: change one result or the program of a recorded question, and see what would come of it."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from pydantic import JsonValue
from rich.console import Console

from aotd.agent.config import RunConfig
from aotd.agent.engine import engine
from aotd.agent.pipeline import Item
from aotd.agent.replay import GivenProgram, offline
from aotd.agent.whatif import Supposition, Unanswered, not_kept, with_line, with_result
from aotd.cli.ask import check_new
from aotd.cli.beside import beside, last_trace
from aotd.cli.errors import UsageError
from aotd.cli.questions import load_items
from aotd.cli.replay import read_program
from aotd.cli.settings import check_config
from aotd.tools.cache import Cache
from aotd.tools.recorded import Journalled
from aotd.traces.call_index import CallIndex
from aotd.traces.records import Call, Example, Trace
from aotd.traces.runs import ModelCall, Run, new_manifest

__all__ = ["whatif"]


class _Change(NamedTuple):
    """What is supposed."""

    program: str
    call: Call | None
    told: str
    """In a few words."""


def whatif(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder")],
    question_id: Annotated[str, typer.Argument(help="Question to change")],
    call: Annotated[int | None, typer.Option(metavar="K", help="Number of the call to change")] = None,
    result: Annotated[
        str | None,
        typer.Option(
            metavar="JSON", help='What it gives; a clip: {"frames": [3, 4]} or {"start": 3, "end": 9}'
        ),
    ] = None,
    line: Annotated[
        tuple[int, str] | None, typer.Option(metavar="N SOURCE", help="Line to change, and its new text")
    ] = None,
    program: Annotated[Path | None, typer.Option(metavar="FILE", help="File with another program")] = None,
    no_models: Annotated[
        bool, typer.Option("--no-models", help="Ask no model: answer from the run's journal alone")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Run folder to create with what came out")
    ] = None,
) -> None:
    """Run a question again with one change: all before it replayed, the rest answered anew, both shown.

    What the run's journal answers is taken from it, the rest is asked of its models. RUN stays as it is.

    Examples: aotd whatif RUN ID --call 2 --result '{"start": 3, "end": 9}';
    aotd whatif RUN ID --line 3 'part = trim(video_clip, end=event.start)' --no-models
    """
    run = Run.open(folder)
    old = run.example(question_id)
    config = check_config(dict(run.config))
    trace = last_trace(old)
    change = _change(old, trace, call, result, line, program)
    if out is not None:
        check_new(out)
    supposed = Supposition(trace, change.call)
    asked: list[ModelCall] = []
    try:
        if no_models:
            new = _from_journal(run, config, old, trace, change.program, supposed)
        else:
            new = _with_models(run, config, old, change.program, supposed, asked.append)
    except Unanswered as error:
        raise UsageError(f"{error}; leave out --no-models to ask the run's models") from None
    new = not_kept(new, f"what if: {change.told}")
    Console().print(beside(old, new, "before", "what if"))
    print(_counted(supposed, no_models=no_models))
    if out is not None:
        _save(out, run, config, new, asked)
        words = f"{shlex.quote(str(out))} {shlex.quote(question_id)}"
        print(f"saved to {out}; look at it by: aotd view {words}")


def _change(
    old: Example,
    trace: Trace | None,
    call: int | None,
    result: str | None,
    line: tuple[int, str] | None,
    program: Path | None,
) -> _Change:
    """Read what is to be supposed: one thing, and one that fits the question."""
    given = [call is not None or result is not None, line is not None, program is not None]
    if sum(given) != 1 or (call is None) != (result is None):
        raise UsageError("suppose one thing: --call K --result JSON, --line N SOURCE, or --program FILE")
    if program is not None:
        return _Change(read_program(program), None, f"the program of {program.name}")
    if trace is None:
        raise UsageError(f"{old.question.id} has no trace: it ended as {old.outcome}; give --program FILE")
    try:
        if line is not None:
            return _Change(with_line(trace.program, *line), None, f"another line {line[0]}")
        changed = with_result(trace, call or 0, _parsed(result or ""))
        return _Change(trace.program, changed, f"the result of call {call} was set by hand")
    except ValueError as error:
        raise UsageError(str(error)) from None


def _parsed(text: str) -> JsonValue:
    try:
        value: JsonValue = json.loads(text)
    except (ValueError, RecursionError):
        hint = json.dumps(text, ensure_ascii=False)
        raise UsageError(f"--result {text}: not JSON; a text needs its quotes: --result '{hint}'") from None
    return value


def _from_journal(
    run: Run, config: RunConfig, old: Example, trace: Trace | None, program: str, supposed: Supposition
) -> Example:
    """Run the program on what the run recorded; neither videos nor annotation are needed."""
    if trace is None:
        raise UsageError(f"{old.question.id} never ran, so its journal holds nothing: leave out --no-models")
    with offline(config, Journalled(run.calls())) as bench:
        return asyncio.run(bench.settle(old, trace, GivenProgram(program), supposed.watch))


def _with_models(
    run: Run,
    config: RunConfig,
    old: Example,
    program: str,
    supposed: Supposition,
    record: Callable[[ModelCall], None],
) -> Example:
    """Run the program with the run's models, which are asked what its journal does not answer."""
    item = _item(config, old)
    with ExitStack() as stack:
        index = stack.enter_context(CallIndex.open(run.folder))
        cache = Cache(config.functions.cache_mb * 1_000_000, index)
        try:
            pipeline = stack.enter_context(engine(config, GivenProgram(program), cache, record))
        except (ValueError, ModuleNotFoundError) as error:
            raise UsageError(f"{error}; or answer from the journal alone: --no-models") from None
        return asyncio.run(pipeline._replace(repairs=0, watch=supposed.watch).answer(item))


def _item(config: RunConfig, old: Example) -> Item:
    """Give the question as it was asked, with its annotation where oracles read it."""
    if "oracle" not in (config.detector.kind, config.grounder.kind, config.video_model.kind):
        return Item(old.question, None)
    known = {item.question.id: item.graph for item in load_items(config)}
    if old.question.id not in known:
        raise UsageError(f"{config.source.annotations} has no question {old.question.id} any more")
    return Item(old.question, known[old.question.id])


def _counted(supposed: Supposition, *, no_models: bool) -> str:
    counts = supposed.counts
    told = [f"{counts['replayed']} replayed", f"{counts['hand']} set by hand"]
    if no_models:
        told.append(f"{counts['at hand'] + counts['asked']} answered from the journal or by rule")
    else:
        told += [f"{counts['at hand']} known already", f"{counts['asked']} answered anew"]
    return "calls: " + (", ".join(line for line in told if not line.startswith("0 ")) or "none")


def _save(out: Path, run: Run, config: RunConfig, new: Example, asked: list[ModelCall]) -> None:
    manifest = new_manifest(
        config.digest,
        models=new.provenance.models,
        prompts=new.provenance.prompts,
        seeds=run.manifest.seeds,
        annotation=None,
        counts={"questions": 1, "suppositions": 1},
    )
    made = Run.create(out, config.model_dump(mode="json"), manifest)
    with made.writer() as writer:
        for call in asked:
            writer.call(call)
        writer.example(new)
        writer.sync()
