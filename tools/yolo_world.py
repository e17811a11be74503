"""YOLO-World through ultralytics (AGPL-3.0, the extra `yolo`): fast open-vocabulary boxes.

The only file that imports ultralytics, and only when the first frame comes; it is kept from the network,
from installing, and from the home folder. Weights are read as plain tensors into a model built from
ultralytics' own description of the architecture (`aotd.tools.yolo_weights`): nothing is unpickled. Names are
embedded by CLIP ViT-B/32 of transformers, as ultralytics does with OpenAI's package. Text enters the network
early, so each name is a vocabulary of its own and several (frame, name) pairs go through it together: what
else is asked changes no answer. Source: Cheng et al., "YOLO-World" (2024).
"""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from aotd.tools.boxes import (
    Found,
    Sought,
    answers,
    bad_name,
    corners,
    one_size,
    read_frames,
    sought,
    to_found,
)
from aotd.tools.checkpoints import Checkpoint
from aotd.tools.extras import need_packages
from aotd.tools.frames import FrameStore
from aotd.tools.label_check import LabelCheck
from aotd.tools.loading import UnusableCheckpoint, load_model, load_part, torch_device, torch_dtype
from aotd.tools.models import DetectRequest, FrameRef, ModelIdentity, ToolError
from aotd.tools.torchvision_cpu import mend_torchvision
from aotd.tools.yolo_weights import Architecture, read_weights

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

__all__ = ["Letterbox", "YoloWorld", "letterbox"]

_SIDE: Final = 640
"""Longer side of the network's input, in pixels; this and the next three are ultralytics' own defaults."""
_STRIDE: Final = 32
_OVERLAP: Final = 0.7
"""A box goes if it overlaps a better one more than this."""
_MOST_BOXES: Final = 300
_GREY: Final = 114
_TEXT_WIDTH: Final = 512
_NAMES_KEPT: Final = 4096

_KEPT_OFF: Final = {"YOLO_OFFLINE": "1", "YOLO_AUTOINSTALL": "0", "YOLO_VERBOSE": "False"}
"""Read by ultralytics when it is imported: no look-ups, downloads or reports; no pip; no chatter."""


class Letterbox(NamedTuple):
    """Where a frame lies in the network's input, in pixels of the input."""

    width: int
    """Of the resized frame; so the height."""
    height: int
    left: int
    """Grey columns before it; so the next three."""
    top: int
    right: int
    bottom: int

    def to_frame(self, places: torch.Tensor, width: int, height: int) -> torch.Tensor:
        """Map corners [..., 4] in pixels of the input to those of a frame of `width` and `height` pixels."""
        shift = places.new_tensor([self.left, self.top]).repeat(2)
        return (places - shift) * places.new_tensor([width / self.width, height / self.height]).repeat(2)


def letterbox(width: int, height: int) -> Letterbox:
    """Fit a frame into the input as ultralytics does: longer side 640, grey around up to multiples of 32."""
    ratio = min(_SIDE / width, _SIDE / height)
    new_width, new_height = max(round(width * ratio), 1), max(round(height * ratio), 1)
    across, down = (_SIDE - new_width) % _STRIDE, (_SIDE - new_height) % _STRIDE
    left, top = across // 2, down // 2
    return Letterbox(new_width, new_height, left, top, across - left, down - top)


class YoloWorld:
    """YOLO-World.

    Parameters
    ----------
    weights
        File of ultralytics, such as `yolov8x-worldv2.pt`.
    text
        CLIP ViT-B/32 of transformers, which embeds the names; it runs on the CPU.
    frames
        Where the pixels come from.
    device, dtype
        Where the network runs and in what numbers: float32 or float16.
    prompt
        What a name is put into, at `{}`.
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
    ModuleNotFoundError
        If ultralytics is not installed.
    UnusableCheckpoint
        At the first request, if the file is not what it should be.
    """

    reads_pixels = True

    def __init__(
        self,
        weights: Path,
        text: Checkpoint,
        frames: FrameStore,
        *,
        device: str,
        dtype: str = "float32",
        prompt: str = "{}",
        threshold: float = 0.2,
        aliases: Mapping[str, str] | None = None,
        frames_at_once: int = 16,
        check: LabelCheck | None = None,
    ) -> None:
        need_packages("detector yolo-world", "yolo", "ultralytics")
        self._weights = weights
        self._text = text
        self._frames = frames
        self._device = device
        self._dtype = dtype
        self._prompt = prompt
        self._threshold = threshold
        self._aliases = dict(aliases or {})
        self._at_once = frames_at_once
        self._check = check
        with weights.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        self.identity = ModelIdentity(
            id=f"yolo-world/{weights.stem}",
            revision=f"sha256-{digest[:16]}",
            dtype=dtype,
            settings={
                "prompt": prompt,
                "threshold": threshold,
                "aliases": dict(sorted(self._aliases.items())),
                "side": _SIDE,
                "overlap": _OVERLAP,
                "text": f"{text.id}@{text.revision}",
                "label_check": check and check.identity.model_dump(mode="json"),
            },
        )

    def detect(self, requests: Sequence[DetectRequest]) -> Sequence[Found]:
        """Give the boxes of each request, best first."""
        pairs = sought(requests)
        queries = {name: self._query(name) for name in dict.fromkeys(pair.name for pair in pairs)}
        found: dict[Sought, Found] = {p: q for p in pairs if isinstance(q := queries[p.name], ToolError)}
        read = read_frames(self._frames, (pair.frame for pair in pairs if pair not in found))
        images: dict[FrameRef, NDArray[np.uint8]] = {}
        for frame, image in read.items():
            if isinstance(image, ToolError):
                found |= {pair: image for pair in pairs if pair.frame == frame and pair not in found}
            else:
                images[frame] = image
        known = {name: query for name, query in queries.items() if not isinstance(query, ToolError)}
        for some in one_size([pair for pair in pairs if pair not in found], images, self._at_once):
            found |= self._find(some, images, [known[pair.name] for pair in some])
        answered = answers(requests, found)
        return self._check.confirm(requests, answered, self._frames) if self._check else answered

    def _find(
        self,
        pairs: Sequence[Sought],
        images: Mapping[FrameRef, NDArray[np.uint8]],
        queries: Sequence[torch.Tensor],
    ) -> dict[Sought, Found]:
        """Find pairs in one pass; their frames have one size."""
        shown = list(dict.fromkeys(pair.frame for pair in pairs))
        height, width = images[shown[0]].shape[:2]
        fit = letterbox(width, height)
        scores, places = self._model.look(
            [images[frame] for frame in shown], [shown.index(p.frame) for p in pairs], queries, fit
        )
        in_frame = fit.to_frame(places, width, height)
        found: dict[Sought, Found] = {}
        for row, pair in enumerate(pairs):
            kept = _best(places[row], scores[row], self._threshold)
            found[pair] = to_found(
                pair.name, in_frame[row][kept], scores[row][kept], (width, height), self._threshold
            )
        return found

    def _query(self, name: str) -> torch.Tensor | ToolError:
        return self._names.embed(self._prompt.replace("{}", self._aliases.get(name, name)), name)

    @cached_property
    def _names(self) -> _Names:
        return _Names(self._text)

    @cached_property
    def _model(self) -> _Model:
        return _Model(self._weights, self._dtype, self._device)


class _Names:
    """CLIP's text tower, on the CPU: a name is embedded once."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        mend_torchvision()
        from transformers import AutoTokenizer, CLIPModel

        self._model = load_model(CLIPModel, checkpoint, "float32", "cpu")
        self._tokenizer = load_part(AutoTokenizer, checkpoint)
        width = self._model.config.projection_dim
        if width != _TEXT_WIDTH:
            told = f"checkpoint {checkpoint.id} ({checkpoint.folder}) embeds names in {width} numbers"
            raise UnusableCheckpoint(f"{told}; YOLO-World takes {_TEXT_WIDTH}: set CLIP ViT-B/32")
        del self._model.vision_model
        self.embed = lru_cache(maxsize=_NAMES_KEPT)(self._embed)

    def _embed(self, text: str, name: str) -> torch.Tensor | ToolError:
        """Embed one text, [512], unit length."""
        import torch

        inputs = self._tokenizer(text, return_tensors="pt")
        most = self._model.config.text_config.max_position_embeddings
        bad = bad_name(name, inputs.input_ids.shape[1], most)
        if bad is not None:
            return bad
        with torch.inference_mode():
            row = self._model.get_text_features(**inputs).pooler_output[0]
            query: torch.Tensor = row / row.norm()
            return query


class _Model:
    """The network."""

    def __init__(self, weights: Path, dtype: str, device: str) -> None:
        self._device, self._dtype = torch_device(device), torch_dtype(dtype)
        held = read_weights(weights)
        model = _build(held.architecture)
        told = f"weights {weights} are no {held.architecture}"
        try:
            fitted = model.load_state_dict({n: t.float() for n, t in held.tensors.items()}, strict=False)
        except RuntimeError as error:
            raise UnusableCheckpoint(f"{told}: {' '.join(str(error).split())[:300]}") from None
        for what, keys in (("lack", fitted.missing_keys), ("have besides", fitted.unexpected_keys)):
            if keys:
                raise UnusableCheckpoint(f"{told}: they {what} {', '.join(keys[:5])} ({len(keys)} in all)")
        model.model[-1].nc = 1  # one name at a time
        self._model = model.to(self._device, self._dtype).eval()

    def look(
        self,
        images: Sequence[NDArray[np.uint8]],
        of_pair: Sequence[int],
        queries: Sequence[torch.Tensor],
        fit: Letterbox,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Run pairs of image and name.

        Parameters
        ----------
        images
            [H, W, 3] each, all of one size.
        of_pair
            Index of each pair's image.
        queries
            Each pair's name, embedded.
        fit
            Where the images lie in the input.

        Returns
        -------
        tuple of torch.Tensor
            Scores [pairs, places] and corners [pairs, places, 4] in pixels of the input; float32, on the CPU.
        """
        import cv2
        import torch

        grey = (_GREY, _GREY, _GREY)
        fitted = [
            cv2.copyMakeBorder(
                cv2.resize(image, (fit.width, fit.height), interpolation=cv2.INTER_LINEAR),
                fit.top, fit.bottom, fit.left, fit.right, cv2.BORDER_CONSTANT, value=grey,
            )
            for image in images
        ]  # fmt: skip
        pixels = torch.stack([torch.from_numpy(image) for image in fitted]).to(self._device)
        pixels = pixels.permute(0, 3, 1, 2).to(self._dtype) / 255
        with torch.inference_mode():
            names = torch.stack(list(queries))[:, None].to(self._device, self._dtype)
            out = self._model.predict(pixels[list(of_pair)], txt_feats=names)
            told = (out[0] if isinstance(out, tuple) else out).float().cpu()
        return told[:, 4], corners(told[:, :4].transpose(1, 2))


def _best(places: torch.Tensor, scores: torch.Tensor, threshold: float) -> torch.Tensor:
    """Choose the boxes that score above the threshold and overlap no better one; their indices."""
    mend_torchvision()
    from torchvision.ops import nms

    # What is no number stays in, for `to_found` to tell.
    above = (~(scores <= threshold)).nonzero().flatten()
    best: torch.Tensor = nms(places[above], scores[above], _OVERLAP)[:_MOST_BOXES]
    return above[best]


def _build(architecture: Architecture) -> Any:
    """Build an untrained model from ultralytics' own description."""
    import yaml

    folder = _ultralytics()
    from ultralytics.nn.tasks import WorldModel

    # By its path: ultralytics would prefer a file of that name in the working folder.
    file = folder / "cfg" / "models" / "v8" / f"yolov8-{architecture.version}.yaml"
    if not file.is_file():
        raise UnusableCheckpoint(f"this ultralytics does not know {architecture}: it has no {file}")
    described = yaml.safe_load(file.read_text(encoding="utf-8"))
    build: Any = WorldModel
    return build({**described, "scale": architecture.scale}, verbose=False)


def _ultralytics() -> Path:
    """Import ultralytics, kept to itself; give its folder."""
    if "ultralytics" not in sys.modules:
        os.environ.update(_KEPT_OFF)
        if "YOLO_CONFIG_DIR" not in os.environ:
            settings = tempfile.mkdtemp(prefix="aotd-ultralytics-")
            atexit.register(shutil.rmtree, settings, ignore_errors=True)
            os.environ["YOLO_CONFIG_DIR"] = settings
    mend_torchvision()
    import ultralytics

    return Path(ultralytics.__file__).parent
