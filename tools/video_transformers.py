"""Video language models in this process, through transformers.

LLaVA-NeXT-Video, LLaVA-OneVision, Qwen2.5-VL, Qwen3-VL, InternVL and others of their kind: the checkpoint's
own processor and chat template decide how a turn is written; frames are handed over as they are, already
sampled. Replies are greedy: whatever sampling or penalties a checkpoint suggests is left out. Turns of equal
length run together without padding, so that a reply does not depend on its neighbours but for rounding. A
prompt that does not fit the checkpoint's context is refused, never cut. Loads weights when first asked. Does
not hold replies to their choices: whoever reads them has rules for that.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Hashable, Iterator, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aotd.tools.checkpoints import Checkpoint
from aotd.tools.extras import need_packages
from aotd.tools.loading import UnusableCheckpoint, load_model, load_part, torch_device
from aotd.tools.models import ModelIdentity, Reply, ToolError
from aotd.tools.torchvision_cpu import mend_torchvision
from aotd.tools.video_chat import VideoTurn

if TYPE_CHECKING:
    import torch

    Inputs = Mapping[str, torch.Tensor]

__all__ = ["TransformersVideoChat"]

_TEXT_TOKENS: Final = 256
"""Room that is left at the start for a turn's words; ours take 60 to 250."""

_USUAL_SIZE: Final = (480, 640)
"""Height and width of the frames that the context is tried with; some models take more tokens for larger."""

_MILLISECONDS: Final = 1000


class _Loaded(NamedTuple):
    model: Any
    processor: Any
    ends: frozenset[int]
    """Tokens that end a reply."""
    context: int | None
    """Longest prompt and reply together, in tokens."""


class TransformersVideoChat:
    """A video language model of transformers.

    Thread-safe; one turn of the model runs at a time.

    Parameters
    ----------
    checkpoint
        Where it lies.
    device, dtype
        Such as `cuda:0` and `bfloat16`.
    max_frames
        Frames in one turn, at most.
    max_tokens
        Longest reply.
    clips_at_once
        Turns that run together, at most.
    context
        Longest prompt and reply, in tokens; by default what the checkpoint was made for. More than that is
        at the caller's own risk.

    Raises
    ------
    ModuleNotFoundError
        If torch, torchvision or transformers is not installed.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        device: str,
        dtype: str,
        max_frames: int = 32,
        max_tokens: int = 100,
        clips_at_once: int = 4,
        context: int | None = None,
    ) -> None:
        need_packages("a video language model in this process", "hf", "torch", "torchvision", "transformers")
        self.max_frames = max_frames
        self._checkpoint = checkpoint
        self._device = device
        self._dtype = dtype
        self._max_tokens = max_tokens
        self._clips_at_once = clips_at_once
        self._context = context
        self._lock = threading.Lock()
        self._parts: tuple[Any, int | None] | None = None
        self._loaded: _Loaded | None = None
        self.identity = ModelIdentity(
            id=f"transformers/{checkpoint.id}",
            revision=checkpoint.revision,
            dtype=dtype,
            settings={"max_frames": max_frames, "context": context},
            generation={"temperature": 0.0, "max_tokens": max_tokens},
        )

    def check(self) -> None:
        """See, without loading weights, that a full turn can be asked.

        Raises
        ------
        UnusableCheckpoint
            If the folder holds no video language model, a full turn does not fit its context, or the device
            is not here.
        """
        torch_device(self._device)
        self._prepared()

    def chat(self, turns: Sequence[VideoTurn]) -> Sequence[Reply | ToolError]:
        """Reply to each turn; one that is longer than the context is an error of its own.

        Raises
        ------
        UnusableCheckpoint
            As `load`.
        """
        if not turns:
            return []
        with self._lock:
            loaded = self._ready()
            answers: dict[int, Reply | ToolError] = {}
            for places in _batches([_likeness(loaded, turn) for turn in turns], self._clips_at_once):
                inputs = [_inputs(loaded.processor, turns[place]) for place in places]
                for group in _batches([_shapes(of) for of in inputs], self._clips_at_once):
                    replies = self._generate(loaded, [inputs[k] for k in group])
                    answers.update(zip((places[k] for k in group), replies, strict=True))
        return [answers[place] for place in range(len(turns))]

    def _ready(self) -> _Loaded:
        if self._loaded is None:
            from transformers import AutoModelForImageTextToText

            processor, context = self._prepared()  # before the weights, which take minutes
            model = load_model(AutoModelForImageTextToText, self._checkpoint, self._dtype, self._device)
            ends = {
                *_listed(model.generation_config.eos_token_id),
                *_listed(processor.tokenizer.eos_token_id),
            }
            if not ends:
                raise UnusableCheckpoint(
                    f"checkpoint {self._checkpoint.id} names no token that ends a reply: set eos_token_id in "
                    "its generation_config.json"
                )
            model.generation_config = _greedy(processor.tokenizer, ends, self._max_tokens)
            self._loaded = _Loaded(model, processor, frozenset(ends), context)
        return self._loaded

    def _prepared(self) -> tuple[Any, int | None]:
        """Load the processor once, and give it with the longest prompt and reply, in tokens."""
        if self._parts is not None:
            return self._parts
        mend_torchvision()
        from transformers import AutoConfig, AutoProcessor

        processor = _video_processor(load_part(AutoProcessor, self._checkpoint), self._checkpoint)
        config = load_part(AutoConfig, self._checkpoint).get_text_config()
        context = self._context or getattr(config, "max_position_embeddings", None)
        self._check_context(processor, context)
        self._parts = processor, context
        return self._parts

    def _check_context(self, processor: Any, context: int | None) -> None:
        """Refuse settings with which every full clip would be too long."""
        if context is None:
            return
        room = context - self._max_tokens - _TEXT_TOKENS

        def tokens(frames: int) -> int:
            return _length(_inputs(processor, _blank(frames)))

        taken = tokens(self.max_frames)
        if taken <= room:
            return
        fitting = bisect_right(range(1, self.max_frames), room, key=tokens)
        mend = f"set max_frames={fitting}, or a larger context" if fitting else "set a larger context"
        raise UnusableCheckpoint(
            f"checkpoint {self._checkpoint.id} takes {context} tokens; {self.max_frames} frames are {taken}, "
            f"words about {_TEXT_TOKENS}, the reply {self._max_tokens}: {mend}"
        )

    def _generate(self, loaded: _Loaded, inputs: Sequence[Inputs]) -> Sequence[Reply | ToolError]:
        """Reply to turns whose inputs have equal shapes."""
        import torch

        length = _length(inputs[0])
        if loaded.context is not None and length + self._max_tokens > loaded.context:
            failed = ToolError(
                kind="too-long",
                message=f"the turn takes {length} tokens and its reply up to {self._max_tokens}, but "
                f"{self._checkpoint.id} holds {loaded.context}: set fewer max_frames",
            )
            return [failed] * len(inputs)
        joined = {name: torch.cat([each[name] for each in inputs]) for name in inputs[0]}
        with torch.inference_mode():
            made = loaded.model.generate(**_placed(joined, loaded.model))
        return [self._reply(loaded, row[length:].tolist(), length) for row in made]

    def _reply(self, loaded: _Loaded, tokens: Sequence[int], prompt_tokens: int) -> Reply:
        """Read a row of tokens up to the first that ends it; what follows is padding."""
        end = next((k for k, token in enumerate(tokens) if token in loaded.ends), None)
        said = tokens if end is None else tokens[:end]
        return Reply(
            text=loaded.processor.tokenizer.decode(said, skip_special_tokens=True),
            truncated=end is None,
            prompt_tokens=prompt_tokens,
            reply_tokens=len(said) + (end is not None),
        )


def _video_processor(processor: Any, checkpoint: Checkpoint) -> Any:
    """Check that a processor takes videos in a chat, and settle what its versions do differently."""
    for what, there in (
        ("video processor", getattr(processor, "video_processor", None)),
        ("chat template", getattr(processor, "chat_template", None)),
    ):
        if there is None:
            raise UnusableCheckpoint(
                f"checkpoint {checkpoint.id} ({checkpoint.folder}) has no {what}: it is no video language "
                "model that transformers can chat with"
            )
    videos = processor.video_processor
    if getattr(videos, "cap_pixels_per_frame", True) is None:
        # Not set: releases differ in what that means. Capped is what Qwen's own code does.
        videos.cap_pixels_per_frame = True
    return processor


def _greedy(tokenizer: Any, ends: Set[int], max_tokens: int) -> Any:
    """Make generation settings that know nothing of the checkpoint's own but where a reply ends."""
    from transformers import GenerationConfig

    pad = tokenizer.pad_token_id
    return GenerationConfig(
        do_sample=False,
        num_beams=1,
        max_new_tokens=max_tokens,
        eos_token_id=sorted(ends),
        pad_token_id=min(ends) if pad is None else pad,
    )


def _listed(tokens: int | list[int] | None) -> list[int]:
    if tokens is None:
        return []
    return tokens if isinstance(tokens, list) else [tokens]


def _inputs(processor: Any, turn: VideoTurn) -> Inputs:
    """Make a model's inputs of one turn."""
    import numpy as np

    frames, seconds = list(turn.frames), list(turn.seconds)
    # Models that join neighbouring frames want a whole number of pairs; Qwen's own code repeats the last.
    for _ in range(-len(frames) % getattr(processor.video_processor, "temporal_patch_size", 1)):
        frames.append(frames[-1])
        seconds.append(seconds[-1])
    prompt = _prompt(processor, turn)
    bos = processor.tokenizer.bos_token
    made = processor(
        text=[prompt],
        videos=[np.stack(frames)],
        video_metadata=[_metadata(frames, seconds)],
        do_sample_frames=False,
        add_special_tokens=not (bos and prompt.startswith(bos)),
        return_tensors="pt",
    )
    return dict(made)


def _prompt(processor: Any, turn: VideoTurn) -> str:
    content = [{"type": "video"}, {"type": "text", "text": turn.text}]
    prompt = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    return str(prompt)


def _metadata(frames: Sequence[Any], seconds: Sequence[float]) -> dict[str, Any]:
    """Say when each frame is: as frame of a video of 1000 frames a second.

    Qwen3-VL writes the times into the prompt, Qwen2.5-VL takes the mean distance from it; other models look
    at neither.
    """
    times = [round(second * _MILLISECONDS) for second in seconds]
    apart = (times[-1] - times[0]) / max(1, len(times) - 1)
    total = max(1, round((apart or _MILLISECONDS) * len(times)))
    height, width = frames[0].shape[:2]
    return {
        "total_num_frames": total,
        "fps": float(_MILLISECONDS),
        "duration": total / _MILLISECONDS,
        "frames_indices": times,
        "width": width,
        "height": height,
    }


def _blank(frames: int) -> VideoTurn:
    """Make a turn of frames of the usual size without words."""
    import numpy as np

    frame = np.zeros((*_USUAL_SIZE, 3), np.uint8)
    return VideoTurn("", (frame,) * frames, tuple(map(float, range(frames))))


def _likeness(loaded: _Loaded, turn: VideoTurn) -> Hashable:
    """Tell turns apart that cannot be of one length, before their frames are worked on."""
    words = loaded.processor.tokenizer(turn.text, add_special_tokens=False)["input_ids"]
    return len(words), len(turn.frames), turn.frames[0].shape


def _shapes(inputs: Inputs) -> Hashable:
    return tuple((name, tuple(tensor.shape)) for name, tensor in inputs.items())


def _length(inputs: Inputs) -> int:
    return int(inputs["input_ids"].shape[1])


def _batches(kinds: Sequence[Hashable], most: int) -> Iterator[list[int]]:
    """Group the places of equal kinds, in batches of at most `most`."""
    alike: dict[Hashable, list[int]] = {}
    for place, kind in enumerate(kinds):
        alike.setdefault(kind, []).append(place)
    for places in alike.values():
        yield from (places[k : k + most] for k in range(0, len(places), most))


def _placed(inputs: Inputs, model: Any) -> dict[str, Any]:
    """Move inputs to the model; pixels take its type, but times and positions stay exact."""
    return {
        name: tensor.to(model.device, model.dtype)
        if name.startswith("pixel_values")
        else tensor.to(model.device)
        for name, tensor in inputs.items()
    }
