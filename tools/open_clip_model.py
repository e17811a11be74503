"""Load a CLIP of open_clip's layout from a folder: weights as tensors only, none made up unless so marked.

Needs the extra `clip`. Knows neither features nor labels.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from aotd.tools.checkpoints import Checkpoint
from aotd.tools.extras import need_packages
from aotd.tools.loading import UnusableCheckpoint, torch_device
from aotd.tools.torchvision_cpu import mend_torchvision

__all__ = ["OpenClipModel", "load_open_clip"]


class OpenClipModel(NamedTuple):
    """A model in evaluation mode and its tokenizer."""

    model: Any
    tokenizer: Any


def load_open_clip(checkpoint: Checkpoint, dtype: str, device: str) -> OpenClipModel:
    """Load a model; its preprocessing squashes pictures to a square.

    Raises
    ------
    ModuleNotFoundError
        Without open_clip, with the command that installs it.
    UnusableCheckpoint
        If the folder is of another layout, or does not load.
    """
    told = f"checkpoint {checkpoint.id} ({checkpoint.folder})"
    if not (checkpoint.folder / "open_clip_config.json").is_file():
        raise UnusableCheckpoint(f"{told} holds no open_clip_config.json: set clip.kind=transformers")
    need_packages(f"{told} of open_clip", "clip", "open_clip")
    mend_torchvision()
    import open_clip
    import torch

    place, made_up = torch_device(device), checkpoint.seed is not None
    name = f"local-dir:{checkpoint.folder}"
    try:
        with torch.random.fork_rng(devices=[place] if place.type == "cuda" else []):
            torch.manual_seed(checkpoint.seed or 0)
            model = open_clip.create_model(
                name,
                precision={"float32": "fp32", "bfloat16": "pure_bf16", "float16": "pure_fp16"}[dtype],
                device=place,
                load_weights=not made_up,
                require_pretrained=not made_up,  # else weights that are not found are made up
                force_preprocess_cfg={"resize_mode": "squash"},
                weights_only=True,
            ).eval()
        return OpenClipModel(model, open_clip.get_tokenizer(name))
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        why = " ".join(str(error).split())[:300]
        raise UnusableCheckpoint(f"{told} does not load: {type(error).__name__}: {why}") from None
