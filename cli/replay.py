"""`aotd replay`: run the programs of a run again from its journal; the traces must come out equal."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from aotd.agent.replay import Divergence, Offline, Replayed, changed_prompts, offline, replay
from aotd.cli.errors import UsageError
from aotd.cli.progress import Progress
from aotd.cli.settings import check_config
from aotd.tools.recorded import Journalled
from aotd.traces.call_text import flat
from aotd.traces.records import Example
from aotd.traces.runs import Run

__all__ = ["read_program", "replay_run"]

MOST = 20
"""Divergences that are told one by one."""


def replay_run(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder")],
    question_id: Annotated[
        str | None, typer.Argument(help="Question to replay; without it, all of the run")
    ] = None,
    program: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Run this in place of the question's program")
    ] = None,
) -> None:
    """Run programs again with the recorded answers of models; name the first thing that comes out otherwise.

    Loads no model; needs neither videos, annotation nor network. Exit 0 if all traces are identical, else 1.
    """
    run = Run.open(folder)
    config = check_config(dict(run.config))
    if program is not None and question_id is None:
        raise UsageError("--program FILE replaces the program of one question: give its QUESTION_ID")
    examples = list(run.examples().values()) if question_id is None else [run.example(question_id)]
    source = None if program is None else read_program(program)
    if source is not None and not any(attempt.trace for attempt in examples[0].attempts):
        raise UsageError(f"{question_id} has no trace to replay: it ended as {examples[0].outcome}")
    try:
        prompts = changed_prompts(examples, config)
    except ValueError as error:
        raise UsageError(str(error)) from None
    journal = Journalled(run.calls())
    with offline(config, journal) as bench:
        replayed = asyncio.run(_replay(examples, bench, source))
    for changed in prompts:
        _tell(changed, "answers were given under another text")
    parted = [r for r in replayed if r.divergence is not None]
    for one in parted[:MOST]:
        assert one.divergence is not None  # noqa: S101 - chosen so above
        _tell(one.divergence, flat(one.question_id, 200))
    if len(parted) > MOST:
        print(f"... and {len(parted) - MOST} more")
    print(_summary(replayed, len(parted), len(journal)))
    raise typer.Exit(1 if parted or prompts else 0)


async def _replay(examples: Sequence[Example], bench: Offline, source: str | None) -> list[Replayed]:
    """Replay questions, a bounded number at a time; in the order of the run."""
    if len(examples) == 1:
        return [await replay(examples[0], bench, source)]
    places = asyncio.Semaphore(bench.config.live_programs)
    with Progress(len(examples), 0) as progress:

        async def one(example: Example) -> Replayed:
            async with places:
                replayed = await replay(example, bench, source)
            progress.add("identical" if replayed.divergence is None else "divergent")
            return replayed

        return list(await asyncio.gather(*map(one, examples)))


def _tell(divergence: Divergence, about: str) -> None:
    print(f"{about}: first divergence at {divergence.where}")
    print(f"  was  {divergence.was}\n  now  {divergence.now}")


def _summary(replayed: Sequence[Replayed], parted: int, answers: int) -> str:
    counts: Counter[str] = sum((r.counts for r in replayed), Counter())
    programs = sum(r.programs for r in replayed)
    verdict = f"{parted} diverge" if parted else "all identical" if programs else "nothing to run"
    told = [
        f"{counts['journal']} computed from the journal's {answers} answers",
        f"{counts['trace']} taken from traces because the journal cannot answer them",
        f"{counts['hand']} set by hand",
        f"{counts['sandbox']} computed in the sandbox",
    ]
    calls = "; ".join(line for line in told if not line.startswith("0 "))
    asked = f"{len(replayed)} question{'s' * (len(replayed) != 1)}"
    return f"{asked}, {programs} program{'s' * (programs != 1)} replayed: {verdict}\ncalls: {calls or 'none'}"


def read_program(path: Path) -> str:
    """Read a program's text; one line says why it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"{path}: {why}") from None
