"""Where a question's annotated key frames lie on the grid of what is shown, and which events they hold.

Leaves out what lies outside. Opens no video.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from aotd.tools.sampling import Timeline, keyframe_offset
from aotd.traces.records import Span
from aotd.traces.situations import Keyframe, SituationGraph

__all__ = ["Placed", "events_in", "place"]


class Placed(NamedTuple):
    """A key frame inside a span, and where it lies."""

    keyframe: Keyframe
    frame: int
    """Index in the file."""
    position: int
    """On the grid."""


def place(
    graph: SituationGraph, timeline: Timeline, start: float, fps: float, within: Span
) -> tuple[Placed, ...]:
    """Place key frames on a grid.

    Parameters
    ----------
    graph
        The annotation.
    timeline
        The frames that are shown; key frames outside are left out.
    start
        Seconds of the original video at which they begin.
    fps
        Frames per second of the original video.
    within
        Leave out what lies outside this span too, seconds of the original video: a clip's file may run on
        for a few frames after the question's end.
    """
    first, last = round(within[0] * fps), round(within[1] * fps)
    placed = []
    for keyframe in graph.keyframes:
        offset = keyframe_offset(keyframe.frame_id, start, fps, timeline.frames)
        if offset is None or not first <= keyframe.frame_id - 1 <= last:
            continue
        position = timeline.position(timeline.first + offset)
        if position is not None:
            placed.append(Placed(keyframe, timeline.first + offset, position))
    return tuple(placed)


def events_in(placed: Iterable[Placed], asked: Sequence[str]) -> tuple[str, ...]:
    """List the actions among `asked` in order of first appearance."""
    wanted = set(asked)
    return tuple(dict.fromkeys(a for p in placed for a in p.keyframe.actions if a in wanted))
