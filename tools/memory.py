"""How much memory the models of a run take, device by device, before any is loaded or downloaded.

A ledger of weights by their number and width, plus what working with them takes at least. Sizes of local
checkpoints are read from the heads of their files, others from `aotd.tools.catalogue`. It is an estimate to
refuse what cannot work, not a promise that the rest does.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from aotd.tools.catalogue import PUBLISHED
from aotd.tools.checkpoints import CheckpointMissing, find_checkpoint
from aotd.tools.config import ToolsConfig
from aotd.tools.config_text import Dtype, TextLlmConfig, TextRoleName, TextVllmConfig
from aotd.tools.config_vision import (
    TracksConfig,
    UniVtgConfig,
    VideoLlmConfig,
    VideoVllmConfig,
    YoloWorldConfig,
)

__all__ = ["Need", "NotEnoughMemory", "check_memory", "free_memory", "needs"]

_BYTES: Final = {"float32": 4, "bfloat16": 2, "float16": 2}
_WORKING: Final = 0.2
"""Share of the weights that activations and caches take at least."""
_UNIVTG: Final = 200_000_000
"""Bytes of 41 million parameters and their working set."""
_YOLO: Final = 700_000_000
"""Bytes of YOLO-World's largest size and its text tower."""


class NotEnoughMemory(ValueError):
    """A device cannot hold its models; names the device, the models and the mend."""


class Need(NamedTuple):
    """One model's part of a device's memory."""

    role: str
    weights: str
    device: str
    bytes: int | None
    """None when the size cannot be known before it is downloaded."""
    share: float = 0.0
    """Share of the whole device that is set aside in place of `bytes`, as vLLM does."""
    revision: str | None = None
    file: bool = False
    """A single file, which no hub has."""


def needs(config: ToolsConfig, roles: Sequence[TextRoleName]) -> list[Need]:
    """List what the models of some settings take, one entry for each that is loaded.

    Parameters
    ----------
    config
        The settings.
    roles
        Roles that are played by a language model in this run.
    """
    if config.random_weights == "small":
        return []
    return [*_vision(config), *_text(config, roles)]


def check_memory(needed: Sequence[Need]) -> None:
    """Refuse models that a device cannot hold.

    Raises
    ------
    NotEnoughMemory
        For the first device with too little.
    """
    for device in dict.fromkeys(need.device for need in needed):
        free = free_memory(device)
        here = [need for need in needed if need.device == device]
        taken = sum(need.bytes or 0 for need in here)
        if free is not None and taken > free:
            parts = ", ".join(f"{n.role} {n.weights or 'UniVTG'} {_gb(n.bytes)}" for n in here if n.bytes)
            raise NotEnoughMemory(
                f"{device} has {_gb(free)} free and the models on it take {_gb(taken)} ({parts}): place some "
                "on another device, take smaller ones, or another dtype"
            )
        shares = sum(need.share for need in here)
        if shares > 1:
            raise NotEnoughMemory(f"{device}: memory shares of its vLLM models add up to {shares:g}, over 1")


def free_memory(device: str) -> int | None:
    """Give the free memory of a device in bytes; None where it cannot be told."""
    if device.startswith("cuda"):
        import torch

        index = torch.device(device).index or 0
        if not torch.cuda.is_available() or index >= torch.cuda.device_count():
            return None
        free, _ = torch.cuda.mem_get_info(index)
        return int(free)
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")), None)


def _vision(config: ToolsConfig) -> Iterator[Need]:
    detector, grounder, video = config.detector, config.grounder, config.video_model
    if isinstance(detector, YoloWorldConfig):
        yield Need("detector", detector.weights, detector.device or config.device, _YOLO, file=True)
        yield Need(
            "names",
            detector.text_weights,
            detector.device or config.device,
            0,
            revision=detector.text_revision,
        )
    elif detector.kind != "oracle":
        yield _need("detector", detector, config)
    if isinstance(grounder, UniVtgConfig):
        place = grounder.device or config.device
        yield Need("grounder", grounder.weights, place, _UNIVTG, file=True)
        size = _size(grounder.clip, grounder.dtype)
        yield Need("features", grounder.clip.weights, place, size, revision=grounder.clip.revision)
    if isinstance(video, VideoVllmConfig):
        yield _shared("video model", video, config)
    elif isinstance(video, VideoLlmConfig):
        yield _need("video model", video, config)
    elif isinstance(video, TracksConfig):
        yield _need("video model", video, config)
        yield _need("video model's detector", video.seen_by, config)
    if config.embedder is not None:
        yield _need("embedder", config.embedder, config)


def _text(config: ToolsConfig, roles: Sequence[TextRoleName]) -> Iterator[Need]:
    played: dict[TextLlmConfig | TextVllmConfig, list[str]] = {}
    for role in roles:
        model = config.text.of(role)
        if model is not None and model.kind != "server":
            played.setdefault(model, []).append(role)
    for model, names in played.items():
        if isinstance(model, TextVllmConfig):
            yield _shared(", ".join(names), model, config)
        else:
            yield _need(", ".join(names), model, config)


class _Weights(Protocol):
    """Settings that name weights."""

    @property
    def weights(self) -> str: ...
    @property
    def revision(self) -> str | None: ...


class _Placed(_Weights, Protocol):
    """Settings that also say in what width and where they are loaded."""

    @property
    def dtype(self) -> Dtype: ...
    @property
    def device(self) -> str | None: ...


def _need(role: str, model: _Placed, config: ToolsConfig) -> Need:
    place = model.device or config.device
    return Need(role, model.weights, place, _size(model, model.dtype), revision=model.revision)


def _shared(role: str, model: TextVllmConfig | VideoVllmConfig, config: ToolsConfig) -> Need:
    place = model.device or config.device
    return Need(role, model.weights, place, None, model.memory_share, model.revision)


def _size(model: _Weights, dtype: Dtype) -> int | None:
    count = _parameters(model)
    return None if count is None else int(count * _BYTES[dtype] * (1 + _WORKING))


def _parameters(model: _Weights) -> float | None:
    """Count parameters: in the files where they are here, from the catalogue where not."""
    try:
        folder = find_checkpoint(model.weights, model.revision, download=False).folder
    except CheckpointMissing:
        known = PUBLISHED.get(model.weights)
        return known.millions * 1e6 if known else None
    counts = [_count(file) for file in folder.glob("*.safetensors")]
    return sum(counts) if counts else None


def _count(file: Path) -> int:
    """Count the numbers in a safetensors file from its head."""
    with file.open("rb") as opened:
        (length,) = struct.unpack("<Q", opened.read(8))
        head = json.loads(opened.read(length))
    return sum(math.prod(entry["shape"]) for name, entry in head.items() if name != "__metadata__")


def _gb(size: int | None) -> str:
    return "?" if size is None else f"{size / 1e9:.1f} GB"
