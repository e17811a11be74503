"""The template writer: what it tells of each function, of nothing found and of failures."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from aotd.agent.write import TemplateWriter
from aotd.tools.api import API
from aotd.traces.records import Call, CallError, Clip, Example, Question, Trace, Value, Video

STORIES = [
    Example.model_validate_json(line)
    for line in (Path(__file__).parent / "golden/stories.jsonl").read_text().splitlines()
]
ROOT = {"$clip": "clip0"}


def told(story: Example) -> list[str]:
    """Tell a story, sentence by sentence."""
    assert story.trace is not None
    return [s.text for s in asyncio.run(TemplateWriter().write(story.question, story.trace)).sentences]


def clip(*grid_ids: int) -> Clip:
    """Make a clip of the root."""
    return Clip(video="v", span=None, grid_ids=grid_ids)


def sentence(function: str, result: Value = None, *, error: CallError | None = None, **args: object) -> str:
    """Tell one call alone."""
    call = Call.model_validate(
        {"number": 1, "function": function, "line": 2, "args": args, "result": result, "error": error}
    )
    trace = Trace(video=Video(id="v", digest="id:v"), span=None, program="", calls=(call,), answer="x")
    question = Question(id="q", dataset="d", video_id="v", text="What?")
    return asyncio.run(TemplateWriter().write(question, trace)).sentences[0].text


def test_reads_like_a_chain_of_thought() -> None:
    """The paper's shape of program is told in plain English: localised, looked at, asked, answered."""
    first, boxes, summary, asked, answer = told(STORIES[0])
    assert first == "First, find when the person is putting down the sandwich: frames 3 to 9."
    assert boxes.startswith(
        "There, the person is seen at [139, 141, 229, 342] in frame 3, [140, 138, 231, 340]"
    )
    assert summary == 'There, this is to be seen: "A person puts a sandwich on the table and sits down."'
    assert asked == "In frames 3 to 9, the object put down by the person is the sandwich."
    assert answer == "So the answer is The sandwich."


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.question.id)
def test_tells_everything(story: Example) -> None:
    """Every call is cited, every sighting is told with its frame, and nothing is abbreviated."""
    assert story.trace is not None
    rationale = asyncio.run(TemplateWriter().write(story.question, story.trace))
    assert {n for s in rationale.sentences for n in s.calls} == {c.number for c in story.trace.calls}
    assert all(s.calls for s in rationale.sentences)
    for call in story.trace.calls:
        for sighting in call.sightings if call.function in {"Find", "exist", "Count"} else ():
            assert str(list(sighting.box)) in rationale.text
            assert f"in frame {sighting.frame}" in rationale.text
    assert not re.search(r"so on|etc|\.\.\.", rationale.text)
    assert "\n" not in rationale.text


def test_same_trace_same_words() -> None:
    """Telling a trace twice gives the same words."""
    assert told(STORIES[3]) == told(STORIES[3])
    assert TemplateWriter().identity == "template/1"


def test_equal_calls_share_a_sentence() -> None:
    """Calls of equal function, arguments and result are told once and cited together."""
    story = STORIES[4]
    assert story.trace is not None
    first = asyncio.run(TemplateWriter().write(story.question, story.trace)).sentences[0]
    assert (first.text, first.calls) == ("The broom is never seen.", (1, 3))


@pytest.mark.parametrize(
    ("function", "args", "result", "text"),
    [
        ("Find", {"obj": "hands"}, clip(), "The hands are never seen."),
        ("Find", {"obj": "a cup"}, clip(4, 5, 9), "A cup is seen in frames 4 to 6 and frame 9."),
        ("Filter_frames_with_act", {"action": "sitting"}, clip(),
         "It is never seen that the person is sitting."),
        ("Filter_frames_with_act", {"action": "boy laughs"}, clip(7),
         'First, find when "boy laughs" happens: frame 7.'),
        ("Filter_frames_with_obj", {"obj": "dish"}, clip(1, 2),
         "First, keep the frames in which the dish is seen: frames 1 to 3."),
        ("trim", {"start": 2, "end": 4}, clip(2, 3),
         "First, keep what comes between frame 2 and frame 4: frames 2 to 4."),
        ("exist", {"query": "dish"}, False, "The dish is never seen."),
        ("Count", {"obj": "dish"}, 0, "The dish is never seen."),
        ("Count", {"obj": "dish"}, 1, "1 dish is seen in one frame."),
        ("Count", {"obj": "dish"}, 2, "At most 2 dishes are seen in one frame."),
        ("Count", {"obj": "cup/glass"}, 2, "At most 2 objects of the kind cup/glass are seen in one frame."),
        ("Query_Objs", {"query": "object taken"}, [], 'Nothing is found for "object taken".'),
        ("Query_Objs", {"query": "object taken"}, ["The bag.", "box"],
         "The object taken is, in this order, the bag and the box."),
        ("Query_Actions", {"obj": "bag"}, [], "The person is not seen to do anything with the bag."),
        ("Query_Actions", {"obj": "bag"}, ["take the bag", "open the bag"],
         "The person took the bag, then opened the bag."),
        ("Query_Actions", {}, ["Jump high."], "This is what the person does: jump high."),
        ("Video_query", {"query": "Why?"}, "", 'There is no reply to "Why?".'),
        ("Video_query", {"query": 'Is it "it"?'}, "no\nway", """The reply to "Is it 'it'?" is "no way"."""),
        ("Video_summary", {}, "", "No summary is given."),
        ("Video_caption", {}, [], "Frame by frame, there is nothing to tell."),
        ("Compare", {"a": "x", "b": "y"}, True, '"x" and "y" mean the same.'),
        ("select_answer", {"query": "Who?", "info": {}}, "", 'For "Who?", what was found supports nothing.'),
    ],
)  # fmt: skip
def test_one_call(function: str, args: dict[str, object], result: Value, text: str) -> None:
    """Each function is told by what it found, nothing found included."""
    given = args if function in {"Compare", "select_answer"} else {"clip": ROOT, **args}
    assert sentence(function, result, **given) == text


@pytest.mark.parametrize("function", API)
def test_errors_of_every_function(function: str) -> None:
    """A failed tool and a clip without frames are told for every function of the API."""
    failed = sentence(function, error=CallError(kind="bad-request", message="too long"), clip=ROOT)
    assert failed.startswith("The tool failed when it was to ")
    assert failed.endswith(': "too long".')
    empty = sentence(function, error=CallError(kind="EmptyClip", message="no frames"), clip=ROOT)
    assert empty.startswith("There are no frames left in which to ")


def test_ends_without_answer() -> None:
    """A program that stopped is told to have stopped, with the reason."""
    assert told(STORIES[5])[-1] == (
        'There the program stops without a result (EmptyClip: "Video_query of an empty clip").'
    )
