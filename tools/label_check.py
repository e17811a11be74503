"""A second opinion on a detector's boxes: CLIP sees each crop and must prefer the box's own name.

The name competes with the other names of the same request and with texts for what is no object. A box whose
name does not win is dropped. Crops are stretched to CLIP's square, so that nothing of a tall box is cut off.
A name longer than CLIP reads is judged by its beginning. Runs on open_clip, or on CLIP of transformers;
weights are loaded at the first box. Finds no boxes and changes no score.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Final

from aotd.tools.boxes import Found, chunks, read_frames
from aotd.tools.checkpoints import Checkpoint
from aotd.tools.frames import FrameStore
from aotd.tools.loading import load_model, load_part, torch_device, torch_dtype
from aotd.tools.models import Detection, DetectRequest, ModelIdentity, ToolError
from aotd.tools.open_clip_model import load_open_clip
from aotd.tools.torchvision_cpu import mend_torchvision

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

__all__ = ["LabelCheck"]

_CROPS_AT_ONCE: Final = 64
_TEXTS_KEPT: Final = 4096
"""Embedded texts, about 2 kB each."""


class LabelCheck:
    """CLIP's opinion on crops.

    Parameters
    ----------
    checkpoint
        Folder of open_clip (`open_clip_config.json`) or of transformers' CLIP.
    device, dtype
        Where it runs and in what numbers.
    background
        What a crop may show instead of the name.
    prompt
        What names and background are put into, at `{}`.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        device: str,
        dtype: str = "float32",
        background: Sequence[str] = ("background", "wall", "floor"),
        prompt: str = "a photo of a {}",
    ) -> None:
        self._checkpoint = checkpoint
        self._device = device
        self._dtype = dtype
        self._background = tuple(background)
        self._prompt = prompt
        self.identity = ModelIdentity(
            id=f"label-check/{checkpoint.id}",
            revision=checkpoint.revision,
            dtype=dtype,
            settings={"prompt": prompt, "background": list(background)},
        )

    def confirm(
        self, requests: Sequence[DetectRequest], answered: Sequence[Found], store: FrameStore
    ) -> list[Found]:
        """Keep the boxes that show what they are called.

        Parameters
        ----------
        requests
            What was asked.
        answered
            What a detector found, one answer per request.
        store
            Where the crops are cut from.

        Returns
        -------
        list of Found
            The answers with fewer boxes; an error if a frame cannot be read any more.
        """
        found = [a if isinstance(a, tuple) else () for a in answered]
        pixels = read_frames(store, (r.frame for r, boxes in zip(requests, found, strict=True) if boxes))
        images = [pixels[r.frame] if boxes else None for r, boxes in zip(requests, found, strict=True)]
        crops = [
            image[box.box[1] : box.box[3], box.box[0] : box.box[2]]
            for image, boxes in zip(images, found, strict=True)
            if image is not None and not isinstance(image, ToolError)
            for box in boxes
        ]
        seen = iter(self._see(crops))
        checked: list[Found] = []
        for request, answer, boxes, image in zip(requests, answered, found, images, strict=True):
            if isinstance(image, ToolError):
                checked.append(image)
            elif not boxes:
                checked.append(answer)
            else:
                checked.append(tuple(box for box in boxes if self._wins(box, request.names, next(seen))))
        return checked

    def _see(self, crops: Sequence[Any]) -> list[torch.Tensor]:
        """Embed crops [H, W, 3], one vector each."""
        from PIL import Image

        pictures = [Image.fromarray(crop) for crop in crops]
        return [row for some in chunks(pictures, _CROPS_AT_ONCE) for row in self._clip.images(some)]

    def _wins(self, box: Detection, names: Sequence[str], seen: torch.Tensor) -> bool:
        """Tell whether a crop looks like its name at least as much as like anything else on offer."""
        import torch

        texts = [box.name, *(name for name in names if name != box.name), *self._background]
        likeness = torch.stack([self._clip.text(self._prompt.replace("{}", t)) for t in texts]) @ seen
        return bool(likeness[0] >= likeness.max())

    @cached_property
    def _clip(self) -> _Clip:
        if (self._checkpoint.folder / "open_clip_config.json").is_file():
            return _open_clip(self._checkpoint, self._dtype, self._device)
        return _transformers_clip(self._checkpoint, self._dtype, self._device)


class _Clip:
    """Two towers that give vectors [width] of unit length, float32, on the CPU."""

    def __init__(
        self,
        images: Callable[[Sequence[Image]], torch.Tensor],
        text: Callable[[str], torch.Tensor],
    ) -> None:
        self._images = images
        self._text = text
        self.text = lru_cache(maxsize=_TEXTS_KEPT)(self._one_text)

    def images(self, pictures: Sequence[Image]) -> torch.Tensor:
        """Embed pictures: [pictures, width]."""
        return _unit(self._images, pictures)

    def _one_text(self, text: str) -> torch.Tensor:
        return _unit(self._text, text)[0]


def _unit(embed: Callable[[Any], torch.Tensor], what: Any) -> torch.Tensor:
    import torch

    with torch.inference_mode():
        rows = embed(what).float().cpu()
        unit: torch.Tensor = rows / rows.norm(dim=-1, keepdim=True)
        return unit


def _transformers_clip(checkpoint: Checkpoint, dtype: str, device: str) -> _Clip:
    mend_torchvision()
    from transformers import AutoImageProcessor, AutoTokenizer, CLIPModel

    model = load_model(CLIPModel, checkpoint, dtype, device)
    processor, tokenizer = load_part(AutoImageProcessor, checkpoint), load_part(AutoTokenizer, checkpoint)
    side, most = model.config.vision_config.image_size, model.config.text_config.max_position_embeddings

    def images(pictures: Sequence[Image]) -> torch.Tensor:
        square = {"height": side, "width": side}
        inputs = processor(images=list(pictures), size=square, return_tensors="pt")
        pixels = inputs.pixel_values.to(model.device, model.dtype)
        return model.get_image_features(pixel_values=pixels).pooler_output  # type: ignore[no-any-return]

    def text(said: str) -> torch.Tensor:
        inputs = tokenizer(said, truncation=True, max_length=most, return_tensors="pt").to(model.device)
        return model.get_text_features(**inputs).pooler_output  # type: ignore[no-any-return]

    return _Clip(images, text)


def _open_clip(checkpoint: Checkpoint, dtype: str, device: str) -> _Clip:
    import torch

    model, tokenizer = load_open_clip(checkpoint, dtype, device)
    from open_clip.transform import PreprocessCfg, image_transform_v2

    place, kind = torch_device(device), torch_dtype(dtype)
    preprocess = image_transform_v2(PreprocessCfg(**model.visual.preprocess_cfg), is_train=False)

    def images(pictures: Sequence[Image]) -> torch.Tensor:
        pixels = torch.stack([preprocess(picture) for picture in pictures])
        return model.encode_image(pixels.to(place, kind))  # type: ignore[no-any-return]

    def text(said: str) -> torch.Tensor:
        return model.encode_text(tokenizer([said]).to(place))  # type: ignore[no-any-return]

    return _Clip(images, text)
