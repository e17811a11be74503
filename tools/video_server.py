"""Video language models on an OpenAI-compatible server: frames go as JPEG pictures, or as one mp4.

Pictures are OpenAI's way and work wherever several are taken in one message; a video is vLLM's extension,
whose server may choose frames of its own (docs/servers.md). Frames are scaled down, never up, and compressed.
Everything about connections, keys, errors and cost is `aotd.tools.chat`'s.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Final, Literal

from pydantic import JsonValue

from aotd.tools.chat import ChatServer
from aotd.tools.chat_wire import PartsRequest
from aotd.tools.models import Reply, ToolError
from aotd.tools.video_chat import VideoTurn

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    Pixels = NDArray[np.uint8]

__all__ = ["ServerVideoChat"]

_JPEG_QUALITY: Final = 90
_H264: Final = {"crf": "18", "preset": "veryfast", "x264-params": "bframes=0"}
"""Hardly visible loss; without B-frames the frames lie in the file in the order in which they show."""


class ServerVideoChat:
    """A video language model behind a server; thread-safe.

    Parameters
    ----------
    server
        The client; its longest reply is the model's. Whoever made it closes it.
    send
        `images`: one JPEG a frame; `video`: one mp4 without sound, at the frames' mean rate.
    longest_side
        Pixels; larger frames are scaled down to it.
    max_frames
        Frames in one turn, at most.
    """

    def __init__(
        self,
        server: ChatServer,
        *,
        send: Literal["images", "video"] = "images",
        longest_side: int = 768,
        max_frames: int = 32,
    ) -> None:
        self.max_frames = max_frames
        self._server = server
        self._send = send
        self._longest_side = longest_side
        own = server.identity
        sent: dict[str, JsonValue] = {"send": send, "longest_side": longest_side, "max_frames": max_frames}
        self.identity = own.model_copy(update={"settings": {**own.settings, **sent}})

    def chat(self, turns: Sequence[VideoTurn]) -> Sequence[Reply | ToolError]:
        """Reply to each turn.

        Raises
        ------
        ChatSetupError
            If the server refuses the key, the model or the address.
        """
        return self._server.complete([self._request(turn) for turn in turns])

    def _request(self, turn: VideoTurn) -> PartsRequest:
        frames = [_scaled(frame, self._longest_side, even=self._send == "video") for frame in turn.frames]
        if self._send == "video":
            seen = [_part("video_url", "video/mp4", _mp4(frames, _rate(turn.seconds)))]
        else:
            seen = [_part("image_url", "image/jpeg", _jpeg(frame)) for frame in frames]
        return PartsRequest("video", (*seen, {"type": "text", "text": turn.text}), turn.choices)


def _part(kind: str, media: str, content: bytes) -> dict[str, JsonValue]:
    return {"type": kind, kind: {"url": f"data:{media};base64,{base64.b64encode(content).decode()}"}}


def _scaled(frame: Pixels, longest_side: int, *, even: bool) -> Image:
    """Scale a picture down to fit; to even sides if it is to be a frame of H.264."""
    import numpy as np
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(frame))
    scale = min(1.0, longest_side / max(picture.size))
    step = 2 if even else 1
    width, height = (max(step, round(side * scale / step) * step) for side in picture.size)
    if (width, height) == picture.size:
        return picture
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def _jpeg(picture: Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, format="JPEG", quality=_JPEG_QUALITY)
    return file.getvalue()


def _rate(seconds: Sequence[float]) -> Fraction:
    """Frames per second that span the times of the frames; 1 if they span none."""
    span = seconds[-1] - seconds[0]
    if span <= 0:
        return Fraction(1)
    return max(Fraction(1, 1000), Fraction((len(seconds) - 1) / span).limit_denominator(1000))


def _mp4(pictures: Sequence[Image], rate: Fraction) -> bytes:
    """Encode pictures of one even size as H.264."""
    import av
    import numpy as np

    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=rate, options=_H264)
        stream.width, stream.height = pictures[0].size
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            frame = av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()
