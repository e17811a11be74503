"""Settings of a run: what to answer, who plans, how programs run, which checks a chain must pass.

Plain frozen records over the tools' settings; unknown keys are errors. Reads no file and no environment.
"""

from __future__ import annotations

import hashlib
from typing import Literal

from pydantic import Field

from aotd.agent.sandbox.host import Limits
from aotd.tools.config import ToolsConfig
from aotd.traces.records import Record

__all__ = ["PlannerConfig", "RunConfig", "SourceConfig", "WriterConfig"]


class SourceConfig(Record):
    """The questions and their videos."""

    dataset: Literal["star"] = "star"
    annotations: str = ""
    videos: str | None = None
    """Folder of videos; without it no video is opened."""
    fps: str | None = None
    """JSON file of frames per second by video file name."""
    limit: int | None = Field(default=None, ge=1)
    """Answer the first so many questions only."""


class PlannerConfig(Record):
    """Who writes the programs."""

    kind: Literal["grammar", "recorded"] = "grammar"
    path: str | None = None
    """File of recorded programs (JSONL with `question_id` and `source`)."""


class WriterConfig(Record):
    """Who tells the chain of thought."""

    kind: Literal["template"] = "template"


class RunConfig(ToolsConfig):
    """All settings of a run: the tools' settings and these."""

    source: SourceConfig = SourceConfig()
    planner: PlannerConfig = PlannerConfig()
    writer: WriterConfig = WriterConfig()
    sandbox: Limits = Limits()
    live_programs: int = Field(default=96, ge=1)
    """Programs in flight at once."""
    workers: int = Field(default=2, ge=1)
    """Sandbox processes."""
    allow_future: bool = False
    """Keep chains of thought of questions in which an oracle saw the future."""

    @property
    def digest(self) -> str:
        """Hash of everything that decides the results."""
        text = self.model_dump_json(exclude={"live_programs": True, "workers": True})
        return hashlib.sha256(text.encode()).hexdigest()[:16]
