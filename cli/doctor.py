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

from aotd.agent.sandbox.host import Inputs, Sandbox, SandboxUnavailable
from aotd.agent.sandbox.outcome import Returned
from aotd.cli.settings import load_config
from aotd.tools.chat import ChatServer, ChatSetupError
from aotd.tools.models import Message, Reply, TextRequest
from aotd.traces.runs import software

_PROGRAM = "def execute_command(video_clip, query, possible_answers):\n    return 'well'\n"

Finding = tuple[str, bool | None, str]
"""What was tried, whether it works (None: not needed), and what was seen."""


def doctor(
    preset: Annotated[str | None, typer.Option(help="Also try the servers that these settings name")] = None,
    settings: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...")] = None,
) -> None:
    """Try the sandbox, the video readers, the disk and the servers; exit 1 if something needed fails."""
    findings = [_versions(), _sandbox(), *_readers(), _disk()]
    if preset is not None:
        findings += _servers(preset, settings or [])
    table = Table(box=None, show_header=False)
    for name, works, seen in findings:
        mark = Text("✓", "green") if works else Text("·", "dim") if works is None else Text("✗", "red")
        table.add_row(mark, name, Text(seen))
    Console().print(table)
    if any(works is False for _, works, _ in findings):
        raise typer.Exit(1)


def _versions() -> Finding:
    return "software", True, ", ".join(f"{name} {version}" for name, version in software().items())


def _sandbox() -> Finding:
    begin = time.perf_counter()
    try:
        with Sandbox(workers=1) as sandbox:
            outcome = sandbox.run(_PROGRAM, Inputs(frames=(0,), query="", possible_answers=None), [])
    except SandboxUnavailable as error:
        return "sandbox", False, str(error)
    if not isinstance(outcome, Returned):
        return "sandbox", False, f"a program that should return was {outcome.outcome}"
    milliseconds = 1000 * (time.perf_counter() - begin)
    return "sandbox", True, f"ready in {milliseconds:.0f} ms; layers: {', '.join(outcome.history.isolation)}"


def _readers() -> list[Finding]:
    decord = importlib.util.find_spec("decord") is not None
    return [
        ("video reader pyav", importlib.util.find_spec("av") is not None, "the default"),
        ("video reader decord", decord or None, "installed" if decord else "pip install 'aotd[decord]'"),
    ]


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    return "disk", free > 1, f"{free:.0f} GB free here"


def _servers(preset: str, words: list[str]) -> list[Finding]:
    text = load_config(preset, None, words, {}).text
    named = dict.fromkeys(filter(None, (text.default, text.planner, text.writer, text.judge, text.selector)))
    findings: list[Finding] = []
    for server in named:
        request = TextRequest(role="judge", messages=(Message(role="user", content="Say yes."),))
        try:
            with ChatServer(
                server.base_url, server.model, api_key_env=server.api_key_env, max_tokens=8
            ) as chat:
                (reply,) = chat.complete([request])
        except ChatSetupError as error:
            findings.append(("server", False, str(error)))
            continue
        if isinstance(reply, Reply):
            findings.append(("server", True, f"{server.model} at {server.base_url} answers"))
        else:
            findings.append(("server", False, f"{server.base_url}: {reply.kind}: {reply.message}"))
    return findings or [("servers", None, "these settings name none")]
