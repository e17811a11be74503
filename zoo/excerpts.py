"""Excerpts of episodes as programs see them: 32 positions of a span, their CLIP features and what is true.

Frames are drawn, squared and embedded by the code that the product runs. Each episode gives itself whole,
the clip of a question that names an event or a state, and a span at random. Learns nothing.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from aotd.tools.clip_features import ClipTowers, normalised, square_pixels
from aotd.tools.sampling import Timeline
from aotd.traces.records import GRID
from aotd.world.cases import cases, placed_cases
from aotd.world.draw import draw
from aotd.world.motion import Episode, simulate
from aotd.world.scene import FPS
from aotd.world.split import Split, seed_of
from aotd.zoo.fit import Batch, alone
from aotd.zoo.frames import as_filmed
from aotd.zoo.phrases import truth

__all__ = ["EACH", "Excerpts", "Part", "embed_excerpts", "kept_excerpts", "positions"]

EACH: Final = 3
"""Excerpts of an episode: whole, a question's, at random."""

_SHORTEST: Final = 3 * FPS
_AT_ONCE: Final = 64


class Part(NamedTuple):
    """Consecutive episodes of a split."""

    split: Split
    first: int
    episodes: int


class Excerpts(NamedTuple):
    """Excerpts of consecutive episodes of a split, `EACH` of each."""

    features: Tensor
    """[excerpts, 32, width], float16, as CLIP gives them."""
    told: Tensor
    """[excerpts, 32, facts], bool."""


def positions(first: int, frames: int) -> list[int]:
    """List the frames at the grid's positions in the span of `frames` frames from `first`."""
    timeline = Timeline(video="episode", first=first, frames=frames)
    return [timeline.index(position) for position in range(GRID)]


def kept_excerpts(
    file: Path,
    towers: ClipTowers,
    weights: Path,
    part: Part,
    *,
    workers: int,
    tell: Callable[[str], None],
) -> Excerpts:
    """Read the excerpts that an earlier call embedded by the same CLIP, or embed and keep them.

    Parameters
    ----------
    file
        A `.safetensors`.
    towers, weights
        CLIP, and the file that its weights are from.
    part
        Which episodes.
    workers
        Processes that draw.
    """
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()[:16]
    recipe = {"clip": digest, "pads": str(towers.pads), "split": part.split}
    recipe |= {"first": str(part.first), "episodes": str(part.episodes)}
    if file.is_file():
        with safe_open(file, "pt") as opened:
            if opened.metadata() == recipe:
                return Excerpts(opened.get_tensor("features"), opened.get_tensor("told"))
    found = embed_excerpts(towers, part, workers=workers, tell=tell)
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(found._asdict(), file, metadata=recipe)
    return found


def embed_excerpts(towers: ClipTowers, part: Part, *, workers: int, tell: Callable[[str], None]) -> Excerpts:
    """Draw and embed excerpts; parameters as `kept_excerpts`."""
    loader: Any = DataLoader(
        _Drawn(part, towers.side, pads=towers.pads),
        batch_size=None,
        num_workers=workers,
        worker_init_fn=alone,
    )
    features, told = [], []
    for number, drawn in enumerate(loader, 1):
        shown = (normalised(some.to(towers.device)) for some in drawn["squares"].split(_AT_ONCE))
        rows = torch.cat([towers.images(some).float().cpu() for some in shown])
        features.append(rows[drawn["rows"]].half())
        told.append(drawn["told"])
        if number % 100 == 0:
            tell(f"{part.split}: {number} of {part.episodes} episodes embedded")
    return Excerpts(torch.cat(features), torch.cat(told))


class _Drawn(Dataset[Batch]):
    """Frames of an episode's excerpts: `squares` [F, 3, side, side], `rows` and `told` by excerpt."""

    def __init__(self, part: Part, side: int, *, pads: bool) -> None:
        self._part = part
        self._side = side
        self._pads = pads

    def __len__(self) -> int:
        return self._part.episodes

    def __getitem__(self, number: int) -> Batch:
        seed = seed_of(self._part.split, self._part.first + number)
        episode, rng = simulate(seed), random.Random(seed)  # noqa: S311 (no secret)
        indices = np.array([positions(start, end - start) for start, end in _spans(episode, rng)])
        shown, rows = np.unique(indices, return_inverse=True)
        # A camera and a codec treat all frames of a video alike.
        pictures = (
            as_filmed(np.asarray(draw(episode, int(i))), random.Random(seed))  # noqa: S311
            for i in shown
        )
        squares = [
            square_pixels(picture, None, self._side, antialias=True, pads=self._pads) for picture in pictures
        ]
        return {
            "squares": torch.stack(squares),
            "rows": torch.from_numpy(rows.reshape(indices.shape)),
            "told": torch.from_numpy(truth(episode)[indices]),
        }


def _spans(episode: Episode, rng: random.Random) -> list[tuple[int, int]]:
    """Choose the frames [start, end) of each excerpt."""
    whole = len(episode.frames)
    asked = [
        case.clip
        for case in (*cases(episode.plan), *placed_cases(episode))
        if case.named is not None or case.states
    ]
    length = rng.randint(_SHORTEST, whole)
    start = rng.randint(0, whole - length)
    return [(0, whole), rng.choice(asked), (start, start + length)]
