"""Make the models that see from their settings, one function for each kind of model.

With `aotd.tools.build` the only place that names concrete models. Each is imported when it is asked for, so
that a run needs the packages of its own models only. Making a model is quick: its checkpoint is found, and
its weights are loaded at the first request.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from aotd.tools.catalogue import UNIVTG_SOURCE
from aotd.tools.checkpoints import find_checkpoint, local_file
from aotd.tools.config import ToolsConfig
from aotd.tools.config_text import ServerConfig
from aotd.tools.config_vision import (
    GroundingDinoConfig,
    LabelCheckConfig,
    OracleKind,
    TracksConfig,
    VideoLlmConfig,
    VideoServerConfig,
    VideoVllmConfig,
    YoloWorldConfig,
)
from aotd.tools.extras import need_packages
from aotd.tools.frames import FrameStore
from aotd.tools.models import Detector, Embedder, Grounder, VideoModel

if TYPE_CHECKING:
    from aotd.tools.chat import ChatServer
    from aotd.tools.label_check import LabelCheck
    from aotd.tools.video_chat import VideoChat
    from aotd.tools.vllm_engine import VllmEngines

__all__ = ["make_detector", "make_embedder", "make_grounder", "make_video_model"]


def make_detector(config: ToolsConfig, frames: FrameStore | None) -> Detector | None:
    """Make the detector; None for an oracle, which is made for each question.

    Parameters
    ----------
    config
        All settings of the tools.
    frames
        Decoded frames of the run's videos.

    Raises
    ------
    ValueError
        If there are no videos, or the checkpoint is not to be had.
    ModuleNotFoundError
        With the command that installs what is missing.
    """
    settings = config.detector
    if isinstance(settings, OracleKind):
        return None
    need_packages(f"detector {settings.kind}", "hf", "torch", "torchvision", "transformers")
    seen = _seen(frames, f"detector {settings.kind}")
    device = _there(settings.device or config.device)
    check = _label_check(settings.label_check, config.device)
    if isinstance(settings, YoloWorldConfig):
        return _yolo_world(settings, seen, device, check)
    if isinstance(settings, GroundingDinoConfig):
        return _grounding_dino(settings, seen, device, check)
    from aotd.tools.owl import Owl

    return Owl(
        find_checkpoint(settings.weights, settings.revision),
        seen,
        device=device,
        dtype=settings.dtype,
        prompt=settings.prompt,
        threshold=settings.threshold,
        aliases=settings.aliases,
        frames_at_once=settings.frames_at_once,
        feature_mb=settings.feature_mb,
        check=check,
    )


def _grounding_dino(
    settings: GroundingDinoConfig, frames: FrameStore, device: str, check: LabelCheck | None
) -> Detector:
    from aotd.tools.grounding_dino import GroundingDino

    return GroundingDino(
        find_checkpoint(settings.weights, settings.revision),
        frames,
        device=device,
        dtype=settings.dtype,
        threshold=settings.threshold,
        aliases=settings.aliases,
        frames_at_once=settings.frames_at_once,
        check=check,
    )


def _yolo_world(
    settings: YoloWorldConfig, frames: FrameStore, device: str, check: LabelCheck | None
) -> Detector:
    from aotd.tools.yolo_world import YoloWorld

    return YoloWorld(
        local_file(settings.weights, "YOLO-World's weights", "set detector.weights to the file"),
        find_checkpoint(settings.text_weights, settings.text_revision),
        frames,
        device=device,
        dtype=settings.dtype,
        prompt=settings.prompt,
        threshold=settings.threshold,
        aliases=settings.aliases,
        frames_at_once=settings.frames_at_once,
        check=check,
    )


def make_grounder(config: ToolsConfig, frames: FrameStore | None) -> Grounder | None:
    """Make the grounder; None for an oracle. Parameters and errors as `make_detector`."""
    settings = config.grounder
    if isinstance(settings, OracleKind):
        return None
    need_packages("grounder univtg", "hf", "torch", "torchvision", "transformers")
    if settings.clip.kind == "open-clip":
        need_packages("CLIP features by open-clip", "clip", "open_clip")
    from aotd.tools.clip_features import ClipWeights
    from aotd.tools.univtg_grounder import UniVtg

    clip = ClipWeights(settings.clip.kind, find_checkpoint(settings.clip.weights, settings.clip.revision))
    return UniVtg(
        local_file(settings.weights, "UniVTG's checkpoint", UNIVTG_SOURCE),
        clip,
        _seen(frames, "grounder univtg"),
        device=_there(settings.device or config.device),
        dtype=settings.dtype,
        offset=settings.offset,
        quantise_seconds=settings.quantise_seconds,
        antialias=settings.antialias,
        threshold=settings.threshold,
        top_k=settings.top_k,
        feature_mb=settings.feature_mb,
    )


def make_video_model(
    config: ToolsConfig,
    frames: FrameStore | None,
    connect: Callable[[ServerConfig], ChatServer],
    engines: VllmEngines,
) -> VideoModel | None:
    """Make the video model; None for an oracle.

    Parameters
    ----------
    config, frames
        As `make_detector`; so are the errors.
    connect
        Gives the client of a server, and closes it when the run ends.
    engines
        The run's vLLM engines.
    """
    settings = config.video_model
    if isinstance(settings, OracleKind):
        return None
    seen = _seen(frames, f"video model {settings.kind}")
    if isinstance(settings, TracksConfig):
        return _event_video(settings, seen, _there(settings.device or config.device))
    from aotd.tools.video_llm import VideoLlm

    if isinstance(settings, VideoServerConfig):
        from aotd.tools.video_server import ServerVideoChat

        server = ServerVideoChat(
            connect(settings.asked),
            send=settings.send,
            longest_side=settings.longest_side,
            max_frames=settings.max_frames,
        )
        return VideoLlm(server, seen)
    device = settings.device or config.device
    if isinstance(settings, VideoVllmConfig):
        return VideoLlm(_vllm_chat(settings, device, engines), seen)
    return VideoLlm(_transformers_chat(settings, device), seen)


def _vllm_chat(settings: VideoVllmConfig, device: str, engines: VllmEngines) -> VideoChat:
    from aotd.tools.vllm_video import VllmVideoChat

    engine = engines.engine(
        find_checkpoint(settings.weights, settings.revision),
        device=device,
        dtype=settings.dtype,
        memory_share=settings.memory_share,
        context=settings.context,
    )
    return VllmVideoChat(engine, max_frames=settings.max_frames, max_tokens=settings.max_tokens)


def _transformers_chat(settings: VideoLlmConfig, device: str) -> VideoChat:
    from aotd.tools.video_transformers import TransformersVideoChat

    chat = TransformersVideoChat(
        find_checkpoint(settings.weights, settings.revision),
        device=device,
        dtype=settings.dtype,
        max_frames=settings.max_frames,
        max_tokens=settings.max_tokens,
        clips_at_once=settings.clips_at_once,
        context=settings.context,
    )
    chat.check()
    return chat


def _event_video(settings: TracksConfig, frames: FrameStore, device: str) -> VideoModel:
    need_packages("video model tracks", "hf", "torch", "torchvision", "transformers")
    from aotd.tools.event_video import EventVideo

    return EventVideo(
        find_checkpoint(settings.weights, settings.revision),
        find_checkpoint(settings.detector, settings.detector_revision),
        frames,
        device=device,
        dtype=settings.dtype,
        threshold=settings.threshold,
        option_threshold=settings.option_threshold,
        presence=settings.presence,
        frames_at_once=settings.frames_at_once,
        feature_mb=settings.feature_mb,
    )


def make_embedder(config: ToolsConfig) -> Embedder | None:
    """Make the embedder; None where settings name none. Errors as `make_detector`."""
    settings = config.embedder
    if settings is None:
        return None
    need_packages("the embedder", "hf", "torch", "transformers")
    from aotd.tools.embedder import SentenceEmbedder

    return SentenceEmbedder(
        find_checkpoint(settings.weights, settings.revision),
        device=_there(settings.device or config.device),
        dtype=settings.dtype,
        pooling=settings.pooling,
        texts_at_once=settings.texts_at_once,
    )


def _there(device: str) -> str:
    """Refuse a device that this machine has not, before any work."""
    from aotd.tools.loading import torch_device

    torch_device(device)
    return device


def _seen(frames: FrameStore | None, model: str) -> FrameStore:
    if frames is None:
        raise ValueError(f"{model} looks at pixels and there are no videos: give --videos DIR")
    return frames


def _label_check(settings: LabelCheckConfig | None, device: str) -> LabelCheck | None:
    if settings is None:
        return None
    from aotd.tools.label_check import LabelCheck

    return LabelCheck(
        find_checkpoint(settings.weights, settings.revision),
        device=settings.device or device,
        dtype=settings.dtype,
        background=settings.background,
        prompt=settings.prompt,
    )
