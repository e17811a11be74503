"""Models that answer from a script: for tests, documentation and trying a program by hand.

Each takes a function from one request to its answer and keeps the sizes of the batches it was given. They
judge nothing and read no video.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aotd.tools.models import (
    Choice,
    Detection,
    DetectRequest,
    GroundRequest,
    ModelIdentity,
    Moment,
    Reply,
    SelectRequest,
    TextRequest,
    ToolError,
    VideoAnswer,
    VideoRequest,
)

__all__ = [
    "ScriptedDetector",
    "ScriptedGrounder",
    "ScriptedSelector",
    "ScriptedTextModel",
    "ScriptedVideoModel",
]


class ScriptedDetector:
    """A detector that answers from a function."""

    reads_pixels = False

    def __init__(self, script: Callable[[DetectRequest], tuple[Detection, ...] | ToolError]) -> None:
        self.identity = ModelIdentity(id="scripted/detector")
        self.batches: list[int] = []
        self._script = script

    def detect(self, requests: Sequence[DetectRequest]) -> Sequence[tuple[Detection, ...] | ToolError]:
        """Answer each request from the script."""
        self.batches.append(len(requests))
        return [self._script(r) for r in requests]


class ScriptedGrounder:
    """A grounder that answers from a function."""

    reads_pixels = False

    def __init__(self, script: Callable[[GroundRequest], tuple[Moment, ...] | ToolError]) -> None:
        self.identity = ModelIdentity(id="scripted/grounder")
        self.batches: list[int] = []
        self._script = script

    def ground(self, requests: Sequence[GroundRequest]) -> Sequence[tuple[Moment, ...] | ToolError]:
        """Answer each request from the script."""
        self.batches.append(len(requests))
        return [self._script(r) for r in requests]


class ScriptedVideoModel:
    """A video model that answers from a function."""

    reads_pixels = False

    def __init__(self, script: Callable[[VideoRequest], VideoAnswer | ToolError]) -> None:
        self.identity = ModelIdentity(id="scripted/video")
        self.batches: list[int] = []
        self._script = script

    def answer(self, requests: Sequence[VideoRequest]) -> Sequence[VideoAnswer | ToolError]:
        """Answer each request from the script."""
        self.batches.append(len(requests))
        return [self._script(r) for r in requests]


class ScriptedSelector:
    """A selector that answers from a function."""

    reads_pixels = False

    def __init__(self, script: Callable[[SelectRequest], Choice | ToolError]) -> None:
        self.identity = ModelIdentity(id="scripted/selector")
        self.batches: list[int] = []
        self._script = script

    def select(self, requests: Sequence[SelectRequest]) -> Sequence[Choice | ToolError]:
        """Answer each request from the script."""
        self.batches.append(len(requests))
        return [self._script(r) for r in requests]


class ScriptedTextModel:
    """A chat model that answers from a function."""

    reads_pixels = False

    def __init__(self, script: Callable[[TextRequest], Reply | ToolError]) -> None:
        self.identity = ModelIdentity(id="scripted/text")
        self.batches: list[int] = []
        self._script = script

    def complete(self, requests: Sequence[TextRequest]) -> Sequence[Reply | ToolError]:
        """Answer each request from the script."""
        self.batches.append(len(requests))
        return [self._script(r) for r in requests]
