"""The check `complete`: what is left out and matters is refused, what does not matter may be left out."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import NamedTuple

import pytest

from aotd.agent.complete import check_complete
from aotd.agent.verify import check_faithful
from aotd.agent.write import TemplateWriter
from aotd.traces.outcomes import Outcome
from aotd.traces.records import (
    Call,
    Clip,
    Example,
    Failure,
    Question,
    Rationale,
    Sentence,
    Sighting,
    Trace,
    Value,
    Video,
)
from aotd.traces.star_vocabulary import OBJECT_NAMES

STORIES = [
    Example.model_validate_json(line)
    for line in (Path(__file__).parent / "golden/stories.jsonl").read_text().splitlines()
]


class Case(NamedTuple):
    """A question, its trace and the calls that its answer depends on, worked out by hand."""

    question: Question
    trace: Trace
    needed: set[int]

    def told(self) -> Rationale:
        """Tell the trace by the templates."""
        return asyncio.run(TemplateWriter().write(self.question, self.trace))


def clip(*grid_ids: int) -> Clip:
    """Make a clip of the root."""
    return Clip(video="v", span=None, grid_ids=grid_ids)


def made(body: str, answer: str, needed: set[int], *calls: tuple[str, int, dict[str, object], Value]) -> Case:
    """Make a case; each call is given by function, line, arguments and result."""
    lines = "".join(f"    {line}\n" for line in body.strip().splitlines())
    recorded = [
        Call.model_validate(
            {
                "number": number,
                "function": function,
                "line": line,
                "args": args,
                "result": result,
                "sightings": [
                    Sighting(frame=g, name=str(args["obj"]), box=(g, 2, g + 30, 40), score=0.9)
                    for g in (result.grid_ids if function == "Find" and isinstance(result, Clip) else ())
                ],
            }
        )
        for number, (function, line, args, result) in enumerate(calls, start=1)
    ]
    trace = Trace(
        video=Video(id="v", digest="id:v"),
        span=None,
        program=f"def execute_command(video_clip, query, possible_answers):\n{lines}",
        calls=tuple(recorded),
        answer=answer,
    )
    question = Question(id="q", dataset="d", video_id="v", text="What was opened?", answer=answer)
    return Case(question, trace, needed)


ROOT = {"$clip": "clip0"}
CLIP1 = {"$clip": "clip1"}

MADE = {
    "a guard that holds": made(
        "part = Find(video_clip, 'door')\nanswer = 'nothing'\nif part.num_frames > 0:\n"
        "    answer = Video_query(video_clip, query)\nidle = Count(video_clip, 'cup')\nreturn answer",
        "a door",
        {1, 2},
        ("Find", 2, {"clip": ROOT, "obj": "door"}, clip(4, 5)),
        ("Video_query", 5, {"clip": ROOT, "query": "What was opened?"}, "a door"),
        ("Count", 6, {"clip": ROOT, "obj": "cup"}, 2),
    ),
    "a guard that does not hold": made(
        "part = Filter_frames_with_obj(video_clip, 'dog')\nanswer = 'nobody'\n"
        "if part.num_frames > 0:\n    answer = Video_query(part, query)\nreturn answer",
        "nobody",
        {1},
        ("Filter_frames_with_obj", 2, {"clip": ROOT, "obj": "dog"}, clip()),
    ),
    "loops and lists": made(
        "seen = []\nfor name in ['cup', 'bag']:\n    if exist(video_clip, name):\n        seen.append(name)\n"
        "done = Query_Objs(video_clip, 'object taken by the person')\nreturn seen[0]",
        "bag",
        {1, 2},
        ("exist", 4, {"clip": ROOT, "query": "cup"}, False),
        ("exist", 4, {"clip": ROOT, "query": "bag"}, True),
        ("Query_Objs", 6, {"clip": ROOT, "query": "object taken by the person"}, ["box"]),
    ),
    "a helper and a trim": made(
        "def look(part):\n    found = Find(part, 'box')\n    return Video_query(found, query)\n"
        "event = Filter_frames_with_act(video_clip, 'person is opening the box')\n"
        "early = trim(video_clip, end=event.start)\nlate = trim(video_clip, start=event.end)\n"
        "return look(late)",
        "the box",
        {1, 3, 4, 5},
        (
            "Filter_frames_with_act",
            5,
            {"clip": ROOT, "action": "person is opening the box"},
            clip(*range(4, 9)),
        ),
        ("trim", 6, {"clip": ROOT, "end": 4}, clip(*range(4))),
        ("trim", 7, {"clip": ROOT, "start": 9}, clip(*range(9, 32))),
        ("Find", 3, {"clip": {"$clip": "clip3"}, "obj": "box"}, clip(10, 11)),
        ("Video_query", 4, {"clip": {"$clip": "clip4"}, "query": "What was opened?"}, "the box"),
    ),
    "caught and comprehended": made(
        "part = Filter_frames_with_act(video_clip, 'person is sitting')\ntry:\n"
        "    names = Query_Objs(part, 'object held by the person')\nexcept EmptyClip:\n    names = []\n"
        "other = Video_caption(part)\nkept = [name for name in names if exist(video_clip, name)]\n"
        "return ', '.join(kept)",
        "cup",
        {1, 2, 4, 5},
        ("Filter_frames_with_act", 2, {"clip": ROOT, "action": "person is sitting"}, clip(3, 4)),
        ("Query_Objs", 4, {"clip": CLIP1, "query": "object held by the person"}, ["cup", "bag"]),
        ("Video_caption", 7, {"clip": CLIP1}, ["a chair", "a sofa"]),
        ("exist", 8, {"clip": ROOT, "query": "cup"}, True),
        ("exist", 8, {"clip": ROOT, "query": "bag"}, False),
    ),
    "early returns and nested info": made(
        "if not exist(video_clip, 'person'):\n    return 'nobody'\ninfo = {'a': {}}\ninner = info['a']\n"
        "inner['summary'] = Video_summary(video_clip)\nspare = {'b': Count(video_clip, 'cup')}\n"
        "return select_answer(query, info, possible_answers)",
        "a box",
        {1, 2, 4},
        ("exist", 2, {"clip": ROOT, "query": "person"}, True),
        ("Video_summary", 6, {"clip": ROOT}, "someone opens something"),
        ("Count", 7, {"clip": ROOT, "obj": "cup"}, 1),
        (
            "select_answer",
            8,
            {"query": "What was opened?", "info": {"a": {"summary": "someone opens something"}}},
            "a box",
        ),
    ),
}
GOLDEN = {
    "Interaction_T1_6511": {1, 2, 3, 4, 5},
    "Sequence_T3_4420": {1, 2, 3, 4, 6, 7},
    "open_1": {1, 2, 3, 4},
    "Interaction_T4_1": {1, 2, 3, 4, 5, 6, 7},
    "Feasibility_T1_9": {1, 2, 3, 5},
    "nextqa_5": {2, 3, 6},
}
CASES = MADE | {
    story.question.id: Case(story.question, story.trace, GOLDEN[story.question.id])
    for story in STORIES
    if story.trace is not None and story.question.id in GOLDEN
}


def without(rationale: Rationale, index: int) -> Rationale:
    """Delete one sentence."""
    kept = (*rationale.sentences[:index], *rationale.sentences[index + 1 :])
    return rationale.model_copy(update={"sentences": kept})


@pytest.mark.parametrize("name", CASES)
def test_deleted_sentences(name: str) -> None:
    """A chain without one sentence is refused if and only if that told a call that matters for the answer."""
    case = CASES[name]
    whole = case.told()
    assert check_complete(case.question, case.trace, whole).passed
    assert len(CASES) == 12
    for index, sentence in enumerate(whole.sentences[:-1]):
        verdict = check_complete(case.question, case.trace, without(whole, index))
        lost = case.needed & set(sentence.calls)
        assert verdict.passed is not bool(lost), (sentence, verdict)
        if lost:
            assert f"call {min(lost)}," in verdict.reason


@pytest.mark.parametrize("name", CASES)
def test_last_sentence_tells_the_choice_only(name: str) -> None:
    """A chain that only states the answer is refused though it cites every call: it tells the choice."""
    case = CASES[name]
    every = tuple(call.number for call in case.trace.calls)
    whole = case.told()
    chosen = {c.number for c in case.trace.calls if c.function == "select_answer"}
    for words in ("So the answer is {}.", "Therefore {} it is.", "The correct answer is: {}"):
        alone = Sentence(text=words.format(case.trace.answer), calls=every)
        verdict = check_complete(case.question, case.trace, Rationale(writer="w", sentences=(alone,)))
        assert verdict.passed is (case.needed <= chosen)
    if chosen:
        assert not check_complete(case.question, case.trace, without(whole, len(whole.sentences) - 1)).passed


def test_control_counts() -> None:
    """A call that only decides what is asked is told too, also when the guard did not hold."""
    for name in ("a guard that holds", "a guard that does not hold"):
        case = MADE[name]
        verdict = check_complete(case.question, case.trace, without(case.told(), 0))
        assert verdict.reason.startswith("the answer depends on call 1,")


def test_what_cannot_be_checked() -> None:
    """A trace without an answer and a program that cannot be read are refused, with the reason."""
    case = MADE["a guard that holds"]
    failure = Failure(outcome=Outcome.TIMEOUT, type="timeout", message="")
    for changes, why in (
        ({"answer": None}, "no answer"),
        ({"failure": failure}, "no answer"),
        ({"program": "def execute_command(:"}, "cannot be parsed"),
        ({"program": "with a as b: pass"}, "With is no part of a program"),
    ):
        trace = case.trace.model_copy(update=changes)
        verdict = check_complete(case.question, trace, case.told())
        assert (verdict.check, verdict.passed) == ("complete", False)
        assert why in verdict.reason


@pytest.mark.parametrize("name", MADE)
def test_hand_made_chains_are_faithful(name: str) -> None:
    """The chains whose sentences are deleted here are faithful to begin with."""
    case = MADE[name]
    verdict = check_faithful(case.question, case.trace, case.told(), OBJECT_NAMES)
    assert verdict.passed, verdict.reason
