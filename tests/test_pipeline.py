"""From a planned program to an outcome, with scripted models and the real sandbox."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from aotd.agent.config import RunConfig
from aotd.agent.engine import engine
from aotd.agent.grammar import GrammarPlanner
from aotd.agent.pipeline import Item
from aotd.agent.plan import RecordedPlanner
from aotd.benchmarks.star import load_star
from aotd.tools.batching import ModelDown
from aotd.tools.build import Models
from aotd.tools.cache import Cache
from aotd.tools.models import Choice, Detection, DetectRequest, Moment, ToolError, VideoAnswer, VideoRequest
from aotd.tools.scripted import ScriptedDetector, ScriptedGrounder, ScriptedSelector, ScriptedVideoModel
from aotd.traces.outcomes import Outcome
from aotd.traces.records import Example, Question
from aotd.traces.runs import ModelCall
from aotd.world.build import write_annotation

QUESTION = Question(
    id="q1",
    dataset="star",
    video_id="v",
    text="Which object was taken by the person?",
    options=("The cup.", "The book."),
    answer="The cup.",
    type="Interaction",
    span=(0.0, 4.0),
    fps=8.0,
)
CONFIG = RunConfig.model_validate(
    {
        **{part: {"kind": "oracle"} for part in ("detector", "grounder", "video_model")},
        "sandbox": {"wall_seconds": 2.0, "memory_mb": 256},
        "functions": {"patience_seconds": 0.0},
    }
)
ENTRY = "def execute_command(video_clip, query, possible_answers):\n"


def cup(request: DetectRequest) -> tuple[Detection, ...]:
    """See a cup in the second half of the video."""
    seen = request.names[0] == "cup" and request.frame.index >= 16
    return (Detection(name="cup", box=(1, 2, 30, 40), score=0.9),) if seen else ()


def video(request: VideoRequest) -> VideoAnswer | ToolError:
    """Name the cup; fail on captions."""
    if request.task == "caption":
        return ToolError(kind="bad-request", message="too many frames")
    return VideoAnswer(texts=("yes",) if request.task == "is_this" else ("cup",))


def answer(
    tmp_path: Path,
    *lines: str,
    question: Question = QUESTION,
    ask: Callable[[VideoRequest], VideoAnswer | ToolError] = video,
    config: RunConfig = CONFIG,
) -> tuple[Example, list[ModelCall]]:
    """Run one program, its body given by lines, to its outcome."""
    programs = tmp_path / "programs.jsonl"
    source = ENTRY + "".join(f"    {line}\n" for line in lines)
    programs.write_text(json.dumps({"question_id": "q1", "source": source if lines else None}) + "\n")
    models = Models(
        ScriptedDetector(cup),
        ScriptedGrounder(lambda r: (Moment(windows=((4, 9),), score=0.5),) if "take" in r.text else ()),
        ScriptedVideoModel(ask),
        ScriptedSelector(lambda r: Choice(text=r.options[0] if r.options and "cup" in str(r.info) else None)),
    )
    examples: list[Example] = []
    rows: list[ModelCall] = []
    with engine(config, RecordedPlanner(programs), Cache(10**6), rows.append, models) as pipeline:
        asyncio.run(pipeline.generate([Item(question, None)], examples.append, asyncio.Event()))
    (example,) = examples
    return example, rows


def test_a_right_answer_is_told_checked_and_kept(tmp_path: Path) -> None:
    """A program that runs and answers right gives a trace, a chain of thought, passed checks, and is kept."""
    example, rows = answer(
        tmp_path,
        'part = Filter_frames_with_act(video_clip, "take the cup")',
        'seen = Find(video_clip, "cup")',
        'info = {"object": Query_Objs(part, "object taken by the person")}',
        "return select_answer(query, info, possible_answers)",
    )
    assert (example.outcome, example.kept, example.dropped) == (Outcome.RIGHT, True, "")
    assert example.trace is not None
    assert [(c.number, c.function, c.line) for c in example.trace.calls] == [
        (1, "Filter_frames_with_act", 2),
        (2, "Find", 3),
        (3, "Query_Objs", 4),
        (4, "select_answer", 5),
    ]
    assert example.trace.calls[2].args == {"clip": {"$clip": "clip1"}, "query": "object taken by the person"}
    assert example.trace.lines == {1: 1, 2: 1, 3: 1, 4: 1, 5: 1}
    assert {s.frame for s in example.trace.calls[1].sightings} == set(range(16, 32))
    assert [v.check for v in example.verdicts if v.passed] == ["answer", "faithful", "complete"]
    assert len(rows) == 1 + 32 + 1 + 1
    assert Example.model_validate_json(example.model_dump_json()) == example


@pytest.mark.parametrize(
    ("lines", "outcome"),
    [
        ((), Outcome.NO_RESPONSE),
        (("return (",), Outcome.UNPARSEABLE),
        (("import os", "return 'x'"), Outcome.REFUSED_BY_POLICY),
        (("return Fnd(video_clip, 'cup')",), Outcome.BREAKS_CONTRACT),
        (("return [1, 2][5]",), Outcome.PROGRAM_EXCEPTION),
        (("while True:", "    pass", "return 1"), Outcome.TIMEOUT),
        (("return 'x' * (10 ** 9)",), Outcome.MEMORY),
        (("for i in range(99):", "    exist(video_clip, 'cup')", "return 'x'"), Outcome.BUDGET),
        (("return ' '.join(Video_caption(video_clip))",), Outcome.TOOL_ERROR),
        (
            ("part = Filter_frames_with_act(video_clip, 'eat')", "return str(part.start)"),
            Outcome.EMPTY_GROUNDING,
        ),
        (("return Query_Objs(Find(video_clip, 'dog'), 'x')",), Outcome.NOT_FOUND),
        (("return Query_Objs(trim(video_clip, start=32), 'x')",), Outcome.NO_FRAMES),
        (("part = Find(trim(video_clip, end=0), 'dog')", "return str(part.end)"), Outcome.NO_FRAMES),
        (("if query == 'none':", "    return query"), Outcome.NO_RETURN),
        (("return {'a': 1}",), Outcome.ANSWER_UNPARSEABLE),
        (("return 'The dog.'",), Outcome.NOT_AN_OPTION),
        (("return select_answer(query, {}, possible_answers)",), Outcome.ABSTAINED),
        (("return 'The book.'",), Outcome.WRONG),
        (("return 'A'",), Outcome.RIGHT),
    ],
)
def test_every_ending_has_its_outcome(tmp_path: Path, lines: tuple[str, ...], outcome: Outcome) -> None:
    """Each way that a program can end is one outcome of the closed list, and only right ones are told."""
    example, _ = answer(tmp_path, *lines)
    assert example.outcome is outcome
    assert (example.rationale is not None) == (outcome is Outcome.RIGHT)
    assert example.kept or example.dropped


def test_a_caught_tool_error_marks_the_trace_and_drops_the_chain(tmp_path: Path) -> None:
    """A program that catches a tool's error and goes on may be right, but its chain is not kept."""
    example, _ = answer(
        tmp_path,
        "try:",
        "    Video_caption(video_clip)",
        "except Exception:",
        "    pass",
        "return 'The cup.'",
    )
    assert example.outcome is Outcome.RIGHT
    assert example.trace is not None
    assert example.trace.degraded
    assert not example.kept
    assert "caught" in example.dropped


def test_a_caught_empty_clip_is_ordinary(tmp_path: Path) -> None:
    """Catching EmptyClip does not mark the trace."""
    example, _ = answer(
        tmp_path,
        "try:",
        "    Query_Objs(Find(video_clip, 'dog'), 'x')",
        "except EmptyClip:",
        "    pass",
        "return 'The cup.'",
    )
    assert example.trace is not None
    assert not example.trace.degraded
    assert example.outcome is Outcome.RIGHT


def test_a_model_that_is_down_stops_the_run_and_makes_no_example(tmp_path: Path) -> None:
    """A lost connection is never an answer: the run stops, and the question stays open."""
    down = ToolError(kind="connection", message="refused", retryable=True)
    with pytest.raises(ExceptionGroup) as caught:
        answer(tmp_path, "return Video_query(video_clip, query)", ask=lambda _: down)
    assert caught.group_contains(ModelDown, match="refused")


def test_a_missing_video_ends_its_question_only(tmp_path: Path) -> None:
    """With a video folder, a question whose file is not there ends as such before its program runs."""
    config = CONFIG.model_copy(update={"source": CONFIG.source.model_copy(update={"videos": str(tmp_path)})})
    example, rows = answer(tmp_path, "return 'A'", config=config)
    assert (example.outcome, rows) == (Outcome.MISSING_VIDEO, [])
    assert "v" in example.detail


def test_equal_questions_about_one_video_share_model_answers(tmp_path: Path) -> None:
    """What one program asked, the next on the same frames gets from memory."""
    lines = ["seen = exist(video_clip, 'cup')", "return 'A' if seen else 'B'"]
    source = ENTRY + "".join(f"    {line}\n" for line in lines)
    programs = tmp_path / "programs.jsonl"
    ids = [f"q{n}" for n in range(5)]
    programs.write_text("".join(json.dumps({"question_id": i, "source": source}) + "\n" for i in ids))
    detector = ScriptedDetector(cup)
    models = Models(
        detector,
        ScriptedGrounder(lambda _: ()),
        ScriptedVideoModel(video),
        ScriptedSelector(lambda _: Choice(text=None)),
    )
    examples: list[Example] = []
    with engine(CONFIG, RecordedPlanner(programs), Cache(10**6), lambda _: None, models) as pipeline:
        items = [Item(QUESTION.model_copy(update={"id": i}), None) for i in ids]
        asyncio.run(pipeline.generate(items, examples.append, asyncio.Event()))
    assert {e.outcome for e in examples} == {Outcome.RIGHT}
    assert sum(detector.batches) == 32


def test_how_many_programs_are_in_flight_changes_no_row(tmp_path: Path) -> None:
    """With 512 in flight or one at a time the canonical rows are the same."""
    annotations = write_annotation(tmp_path, clips=3)
    items = [Item(item.question, item.graph) for item in load_star(annotations)]
    rows = []
    for live in (512, 1):
        config = CONFIG.model_copy(update={"live_programs": live})
        examples: list[Example] = []
        with engine(config, GrammarPlanner(), Cache(10**6), lambda _: None) as pipeline:
            asyncio.run(pipeline.generate(items, examples.append, asyncio.Event()))
        rows.append(sorted(json.dumps(e.canonical(), sort_keys=True) for e in examples))
    assert rows[0] == rows[1]
    assert len(rows[0]) == len(items)
