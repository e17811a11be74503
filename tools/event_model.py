"""The event model: from the tracks of a clip to what the person does to which object in each frame.

A small transformer over the classes that are seen best in the clip: each looks at itself in the other frames,
whose distances in seconds it is told, and at the other classes of its frame. Frames may lie anyhow in time.
Decides nothing: probabilities become events in `tools/event_spans.py`. A folder of it holds `config.json` and
`model.safetensors`.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Final

import torch
from pydantic import Field, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from aotd.tools.checkpoints import Checkpoint
from aotd.tools.loading import UnusableCheckpoint, torch_device
from aotd.tools.tracks import Tracks
from aotd.traces.records import Record
from aotd.traces.star_vocabulary import ACTIONS_BY_ID

__all__ = ["EventModel", "EventShape", "load_event_model", "read_event_shape", "save_event_model"]

_GEOMETRY: Final = 19
"""Numbers of `_geometry`."""
_FASTEST, _SLOWEST = 0.4, 60.0
"""Seconds of the shortest and longest wave that tells time."""
_NAMED: Final = 3


class EventShape(Record):
    """The file `config.json`: what the model knows and how large it is."""

    model_type: str = Field(default="aotd-events", pattern="^aotd-events$")
    names: tuple[str, ...] = Field(min_length=2)
    """Classes that are tracked, the person first; by these names the detector is asked."""
    actions: tuple[str, ...] = Field(min_length=1)
    """STAR's ids of the actions that are told apart."""
    features: int = Field(ge=1)
    """Width of the detector's features."""
    kept: int = Field(default=13, ge=1)
    """Classes of a clip that are looked at, at most: the person, and those that the detector is surest of."""
    width: int = Field(default=128, ge=4)
    blocks: int = Field(default=3, ge=1)
    heads: int = Field(default=4, ge=1)

    @model_validator(mode="after")
    def _fits(self) -> EventShape:
        """Insist that every action is one of STAR's, with an object that is tracked."""
        unknown = [key for key in self.actions if key not in ACTIONS_BY_ID]
        if unknown:
            raise ValueError(f"actions: STAR has no {', '.join(unknown[:_NAMED])}")
        untracked = {ACTIONS_BY_ID[key].obj for key in self.actions} - set(self.names[1:])
        if untracked:
            raise ValueError(f"names: {', '.join(sorted(untracked)[:_NAMED])} of the actions is not tracked")
        if self.width % (4 * self.heads):
            raise ValueError(f"width: {self.width} is not a multiple of 4 times {self.heads} heads")
        return self


class EventModel(nn.Module):
    """Factorised attention over C classes and T frames.

    Parameters
    ----------
    shape
        What it knows and how large it is.
    """

    waves: Tensor
    places: Tensor

    def __init__(self, shape: EventShape) -> None:
        super().__init__()
        self.shape = shape
        width = shape.width
        self.of_feature = nn.Linear(shape.features, width)
        self.of_geometry = nn.Sequential(nn.Linear(_GEOMETRY, width), nn.GELU(), nn.Linear(width, width))
        self.of_scene = nn.Linear(shape.features, width)
        self.unseen = nn.Parameter(torch.randn(width) * 0.05)
        self.of_class = nn.Parameter(torch.randn(len(shape.names), width) * 0.05)
        self.blocks = nn.ModuleList(_Block(width, shape.heads) for _ in range(shape.blocks))
        self.last = nn.LayerNorm(width)
        self.nothing = nn.Linear(width, 1)
        self.at_object = nn.Parameter(torch.randn(len(shape.actions), width) * width**-0.5)
        self.at_scene = nn.Linear(width, len(shape.actions))
        per_head = width // shape.heads // 2
        periods = torch.logspace(math.log10(_FASTEST), math.log10(_SLOWEST), per_head)
        self.register_buffer("waves", 2 * math.pi / periods, persistent=False)
        places = [shape.names.index(ACTIONS_BY_ID[key].obj) for key in shape.actions]
        self.register_buffer("places", torch.tensor(places), persistent=False)

    def forward(self, tracks: Tracks, seconds: Tensor) -> Tensor:
        """Give logits [B, T, 1 + actions] of what is under way in each frame; the first is nothing.

        Parameters
        ----------
        tracks
            Parts as of `Tracks`, each with a first dimension for B clips.
        seconds
            [B, T]: when each frame is, rising.
        """
        return self.tell(*self.look(tracks, seconds))

    def look(self, tracks: Tracks, seconds: Tensor) -> tuple[Tensor, Tensor]:
        """Give what is understood of each class [B, T, C, width] and of each frame [B, T, width]."""
        kept = self._kept(tracks.scores)
        boxes, scores, features = (_picked(part, kept) for part in tracks[:3])
        classes = self.of_feature(features) + self.of_geometry(_geometry(boxes, scores, seconds))
        scenes = self.of_scene(tracks.scenes).unsqueeze(2)
        seen = torch.cat([scenes, classes + self.of_class[kept].unsqueeze(1)], 2)
        angles = seconds[..., None] * self.waves
        turn = (angles.cos()[:, None, None], angles.sin()[:, None, None])
        for block in self.blocks:
            seen = block(seen, turn)
        seen = self.last(seen)
        every = self.unseen.to(seen.dtype).expand(*tracks.scores.shape, -1)
        places = kept[:, None, :, None].expand_as(seen[:, :, 1:])
        return every.scatter(2, places, seen[:, :, 1:]), seen[:, :, 0]

    def tell(self, classes: Tensor, scenes: Tensor) -> Tensor:
        """Turn what `look` gives into logits."""
        acted = (classes[:, :, self.places] * self.at_object).sum(-1) + self.at_scene(scenes)
        return torch.cat([self.nothing(scenes), acted], -1)

    def _kept(self, scores: Tensor) -> Tensor:
        """Choose classes [B, K] of clips by the score of their best frame, the person always."""
        best = scores.amax(1)
        best[:, 0] = torch.inf
        return best.topk(min(self.shape.kept, best.shape[1])).indices.sort().values


class _Block(nn.Module):
    """Attention over frames, attention over classes, and a layer for each."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.over_time, self.over_classes = (nn.Linear(width, 3 * width) for _ in range(2))
        self.from_time, self.from_classes = (nn.Linear(width, width) for _ in range(2))
        self.inner = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, seen: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
        """Look once more; `seen` is [B, T, N, width]."""
        query, key, value = self._split(self.over_time(self.norms[0](seen)).transpose(1, 2))
        mixed = _mixed(_turned(query, turn), _turned(key, turn), value)
        seen = seen + self.from_time(mixed.transpose(1, 2))
        query, key, value = self._split(self.over_classes(self.norms[1](seen)))
        seen = seen + self.from_classes(_mixed(query, key, value))
        told: Tensor = seen + self.inner(self.norms[2](seen))
        return told

    def _split(self, joined: Tensor) -> list[Tensor]:
        """Divide [B, M, L, 3 * width] into three of [B, M, heads, L, width / heads]."""
        return list(joined.unflatten(-1, (3, self.heads, -1)).permute(3, 0, 1, 4, 2, 5))


def _mixed(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attend: [B, M, L, width] of heads [B, M, heads, L, width / heads]."""
    # Written out: at these sizes it is faster on a CPU than the fused one.
    likeness = (query @ key.transpose(-1, -2)) * query.shape[-1] ** -0.5
    mixed: Tensor = likeness.softmax(-1).to(value.dtype) @ value
    return mixed.transpose(2, 3).flatten(3)


def _picked(values: Tensor, kept: Tensor) -> Tensor:
    """Take the kept classes [B, K] of values [B, T, C, ...]."""
    places = kept.view(len(kept), 1, -1, *[1] * (values.dim() - 3))
    return values.gather(2, places.expand(-1, values.shape[1], -1, *values.shape[3:]))


def _turned(rows: Tensor, turn: tuple[Tensor, Tensor]) -> Tensor:
    """Turn pairs of numbers by their frame's time (rotary positions), so that products know the distance."""
    first, second = rows.chunk(2, -1)
    cos, sin = (part.to(rows.dtype) for part in turn)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], -1)


def _geometry(boxes: Tensor, scores: Tensor, seconds: Tensor) -> Tensor:
    """Measure boxes [B, T, C, 19]: place, size, sureness, how they lie to the person, how they change."""
    sure = scores.sigmoid().unsqueeze(-1)
    person = boxes[:, :, :1]
    away = (boxes[..., :2] - person[..., :2]) / person[..., 3:].clamp(min=0.05)
    low = torch.maximum(boxes[..., :2] - boxes[..., 2:] / 2, person[..., :2] - person[..., 2:] / 2)
    high = torch.minimum(boxes[..., :2] + boxes[..., 2:] / 2, person[..., :2] + person[..., 2:] / 2)
    covered = (high - low).clamp(min=0).prod(-1, keepdim=True)
    covered = covered / boxes[..., 2:].prod(-1, keepdim=True).clamp(min=1e-4)
    step = 10 * (boxes[:, 1:] - boxes[:, :-1]) * sure[:, 1:] * sure[:, :-1]
    gap = (seconds[:, 1:] - seconds[:, :-1]).log1p()[..., None, None].expand(-1, -1, boxes.shape[2], 1)
    change = torch.cat([step.clamp(-3, 3), gap], -1)
    none = torch.zeros_like(boxes[:, :1, :, :1]).expand(-1, -1, -1, 5)
    parts = [
        4 * boxes - 2,
        away.clamp(-4, 4),
        covered.clamp(0, 2),
        scores.unsqueeze(-1).clamp(-16, 16) / 4,
        sure,
    ]
    return torch.cat([*parts, torch.cat([none, change], 1), torch.cat([change, none], 1)], -1)


def save_event_model(model: EventModel, folder: Path) -> None:
    """Write a model to a folder, in float16."""
    folder.mkdir(parents=True, exist_ok=True)
    written = model.shape.model_dump_json(indent=1) + "\n"
    (folder / "config.json").write_text(written, encoding="utf-8")
    halves = {name: value.detach().cpu().half().contiguous() for name, value in model.state_dict().items()}
    save_file(halves, folder / "model.safetensors", {"format": "pt"})


def read_event_shape(checkpoint: Checkpoint) -> EventShape:
    """Read what a folder's model knows.

    Raises
    ------
    UnusableCheckpoint
        If the folder holds something else.
    """
    file = checkpoint.folder / "config.json"
    try:
        return EventShape.model_validate(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else None
        why = f"{'.'.join(map(str, first['loc']))} {first['msg']}" if first else str(error)
        told = f"checkpoint {checkpoint.id} ({checkpoint.folder}) is no event model"
        raise UnusableCheckpoint(f"{told}: {' '.join(why.split())[:200]}") from None


def load_event_model(checkpoint: Checkpoint, device: str) -> EventModel:
    """Load a model for inference, in float32.

    Raises
    ------
    UnusableCheckpoint
        If weights are missing or do not fit.
    """
    model = EventModel(read_event_shape(checkpoint))
    file = checkpoint.folder / "model.safetensors"
    try:
        found = {name: value.float() for name, value in load_file(file).items()}
        model.load_state_dict(found)
    except (OSError, SafetensorError, RuntimeError) as error:
        told = " ".join(str(error).split())[:200]
        raise UnusableCheckpoint(f"checkpoint {checkpoint.id} ({file}) does not load: {told}") from None
    return model.to(torch_device(device)).eval()
