"""Planning apart: `plan` writes and checks programs, and runs none."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from aotd.agent.pipeline import Pipeline
from aotd.agent.plan import Planned
from aotd.agent.sandbox.host import Inputs
from aotd.benchmarks.star_runs import decomposition_config
from aotd.cli.execution import composed
from aotd.cli.generate import Words
from aotd.cli.progress import Progress
from aotd.cli.questions import check_dataset, load_questions
from aotd.cli.settings import load_config
from aotd.tools.cache import Cache
from aotd.traces.records import GRID, Question, Reason

BATCH = 256
"""Questions planned at once."""


def plan(
    dataset: Annotated[str, typer.Argument(help="Name of the dataset: star or nextqa")],
    annotations: Annotated[Path, typer.Argument(help="Annotation file; questions without graphs will do")],
    out: Annotated[Path, typer.Option(help="JSONL file to write: question_id, source, ok, reasons")],
    settings: Words = None,
    preset: Annotated[str, typer.Option(help="Settings that come with aotd")] = "oracle",
    config: Annotated[Path | None, typer.Option(help="YAML file of settings, over the preset")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Plan the first N questions only")] = None,
) -> None:
    """Write and check a program for each question; run none. A `recorded` planner reads the file back."""
    check_dataset(dataset)
    # Planning sees nothing: no other model is made, and no video is wanted.
    settled = decomposition_config(
        load_config(preset, config, settings or [], {"dataset": dataset}), selector=False, videos=False
    )
    questions = [item.question for item in load_questions(dataset, annotations, None, limit)]
    passed = 0
    with (
        composed(settled, Cache(1), lambda _: None) as pipeline,
        Progress(len(questions), 0) as progress,
        out.open("w", encoding="utf-8") as file,
        asyncio.Runner() as runner,  # one loop for all batches: a planner's queue belongs to its first
    ):
        for begin in range(0, len(questions), BATCH):
            batch = questions[begin : begin + BATCH]
            planned = runner.run(_plan(pipeline, batch))
            for question, program, reasons in zip(
                batch, planned, _check(pipeline, batch, planned), strict=True
            ):
                passed += not reasons
                told = [reason.model_dump(mode="json") for reason in reasons]
                row = {
                    "question_id": question.id,
                    "source": program.source,
                    "ok": not reasons,
                    "reasons": told,
                }
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
                progress.add("refused" if reasons else "pass")
    print(f"{passed} of {len(questions)} programs pass the check; written to {out}")


async def _plan(pipeline: Pipeline, questions: Sequence[Question]) -> list[Planned]:
    return await asyncio.gather(*(pipeline.planner.plan(question) for question in questions))


def _check(
    pipeline: Pipeline, questions: Sequence[Question], planned: Sequence[Planned]
) -> list[tuple[Reason, ...]]:
    frames = tuple(range(GRID))

    def check(question: Question, program: Planned) -> tuple[Reason, ...]:
        if program.source is None:
            return (Reason(line=None, kind="planner", message=program.detail),)
        inputs = Inputs(frames=frames, query=question.text, possible_answers=question.options)
        return pipeline.runner.sandbox.check(program.source, inputs)

    return list(pipeline.runner.threads.map(check, questions, planned))
