"""Messages as the tokens that a checkpoint's chat model was trained to read, by its own chat template.

A template that has no place for a system message gets it at the head of the first user message: whether it
refuses it or drops it without a word. Models that can think aloud are asked not to, where their template can
say so. Nothing is cut. Runs no model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aotd.tools.checkpoints import Checkpoint
from aotd.tools.loading import UnusableCheckpoint, load_part
from aotd.tools.models import Message, ToolError

__all__ = ["ChatTokens", "too_long"]


class ChatTokens:
    """A checkpoint's tokenizer and chat template.

    Parameters
    ----------
    checkpoint
        Where they lie.

    Raises
    ------
    UnusableCheckpoint
        If there is no tokenizer, no chat template, or no token that ends a reply.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        from transformers import AutoTokenizer

        self._tokenizer: Any = load_part(AutoTokenizer, checkpoint)
        if self._tokenizer.chat_template is None:
            raise UnusableCheckpoint(
                f"checkpoint {checkpoint.id} has no chat template, so it is no chat model: name one that was "
                "trained on chats (often called Instruct)"
            )
        self.ends = frozenset(_ends(self._tokenizer, checkpoint))
        """Tokens that end a reply."""
        if not self.ends:
            raise UnusableCheckpoint(
                f"checkpoint {checkpoint.id} names no token that ends a reply: set eos_token_id in its "
                "generation_config.json"
            )
        known = self._tokenizer.pad_token_id
        self.pad: int = min(self.ends) if known is None else known

    def prompt(self, messages: Sequence[Message]) -> list[int] | ToolError:
        """Give the tokens of a conversation, up to where the reply begins."""
        from jinja2 import TemplateError

        system = [m.content.strip() for m in messages if m.role == "system"]
        told = ""
        try:
            text = self._render(messages)
        except TemplateError as error:
            text, told = "", str(error)
        if system and not all(part in text for part in system):
            text, told = "", told or "the system message is dropped"
            try:
                text = self._render(_folded(messages))
            except TemplateError as error:
                told = str(error)
        if not text:
            return ToolError(
                kind="bad-request", message=f"the model's chat template refuses the messages: {told}"
            )
        return self.tokens(text)

    def tokens(self, text: str) -> list[int]:
        """Give the tokens of a text, without any that mark its begin or end."""
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def text(self, ids: Sequence[int]) -> str:
        """Give the text of tokens, without the special ones."""
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=True)
        return text

    def _render(self, messages: Sequence[Message]) -> str:
        turns = [{"role": m.role, "content": m.content} for m in messages]
        text: str = self._tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
        return text


def too_long(prompt: int, longest: int, context: int) -> ToolError:
    """Say that a prompt and its longest reply, in tokens, do not fit into a model's context."""
    message = (
        f"a prompt of {prompt} tokens and a reply of up to {longest} do not fit into the model's context "
        f"of {context}"
    )
    return ToolError(kind="too-long", message=message)


def _folded(messages: Sequence[Message]) -> list[Message]:
    """Put what the system says at the head of the first user message."""
    told = [m.content for m in messages if m.role == "system"]
    turns = [m for m in messages if m.role != "system"]
    if turns and turns[0].role == "user":
        told.append(turns.pop(0).content)
    return [Message(role="user", content="\n\n".join(told)), *turns]


def _ends(tokenizer: Any, checkpoint: Checkpoint) -> set[int]:
    """Collect the tokens that end a reply, by the generation settings and by the tokenizer."""
    from transformers import GenerationConfig

    try:
        named = GenerationConfig.from_pretrained(str(checkpoint.folder), local_files_only=True).eos_token_id
    except OSError:  # a checkpoint need not have any
        named = None
    ends = {named} if isinstance(named, int) else set(named or ())
    return ends | ({tokenizer.eos_token_id} - {None})
