"""`aotd doctor`: what works on this machine, found out by trying."""

from __future__ import annotations

import importlib.util
import shutil
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from aotd.agent.sandbox.host import Inputs, Limits, Sandbox, SandboxUnavailable
from aotd.agent.sandbox.outcome import Outcome, Returned
from aotd.cli.models import memory_lines, model_findings
from aotd.cli.settings import load_config
from aotd.tools.chat import ChatServer, ChatSetupError
from aotd.tools.config_text import ServerConfig
from aotd.tools.config_vision import VideoServerConfig
from aotd.tools.memory import free_memory
from aotd.tools.models import Message, Reply, TextRequest
from aotd.traces.runs import software

_PROGRAM = "def execute_command(video_clip, query, possible_answers):\n    return 'well'\n"

Finding = tuple[str, bool | None, str]
"""What was tried, whether it works (None: not needed), and what was seen."""


def doctor(
    preset: Annotated[
        str | None, typer.Option(help="Also look at the models and servers that these settings name")
    ] = None,
    settings: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...")] = None,
) -> None:
    """Try the sandbox, the readers, the disk, models and servers; exit 1 if something needed fails.

    Loads and downloads no model: it says what would be loaded, where, how much memory that takes, and what
    is missing.
    """
    findings = [_versions(), *_sandbox(), *_readers(), _disk()]
    if preset is not None:
        findings += _models(preset, settings or [])
    table = Table(box=None, show_header=False)
    for name, works, seen in findings:
        mark = Text("✓", "green") if works else Text("·", "dim") if works is None else Text("✗", "red")
        table.add_row(mark, name, Text(seen))
    Console().print(table)
    if any(works is False for _, works, _ in findings):
        raise typer.Exit(1)


def _versions() -> Finding:
    return "software", True, ", ".join(f"{name} {version}" for name, version in software().items())


def _sandbox() -> list[Finding]:
    """Run a program as by default, then name each layer, with why it is missing if it is."""
    begin = time.perf_counter()
    try:
        with Sandbox(workers=1) as sandbox:
            outcome = sandbox.run(_PROGRAM, Inputs(frames=(0,), query="", possible_answers=None), [])
            milliseconds = 1000 * (time.perf_counter() - begin)
            return [_ran(outcome, milliseconds), *_layers(sandbox)]
    except SandboxUnavailable as error:
        refused: Finding = ("sandbox", False, str(error))
    try:
        with Sandbox(Limits(isolation="best-effort"), workers=1) as sandbox:
            return [refused, *_layers(sandbox)]
    except SandboxUnavailable:
        return [refused]


def _ran(outcome: Outcome, milliseconds: float) -> Finding:
    if not isinstance(outcome, Returned):
        return "sandbox", False, f"a program that should return was {outcome.outcome}"
    return "sandbox", True, f"{Limits().isolation}, ready in {milliseconds:.0f} ms"


def _layers(sandbox: Sandbox) -> list[Finding]:
    return [
        (f"  {layer.name}", not layer.why_not or None, layer.why_not or "active")
        for layer in sandbox.layers()
    ]


def _readers() -> list[Finding]:
    decord = importlib.util.find_spec("decord") is not None
    return [
        ("video reader pyav", importlib.util.find_spec("av") is not None, "the default"),
        ("video reader decord", decord or None, "installed" if decord else "pip install 'aotd[decord]'"),
    ]


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    return "disk", free > 1, f"{free:.0f} GB free here"


def _models(preset: str, words: list[str]) -> list[Finding]:
    """Look at what the settings name: models in this process, memory, devices and servers."""
    config = load_config(preset, None, words, {})
    findings = model_findings(config)
    for device, line in memory_lines(config).items():
        free = free_memory(device)
        findings.append((f"device {device}", free is not None, line))
    text = config.text
    named = [text.default, text.planner, text.writer, text.judge, text.selector, text.comparer]
    if isinstance(config.video_model, VideoServerConfig):
        named.append(config.video_model.server)
    servers = dict.fromkeys(model for model in named if isinstance(model, ServerConfig))
    findings += [_server(server) for server in servers]
    return findings or [("models", None, "these settings name none but oracles and rules")]


def _server(server: ServerConfig) -> Finding:
    request = TextRequest(role="judge", messages=(Message(role="user", content="Say yes."),))
    try:
        with ChatServer(server.base_url, server.model, api_key_env=server.api_key_env, max_tokens=8) as chat:
            (reply,) = chat.complete([request])
    except ChatSetupError as error:
        return "server", False, str(error)
    if isinstance(reply, Reply):
        return "server", True, f"{server.model} at {server.base_url} answers"
    return "server", False, f"{server.base_url}: {reply.kind}: {reply.message}"
