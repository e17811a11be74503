"""Settings of the tools: which model answers each part, and the few numbers in between.

Plain frozen records; unknown keys are errors. Reads no file and no environment.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from aotd.tools.chat_wire import Structured
from aotd.tools.ledger import Prices
from aotd.traces.records import Record

__all__ = [
    "DetectorConfig",
    "FunctionsConfig",
    "GrounderConfig",
    "OracleConfig",
    "SelectorConfig",
    "ServerConfig",
    "TextConfig",
    "TextRoleName",
    "ToolsConfig",
    "VideoModelConfig",
]


TextRoleName = Literal["planner", "writer", "judge", "selector"]


class DetectorConfig(Record):
    """Object detection."""

    kind: Literal["oracle"]


class GrounderConfig(Record):
    """Temporal grounding."""

    kind: Literal["oracle"]


class VideoModelConfig(Record):
    """Questions about a clip."""

    kind: Literal["oracle"]


class SelectorConfig(Record):
    """Choice of the answer from collected evidence, and comparison of texts."""

    kind: Literal["rule", "llm"] = "rule"


class ServerConfig(Record):
    """A chat model on an OpenAI-compatible server (docs/servers.md)."""

    base_url: str
    model: str
    api_key_env: str | None = "OPENAI_API_KEY"
    """Name of the environment variable that holds the key; null sends none."""
    temperature: float | None = Field(default=0.0, ge=0)
    max_tokens: int = Field(default=2048, ge=1)
    seed: int | None = None
    timeout_seconds: float = Field(default=600.0, gt=0)
    concurrency: int = Field(default=32, ge=1)
    """Requests that the server gets at once."""
    structured: Structured = "auto"
    prices: Prices = Prices()


class TextConfig(Record):
    """Chat models by role; a role that names none takes `default`."""

    default: ServerConfig | None = None
    planner: ServerConfig | None = None
    writer: ServerConfig | None = None
    judge: ServerConfig | None = None
    selector: ServerConfig | None = None
    patience_seconds: float = Field(default=600.0, ge=0)
    """How long a run waits for a server that is down before it stops to be resumed."""

    def of(self, role: TextRoleName) -> ServerConfig | None:
        """The server that answers a role."""
        named: dict[str, ServerConfig | None] = {
            "planner": self.planner,
            "writer": self.writer,
            "judge": self.judge,
            "selector": self.selector,
        }
        return named[role] or self.default


class OracleConfig(Record):
    """What oracle models may see of the annotation."""

    future: bool = True
    """Show keyframes after the question's end, as STAR's own programs see them."""


class FunctionsConfig(Record):
    """How program functions are composed from models."""

    crop_margin: int = Field(default=10, ge=0)
    """Pixels added around a sighting when `Find` crops to it (AoTD: 10)."""
    confirm_exist: bool = True
    """Ask the video model "is this X?" about the crops before `exist` says yes (as AoTD does)."""
    cache_mb: int = Field(default=64, ge=1)
    """Model answers kept in memory."""
    batch_items: int = Field(default=64, ge=1)
    """Requests that a model gets at once, at most."""
    patience_seconds: float = Field(default=60.0, ge=0)
    """How long a run waits for a model that is down before it stops to be resumed."""


class ToolsConfig(Record):
    """All settings of the tools."""

    detector: DetectorConfig
    grounder: GrounderConfig
    video_model: VideoModelConfig
    selector: SelectorConfig = SelectorConfig()
    text: TextConfig = TextConfig()
    oracle: OracleConfig = OracleConfig()
    functions: FunctionsConfig = FunctionsConfig()
