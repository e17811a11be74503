"""The clip handle that a program holds, `trim`, and the two errors a call can raise.

A handle is a number and frame ids on the root clip's grid. It has no pixels and no way to get any.
"""

from __future__ import annotations

from typing import Final

__all__ = ["ATTRIBUTES", "Clip", "EmptyClip", "ToolError", "trim"]

ATTRIBUTES: Final = ("start", "end", "num_frames")
"""What a program may read of a clip."""


class EmptyClip(Exception):
    """A clip without frames was asked for something that needs one."""


class ToolError(Exception):
    """A function could not be answered."""


class Clip:
    """A reference to frames: `clip0` is the root, `clipN` what call N gave."""

    __slots__ = ("frames", "number")

    def __init__(self, number: int, frames: tuple[int, ...]) -> None:
        self.number = number
        self.frames = frames

    @property
    def name(self) -> str:
        """The handle on the wire."""
        return f"clip{self.number}"

    def read(self, attribute: str) -> int:
        """Read one of `ATTRIBUTES`; `start` and `end` of an empty clip raise EmptyClip."""
        if attribute == "num_frames":
            return len(self.frames)
        if not self.frames:
            raise EmptyClip(f"an empty clip has no {attribute}; test num_frames first")
        return self.frames[0] if attribute == "start" else self.frames[-1] + 1

    def __repr__(self) -> str:
        if not self.frames:
            return "<empty clip>"
        return f"<clip frames {self.frames[0]}..{self.frames[-1]}>"

    # By number, not by address: sets of clips iterate in the same order in every child.
    def __eq__(self, other: object) -> bool:
        return type(other) is Clip and other.number == self.number

    def __hash__(self) -> int:
        return self.number


def trim(frames: tuple[int, ...], start: int | None, end: int | None) -> tuple[int, ...]:
    """Keep the ids with `start <= id < end`; None leaves a side open."""
    return tuple(f for f in frames if (start is None or start <= f) and (end is None or f < end))
