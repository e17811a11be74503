"""Folders that stand for a published checkpoint in a dry run: its true class, with made-up weights.

A folder holds what `from_pretrained` reads, configuration, processor and tokenizer, and a mark in place of
the weights (`aotd.tools.checkpoints`); loading it makes the weights up, on the device, in the size asked
for. So every step of a run is the real one, except that the models know nothing. Everything made with it is
called `random/...`. Needs the extra `hf`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from aotd.tools.architectures import FULL, SMALL, Family, shape_of
from aotd.tools.checkpoints import MARK
from aotd.tools.random_parts import BUILD
from aotd.tools.torchvision_cpu import mend_torchvision

__all__ = ["Size", "write_random", "write_random_univtg"]

Size = Literal["small", "full"]


def write_random(weights: str, family: Family, size: Size, seed: int, folder: Path) -> Path:
    """Write a folder that loads as a checkpoint with made-up weights.

    Parameters
    ----------
    weights
        The published checkpoint that it stands for.
    family
        Its class; decides the shape when the checkpoint is not a listed one.
    size
        `full` has the checkpoint's true shape, `small` runs anywhere.
    seed
        Of the weights.
    folder
        Made, with a sub-folder for this checkpoint.

    Returns
    -------
    Path
        The sub-folder.
    """
    mend_torchvision()
    shape = (
        shape_of(weights) if size == "full" else SMALL[FULL[weights].family if weights in FULL else family]
    )
    name = f"{weights.replace('/', '--')}-{size}"
    path = folder / name
    path.mkdir(parents=True, exist_ok=True)
    config, processor = BUILD[shape.family](shape)
    config.save_pretrained(path)
    processor.save_pretrained(path)
    (path / MARK).write_text(json.dumps({"name": name, "seed": seed}), encoding="utf-8")
    return path


def write_random_univtg(size: Size, seed: int, folder: Path) -> Path:
    """Write a UniVTG checkpoint file with made-up weights, for the features of CLIP of the same size."""
    import torch
    from safetensors.torch import save_file

    from aotd.tools.univtg import UniVtgModel

    clip = shape_of("openai/clip-vit-base-patch32") if size == "full" else SMALL["clip"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        width, inner = (1024, 1024) if size == "full" else (64, 96)
        model = UniVtgModel(
            width=width,
            inner=inner,
            video_width=clip.text["hidden_size"] + 2,
            text_width=clip.text["hidden_size"],
        )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"univtg-{size}.safetensors"
    save_file(model.state_dict(), str(path), metadata={"random": str(seed)})
    return path
