"""The typed records of a run: frozen, JSON in and out, no behaviour beyond derived properties.

Frames are named by their position on the 32-position grid of the question's span ("grid ids"); windows
are half-open `[start, end)` on that grid. Boxes are `x1, y1, x2, y2` integers in pixels of the original
frame, origin top-left. This file holds no pixels, opens no file and imports nothing of ours but the
outcomes.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from aotd.traces.outcomes import Outcome

__all__ = [
    "GRID",
    "SCHEMA_VERSION",
    "Attempt",
    "Box",
    "Call",
    "CallError",
    "Clip",
    "Example",
    "Failure",
    "Provenance",
    "Question",
    "Rationale",
    "Read",
    "Reason",
    "Record",
    "Refusal",
    "Sentence",
    "Sighting",
    "Span",
    "Trace",
    "Verdict",
    "Video",
]

SCHEMA_VERSION: Final = 1
"""Version of every record below; written in the header of each file of a run."""

GRID: Final = 32
"""Positions at which a span of video is sampled (AoTD, section 4.1: 32 frames)."""

Box = tuple[int, int, int, int]
"""`x1, y1, x2, y2`: pixels of the original frame, origin top-left."""

Span = tuple[float, float]
"""Start and end in seconds of the original video."""

_VOLATILE: Final = frozenset({"seconds", "cached", "batch_size", "host"})


class Record(BaseModel):
    """A frozen record that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def canonical(self) -> dict[str, Any]:
        """All but seconds, cached, batch size and host: equal for equal runs."""
        stable: dict[str, Any] = _without_volatile(self.model_dump(mode="json"))
        return stable


def _without_volatile(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_volatile(v) for k, v in value.items() if k not in _VOLATILE}
    if isinstance(value, list):
        return [_without_volatile(v) for v in value]
    return value


class Question(Record):
    """A question about a span of a video. `answer` is the text of the right option, when it is known."""

    id: str
    dataset: str
    video_id: str
    text: str
    options: tuple[str, ...] | None = None
    """Option texts in order; None for an open-ended question."""
    answer: str | None = None
    type: str | None = None
    """The dataset's question type, such as `Interaction`."""
    template: str | None = None
    """The dataset's template label, such as `Interaction_T1`; labels of different releases may differ."""
    span: Span | None = None
    """Seconds of the original video; None means the whole video."""
    fps: float | None = None
    """Frames per second of the original video as the dataset states it."""
    clip_file: str | None = None
    """The record's own file for this span, relative to the annotation or video folder."""


class Video(Record):
    """What is known of a question's video. Without a video file all but `id` and `digest` are None."""

    id: str
    digest: str
    """SHA-256 of the file, or `id:{video_id}` when there is no file."""
    path: str | None = None
    """Relative to the video folder."""
    found_as: Literal["clip", "segment", "question", "video"] | None = None
    """Which name of the look-up matched: the record's own clip, `{video}_{start}_{end}`,
    `{question}` (time 0 is the span's start in these three), or the whole `{video}`."""
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    frames: int | None = None
    """Frames that really decode, counted; container headers are not trusted."""


class Clip(Record):
    """A reference to frames of a video's span: never pixels."""

    video: str
    span: Span | None
    grid_ids: tuple[int, ...]
    """Positions on the span's grid, ascending, each in 0..31."""
    crops: tuple[Box, ...] = ()
    """One box per frame when the clip shows a cropped object, else empty."""

    @property
    def num_frames(self) -> int:
        """Number of frames."""
        return len(self.grid_ids)

    @property
    def start(self) -> int:
        """First grid id. Raises IndexError on an empty clip."""
        return self.grid_ids[0]

    @property
    def end(self) -> int:
        """Last grid id + 1. Raises IndexError on an empty clip."""
        return self.grid_ids[-1] + 1


class Sighting(Record):
    """One box seen in one frame."""

    frame: int
    """Grid id."""
    name: str
    box: Box
    score: float


class CallError(Record):
    """An error that a call raised inside the program."""

    kind: str
    """`EmptyClip`, or a tool error's kind."""
    message: str


Value = Annotated[Clip | bool | int | float | str | list[str] | None, Field(union_mode="smart")]


class Call(Record):
    """One call of a program's function, in the order they were made; numbers start at 1."""

    number: int
    function: str
    line: int
    """Line of the program, from 1."""
    args: dict[str, JsonValue]
    """By parameter name, defaults left out. A clip is `{"$clip": "clipN"}`: `clip0` is the root clip,
    `clipN` the clip that call N gave."""
    result: Value = None
    error: CallError | None = None
    sightings: tuple[Sighting, ...] = ()
    """The boxes that the call rests on."""
    notes: tuple[str, ...] = ()
    """What a model said of its own answer, such as the rule that matched or an ambiguity."""
    local: bool = False
    """Computed inside the sandbox, no model asked."""
    seconds: float = 0.0
    cached: bool = False


class Read(Record):
    """An attribute of a clip read by the program (`clip.start`)."""

    line: int
    clip: str
    """`clipN`."""
    attribute: Literal["start", "end", "num_frames"]
    value: int | None
    """None when the read raised EmptyClip."""
    after_call: int
    """Number of calls made before the read."""


class Failure(Record):
    """Why a program did not return."""

    outcome: Outcome
    type: str
    """Exception type or the limit that was hit."""
    message: str
    line: int | None = None


class Trace(Record):
    """What one execution of a program did."""

    video: Video
    span: Span | None
    """The root clip's span: the question's, or longer when the oracle was shown the future."""
    program: str
    calls: tuple[Call, ...] = ()
    reads: tuple[Read, ...] = ()
    lines: dict[int, int] = {}
    """Hits per program line."""
    variables: dict[str, dict[str, str]] = {}
    """Program variables as text (200 characters at most) when call N was made, by N; at last by `end`."""
    output: tuple[str, ...] = ()
    """What the program printed, by line."""
    answer: str | int | float | bool | list[str] | None = None
    failure: Failure | None = None
    isolation: tuple[str, ...] = ()
    """Sandbox layers that were active."""
    future_visible: bool = False
    """An oracle saw annotation after the end of the question's span."""
    keyframes_outside: int = 0
    """Annotated keyframes outside the span, which no oracle saw."""
    degraded: bool = False
    """The program caught a tool's error and went on."""
    seconds: float = 0.0

    def _repr_html_(self) -> str:
        """Show the trace in a notebook."""
        from aotd.traces.page import trace_fragment

        return trace_fragment(self)


class Reason(Record):
    """Why a program was refused before it ran."""

    line: int | None
    kind: str
    message: str
    hint: str = ""


class Refusal(Record):
    """A program that was not run."""

    outcome: Outcome
    reasons: tuple[Reason, ...] = ()


class Attempt(Record):
    """One program for a question: refused, or run. The last attempt of an example counts."""

    program: str
    refusal: Refusal | None = None
    trace: Trace | None = None


class Sentence(Record):
    """One sentence of a chain of thought and the calls it rests on."""

    text: str
    calls: tuple[int, ...] = ()


class Rationale(Record):
    """A chain of thought told from a trace."""

    writer: str
    sentences: tuple[Sentence, ...]

    @property
    def text(self) -> str:
        """The sentences in one paragraph."""
        return " ".join(s.text for s in self.sentences)


class Verdict(Record):
    """The finding of one check on an example."""

    check: str
    passed: bool
    reason: str
    raw: str | None = None
    """A judging model's own words."""
    prompt: str | None = None
    """Hash of the prompt that it was given."""


class Provenance(Record):
    """Which run made the example and with what."""

    run: str
    """Hash of the run's configuration."""
    models: dict[str, str] = {}
    """Model identity by role."""
    prompts: dict[str, str] = {}
    """Prompt hash by name."""


class Example(Record):
    """Everything about one question: the row of `examples.jsonl`."""

    question: Question
    attempts: tuple[Attempt, ...]
    outcome: Outcome
    detail: str = ""
    """One line that says why, for outcomes that no attempt explains."""
    answer_rule: str | None = None
    """The rule that matched the answer to an option."""
    rationale: Rationale | None = None
    verdicts: tuple[Verdict, ...] = ()
    kept: bool = False
    """The chain of thought passed every check and may be exported for training."""
    dropped: str = ""
    """Why a chain of thought was not kept."""
    provenance: Provenance

    @property
    def trace(self) -> Trace | None:
        """The trace of the attempt that counts."""
        return self.attempts[-1].trace if self.attempts else None

    @property
    def program(self) -> str | None:
        """The program that counts."""
        return self.attempts[-1].program if self.attempts else None

    def _repr_html_(self) -> str:
        """Show the question, its programs and its chain of thought in a notebook."""
        from aotd.traces.page import example_fragment

        return example_fragment(self)
