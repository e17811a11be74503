"""What a student is trained on: samples of an example, before any trainer's format.

An example gives a label sample when its gold answer is known, and a rationale sample when its chain of
thought is kept; they are told apart by the instruction that ends the question. Source: AoTD (CVPR 2025).
This file knows no trainer's row and writes nothing.
"""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple

from aotd.traces.answers import letter
from aotd.traces.export_canonical import gold_index, video_path
from aotd.traces.records import Example, Question, Span

__all__ = ["AOTD_SUFFIXES", "MARKS", "Sample", "Suffixes", "samples", "without_marks"]

MARKS: Final = re.compile(
    r"<(image|video|audio|bbox|ref-object|cot-process|start-image|/?s)>|<(\|[\w:-]{1,64}\|)>"
)
"""What trainers and chat templates read as a command in the middle of a text: ms-swift's and LLaMA-Factory's
places for media, and the control tokens of chat models such as `<|im_end|>`."""


class Suffixes(NamedTuple):
    """What a training question ends with: it tells the student which kind of reply is wanted."""

    choice: str
    open: str
    rationale: str


AOTD_SUFFIXES: Final = Suffixes(
    choice="Answer with the option's letter from the given choices directly and only give the best option.",
    open="Answer in one word or phrase.",
    rationale="Explain the rationale to answer the question.",
)
"""AoTD's own suffixes, word for word: students trained on either set understand the other's prompts."""


class Sample(NamedTuple):
    """One thing to learn: what is asked about a video and what is to be said."""

    id: str
    """The question's id; a question has one sample of each kind at most."""
    kind: Literal["label", "rationale"]
    video: str
    """Path, relative to the video folder."""
    span: Span | None
    """The part of that file which is asked about, in seconds; None means all of it."""
    asked: str
    said: str
    future_visible: bool
    """The chain of thought rests on annotation after the question's end; never of a label."""
    marks: int
    """Marks in its texts that were rewritten, so that no trainer takes them for a command."""


def samples(example: Example, suffixes: Suffixes = AOTD_SUFFIXES) -> list[Sample]:
    """Return the samples of an example: its label, then its chain of thought.

    The label needs a known answer (with options, one that is among them), the rationale a kept chain; blank
    texts are neither. Without a known file the video's path is AoTD's own convention, `{video_id}.mp4`.
    """
    question, trace = example.question, example.trace
    found: list[Sample] = []
    label = _label(question)
    if label is not None and label.strip():
        suffix = suffixes.open if question.options is None else suffixes.choice
        found.append(_sample(example, "label", question.span, _asked(question, suffix), label))
    if example.kept and example.rationale is not None and example.rationale.text.strip():
        asked = _asked(question, suffixes.rationale)
        span = trace.span if trace else question.span  # the frames that the chain names lie on this span
        found.append(_sample(example, "rationale", span, asked, example.rationale.text))
    return found


def without_marks(text: str) -> tuple[str, int]:
    """Write marks in a text with square brackets (`<video>` as `[video]`), and count them."""
    return MARKS.subn(lambda mark: f"[{mark[1] or mark[2]}]", text)


def _sample(
    example: Example, kind: Literal["label", "rationale"], span: Span | None, asked: str, said: str
) -> Sample:
    asked, asked_marks = without_marks(asked)
    said, said_marks = without_marks(said)
    return Sample(
        id=example.question.id,
        kind=kind,
        video=video_path(example) or f"{example.question.video_id}.mp4",
        span=None if _shows_span_only(example) else span,
        asked=asked,
        said=said,
        future_visible=kind == "rationale" and example.trace is not None and example.trace.future_visible,
        marks=asked_marks + said_marks,
    )


def _shows_span_only(example: Example) -> bool:
    """Tell whether the video's file holds the question's span and nothing else."""
    video = example.trace.video if example.trace else None
    if video is not None and video.path is not None:
        return video.found_as in ("clip", "segment", "question")
    return example.question.clip_file is not None


def _label(question: Question) -> str | None:
    if question.options is None:
        return question.answer
    index = gold_index(question)
    return None if index is None else letter(index)


def _asked(question: Question, suffix: str) -> str:
    lines = [f"Question: {question.text}"]
    if question.options is not None:
        options = (f"({letter(index)}) {option}" for index, option in enumerate(question.options))
        lines += ["Options:", *options]
    return "\n".join([*lines, suffix])
