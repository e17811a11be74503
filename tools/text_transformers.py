"""A chat model in this process, through transformers: greedy replies, many prompts at once.

Prompts of a batch are padded on the left and masked, and get the replies of single prompts up to rounding: in
half precision two words that are all but equally likely may swap. A model that takes no mask gets prompts of
equal length. A reply with choices is held to them token by token, as servers do it: its cost does not grow
with their number, and long choices are not at a disadvantage as they are where likelihoods are compared. A
prompt that does not fit is an error and never cut. Of a checkpoint's generation settings only the tokens that
end a reply apply. Renders no prompt template of ours; loads on first use.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aotd.tools.chat_template import ChatTokens, too_long
from aotd.tools.checkpoints import Checkpoint
from aotd.tools.extras import need_packages
from aotd.tools.loading import load_model
from aotd.tools.models import ModelIdentity, Reply, TextRequest, ToolError

if TYPE_CHECKING:
    import torch

__all__ = ["TransformersText"]

_UNMASKED: Final = frozenset({"rwkv"})
"""Kinds of model whose state runs through padding whatever the mask: of 20 that were tried, this one."""


class _Loaded(NamedTuple):
    model: Any
    chat: ChatTokens
    context: int | None
    """Longest prompt and reply, in tokens; None if there is no bound."""
    masked: bool


class _Weights:
    """What equal checkpoints share: weights that are loaded once, and whose turn it is to use them."""

    def __init__(self, checkpoint: Checkpoint, device: str, dtype: str) -> None:
        self.checkpoint = checkpoint
        self.dtype = dtype
        self.lock = threading.Lock()
        self._device = device
        self._loaded: _Loaded | None = None

    def load(self) -> _Loaded:
        """Load on first use; the caller holds the lock."""
        if self._loaded is None:
            from transformers import AutoModelForCausalLM, GenerationConfig

            chat = ChatTokens(self.checkpoint)
            model = load_model(AutoModelForCausalLM, self.checkpoint, self.dtype, self._device)
            model.generation_config = GenerationConfig()  # else its sampling settings slip into ours
            context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
            masked = model.config.model_type not in _UNMASKED
            self._loaded = _Loaded(model, chat, context, masked)
        return self._loaded


class _Job(NamedTuple):
    """One prompt, ready to be run."""

    place: int
    prompt: list[int]
    longest: int
    """Most tokens of its reply."""
    choices: dict[tuple[int, ...], str] | None
    """Texts by their tokens."""


class TransformersText:
    """A chat model of a checkpoint; may be called from many threads, and answers one at a time.

    Parameters
    ----------
    checkpoint
        Its folder; read on first use.
    device, dtype
        Such as `cuda:0` and `bfloat16`.
    max_tokens
        Longest reply.
    prompts_at_once
        Prompts in one pass.

    Raises
    ------
    ModuleNotFoundError
        If torch or transformers is not installed.
    """

    reads_pixels = False

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        device: str,
        dtype: str,
        max_tokens: int = 2048,
        prompts_at_once: int = 8,
    ) -> None:
        need_packages("a chat model in this process", "hf", "torch", "transformers")
        self._weights = _Weights(checkpoint, device, dtype)
        self._max_tokens = max_tokens
        self._prompts_at_once = prompts_at_once

    @property
    def identity(self) -> ModelIdentity:
        """What decides its replies: neither the device nor how many prompts are run at once."""
        checkpoint = self._weights.checkpoint
        return ModelIdentity(
            id=f"transformers/{checkpoint.id}",
            revision=checkpoint.revision,
            dtype=self._weights.dtype,
            generation={"temperature": 0.0, "max_tokens": self._max_tokens, "thinking": False},
        )

    def sharing(self, *, max_tokens: int, prompts_at_once: int) -> TransformersText:
        """Give the same model with other limits; both use the same weights."""
        other = copy.copy(self)
        other._max_tokens = max_tokens
        other._prompts_at_once = prompts_at_once
        return other

    def complete(self, requests: Sequence[TextRequest]) -> Sequence[Reply | ToolError]:
        """Reply to each request, in order.

        A reply to a request with choices is one of them, however long. A prompt that leaves no room for the
        longest reply is an error of kind `too-long`.

        Raises
        ------
        UnusableCheckpoint
            On first use, if the checkpoint does not load or is no chat model.
        """
        if not requests:
            return []
        with self._weights.lock:
            loaded = self._weights.load()
            jobs = [self._job(loaded, place, request) for place, request in enumerate(requests)]
            answers = {job.place: reply for batch in self._batches(loaded, jobs) for job, reply in batch}
        return [job if isinstance(job, ToolError) else answers[place] for place, job in enumerate(jobs)]

    def _job(self, loaded: _Loaded, place: int, request: TextRequest) -> _Job | ToolError:
        prompt = loaded.chat.prompt(request.messages)
        if isinstance(prompt, ToolError):
            return prompt
        choices = None
        longest = self._max_tokens
        if request.choices:
            choices = {tuple(loaded.chat.tokens(choice)): choice for choice in request.choices}
            longest = max(map(len, choices)) + 1
        if loaded.context is not None and len(prompt) + longest > loaded.context:
            return too_long(len(prompt), longest, loaded.context)
        return _Job(place, prompt, longest, choices)

    def _batches(
        self, loaded: _Loaded, jobs: Sequence[_Job | ToolError]
    ) -> Iterator[list[tuple[_Job, Reply]]]:
        """Run what can be run, like with like: prompts of a batch wait for its longest reply."""
        left = [job for job in jobs if isinstance(job, _Job)]
        left.sort(key=lambda job: (job.choices is None, len(job.prompt)))
        while left:
            first = left[0]
            batch = [
                job
                for job in left[: self._prompts_at_once]
                if (job.choices is None) == (first.choices is None)
                and (loaded.masked or len(job.prompt) == len(first.prompt))
            ]
            left = left[len(batch) :]
            yield list(zip(batch, _run(loaded, batch), strict=True))


def _run(loaded: _Loaded, batch: Sequence[_Job]) -> list[Reply]:
    import torch
    from transformers import GenerationConfig

    width = max(len(job.prompt) for job in batch)
    ends = sorted(loaded.chat.ends)
    padded = [[loaded.chat.pad] * (width - len(job.prompt)) + job.prompt for job in batch]
    mask = [[0] * (width - len(job.prompt)) + [1] * len(job.prompt) for job in batch]
    settings = GenerationConfig(
        do_sample=False,
        num_beams=1,
        max_new_tokens=max(job.longest for job in batch),
        eos_token_id=ends,
        pad_token_id=loaded.chat.pad,
    )
    device = loaded.model.device
    with torch.inference_mode():
        tokens = loaded.model.generate(
            input_ids=torch.tensor(padded, device=device),
            attention_mask=torch.tensor(mask, device=device),
            generation_config=settings,
            prefix_allowed_tokens_fn=None if batch[0].choices is None else _holder(batch, width, ends),
        )
    return [_reply(loaded.chat, job, row) for job, row in zip(batch, tokens[:, width:].tolist(), strict=True)]


def _holder(batch: Sequence[_Job], width: int, ends: list[int]) -> Callable[[int, torch.Tensor], list[int]]:
    """Give the function that says which tokens may come next in a row."""

    def allowed(row: int, tokens: torch.Tensor) -> list[int]:
        said = tuple(tokens[width:].tolist())
        choices = batch[row].choices or {}
        following = {c[len(said)] for c in choices if len(c) > len(said) and c[: len(said)] == said}
        return sorted(following) + (ends if said in choices or not following else [])

    return allowed


def _reply(chat: ChatTokens, job: _Job, row: Sequence[int]) -> Reply:
    end = next((place for place, token in enumerate(row) if token in chat.ends), None)
    said = tuple(row if end is None else row[:end])
    return Reply(
        text=chat.text(said) if job.choices is None else job.choices[said],
        truncated=end is None,
        prompt_tokens=len(job.prompt),
        reply_tokens=len(said) + (end is not None),
    )
