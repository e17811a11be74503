"""Settings of the tools: which model answers each part, and the few numbers in between.

Plain frozen records; unknown keys are errors. Reads no file and no environment.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from aotd.tools.config_text import EmbedderConfig, TextConfig
from aotd.tools.config_vision import DetectorConfig, GrounderConfig, VideoModelConfig
from aotd.traces.records import Record

__all__ = ["FunctionsConfig", "OracleConfig", "SelectorConfig", "ToolsConfig"]


class SelectorConfig(Record):
    """Choice of the answer from collected evidence, and comparison of texts."""

    kind: Literal["rule", "llm"] = "rule"


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
    embedder: EmbedderConfig | None = None
    """Lets the rule selector match by meaning what it cannot match by words."""
    device: str = "cuda:0"
    """Where models run that name no device of their own: `cuda:0`, `cuda:1`, `mps`, `cpu`."""
    random_weights: Literal["small", "full"] | None = None
    """Weights made up in place of published ones, for dry runs: of the true shape, or small everywhere."""
    frames_mb: int = Field(default=1024, ge=1)
    """Decoded frames kept in memory."""
    text: TextConfig = TextConfig()
    oracle: OracleConfig = OracleConfig()
    functions: FunctionsConfig = FunctionsConfig()
