"""Settings of the models that see: detection, temporal grounding, questions about a clip.

One record for each kind of model, with the paper's numbers as defaults where it gives any (AoTD, CVPR 2025,
and its released code); unknown keys are errors. Reads no file and no environment.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from aotd.tools.config_text import Dtype, ServerConfig
from aotd.traces.records import Record

__all__ = [
    "ClipConfig",
    "DetectorConfig",
    "FineDtype",
    "GrounderConfig",
    "GroundingDinoConfig",
    "LabelCheckConfig",
    "OracleKind",
    "OwlConfig",
    "TracksConfig",
    "UniVtgConfig",
    "VideoLlmConfig",
    "VideoModelConfig",
    "VideoServerConfig",
    "VideoVllmConfig",
    "YoloWorldConfig",
]

FineDtype = Literal["float32", "float16"]
"""For models that compute boxes in their own numbers: in bfloat16 a box is off by a 256th of the frame."""

_SLOT = r"\{\}"

ALIASES = {"people": "person", "children": "child"}
"""Words that detectors are asked in another form (AoTD)."""


class OracleKind(Record):
    """The annotation answers, made anew for each question."""

    kind: Literal["oracle"]


class LabelCheckConfig(Record):
    """A second opinion on each box: CLIP sees the crop and must prefer its name."""

    weights: str = "openai/clip-vit-base-patch32"
    """Hub repository or local folder of open_clip weights, or of transformers' CLIP."""
    revision: str | None = None
    dtype: Dtype = "float32"
    device: str | None = None
    background: tuple[str, ...] = ("background", "wall", "floor")
    """What the crop may show instead; the other names of the request are added."""
    prompt: str = Field(default="a photo of a {}", pattern=_SLOT)


class OwlConfig(Record):
    """OWLv2 or OWL-ViT, whichever the weights are."""

    kind: Literal["owl"]
    weights: str = "google/owlv2-base-patch16-ensemble"
    """Hub repository or local folder."""
    revision: str | None = None
    dtype: Dtype = "float32"
    device: str | None = None
    """Such as `cuda:1` or `cpu`; by default the run's `device`."""
    prompt: str = Field(default="a photo of a {}", pattern=_SLOT)
    threshold: float = Field(default=0.2, ge=0, le=1)
    aliases: dict[str, str] = ALIASES
    frames_at_once: int = Field(default=8, ge=1)
    """Frames in one pass of the image tower."""
    feature_mb: int = Field(default=1024, ge=1)
    """Image features kept, so that a later noun costs no second pass."""
    label_check: LabelCheckConfig | None = None


class GroundingDinoConfig(Record):
    """Grounding DINO, or MM Grounding DINO."""

    kind: Literal["grounding-dino"]
    weights: str = "IDEA-Research/grounding-dino-base"
    revision: str | None = None
    dtype: FineDtype = "float32"
    device: str | None = None
    threshold: float = Field(default=0.3, ge=0, le=1)
    """Least score of a box, which is that of the name's best token."""
    aliases: dict[str, str] = ALIASES
    frames_at_once: int = Field(default=8, ge=1)
    """Pairs of frame and name in one pass."""
    label_check: LabelCheckConfig | None = None


class YoloWorldConfig(Record):
    """YOLO-World of ultralytics (AGPL-3.0: the extra `yolo`)."""

    kind: Literal["yolo-world"]
    weights: str = "yolov8x-worldv2.pt"
    """Local file, as ultralytics publishes it (`.pt`) or of bare tensors (`.pt`, `.safetensors`)."""
    text_weights: str = "openai/clip-vit-base-patch32"
    """CLIP ViT-B/32, which embeds the names."""
    text_revision: str | None = None
    dtype: FineDtype = "float32"
    device: str | None = None
    prompt: str = Field(default="{}", pattern=_SLOT)
    threshold: float = Field(default=0.2, ge=0, le=1)
    aliases: dict[str, str] = ALIASES
    frames_at_once: int = Field(default=16, ge=1)
    """Pairs of frame and name in one pass."""
    label_check: LabelCheckConfig | None = None


DetectorConfig = Annotated[
    OracleKind | OwlConfig | GroundingDinoConfig | YoloWorldConfig, Field(discriminator="kind")
]


class ClipConfig(Record):
    """CLIP ViT-B/32 features, for UniVTG."""

    kind: Literal["open-clip", "transformers"] = "open-clip"
    weights: str = "timm/vit_base_patch32_clip_224.openai"
    """Hub repository or local folder, in the layout of `kind`."""
    revision: str | None = None


class UniVtgConfig(Record):
    """UniVTG on CLIP features."""

    kind: Literal["univtg"]
    weights: str = ""
    """Published checkpoint file (`model_best.ckpt`) or its safetensors; UniVTG's README links it."""
    dtype: Dtype = "float32"
    """Of CLIP; UniVTG itself, which is small, computes in float32."""
    device: str | None = None
    clip: ClipConfig = ClipConfig()
    offset: Literal["trained", "aotd"] = "trained"
    """Where a frame's centre lies: as UniVTG was trained, or as AoTD's released code has it."""
    quantise_seconds: bool = False
    """Cut window borders to whole seconds, as AoTD's released code does."""
    antialias: bool = True
    """Shrink frames smoothly; AoTD's pinned torchvision did not."""
    threshold: float | None = Field(default=None, ge=0, le=1)
    """Least score of a window; by default the best one is always given."""
    top_k: int = Field(default=1, ge=1)
    """Windows given at most; programs use the best one."""
    feature_mb: int = Field(default=256, ge=1)
    """Features of frames and texts kept in memory."""


GrounderConfig = Annotated[OracleKind | UniVtgConfig, Field(discriminator="kind")]


class VideoLlmConfig(Record):
    """A video language model in this process, through transformers."""

    kind: Literal["transformers"]
    weights: str = "llava-hf/LLaVA-NeXT-Video-7B-DPO-hf"
    revision: str | None = None
    dtype: Dtype = "bfloat16"
    device: str | None = None
    max_frames: int = Field(default=32, ge=1)
    """A longer clip is sampled evenly; video tokens are never cut."""
    max_tokens: int = Field(default=100, ge=1)
    """Longest reply (AoTD: 100)."""
    context: int | None = Field(default=None, ge=1)
    """Longest prompt and reply, in tokens; by default the checkpoint's own. More is at your own risk."""
    clips_at_once: int = Field(default=4, ge=1)


class VideoVllmConfig(Record):
    """A video language model in this process, through vLLM."""

    kind: Literal["vllm"]
    weights: str = "Qwen/Qwen3-VL-8B-Instruct"
    revision: str | None = None
    dtype: Dtype = "bfloat16"
    device: str | None = None
    max_frames: int = Field(default=32, ge=1)
    max_tokens: int = Field(default=100, ge=1)
    clips_at_once: int = Field(default=32, ge=1)
    memory_share: float = Field(default=0.45, gt=0, le=1)
    """Share of the device's memory that vLLM takes."""
    context: int | None = Field(default=None, ge=1)
    """Longest prompt and reply, in tokens; by default the checkpoint's own."""


class VideoServerConfig(Record):
    """A video language model on an OpenAI-compatible server."""

    kind: Literal["server"]
    server: ServerConfig
    send: Literal["images", "video"] = "images"
    """Frames one by one, or as one mp4."""
    max_frames: int = Field(default=32, ge=1)
    max_tokens: int = Field(default=100, ge=1)
    longest_side: int = Field(default=768, ge=32)
    """Frames are scaled down to this many pixels."""

    @property
    def asked(self) -> ServerConfig:
        """The server as it is asked about clips: with replies of the length that is set here."""
        return self.server.model_copy(update={"max_tokens": self.max_tokens})


class TracksConfig(Record):
    """A small video model that answers from events on the tracks of a detector, trained together."""

    kind: Literal["tracks"]
    weights: str
    """Hub repository or local folder of the event model."""
    revision: str | None = None
    detector: str
    """Hub repository or local folder of the OWLv2 on whose tracks it was trained."""
    detector_revision: str | None = None
    dtype: Dtype = "float32"
    """Of the detector; the event model, which is small, computes in float32."""
    device: str | None = None
    threshold: float = Field(default=0.3, gt=0, le=1)
    """Least probability of an event that is told."""
    option_threshold: float = Field(default=0.02, gt=0, le=1)
    """Least probability of an event that answers where options are given and none is surer."""
    presence: float = Field(default=0.25, ge=0, le=1)
    """Least score, averaged over a clip, of an object that is in view."""
    frames_at_once: int = Field(default=8, ge=1)
    """Frames in one pass of the detector."""
    clips_at_once: int = Field(default=16, ge=1)
    feature_mb: int = Field(default=64, ge=1)
    """Tracks of frames kept in memory."""

    @property
    def seen_by(self) -> OwlConfig:
        """The detector as one is set."""
        return OwlConfig(
            kind="owl",
            weights=self.detector,
            revision=self.detector_revision,
            dtype=self.dtype,
            device=self.device,
        )


VideoModelConfig = Annotated[
    OracleKind | TracksConfig | VideoLlmConfig | VideoVllmConfig | VideoServerConfig,
    Field(discriminator="kind"),
]
