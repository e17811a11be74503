"""Terminal views: the facts are there, and texts that are not ours reach the terminal as plain text only."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from aotd.benchmarks.bound import Beside, BoundReport
from aotd.benchmarks.executor import Share
from aotd.cli.views import bound_table, example_view, report_table
from aotd.traces.outcomes import Outcome
from aotd.traces.records import Attempt, Example, Rationale, Reason, Refusal, Sentence, Verdict
from aotd.traces.report import report

STORIES = [
    Example.model_validate_json(line)
    for line in (Path(__file__).parent / "golden/stories.jsonl").read_text().splitlines()
]


def shown(view: RenderableType, *, colour: bool = False) -> str:
    """Print a view to a terminal of 100 columns and return what it got."""
    out = io.StringIO()
    system = "truecolor" if colour else None
    Console(file=out, width=100, force_terminal=colour, color_system=system).print(view)  # type: ignore[arg-type]
    return out.getvalue()


def test_report_table() -> None:
    """The figures of a run are shown: both accuracies, outcomes that sum to 100 %, types, calls."""
    lines = [" ".join(line.split()) for line in shown(report_table(report(STORIES))).splitlines()]
    assert "7 questions, 4 right:" in lines
    assert "66.7 % of the 6 with a known answer" in lines
    assert "80.0 % of the 5 answered and scored" in lines
    assert "empty-grounding 1 14.3 % evidence" in lines
    assert "all 7 100.0 %" in lines
    assert "Interaction 2 2 100.0 %" in lines
    assert "Video_summary 2 1 0.25" in lines
    assert shown(report_table(report([]))).startswith("0 questions, 0 right:")


def test_example_view() -> None:
    """One question is shown from its options to its verdicts, with the calls under their lines."""
    chain = Rationale(writer="hand", sentences=(Sentence(text="So the answer is The door.", calls=(5,)),))
    verdict = Verdict(check="faithful", passed=False, reason="sentence 1: no")
    story = STORIES[4].model_copy(
        update={"rationale": chain, "verdicts": (verdict,), "dropped": "faithful: no"}
    )
    text = shown(example_view(story))
    lines = [line.rstrip() for line in text.splitlines()]
    assert "  (D) The box.  ✓ truth" in lines
    loop = next(i for i, line in enumerate(lines) if "if exist(video_clip, name):" in line)
    assert lines[loop].startswith("4 3\u00d7✓")
    assert [line.split(" → ")[1] for line in lines[loop + 1 : loop + 4]] == [
        "false",
        "true, 2 boxes",
        "false",
    ]
    assert "Answer  The door." in lines
    assert any(line.startswith("Outcome  wrong: answered") for line in lines)
    assert "  So the answer is The door.  [5]" in lines
    assert "  ✗ faithful  sentence 1: no" in lines
    assert "  not kept: faithful: no" in lines


def test_failed_line_is_marked() -> None:
    """The line at which a program failed is marked, lines never reached are dotted."""
    lines = shown(example_view(STORIES[5])).splitlines()
    assert any(line.startswith("3 ✗     return Video_query") for line in lines)
    assert any("EmptyClip: Video_query of an empty clip (line 3)" in line for line in lines)
    story = STORIES[2]
    assert story.trace is not None
    trace = story.trace.model_copy(update={"lines": {1: 1, 2: 1}})
    unreached = story.model_copy(update={"attempts": (Attempt(program=trace.program, trace=trace),)})
    assert any(
        line.startswith("7 ·     return Count") for line in shown(example_view(unreached)).splitlines()
    )


def test_refused_program_shows_reasons() -> None:
    """A refused program is shown with each reason at its line."""
    reasons = (Reason(line=1, kind="policy", message="no imports", hint="use the API"),)
    reasons += (Reason(line=None, kind="contract", message="no execute_command"),)
    refusal = Refusal(outcome=Outcome.REFUSED_BY_POLICY, reasons=reasons)
    example = STORIES[0].model_copy(
        update={"attempts": (Attempt(program="import os", refusal=refusal),), "outcome": refusal.outcome}
    )
    text = shown(example_view(example))
    assert "no imports use the API" in text
    assert "no execute_command" in text
    assert "Outcome  refused-by-policy" in text


EVIL = "[red]re[/red]d\x1b[31m \x1b]0;title\x07 \x9b1m\u202egnp.exe [link=http://x]y[/link]\r\b"


@pytest.mark.parametrize("colour", [False, True])
def test_untrusted_text_is_plain(colour: bool) -> None:  # noqa: FBT001
    """Markup is shown as it stands; escape sequences and control characters never reach the terminal."""
    story = STORIES[0]
    assert story.trace is not None
    calls = tuple(
        call.model_copy(
            update={"notes": (EVIL,), **({"result": EVIL} if isinstance(call.result, str) else {})}
        )
        for call in story.trace.calls
    )
    trace = story.trace.model_copy(update={"calls": calls, "answer": EVIL, "program": f"# {EVIL}"})
    options = (EVIL, f"{EVIL} too")
    evil = story.model_copy(
        update={
            "question": story.question.model_copy(update={"text": EVIL, "options": options, "type": EVIL}),
            "attempts": (Attempt(program=trace.program, trace=trace),),
            "detail": EVIL,
            "rationale": Rationale(writer="w", sentences=(Sentence(text=EVIL, calls=(1,)),)),
            "verdicts": (Verdict(check="judge", passed=False, reason=EVIL),),
            "dropped": EVIL,
        }
    )
    text = shown(example_view(evil), colour=colour) + shown(report_table(report([evil])), colour=colour)
    assert text.count("[red]re[/red]d") >= 8
    assert "[link=http://x]y[/link]" in text
    for sequence in ("\x1b[31m ", "\x1b]", "\x9b", "\u202e", "\r", "\b", "\x07"):
        assert sequence not in text
    assert colour or "\x1b" not in text


def test_bound_table() -> None:
    """STAR's own programs are shown by type, with the questions on which ours part from them."""
    row = Beside(
        question_id="q[b]1", executor="The dish.", executor_right=True, answer="The bag.",
        outcome=Outcome.WRONG, detail="",
    )  # fmt: skip
    agreement = {"both right": 71, "bound only": 1, "ours only": 0, "neither": 4}
    beside = BoundReport.model_validate(
        {"solved": {"Sequence": Share(13, 14)}, "agreement": agreement, "parted": (row,)}
    )
    lines = [" ".join(line.split()) for line in shown(bound_table(beside)).splitlines()]
    assert "Sequence 13 14" in lines
    assert "both right 71" in lines
    assert "q[b]1 ✓ The dish. The bag. wrong" in lines
