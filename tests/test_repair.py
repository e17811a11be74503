"""A planner that errs and is told: from a faulty reply to a mended program, through the whole pipeline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest
from pydantic import TypeAdapter

from aotd.agent.config import RunConfig
from aotd.agent.engine import engine
from aotd.agent.llm_planner import LlmPlanner
from aotd.agent.pipeline import Item
from aotd.tools.batching import Backbone, Front
from aotd.tools.build import Models
from aotd.tools.cache import Cache
from aotd.tools.device import Device
from aotd.tools.models import Choice, Detection, Message, Moment, Reply, TextRequest, ToolError, VideoAnswer
from aotd.tools.scripted import (
    ScriptedDetector,
    ScriptedGrounder,
    ScriptedSelector,
    ScriptedTextModel,
    ScriptedVideoModel,
)
from aotd.tools.text_role import TextRole
from aotd.traces.outcomes import Outcome
from aotd.traces.records import Attempt, Example, Question

QUESTION = Question(
    id="q1",
    dataset="star",
    video_id="v",
    text="Which object was taken by the person?",
    options=("The cup.", "The book."),
    answer="The cup.",
    span=(0.0, 4.0),
    fps=8.0,
)
CONFIG = RunConfig.model_validate(
    {
        **{part: {"kind": "oracle"} for part in ("detector", "grounder", "video_model")},
        "sandbox": {"wall_seconds": 5.0, "memory_mb": 256},
    }
)
ENTRY = "def execute_command(video_clip, query, possible_answers):\n"


def program(*lines: str) -> Reply:
    """Write a program, its body given by lines, as a model replies it."""
    body = "".join(f"    {line}\n" for line in lines)
    return Reply(text=f"Here it is:\n```python\n{ENTRY}{body}```\n")


MENDED = program(
    "part = Filter_frames_with_act(video_clip, 'take the cup')",
    "info = {'object': Query_Objs(part, 'object taken by the person')}",
    "answer = select_answer(query, info, possible_answers)",
    "return answer",
)


class Fault(NamedTuple):
    """A faulty reply, how it ends, and words of what the planner is told of it."""

    reply: Reply
    outcome: Outcome
    told: tuple[str, ...]


FAULTS = {
    "syntax error": Fault(
        program("part = Find(video_clip, 'cup'", "return 'A'"),
        Outcome.UNPARSEABLE,
        ("refused and not run", "line 2", "was never closed"),
    ),
    "prose only": Fault(
        Reply(text="I would look for the cup and see who takes it."),
        Outcome.NO_RESPONSE,
        ("it holds no program", "I would look for the cup"),
    ),
    "empty reply": Fault(Reply(text=""), Outcome.NO_RESPONSE, ("could not be used: it is empty",)),
    "truncated": Fault(
        Reply(text=f"```python\n{ENTRY}    part = Fi", truncated=True), Outcome.TRUNCATED, ("cut off",)
    ),
    "unknown function": Fault(
        program("return Query_Objects(video_clip, 'taken')"),
        Outcome.BREAKS_CONTRACT,
        ("line 2", "unknown name Query_Objects", "did you mean Query_Objs?"),
    ),
    "wrong number of arguments": Fault(
        program("part = Find(video_clip)", "return 'A'"),
        Outcome.BREAKS_CONTRACT,
        ("line 2", "Find lacks obj", "write Find(clip, obj)"),
    ),
    "wrong keyword": Fault(
        program("part = Find(video_clip, name='cup')", "return 'A'"),
        Outcome.BREAKS_CONTRACT,
        ("line 2", "Find has no parameter name"),
    ),
    "forbidden import": Fault(
        program("import os", "return os.name"),
        Outcome.REFUSED_BY_POLICY,
        ("line 2, `import os`", "os cannot be imported"),
    ),
    "dunder attribute": Fault(
        program("return str(video_clip.__class__)"), Outcome.REFUSED_BY_POLICY, ("line 2", "__class__")
    ),
    "exception at run time": Fault(
        program("seen = Query_Objs(video_clip, 'object taken by the person')", "return seen[int('7')]"),
        Outcome.PROGRAM_EXCEPTION,
        (
            "failed at line 3: IndexError",
            ">   3 |     return seen[int('7')]",
            '1. line 2: Query_Objs(clip=video_clip, query="object taken by the person") returned ["cup"]',
        ),
    ),
    "endless loop": Fault(
        program("while True:", "    pass", "return 'A'"), Outcome.TIMEOUT, ("timeout", "It made no call")
    ),
    "no option": Fault(
        program("return Video_query(video_clip, 'What animal is it?')"),
        Outcome.NOT_AN_OPTION,
        ('returned "a \\u003cdog\\u003e", which is not one of the possible answers',),
    ),
    "nothing returned": Fault(
        program("if exist(video_clip, 'dog'):", "    return 'A'"),
        Outcome.NO_RETURN,
        ("returned nothing", 'exist(clip=video_clip, query="dog") returned false'),
    ),
    "too many calls": Fault(
        program("for n in range(99):", "    exist(video_clip, 'cup')", "return 'A'"),
        Outcome.BUDGET,
        ("budget", "... 48 more calls ..."),
    ),
    "answer of no kind": Fault(
        program("return {'answer': 'A'}"), Outcome.ANSWER_UNPARSEABLE, ("neither text, number",)
    ),
}
"""Twelve named faults, and three more."""

SILENT = ("prose only", "empty reply", "truncated")
"""Faults that leave no program."""


def models() -> Models:
    """Make scripted vision models: a cup that is taken in the middle of the video."""
    return Models(
        ScriptedDetector(
            lambda r: (Detection(name="cup", box=(1, 2, 30, 40), score=0.9),) if "cup" in r.names else ()
        ),
        ScriptedGrounder(lambda r: (Moment(windows=((4, 9),), score=0.5),) if "take" in r.text else ()),
        ScriptedVideoModel(
            lambda r: VideoAnswer(
                texts=("yes",) if r.task == "is_this" else ("a <dog>",) if r.task == "open" else ("cup",)
            )
        ),
        ScriptedSelector(lambda r: Choice(text=r.options[0] if r.options and "cup" in str(r.info) else None)),
    )


def answer(
    reply: Callable[[int], Reply | ToolError], *, question: Question = QUESTION, config: RunConfig = CONFIG
) -> tuple[Example, list[tuple[Message, ...]]]:
    """Take a question to its outcome; `reply` gives the planner's n-th reply. Returns what it was told."""
    told: list[tuple[Message, ...]] = []

    def script(request: TextRequest) -> Reply | ToolError:
        told.append(request.messages)
        return reply(len(told) - 1)

    text_model = ScriptedTextModel(script)
    replies: TypeAdapter[Reply | ToolError] = TypeAdapter(Reply | ToolError)
    examples: list[Example] = []
    with ThreadPoolExecutor(1) as threads:
        backbone = Backbone(Cache(10**6), Device(threads), lambda _: None, 8)
        planner = LlmPlanner(TextRole(text_model, Front(text_model, text_model.complete, replies, backbone)))
        with engine(config, planner, Cache(10**6), lambda _: None, models()) as pipeline:
            asyncio.run(pipeline.generate([Item(question, None)], examples.append, asyncio.Event()))
    (example,) = examples
    return example, told


def in_turn(*replies: Reply | ToolError) -> Callable[[int], Reply | ToolError]:
    """Give the replies in turn, the last one for ever."""
    return lambda n: replies[min(n, len(replies) - 1)]


def ended(attempt: Attempt) -> Outcome | None:
    """Tell how an attempt was refused or failed."""
    part = attempt.refusal or (attempt.trace and attempt.trace.failure)
    return part.outcome if part else None


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_told_and_mended(name: str) -> None:
    """The planner hears what was wrong, and its mended program ends the question as right after repair."""
    fault = FAULTS[name]
    example, told = answer(in_turn(fault.reply, MENDED))
    assert example.outcome is Outcome.RIGHT_AFTER_REPAIR
    first, second = example.attempts
    unanswered = fault.outcome in (Outcome.NOT_AN_OPTION, Outcome.NO_RETURN)
    assert ended(first) is (None if unanswered else fault.outcome)
    assert (first.program == "") == (name in SILENT)
    assert second.trace is not None
    assert second.trace.answer == "The cup."
    assert example.kept
    assert len(told) == 2
    assert told[1][0] == told[0][0]
    assert told[1][1].content.startswith(told[0][1].content)
    assert [part for part in fault.told if part not in told[1][-1].content] == []


@pytest.mark.parametrize("name", FAULTS)
def test_a_planner_that_never_mends_ends_by_its_fault(name: str) -> None:
    """A fault made anew each time ends as that fault, after as many repairs as are allowed."""
    fault = FAULTS[name]

    def anew(n: int) -> Reply:
        text = fault.reply.text.replace("    ", f"    # try {n}\n    ", 1)
        return fault.reply.model_copy(update={"text": text})

    example, told = answer(anew, config=CONFIG.model_copy(update={"repairs": 1}))
    assert example.outcome is fault.outcome
    assert len(told) == 2
    assert len(example.attempts) == (1 if name in SILENT else 2)  # silence after a fault adds no program
    assert not example.kept


@pytest.mark.parametrize("repairs", [0, 1, 2])
def test_the_last_of_different_faults_counts(repairs: int) -> None:
    """Each allowed repair is tried, every attempt is kept, and the last one gives the outcome."""
    names = ("unknown function", "dunder attribute", "syntax error", "no option")
    replies = in_turn(*(FAULTS[name].reply for name in names))
    example, told = answer(
        replies,
        config=CONFIG.model_copy(update={"repairs": repairs}),
    )
    assert example.outcome is FAULTS[names[repairs]].outcome
    assert len(example.attempts) == len(told) == repairs + 1
    assert [ended(attempt) for attempt in example.attempts] == [
        FAULTS[name].outcome for name in names[: repairs + 1]
    ]
    if repairs == 2:  # the third request tells of both faults before it
        assert [m.role for m in told[2]] == ["system", *["user", "assistant"] * 2, "user"]
        assert told[2][:4] == told[1]


def test_a_repeated_program_is_not_run_again() -> None:
    """A planner that gives the same program when told of its fault is not asked a third time."""
    example, told = answer(in_turn(FAULTS["unknown function"].reply))
    assert (example.outcome, len(example.attempts), len(told)) == (Outcome.BREAKS_CONTRACT, 1, 2)


def test_a_model_that_refuses_is_no_response() -> None:
    """An error about the request alone ends the question with the model's own words, not the run."""
    example, _ = answer(in_turn(ToolError(kind="refused", message="not about people")))
    assert (example.outcome, example.detail) == (Outcome.NO_RESPONSE, "refused: not about people")


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        (
            program("part = Filter_frames_with_act(video_clip, 'eat')", "return str(part.start)"),
            "empty-grounding",
        ),
        (program("return Query_Objs(Find(video_clip, 'dog'), 'x')"), "not-found"),
        (program("return select_answer(query, {}, possible_answers)"), "abstained"),
        (program("return possible_answers[1]"), "wrong"),
        (program("return possible_answers[0]"), "right"),
    ],
)
def test_findings_and_answers_are_not_repaired(reply: Reply, outcome: str) -> None:
    """What is not in the video, an abstention and a wrong answer are results, not faults."""
    example, told = answer(in_turn(reply, MENDED))
    assert (example.outcome, len(example.attempts), len(told)) == (outcome, 1, 1)


@pytest.mark.parametrize("name", ["prose only", "unknown function", "exception at run time", "no option"])
def test_the_planner_never_hears_the_right_answer(name: str) -> None:
    """Whatever the right answer is, and if none is known, the planner is told the same."""
    told = [
        answer(in_turn(FAULTS[name].reply, MENDED), question=QUESTION.model_copy(update={"answer": truth}))[1]
        for truth in ("The cup.", "The book.", "zanzibar", None)
    ]
    assert told[0] == told[1] == told[2] == told[3]
    assert "zanzibar" not in str(told)
