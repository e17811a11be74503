"""The main job: `generate`, `resume` and `plan`."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from aotd.agent.config import RunConfig
from aotd.agent.engine import engine, make_planner
from aotd.agent.grammar import GrammarPlanner
from aotd.agent.pipeline import Item, Pipeline
from aotd.agent.plan import Planner
from aotd.agent.sandbox.host import Inputs, Limits, Sandbox
from aotd.cli.errors import INTERRUPTED, UsageError
from aotd.cli.progress import Progress
from aotd.cli.questions import annotation_digest, check_dataset, load_items, load_questions
from aotd.cli.settings import check_config, load_config
from aotd.cli.views import report_table
from aotd.tools.cache import Cache
from aotd.traces.outcomes import GROUPS, Outcome
from aotd.traces.records import GRID, Example
from aotd.traces.report import report
from aotd.traces.runs import Manifest, Run, RunWriter, new_manifest

SYNC_EVERY = 32
"""Examples between two fsyncs of the run folder."""

Words = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings, such as oracle.future=false")
]


def generate(
    dataset: Annotated[str, typer.Argument(help="Name of the dataset: star")],
    annotations: Annotated[Path, typer.Argument(help="Annotation file: STAR's release JSON or question csv")],
    settings: Words = None,
    out: Annotated[Path, typer.Option(help="Run folder to create")] = Path("run"),
    videos: Annotated[Path | None, typer.Option(help="Folder of videos; without it none is opened")] = None,
    fps: Annotated[Path | None, typer.Option(help='JSON file {"VIDEO.mp4": frames per second}')] = None,
    preset: Annotated[str | None, typer.Option(help="Settings that come with aotd: oracle")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file of settings, over the preset")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Answer the first N questions only")] = None,
) -> None:
    """Plan, run, record and tell the questions of a dataset; write a run folder.

    Example: aotd generate star STAR_val.json --preset oracle --out runs/val oracle.future=false
    """
    check_dataset(dataset)
    source = {
        "dataset": dataset,
        "annotations": str(annotations.resolve()),
        "videos": str(videos.resolve()) if videos else None,
        "fps": str(fps.resolve()) if fps else None,
        "limit": limit,
    }
    settled = load_config(preset, config, settings or [], source)
    run, planner, items = start(settled, out)
    raise typer.Exit(execute(run, settled, planner, items, done=()))


def resume(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder to go on with")],
    retry: Annotated[
        list[str] | None,
        typer.Option(help="Also redo questions that ended as this outcome or group (tool-error, execution)"),
    ] = None,
) -> None:
    """Go on with a run that was stopped; finished questions are not asked again."""
    run = Run.open(folder)
    config = check_config(dict(run.config))
    again = _outcomes(retry or [])
    if not Path(config.source.annotations).is_file():
        raise UsageError(f"the run's annotation file {config.source.annotations} is gone: put it back")
    known = run.manifest.annotation
    if known is None or known.sha256 != annotation_digest(config.source.annotations):
        raise UsageError(f"{config.source.annotations} has changed since the run began: start a new run")
    items = load_items(config)
    done = {key for key, example in run.examples().items() if example.outcome not in again}
    raise typer.Exit(execute(run, config, _planner(config), items, done))


def plan(
    dataset: Annotated[str, typer.Argument(help="Name of the dataset: star")],
    annotations: Annotated[Path, typer.Argument(help="Annotation file: STAR's release JSON or question csv")],
    out: Annotated[Path, typer.Option(help="JSONL file to write: question_id, source, ok, reasons")],
    limit: Annotated[int | None, typer.Option(min=1, help="Plan the first N questions only")] = None,
) -> None:
    """Write and check a program for each question; run none. A `recorded` planner reads the file back."""
    check_dataset(dataset)
    questions = [item.question for item in load_questions(annotations, None, limit)]
    planned = GrammarPlanner().plan(questions)
    passed = 0
    with (
        Sandbox(Limits(), workers=2) as sandbox,
        ThreadPoolExecutor(2) as threads,
        Progress(len(questions), 0) as progress,
        out.open("w", encoding="utf-8") as file,
    ):
        inputs = [
            Inputs(frames=tuple(range(GRID)), query=q.text, possible_answers=q.options) for q in questions
        ]
        checks = threads.map(sandbox.check, [p.source or "" for p in planned], inputs)
        for question, program, reasons in zip(questions, planned, checks, strict=True):
            passed += not reasons
            row = {
                "question_id": question.id,
                "source": program.source,
                "ok": not reasons,
                "reasons": [r.model_dump(mode="json") for r in reasons],
            }
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            progress.add(Outcome.BREAKS_CONTRACT if reasons else Outcome.ANSWERED_UNSCORED)
    print(f"{passed} of {len(questions)} programs pass the check; written to {out}")


def start(config: RunConfig, out: Path) -> tuple[Run, Planner, list[Item]]:
    """Load the questions, compose the planner and create the run folder; nothing is answered yet."""
    items = load_items(config)
    planner = _planner(config)
    manifest = _manifest(config, planner, len(items))
    return Run.create(out, config.model_dump(mode="json"), manifest), planner, items


def execute(
    run: Run, config: RunConfig, planner: Planner, items: Sequence[Item], done: Collection[str]
) -> int:
    """Answer what is not done, record it, print the report; return the exit code."""
    todo = [item for item in items if item.question.id not in done]
    cache = Cache(config.functions.cache_mb * 1_000_000)
    for row in run.calls():
        if row.error is None:
            cache.put(row.key, json.dumps(row.answer))
    with (
        run.writer() as writer,
        engine(config, planner, cache, writer.call) as pipeline,
        Progress(len(items), len(items) - len(todo)) as progress,
    ):
        stopped = asyncio.run(_drive(pipeline, todo, writer, progress))
    examples = run.examples()
    Console().print(report_table(report(examples.values())))
    if stopped:
        left = len(items) - len(examples)
        print(
            f"aotd: stopped with {left} questions left; go on with `aotd resume {run.folder}`",
            file=sys.stderr,
        )
        return INTERRUPTED
    return 0


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
        progress.add(example.outcome)
        count += 1
        if count % SYNC_EVERY == 0:
            writer.sync()

    return record


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


def _planner(config: RunConfig) -> Planner:
    try:
        return make_planner(config.planner)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _manifest(config: RunConfig, planner: Planner, questions: int) -> Manifest:
    kinds = {
        "detector": config.detector.kind,
        "grounder": config.grounder.kind,
        "video_model": config.video_model.kind,
        "selector": config.selector.kind,
        "planner": planner.identity,
        "writer": config.writer.kind,
    }
    return new_manifest(
        config.digest,
        models=kinds,
        prompts={},
        seeds={"sandbox hash seed": 0},
        annotation=Path(config.source.annotations),
        counts={"questions": questions},
    )


def _outcomes(names: Sequence[str]) -> set[Outcome]:
    chosen: set[Outcome] = set()
    for name in names:
        if name in GROUPS:
            chosen.update(GROUPS[name])
        elif name in set(Outcome):
            chosen.add(Outcome(name))
        else:
            known = ", ".join([*GROUPS, *Outcome])
            raise UsageError(f"unknown outcome {name!r} after --retry: {known}")
    return chosen
