"""Exports of examples as JSONL: our canonical row, and the training records of AoTD (CVPR 2025).

Rows are pure views of an `Example`, sorted by question id; times, cache hits and hosts are left out, so
equal runs export equal files. Video paths stay relative. This file reads no run and no video.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from aotd.traces.answers import letter, match_option, render
from aotd.traces.handles import clip_argument, clips
from aotd.traces.records import GRID, Call, Clip, Example, Question, Trace

__all__ = ["AOTD_SUFFIXES", "Suffixes", "aotd_rows", "canonical_row", "export"]

Row = dict[str, Any]


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


def export(examples: Iterable[Example], fmt: Literal["canonical", "aotd"], out: Path) -> int:
    """Write the rows of all examples to `out` as JSONL, whole or not at all.

    Returns
    -------
    int
        Number of rows written.

    Raises
    ------
    OSError
        If the file cannot be written; an older file at `out` then stays as it was.
    """
    ordered = sorted(examples, key=lambda example: example.question.id)
    rows = [row for example in ordered for row in _rows(example, fmt)]
    draft = out.with_name(f".{out.name}.part")
    try:
        with draft.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)
    return len(rows)


def _rows(example: Example, fmt: Literal["canonical", "aotd"]) -> list[Row]:
    return [canonical_row(example)] if fmt == "canonical" else aotd_rows(example)


def canonical_row(example: Example) -> Row:
    """Return everything about an example that is the same whenever it is made.

    `clip` is the question's span and `frame_times` the times of frames 0 to 31, all in seconds of the
    original video. `frames` of a step are those that it looked at.
    """
    question, trace = example.question, example.trace
    index = _truth(question)
    return {
        "id": question.id,
        "dataset": question.dataset,
        "video_id": question.video_id,
        "video": _video(example),
        "clip": list(question.span) if question.span else None,
        "frame_times": _times(trace),
        "question": question.text,
        "options": None if question.options is None else list(question.options),
        "answer": None if question.answer is None else {"index": index, "text": question.answer},
        "question_type": question.type,
        "program": example.program,
        "program_output": None if trace is None or trace.answer is None else render(trace.answer),
        "outcome": str(example.outcome),
        "trace": [] if trace is None else _steps(trace),
        "cot": None if example.rationale is None else example.rationale.text,
        "verdict": {
            "kept": example.kept,
            "dropped": example.dropped,
            "checks": {v.check: {"passed": v.passed, "reason": v.reason} for v in example.verdicts},
        },
        "models": dict(example.provenance.models),
        "prompt_hashes": dict(example.provenance.prompts),
        "config_hash": example.provenance.run,
        "future_visible": trace is not None and trace.future_visible,
    }


def _video(example: Example) -> str | None:
    """Return the relative path of the video, as it was found or else as the record names it."""
    found = example.trace.video.path if example.trace else None
    return found or example.question.clip_file


def _truth(question: Question) -> int | None:
    """Return the index of the right option, if one has the true text."""
    if question.options is None or question.answer is None:
        return None
    parsed = match_option(question.answer, question.options)
    return parsed.index if parsed.rule == "exact" else None


def _steps(trace: Trace) -> list[Row]:
    named = clips(trace)
    return [_step(call, named) for call in trace.calls]


def _step(call: Call, named: dict[str, Clip]) -> Row:
    output: Any = call.result
    if isinstance(output, Clip):
        output = {"clip": f"clip{call.number}", "frames": list(output.grid_ids)}
    looked_at = named.get(clip_argument(call) or "")
    return {
        "step": call.number,
        "line": call.line,
        "tool": call.function,
        "args": dict(call.args),
        "output": output,
        "frames": list(looked_at.grid_ids) if looked_at else [],
        "boxes": [
            {"frame": s.frame, "name": s.name, "box": list(s.box), "score": s.score} for s in call.sightings
        ],
        "error": None if call.error is None else {"kind": call.error.kind, "message": call.error.message},
    }


def _times(trace: Trace | None) -> list[float] | None:
    """Return the time of each grid position, to the millisecond; None when the span is not known."""
    if trace is None or trace.span is None:
        return None
    start, end = trace.span
    return [round(start + position * (end - start) / GRID, 3) for position in range(GRID)]


def aotd_rows(example: Example, suffixes: Suffixes = AOTD_SUFFIXES) -> list[Row]:
    """Return the training records of an example: one for its label, one for its chain of thought.

    The label record needs a known answer (with options, one that is among them), the rationale record a kept
    chain of thought. Without a known file the video path is AoTD's own convention, `{video_id}.mp4`.
    """
    question = example.question
    video = _video(example) or f"{question.video_id}.mp4"
    index = _truth(question)
    label = question.answer if question.options is None else None if index is None else letter(index)
    rows = []
    if label is not None:
        suffix = suffixes.open if question.options is None else suffixes.choice
        rows.append(_conversation(video, _asked(question, suffix), label))
    if example.kept and example.rationale is not None:
        rows.append(_conversation(video, _asked(question, suffixes.rationale), example.rationale.text))
    return rows


def _asked(question: Question, suffix: str) -> str:
    lines = [f"Question: {question.text}"]
    if question.options is not None:
        options = (f"({letter(index)}) {option}" for index, option in enumerate(question.options))
        lines += ["Options:", *options]
    return "\n".join([*lines, suffix])


def _conversation(video: str, asked: str, said: str) -> Row:
    return {
        "video_path": video,
        "conversation": [
            {"role": "user", "content": [{"type": "text", "text": asked}, {"type": "video"}]},
            {"role": "assistant", "content": [{"type": "text", "text": said}]},
        ],
    }
