"""Frames of training clips with their labels, as a camera and a codec would have left them; in batches.

Pictures are drawn on the fly: nothing is read or written. Boxes are in parts of the padded square that OWLv2
sees: its side is the frame's width, and the frame lies at its top.
"""

from __future__ import annotations

import io
import random

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image

from aotd.tools.clip_features import normalised
from aotd.world.clip import Clip, render_clip
from aotd.world.plan import SHORTEST
from aotd.world.scene import WIDTH
from aotd.world.split import Split, episodes_of, seed_of
from aotd.zoo.fit import Batch

__all__ = ["as_filmed", "draw_frames", "mean_boxes", "pixels"]


def draw_frames(split: Split, first: int, count: int, *, each: int, filmed: bool = True) -> Batch:
    """Draw frames of consecutive episodes of a split, counted round.

    Parameters
    ----------
    first
        Number of the first episode.
    count, each
        Frames in all and of one episode.
    filmed
        Whether they are to look filmed.

    Returns
    -------
    Batch
        `frames` [N, H, W, 3] uint8; `boxes` [N, C, 4] middle, width and height in parts of the padded square;
        `present`, `contact` [N, C]; `opened` [N, C]; `held`, `verb`, `object` [N], -1 for none.
    """
    clips: list[Clip] = []
    rng = random.Random(f"{split}/{first}")  # noqa: S311 (no secret)
    for number in range(first, first + -(-count // each)):
        seed = seed_of(split, number % episodes_of(split))
        clips.append(render_clip(seed, sorted(rng.sample(range(SHORTEST), each))))
    frames = np.concatenate([clip.frames for clip in clips])[:count]
    if filmed:
        frames = np.stack([as_filmed(frame, rng) for frame in frames])
    corners = np.concatenate([clip.boxes for clip in clips])[:count]

    def joined(name: str) -> torch.Tensor:
        return torch.from_numpy(np.concatenate([getattr(clip, name) for clip in clips])[:count])

    return {
        "frames": torch.from_numpy(frames),
        "boxes": torch.from_numpy(_in_square(corners)),
        "present": joined("present"),
        "contact": joined("contact"),
        "opened": joined("opened"),
        "held": joined("held"),
        "verb": joined("verb"),
        "object": joined("act_object"),
    }


def as_filmed(frame: NDArray[np.uint8], rng: random.Random) -> NDArray[np.uint8]:
    """Change a frame's light a little, add noise, and compress it, each by chance."""
    seen = frame.astype(np.float32)
    if rng.random() < 0.5:
        light = np.array([rng.uniform(0.92, 1.08) for _ in range(3)], np.float32)
        seen = seen * light + rng.uniform(-8, 8)
    if rng.random() < 0.3:
        noise = np.random.default_rng(rng.randrange(1 << 30))
        seen = seen + noise.normal(0, rng.uniform(1, 5), seen.shape).astype(np.float32)
    picture = seen.clip(0, 255).astype(np.uint8)
    if rng.random() < 0.7:
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=rng.randint(45, 92))
        picture = np.asarray(Image.open(file))
    return picture


def pixels(frames: torch.Tensor) -> torch.Tensor:
    """Pad frames [N, H, W, 3] to squares at the bottom and normalise them: [N, 3, W, W], as OWLv2 does."""
    seen = frames.permute(0, 3, 1, 2)
    return normalised(F.pad(seen, (0, 0, 0, seen.shape[3] - seen.shape[2])))


def mean_boxes(batch: Batch) -> torch.Tensor:
    """Average each class's box over the frames that show it, [C, 4]: the least that a detector must beat."""
    weight = batch["present"].float().unsqueeze(-1)
    return (batch["boxes"] * weight).sum(0) / weight.sum(0).clamp(min=1)


def _in_square(corners: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn corners in pixels, last pixels included, into middle and size in parts of the square."""
    low, high = corners[..., :2], corners[..., 2:] + 1
    return (np.concatenate([(low + high) / 2, high - low], -1) / WIDTH).astype(np.float32)
