"""Settings of a run: what to answer, who plans, how programs run, which checks a chain must pass.

Plain frozen records over the tools' settings; unknown keys are errors. Reads no file and no environment.
"""

from __future__ import annotations

import hashlib
import json
from typing import Final, Literal, get_args

from pydantic import Field, JsonValue

from aotd.agent.sandbox.backend import Limits
from aotd.tools.config import ToolsConfig
from aotd.tools.config_text import TextRoleName
from aotd.traces.records import Record

__all__ = ["JudgeConfig", "PlannerConfig", "PromptsConfig", "RunConfig", "SourceConfig", "WriterConfig"]


_HOW: Final = frozenset(
    {
        *("workers", "live_programs", "isolation", "concurrency", "timeout_seconds", "prices"),
        *("device", "memory_share", "frames_mb", "feature_mb"),
        *("frames_at_once", "clips_at_once", "texts_at_once", "prompts_at_once"),
    }
)
"""Settings of where, how fast and for how much: they decide no result."""


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


class PromptsConfig(Record):
    """Files that take the place of prompt templates; each fills the slots of the one that it replaces."""

    planner: str | None = None
    """The page of the planner: what programs may call and how they are written."""
    question: str | None = None
    """What the planner is asked."""
    repair: str | None = None
    """What the planner is told of a program that failed."""
    selector: str | None = None
    comparer: str | None = None
    writer: str | None = None
    judge: str | None = None
    answer_judge: str | None = None


class RunConfig(ToolsConfig):
    """All settings of a run: the tools' settings and these."""

    source: SourceConfig = SourceConfig()
    planner: PlannerConfig = PlannerConfig()
    writer: WriterConfig = WriterConfig()
    judge: JudgeConfig = JudgeConfig()
    prompts: PromptsConfig = PromptsConfig()
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
    def text_roles(self) -> tuple[TextRoleName, ...]:
        """Roles that a language model plays."""
        roles: list[TextRoleName] = []
        if self.planner.kind == "llm":
            roles.append("planner")
        if self.selector.kind == "llm":
            roles += ["selector", "comparer"]
        if self.writer.kind == "llm":
            roles.append("writer")
        if self.judge.kind == "llm":
            roles.append("judge")
        return tuple(roles)

    @property
    def digest(self) -> str:
        """Hash of everything that decides the results."""
        settled = self.model_dump(mode="json", exclude={"text"})
        models = {role: self.text.of(role) for role in get_args(TextRoleName)}
        settled["text"] = {role: model.model_dump(mode="json") for role, model in models.items() if model}
        text = json.dumps(_deciding(settled), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _deciding(value: JsonValue) -> JsonValue:
    """Leave out of settings what decides no result."""
    if isinstance(value, dict):
        return {key: _deciding(item) for key, item in value.items() if key not in _HOW}
    return value
