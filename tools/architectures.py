"""The shapes of published checkpoints, and small shapes of the same classes, as numbers.

A shape is what a model's configuration says: widths, layers, picture sizes. With it a model of the true
class and size can be built without its weights (`aotd.tools.random_weights`), and its memory be counted
before anything is downloaded (`aotd.tools.memory`). The numbers are facts from the checkpoints' own
configuration files. Holds no weights and imports no model library.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

__all__ = ["FULL", "SMALL", "Family", "Shape", "shape_of"]

Family = Literal[
    "owlv2", "grounding-dino", "clip", "llava-next-video", "llava-onevision", "qwen2.5-vl", "qwen3-vl",
    "llama", "qwen2", "qwen3", "xlm-roberta",
]  # fmt: skip

Numbers = Mapping[str, Any]


class Shape(NamedTuple):
    """A model's class and size."""

    family: Family
    text: Numbers
    """The language tower, or the whole of a language model."""
    vision: Numbers
    """The image tower; empty for a language model."""


def _decoder(
    width: int, inner: int, layers: int, heads: int, groups: int, words: int, context: int, **more: Any
) -> dict[str, Any]:
    return {
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": groups,
        "vocab_size": words,
        "max_position_embeddings": context,
        **more,
    }


def _tower(width: int, inner: int, layers: int, heads: int, **more: Any) -> dict[str, Any]:
    return {
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        **more,
    }


FULL: Final[Mapping[str, Shape]] = {
    "google/owlv2-base-patch16-ensemble": Shape(
        "owlv2",
        _tower(512, 2048, 12, 8, vocab_size=49408),
        _tower(768, 3072, 12, 12, image_size=960, patch_size=16),
    ),
    "google/owlv2-large-patch14-ensemble": Shape(
        "owlv2",
        _tower(768, 3072, 12, 12, vocab_size=49408),
        _tower(1024, 4096, 24, 16, image_size=1008, patch_size=14),
    ),
    "openai/clip-vit-base-patch32": Shape(
        "clip",
        _tower(512, 2048, 12, 8, vocab_size=49408),
        _tower(768, 3072, 12, 12, image_size=224, patch_size=32),
    ),
    "llava-hf/LLaVA-NeXT-Video-7B-DPO-hf": Shape(
        "llava-next-video",
        _decoder(4096, 11008, 32, 32, 32, 32064, 4096),
        _tower(1024, 4096, 24, 16, image_size=336, patch_size=14),
    ),
    "llava-hf/llava-onevision-qwen2-7b-ov-hf": Shape(
        "llava-onevision",
        _decoder(3584, 18944, 28, 28, 4, 152000, 32768),
        _tower(1152, 4304, 26, 16, image_size=384, patch_size=14),
    ),
    "Qwen/Qwen2.5-VL-7B-Instruct": Shape(
        "qwen2.5-vl",
        _decoder(3584, 18944, 28, 28, 4, 152064, 128000),
        {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "patch_size": 14},
    ),
    "Qwen/Qwen3-VL-8B-Instruct": Shape(
        "qwen3-vl",
        _decoder(4096, 12288, 36, 32, 8, 151936, 262144, head_dim=128),
        {"depth": 27, "hidden_size": 1152, "intermediate_size": 4304, "num_heads": 16, "patch_size": 16},
    ),
    "meta-llama/Llama-3.1-8B-Instruct": Shape("llama", _decoder(4096, 14336, 32, 32, 8, 128256, 131072), {}),
    "deepseek-ai/deepseek-coder-6.7b-instruct": Shape(
        "llama", _decoder(4096, 11008, 32, 32, 32, 32256, 16384), {}
    ),
    "Qwen/Qwen2.5-Coder-7B-Instruct": Shape("qwen2", _decoder(3584, 18944, 28, 28, 4, 152064, 32768), {}),
    "Qwen/Qwen3-4B-Instruct-2507": Shape(
        "qwen3",
        _decoder(2560, 9728, 36, 32, 8, 151936, 262144, head_dim=128, tie_word_embeddings=True),
        {},
    ),
    "BAAI/bge-m3": Shape(
        "xlm-roberta",
        _tower(1024, 4096, 24, 16, vocab_size=250002, max_position_embeddings=8194),
        {},
    ),
}
"""By hub repository."""

_SMALL_DECODER: Final = _decoder(128, 256, 2, 2, 2, 0, 16384)
_SMALL_TOWER: Final = _tower(32, 64, 2, 2)

SMALL: Final[Mapping[Family, Shape]] = {
    "owlv2": Shape("owlv2", _SMALL_TOWER, {**_SMALL_TOWER, "image_size": 256, "patch_size": 32}),
    "grounding-dino": Shape("grounding-dino", _SMALL_TOWER, {"image_size": 64, "embed_dim": 16}),
    "clip": Shape("clip", _SMALL_TOWER, {**_SMALL_TOWER, "image_size": 32, "patch_size": 8}),
    "llava-next-video": Shape(
        "llava-next-video", _SMALL_DECODER, {**_SMALL_TOWER, "image_size": 32, "patch_size": 8}
    ),
    "llava-onevision": Shape(
        "llava-onevision", _SMALL_DECODER, {**_SMALL_TOWER, "image_size": 32, "patch_size": 8}
    ),
    "qwen2.5-vl": Shape(
        "qwen2.5-vl",
        _SMALL_DECODER,
        {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "patch_size": 14},
    ),
    "qwen3-vl": Shape(
        "qwen3-vl",
        {**_SMALL_DECODER, "head_dim": 64},
        {"depth": 3, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "patch_size": 16},
    ),
    "llama": Shape("llama", _SMALL_DECODER, {}),
    "qwen2": Shape("qwen2", _SMALL_DECODER, {}),
    "qwen3": Shape("qwen3", {**_SMALL_DECODER, "head_dim": 64}, {}),
    "xlm-roberta": Shape("xlm-roberta", _tower(32, 64, 2, 2, vocab_size=0, max_position_embeddings=2050), {}),
}
"""By family; a vocabulary of 0 words takes the size of the tokenizer that goes with it."""


def shape_of(weights: str) -> Shape:
    """Give the full shape of a published checkpoint.

    Raises
    ------
    ValueError
        If it is not among those that are listed.
    """
    if weights not in FULL:
        raise ValueError(f"the shape of {weights} is not known here; known are {', '.join(FULL)}")
    return FULL[weights]
