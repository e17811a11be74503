"""`aotd config`: the settings a run would have, and their schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
import yaml

from aotd.agent.config import RunConfig
from aotd.cli.generate import Words
from aotd.cli.settings import load_config

app = typer.Typer(help="Show the settings of a run, or their schema.", no_args_is_help=True)


@app.command()
def show(
    settings: Words = None,
    preset: Annotated[str | None, typer.Option(help="Settings that come with aotd")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file of settings, over the preset")] = None,
) -> None:
    """Print the settings that a preset, a file and key=value words come to, defaults included, as YAML."""
    settled = load_config(preset, config, settings or [], {})
    print(yaml.safe_dump(settled.model_dump(mode="json"), sort_keys=False), end="")


@app.command()
def schema() -> None:
    """Print the JSON Schema of the settings."""
    print(json.dumps(RunConfig.model_json_schema(), indent=2))
