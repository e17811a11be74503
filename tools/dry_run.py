"""Point settings at made-up weights: every model in this process keeps its kind and its place.

Models on a server and oracles stay what they are. Writes folders with `aotd.tools.random_weights`; loads
nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, TypeVar

from aotd.tools.architectures import FULL, Family
from aotd.tools.config import ToolsConfig
from aotd.tools.config_text import EmbedderConfig, ServerConfig, TextConfig, TextLlmConfig, TextVllmConfig
from aotd.tools.config_vision import (
    ClipConfig,
    GroundingDinoConfig,
    OracleKind,
    OwlConfig,
    TracksConfig,
    UniVtgConfig,
    VideoLlmConfig,
    VideoServerConfig,
    VideoVllmConfig,
    YoloWorldConfig,
)
from aotd.tools.random_weights import Size, write_random, write_random_univtg

__all__ = ["with_random_weights"]

_CLIP: Final = "openai/clip-vit-base-patch32"
_SEED: Final = 0

Settings = TypeVar("Settings", bound=ToolsConfig)


def with_random_weights(config: Settings, size: Size, folder: Path) -> Settings:
    """Replace the weights that settings name by made-up ones.

    Parameters
    ----------
    config
        Settings of the tools, or of a run.
    size
        `full` for the shapes of the named checkpoints, `small` for such as run anywhere.
    folder
        Where the folders are written.

    Raises
    ------
    ValueError
        If a full shape is wanted of a checkpoint whose shape is not known here, or the kind of model has no
        made-up weights.
    """
    embedder = config.embedder
    return config.model_copy(
        update={
            "detector": _detector(config.detector, size, folder),
            "grounder": _grounder(config.grounder, size, folder),
            "video_model": _video(config.video_model, size, folder),
            "embedder": embedder and _embedder(embedder, size, folder),
            "text": _text(config.text, size, folder),
        }
    )


def _made(weights: str, otherwise: Family, size: Size, folder: Path) -> str:
    family = FULL[weights].family if weights in FULL else otherwise
    return str(write_random(weights, family, size, _SEED, folder))


def _detector(
    settings: OracleKind | OwlConfig | GroundingDinoConfig | YoloWorldConfig, size: Size, folder: Path
) -> OracleKind | OwlConfig | GroundingDinoConfig:
    if settings.kind == "yolo-world":
        raise ValueError("detector yolo-world has no made-up weights: take owl or grounding-dino")
    if settings.kind == "oracle":
        return settings
    family: Family = "owlv2" if isinstance(settings, OwlConfig) else "grounding-dino"
    check = settings.label_check
    if check is not None:
        clip = _made(_CLIP, "clip", size, folder)
        check = check.model_copy(update={"weights": clip, "revision": None})
    made = {"weights": _made(settings.weights, family, size, folder), "revision": None, "label_check": check}
    return settings.model_copy(update=made)


def _grounder(settings: OracleKind | UniVtgConfig, size: Size, folder: Path) -> OracleKind | UniVtgConfig:
    if isinstance(settings, OracleKind):
        return settings
    clip = ClipConfig(kind="transformers", weights=_made(_CLIP, "clip", size, folder))
    weights = str(write_random_univtg(size, _SEED, folder))
    return settings.model_copy(update={"weights": weights, "clip": clip})


def _video(
    settings: OracleKind | TracksConfig | VideoLlmConfig | VideoVllmConfig | VideoServerConfig,
    size: Size,
    folder: Path,
) -> OracleKind | VideoLlmConfig | VideoVllmConfig | VideoServerConfig:
    if settings.kind == "tracks":
        raise ValueError("video model tracks has no made-up weights: take transformers, vllm or an oracle")
    if isinstance(settings, OracleKind | VideoServerConfig):
        return settings
    made = {"weights": _made(settings.weights, "llava-next-video", size, folder), "revision": None}
    return settings.model_copy(update=made)


def _embedder(settings: EmbedderConfig, size: Size, folder: Path) -> EmbedderConfig:
    made = {"weights": _made(settings.weights, "xlm-roberta", size, folder), "revision": None}
    return settings.model_copy(update=made)


def _text(text: TextConfig, size: Size, folder: Path) -> TextConfig:
    roles = {
        "default": text.default,
        "planner": text.planner,
        "writer": text.writer,
        "judge": text.judge,
        "selector": text.selector,
        "comparer": text.comparer,
    }
    return text.model_copy(
        update={role: settings and _text_model(settings, size, folder) for role, settings in roles.items()}
    )


def _text_model(
    settings: ServerConfig | TextLlmConfig | TextVllmConfig, size: Size, folder: Path
) -> ServerConfig | TextLlmConfig | TextVllmConfig:
    if isinstance(settings, ServerConfig):
        return settings
    made = {"weights": _made(settings.weights, "llama", size, folder), "revision": None}
    return settings.model_copy(update=made)
