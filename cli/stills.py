"""JPEGs of a question's frames for its page, decoded from the video that the run used.

A file is used only if its digest is the one that was recorded. Pictures are small; no model sees them.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from PIL import Image

from aotd.tools.sampling import Timeline, timeline_with_video, timeline_without_video
from aotd.tools.video import VideoError, read_frames
from aotd.traces.page_frames import Frames
from aotd.traces.records import GRID, Example, Question, Trace

__all__ = ["NoStills", "stills"]

_WIDTH: Final = 320
"""Pixels; wider frames are scaled down."""
_QUALITY: Final = 72
_AT_ONCE: Final = 256_000_000
"""Bytes of frames that are decoded at once."""


class NoStills(Exception):
    """Why a question's frames cannot be shown, in one line."""


def stills(example: Example, videos: Path, *, future: bool) -> Frames | None:
    """Find the frames of a question; None when its run opened no video for it.

    Parameters
    ----------
    videos
        The folder of videos.
    future
        The run let oracles see the future, so that its grid followed from times.

    Raises
    ------
    NoStills
        When the file is not there, is another one, or does not decode.
    """
    trace = next((a.trace for a in reversed(example.attempts) if a.trace is not None), None)
    if trace is None or trace.video.path is None or not trace.video.frames:
        return None
    path = videos / trace.video.path
    if not os.path.isfile(path):  # noqa: PTH113 - says False where `Path.is_file` raises, as for long names
        raise NoStills(f"{path} is no file; give the folder of the run's videos by --videos")
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise NoStills(f"{path}: {error.strerror}") from None
    if digest != trace.video.digest:
        raise NoStills(f"{path} is not the file that the run used: its digest differs")
    places = {
        i: index for i in range(GRID) if (index := _index(example.question, trace, i, future)) is not None
    }
    decoded: dict[int, bytes] = {}

    def frame(position: int) -> bytes | None:
        if position not in places:
            return None
        if not decoded:
            try:
                decoded.update(_decoded(path, sorted(set(places.values())), trace))
            except (VideoError, IndexError) as error:
                raise NoStills(" ".join(str(error).split())) from None
        return decoded[places[position]]

    return frame


def _index(question: Question, trace: Trace, position: int, future: bool) -> int | None:
    """Give the file's frame at a grid position; None past the file's end."""
    try:
        line = _timeline(question, trace, future=future)
    except ValueError:
        return None
    index = line.index(position)
    return index if trace.video.frames and index < trace.video.frames else None


def _timeline(question: Question, trace: Trace, *, future: bool) -> Timeline:
    """Lay the grid over the file, as the run did."""
    video = trace.video
    fps = question.fps or video.fps or 0.0
    if trace.span is None or not future:
        return timeline_with_video(video, trace.span, fps)
    line = timeline_without_video(video.id, trace.span, fps)
    # What was cut for a question begins with its span.
    return line if video.found_as == "video" else line.model_copy(update={"first": 0})


def _decoded(path: Path, indices: Sequence[int], trace: Trace) -> dict[int, bytes]:
    pixels = 3 * (trace.video.width or 1920) * (trace.video.height or 1080)
    batch = max(1, _AT_ONCE // pixels)
    found: dict[int, bytes] = {}
    for start in range(0, len(indices), batch):
        some = indices[start : start + batch]
        for index, frame in zip(some, read_frames(path, some), strict=True):
            found[index] = _jpeg(Image.fromarray(frame))
    return found


def _jpeg(image: Image.Image) -> bytes:
    if image.width > _WIDTH:
        image = image.resize(
            (_WIDTH, max(1, round(image.height * _WIDTH / image.width))), Image.Resampling.BILINEAR
        )
    out = io.BytesIO()
    image.save(out, "JPEG", quality=_QUALITY, optimize=True)
    return out.getvalue()
