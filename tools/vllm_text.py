"""A chat model in vLLM: greedy replies, all prompts at once, common beginnings of prompts computed once.

Prompts are written by the checkpoint's chat template, and vLLM holds replies with choices to them. A prompt
that does not fit is an error and never cut. The engine is `aotd.tools.vllm_engine`'s.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from aotd.tools.chat_template import ChatTokens, too_long
from aotd.tools.models import Reply, TextRequest, ToolError
from aotd.tools.vllm_engine import VllmAsk, VllmEngine

__all__ = ["VllmText"]


class VllmText:
    """A chat model of a vLLM engine.

    Parameters
    ----------
    engine
        The engine; models with other limits may share it.
    max_tokens
        Longest reply.
    """

    reads_pixels = False

    def __init__(self, engine: VllmEngine, *, max_tokens: int = 2048) -> None:
        self.identity = engine.identity(max_tokens)
        self._engine = engine
        self._max_tokens = max_tokens
        self._lock = threading.Lock()
        self._chat: ChatTokens | None = None

    def complete(self, requests: Sequence[TextRequest]) -> Sequence[Reply | ToolError]:
        """Reply to each request, in order; choices and errors as `aotd.tools.text_transformers` has them.

        Raises
        ------
        UnusableCheckpoint
            On first use, if the checkpoint is no chat model or vLLM cannot run it.
        """
        with self._lock:
            self._chat = self._chat or ChatTokens(self._engine.checkpoint)
        context = self._engine.context()
        asks = [self._ask(self._chat, context, request) for request in requests]
        replies = iter(self._engine.ask([ask for ask in asks if isinstance(ask, VllmAsk)]))
        return [ask if isinstance(ask, ToolError) else next(replies) for ask in asks]

    def _ask(self, chat: ChatTokens, context: int, request: TextRequest) -> VllmAsk | ToolError:
        prompt = chat.prompt(request.messages)
        if isinstance(prompt, ToolError):
            return prompt
        choices = request.choices or None
        # Held to a choice, a model may still spell it letter by letter.
        longest = self._max_tokens if choices is None else max(len(c.encode()) for c in choices) + 1
        if len(prompt) + longest > context:
            return too_long(len(prompt), longest, context)
        return VllmAsk({"prompt_token_ids": prompt}, longest, choices)
