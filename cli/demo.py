"""`aotd demo`: the main job on the household world, from nothing to exported chains of thought."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from aotd.cli.errors import UsageError
from aotd.cli.execution import execute, start
from aotd.cli.settings import load_config
from aotd.cli.views import example_view
from aotd.traces.export import export
from aotd.world.build import write_world
from aotd.world.sheet import contact_sheet

MARKER = ".aotd-demo"
"""Marks a folder that this command made and may replace."""


def demo(
    out: Annotated[Path, typer.Option(help="Folder to make")] = Path("demo"),
    clips: Annotated[int, typer.Option(min=1, help="Clips to render")] = 12,
    seed: Annotated[int, typer.Option(help="Seed of the world")] = 0,
) -> None:
    """Render a small household world, answer its questions, export them, and show one trace.

    The models are oracles: they read the world's annotation, not its pixels.
    """
    if out.exists() and not (out / MARKER).is_file() and any(out.iterdir()):
        raise UsageError(f"{out} holds other files: give --out a new folder")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    (out / MARKER).touch()
    print(f"Rendering {clips} clips (seed {seed}) into {out / 'world'} ...")
    annotations = write_world(out / "world", clips=clips, seed=seed)
    contact_sheet(out / "world", out / "world" / "sheet.png")
    source = {"annotations": str(annotations.resolve()), "videos": str((out / "world" / "videos").resolve())}
    config = load_config("oracle", None, [], source)
    print(f"Answering their questions into {out / 'run'} (preset oracle: models read annotation) ...")
    run, items = start(config, out / "run")
    code = execute(run, config, items, done=())
    examples = run.examples()
    for name in ("canonical", "aotd"):
        rows = export(examples.values(), name, out / f"{name}.jsonl")
        print(f"{rows} rows written to {out / f'{name}.jsonl'}")
    kept = [e for e in examples.values() if e.kept]
    if kept:
        Console().print(example_view(max(kept, key=lambda e: len(e.trace.calls) if e.trace else 0)))
    print(f"Look at {out / 'world' / 'sheet.png'}; then: aotd view {out / 'run'} --all")
    raise typer.Exit(code)
