"""The seam below video language models: one turn of text and frames in, one reply out.

What a task is asked and how its reply is read is `aotd.tools.video_llm`'s; who replies, a model in this
process or a server, is each class's own. Holds no model and no prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from aotd.tools.models import ModelIdentity, Reply, ToolError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["VideoChat", "VideoTurn"]


class VideoTurn(NamedTuple):
    """One user message about a clip."""

    text: str
    frames: tuple[NDArray[np.uint8], ...]
    """[H, W, 3] each, RGB, in order of time, at least one and all of one size; not to be written to."""
    seconds: tuple[float, ...]
    """Time of each frame in its video."""
    choices: tuple[str, ...] | None = None
    """The reply is to be one of these, where the model can be held to it."""


class VideoChat(Protocol):
    """A chat model that sees."""

    @property
    def identity(self) -> ModelIdentity:
        """What decides its replies."""
        ...

    @property
    def max_frames(self) -> int:
        """Frames that it takes at most in a turn."""
        ...

    def chat(self, turns: Sequence[VideoTurn]) -> Sequence[Reply | ToolError]:
        """Reply to each turn, in order."""
        ...
