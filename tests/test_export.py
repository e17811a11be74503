"""Exports: golden files of both formats, and what a training record may hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aotd.traces.export import Suffixes, aotd_rows, canonical_row, export
from aotd.traces.records import Attempt, Example, Rationale, Refusal, Sentence, Verdict

GOLDEN = Path(__file__).parent / "golden"
STORIES = [Example.model_validate_json(line) for line in (GOLDEN / "stories.jsonl").read_text().splitlines()]


def with_chain(example: Example) -> Example:
    """Give an example a kept chain of thought."""
    sentences = (
        Sentence(text="From frame 3 to frame 9, the person put down the sandwich.", calls=(1, 4)),
        Sentence(text="So the answer is The sandwich.", calls=(5,)),
    )
    return example.model_copy(
        update={
            "rationale": Rationale(writer="hand", sentences=sentences),
            "verdicts": (Verdict(check="faithful", passed=True, reason="told as found"),),
            "kept": True,
        }
    )


CHOICE, OPEN, WRONG = with_chain(STORIES[0]), STORIES[2], STORIES[4]


@pytest.mark.parametrize("fmt", ["canonical", "aotd"])
def test_golden_files(fmt: str, tmp_path: Path) -> None:
    """Three examples, given in any order, make the golden file of each format."""
    out = tmp_path / "rows.jsonl"
    assert fmt in {"canonical", "aotd"}
    count = export([OPEN, CHOICE, WRONG], "canonical" if fmt == "canonical" else "aotd", out)
    written = out.read_text(encoding="utf-8").splitlines()
    expected = (GOLDEN / f"{fmt}.jsonl").read_text(encoding="utf-8").splitlines()
    assert count == len(written)
    assert [json.loads(line) for line in written] == [json.loads(line) for line in expected]


def test_times_and_cache_hits_leave_no_mark() -> None:
    """Runs that differ in speed and cache hits only export the same row."""
    assert STORIES[0].trace is not None
    calls = [c.model_copy(update={"seconds": 9.0, "cached": True}) for c in STORIES[0].trace.calls]
    trace = STORIES[0].trace.model_copy(update={"calls": tuple(calls), "seconds": 99.0})
    attempt = Attempt(program=trace.program, trace=trace)
    slower = STORIES[0].model_copy(update={"attempts": (attempt,)})
    assert canonical_row(slower) == canonical_row(STORIES[0])


def test_records_of_an_example() -> None:
    """A known answer makes a label record, a kept chain makes a rationale record, nothing else does."""
    unknown = CHOICE.model_copy(update={"question": CHOICE.question.model_copy(update={"answer": None})})
    stray = WRONG.model_copy(update={"question": WRONG.question.model_copy(update={"answer": "The shoe."})})
    dropped = CHOICE.model_copy(update={"kept": False})
    assert [len(aotd_rows(e)) for e in (CHOICE, WRONG, unknown, dropped, stray)] == [2, 1, 1, 1, 0]
    assert all(set(row) == {"video_path", "conversation"} for row in aotd_rows(CHOICE))


def test_own_suffixes() -> None:
    """Other suffixes take the place of AoTD's."""
    texts = [
        row["conversation"][0]["content"][0]["text"]
        for example in (CHOICE, OPEN)
        for row in aotd_rows(example, Suffixes(choice="C!", open="O!", rationale="R!"))
    ]
    assert [text.splitlines()[-1] for text in texts] == ["C!", "R!", "O!"]


def test_refused_program() -> None:
    """A program that never ran has a row without steps and output."""
    refused = Attempt(program="import os", refusal=Refusal(outcome=WRONG.outcome))
    row = canonical_row(WRONG.model_copy(update={"attempts": (refused,)}))
    keys = ("program", "program_output", "trace", "video", "frame_times")
    assert [row[key] for key in keys] == ["import os", None, [], None, None]


def test_file_is_whole_or_not_there(tmp_path: Path) -> None:
    """A failed export leaves the older file as it was, and no draft beside it."""
    out = tmp_path / "rows.jsonl"
    export([CHOICE], "aotd", out)
    before = out.read_text()
    unwritable = WRONG.model_copy(update={"question": WRONG.question.model_copy(update={"text": "\ud800"})})
    with pytest.raises(UnicodeEncodeError):
        export([unwritable], "aotd", out)
    assert out.read_text() == before
    assert list(tmp_path.iterdir()) == [out]
