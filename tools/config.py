"""Settings of the tools: which model answers each part, and the few numbers in between.

Plain frozen records; unknown keys are errors. Reads no file and no environment.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from aotd.traces.records import Record

__all__ = [
    "DetectorConfig",
    "FunctionsConfig",
    "GrounderConfig",
    "OracleConfig",
    "SelectorConfig",
    "ToolsConfig",
    "VideoModelConfig",
]


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
    """Choice of the answer from collected evidence."""

    kind: Literal["rule"] = "rule"


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


class ToolsConfig(Record):
    """All settings of the tools."""

    detector: DetectorConfig
    grounder: GrounderConfig
    video_model: VideoModelConfig
    selector: SelectorConfig = SelectorConfig()
    oracle: OracleConfig = OracleConfig()
    functions: FunctionsConfig = FunctionsConfig()
