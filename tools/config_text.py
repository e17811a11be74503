"""Settings of the models that read and write text: on a server, in this process, and sentence embeddings.

Plain frozen records; unknown keys are errors. Reads no file and no environment.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from aotd.tools.chat_wire import Structured
from aotd.tools.ledger import Prices
from aotd.traces.records import Record

__all__ = [
    "Dtype",
    "EmbedderConfig",
    "ServerConfig",
    "TextConfig",
    "TextLlmConfig",
    "TextModelConfig",
    "TextRoleName",
    "TextVllmConfig",
]

TextRoleName = Literal["planner", "writer", "judge", "selector", "comparer"]

Dtype = Literal["float32", "bfloat16", "float16"]


class ServerConfig(Record):
    """A chat model on an OpenAI-compatible server (docs/servers.md)."""

    kind: Literal["server"] = "server"
    base_url: str
    model: str
    api_key_env: str | None = "OPENAI_API_KEY"
    """Name of the environment variable that holds the key; null sends none."""
    temperature: float | None = Field(default=0.0, ge=0)
    max_tokens: int = Field(default=2048, ge=1)
    seed: int | None = None
    timeout_seconds: float = Field(default=600.0, gt=0)
    concurrency: int = Field(default=32, ge=1)
    """Requests that the server gets at once."""
    structured: Structured = "auto"
    prices: Prices = Prices()


class TextLlmConfig(Record):
    """A chat model in this process, through transformers."""

    kind: Literal["transformers"]
    weights: str
    """Hub repository or local folder."""
    revision: str | None = None
    dtype: Dtype = "bfloat16"
    device: str | None = None
    """Such as `cuda:1` or `cpu`; by default the run's `device`."""
    max_tokens: int = Field(default=2048, ge=1)
    prompts_at_once: int = Field(default=8, ge=1)


class TextVllmConfig(Record):
    """A chat model in this process, through vLLM."""

    kind: Literal["vllm"]
    weights: str
    revision: str | None = None
    dtype: Dtype = "bfloat16"
    device: str | None = None
    max_tokens: int = Field(default=2048, ge=1)
    memory_share: float = Field(default=0.45, gt=0, le=1)
    """Share of the device's memory that vLLM takes; models that name the same weights share it."""
    context: int | None = Field(default=None, ge=1)
    """Longest prompt and reply, in tokens; by default the checkpoint's own."""
    prompts_at_once: int = Field(default=256, ge=1)


def _kind(value: Any) -> str:
    """Say what kind of text model is meant; one that names no kind is a server."""
    kind = value.get("kind", "server") if isinstance(value, dict) else getattr(value, "kind", "server")
    return kind if isinstance(kind, str) else ""


TextModelConfig = Annotated[
    Annotated[ServerConfig, Tag("server")]
    | Annotated[TextLlmConfig, Tag("transformers")]
    | Annotated[TextVllmConfig, Tag("vllm")],
    Discriminator(_kind),
]


class TextConfig(Record):
    """Chat models by role; a role that names none takes `default`."""

    default: TextModelConfig | None = None
    planner: TextModelConfig | None = None
    writer: TextModelConfig | None = None
    judge: TextModelConfig | None = None
    selector: TextModelConfig | None = None
    comparer: TextModelConfig | None = None
    patience_seconds: float = Field(default=600.0, ge=0)
    """How long a run waits for a server that is down before it stops to be resumed."""

    def of(self, role: TextRoleName) -> ServerConfig | TextLlmConfig | TextVllmConfig | None:
        """The model that answers a role; who selects also compares, unless another is named for it."""
        named: dict[str, ServerConfig | TextLlmConfig | TextVllmConfig | None] = {
            "planner": self.planner,
            "writer": self.writer,
            "judge": self.judge,
            "selector": self.selector,
            "comparer": self.comparer or self.selector,
        }
        return named[role] or self.default


class EmbedderConfig(Record):
    """Sentence embeddings through transformers, to match texts by meaning."""

    weights: str = "BAAI/bge-m3"
    revision: str | None = None
    dtype: Dtype = "float32"
    device: str | None = None
    pooling: Literal["first", "mean"] = "first"
    """The first token's state (BGE), or the mean of all."""
    texts_at_once: int = Field(default=64, ge=1)
    least_cosine: float = Field(default=0.6, ge=0, le=1)
    """An option less alike than this matches nothing."""
    margin: float = Field(default=0.02, ge=0, le=1)
    """How much more alike than the next option the best one must be."""
