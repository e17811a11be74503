"""Configuration and processor of a model of a given shape, class by class, for models with made-up weights.

One function for each family of `aotd.tools.architectures`; each gives the configuration and whatever stands
before the model, a processor or a tokenizer. Makes no model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from aotd.tools.architectures import Family, Shape
from aotd.tools.random_tokenizers import byte_pairs, chat_tokenizer, clip_tokenizer

__all__ = ["BUILD"]

_QWEN_MARKS: Final = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")


def _ends(tokenizer: Any) -> dict[str, Any]:
    return {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}


def _sized(numbers: Any, tokenizer: Any) -> dict[str, Any]:
    """Give numbers with a vocabulary, and the ids of the tokenizer's ends."""
    return {**numbers, "vocab_size": numbers.get("vocab_size") or len(tokenizer), **_ends(tokenizer)}


def _clip_text(shape: Shape, tokenizer: Any, length: int) -> dict[str, Any]:
    bos = {"bos_token_id": tokenizer.bos_token_id}
    return {**_sized(shape.text, tokenizer), **bos, "max_position_embeddings": length}


def _owlv2(shape: Shape) -> tuple[Any, Any]:
    from transformers import Owlv2Config, Owlv2ImageProcessor, Owlv2Processor

    tokenizer = clip_tokenizer(64)
    side = shape.vision["image_size"]
    config = Owlv2Config(
        text_config=_clip_text(shape, tokenizer, 64),
        vision_config=dict(shape.vision),
        projection_dim=shape.text["hidden_size"],
    )
    images = Owlv2ImageProcessor(size={"height": side, "width": side})
    return config, Owlv2Processor(image_processor=images, tokenizer=tokenizer)


def _grounding_dino(shape: Shape) -> tuple[Any, Any]:
    from transformers import (
        BertConfig,
        BertTokenizer,
        GroundingDinoConfig,
        GroundingDinoImageProcessor,
        GroundingDinoProcessor,
        SwinConfig,
    )

    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *".,?!'/", *(f"##{c}" for c in letters)]
    tokenizer = BertTokenizer(vocab={token: place for place, token in enumerate(tokens)})
    text = BertConfig(**{**shape.text, "vocab_size": len(tokenizer)})
    numbers = {**shape.vision, "out_features": ["stage2", "stage3", "stage4"]}
    image = SwinConfig(**numbers, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=4)
    config = GroundingDinoConfig(
        backbone_config=image,
        text_config=text,
        num_queries=20,
        encoder_layers=2,
        decoder_layers=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        d_model=32,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        num_feature_levels=4,
        disable_custom_kernels=True,
    )
    images = GroundingDinoImageProcessor(size={"shortest_edge": 64, "longest_edge": 96})
    return config, GroundingDinoProcessor(image_processor=images, tokenizer=tokenizer)


def _clip(shape: Shape) -> tuple[Any, Any]:
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPProcessor

    tokenizer = clip_tokenizer(77)
    side = shape.vision["image_size"]
    config = CLIPConfig(
        text_config=_clip_text(shape, tokenizer, 77),
        vision_config=dict(shape.vision),
        projection_dim=shape.text["hidden_size"],
    )
    images = CLIPImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
    return config, CLIPProcessor(image_processor=images, tokenizer=tokenizer)


def _llava_tokenizer() -> Any:
    named = {"image_token": "<image>", "video_token": "<video>"}
    return chat_tokenizer(tuple(named.values()), "<image>\n", "<video>\n", named)


def _llava_next_video(shape: Shape) -> tuple[Any, Any]:
    import transformers as hf

    tokenizer = _llava_tokenizer()
    side, patch = shape.vision["image_size"], shape.vision["patch_size"]
    grid = [[side, 2 * side], [2 * side, side], [2 * side, 2 * side]]
    across = side // patch
    config = hf.LlavaNextVideoConfig(
        vision_config={"model_type": "clip_vision_model", "projection_dim": 768, **shape.vision},
        text_config=hf.LlamaConfig(**_sized(shape.text, tokenizer), bos_token_id=None),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=grid,
        image_seq_length=across**2,
        video_seq_length=(across // 2) ** 2,
    )
    sizes: dict[str, Any] = {"size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side}}
    processor = hf.LlavaNextVideoProcessor(
        video_processor=hf.LlavaNextVideoVideoProcessor(**sizes),
        image_processor=hf.LlavaNextImageProcessor(**sizes, image_grid_pinpoints=grid),
        tokenizer=tokenizer,
        patch_size=patch,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,  # the tower's class token
        chat_template=tokenizer.chat_template,
    )
    return config, processor


def _llava_onevision(shape: Shape) -> tuple[Any, Any]:
    import transformers as hf

    tokenizer = _llava_tokenizer()
    side, patch = shape.vision["image_size"], shape.vision["patch_size"]
    grid = [[side, side], [side, 2 * side], [2 * side, 2 * side]]
    config = hf.LlavaOnevisionConfig(
        vision_config={"model_type": "siglip_vision_model", "vision_use_head": False, **shape.vision},
        text_config=hf.Qwen2Config(**_sized(shape.text, tokenizer), bos_token_id=None),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=grid,
    )
    square: dict[str, Any] = {"size": {"height": side, "width": side}}
    processor = hf.LlavaOnevisionProcessor(
        image_processor=hf.LlavaOnevisionImageProcessor(**square, image_grid_pinpoints=grid),
        video_processor=hf.LlavaOnevisionVideoProcessor(**square),
        tokenizer=tokenizer,
        num_image_tokens=(side // patch) ** 2,
        vision_feature_select_strategy="full",
        chat_template=tokenizer.chat_template,
    )
    return config, processor


def _qwen_ids(tokenizer: Any) -> dict[str, Any]:
    names = ("vision_start_token_id", "vision_end_token_id", "image_token_id", "video_token_id")
    return dict(zip(names, tokenizer.convert_tokens_to_ids(list(_QWEN_MARKS)), strict=True))


def _qwen_text(shape: Shape, tokenizer: Any, **more: Any) -> dict[str, Any]:
    numbers = _sized(shape.text, tokenizer)
    half = numbers["hidden_size"] // numbers["num_attention_heads"] // 2
    side = 3 * half // 8
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [half - 2 * side, side, side]}
    return {**numbers, "rope_parameters": {**rope, **more}}


def _qwen_tokenizer() -> Any:
    start, end, image, video = _QWEN_MARKS
    return chat_tokenizer(_QWEN_MARKS, f"{start}{image}{end}", f"{start}{video}{end}")


def _qwen_pixels(shape: Shape) -> dict[str, Any]:
    cell = 2 * shape.vision["patch_size"]
    size = {
        "shortest_edge": 4 * cell**2,
        "longest_edge": (32 if shape.text["hidden_size"] < 1024 else 768) * cell**2,
    }
    return {"size": size, "patch_size": shape.vision["patch_size"], "temporal_patch_size": 2, "merge_size": 2}


def _qwen25_vl(shape: Shape) -> tuple[Any, Any]:
    import transformers as hf

    tokenizer = _qwen_tokenizer()
    depth = shape.vision["depth"]
    whole = [depth // 4 * k - 1 for k in (1, 2, 3, 4)] if depth >= 8 else [depth - 1]
    config = hf.Qwen2_5_VLConfig(
        text_config={**_qwen_text(shape, tokenizer), "bos_token_id": None},
        vision_config={
            **shape.vision,
            "out_hidden_size": shape.text["hidden_size"],
            "fullatt_block_indexes": whole,
            "window_size": 112 if depth >= 8 else 56,
        },
        **_qwen_ids(tokenizer),
    )
    pixels = _qwen_pixels(shape)
    processor = hf.Qwen2_5_VLProcessor(
        image_processor=hf.Qwen2VLImageProcessor(**pixels),
        video_processor=hf.Qwen2VLVideoProcessor(**pixels),
        tokenizer=tokenizer,
        chat_template=tokenizer.chat_template,
    )
    return config, processor


def _qwen3_vl(shape: Shape) -> tuple[Any, Any]:
    import transformers as hf

    tokenizer = _qwen_tokenizer()
    depth = shape.vision["depth"]
    config = hf.Qwen3VLConfig(
        text_config=_qwen_text(shape, tokenizer, mrope_interleaved=True),
        vision_config={
            **shape.vision,
            "out_hidden_size": shape.text["hidden_size"],
            "deepstack_visual_indexes": [8, 16, 24] if depth > 24 else [0, 1],
            "num_position_embeddings": 2304 if depth > 24 else 64,
        },
        **_qwen_ids(tokenizer),
    )
    pixels = _qwen_pixels(shape)
    processor = hf.Qwen3VLProcessor(
        image_processor=hf.Qwen2VLImageProcessor(**pixels),
        video_processor=hf.Qwen3VLVideoProcessor(**pixels),
        tokenizer=tokenizer,
        chat_template=tokenizer.chat_template,
    )
    return config, processor


def _llama(shape: Shape) -> tuple[Any, Any]:
    from transformers import LlamaConfig

    tokenizer = chat_tokenizer()
    return LlamaConfig(**_sized(shape.text, tokenizer), bos_token_id=None), tokenizer


def _qwen2(shape: Shape) -> tuple[Any, Any]:
    from transformers import Qwen2Config

    tokenizer = chat_tokenizer()
    return Qwen2Config(**_sized(shape.text, tokenizer), bos_token_id=None), tokenizer


def _qwen3(shape: Shape) -> tuple[Any, Any]:
    from transformers import Qwen3Config

    tokenizer = chat_tokenizer()
    return Qwen3Config(**_sized(shape.text, tokenizer), bos_token_id=None), tokenizer


def _xlm_roberta(shape: Shape) -> tuple[Any, Any]:
    from transformers import PreTrainedTokenizerFast, XLMRobertaConfig

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=byte_pairs(("<s>", "<pad>", "</s>", "<unk>")),
        bos_token="<s>",
        cls_token="<s>",
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=shape.text["max_position_embeddings"] - 2,
    )
    return XLMRobertaConfig(**_sized(shape.text, tokenizer), bos_token_id=0), tokenizer


BUILD: Final[Mapping[Family, Callable[[Shape], tuple[Any, Any]]]] = {
    "owlv2": _owlv2,
    "grounding-dino": _grounding_dino,
    "clip": _clip,
    "llava-next-video": _llava_next_video,
    "llava-onevision": _llava_onevision,
    "qwen2.5-vl": _qwen25_vl,
    "qwen3-vl": _qwen3_vl,
    "llama": _llama,
    "qwen2": _qwen2,
    "qwen3": _qwen3,
    "xlm-roberta": _xlm_roberta,
}
