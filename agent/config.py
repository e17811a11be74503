"""Settings of a run: what to answer, who plans, how programs run, which checks a chain must pass.

Plain frozen records over the tools' settings; unknown keys are errors. Reads no file and no environment.
"""

from __future__ import annotations

import hashlib
from typing import Literal, get_args

from pydantic import Field

from aotd.agent.sandbox.host import Limits
from aotd.tools.config import TextRoleName, ToolsConfig
from aotd.traces.records import Record

__all__ = ["JudgeConfig", "PlannerConfig", "RunConfig", "SourceConfig", "WriterConfig"]


class SourceConfig(Record):
    """The questions and their videos."""

    dataset: Literal["star", "nextqa"] = "star"
    annotations: str = ""
    videos: str | None = None
    """Folder of videos; without it no video is opened."""
    fps: str | None = None
    """JSON file of frames per second by video file name."""
    reader: Literal["pyav", "decord"] = "pyav"
    """What decodes video files; decord is an extra, and gives the same frames."""
    limit: int | None = Field(default=None, ge=1)
    """Answer the first so many questions only."""


class PlannerConfig(Record):
    """Who writes the programs."""

    kind: Literal["grammar", "recorded", "llm"] = "grammar"
    path: str | None = None
    """File of recorded programs (JSONL with `question_id` and `source`)."""


class WriterConfig(Record):
    """Who tells the chain of thought."""

    kind: Literal["template", "llm"] = "template"


class JudgeConfig(Record):
    """Who judges chains of thought, and open-ended answers that differ from the truth in words."""

    kind: Literal["none", "llm"] = "none"
    show_gold: bool = False
    """Tell the judge of a chain the right answer."""


class RunConfig(ToolsConfig):
    """All settings of a run: the tools' settings and these."""

    source: SourceConfig = SourceConfig()
    planner: PlannerConfig = PlannerConfig()
    writer: WriterConfig = WriterConfig()
    judge: JudgeConfig = JudgeConfig()
    sandbox: Limits = Limits()
    repairs: int = Field(default=2, ge=0)
    """Times that a program which is refused or fails may be sent back to its planner."""
    live_programs: int = Field(default=96, ge=1)
    """Programs in flight at once."""
    workers: int = Field(default=2, ge=1)
    """Sandbox processes."""
    allow_future: bool = False
    """Keep chains of thought of questions in which an oracle saw the future."""

    @property
    def digest(self) -> str:
        """Hash of everything that decides the results."""
        text = self.model_dump_json(exclude={"live_programs", "workers", "text"})
        for role in get_args(TextRoleName):
            server = self.text.of(role)
            if server is not None:
                text += server.model_dump_json(exclude={"timeout_seconds", "concurrency", "prices"})
        return hashlib.sha256(text.encode()).hexdigest()[:16]
