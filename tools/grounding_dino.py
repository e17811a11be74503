"""Grounding DINO and MM Grounding DINO through transformers: open-vocabulary boxes from a caption.

Each name is a caption of its own, and several (frame, name) pairs go through the model together. One caption
for all names of a frame would be cheaper and is what the demos do, but there the names compete for the same
900 queries and colour each other's features, so a name's boxes would depend on what else is asked; and the
model's phrases, glued from tokens, would have to be matched with names. A box's score is that of the best
token of the name; the caption's full stop and end marks do not count. Weights are loaded at the first
request. Source: Liu et al., "Grounding DINO" (2023); Zhao et al., "MM Grounding DINO" (2024).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Final

from aotd.tools.boxes import (
    Found,
    Sought,
    answers,
    bad_name,
    corners,
    model_kind,
    one_size,
    read_frames,
    sought,
    to_found,
)
from aotd.tools.checkpoints import Checkpoint
from aotd.tools.frames import FrameStore
from aotd.tools.label_check import LabelCheck
from aotd.tools.loading import load_model, load_part, torch_device, torch_dtype
from aotd.tools.models import DetectRequest, FrameRef, ModelIdentity, ToolError
from aotd.tools.torchvision_cpu import mend_torchvision

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

__all__ = ["GroundingDino"]

_KINDS: Final = ("grounding-dino", "mm-grounding-dino")
_BEFORE, _AFTER = 1, 2
"""Tokens of a caption around the name: a mark; a full stop and a mark."""


class GroundingDino:
    """Grounding DINO, whichever of the two the checkpoint holds.

    Parameters
    ----------
    checkpoint
        Model and processor.
    frames
        Where the pixels come from.
    device, dtype
        Where it runs and in what numbers; in float16 a box is off by up to a 2048th of the frame.
    threshold
        Least score of a box.
    aliases
        Words that are asked in another form; detections keep the program's own.
    frames_at_once
        Pairs of frame and name in one pass.
    check
        A second opinion on each box.

    Raises
    ------
    UnusableCheckpoint
        If the folder holds another kind of model; at the first request, if weights are missing.
    """

    reads_pixels = True

    def __init__(
        self,
        checkpoint: Checkpoint,
        frames: FrameStore,
        *,
        device: str,
        dtype: str = "float32",
        threshold: float = 0.3,
        aliases: Mapping[str, str] | None = None,
        frames_at_once: int = 8,
        check: LabelCheck | None = None,
    ) -> None:
        self._checkpoint = checkpoint
        self._frames = frames
        self._device = device
        self._dtype = dtype
        self._threshold = threshold
        self._aliases = dict(aliases or {})
        self._at_once = frames_at_once
        self._check = check
        kind = model_kind(checkpoint, "grounding-dino", _KINDS, "IDEA-Research/grounding-dino-base")
        self.identity = ModelIdentity(
            id=f"{kind}/{checkpoint.id}",
            revision=checkpoint.revision,
            dtype=dtype,
            settings={
                "threshold": threshold,
                "aliases": dict(sorted(self._aliases.items())),
                "label_check": check and check.identity.model_dump(mode="json"),
            },
        )

    def detect(self, requests: Sequence[DetectRequest]) -> Sequence[Found]:
        """Give the boxes of each request, best first."""
        pairs = sought(requests)
        found: dict[Sought, Found] = {}
        for pair in pairs:
            tokens = self._model.tokens(self._caption(pair.name))
            told = pair.name if tokens > _BEFORE + _AFTER else ""
            bad = bad_name(told, tokens, self._model.most)
            if bad is not None:
                found[pair] = bad
        read = read_frames(self._frames, (pair.frame for pair in pairs if pair not in found))
        images: dict[FrameRef, NDArray[np.uint8]] = {}
        for frame, image in read.items():
            if isinstance(image, ToolError):
                found |= {pair: image for pair in pairs if pair.frame == frame and pair not in found}
            else:
                images[frame] = image
        for some in one_size([pair for pair in pairs if pair not in found], images, self._at_once):
            found |= self._find(some, images)
        answered = answers(requests, found)
        return self._check.confirm(requests, answered, self._frames) if self._check else answered

    def _find(
        self, pairs: Sequence[Sought], images: Mapping[FrameRef, NDArray[np.uint8]]
    ) -> dict[Sought, Found]:
        """Find pairs in one pass; their frames have one size."""
        shown = list(dict.fromkeys(pair.frame for pair in pairs))
        scores, places = self._model.look(
            [images[frame] for frame in shown],
            [shown.index(pair.frame) for pair in pairs],
            [self._caption(pair.name) for pair in pairs],
        )
        height, width = images[shown[0]].shape[:2]
        scale = places.new_tensor([width, height, width, height])
        return {
            pair: to_found(pair.name, places[row] * scale, scores[row], (width, height), self._threshold)
            for row, pair in enumerate(pairs)
        }

    def _caption(self, name: str) -> str:
        """Write a name as the model was trained to read it: small letters, one full stop at the end."""
        asked = self._aliases.get(name, name).lower().replace(".", " ")
        return f"{' '.join(asked.split())}."

    @cached_property
    def _model(self) -> _Model:
        return _Model(self._checkpoint, self._dtype, self._device)


class _Model:
    """The loaded model."""

    def __init__(self, checkpoint: Checkpoint, dtype: str, device: str) -> None:
        mend_torchvision()
        from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

        self._model = load_model(AutoModelForZeroShotObjectDetection, checkpoint, dtype, device)
        self._processor = load_part(AutoProcessor, checkpoint)
        self._device = torch_device(device)
        self._dtype = torch_dtype(dtype)
        self.most: int = self._model.config.max_text_len

    def tokens(self, caption: str) -> int:
        """Count a caption's tokens, marks included."""
        return len(self._processor.tokenizer(caption).input_ids)

    def look(
        self, images: Sequence[NDArray[np.uint8]], of_pair: Sequence[int], captions: Sequence[str]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Run pairs of image and caption.

        Parameters
        ----------
        images
            [H, W, 3] each, all of one size.
        of_pair
            Index of each pair's image.
        captions
            Each pair's caption.

        Returns
        -------
        tuple of torch.Tensor
            Scores [pairs, queries] and corners [pairs, queries, 4] in 0..1 of the frame; float32, on the CPU.
        """
        import torch
        from PIL import Image

        processor = self._processor.image_processor
        on_device = {"device": self._device} if processor.backend == "torchvision" else {}
        pictures = [Image.fromarray(image) for image in images]
        pixels = processor(images=pictures, return_tensors="pt", **on_device).pixel_values
        text = self._processor.tokenizer(list(captions), padding=True, return_tensors="pt").to(self._device)
        with torch.inference_mode():
            out = self._model(
                pixel_values=pixels.to(self._device, self._dtype)[list(of_pair)],
                input_ids=text.input_ids,
                token_type_ids=text.token_type_ids,
                attention_mask=text.attention_mask,
            )
            logits, boxes = out.logits.float().cpu(), out.pred_boxes.float().cpu()
        lengths = text.attention_mask.sum(dim=1).tolist()
        best = [row[:, _BEFORE : n - _AFTER].amax(dim=-1) for row, n in zip(logits, lengths, strict=True)]
        return torch.stack(best).sigmoid(), corners(boxes)
