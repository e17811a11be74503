"""`aotd models`: the checkpoints that settings name, and fetching them ahead of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from aotd.agent.config import RunConfig
from aotd.cli.errors import UsageError
from aotd.cli.settings import load_config, preset_names
from aotd.tools.catalogue import PUBLISHED, UNIVTG_SOURCE
from aotd.tools.checkpoints import EMBEDDED, CheckpointMissing, fetch_checkpoint, find_checkpoint, local_file
from aotd.tools.memory import Need, free_memory, needs

__all__ = ["app", "memory_lines", "model_findings"]

app = typer.Typer(help="Checkpoints: what settings need, where it is, and fetching it.", no_args_is_help=True)

OURS = "Apache-2.0"
"""The licence of the models that come with aotd."""

Words = Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings")]
Finding = tuple[str, bool | None, str]


@app.command("list")
def list_models(
    preset: Annotated[str, typer.Argument(metavar="PRESET", help="Settings that come with aotd")],
    settings: Words = None,
) -> None:
    """List the models of a preset: role, licence, memory, device, and whether they are on this machine.

    Example: aotd models list paper text.planner.device=cuda:1
    """
    config = load_config(preset, None, settings or [], {})
    table = Table(box=None)
    table.add_column("role")
    table.add_column("checkpoint", overflow="fold", min_width=24)
    for name in ("here", "licence", "memory", "device"):
        table.add_column(name)
    for need in needs(config, config.text_roles):
        known = PUBLISHED.get(need.weights)
        table.add_row(
            need.role,
            need.weights or "UniVTG's checkpoint",
            "yes" if _place(need) else "no",
            known.licence if known else OURS if need.weights.startswith(EMBEDDED) else "see its page",
            _memory(need),
            need.device,
        )
    if not table.row_count:
        print(f"preset {preset} loads no model in this process")
        return
    Console().print(table)
    for device, line in memory_lines(config).items():
        print(f"{device}: {line}")


@app.command("fetch")
def fetch(
    name: Annotated[str, typer.Argument(metavar="PRESET|REPOSITORY[@REVISION]")],
    settings: Words = None,
) -> None:
    """Download the checkpoints of a preset, or one from the hub, so that later runs need no network.

    Example: aotd models fetch modern
    """
    if name in preset_names():
        config = load_config(name, None, settings or [], {})
        wanted = [(n.weights, n.revision) for n in needs(config, config.text_roles) if not n.file]
        files = [n for n in needs(config, config.text_roles) if n.file and not _place(n)]
    elif "/" in name:
        weights, _, revision = name.partition("@")
        wanted, files = [(weights, revision or None)], []
    else:
        raise UsageError(
            f"{name!r} is neither a preset ({', '.join(preset_names())}) nor a repository (OWNER/NAME)"
        )
    missing = _fetch(wanted)
    for need in files:
        missing.append(f"{need.role}: {UNIVTG_SOURCE if need.role == 'grounder' else need.weights}")
    for line in missing:
        print(f"not fetched: {line}")
    if missing:
        raise typer.Exit(1)


def _fetch(wanted: Sequence[tuple[str, str | None]]) -> list[str]:
    """Fetch checkpoints one after another; one that cannot be had does not keep others back."""
    missing = []
    for weights, revision in dict.fromkeys(wanted):
        try:
            found = fetch_checkpoint(weights, revision)
        except CheckpointMissing as error:
            missing.append(str(error))
        else:
            print(f"{weights} at {found.revision}: {found.folder}")
    return missing


def model_findings(config: RunConfig) -> list[Finding]:
    """Say of each model of some settings whether it is on this machine, loading and downloading nothing."""
    findings: list[Finding] = []
    for need in needs(config, config.text_roles):
        where = _place(need)
        name = need.weights or "UniVTG's checkpoint"
        at = f"{name} on {need.device}, {_memory(need)}"
        if where is not None:
            findings.append((need.role, True, f"{at}: {where}"))
        elif need.file:
            mend = UNIVTG_SOURCE if need.role == "grounder" else "no such file"
            findings.append((need.role, False, f"{at}: {mend}"))
        else:
            findings.append((need.role, False, f"{at}: missing, `aotd models fetch {need.weights}`"))
    return findings


def memory_lines(config: RunConfig) -> dict[str, str]:
    """Add up what the models of some settings take on each device, beside what is free there."""
    found = needs(config, config.text_roles)
    lines = {}
    for device in dict.fromkeys(need.device for need in found):
        here = [need for need in found if need.device == device]
        free = free_memory(device)
        room = "not on this machine" if free is None else f"{free / 1e9:.1f} GB free"
        shares = sum(need.share for need in here)
        share = f" and {shares:.0%} of it for vLLM" if shares else ""
        lines[device] = f"{sum(n.bytes or 0 for n in here) / 1e9:.1f} GB needed{share}, {room}"
    return lines


def _memory(need: Need) -> str:
    if need.share:
        return f"{need.share:.0%} of the device"
    return "size unknown" if need.bytes is None else f"{need.bytes / 1e9:.1f} GB"


def _place(need: Need) -> Path | None:
    try:
        if need.file:
            return local_file(need.weights, need.role, "")
        return find_checkpoint(need.weights, need.revision, download=False).folder
    except CheckpointMissing:
        return None
