"""Words of the household for the small models: names of its classes, and a tokenizer of CLIP's kind for them.

Each class answers to its name in STAR, to each part of that name, and to either with an article.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from typing import Any, Final

from aotd.traces.star_vocabulary import OBJECT_NAMES
from aotd.world.clip import CLASSES

__all__ = ["ABSENT", "clip_tokenizer", "names_of", "pick_names"]

ABSENT: Final = tuple(part for name in OBJECT_NAMES if name not in CLASSES for part in name.split("/"))
"""Objects that STAR knows and the household has not."""

_MERGES: Final = 400


def names_of(name: str) -> tuple[str, ...]:
    """List what a class may be called."""
    parts = dict.fromkeys((name, *name.split("/")))
    return (*parts, *(f"the {part}" for part in parts))


def pick_names(rng: random.Random, absent: int) -> list[str]:
    """Choose one name for each class, in the order of `CLASSES`, then some of what is not there."""
    return [rng.choice(names_of(name)) for name in CLASSES] + rng.sample(ABSENT, absent)


def clip_tokenizer(texts: Iterable[str], length: int) -> Any:
    """Learn byte pairs from texts; the specials come last, as CLIP's pooling wants.

    Parameters
    ----------
    length
        Longest text, in tokens, its ends among them.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    learner = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    learner.normalizer = normalizers.Lowercase()
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(pattern=" ", behavior="removed"), pre_tokenizers.Punctuation()]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=2 * len(letters) + _MERGES, show_progress=False, end_of_word_suffix="</w>"
    )
    learner.train_from_iterator(sorted(set(texts)), trainer)
    merges: Any = [tuple(pair) for pair in json.loads(learner.to_str())["model"]["merges"]]
    words = [*letters, *(f"{letter}</w>" for letter in letters)]
    words += [word for word in dict.fromkeys("".join(pair) for pair in merges) if word not in set(words)]
    vocabulary = {word: place for place, word in enumerate([*words, "<|startoftext|>", "<|endoftext|>"])}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=length)
