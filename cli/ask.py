"""`aotd ask`: one question about one video, from nothing to a run folder, told as it happens."""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from aotd.agent.config import RunConfig
from aotd.agent.pipeline import Item, Pipeline
from aotd.agent.plan import Planned
from aotd.agent.run import Watch
from aotd.cli.errors import UsageError
from aotd.cli.execution import composed, usage_of
from aotd.cli.generate import FakeWeights
from aotd.cli.questions import load_questions
from aotd.cli.settings import load_config
from aotd.tools.cache import Cache
from aotd.tools.video import EXTENSIONS, VideoError, find_video
from aotd.traces.answers import render
from aotd.traces.call_text import call_text, flat
from aotd.traces.outcomes import RIGHT
from aotd.traces.page_text import shown
from aotd.traces.records import Call, Example, Question
from aotd.traces.runs import ModelCall, Run, new_manifest

__all__ = ["ask", "check_new"]


def ask(
    video: Annotated[Path, typer.Argument(help="Video file")],
    question: Annotated[str, typer.Argument(help="The question")],
    settings: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]...", help="Settings, such as planner.kind=grammar"),
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="A possible answer; once for each. Without any, an open question")
    ] = None,
    answer: Annotated[str | None, typer.Option(help="The right answer, if it is known")] = None,
    start: Annotated[
        float | None, typer.Option(min=0, help="Ask about the video from this second on")
    ] = None,
    end: Annotated[float | None, typer.Option(min=0, help="... up to this second")] = None,
    preset: Annotated[
        str | None, typer.Option(help="Settings that come with aotd: oracle, served, paper, modern, demo")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file of settings, over the preset")] = None,
    annotations: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="STAR's JSON for oracle models, with a record of the video"),
    ] = None,
    question_id: Annotated[
        str | None,
        typer.Option(metavar="ID", help="The record; by default the one with this video and question"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Run folder to create; by default ask-1, ask-2, ...")
    ] = None,
    fake_weights: FakeWeights = None,
) -> None:
    """Ask one question about a video and watch: the program, each call as it returns, the answer.

    Example: aotd ask cup.mp4 "What did the person take?" --option "A cup." --option "A bag." --preset paper
    """
    if not video.is_file():
        raise UsageError(f"{video}: no such video file")
    if question_id is not None and annotations is None:
        raise UsageError("--question-id names a record of --annotations FILE: give both")
    source = {
        "annotations": str(annotations.resolve()) if annotations else None,
        "videos": str(video.resolve().parent),
    }
    settled = load_config(preset, config, settings or [], source, fake_weights)
    own = _own_question(video, question, option, answer, start, end)
    item = Item(own, None) if annotations is None else _annotated(own, video, annotations, question_id)
    _check(settled, item, video)
    folder = out or _free_folder()
    check_new(folder)
    calls: list[ModelCall] = []
    live = _Live(Console(highlight=False))
    with composed(settled, Cache(settled.functions.cache_mb * 1_000_000), calls.append) as pipeline:
        _open(pipeline, item.question)
        told = pipeline._replace(watch=Watch(heard=live.call), planned=live.program)
        example = asyncio.run(told.answer(item))
    live.end(example)
    if settled.random_weights is not None:
        print("aotd: weights are made up (random/...): this answer means nothing", file=sys.stderr)
    _save(folder, settled, example, calls)
    words = f"{shlex.quote(str(folder))} {shlex.quote(flat(example.question.id, 200))}"
    print(f"saved to {folder}; look at it by: aotd view {words}, or aotd show {words}")


def _own_question(
    video: Path,
    text: str,
    options: Sequence[str] | None,
    answer: str | None,
    start: float | None,
    end: float | None,
) -> Question:
    """Make a question of what was typed; the file itself is its video."""
    if options and answer is not None and answer not in options:
        raise UsageError(f"--answer {answer!r} is none of the options")
    if options and len(options) == 1:
        raise UsageError("one --option is no choice: give two or more, or none for an open question")
    if not text.strip():
        raise UsageError("the question is empty")
    if (start is None) != (end is None) or (start is not None and end is not None and end <= start):
        raise UsageError("give --start and --end, in seconds, the end after the start; or neither")
    span = None if start is None or end is None else (start, end)
    return Question(
        id="asked",
        dataset="asked",
        video_id=video.stem,
        text=text,
        options=tuple(options) if options else None,
        answer=answer,
        span=span,
        clip_file=video.name if span is None else None,
    )


def _annotated(own: Question, video: Path, annotations: Path, question_id: str | None) -> Item:
    """Find the annotation of a question: by id, or by its video and words; what was typed goes before it."""
    items = load_questions("star", annotations, None, None)
    if question_id is not None:
        chosen = [item for item in items if item.question.id == question_id]
        if not chosen:
            raise UsageError(f"{annotations} has no question {question_id}")
    else:
        of_video = [item for item in items if _shows(item.question, video, annotations)]
        chosen = [item for item in of_video if _words(item.question.text) == _words(own.text)]
        if not of_video:
            raise UsageError(f"{annotations} has no record whose video is {video}")
        if not chosen:
            known = ", ".join(item.question.id for item in of_video[:5])
            raise UsageError(
                f"none of the {len(of_video)} records of {video.name} asks this: ask as one of them does, or "
                f"give --question-id of one whose annotation to use, such as {known}"
            )
        if len(chosen) > 1:
            ids = ", ".join(item.question.id for item in chosen)
            raise UsageError(f"several records of {video.name} ask this: give --question-id, one of {ids}")
    record, graph = chosen[0]
    if not _shows(record, video, annotations):
        raise UsageError(f"{video} is not the video of {record.id}, which asks about {record.video_id}")
    if own.span is not None:
        raise UsageError(f"{record.id} has its own start and end: leave out --start and --end")
    if _words(record.text) != _words(own.text):
        # Another question about what is annotated: the record's options and answer are not its own.
        record = record.model_copy(
            update={"text": own.text, "options": None, "answer": None, "type": None, "template": None}
        )
    typed = {name: getattr(own, name) for name in ("options", "answer") if getattr(own, name) is not None}
    if own.options is not None and own.answer is None and record.answer not in own.options:
        typed["answer"] = None
    return Item(record.model_copy(update=typed), graph)


def _words(text: str) -> str:
    return " ".join(text.split()).casefold()


def _shows(record: Question, video: Path, annotations: Path) -> bool:
    found = find_video(video.parent, record, annotation_folder=annotations.parent)
    return found is not None and found[0].resolve() == video.resolve()


def _check(config: RunConfig, item: Item, video: Path) -> None:
    """Refuse what cannot be answered, before any work."""
    reads_graphs = "oracle" in (config.detector.kind, config.grounder.kind, config.video_model.kind)
    if reads_graphs and item.graph is None:
        lacks = "the record has no situation graph" if config.source.annotations else "there is no annotation"
        raise UsageError(
            f"oracle models read annotation and {lacks}: give --annotations FILE, or models that look at the "
            "video (--preset paper)"
        )
    found = find_video(video.parent, item.question, annotation_folder=None)
    if found is None and item.graph is None:
        raise UsageError(f"{video}: videos have one of these endings: {' '.join(EXTENSIONS)}")
    if found is not None and item.graph is None and found[0].resolve() != video.resolve():
        raise UsageError(f"{found[0]} would be read in place of {video}: rename one of them")


def _open(pipeline: Pipeline, question: Question) -> None:
    """Look at the video before anything else is done; it is decoded once."""
    try:
        if pipeline.library is not None:
            pipeline.library.open(question)
    except VideoError as error:
        raise UsageError(str(error)) from None


def check_new(folder: Path) -> None:
    """Refuse a folder for a run that holds something, before any work."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is there already: give --out a new folder")


def _free_folder() -> Path:
    number = 1
    while Path(f"ask-{number}").exists():
        number += 1
    return Path(f"ask-{number}")


class _Live:
    """Tells a question as it is answered."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._programs = 0

    def program(self, planned: Planned) -> None:
        """Show a program before it runs, or why there is none."""
        self._programs += 1
        attempt = f", attempt {self._programs}" if self._programs > 1 else ""
        if planned.source is None:
            self._print((f"No program{attempt}: {planned.failure}: {flat(planned.detail, 200)}", "red"))
            return
        self._print((f"Program{attempt}", "bold"))
        for number, line in enumerate(shown(planned.source).splitlines(), start=1):
            self._print((f"{number:3d} ", "dim"), (line, ""))
        self._print(("Calls", "bold"))

    def call(self, call: Call) -> None:
        """Show a call as it returns."""
        took = "" if call.local else f"  {call.seconds:.2f} s{', at hand' if call.cached else ''}"
        style = "red" if call.error is not None else ""
        self._print((f"{call.number:3d} ", "dim"), (call_text(call), style), (took, "dim"))
        for note in call.notes:
            self._print((f"      {flat(note, 120)}", "dim"))

    def end(self, example: Example) -> None:
        """Show the answer, how it was scored, and its chain of thought if there is one."""
        last = example.attempts[-1] if example.attempts else None
        refusal = last.refusal if last is not None and last.program else None
        for reason in refusal.reasons if refusal is not None else ():
            where = "" if reason.line is None else f"line {reason.line}: "
            self._print((f"refused: {where}{flat(f'{reason.message} {reason.hint}', 300)}", "red"))
        trace = example.trace
        if trace is not None and trace.answer is not None:
            self._print(("Answer   ", "bold"), (flat(render(trace.answer), 500) or "(empty)", ""))
        detail = f": {flat(example.detail, 300)}" if example.detail else ""
        style = "green" if example.outcome in RIGHT else ""
        self._print(("Outcome  ", "bold"), (f"{example.outcome}{detail}", style))
        for sentence in example.rationale.sentences if example.rationale else ():
            self._print((f"  {flat(sentence.text, 1000)}", ""))
        if trace is not None and trace.future_visible:
            self._print(("an oracle saw annotation after the question's end", "yellow"))

    def _print(self, *parts: tuple[str, str]) -> None:
        self._console.print(Text.assemble(*parts))


def _save(folder: Path, config: RunConfig, example: Example, calls: Sequence[ModelCall]) -> None:
    manifest = new_manifest(
        config.digest,
        models=example.provenance.models,
        prompts=example.provenance.prompts,
        seeds={"sandbox hash seed": 0},
        annotation=None,
        counts={"questions": 1},
    )
    run = Run.create(folder, config.model_dump(mode="json"), manifest)
    with run.writer() as writer:
        for call in calls:
            writer.call(call)
        writer.example(example)
        writer.sync()
    run.write_usage(usage_of(run, config.text))
