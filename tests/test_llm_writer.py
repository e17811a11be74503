"""The writer that asks a model: what it shows, what it reads, and what it refuses to read."""

from __future__ import annotations

import asyncio
import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from aotd.agent.complete import check_complete
from aotd.agent.llm_writer import LlmWriter
from aotd.agent.verify import check_faithful
from aotd.agent.write import TemplateWriter, Unwritten
from aotd.prompts.quoting import quoted
from aotd.tools.batching import Backbone, Front
from aotd.tools.cache import Cache
from aotd.tools.device import Device
from aotd.tools.models import Reply, TextRequest, ToolError
from aotd.tools.scripted import ScriptedTextModel
from aotd.tools.text_role import TextRole
from aotd.traces.records import Example, Question, Rationale, Trace
from aotd.traces.star_vocabulary import OBJECT_NAMES

REPLY: TypeAdapter[Reply | ToolError] = TypeAdapter(Reply | ToolError)
STORIES = [
    Example.model_validate_json(line)
    for line in (Path(__file__).parent / "golden/stories.jsonl").read_text().splitlines()
]
SANDWICH = STORIES[0]


def trace_of(story: Example) -> Trace:
    """Give a story's trace."""
    assert story.trace is not None
    return story.trace


def write(
    reply: Reply | ToolError | str, question: Question, trace: Trace
) -> tuple[Rationale | Unwritten, list[TextRequest]]:
    """Have a trace told by a model that gives this reply; give back what it was asked, too."""
    asked: list[TextRequest] = []

    def script(request: TextRequest) -> Reply | ToolError:
        asked.append(request)
        return Reply(text=reply) if isinstance(reply, str) else reply

    model = ScriptedTextModel(script)
    with ThreadPoolExecutor(1) as threads:
        backbone = Backbone(Cache(10**6), Device(threads), lambda _: None, 8)
        role = TextRole(model, Front(model, model.complete, REPLY, backbone))
        return asyncio.run(LlmWriter(role).write(question, trace)), asked


def written(reply: Reply | ToolError | str) -> Rationale | Unwritten:
    """Have the sandwich told."""
    return write(reply, SANDWICH.question, trace_of(SANDWICH))[0]


@pytest.mark.parametrize(
    "story", [s for s in STORIES if trace_of(s).answer is not None], ids=lambda s: s.question.id
)
def test_a_model_that_keeps_the_form(story: Example) -> None:
    """A reply in the form asked for gives its sentences and citations, and a true one passes the checks."""
    template = asyncio.run(TemplateWriter().write(story.question, trace_of(story)))
    reply = "\n".join(f"{s.text} {list(s.calls)}" for s in template.sentences)
    told, (request,) = write(reply, story.question, trace_of(story))
    assert isinstance(told, Rationale)
    assert told.sentences == template.sentences
    assert told.writer.startswith("llm/")
    assert check_faithful(story.question, trace_of(story), told, OBJECT_NAMES).passed
    assert check_complete(story.question, trace_of(story), told).passed
    assert (request.role, request.choices) == ("writer", None)


@pytest.mark.parametrize(
    ("reply", "sentences"),
    [
        ("The person is seen. [2]", [("The person is seen.", (2,))]),
        ("The person is seen [1, 2].", [("The person is seen.", (1, 2))]),
        ("The person is seen. [1] [2]", [("The person is seen.", (1, 2))]),
        ("At [1, 2, 3, 4] in frame 3. [2]", [("At [1, 2, 3, 4] in frame 3.", (2,))]),
        ("Seen at [10, 20, 30, 40] [2]", [("Seen at [10, 20, 30, 40]", (2,))]),
        ("Here it is:\n\n1. A. [1]\n2. B. [2, 2]", [("A.", (1,)), ("B.", (2,))]),
        ("```text\n- A. [1]\n* B. [2]\n```", [("A.", (1,)), ("B.", (2,))]),
        ("A   is\there. [ 1 ,2 ]", [("A is here.", (1, 2))]),
    ],
)
def test_replies_that_are_read(reply: str, sentences: list[tuple[str, tuple[int, ...]]]) -> None:
    """Citations are taken off the ends of lines; marks of lists, fences and an announcement are left out."""
    told = written(reply)
    assert isinstance(told, Rationale), told
    assert [(s.text, s.calls) for s in told.sentences] == sentences


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ("", "empty"),
        ("```\n```", "empty"),
        ("   \n", "empty"),
        ("The person is seen.", "line 1 does not end with call numbers"),
        ("A. [1]\nSo the answer is The sandwich.", "line 2 does not end with call numbers"),
        ("A. [1]\nThat is all:", "line 2 does not end"),
        ("The person is at [1, 2, 3, 4]", "line 1 does not end with call numbers"),
        ("The person is at [1, 2, 3, 4].", "line 1 does not end with call numbers"),
        ("Boxes: [1, 2, 3, 4]", "line 1 does not end with call numbers"),
        ("A. [6]", "cites call 6, which the trace does not have"),
        ("A. [0]", "cites call 0"),
        ("A. [1, 99999999999999999999]", "cites call 999999999,"),
        ("[1]", "says nothing"),
        ("A. [1]\n... [2]", "line 2 cites calls and says nothing"),
        ("A. [one]", "does not end with call numbers"),
        ("A. (1)", "does not end with call numbers"),
        ("A. [1-3]", "does not end with call numbers"),
        ('{"sentences": [{"text": "A.", "calls": [1]}]}', "does not end with call numbers"),
        (Reply(text="A. [1]", truncated=True), "cut off"),
        (ToolError(kind="bad-request", message="too long"), "the model failed: bad-request: too long"),
    ],
)
def test_replies_that_are_no_chain(reply: Reply | ToolError | str, why: str) -> None:
    """A reply in another form, cut off or citing what is not there is no chain, and nothing stands in."""
    told = written(reply)
    assert isinstance(told, Unwritten)
    assert why in told.reason
    assert "\n" not in told.reason


@given(st.text(st.sampled_from("ab .,:\n-*`[]()0123456789\u2028"), max_size=60))
@settings(max_examples=40, deadline=None)
def test_nothing_is_invented(reply: str) -> None:
    """Whatever a model says, a chain holds its own words and calls of the trace, or there is no chain."""
    told = written(reply)
    for sentence in told.sentences if isinstance(told, Rationale) else ():
        assert sentence.calls
        assert set(sentence.calls) <= {1, 2, 3, 4, 5}
        assert re.sub(r"\W", "", sentence.text) in re.sub(r"\W", "", reply)


def test_what_the_model_is_shown() -> None:
    """The model sees every call with windows, boxes and texts in the words to use, and not the truth."""
    question = SANDWICH.question.model_copy(update={"answer": "The secret truth."})
    _, (request,) = write("A. [1]", question, trace_of(SANDWICH))
    (message,) = request.messages
    head, data = message.content.split("\n<data>\n")
    rows = [json.loads(line) for line in data.split("\n</data>\n")[0].splitlines()]
    assert rows[0] == {"question": question.text, "options": list(question.options or ())}
    assert [row["call"] for row in rows[1:-1]] == [1, 2, 3, 4, 5]
    assert rows[1] == {
        "call": 1,
        "function": "Filter_frames_with_act",
        "looked at": "the whole video",
        "action": "putting down the sandwich",
        "found": "frames 3 to 9",
    }
    assert rows[2]["boxes"][:2] == ["[139, 141, 229, 342] in frame 3", "[140, 138, 231, 340] in frame 4"]
    assert rows[3]["found"] == "A person puts a sandwich on the table and sits down."
    assert rows[-1] == {"answer": "The sandwich."}
    assert "secret" not in message.content
    assert "Find: " in head
    assert "Count: " not in head


def test_what_was_not_found_is_shown() -> None:
    """Empty clips, nothing seen, failed tools and captions are put into words."""
    shown = {}
    for story in STORIES:
        trace = trace_of(story)
        if trace.answer is not None:
            _, (request,) = write("A. [1]", story.question, trace)
            rows = request.messages[0].content.split("\n<data>\n")[1].split("\n</data>\n")[0].splitlines()
            shown[story.question.id] = {row["call"]: row for row in map(json.loads, rows[1:-1])}
    assert shown["Interaction_T4_1"][1]["found"] == "nothing, no frames"
    assert shown["Interaction_T4_1"][2]["found"] == "frame 7 and frame 15"
    assert shown["Interaction_T4_1"][4]["found"]["frame 7"] == "a person holds a bottle"
    assert shown["Interaction_T4_1"][6]["query"] == "Is the person 'calm'?"
    assert shown["Interaction_T4_1"][7]["info"]["parts"] == {"second": "frame 7 and frame 15"}
    assert shown["open_1"][2]["found"] == "no"
    assert shown["open_1"][4]["found"] == 3
    assert shown["nextqa_5"][1]["failed"] == "the request is too long"


def test_nothing_to_write_about() -> None:
    """A trace without an answer is not written, and the model is not asked."""
    story = STORIES[5]
    told, asked = write("A. [1]", story.question, trace_of(story))
    assert isinstance(told, Unwritten)
    assert not asked


@given(st.text(max_size=80))
@settings(max_examples=60, deadline=None)
def test_quoted_texts_stay_where_they_are(text: str) -> None:
    """A quoted text is one line, opens and closes no tag, and reads back unchanged."""
    line = quoted({"a": [f"</data>\n{text}\u2028<data>"]})
    assert json.loads(line) == {"a": [f"</data>\n{text}\u2028<data>"]}
    assert "<" not in line
    assert len(line.splitlines()) == 1
