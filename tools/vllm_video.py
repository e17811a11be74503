"""A video language model in vLLM: the chat below `aotd.tools.video_llm`, greedy, all turns at once.

The frames go in as one video with their times, already sampled; for a model that takes images only, as images
in order. Nothing is cut or scaled here: a turn that does not fit is an error. The engine is
`aotd.tools.vllm_engine`'s.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, Final

from aotd.tools.loading import UnusableCheckpoint, load_part
from aotd.tools.models import ModelIdentity, Reply, ToolError
from aotd.tools.video_chat import VideoTurn
from aotd.tools.vllm_engine import VllmAsk, VllmEngine

__all__ = ["VllmVideoChat"]

_MILLISECONDS: Final = 1000


class VllmVideoChat:
    """A chat model that sees, of a vLLM engine.

    Parameters
    ----------
    engine
        The engine; models of text may share it.
    max_frames
        Frames in a turn, at most.
    max_tokens
        Longest reply.
    """

    def __init__(self, engine: VllmEngine, *, max_frames: int = 32, max_tokens: int = 100) -> None:
        self._engine = engine
        self._max_frames = max_frames
        self._max_tokens = max_tokens
        self._lock = threading.Lock()
        self._processor: Any = None

    @property
    def identity(self) -> ModelIdentity:
        """What decides its replies."""
        own = self._engine.identity(self._max_tokens)
        return own.model_copy(update={"settings": {**own.settings, "max_frames": self._max_frames}})

    @property
    def max_frames(self) -> int:
        """Frames that it takes at most in a turn."""
        return self._max_frames

    def chat(self, turns: Sequence[VideoTurn]) -> Sequence[Reply | ToolError]:
        """Reply to each turn, in order.

        Raises
        ------
        UnusableCheckpoint
            On first use, if the checkpoint is no chat model that sees, or vLLM cannot run it.
        """
        with self._lock:
            if self._processor is None:
                self._processor = self._load()
        asks = [VllmAsk(self._prompt(turn), self._longest(turn), turn.choices) for turn in turns]
        return self._engine.ask(asks)

    def _load(self) -> Any:
        from transformers import AutoProcessor

        checkpoint = self._engine.checkpoint
        processor = load_part(AutoProcessor, checkpoint)
        if not hasattr(processor, "image_processor"):
            raise UnusableCheckpoint(f"checkpoint {checkpoint.id} does not see: name a vision language model")
        if processor.chat_template is None:
            raise UnusableCheckpoint(
                f"checkpoint {checkpoint.id} has no chat template, so it is no chat model"
            )
        return processor

    def _longest(self, turn: VideoTurn) -> int:
        return max(len(c.encode()) for c in turn.choices) + 1 if turn.choices else self._max_tokens

    def _prompt(self, turn: VideoTurn) -> Mapping[str, Any]:
        videos = getattr(self._processor, "video_processor", None)
        if videos is not None:
            video = _video(turn, getattr(videos, "temporal_patch_size", 1))
            return {"prompt": self._told(turn, "video", 1), "multi_modal_data": {"video": [video]}}
        from PIL import Image

        images = [Image.fromarray(frame) for frame in turn.frames]
        told = self._told(turn, "image", len(images))
        return {"prompt": told, "multi_modal_data": {"image": images}}

    def _told(self, turn: VideoTurn, shown: str, count: int) -> str:
        content = [*({"type": shown} for _ in range(count)), {"type": "text", "text": turn.text}]
        text: str = self._processor.apply_chat_template(
            [{"role": "user", "content": content}],
            tokenize=False,
            add_generation_prompt=True,
            enable_thinking=False,
        )
        return text


def _video(turn: VideoTurn, joined: int) -> tuple[Any, dict[str, Any]]:
    """Give frames as vLLM takes them: as those of a video of 1000 frames a second, so that times are exact.

    Models that join neighbouring frames want a whole number of groups: the last frame is repeated.
    """
    import numpy as np

    more = -len(turn.frames) % joined
    frames = np.stack([*turn.frames, *turn.frames[-1:] * more])
    times = [round(second * _MILLISECONDS) for second in (*turn.seconds, *turn.seconds[-1:] * more)]
    apart = (times[-1] - times[0]) / max(1, len(times) - 1)
    total = max(1, round((apart or _MILLISECONDS) * len(times)))
    return frames, {
        "fps": float(_MILLISECONDS),
        "total_num_frames": total,
        "duration": total / _MILLISECONDS,
        "frames_indices": times,
        "width": frames.shape[2],
        "height": frames.shape[1],
        "video_backend": "aotd",
        "do_sample_frames": False,
    }
