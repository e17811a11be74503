"""The canonical row: everything about an example that is the same whenever it is made.

Times, cache hits and hosts are left out, so equal runs give equal rows. Video paths stay relative. The row's
shape is a record, so that files of such rows can be checked (`aotd.traces.validate`) and read by others.
This file writes nothing.
"""

from __future__ import annotations

from typing import Any

from pydantic import JsonValue

from aotd.traces.answers import match_option, render
from aotd.traces.handles import clip_argument, clips
from aotd.traces.records import GRID, Call, CallError, Clip, Example, Question, Record, Sighting, Span, Trace

__all__ = ["CanonicalRow", "canonical_row", "gold_index", "video_path"]


class GoldAnswer(Record):
    """The answer that the dataset gives."""

    index: int | None
    """Of the option with this very text; None without options or without such an option."""
    text: str


class Step(Record):
    """One call of the program."""

    step: int
    """From 1."""
    line: int
    tool: str
    args: dict[str, JsonValue]
    output: JsonValue
    """The call's result; a clip is `{"clip": "clipN", "frames": [...]}`."""
    frames: tuple[int, ...]
    """Grid ids of the frames that the call looked at."""
    boxes: tuple[Sighting, ...]
    error: CallError | None


class Check(Record):
    """What one check on the chain of thought found."""

    passed: bool
    reason: str


class Judgement(Record):
    """Whether the chain of thought may be used for training, and why."""

    kept: bool
    dropped: str
    checks: dict[str, Check]


class CanonicalRow(Record):
    """One row of the format `canonical`."""

    id: str
    dataset: str
    video_id: str
    video: str | None
    """Path of the video, relative to the video folder."""
    clip: Span | None
    """The question's span in seconds of the original video; None means the whole video."""
    frame_times: tuple[float, ...] | None
    """Times of frames 0 to 31 in seconds of the original video, to the millisecond."""
    question: str
    options: tuple[str, ...] | None
    answer: GoldAnswer | None
    question_type: str | None
    program: str | None
    program_output: str | None
    outcome: str
    trace: tuple[Step, ...]
    cot: str | None
    verdict: Judgement
    models: dict[str, str]
    prompt_hashes: dict[str, str]
    config_hash: str
    future_visible: bool


def canonical_row(example: Example) -> dict[str, Any]:
    """Return the canonical row of an example as JSON values, keys in the order of `CanonicalRow`."""
    question, trace = example.question, example.trace
    answer = None
    if question.answer is not None:
        answer = GoldAnswer(index=gold_index(question), text=question.answer)
    checks = {v.check: Check(passed=v.passed, reason=v.reason) for v in example.verdicts}
    return CanonicalRow(
        id=question.id,
        dataset=question.dataset,
        video_id=question.video_id,
        video=video_path(example),
        clip=question.span,
        frame_times=_times(trace),
        question=question.text,
        options=question.options,
        answer=answer,
        question_type=question.type,
        program=example.program,
        program_output=None if trace is None or trace.answer is None else render(trace.answer),
        outcome=str(example.outcome),
        trace=() if trace is None else _steps(trace),
        cot=None if example.rationale is None else example.rationale.text,
        verdict=Judgement(kept=example.kept, dropped=example.dropped, checks=checks),
        models=example.provenance.models,
        prompt_hashes=example.provenance.prompts,
        config_hash=example.provenance.run,
        future_visible=trace is not None and trace.future_visible,
    ).model_dump(mode="json")


def video_path(example: Example) -> str | None:
    """Return the relative path of the video, as it was found or else as the record names it."""
    found = example.trace.video.path if example.trace else None
    return found or example.question.clip_file


def gold_index(question: Question) -> int | None:
    """Return the index of the right option, if one has the true text."""
    if question.options is None or question.answer is None:
        return None
    parsed = match_option(question.answer, question.options)
    return parsed.index if parsed.rule == "exact" else None


def _steps(trace: Trace) -> tuple[Step, ...]:
    named = clips(trace)
    return tuple(_step(call, named) for call in trace.calls)


def _step(call: Call, named: dict[str, Clip]) -> Step:
    output: Any = call.result
    if isinstance(output, Clip):
        output = {"clip": f"clip{call.number}", "frames": list(output.grid_ids)}
    looked_at = named.get(clip_argument(call) or "")
    return Step(
        step=call.number,
        line=call.line,
        tool=call.function,
        args=call.args,
        output=output,
        frames=looked_at.grid_ids if looked_at else (),
        boxes=call.sightings,
        error=call.error,
    )


def _times(trace: Trace | None) -> tuple[float, ...] | None:
    """Return the time of each grid position; None when the span is not known."""
    if trace is None or trace.span is None:
        return None
    start, end = trace.span
    return tuple(round(start + position * (end - start) / GRID, 3) for position in range(GRID))
