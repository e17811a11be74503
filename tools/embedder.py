"""Sentence embeddings through transformers: each text becomes a unit vector, and like texts like vectors.

A text's vector is the state of its first token, as BGE models are trained, or the mean over its tokens. Texts
of a batch are padded and masked, so that neighbours do not matter. A text that does not fit is an error and
never cut. Compares nothing; loads on first use.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from aotd.tools.checkpoints import Checkpoint
from aotd.tools.extras import need_packages
from aotd.tools.loading import UnusableCheckpoint, load_model, load_part
from aotd.tools.models import EmbedRequest, ModelIdentity, ToolError, Vector

if TYPE_CHECKING:
    import torch

__all__ = ["SentenceEmbedder"]


class _Loaded(NamedTuple):
    model: Any
    tokenizer: Any
    longest: int
    """Tokens of the longest text."""


class SentenceEmbedder:
    """An encoder such as BGE-M3; may be called from many threads, and answers one at a time.

    Parameters
    ----------
    checkpoint
        Its folder; read on first use.
    device, dtype
        Such as `cuda:0` and `float32`.
    pooling
        `first`: the first token's state; `mean`: the mean of all.
    texts_at_once
        Texts in one pass.

    Raises
    ------
    ModuleNotFoundError
        If torch or transformers is not installed.
    """

    reads_pixels = False

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        device: str,
        dtype: str = "float32",
        pooling: Literal["first", "mean"] = "first",
        texts_at_once: int = 64,
    ) -> None:
        need_packages("an embedder in this process", "hf", "torch", "transformers")
        self.identity = ModelIdentity(
            id=f"transformers/{checkpoint.id}",
            revision=checkpoint.revision,
            dtype=dtype,
            settings={"pooling": pooling},
        )
        self._checkpoint = checkpoint
        self._device = device
        self._dtype = dtype
        self._pooling = pooling
        self._texts_at_once = texts_at_once
        self._lock = threading.Lock()
        self._loaded: _Loaded | None = None

    def embed(self, requests: Sequence[EmbedRequest]) -> Sequence[Vector | ToolError]:
        """Embed each text, in order; one that does not fit is an error of kind `too-long`.

        Raises
        ------
        UnusableCheckpoint
            On first use, if the checkpoint does not load.
        """
        if not requests:
            return []
        with self._lock:
            loaded = self._loaded = self._loaded or self._load()
            tokens: list[list[int]] = loaded.tokenizer([r.text for r in requests])["input_ids"]
            fitting = [place for place, ids in enumerate(tokens) if len(ids) <= loaded.longest]
            fitting.sort(key=lambda place: len(tokens[place]))
            vectors: dict[int, Vector] = {}
            for begin in range(0, len(fitting), self._texts_at_once):
                batch = fitting[begin : begin + self._texts_at_once]
                vectors.update(zip(batch, self._run(loaded, [tokens[place] for place in batch]), strict=True))
        return [vectors.get(place) or _too_long(ids, loaded) for place, ids in enumerate(tokens)]

    def _load(self) -> _Loaded:
        from transformers import AutoModel, AutoTokenizer

        tokenizer = load_part(AutoTokenizer, self._checkpoint)
        if tokenizer.pad_token_id is None:
            raise UnusableCheckpoint(
                f"checkpoint {self._checkpoint.id} has no padding token: name an encoder of sentences"
            )
        model = load_model(AutoModel, self._checkpoint, self._dtype, self._device)
        return _Loaded(model, tokenizer, min(tokenizer.model_max_length, _positions(model)))

    def _run(self, loaded: _Loaded, texts: Sequence[list[int]]) -> list[Vector]:
        import torch

        width = max(map(len, texts))
        pad = loaded.tokenizer.pad_token_id
        device = loaded.model.device
        ids = torch.tensor([text + [pad] * (width - len(text)) for text in texts], device=device)
        mask = torch.tensor([[1] * len(text) + [0] * (width - len(text)) for text in texts], device=device)
        with torch.inference_mode():
            states = loaded.model(input_ids=ids, attention_mask=mask).last_hidden_state.float()
            vectors = torch.nn.functional.normalize(self._pool(states, mask), dim=-1)
        return [Vector(values=tuple(row)) for row in vectors.tolist()]

    def _pool(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        if self._pooling == "first":
            return states[:, 0]
        counted = mask.unsqueeze(-1)
        return (states * counted).sum(1) / counted.sum(1)


def _positions(model: Any) -> int:
    """Give how many tokens a model can number; RoBERTa's kind begins behind its padding token's id."""
    positions: int = getattr(model.config, "max_position_embeddings", sys.maxsize)
    table = getattr(getattr(model, "embeddings", None), "position_embeddings", None)
    padding = getattr(table, "padding_idx", None)
    return positions if padding is None else positions - padding - 1


def _too_long(ids: Sequence[int], loaded: _Loaded) -> ToolError:
    message = f"a text of {len(ids)} tokens does not fit into the embedder's {loaded.longest}"
    return ToolError(kind="too-long", message=message)
