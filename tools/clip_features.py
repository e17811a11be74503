"""CLIP features of frames and texts as UniVTG takes them, through open_clip or transformers.

A frame's feature is CLIP's projected image embedding; a text's is the last hidden state of each token after
the final norm, start and end included, unprojected. Neither is scaled to unit length here. Frames are resized
to a square without keeping their aspect, as AoTD does; UniVTG's own demo crops the centre instead. Where the
checkpoint's own processor pads (`do_pad`), they are filled up to one. Features are kept by (video, frame,
crop) and by text in a bounded memory. Knows no detector and no grounder.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from aotd.tools.checkpoints import Checkpoint
from aotd.tools.frames import FrameStore
from aotd.tools.loading import UnusableCheckpoint, load_model, load_part
from aotd.tools.models import Frames
from aotd.tools.open_clip_model import load_open_clip
from aotd.tools.torchvision_cpu import mend_torchvision
from aotd.tools.video import VideoError
from aotd.traces.records import Box

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "ClipFeatures",
    "ClipTowers",
    "ClipWeights",
    "OpenClipTowers",
    "TokenRows",
    "TransformersClipTowers",
    "load_clip",
    "normalised",
    "square_pixels",
]

TOKENS: Final = 32
"""Tokens that UniVTG was trained with at most, start and end among them; a longer text is cut."""

_MEAN: Final = (0.48145466, 0.4578275, 0.40821073)
_STD: Final = (0.26862954, 0.26130258, 0.27577711)

_AT_ONCE: Final = 64
"""Frames in one pass of the image tower."""

_OVERHEAD: Final = 550
"""Bytes that a kept feature costs beside its numbers, measured: key, table slot, list node, array header."""

_FrameKey = tuple[str, int, Box | None]


class TokenRows(NamedTuple):
    """Features of a text."""

    rows: Tensor
    """[tokens read, width]."""
    tokens: int
    """Of the whole text; more than there are rows if it was cut."""


class ClipWeights(NamedTuple):
    """Which weights, and in whose layout: a folder of open_clip's, or of transformers'."""

    kind: Literal["open-clip", "transformers"]
    checkpoint: Checkpoint


class ClipTowers(Protocol):
    """CLIP's image tower and text tower."""

    @property
    def side(self) -> int:
        """Pixels of the square that the image tower takes."""
        ...

    @property
    def pads(self) -> bool:
        """Whether frames are filled up to a square with black, at their right or bottom, or stretched."""
        ...

    @property
    def device(self) -> torch.device:
        """Where the towers are."""
        ...

    def images(self, pixels: Tensor) -> Tensor:
        """Embed normalised squares [N, 3, side, side]; gives [N, width], projected."""
        ...

    def texts(self, texts: Sequence[str]) -> list[TokenRows]:
        """Give the hidden states of each text's tokens, at most `TOKENS` of them."""
        ...


class OpenClipTowers:
    """CLIP of open_clip.

    Parameters
    ----------
    model
        A `CLIP` or `CustomTextCLIP` for inference, with a causal text tower.
    tokenizer
        Its `SimpleTokenizer`.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self._model = model
        self._text = getattr(model, "text", model)
        self._tokenizer = tokenizer
        self.side: int = model.visual.image_size[0]
        self.pads = False
        self.device = model.visual.conv1.weight.device

    @torch.inference_mode()
    def images(self, pixels: Tensor) -> Tensor:
        """Embed squares."""
        features: Tensor = self._model.encode_image(pixels.to(self._model.visual.conv1.weight.dtype))
        return features

    @torch.inference_mode()
    def texts(self, texts: Sequence[str]) -> list[TokenRows]:
        """Run the text tower up to its final norm; `encode_text` goes on and pools."""
        tower, tokenizer = self._text, self._tokenizer
        start, end = tokenizer.sot_token_id, tokenizer.eot_token_id
        tokens = [[start, *tokenizer.encode(text), end] for text in texts]
        ids = _ids(tokens, tower.context_length, self.device)
        dtype, length = tower.transformer.get_cast_dtype(), ids.shape[1]
        x = tower.token_embedding(ids).to(dtype) + tower.positional_embedding[:length].to(dtype)
        hidden = tower.ln_final(tower.transformer(x, attn_mask=tower.attn_mask[:length, :length]))
        return _token_rows(hidden, tokens)


class TransformersClipTowers:
    """CLIP of transformers.

    Parameters
    ----------
    model
        A `CLIPModel` for inference.
    tokenizer
        Its `CLIPTokenizer`.
    pads
        Whether its image processor pads frames to a square.
    """

    def __init__(self, model: Any, tokenizer: Any, *, pads: bool = False) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self.pads = pads
        self.side: int = model.config.vision_config.image_size
        self.device = model.device

    @torch.inference_mode()
    def images(self, pixels: Tensor) -> Tensor:
        """Embed squares."""
        features: Tensor = self._model.get_image_features(pixel_values=pixels.to(self._model.dtype))
        return getattr(features, "pooler_output", features)  # the tensor itself before transformers 5

    @torch.inference_mode()
    def texts(self, texts: Sequence[str]) -> list[TokenRows]:
        """Run the text tower up to its final norm."""
        tokens = self._tokenizer(list(texts), verbose=False)["input_ids"]
        most = self._model.config.text_config.max_position_embeddings
        hidden = self._model.text_model(input_ids=_ids(tokens, most, self.device)).last_hidden_state
        return _token_rows(hidden, tokens)


def load_clip(weights: ClipWeights, dtype: str, device: str) -> ClipTowers:
    """Load CLIP for inference.

    Raises
    ------
    UnusableCheckpoint
        If it does not load; names the folder and the mend.
    """
    if weights.kind == "open-clip":
        return _load_open_clip(weights.checkpoint, dtype, device)
    mend_torchvision()
    from transformers import AutoTokenizer, CLIPModel

    model = load_model(CLIPModel, weights.checkpoint, dtype, device)
    tokenizer = load_part(AutoTokenizer, weights.checkpoint)
    return TransformersClipTowers(model, tokenizer, pads=_pads(weights.checkpoint.folder))


def _pads(folder: Path) -> bool:
    """Tell whether a checkpoint's image processor pads, by either of the files that may describe it."""
    for name in ("processor_config.json", "preprocessor_config.json"):
        file = folder / name
        try:
            read = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
            if read.get("image_processor", read).get("do_pad"):
                return True
        except (ValueError, AttributeError) as error:
            raise UnusableCheckpoint(f"{file} is no description of a processor: {error}") from None
    return False


def square_pixels(
    frame: NDArray[np.uint8], crop: Box | None, side: int, *, antialias: bool, pads: bool = False
) -> Tensor:
    """Cut and resize one frame.

    Parameters
    ----------
    frame
        [H, W, 3], uint8, RGB.
    crop
        x1, y1, x2, y2 in pixels of the frame, x2 and y2 not included. What lies outside the frame is left
        out; at least one pixel is taken.
    side
        Pixels of the square.
    antialias
        False samples pixels when shrinking, as torchvision 0.16 did by default (AoTD).
    pads
        Fill the cut up to a square with black, at its right or bottom, before it is resized.

    Returns
    -------
    Tensor
        [3, side, side], uint8, on the CPU: as torchvision's v2 `resize`, and within one level of its first.
    """
    if crop is not None:
        height, width = frame.shape[:2]
        left, top = min(max(crop[0], 0), width - 1), min(max(crop[1], 0), height - 1)
        frame = frame[top : max(crop[3], top + 1), left : max(crop[2], left + 1)]
    # torch shrinks whole numbers with channels last many times faster than floats; a copy, since it takes
    # read-only arrays badly.
    whole = torch.from_numpy(frame.copy()).permute(2, 0, 1)[None]
    if pads:
        height, width = whole.shape[2:]
        whole = F.pad(whole, (0, max(0, height - width), 0, max(0, width - height)))
    return F.interpolate(whole, (side, side), mode="bilinear", align_corners=False, antialias=antialias)[0]


def normalised(pixels: Tensor) -> Tensor:
    """Turn colours [N, 3, H, W] of 0..255 into what CLIP takes, float32; UniVTG adds 1e-8 to the spread."""
    mean, std = pixels.new_tensor(_MEAN, dtype=torch.float32), pixels.new_tensor(_STD, dtype=torch.float32)
    return (pixels.float() / 255 - mean[:, None, None]) / (std[:, None, None] + 1e-8)


class ClipFeatures:
    """Features on the CPU, float32, each computed once while it is kept; for use by one thread.

    Parameters
    ----------
    towers
        CLIP.
    frames
        Decoded frames.
    antialias
        As `square_pixels`.
    max_bytes
        Bound of what is kept; one call gives more when it is asked more.
    """

    def __init__(self, towers: ClipTowers, frames: FrameStore, *, antialias: bool, max_bytes: int) -> None:
        self._towers = towers
        self._frames = frames
        self._antialias = antialias
        self._kept = _Kept(max_bytes)

    def of_frames(self, asked: Sequence[Frames]) -> list[Tensor | VideoError]:
        """Give the features of clips, [frames, width] each, or why the clip's video cannot be read."""
        found: dict[_FrameKey, _Feature] = {}
        waiting: dict[_FrameKey, Tensor] = {}
        failed: dict[int, VideoError] = {}
        for place, clip in enumerate(asked):
            missing = []
            for key in dict.fromkeys(_keys(clip)):
                kept = found.get(key, self._kept.get(key))
                if kept is not None:
                    found[key] = kept
                elif key not in waiting:
                    missing.append(key)
            try:
                pixels = self._frames.read(clip.video, [index for _, index, _ in missing]) if missing else []
            except VideoError as error:
                failed[place] = error
                continue
            for key, frame in zip(missing, pixels, strict=True):
                waiting[key] = self._square(frame, key[2])
                if len(waiting) == _AT_ONCE:
                    self._embed(waiting, found)
        self._embed(waiting, found)
        return [
            failed.get(place) or torch.from_numpy(np.stack([found[key].rows for key in _keys(clip)]))
            for place, clip in enumerate(asked)
        ]

    def of_texts(self, texts: Sequence[str]) -> list[TokenRows]:
        """Give the features of texts."""
        found = {text: kept for text in texts if (kept := self._kept.get(text)) is not None}
        missing = [text for text in dict.fromkeys(texts) if text not in found]
        for text, (rows, tokens) in zip(missing, self._towers.texts(missing) if missing else [], strict=True):
            found[text] = self._kept.put(text, rows.float().cpu().numpy(), tokens)
        return [TokenRows(torch.tensor(found[text].rows), found[text].tokens) for text in texts]

    def _square(self, frame: NDArray[np.uint8], crop: Box | None) -> Tensor:
        """Cut and resize a frame as the towers take it."""
        side, pads = self._towers.side, self._towers.pads
        return square_pixels(frame, crop, side, antialias=self._antialias, pads=pads)

    def _embed(self, waiting: dict[_FrameKey, Tensor], found: dict[_FrameKey, _Feature]) -> None:
        """Take what waits through the image tower."""
        if waiting:
            squares = torch.stack(list(waiting.values())).to(self._towers.device)
            rows = self._towers.images(normalised(squares)).float().cpu().numpy()
            for key, row in zip(waiting, rows, strict=True):
                found[key] = self._kept.put(key, row, 0)
            waiting.clear()


class _Feature(NamedTuple):
    rows: NDArray[np.float32]
    tokens: int
    """Of the whole text; 0 for a frame."""


class _Kept:
    """Features by what they are of, the least recently used let go first."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._features: OrderedDict[str | _FrameKey, _Feature] = OrderedDict()

    def get(self, key: str | _FrameKey) -> _Feature | None:
        if key in self._features:
            self._features.move_to_end(key)
        return self._features.get(key)

    def put(self, key: str | _FrameKey, rows: NDArray[np.float32], tokens: int) -> _Feature:
        """Keep a copy, and give it: a row of a batch would hold the whole batch in memory."""
        kept = self._features[key] = _Feature(rows.copy(), tokens)
        self._bytes += rows.nbytes + _OVERHEAD
        while self._bytes > self._max_bytes and len(self._features) > 1:
            _, dropped = self._features.popitem(last=False)
            self._bytes -= dropped.rows.nbytes + _OVERHEAD
        return kept


def _keys(clip: Frames) -> list[_FrameKey]:
    crops: Sequence[Box | None] = clip.crops or [None] * len(clip.indices)
    return [(clip.video, index, crop) for index, crop in zip(clip.indices, crops, strict=True)]


def _ids(tokens: Sequence[Sequence[int]], context: int, device: torch.device) -> Tensor:
    """Lay out token ids as [texts, longest], cut in front of the end token and filled up with it.

    Hidden states of a causal tower never depend on what follows, so the filling changes nothing.
    """
    length = min(TOKENS, context, max(map(len, tokens)))
    rows = [[*own[:-1][: length - 1], *[own[-1]] * length][:length] for own in tokens]
    return torch.tensor(rows, device=device)


def _token_rows(hidden: Tensor, tokens: Sequence[Sequence[int]]) -> list[TokenRows]:
    return [TokenRows(rows[: len(own)], len(own)) for rows, own in zip(hidden, tokens, strict=True)]


def _load_open_clip(checkpoint: Checkpoint, dtype: str, device: str) -> OpenClipTowers:
    model, tokenizer = load_open_clip(checkpoint, dtype, device)
    import open_clip

    text = getattr(model, "text", model)
    if not isinstance(tokenizer, open_clip.SimpleTokenizer) or getattr(text, "attn_mask", None) is None:
        raise UnusableCheckpoint(
            f"checkpoint {checkpoint.id} ({checkpoint.folder}) is no CLIP with the text tower of OpenAI's: "
            "UniVTG needs ViT-B/32"
        )
    return OpenClipTowers(model, tokenizer)
