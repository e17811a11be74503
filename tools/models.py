"""The six kinds of model behind the program's functions, and the structured requests they receive.

A model is any class with the right batched method; nothing to inherit, nothing to register. A method gets
a sequence of requests and gives one answer per request, in order; a request that fails alone gets a
`ToolError` in its place. Requests carry the program's own words verbatim and references to frames, never
pixels and never a rendered prompt. This file holds no model and no prompt.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal, Protocol

from pydantic import JsonValue

from aotd.traces.records import Box, Record

__all__ = [
    "Choice",
    "DetectRequest",
    "Detection",
    "Detector",
    "EmbedRequest",
    "Embedder",
    "FrameRef",
    "Frames",
    "GroundRequest",
    "Grounder",
    "Message",
    "Model",
    "ModelIdentity",
    "Moment",
    "Reply",
    "SelectRequest",
    "Selector",
    "TextModel",
    "TextRequest",
    "ToolError",
    "Vector",
    "VideoAnswer",
    "VideoModel",
    "VideoRequest",
]


class ModelIdentity(Record):
    """Everything that decides a model's answers, apart from the request: part of every cache key."""

    id: str
    revision: str | None = None
    dtype: str | None = None
    settings: dict[str, JsonValue] = {}
    prompts: dict[str, str] = {}
    """Hash of each prompt template that the adapter renders."""
    generation: dict[str, JsonValue] = {}
    sampled: bool = False
    """Answers are drawn at random: they are journalled per question and never shared."""

    @property
    def key(self) -> str:
        """A short hash of the identity."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]


class ToolError(Record):
    """Why a model could not answer one request."""

    kind: str
    """A short name such as `bad-request` or `connection`."""
    message: str
    retryable: bool = False
    """The fault is the model's or its server's, not the request's: it never becomes an answer."""


class FrameRef(Record):
    """One decoded frame: the video's digest and the frame's index in the file, from 0."""

    video: str
    index: int


class Frames(Record):
    """The frames of a clip, in order, each with its crop when the clip is cropped."""

    video: str
    indices: tuple[int, ...]
    crops: tuple[Box, ...] = ()


class DetectRequest(Record):
    """Find `names` in one frame."""

    frame: FrameRef
    names: tuple[str, ...]


class Detection(Record):
    """One box of one name, in pixels of the frame, origin top-left."""

    name: str
    box: Box
    score: float


class GroundRequest(Record):
    """Find when `text` happens among `frames`."""

    frames: Frames
    text: str


class Moment(Record):
    """When a text happens: half-open windows over the positions 0..n-1 of the request's frames.

    One window for a localiser such as UniVTG; several when the event is known to stop and go on.
    """

    windows: tuple[tuple[int, int], ...]
    score: float
    notes: tuple[str, ...] = ()


class VideoRequest(Record):
    """Ask about a clip.

    `objects`: the objects that fit `subject`; `actions`: the person's actions, with object `subject` when it
    is given; `is_this`: whether the clip shows `subject`; `choice` and `open`: `question`, with and without
    options; `summary` (with `question` in mind) and `caption`.
    """

    clip: Frames
    task: Literal["choice", "open", "objects", "actions", "summary", "caption", "is_this"]
    subject: str | None = None
    question: str | None = None
    options: tuple[str, ...] | None = None


class VideoAnswer(Record):
    """Texts in order: phrases, captions, one text, or none for an abstention; `is_this` gives yes or no."""

    texts: tuple[str, ...]
    notes: tuple[str, ...] = ()
    raw: str | None = None
    """The model's own words, when texts were parsed from them."""


class SelectRequest(Record):
    """Choose the option that `info` supports; without options, put the answer in words.

    `compare`: choose the one option if the text in `info` means the same.
    """

    task: Literal["choose", "compare"] = "choose"
    query: str
    info: dict[str, JsonValue]
    options: tuple[str, ...] | None


class Choice(Record):
    """The chosen option's text; None is an abstention."""

    text: str | None
    notes: tuple[str, ...] = ()
    raw: str | None = None
    prompt_tokens: int = 0
    """Of the language model that chose, if one did; so the next."""
    reply_tokens: int = 0


class Message(Record):
    """One chat message."""

    role: Literal["system", "user", "assistant"]
    content: str


class TextRequest(Record):
    """A chat completion for one of our roles; `choices` restricts the reply to one of them."""

    role: Literal["planner", "writer", "judge", "selector", "comparer"]
    messages: tuple[Message, ...]
    choices: tuple[str, ...] | None = None


class Reply(Record):
    """A chat model's reply."""

    text: str
    truncated: bool = False
    prompt_tokens: int = 0
    reply_tokens: int = 0


class EmbedRequest(Record):
    """A text to embed."""

    text: str


class Vector(Record):
    """A unit-length embedding."""

    values: tuple[float, ...]


class Model(Protocol):
    """What every model says of itself."""

    @property
    def identity(self) -> ModelIdentity:
        """What decides this model's answers."""
        ...

    @property
    def reads_pixels(self) -> bool:
        """Whether the model needs the video; oracles read annotation instead."""
        ...


class Detector(Model, Protocol):
    """Open-vocabulary object detection."""

    def detect(self, requests: Sequence[DetectRequest]) -> Sequence[tuple[Detection, ...] | ToolError]:
        """Give the boxes of each request, best first."""
        ...


class Grounder(Model, Protocol):
    """Temporal grounding of a text."""

    def ground(self, requests: Sequence[GroundRequest]) -> Sequence[tuple[Moment, ...] | ToolError]:
        """Give the moments of each request, best first; none if nothing passes the model's threshold."""
        ...


class VideoModel(Model, Protocol):
    """Questions about a clip, in the tasks of `VideoRequest`."""

    def answer(self, requests: Sequence[VideoRequest]) -> Sequence[VideoAnswer | ToolError]:
        """Answer each request."""
        ...


class Selector(Model, Protocol):
    """Choice of an answer from collected evidence."""

    def select(self, requests: Sequence[SelectRequest]) -> Sequence[Choice | ToolError]:
        """Choose for each request."""
        ...


class TextModel(Model, Protocol):
    """A chat language model."""

    def complete(self, requests: Sequence[TextRequest]) -> Sequence[Reply | ToolError]:
        """Reply to each request."""
        ...


class Embedder(Model, Protocol):
    """Sentence embeddings."""

    def embed(self, requests: Sequence[EmbedRequest]) -> Sequence[Vector | ToolError]:
        """Embed each text."""
        ...
