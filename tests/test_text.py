"""The text view: AoTD's line form, line by line."""

from __future__ import annotations

from pathlib import Path

import pytest

from aotd.traces.records import Call, CallError, Clip, Example, Question, Sighting, Trace, Value, Video
from aotd.traces.text import paper_text

STORIES = [
    Example.model_validate_json(line)
    for line in (Path(__file__).parent / "golden/stories.jsonl").read_text().splitlines()
]
CLIP = {"$clip": "clip0"}
Args = dict[str, object]
SEEN = (
    Sighting(frame=3, name="cup", box=(1, 2, 30, 40), score=0.9),
    Sighting(frame=3, name="cup", box=(50, 2, 80, 40), score=0.8),
)


def clip(*grid_ids: int) -> Clip:
    """Make a clip of the root."""
    return Clip(video="v", span=None, grid_ids=grid_ids)


def test_header_and_program() -> None:
    """A record opens with the question's fields and the program, and holds no blank line."""
    story = STORIES[0]
    assert story.trace is not None
    lines = paper_text(story.question, story.trace).splitlines()
    assert lines[:6] == [
        "question id: Interaction_T1_6511",
        "video id: V1",
        "question: Which object was put down by the person?",
        "possible answers: ['The laptop.', 'The sandwich.', 'The bag.', 'The blanket.']",
        "answer: B",
        "def execute_command(video_clip, query, possible_answers):",
    ]
    assert lines[-1] == "program output: The sandwich."
    assert all(line.strip() for line in lines)


def test_worked_example() -> None:
    """The calls of the paper's shape of program give its lines in its order."""
    story = STORIES[0]
    assert story.trace is not None
    text = paper_text(story.question, story.trace)
    assert (
        text[text.index("call ") :]
        == """\
call Filter_frames_with_act
filter action putting down the sandwich
find action from frame 3 to frame 9
call function Find
finding person
find person at [139, 141, 229, 342] in frame 3
find person at [140, 138, 231, 340] in frame 4
find person at [142, 139, 236, 341] in frame 5
find person at [150, 140, 240, 343] in frame 6
find person at [151, 142, 241, 345] in frame 7
find person at [155, 143, 244, 346] in frame 8
call function Video_summary
summary result: A person puts a sandwich on the table and sits down.
call function Query_Objs
Query object put down by the person
Answer: The sandwich.
call function select_answer
the information used: - what the person does: A person puts a sandwich on the table and sits down.
- object put down by the person: The sandwich.
select: The sandwich.
program output: The sandwich.
"""
    )


@pytest.mark.parametrize(
    ("function", "args", "result", "lines"),
    [
        ("Filter_frames_with_obj", {"obj": "dish"}, clip(2, 3, 9),
         ["call function Filter_frames_with_obj", "filtered with dish",
          "filtered from frame 2 to frame 10, 3 totally"]),
        ("Filter_frames_with_act", {"action": ["a b", "c"]}, clip(),
         ["call Filter_frames_with_act", "filter action a b", "filter action c", "find action: no frames"]),
        ("trim", {"start": 4}, clip(4, 5), ["call function trim", "trimmed video from frame 4 to frame 6"]),
        ("Find", {"obj": "dish"}, clip(), ["call function Find", "finding dish", "Don't find dish"]),
        ("exist", {"query": "dish"}, False, ["call function exist", "finding dish", "dish doesn't exist"]),
        ("exist", {"query": "cup"}, True,
         ["call function exist", "finding cup", "cup exists", "call function Find", "finding cup",
          "find cup at [1, 2, 30, 40] in frame 3", "find cup at [50, 2, 80, 40] in frame 3"]),
        ("Query_Actions", {"obj": "cup"}, ["a", "b"],
         ["call function Query_Actions", "Query cup", "Answer: a, b"]),
        ("Query_Actions", {}, [], ["call function Query_Actions", "Answer: "]),
        ("Count", {"obj": "cup"}, 2,
         ["call function Count", "counting cup",
          "counting 2 cup at [[1, 2, 30, 40], [50, 2, 80, 40]] in frame 3"]),
        ("Video_query", {"query": "Who?"}, "a\n\nman",
         ["call function Video_query", "Question: Who?", "Answer: a man"]),
        ("Video_caption", {}, ["only one"], ["call function Video_caption", "frame 0: only one"]),
        ("Compare", {"a": "x", "b": "y"}, True, ["call function Compare", "Compare x with y", "Answer: yes"]),
        ("select_answer", {"info": {"a": {"b": "c"}, "d": 1}}, "e",
         ["call function select_answer", "the information used: - a:", "\t- b: c", "- d: 1", "select: e"]),
    ],
)  # fmt: skip
def test_lines_of_each_function(function: str, args: Args, result: Value, lines: list[str]) -> None:
    """Each function writes the lines that AoTD's tools write."""
    given = args if function in {"Compare", "select_answer"} else {"clip": CLIP, **args}
    sightings = SEEN if result is True or function == "Count" else ()
    made = {"number": 1, "function": function, "line": 1, "args": given, "result": result}
    call = Call.model_validate({**made, "sightings": sightings})
    assert record(call)[5:] == lines


def record(call: Call) -> list[str]:
    """Write the record of a trace with one call and no program."""
    trace = Trace(video=Video(id="v", digest="id:v"), span=None, program="", calls=(call,))
    question = Question(id="q", dataset="d", video_id="v", text="What\n\nnow?", answer="a call")
    return paper_text(question, trace).splitlines()


def test_errors_and_open_questions() -> None:
    """An error stands in place of the answer; an open-ended question has its answer in words."""
    error = CallError(kind="EmptyClip", message="no\n\nframes \x1b[31m")
    call = Call(number=1, function="Video_query", line=1, args={"clip": CLIP, "query": "Who?"}, error=error)
    assert record(call) == [
        "question id: q", "video id: v", "question: What now?", "possible answers: None", "answer: a call",
        "call function Video_query", "Question: Who?", "error: EmptyClip: no frames [31m",
    ]  # fmt: skip


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.question.id)
def test_record_is_one_block(story: Example) -> None:
    """No text of a question, a program or a model can end a record early."""
    assert story.trace is not None
    text = paper_text(story.question, story.trace)
    assert "\n\n" not in text
    assert ("program output: " in text) is (story.trace.failure is None)
