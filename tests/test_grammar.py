"""The grammar of questions and the calls of the programs written from it."""

from __future__ import annotations

import ast
import asyncio
import csv
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aotd.agent.grammar import GrammarPlanner, template_of
from aotd.tools.api import API, ENTRY
from aotd.traces.records import Question

OPTIONS = ("The dish.", "The book.", "The paper/notebook.", "The bag.")


def program(text: str, options: tuple[str, ...] | None = OPTIONS) -> str:
    """Write the program of a question."""
    question = Question(id="q", dataset="star", video_id="v", text=text, options=options)
    planned = asyncio.run(GrammarPlanner().plan(question))
    assert planned.source is not None
    assert planned.failure is None
    return planned.source


def assert_sound(source: str) -> None:
    """Check that a program is one function that calls the API as declared and binds all else that it uses."""
    (entry,) = ast.parse(source).body
    assert isinstance(entry, ast.FunctionDef)
    assert tuple(a.arg for a in entry.args.args) == ENTRY
    assert isinstance(entry.body[-1], ast.Return)
    allowed = (ast.Assign, ast.If, ast.Return)
    assert all(
        isinstance(node, allowed)
        for node in ast.walk(entry)
        if isinstance(node, ast.stmt) and node is not entry
    )
    bound = {n.id for n in ast.walk(entry) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    for node in ast.walk(entry):
        if isinstance(node, ast.Attribute):
            assert node.attr in {"start", "end", "num_frames"}
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            assert node.id in bound | set(ENTRY) | set(API)
        if isinstance(node, ast.Call):
            assert isinstance(node.func, ast.Name)
            names = [p.name for p in API[node.func.id].parameters]
            given_names = names[: len(node.args)] + [str(k.arg) for k in node.keywords]
            assert len(node.args) <= len(names)
            assert len(set(given_names)) == len(given_names)
            assert set(given_names) <= set(names)
            assert {p.name for p in API[node.func.id].parameters if p.required} <= set(given_names)


AFTER = """part = trim(video_clip, start=event.end)
    if part.num_frames == 0:
        part = trim(video_clip, start=event.start)"""
BEFORE = """part = trim(video_clip, end=event.start)
    if part.num_frames == 0:
        part = trim(video_clip, end=event.end)"""


@pytest.mark.parametrize(
    ("text", "template", "calls"),
    [
        (
            "Which object was put down by the person?",
            "Interaction_T1",
            ['Query_Objs(video_clip, "object put down by the person", possible_answers)'],
        ),
        (
            "What did the person do with the clothes?",
            "Interaction_T2",
            ['Find(video_clip, "clothes")', 'Query_Actions(video_clip, "clothes", possible_answers)'],
        ),
        (
            "What did the person do while they were holding the dish?",
            "Interaction_T3",
            [
                'part = Filter_frames_with_act(video_clip, "person is holding the dish")',
                "Query_Actions(part, possible_answers=possible_answers)",
            ],
        ),
        (
            "What did the person do while they were having bag on the back and leaning on the chair?",
            "Interaction_T4",
            [
                'first = Filter_frames_with_act(video_clip, "person is having bag on the back")',
                'second = Filter_frames_with_act(video_clip, "person is leaning on the chair")',
            ],
        ),
        (
            "Which object did the person take after they drank from the cup/glass/bottle?",
            "Sequence_T1",
            [
                '"person is drinking from the cup/glass/bottle"',
                AFTER,
                'Query_Objs(part, "object taken by the person")',
                "objects[:1]",
            ],
        ),
        (
            "Which object did the person put down before they sat in the chair?",
            "Sequence_T2",
            [
                '"person is sitting in the chair"',
                BEFORE,
                'Query_Objs(part, "object put down by the person")',
                "objects[-1:]",
            ],
        ),
        (
            "What happened after the person watched at the book?",
            "Sequence_T3",
            ['"person is watching at the book"', AFTER, '!= "watch at the book"', "actions[:1]"],
        ),
        (
            "What happened before the person tidied up the table?",
            "Sequence_T4",
            ['"person is tidying up the table"', BEFORE, '!= "tidy up the table"', "actions[-1:]"],
        ),
        (
            "What did the person do to the sandwich after taking the sandwich?",
            "Sequence_T5",
            [AFTER, 'Query_Actions(part, "sandwich")', '!= "take the sandwich"', "actions[:1]"],
        ),
        (
            "What did the person do to the sandwich before sitting at the table?",
            "Sequence_T6",
            ['"person is sitting at the table"', BEFORE, 'Query_Actions(part, "sandwich")', "actions[-1:]"],
        ),
        ("What will the person do next?", "Prediction_T1", ["Query_Actions(video_clip)", "actions[1:]"]),
        (
            "What will the person do next with the book?",
            "Prediction_T2",
            ["Query_Actions(video_clip)[:1]", 'Query_Actions(video_clip, "book")', "not in first"],
        ),
        (
            "Which object would the person put down next?",
            "Prediction_T3",
            [
                'Query_Objs(video_clip, "object put down by the person")',
                'f"put down the {name}" not in first',
            ],
        ),
        (
            "Which object would the person sit at next after they put down the food?",
            "Prediction_T4",
            ['"person is putting down the food"', AFTER, 'Query_Objs(part, "object sat at by the person")'],
        ),
        (
            "Which other object is possible to be eaten by the person?",
            "Feasibility_T1",
            [
                'possible = ["medicine", "sandwich"]',
                'Query_Objs(video_clip, "object eaten by the person")[:1]',
                "exist(video_clip, name)",
            ],
        ),
        (
            "What else is the person able to do with the book?",
            "Feasibility_T2",
            ['Query_Actions(video_clip, "book")', "actions[1:]"],
        ),
        (
            "Which object is possible to be taken when the person is on the side of the shelf?",
            "Feasibility_T3",
            [
                '"person is on the side of the shelf"',
                'Query_Objs(part, "object taken by the person", possible_answers)',
            ],
        ),
        (
            "What is the person able to do when they are behind the table?",
            "Feasibility_T4",
            ['"person is behind the table"', "Query_Actions(part, possible_answers=possible_answers)"],
        ),
        (
            "Which object is the person able to throw after throwing the towel?",
            "Feasibility_T5",
            [AFTER, '"object thrown by the person", possible_answers)', 'not in ("towel", "The towel.")'],
        ),
        (
            "What is the person able to do after walking through the doorway?",
            "Feasibility_T6",
            ['"person is walking through the doorway"', AFTER, '"Walk through the doorway."'],
        ),
    ],
)
def test_each_template_makes_its_calls(text: str, template: str, calls: list[str]) -> None:
    """A question of each of STAR's 20 templates is recognised and asks the tools what STAR's program asks."""
    assert template_of(text) == template
    source = program(text)
    assert_sound(source)
    assert_sound(program(text, None))
    positions = [source.find(call) for call in calls]
    assert -1 not in positions, source
    assert positions == sorted(positions)


def test_evidence_is_guarded() -> None:
    """A summary is asked only of a clip that shows something."""
    lines = program("What did the person do to the sandwich before sitting at the table?").splitlines()
    summaries = [number for number, line in enumerate(lines) if "Video_summary" in line]
    assert len(summaries) == 2
    for number in summaries:
        assert lines[number - 1].strip() in {
            "if person_clip.num_frames > 0:",
            "if object_clip.num_frames > 0:",
        }


@pytest.mark.parametrize(
    "text",
    [
        "What did the person do with the umbrella?",
        "What did the person do while they were juggling the dish?",
        "What happened after the person left the room?",
        "Which object was in front of by the person?",
        "What did the person do?",
        "",
    ],
)
def test_other_questions_follow_no_template(text: str) -> None:
    """A text outside the templates or the vocabulary has no label, and a sound general program."""
    assert template_of(text) is None
    assert_sound(program(text))
    assert_sound(program(text, None))


@pytest.mark.parametrize(
    ("text", "options", "parts"),
    [
        (
            "How many dogs are in the garden while the girl sings?",
            OPTIONS,
            ["Filter_frames_with_act(video_clip, 'the girl sings')", "Count(part, 'dogs')", "select_answer("],
        ),
        (
            "why did the boy fall before he cried",
            OPTIONS,
            [
                "Filter_frames_with_act(video_clip, 'he cried')",
                BEFORE,
                "Video_summary(part, query)",
                "Video_query(part, query, possible_answers)",
                "select_answer(",
            ],
        ),
        (
            "After the man sits down, what does he do?",
            None,
            ["'the man sits down'", AFTER, "answer = Video_query(part, query)\n    return answer"],
        ),
        ("Is there a red cup in the video?", None, ["exist(video_clip, 'red cup')\n    return answer"]),
        ("What colour is the wall?", None, ["answer = Video_query(video_clip, query)\n    return answer"]),
    ],
)
def test_other_questions_get_a_fitting_program(
    text: str, options: tuple[str, ...] | None, parts: list[str]
) -> None:
    """The clause in time is localised, the rest is counted, looked up or asked."""
    source = program(text, options)
    assert_sound(source)
    for part in parts:
        assert part in source


@settings(deadline=None, max_examples=200)
@given(
    st.sampled_from(
        ["", "What happened after the person ", "how many ", "After the man ", "is there ", "Who, when "]
    ),
    st.text(st.one_of(st.characters(), st.sampled_from("\"'\\\n\r{}()#;\u2028"))),
    st.booleans(),
)
def test_question_text_never_becomes_code(start: str, rest: str, options: bool) -> None:  # noqa: FBT001
    """Whatever a question says, its program is one sound function of assignments, ifs and a return."""
    assert_sound(program(start + rest, OPTIONS if options else None))


def test_quotes_stay_inside_a_literal() -> None:
    """A question that closes a quote and adds a statement is still one string."""
    evil = "how many dogs') ; import os\n    os.remove('x"
    source = program(evil + " after x\\' or '''?")
    assert_sound(source)
    strings = [n.value for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Constant)]
    assert "x\\' or '''" in strings


def test_every_question_of_the_validation_split_has_its_template(data: Path) -> None:
    """All 7,098 labels are read from the text alone, and all programs are sound."""
    with (data / "star/STAR_val_qa.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 7098
    assert [template_of(row["question"]) for row in rows] == [row["question_type"] for row in rows]
    for text in {row["question"] for row in rows}:
        assert_sound(program(text))


def test_every_annotated_question_has_a_template(data: Path) -> None:
    """The 88 questions whose ids use another numbering are all recognised by their text."""
    labels = [
        template_of(row["question"])
        for name in ("star_full_graphs.json", "star_thinned_graphs.json")
        for row in json.loads((data / "star" / name).read_text(encoding="utf-8"))
    ]
    assert len(labels) == 88
    assert None not in labels
