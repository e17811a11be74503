"""Index algebra between seconds, frames of a file and the 32 positions of a question's grid.

A question asks about a span of a video. The span's N frames are sampled at 32 positions, position i being
frame floor(i*N/32) of the span (AoTD, CVPR 2025, section 4.1). Programs and traces speak of positions;
requests to models and cache keys speak of a video's digest and a frame's index in the file. This file maps
the one to the other. It opens no file, decodes nothing and knows no dataset.
"""

from __future__ import annotations

import math

from pydantic import Field

from aotd.tools.models import FrameRef
from aotd.traces.records import GRID, Clip, Record, Span, Video

__all__ = [
    "Timeline",
    "keyframe_offset",
    "root_clip",
    "span_frames",
    "timeline_of",
    "timeline_with_video",
    "timeline_without_video",
]


class Timeline(Record):
    """Where the frames of a question's span lie in its video file."""

    video: str
    """The video's digest."""
    first: int = Field(ge=0)
    """Index in the file of the span's first frame, from 0."""
    frames: int = Field(ge=1)
    """Frames in the span: N. With N < 32 neighbouring positions share a frame."""

    def index(self, position: int) -> int:
        """Give the file's frame index at a grid position.

        Raises
        ------
        IndexError
            When the position is not in 0..31.
        """
        if not 0 <= position < GRID:
            raise IndexError(f"position {position} is not on the grid 0..{GRID - 1}")
        return self.first + position * self.frames // GRID

    def position(self, index: int) -> int | None:
        """Give the last grid position whose frame is not after file frame `index`; None outside the span."""
        offset = index - self.first
        if not 0 <= offset < self.frames:
            return None
        # ceil((f0+1)*32/N) - 1, in integers
        return ((offset + 1) * GRID - 1) // self.frames

    def ref(self, position: int) -> FrameRef:
        """Name the frame at a grid position for requests and cache keys."""
        return FrameRef(video=self.video, index=self.index(position))


def span_frames(span: Span, fps: float) -> int:
    """Count the frames of a span by its times alone: N = round((end - start) * fps), at least 1.

    Raises
    ------
    ValueError
        When the span runs backwards or starts before 0, or fps is no positive number.
    """
    start, end = _checked(span, fps)
    return max(1, round((end - start) * fps))


def timeline_without_video(video_id: str, span: Span, fps: float) -> Timeline:
    """Lay out a span for which there is no file, as oracle models use it; errors as `span_frames`."""
    frames = span_frames(span, fps)
    return Timeline(video=f"id:{video_id}", first=round(span[0] * fps), frames=frames)


def timeline_with_video(video: Video, span: Span | None, fps: float) -> Timeline:
    """Lay out a span in its video file.

    Parameters
    ----------
    video
        With `frames` counted. A file that was cut for the question (found as clip, segment or question)
        is the span: all of its frames count, whatever the times say. In a whole video the span is the
        frames [round(start*fps), round(end*fps)), ended where the video ends.
    span
        Seconds of the original video; None for all of it.
    fps
        Frames per second of the original video.

    Raises
    ------
    ValueError
        When the frames were not counted, the span starts after the last frame, or as `span_frames`.
    """
    if not video.frames:
        raise ValueError(f"video {video.id}: its frames were not counted; probe the file first")
    if span is None or video.found_as != "video":
        return Timeline(video=video.digest, first=0, frames=video.frames)
    start, end = _checked(span, fps)
    first = round(start * fps)
    if first >= video.frames:
        raise ValueError(
            f"video {video.id}: the span {start}..{end} s starts at frame {first}, but only {video.frames} "
            "frames decode; check the span's times and the fps"
        )
    stop = min(round(end * fps), video.frames)
    return Timeline(video=video.digest, first=first, frames=max(1, stop - first))


def timeline_of(video: Video, span: Span | None, fps: float, *, by_times: bool) -> Timeline:
    """Lay out a span in its video, or by its times alone.

    Parameters
    ----------
    by_times
        The number of frames follows from times even if there is a file: an oracle may see past its end.

    Raises
    ------
    ValueError
        As `timeline_with_video`.
    """
    if span is not None and (video.frames is None or by_times):
        return timeline_without_video(video.id, span, fps).model_copy(update={"video": video.digest})
    return timeline_with_video(video, span, fps)


def keyframe_offset(frame_id: int, start: float, fps: float, frames: int) -> int | None:
    """Place an annotated keyframe in its span: f0 = frame_id - 1 - round(start * fps).

    Parameters
    ----------
    frame_id
        Frame number in the original video, from 1 (Action Genome's numbering).
    start
        Start of the span, seconds of the original video.
    fps
        Frames per second of the original video.
    frames
        Frames in the span: N.

    Returns
    -------
    int or None
        Frame of the span, 0..N-1. An offset of exactly N is a keyframe on the span's end and reads as
        N-1; None when the keyframe lies outside the span.
    """
    offset = frame_id - 1 - round(start * fps)
    if offset == frames:
        return frames - 1
    return offset if 0 <= offset < frames else None


def root_clip(video_id: str, span: Span | None) -> Clip:
    """Make the clip that a program starts from: all 32 positions of the span."""
    return Clip(video=video_id, span=span, grid_ids=tuple(range(GRID)))


def _checked(span: Span, fps: float) -> Span:
    """Refuse a span or rate that no video can have."""
    start, end = span
    if not (math.isfinite(fps) and fps > 0):
        raise ValueError(f"fps is {fps}: it must be a positive number")
    if not (math.isfinite(end) and 0 <= start <= end):
        raise ValueError(f"span {start}..{end} s: it must start at 0 or later and not end before its start")
    return span
