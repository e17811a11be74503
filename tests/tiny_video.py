"""Tiny video language models with random weights, their real processors, tokenizers and chat templates.

For tests of whatever runs such models; knows nothing of the project.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

__all__ = ["TINY", "save_tiny"]

_CORPUS: Final = [
    "What is the person doing in the video? (A) The door. (B) The cup.",
    "A person opens the red door and takes the book from the table.",
    "Reply with the letter only. yes no none before after 0 1 2 3 4 5 6 7 8 9",
] * 20
_TEMPLATE: Final = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['content'] is string %}{{ m['content'] }}"
    "{% else %}{% for c in m['content'] %}{% if c['type'] == 'text' %}{{ c['text'] }}"
    "{% elif c['type'] == 'image' %}IMAGE{% elif c['type'] == 'video' %}VIDEO{% endif %}{% endfor %}"
    "{% endif %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_LANGUAGE: Final[dict[str, Any]] = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
_VISION: Final[dict[str, Any]] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
_QWEN_MARKS: Final = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
_SQUARE: Final = {"height": 32, "width": 32}


def save_tiny(kind: str, folder: Path, *, context: int = 4096) -> Path:
    """Save a tiny model and what belongs to it; the same weights every time."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model, processor = TINY[kind](context)
        _liven(model)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _liven(model: Any) -> None:
    """Make weights large enough that what is seen decides what is said."""
    import torch

    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.mul_(10)


def _tokenizer(marks: tuple[str, ...], image: str, video: str, named: dict[str, str] | None = None) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *marks]
    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    letters = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=specials, show_progress=False, initial_alphabet=letters
    )
    words.train_from_iterator(_CORPUS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        eos_token=specials[2],
        pad_token=specials[0],
        additional_special_tokens=["<|im_start|>", *marks],
        chat_template=_TEMPLATE.replace("IMAGE", image).replace("VIDEO", video),
        **({"extra_special_tokens": named} if named else {}),
    )


def _language(tokenizer: Any, context: int) -> dict[str, Any]:
    return {
        **_LANGUAGE,
        "vocab_size": len(tokenizer),
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "max_position_embeddings": context,
    }


def _llava_tokenizer() -> Any:
    named = {"image_token": "<image>", "video_token": "<video>"}
    return _tokenizer(("<image>", "<video>"), "<image>\n", "<video>\n", named)


def _llava_next_video(context: int) -> tuple[Any, Any]:
    import transformers as hf

    tokenizer = _llava_tokenizer()
    grid = [[32, 64], [64, 32], [64, 64]]
    config = hf.LlavaNextVideoConfig(
        vision_config={
            "model_type": "clip_vision_model",
            **_VISION,
            "image_size": 32,
            "patch_size": 8,
            "projection_dim": 16,
        },
        text_config=hf.LlamaConfig(**_language(tokenizer, context), bos_token_id=None),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=grid,
        image_seq_length=16,
        video_seq_length=4,
    )
    size: dict[str, Any] = {"size": {"shortest_edge": 32}, "crop_size": _SQUARE}
    processor = hf.LlavaNextVideoProcessor(
        video_processor=hf.LlavaNextVideoVideoProcessor(**size),
        image_processor=hf.LlavaNextImageProcessor(**size, image_grid_pinpoints=grid),
        tokenizer=tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=tokenizer.chat_template,
    )
    return hf.LlavaNextVideoForConditionalGeneration(config), processor


def _llava_onevision(context: int) -> tuple[Any, Any]:
    import transformers as hf

    tokenizer = _llava_tokenizer()
    grid = [[32, 32], [32, 64], [64, 64]]
    config = hf.LlavaOnevisionConfig(
        vision_config={
            "model_type": "siglip_vision_model",
            **_VISION,
            "image_size": 32,
            "patch_size": 8,
            "vision_use_head": False,
        },
        text_config=hf.Qwen2Config(**_language(tokenizer, context), bos_token_id=None),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=grid,
    )
    processor = hf.LlavaOnevisionProcessor(
        image_processor=hf.LlavaOnevisionImageProcessor(size=_SQUARE, image_grid_pinpoints=grid),
        video_processor=hf.LlavaOnevisionVideoProcessor(size=_SQUARE),
        tokenizer=tokenizer,
        num_image_tokens=16,
        vision_feature_select_strategy="full",
        chat_template=tokenizer.chat_template,
    )
    return hf.LlavaOnevisionForConditionalGeneration(config), processor


def _qwen_tokenizer() -> Any:
    start, end, image, video = _QWEN_MARKS
    return _tokenizer(_QWEN_MARKS, f"{start}{image}{end}", f"{start}{video}{end}")


def _qwen_ids(tokenizer: Any) -> dict[str, Any]:
    names = ("vision_start_token_id", "vision_end_token_id", "image_token_id", "video_token_id")
    return dict(zip(names, tokenizer.convert_tokens_to_ids(list(_QWEN_MARKS)), strict=True))


def _qwen_language(tokenizer: Any, context: int, **more: Any) -> dict[str, Any]:
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3], **more}
    return {**_language(tokenizer, context), "rope_parameters": rope}


def _qwen_pixels(patch: int) -> dict[str, Any]:
    cell = 4 * patch * patch
    size = {"shortest_edge": 4 * cell, "longest_edge": 32 * cell}
    return {"size": size, "patch_size": patch, "temporal_patch_size": 2, "merge_size": 2}


def _qwen2_5_vl(context: int) -> tuple[Any, Any]:
    import transformers as hf

    tokenizer = _qwen_tokenizer()
    config = hf.Qwen2_5_VLConfig(
        text_config={**_qwen_language(tokenizer, context), "bos_token_id": None},
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "patch_size": 14,
            "out_hidden_size": 64,
            "fullatt_block_indexes": [1],
            "window_size": 56,
        },
        **_qwen_ids(tokenizer),
    )
    processor = hf.Qwen2_5_VLProcessor(
        image_processor=hf.Qwen2VLImageProcessor(**_qwen_pixels(14)),
        video_processor=hf.Qwen2VLVideoProcessor(**_qwen_pixels(14)),
        tokenizer=tokenizer,
        chat_template=tokenizer.chat_template,
    )
    return hf.Qwen2_5_VLForConditionalGeneration(config), processor


def _qwen3_vl(context: int) -> tuple[Any, Any]:
    import transformers as hf

    tokenizer = _qwen_tokenizer()
    config = hf.Qwen3VLConfig(
        text_config={**_qwen_language(tokenizer, context, mrope_interleaved=True), "head_dim": 16},
        vision_config={
            "depth": 3,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "patch_size": 16,
            "out_hidden_size": 64,
            "deepstack_visual_indexes": [0, 1],
            "num_position_embeddings": 64,
        },
        **_qwen_ids(tokenizer),
    )
    processor = hf.Qwen3VLProcessor(
        image_processor=hf.Qwen2VLImageProcessor(**_qwen_pixels(16)),
        video_processor=hf.Qwen3VLVideoProcessor(**_qwen_pixels(16)),
        tokenizer=tokenizer,
        chat_template=tokenizer.chat_template,
    )
    return hf.Qwen3VLForConditionalGeneration(config), processor


def _internvl(context: int) -> tuple[Any, Any]:
    import transformers as hf

    named = {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }
    tokenizer = _tokenizer(tuple(named.values()), "<IMG_CONTEXT>\n", "<video>\n", named)
    config = hf.InternVLConfig(
        vision_config={**_VISION, "image_size": [32, 32], "patch_size": [8, 8]},
        text_config=hf.Qwen2Config(**_language(tokenizer, context), bos_token_id=None),
        image_seq_length=4,
        downsample_ratio=0.5,
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
    )
    processor = hf.InternVLProcessor(
        image_processor=hf.GotOcr2ImageProcessor(size=_SQUARE, crop_to_patches=False),
        video_processor=hf.InternVLVideoProcessor(size=_SQUARE),
        tokenizer=tokenizer,
        image_seq_length=4,
        chat_template=tokenizer.chat_template,
    )
    return hf.InternVLForConditionalGeneration(config), processor


TINY: Final[dict[str, Callable[[int], tuple[Any, Any]]]] = {
    "llava-next-video": _llava_next_video,
    "llava-onevision": _llava_onevision,
    "qwen2.5-vl": _qwen2_5_vl,
    "qwen3-vl": _qwen3_vl,
    "internvl": _internvl,
}
"""Builders by kind, from the length of the context to a model and its processor."""
