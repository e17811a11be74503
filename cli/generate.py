"""The main job: `generate` and `resume`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from aotd.cli.errors import UsageError
from aotd.cli.execution import execute, start
from aotd.cli.questions import annotation_digest, check_dataset, load_items
from aotd.cli.settings import check_config, load_config
from aotd.traces.outcomes import GROUPS, Outcome
from aotd.traces.runs import Run

Words = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings, such as oracle.future=false")
]

FakeWeights = Annotated[
    str | None, typer.Option(help="For a dry run: made-up weights, small (anywhere) or full (true shapes)")
]


def generate(
    dataset: Annotated[str, typer.Argument(help="Name of the dataset: star or nextqa")],
    annotations: Annotated[
        Path, typer.Argument(help="STAR's release JSON or question csv, or NExT-QA's csv")
    ],
    settings: Words = None,
    out: Annotated[Path, typer.Option(help="Run folder to create")] = Path("run"),
    videos: Annotated[Path | None, typer.Option(help="Folder of videos; without it none is opened")] = None,
    fps: Annotated[Path | None, typer.Option(help='JSON file {"VIDEO.mp4": frames per second}')] = None,
    preset: Annotated[
        str | None, typer.Option(help="Settings that come with aotd: oracle, served, paper, modern, demo")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file of settings, over the preset")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Answer the first N questions only")] = None,
    fake_weights: FakeWeights = None,
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
    settled = load_config(preset, config, settings or [], source, fake_weights)
    run, items = start(settled, out)
    raise typer.Exit(execute(run, settled, items, done=()))


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
    if run.manifest.annotation is None:
        raise UsageError(
            f"{folder} holds a question asked by hand: it cannot be gone on with; use `aotd ask` again"
        )
    if not Path(config.source.annotations).is_file():
        raise UsageError(f"the run's annotation file {config.source.annotations} is gone: put it back")
    known = run.manifest.annotation
    if known is None or known.sha256 != annotation_digest(config.source.annotations):
        raise UsageError(f"{config.source.annotations} has changed since the run began: start a new run")
    items = load_items(config)
    done = {key for key, example in run.examples().items() if example.outcome not in again}
    raise typer.Exit(execute(run, config, items, done))


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
