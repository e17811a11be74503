"""OWLv2 and OWL-ViT through transformers: open-vocabulary boxes, the image tower run once per frame.

In both models text and image meet only in the heads (`image_embedder` sees no text), so a frame's features
are kept and serve every later name. Each name is scored by itself, as if asked alone; boxes are not
suppressed by one another, as these models are trained to give one box per object. Weights are loaded at the
first request. Source: Minderer et al., "Simple open-vocabulary object detection" (2022), "Scaling
open-vocabulary object detection" (2023).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aotd.tools.boxes import (
    Found,
    Sought,
    answers,
    bad_name,
    chunks,
    corners,
    model_kind,
    read_frames,
    sought,
    to_found,
)
from aotd.tools.checkpoints import Checkpoint
from aotd.tools.frames import FrameStore
from aotd.tools.label_check import LabelCheck
from aotd.tools.loading import load_model, load_part, torch_device
from aotd.tools.models import DetectRequest, FrameRef, ModelIdentity, ToolError
from aotd.tools.torchvision_cpu import mend_torchvision

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

__all__ = ["Owl", "input_side"]

_KINDS: Final = ("owlv2", "owlvit")
_NAMES_KEPT: Final = 4096
"""Embedded names, about 2 kB each."""


class _Seen(NamedTuple):
    """What is kept of a frame."""

    features: torch.Tensor
    """[patches, width of the tower]."""
    size: tuple[int, int]
    """Width and height of the frame, in pixels."""


def input_side(kind: str, size: tuple[int, int]) -> tuple[int, int]:
    """Width and height, in pixels of the frame, of what the model sees as its whole input.

    OWLv2 pads the frame at the right or at the bottom to a square; OWL-ViT stretches it.
    """
    return (max(size), max(size)) if kind == "owlv2" else size


class Owl:
    """OWLv2 or OWL-ViT, whichever the checkpoint holds.

    Parameters
    ----------
    checkpoint
        Model and processor.
    frames
        Where the pixels come from.
    device, dtype
        Where the towers run and in what numbers; the heads always run in float32, because boxes in bfloat16
        are off by up to a 256th of the frame.
    prompt
        What a name is put into, at `{}`.
    threshold
        Least score of a box.
    aliases
        Words that are asked in another form; detections keep the program's own.
    frames_at_once
        Frames in one pass.
    feature_mb
        Bound of the features kept, on the device; a base OWLv2 takes 11 MB a frame in float32.
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
        prompt: str = "a photo of a {}",
        threshold: float = 0.2,
        aliases: Mapping[str, str] | None = None,
        frames_at_once: int = 8,
        feature_mb: int = 1024,
        check: LabelCheck | None = None,
    ) -> None:
        self._checkpoint = checkpoint
        self._frames = frames
        self._device = device
        self._dtype = dtype
        self._prompt = prompt
        self._threshold = threshold
        self._aliases = dict(aliases or {})
        self._frames_at_once = frames_at_once
        self._seen = _Kept(feature_mb << 20)
        self._check = check
        self._kind = model_kind(checkpoint, "owl", _KINDS, "google/owlv2-base-patch16-ensemble")
        self.identity = ModelIdentity(
            id=f"{self._kind}/{checkpoint.id}",
            revision=checkpoint.revision,
            dtype=dtype,
            settings={
                "prompt": prompt,
                "threshold": threshold,
                "aliases": dict(sorted(self._aliases.items())),
                "label_check": check and check.identity.model_dump(mode="json"),
            },
        )

    def detect(self, requests: Sequence[DetectRequest]) -> Sequence[Found]:
        """Give the boxes of each request, best first."""
        names: dict[FrameRef, list[str]] = {}
        for frame, name in sought(requests):
            names.setdefault(frame, []).append(name)
        found: dict[Sought, Found] = {}
        kept = [frame for frame in names if frame in self._seen]
        new = [frame for frame in names if frame not in self._seen]
        # What is kept comes first: what is new may push it out.
        for chunk in (*chunks(kept, self._frames_at_once), *chunks(new, self._frames_at_once)):
            found |= self._find({frame: names[frame] for frame in chunk})
        answered = answers(requests, found)
        return self._check.confirm(requests, answered, self._frames) if self._check else answered

    def _find(self, names: Mapping[FrameRef, Sequence[str]]) -> dict[Sought, Found]:
        """Find the names of a few frames in one pass."""
        asked = dict.fromkeys(name for of_frame in names.values() for name in of_frame)
        queries = {name: self._model.query(self._text(name), name) for name in asked}
        known = {name: query for name, query in queries.items() if not isinstance(query, ToolError)}
        seen = self._look(names)
        shown = {frame: view for frame, view in seen.items() if not isinstance(view, ToolError)}
        found: dict[Sought, Found] = {}
        for frame, view in seen.items():
            for name in names[frame]:
                error = view if isinstance(view, ToolError) else queries[name]
                if isinstance(error, ToolError):
                    found[Sought(frame, name)] = error
        if not known or not shown:
            return found
        scores, places = self._model.score([v.features for v in shown.values()], list(known.values()))
        columns = {name: column for column, name in enumerate(known)}
        for row, (frame, view) in enumerate(shown.items()):
            in_pixels = places[row] * places.new_tensor(input_side(self._kind, view.size)).repeat(2)
            for name in names[frame]:
                if name in columns:
                    found[Sought(frame, name)] = to_found(
                        name, in_pixels, scores[row, :, columns[name]], view.size, self._threshold
                    )
        return found

    def _look(self, frames: Iterable[FrameRef]) -> dict[FrameRef, _Seen | ToolError]:
        """Give the features of frames, from the tower where they are not kept."""
        seen: dict[FrameRef, _Seen | ToolError] = {
            f: v for f in frames if (v := self._seen.get(f)) is not None
        }
        read = read_frames(self._frames, [frame for frame in frames if frame not in seen])
        seen |= {frame: image for frame, image in read.items() if isinstance(image, ToolError)}
        images = {frame: image for frame, image in read.items() if not isinstance(image, ToolError)}
        if images:
            features = self._model.see(list(images.values()))
            for (frame, image), of_frame in zip(images.items(), features, strict=True):
                # A copy, so that dropping one frame frees its memory.
                new = _Seen(of_frame.clone(), (image.shape[1], image.shape[0]))
                seen[frame] = new
                self._seen.put(frame, new)
        return seen

    def _text(self, name: str) -> str:
        return self._prompt.replace("{}", self._aliases.get(name, name))

    @cached_property
    def _model(self) -> _Model:
        return _Model(self._checkpoint, self._dtype, self._device)


class _Model:
    """The loaded model, cut where text and image meet."""

    def __init__(self, checkpoint: Checkpoint, dtype: str, device: str) -> None:
        mend_torchvision()
        from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

        self._model = load_model(AutoModelForZeroShotObjectDetection, checkpoint, dtype, device)
        self._processor = load_part(AutoProcessor, checkpoint)
        self._device = torch_device(device)
        self._most = self._model.config.text_config.max_position_embeddings
        for head in (self._model.class_head, self._model.box_head):
            head.float()
        self._model.box_bias = self._model.compute_box_bias(
            self._model.num_patches_height, self._model.num_patches_width
        ).to(self._device)
        self.query = lru_cache(maxsize=_NAMES_KEPT)(self._embed)

    def see(self, images: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
        """Run the image tower: [frames, patches, width]."""
        import torch
        from PIL import Image

        pixels = self._processor.image_processor(
            images=[Image.fromarray(image) for image in images], return_tensors="pt", **self._on_device
        ).pixel_values
        with torch.inference_mode():
            features = self._model.image_embedder(pixel_values=pixels.to(self._device))[0]
        return features.flatten(1, 2)  # type: ignore[no-any-return]

    def score(
        self, features: Sequence[torch.Tensor], queries: Sequence[torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Run the heads: scores [frames, patches, queries]; corners [frames, patches, 4] in 0..1."""
        import torch

        with torch.inference_mode():
            stacked = torch.stack(list(features)).float()
            each = torch.stack(list(queries)).expand(len(stacked), -1, -1)
            logits, _ = self._model.class_predictor(stacked, each)
            boxes = self._model.box_predictor(stacked, stacked)
            return logits.sigmoid().cpu(), corners(boxes).cpu()

    def _embed(self, text: str, name: str) -> torch.Tensor | ToolError:
        """Embed one text, [width]; by itself, so that no batch can alter it."""
        import torch

        tokens = len(self._processor.tokenizer(text).input_ids)
        bad = bad_name(name, tokens, self._most)
        if bad is not None:
            return bad
        inputs = self._processor(text=[text], return_tensors="pt").to(self._device)
        with torch.inference_mode():
            # Not scaled to unit length: the head does that.
            query: torch.Tensor = self._model.base_model.get_text_features(**inputs).pooler_output[0].float()
            return query

    @property
    def _on_device(self) -> dict[str, Any]:
        """Let frames be resized where the model is, if the processor can."""
        on_device = self._processor.image_processor.backend == "torchvision"
        return {"device": self._device} if on_device else {}


class _Kept:
    """Features of frames within a bound of bytes, the least recently used dropped first."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._by_frame: OrderedDict[FrameRef, _Seen] = OrderedDict()

    def __contains__(self, frame: FrameRef) -> bool:
        return frame in self._by_frame

    def get(self, frame: FrameRef) -> _Seen | None:
        """Give what is kept of a frame."""
        seen = self._by_frame.get(frame)
        if seen is not None:
            self._by_frame.move_to_end(frame)
        return seen

    def put(self, frame: FrameRef, seen: _Seen) -> None:
        """Keep a frame that is not kept yet; one that alone passes the bound is not."""
        self._by_frame[frame] = seen
        self._bytes += seen.features.nbytes
        while self._bytes > self._max_bytes:
            _, dropped = self._by_frame.popitem(last=False)
            self._bytes -= dropped.features.nbytes
