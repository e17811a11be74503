"""UniVTG: where in a sequence of frames a text happens (Lin et al., ICCV 2023), as a PyTorch module.

Its parameters carry the names of the published checkpoints, which load strictly; sizes are read off the
tensors. The forward pass can be differentiated and has the paper's dropout, but losses, optimiser and data
are not here, nor are features (`aotd.tools.clip_features`) and what becomes of spans
(`aotd.tools.univtg_grounder`). Of a checkpoint's pickle, tensors and plain values are read; no code is run.
"""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aotd.tools.loading import UnusableCheckpoint

__all__ = ["UniVtgModel", "UniVtgOutput", "load_univtg", "sine_positions", "unit_rows", "with_ends"]

HEADS: Final = 8
"""Attention heads of every published checkpoint; the weights do not tell."""

_NAMED: Final = 5
"""Weights that an error names before it says how many more."""


class UniVtgOutput(NamedTuple):
    """What the network says of each frame; B requests, L frames, width D."""

    scores: Tensor
    """[B, L]: probability that the text happens at the frame."""
    spans: Tensor
    """[B, L, 2]: signed way to the window's start (-1..0) and end (0..1), in units of all L frames."""
    saliency: Tensor
    """[B, L]: cosine of frame and text before the transformer; about -103 or -inf where padded."""
    video: Tensor
    """[B, L, D]: frames before the transformer."""
    text: Tensor
    """[B, 1, D]: the pooled text before the transformer."""


class UniVtgModel(nn.Module):
    """The network; the published ones are 1024 wide inside and out.

    Parameters
    ----------
    width
        Of frames and words in the network.
    inner
        Width between the two linear maps of a layer.
    video_width
        Of the video input: 514 is CLIP's 512 and the two ends; SlowFast adds 2304.
    text_width
        Of the text input: 512 for CLIP.
    layers
        Of the transformer.
    blocks
        That bring each input to `width`.
    words
        Rows of the table of text positions, which is stored and never used.
    heads
        Of attention.
    input_dropout
        Before each linear map of the inputs; the paper's 0.5. Like the next, active in training only.
    attention_dropout
        On attention weights; the paper's 0.
    drop_path
        Chance that a sample skips a residual branch; the paper's 0.1.
    """

    def __init__(
        self,
        *,
        width: int,
        inner: int,
        video_width: int,
        text_width: int,
        layers: int = 4,
        blocks: int = 2,
        words: int = 75,
        heads: int = HEADS,
        input_dropout: float = 0.5,
        attention_dropout: float = 0.0,
        drop_path: float = 0.1,
    ) -> None:
        super().__init__()
        self.width = width
        self.video_width = video_width
        self.text_width = text_width
        stack = [_Layer(width, inner, heads, attention_dropout, drop_path) for _ in range(layers)]
        self.transformer = nn.ModuleDict({"encoder": _Encoder(stack)})
        self.txt_position_embed = nn.ModuleDict(
            {"position_embeddings": nn.Embedding(words, width), "LayerNorm": nn.LayerNorm(width)}
        )
        self.token_type_embeddings = nn.Embedding(2, width)
        self.span_embed = _ConvHead(width, 2)
        self.class_embed = _ConvHead(width, 1)
        self.input_txt_proj = _projections(text_width, width, blocks, input_dropout)
        self.input_vid_proj = _projections(video_width, width, blocks, input_dropout)
        self.weightedpool = _WeightedPool(width)

    def forward(
        self,
        video: Tensor,
        text: Tensor,
        video_mask: Tensor | None = None,
        text_mask: Tensor | None = None,
    ) -> UniVtgOutput:
        """Look for texts among frames.

        Parameters
        ----------
        video
            [B, L, video_width]: rows as of `with_ends`.
        text
            [B, W, text_width]: rows as of `unit_rows`.
        video_mask
            [B, L], float, 1 where a frame is valid; all by default. The last three valid frames of a padded
            video feel the padding through the convolutions, as in the published network.
        text_mask
            [B, W], float; padded words have no influence.
        """
        frames, words = video.shape[1], text.shape[1]
        video_mask = video.new_ones(video.shape[:2]) if video_mask is None else video_mask
        text_mask = text.new_ones(text.shape[:2]) if text_mask is None else text_mask
        of_text, of_video = self.token_type_embeddings.weight
        v = self.input_vid_proj(video) + of_video
        t = self.input_txt_proj(text) + of_text
        positions = F.pad(sine_positions(video_mask, self.width), (0, 0, 0, words))
        padding = torch.cat([video_mask, text_mask], dim=1) == 0
        memory = self.transformer["encoder"](torch.cat([v, t], dim=1), positions, padding)[:, :frames]
        pooled = self.weightedpool(t, text_mask)
        return UniVtgOutput(
            scores=self.class_embed(memory).sigmoid().squeeze(-1),
            spans=self.span_embed(memory).sigmoid() * memory.new_tensor([-1.0, 1.0]),
            saliency=F.cosine_similarity(v, pooled, dim=-1) + torch.log(video_mask + 1e-45),
            video=v,
            text=pooled,
        )


class _Encoder(nn.Module):
    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor, positions: Tensor, padding: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x, positions, padding)
        return x


class _Layer(nn.Module):
    """A post-norm layer. Positions enter queries and keys, not values."""

    def __init__(
        self, width: int, inner: int, heads: int, attention_dropout: float, drop_path: float
    ) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(width, heads, dropout=attention_dropout, batch_first=True)
        self.linear1 = nn.Linear(width, inner)
        self.linear2 = nn.Linear(inner, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.drop_path = drop_path

    def forward(self, x: Tensor, positions: Tensor, padding: Tensor) -> Tensor:
        placed = x + positions
        seen, _ = self.self_attn(placed, placed, x, key_padding_mask=padding, need_weights=False)
        x = self.norm1(x + self._dropped(seen))
        y: Tensor = self.norm2(x + self._dropped(self.linear2(F.gelu(self.linear1(x)))))
        return y

    def _dropped(self, branch: Tensor) -> Tensor:
        if not self.training or self.drop_path == 0:
            return branch
        kept = torch.rand(len(branch), 1, 1, device=branch.device) >= self.drop_path
        return branch * kept / (1 - self.drop_path)


class _ConvHead(nn.Module):
    """Three convolutions along time, 3 frames wide."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        widths = (width, width, outputs)
        self.layers = nn.ModuleList(nn.Conv1d(width, out, kernel_size=3, padding=1) for out in widths)

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(1, 2)
        for place, layer in enumerate(self.layers):
            x = layer(F.relu(x) if place else x)
        return x.transpose(1, 2)


class _Projection(nn.Module):
    def __init__(self, inputs: int, width: int, dropout: float) -> None:
        super().__init__()
        self.LayerNorm = nn.LayerNorm(inputs)
        self.net = nn.Sequential(nn.Dropout(dropout), nn.Linear(inputs, width))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.net(self.LayerNorm(x))
        return y


class _Projections(nn.Sequential):
    """Blocks with a ReLU between them and none after the last."""

    def forward(self, x: Tensor) -> Tensor:
        for place, block in enumerate(self):
            x = block(F.relu(x) if place else x)
        return x


def _projections(inputs: int, width: int, blocks: int, dropout: float) -> _Projections:
    widths = [inputs, *[width] * (blocks - 1)]
    return _Projections(*(_Projection(w, width, dropout) for w in widths))


class _WeightedPool(nn.Module):
    """A text's one vector: its words weighted by a softmax of a learnt direction."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, 1))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, words: Tensor, mask: Tensor) -> Tensor:
        weights = (words @ self.weight + (1 - mask[..., None]) * -1e30).softmax(dim=1)
        pooled: Tensor = (weights * words).sum(dim=1, keepdim=True)
        return pooled


def sine_positions(mask: Tensor, width: int) -> Tensor:
    """Give the position codes of valid frames, spread over one turn whatever their number.

    Parameters
    ----------
    mask
        [B, L], 1 where a frame is valid.
    width
        Channels; even ones are sines, odd ones cosines.

    Returns
    -------
    Tensor
        [B, L, width].
    """
    place = mask.cumsum(dim=1, dtype=torch.float32)
    place = place / (place[:, -1:] + 1e-6) * (2 * math.pi)
    pairs = torch.arange(width, dtype=torch.float32, device=mask.device).div(2, rounding_mode="floor")
    angle = place[..., None] / 10000 ** (2 * pairs / width)
    return torch.stack([angle[..., 0::2].sin(), angle[..., 1::2].cos()], dim=-1).flatten(2)


def unit_rows(features: Tensor) -> Tensor:
    """Scale feature rows [..., width] to length 1 as UniVTG does, with 1e-5 added to the length."""
    lengths: Tensor = torch.linalg.vector_norm(features, dim=-1, keepdim=True)
    return features / (lengths + 1e-5)


def with_ends(frames: Tensor) -> Tensor:
    """Make the video input of frame features: unit rows, and where each frame starts and ends in 0..1.

    Parameters
    ----------
    frames
        [L, width], as CLIP gives them.

    Returns
    -------
    Tensor
        [L, width + 2].
    """
    ends = torch.arange(len(frames) + 1, dtype=frames.dtype, device=frames.device) / len(frames)
    return torch.cat([unit_rows(frames), torch.stack([ends[:-1], ends[1:]], dim=1)], dim=1)


def load_univtg(file: Path, *, heads: int = HEADS) -> UniVtgModel:
    """Load a checkpoint: a published `.ckpt`, or its weights as safetensors.

    Parameters
    ----------
    file
        A torch file, which may hold the weights under `model` and prefix them with `module.`, or
        a `.safetensors`.
    heads
        Attention heads.

    Returns
    -------
    UniVtgModel
        For inference, float32, on the CPU.

    Raises
    ------
    UnusableCheckpoint
        Naming the file and what is wrong with it.
    """
    state = _read(file)
    dimensions = _dimensions(file, state)
    if dimensions["width"] % heads:
        raise UnusableCheckpoint(f"{file}: width {dimensions['width']} is no multiple of {heads} heads")
    with torch.device("meta"):
        net = UniVtgModel(**dimensions, heads=heads)
    wanted = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
    lacking = [name for name in wanted if name not in state]
    besides = [name for name in state if name not in wanted]
    misfits = [n for n, shape in wanted.items() if n in state and tuple(state[n].shape) != shape]
    _refuse(file, {"lacks": lacking, "has other shapes for": misfits, "has besides": besides})
    net.load_state_dict({name: tensor.float() for name, tensor in state.items()}, assign=True)
    return net.eval()


def _read(file: Path) -> dict[str, Tensor]:
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            loaded: Any = load_file(file)
        else:
            with torch.serialization.safe_globals([Namespace]):  # the published files keep their options
                loaded = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - damaged and foreign files fail in many ways; each is told
        told = " ".join(str(error).split())[:300]
        raise UnusableCheckpoint(
            f"{file} does not load: {type(error).__name__}: {told}; give UniVTG's model_best.ckpt, "
            "or its weights as safetensors"
        ) from None
    model = loaded.get("model", loaded) if isinstance(loaded, Mapping) else {}
    named = model.items() if isinstance(model, Mapping) else ()
    return {str(name).removeprefix("module."): t for name, t in named if isinstance(t, Tensor)}


def _dimensions(file: Path, state: Mapping[str, Tensor]) -> dict[str, int]:
    """Read the network's dimensions off the weights that carry them."""
    layer, block = "transformer.encoder.layers.{}.linear1.weight", "input_vid_proj.{}.net.1.weight"
    carriers = {
        "width": (block.format(0), 2),
        "inner": (layer.format(0), 2),
        "video_width": ("input_vid_proj.0.LayerNorm.weight", 1),
        "text_width": ("input_txt_proj.0.LayerNorm.weight", 1),
        "words": ("txt_position_embed.position_embeddings.weight", 2),
    }
    lacking = [name for name, _ in carriers.values() if name not in state]
    misfits = [name for name, axes in carriers.values() if name in state and state[name].ndim != axes]
    _refuse(file, {"lacks": lacking, "has other shapes for": misfits})
    first = {size: state[name].shape[0] for size, (name, _) in carriers.items()}
    return {**first, "layers": _count(state, layer), "blocks": _count(state, block)}


def _count(state: Mapping[str, Tensor], name: str) -> int:
    count = 0
    while name.format(count) in state:
        count += 1
    return count


def _refuse(file: Path, faults: Mapping[str, Sequence[str]]) -> None:
    told = [f"{fault} {_listed(names)}" for fault, names in faults.items() if names]
    if told:
        raise UnusableCheckpoint(f"{file} is no checkpoint of UniVTG: it {'; it '.join(told)}")


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
