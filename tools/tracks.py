"""Tracks: what an OWLv2 sees of a few named classes in each frame, the best box of each, with features.

A class has one box in each frame, however weak: its score says how much it counts. Of a cropped frame only
the crop is seen, in its place. Frames are seen one by one and kept, so what else is asked changes nothing.
Follows nothing over time and names no event; weights are loaded at the first request.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

from aotd.tools.boxes import chunks, model_kind, read_frames
from aotd.tools.checkpoints import Checkpoint
from aotd.tools.frames import FrameStore
from aotd.tools.loading import load_model, load_part, torch_device
from aotd.tools.models import FrameRef, Frames, ToolError
from aotd.tools.torchvision_cpu import mend_torchvision
from aotd.traces.records import Box

__all__ = ["Eye", "Tracker", "Tracks", "shown"]

_KINDS: Final = ("owlv2",)


class Tracks(NamedTuple):
    """What is seen in T frames of C classes; float32, on the CPU.

    Attributes
    ----------
    boxes : Tensor
        [T, C, 4]: middle, width and height of each class's best box, in parts of the square that the
        detector sees: its side is the frame's longer one, and the frame lies at its top left.
    scores : Tensor
        [T, C]: logits of these boxes.
    features : Tensor
        [T, C, F]: the image tower at the cells that give them.
    scenes : Tensor
        [T, F]: the tower's summary of the frame.
    """

    boxes: Tensor
    scores: Tensor
    features: Tensor
    scenes: Tensor

    def row(self, place: int) -> Tracks:
        """Copy one frame's, so that the others' memory can go."""
        return Tracks(*(part[place : place + 1].clone() for part in self))


class _View(NamedTuple):
    """One frame as it is seen: whole, or a part of it."""

    frame: FrameRef
    crop: Box | None


class Tracker:
    """Tracks of clips, each frame seen once while it is kept.

    Parameters
    ----------
    checkpoint
        An OWLv2 of transformers with its processor.
    frames
        Where the pixels come from.
    names
        What is looked for, as the detector is asked for it.
    device, dtype
        Where the towers run and in what numbers; the heads always run in float32.
    frames_at_once
        Frames in one pass.
    max_bytes
        Bound of what is kept; of 23 classes and features 192 wide a frame takes 19 kB.

    Raises
    ------
    UnusableCheckpoint
        If the folder holds another kind of model; at the first request, if weights are missing.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        frames: FrameStore,
        names: Sequence[str],
        *,
        device: str,
        dtype: str = "float32",
        frames_at_once: int = 8,
        max_bytes: int = 64 << 20,
    ) -> None:
        model_kind(checkpoint, "of video model tracks", _KINDS, "google/owlv2-base-patch16-ensemble")
        self._checkpoint = checkpoint
        self._frames = frames
        self._names = tuple(names)
        self._device = device
        self._dtype = dtype
        self._frames_at_once = frames_at_once
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[_View, Tracks] = OrderedDict()

    @cached_property
    def eye(self) -> Eye:
        """The loaded detector."""
        return Eye(self._checkpoint, self._names, device=self._device, dtype=self._dtype)

    def follow(self, clips: Sequence[Frames]) -> list[Tracks | ToolError]:
        """Give the tracks of clips, frame by frame as they come; the error of a frame is its clip's.

        Parameters
        ----------
        clips
            Each of one frame or more, in any order; frames may repeat.
        """
        views = [_views(clip) for clip in clips]
        seen = self._see(dict.fromkeys(view for clip in views for view in clip))
        told: list[Tracks | ToolError] = []
        for clip in views:
            rows = [seen[view] for view in clip]
            error = next((row for row in rows if isinstance(row, ToolError)), None)
            whole = [row for row in rows if not isinstance(row, ToolError)]
            told.append(error or Tracks(*(torch.cat(parts) for parts in zip(*whole, strict=True))))
        return told

    def _see(self, views: Iterable[_View]) -> dict[_View, Tracks | ToolError]:
        seen: dict[_View, Tracks | ToolError] = {}
        for view in views:
            if view in self._kept:
                self._kept.move_to_end(view)
                seen[view] = self._kept[view]
        new = [view for view in views if view not in seen]
        for some in chunks(new, self._frames_at_once):
            images = read_frames(self._frames, [view.frame for view in some])
            by_size: dict[tuple[int, ...], list[_View]] = {}
            for view in some:
                image = images[view.frame]
                if isinstance(image, ToolError):
                    seen[view] = image
                else:
                    by_size.setdefault(image.shape, []).append(view)
            for alike in by_size.values():
                tracks = self.eye.see([shown(images[view.frame], view.crop) for view in alike])
                for place, view in enumerate(alike):
                    seen[view] = self._keep(view, tracks.row(place))
        return seen

    def _keep(self, view: _View, row: Tracks) -> Tracks:
        """Keep a frame's row, and let go of those asked longest ago where there is no room."""
        self._kept[view] = row
        self._bytes += sum(part.nbytes for part in row)
        while self._bytes > self._max_bytes:
            _, dropped = self._kept.popitem(last=False)
            self._bytes -= sum(part.nbytes for part in dropped)
        return row


class Eye:
    """The loaded detector, asked for the same names in every frame.

    Parameters
    ----------
    checkpoint, device, dtype
        As `Tracker`.
    names
        C names.
    """

    def __init__(self, checkpoint: Checkpoint, names: Sequence[str], *, device: str, dtype: str) -> None:
        mend_torchvision()
        from transformers import AutoProcessor, Owlv2ForObjectDetection

        self._model = load_model(Owlv2ForObjectDetection, checkpoint, dtype, device)
        processor = load_part(AutoProcessor, checkpoint)
        self._device = torch_device(device)
        self._processor = processor.image_processor
        for head in (self._model.class_head, self._model.box_head):
            head.float()
        self._model.box_bias = self._model.compute_box_bias(
            self._model.num_patches_height, self._model.num_patches_width
        ).to(self._device)
        self._queries = torch.cat([self._query(processor, name) for name in names])
        """[C, width of a query]: each by itself, so that no other name can alter it."""

    @property
    def width(self) -> int:
        """Numbers of a feature."""
        return int(self._model.config.vision_config.hidden_size)

    @torch.inference_mode()
    def see(self, images: Sequence[Any]) -> Tracks:
        """Look at frames of one size, [H, W, 3] each, uint8, RGB."""
        stacked = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
        on_device = {"device": self._device} if self._processor.backend == "torchvision" else {}
        pixels = self._processor(images=stacked, return_tensors="pt", **on_device).pixel_values
        tower, seen = self._model.image_embedder(pixel_values=pixels.to(self._device, self._model.dtype))
        tower = tower.float()
        cells = tower.flatten(1, 2)
        queries = self._queries.expand(len(cells), -1, -1)
        logits, _ = self._model.class_predictor(cells, queries)
        boxes = self._model.box_predictor(cells, tower)
        scores, best = logits.max(1)
        found = (_at(boxes, best), scores, _at(cells, best), seen.pooler_output.float())
        return Tracks(*(part.cpu() for part in found))

    def _query(self, processor: Any, name: str) -> Tensor:
        inputs = processor(text=[name], return_tensors="pt").to(self._device)
        with torch.inference_mode():
            query: Tensor = self._model.base_model.get_text_features(**inputs).pooler_output.float()
            return query


def _views(clip: Frames) -> list[_View]:
    crops: Sequence[Box | None] = clip.crops or [None] * len(clip.indices)
    refs = (FrameRef(video=clip.video, index=index) for index in clip.indices)
    return [_View(ref, crop) for ref, crop in zip(refs, crops, strict=True)]


def shown(image: Any, crop: Box | None) -> Any:
    """Black out what lies outside the crop; what the detector pads a frame with is black too."""
    if crop is None:
        return image
    x1, y1, x2, y2 = (max(0, edge) for edge in crop)
    shown = np.zeros_like(image)
    shown[y1:y2, x1:x2] = image[y1:y2, x1:x2]
    return shown


def _at(values: Tensor, cells: Tensor) -> Tensor:
    """Take the values [T, cells, N] at one cell for each class [T, C]: [T, C, N]."""
    return values.gather(1, cells[..., None].expand(-1, -1, values.shape[-1]))
