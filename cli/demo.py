"""`aotd demo`: the main job on the household world, from nothing to exported chains of thought."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from aotd.cli.errors import UsageError
from aotd.cli.execution import execute, start
from aotd.cli.settings import load_config
from aotd.cli.view import view
from aotd.cli.views import example_view
from aotd.traces.export import export
from aotd.world.build import write_world
from aotd.world.sheet import contact_sheet

MARKER = ".aotd-demo"
"""Marks a folder that this command made and may replace."""

_EYES: Final = {"demo": "small models look at the pixels", "oracle": "models read the annotation"}


def demo(
    out: Annotated[Path, typer.Option(help="Folder to make")] = Path("demo"),
    clips: Annotated[int, typer.Option(min=1, help="Clips to render")] = 5,
    seed: Annotated[int, typer.Option(help="Seed of the world; from 1400 on, clips for testing")] = 1400,
    preset: Annotated[
        str, typer.Option(help="demo: small models that see pixels; oracle: annotation is read")
    ] = "demo",
) -> None:
    """Render a small household world, answer its questions, export the chains of thought, write pages.

    The models are small ones that come with aotd and were trained on other clips of this world; with
    `--preset oracle`, which needs no torch, annotation answers in their place.
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
    config = load_config(preset, None, [], source)
    eyes = _EYES.get(preset, "your models")
    print(f"Answering their questions into {out / 'run'} (preset {preset}: {eyes}) ...")
    run, items = start(config, out / "run")
    code = execute(run, config, items, done=())
    examples = run.examples()
    for name in ("canonical", "aotd"):
        rows = export(examples.values(), name, out / f"{name}.jsonl")
        print(f"{rows} rows written to {out / f'{name}.jsonl'}")
    kept = [e for e in examples.values() if e.kept]
    if kept:
        Console().print(example_view(max(kept, key=lambda e: len(e.trace.calls) if e.trace else 0)))
    view(out / "run", None, None, True, 0, None, None)
    print(f"Look at {out / 'world' / 'sheet.png'} and open {out / 'run' / 'view' / 'index.html'}")
    raise typer.Exit(code)
