"""What is known of published checkpoints: what each is for, its licence, its size, where it comes from.

Facts that a person wants before a download, for `aotd models`, `aotd doctor` and docs/models.md. What is not
listed runs all the same. Licences are those of the weights as their publishers state them: read them before
you rely on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

__all__ = ["PUBLISHED", "UNIVTG_SOURCE", "Published"]


class Published(NamedTuple):
    """One checkpoint."""

    what: str
    """Role and architecture."""
    licence: str
    millions: float
    """Parameters, in millions."""
    why: str
    """Why a preset names it."""


PUBLISHED: Final[Mapping[str, Published]] = {
    "deepseek-ai/deepseek-coder-6.7b-instruct": Published(
        "planner, Llama class", "DeepSeek Model License", 6740.5, "AoTD's planner: best of its Table 1"
    ),
    "google/owlv2-base-patch16-ensemble": Published(
        "detector, OWLv2", "Apache-2.0", 155.0, "AoTD's detector: best of its Table 1"
    ),
    "google/owlv2-large-patch14-ensemble": Published(
        "detector, OWLv2", "Apache-2.0", 437.6, "the same detector, next size; its features serve all nouns"
    ),
    "timm/vit_base_patch32_clip_224.openai": Published(
        "features for UniVTG, open_clip", "MIT", 151.3, "the features that UniVTG was trained on"
    ),
    "openai/clip-vit-base-patch32": Published(
        "features for UniVTG, label check, transformers", "MIT", 151.3, "the same weights for transformers"
    ),
    "llava-hf/LLaVA-NeXT-Video-7B-DPO-hf": Published(
        "video model, LLaVA-NeXT-Video",
        "Llama 2 Community",
        7063.4,
        "AoTD's video model: best of its Table 1",
    ),
    "Qwen/Qwen3-VL-8B-Instruct": Published(
        "video model, Qwen3-VL", "Apache-2.0", 8767.1, "reads time stamps of frames; free to use"
    ),
    "Qwen/Qwen2.5-VL-7B-Instruct": Published(
        "video model, Qwen2.5-VL", "Apache-2.0", 8292.2, "a smaller context, widely measured"
    ),
    "llava-hf/llava-onevision-qwen2-7b-ov-hf": Published(
        "video model, LLaVA-OneVision", "Apache-2.0", 8029.9, "AoTD's second student"
    ),
    "meta-llama/Llama-3.1-8B-Instruct": Published(
        "selector, writer, judge, Llama class",
        "Llama 3.1, gated",
        8030.3,
        "AoTD's model for telling and judging chains",
    ),
    "Qwen/Qwen2.5-Coder-7B-Instruct": Published(
        "planner, Qwen2 class", "Apache-2.0", 7615.6, "writes short programs without thinking aloud"
    ),
    "Qwen/Qwen3-4B-Instruct-2507": Published(
        "selector, writer, judge, Qwen3 class", "Apache-2.0", 4022.5, "half the size, answers at once"
    ),
    "BAAI/bge-m3": Published(
        "embedder, XLM-RoBERTa", "MIT", 567.8, "matches options by meaning in a hundred languages"
    ),
    "IDEA-Research/grounding-dino-base": Published(
        "detector, Grounding DINO", "Apache-2.0", 232.0, "an alternative to OWLv2"
    ),
}
"""By hub repository. Sizes are counted from `aotd.tools.architectures` where it has the shape."""

UNIVTG_SOURCE: Final = (
    "UniVTG's checkpoint is linked from the README of github.com/showlab/UniVTG (MIT): set "
    "grounder.weights to the file"
)
"""The one checkpoint that lies on no hub."""
