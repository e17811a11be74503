"""Tokenizers for models with made-up weights: of the true classes, from the words of our own examples.

Equal on every machine, so that a run with made-up weights can be resumed. They know no published vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from aotd.prompts.loader import examples

__all__ = ["byte_pairs", "chat_tokenizer", "clip_tokenizer"]

_CHAT: Final = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['content'] is string %}{{ m['content'] }}"
    "{% else %}{% for c in m['content'] %}{% if c['type'] == 'text' %}{{ c['text'] }}"
    "{% elif c['type'] == 'image' %}IMAGE{% elif c['type'] == 'video' %}VIDEO{% endif %}{% endfor %}"
    "{% endif %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_WORDS: Final = 800


def _corpus() -> list[str]:
    return [*examples().values(), "<|im_start|>user What is the person doing in the video? yes no (A) (B)"]


def byte_pairs(specials: tuple[str, ...], texts: Iterable[str] | None = None, words: int = _WORDS) -> Any:
    """Learn a byte-level vocabulary, of our examples unless other texts are given; `specials` come first."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=words,
        special_tokens=list(specials),
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(_corpus() if texts is None else texts, trainer)
    return tokenizer


def chat_tokenizer(
    marks: tuple[str, ...] = (), image: str = "", video: str = "", named: dict[str, str] | None = None
) -> Any:
    """Make a tokenizer with a chat template.

    Parameters
    ----------
    marks
        Special tokens beside those of the template.
    image, video
        What the template writes for a picture and a film.
    named
        Names that a processor looks special tokens up by.
    """
    from transformers import PreTrainedTokenizerFast

    specials = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", *marks)
    return PreTrainedTokenizerFast(
        tokenizer_object=byte_pairs(specials),
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>", *marks],
        padding_side="left",
        chat_template=_CHAT.replace("IMAGE", image).replace("VIDEO", video),
        **({"extra_special_tokens": named} if named else {}),
    )


def clip_tokenizer(length: int) -> Any:
    """Make a tokenizer of CLIP's kind, letter by letter; its specials come last, as CLIP's pooling wants."""
    from tokenizers import pre_tokenizers
    from transformers import CLIPTokenizer

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(
        vocab={word: place for place, word in enumerate(words)}, merges=[], model_max_length=length
    )
