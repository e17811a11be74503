"""Questions about a clip, answered by a chat model that sees.

Turns a request into turns of text and frames, and replies into an answer (`aotd.tools.video_tasks` words
both). Crops are cut from the frames and shown upright on square canvases of one size; a clip of more frames
than the model takes is sampled evenly, which the answer notes. Decodes nothing and runs no model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

from aotd.tools.frames import FrameStore
from aotd.tools.models import Frames, Reply, ToolError, VideoAnswer, VideoRequest
from aotd.tools.video import VideoError
from aotd.tools.video_chat import VideoChat, VideoTurn
from aotd.tools.video_tasks import TaskPrompt, ask_task, prompt_hashes, read_task
from aotd.traces.records import Box

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

__all__ = ["VideoLlm"]

_BYTES_AT_ONCE: Final = 1 << 30
"""Pixels handed to the chat model in one go, at most, unless one request has more."""

_GREY: Final = 127
"""Around a crop that is not square."""

_USUAL_FPS: Final = 25.0
"""Taken for the time of frames when a file states no rate; the answer says so."""


class _Plan(NamedTuple):
    """A request and the turns that answer it."""

    request: VideoRequest
    turns: tuple[VideoTurn, ...]
    notes: tuple[str, ...]

    @property
    def size(self) -> int:
        return sum(frame.nbytes for turn in self.turns for frame in turn.frames)


class VideoLlm:
    """A video model made of a chat model.

    Parameters
    ----------
    chat
        The chat model.
    frames
        Where the frames of clips are read.
    """

    reads_pixels = True

    def __init__(self, chat: VideoChat, frames: FrameStore) -> None:
        self._chat = chat
        self._frames = frames
        own = chat.identity
        self.identity = own.model_copy(
            update={
                "id": f"video/{own.id}",
                "settings": {**own.settings, "max_frames": chat.max_frames},
                "prompts": {**own.prompts, **prompt_hashes()},
            }
        )

    def answer(self, requests: Sequence[VideoRequest]) -> Sequence[VideoAnswer | ToolError]:
        """Answer each request.

        A request whose video cannot be read, whose crop shows nothing or whose turn the model refuses is an
        error of its own; a reply that cannot be read is an abstention.
        """
        answers: list[VideoAnswer | ToolError] = []
        for portion in self._portions(requests):
            turns = [turn for plan in portion if isinstance(plan, _Plan) for turn in plan.turns]
            replies = iter(self._chat.chat(turns) if turns else ())
            answers += [
                _answer(plan, list(islice(replies, len(plan.turns)))) if isinstance(plan, _Plan) else plan
                for plan in portion
            ]
        return answers

    def _portions(self, requests: Sequence[VideoRequest]) -> Iterator[list[_Plan | VideoAnswer | ToolError]]:
        """Group requests so that the pixels of a group stay within bounds."""
        portion: list[_Plan | VideoAnswer | ToolError] = []
        size = 0
        for request in requests:
            plan = self._plan(request)
            more = plan.size if isinstance(plan, _Plan) else 0
            if portion and size + more > _BYTES_AT_ONCE:
                yield portion
                portion, size = [], 0
            portion.append(plan)
            size += more
        if portion:
            yield portion

    def _plan(self, request: VideoRequest) -> _Plan | VideoAnswer | ToolError:
        clip = request.clip
        if not clip.indices:
            return ToolError(kind="bad-request", message="the clip has no frames")
        asked = ask_task(request)
        if not isinstance(asked, TaskPrompt):
            return asked
        most = self._chat.max_frames
        sampled = request.task != "caption" and len(clip.indices) > most
        if sampled:
            notes: tuple[str, ...] = (f"{most} of the clip's {len(clip.indices)} frames were shown",)
            clip = _sampled(clip, most)
        else:
            notes = ()
        try:
            pixels = self._frames.read(clip.video, clip.indices)
        except VideoError as error:
            return ToolError(kind=error.outcome.value, message=error.message)
        shown = _cropped(clip, pixels)
        if isinstance(shown, ToolError):
            return shown
        fps = self._frames.fps(clip.video)
        if fps is None:
            notes += (f"the video states no rate: {_USUAL_FPS:g} frames a second taken",)
        seconds = tuple(index / (fps or _USUAL_FPS) for index in clip.indices)
        return _Plan(request, _turns(request, asked, shown, seconds), notes)


def _turns(
    request: VideoRequest, asked: TaskPrompt, shown: Sequence[Pixels], seconds: tuple[float, ...]
) -> tuple[VideoTurn, ...]:
    if request.task != "caption":
        return (VideoTurn(asked.text, tuple(shown), seconds, asked.choices),)
    return tuple(VideoTurn(asked.text, (f,), (s,)) for f, s in zip(shown, seconds, strict=True))


def _answer(plan: _Plan, replies: Sequence[Reply | ToolError]) -> VideoAnswer | ToolError:
    failed = next((reply for reply in replies if isinstance(reply, ToolError)), None)
    if failed is not None:
        return failed
    read = read_task(plan.request, [reply for reply in replies if isinstance(reply, Reply)])
    return read.model_copy(update={"notes": (*plan.notes, *read.notes)})


def _sampled(clip: Frames, most: int) -> Frames:
    """Keep frame floor(i * n / most) for each i, as the grid of a span does."""
    count = len(clip.indices)
    kept = [i * count // most for i in range(most)]
    crops = tuple(clip.crops[k] for k in kept) if clip.crops else ()
    return clip.model_copy(update={"indices": tuple(clip.indices[k] for k in kept), "crops": crops})


def _cropped(clip: Frames, pixels: Sequence[Pixels]) -> Sequence[Pixels] | ToolError:
    """Cut the clip's crops, if it has any, and lay them on canvases of one size."""
    if not clip.crops:
        return pixels
    cut: list[Pixels] = []
    for index, box, frame in zip(clip.indices, clip.crops, pixels, strict=True):
        part = _cut(frame, box)
        if part is None:
            height, width = frame.shape[:2]
            message = f"crop {list(box)} of frame {index} shows nothing of its {width} x {height} pixels"
            return ToolError(kind="empty-crop", message=message)
        cut.append(part)
    side = max(max(part.shape[:2]) for part in cut)
    return [_squared(part, side) for part in cut]


def _cut(frame: Pixels, box: Box) -> Pixels | None:
    """Cut a box, clamped to the frame; None if nothing of it lies inside."""
    height, width = frame.shape[:2]
    x1, y1 = max(0, box[0]), max(0, box[1])
    x2, y2 = min(width, box[2]), min(height, box[3])
    return frame[y1:y2, x1:x2] if x1 < x2 and y1 < y2 else None


def _squared(part: Pixels, side: int) -> Pixels:
    """Fit a picture into the middle of a square, keeping its proportions.

    Models cut the middle out of pictures that are not square, or squeeze them; of a crop nothing is to be
    lost, and a person is to stay as tall as they are.
    """
    import numpy as np
    from PIL import Image

    height, width = part.shape[:2]
    scale = side / max(height, width)
    tall, wide = max(1, round(height * scale)), max(1, round(width * scale))
    fitted = Image.fromarray(np.ascontiguousarray(part)).resize((wide, tall), Image.Resampling.BICUBIC)
    canvas = np.full((side, side, 3), _GREY, np.uint8)
    top, left = (side - tall) // 2, (side - wide) // 2
    canvas[top : top + tall, left : left + wide] = np.asarray(fitted)
    return canvas
