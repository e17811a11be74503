"""Settle what a question is about: its video file, its span, its frames.

Looks a video up, counts and digests it, and fixes the grid on which programs, traces and annotation meet.
Reads no frames for models and runs nothing.
"""

from __future__ import annotations

from typing import NamedTuple

from aotd.tools.library import Library
from aotd.tools.oracle import Sheet
from aotd.tools.sampling import (
    Timeline,
    keyframe_offset,
    root_clip,
    span_frames,
    timeline_of,
)
from aotd.tools.video import VideoError
from aotd.traces.outcomes import Outcome
from aotd.traces.records import Clip, Question, Span, Video
from aotd.traces.situations import SituationGraph

__all__ = ["Fault", "Scene", "prepare"]


class Scene(NamedTuple):
    """A question with its video, span and frames settled."""

    question: Question
    video: Video
    span: Span | None
    timeline: Timeline
    clip: Clip
    sheet: Sheet | None
    """The annotation as oracles read it."""
    future_visible: bool


class Fault(NamedTuple):
    """Why a question cannot be asked."""

    outcome: Outcome
    detail: str


def prepare(
    question: Question, graph: SituationGraph | None, library: Library | None, *, future: bool
) -> Scene | Fault:
    """Settle a question.

    Parameters
    ----------
    library
        The run's videos; without it no video is opened.
    future
        Let the span run to the last keyframe when some lie after the question's end. The number of frames
        then follows from times, never from a video, whose file may end with the question.
    """
    video = Video(id=question.video_id, digest=f"id:{question.video_id}")
    if library is not None:
        try:
            video = library.open(question)
        except VideoError as error:
            return Fault(error.outcome, str(error))
    fps = question.fps or video.fps
    if fps is None:
        return Fault(
            Outcome.BAD_ANNOTATION, f"{question.id}: frames per second of {question.video_id} unknown"
        )
    span, beyond = question.span, False
    if graph is not None and span is not None and future:
        beyond = _reaches_beyond(graph, span, fps)
        span = (span[0], max(span[1], graph.keyframes[-1].frame_id / fps)) if beyond else span
    if span is None and video.frames is None:
        return Fault(Outcome.BAD_ANNOTATION, f"{question.id}: neither a span nor a video says how long it is")
    try:
        timeline = timeline_of(video, span, fps, by_times=graph is not None and future)
    except ValueError as error:
        return Fault(Outcome.UNREADABLE_VIDEO, f"{question.id}: {error}")
    sheet = None
    if graph is not None and span is not None:
        sheet = Sheet(question.id, graph, timeline, span[0], fps, future=future, end=span[1])
    return Scene(question, video, span, timeline, root_clip(question.video_id, span), sheet, beyond)


def _reaches_beyond(graph: SituationGraph, span: Span, fps: float) -> bool:
    """Tell whether a keyframe lies after the span."""
    frames = span_frames(span, fps)
    last = max((k.frame_id for k in graph.keyframes), default=1)
    # The first frame is never beyond, so an offset of None from a late keyframe means "after the end".
    return last - 1 > round(span[0] * fps) and keyframe_offset(last, span[0], fps, frames) is None
