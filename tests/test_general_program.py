"""Questions of any wording: how they are read, and which programs are written for them."""

from __future__ import annotations

import ast
import csv
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aotd.agent.general_program import general_program
from aotd.agent.question_forms import read_question
from aotd.agent.sandbox.host import Inputs, Sandbox

VOCABULARY = """
    how many why what when where who which is are did does do the a man people dogs in black of to not there
    after before while as at end start middle video run look happens falling running
"""


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("why did the boy put the basket down", "cause"),
        ("what is the reason for the queue", "cause"),
        ("how did the girl open the box", "manner"),
        ("how do you know that the shop is closed", "other"),
        ("how tall is the tower?", "other"),
        ("how many people are there", "count"),
        ("how many times did the dog bark", "times"),
        ("where is this place", "place"),
        ("Is there a ladder in the barn?", "presence"),
        ("are the kids running or walking", "yes-no"),
        ("did the cat jump", "yes-no"),
        ("what does the man in grey do at the end", "action"),
        ("what is the baby doing", "action"),
        ("what happened after the glass fell", "action"),
        ("who caught the ball", "person"),
        ("When does the rain begin?", "moment"),
        ("what is the woman wearing on her head", "other"),
        ("", "other"),
    ],
)
def test_each_form_is_told_from_the_others(text: str, form: str) -> None:
    """The wording of a question decides its form."""
    assert read_question(text).form == form


@pytest.mark.parametrize(
    ("text", "relation", "event"),
    [
        ("what did the boy do after the girl fell", "after", "the girl fell"),
        ("what did the boy do after opening the gate", "after", "the boy is opening the gate"),
        ("what do the two boys do before leaving", "before", "the two boys are leaving"),
        ("what does the dog do as it runs", "during", "it runs"),
        ("how did the man feel when falling", "during", "the man is falling"),
        ("what does she do after a while of waiting", "after", "she is waiting"),
        ("After the man sits down, what does he do?", "after", "the man sits down"),
        ("while the pan heats up what does the cook cut", "during", "the pan heats up"),
        ("what does the crowd do during the song", "during", "the song"),
        ("what did he do once the bus stopped", "after", "the bus stopped"),
    ],
)
def test_clauses_of_time_are_statements(text: str, relation: str, event: str) -> None:
    """A clause keeps its words; one without a subject gets the question's."""
    clause = read_question(text).clause
    assert clause is not None
    assert (clause.relation, clause.event) == (relation, event)


@pytest.mark.parametrize(
    "text",
    [
        "why did the dog run after the ball",
        "why does the man stay still for a while at the gate",
        "why does the boy use the lid as a shield",
        "how is the second cup the same as the first",
        "when did the man fall",
    ],
)
def test_other_uses_of_the_words_of_time_are_no_clauses(text: str) -> None:
    """Running after something, a while, and comparisons are no conditions in time."""
    assert read_question(text).clause is None


@pytest.mark.parametrize(
    ("text", "section"),
    [
        ("why did the boy turn at the beginning of the video", "start"),
        ("what does the cat do after jumping near the end", "end"),
        ("why does the girl in the middle of the video smile", "middle"),
        ("why is the lady shy initially", "start"),
        ("what did the man do after the middle part of the video", "end"),
        ("why is the lady standing in the middle of the stage", None),
        ("what does the man at the end of the queue hold", None),
        ("who finished the race first", None),
    ],
)
def test_sections_of_the_video_are_told_from_places(text: str, section: str | None) -> None:
    """Start, middle and end count when they are the video's, or close the question."""
    assert read_question(text).section == section


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        ("what is the man in dark blue shirt doing", "man in dark blue shirt"),
        ("why are the two people in pink waving", "people in pink"),
        ("what is the colour of the old bucket", "old bucket"),
        ("what is the relationship between the woman and the man", "woman"),
        ("which dog is barking", "dog"),
        ("what happens to the ladder after the man leaves", "ladder"),
        ("what does he hold", ""),
        ("why did the priest greet the woman in white", "priest"),
        ("why is there smoke", ""),
        ("what is on the table", ""),
    ],
)
def test_the_subject_is_the_first_noun_phrase(text: str, subject: str) -> None:
    """Adjectives and clothes belong to it, articles do not; where there is none it is empty."""
    assert read_question(text).subject == subject


@pytest.mark.parametrize(
    ("text", "act"),
    [
        ("why did the boy carry the box", "the boy carries the box"),
        ("how does the girl in pink wash the dog", "the girl in pink washes the dog"),
        ("why do the kids run", "the kids run"),
        ("why is the baby crying at the end", "the baby is crying"),
        ("why does the man bring a rope", "the man brings a rope"),
        ("how does the man feel", ""),
        ("why is there a cake", ""),
        ("why did the dog not bark", ""),
        ("why did not the dog bark", ""),
        ("what does the man do", ""),
    ],
)
def test_why_and_how_take_an_act_for_granted(text: str, act: str) -> None:
    """The act is a statement in the third person; states, and what is not the case, are none."""
    assert read_question(text).act == act


@pytest.mark.parametrize(
    ("text", "thing", "narrowed"),
    [
        ("how many people are in the video", "people", False),
        ("how many red cars can be seen on the road?", "red cars", False),
        ("how many of the children are singing", "children", True),
        ("how many boys jump over the fence", "boys", True),
        ("is there a dog in the video", "dog", False),
    ],
)
def test_counted_things_are_cut_out(text: str, thing: str, narrowed: bool) -> None:  # noqa: FBT001
    """What the things do narrows the count, where they are does not."""
    asked = read_question(text)
    assert (asked.thing, asked.narrowed) == (thing, narrowed)


def test_a_clause_in_a_section_is_found_there() -> None:
    """The section bounds the search for the event, not what comes after it; the edge falls back visibly."""
    source = general_program("what does the dog do after barking at the end of the video", options=True)
    assert source == (
        "def execute_command(video_clip, query, possible_answers):\n"
        "    scene = trim(video_clip, start=21)\n"
        "    event = Filter_frames_with_act(scene, 'the dog is barking')\n"
        "    part = trim(video_clip, start=event.end)\n"
        "    if part.num_frames == 0:\n"
        "        part = trim(video_clip, start=event.start)\n"
        "    info = {'after the dog is barking': Video_summary(part, query)}\n"
        "    seen = Find(part, 'dog')\n"
        "    if seen.num_frames > 0:\n"
        "        info['the dog'] = Video_summary(seen, query)\n"
        '    info["answer seen"] = Video_query(part, query, possible_answers)\n'
        "    answer = select_answer(query, info, possible_answers)\n"
        "    return answer\n"
    )


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("how many men are there", "answer = Count(video_clip, 'man')"),
        ("how many men are shouting", "answer = Video_query(video_clip, query)"),
        ("is there a hat in the video", "answer = exist(video_clip, 'hat')"),
        ("why did the cat hide", "answer = Video_query(part, query)"),
    ],
)
def test_open_questions_return_what_a_tool_says(text: str, last: str) -> None:
    """Without options there is nothing to select: a count, yes or no, or the video model's words."""
    lines = general_program(text, options=False).splitlines()
    assert [line.strip() for line in lines[-2:]] == [last, "return answer"]
    assert "possible_answers" not in "".join(lines[1:])


def test_nothing_is_counted_where_the_event_was_not_seen() -> None:
    """A count in a part that may be empty comes behind a call that an empty clip ends."""
    lines = general_program("how many men are there while it rains", options=False).splitlines()
    looks = next(i for i, line in enumerate(lines) if "Video_summary(part" in line)
    assert looks < next(i for i, line in enumerate(lines) if "Count(part" in line)


def test_a_question_too_long_for_the_tools_is_cut() -> None:
    """Functions take 2,000 characters: longer questions are cut, and so are the words quoted from them."""
    source = general_program("how many " + "very " * 1000 + "old dogs are there", options=True)
    assert "query = query[:2000]" in source
    assert len(source) < 2000
    assert "query[:" not in general_program("how many dogs are there", options=True)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.sampled_from(VOCABULARY.split()), max_size=12), st.booleans())
def test_any_order_of_words_has_a_program(words: list[str], options: bool) -> None:  # noqa: FBT001
    """However odd a question is, its program parses, ends with its answer and quotes little."""
    tree = ast.parse(general_program(" ".join(words), options=options))
    (entry,) = tree.body
    assert isinstance(entry, ast.FunctionDef)
    assert isinstance(entry.body[-1], ast.Return)
    assert all(
        len(n.value) <= 200 for n in ast.walk(tree) if isinstance(n, ast.Constant) if isinstance(n.value, str)
    )


@pytest.mark.parametrize("options", [("yes", "no"), None])
def test_each_kind_of_program_passes_the_check(options: tuple[str, ...] | None) -> None:
    """A program of each form and each localisation is accepted by the sandbox's own check."""
    texts = (
        "how many dogs are there",
        "how many dogs bark while it rains",
        "is there a cat before the man leaves at the end",
        'why did the boy\'s "friend" \\ fall\nin the middle of the video',
        "what does she do after singing",
        "where is this \u4e2d\u6587 \u2028 place",
        "x" * 3000,
    )
    with Sandbox(workers=1) as sandbox:
        for text in texts:
            source = general_program(text, options=options is not None)
            inputs = Inputs(frames=tuple(range(32)), query=text, possible_answers=options)
            assert sandbox.check(source, inputs) == ()


def test_real_questions_are_read_by_their_type(data: Path) -> None:
    """NExT-QA's why, how, counting and place questions have those forms, but for a hundredth of them."""
    with (data / "nextqa" / "val.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    forms = {"CW": ("cause",), "CH": ("manner",), "DC": ("count", "times"), "DL": ("place",)}
    for kind, expected in forms.items():
        read = [read_question(row["question"]).form in expected for row in rows if row["type"] == kind]
        assert sum(read) / len(read) > 0.985
    timed = [read_question(row["question"]).clause is not None for row in rows if row["type"] in ("TN", "TP")]
    assert sum(timed) / len(timed) > 0.97


def test_real_questions_pass_the_check(data: Path) -> None:
    """Programs for every fortieth question of NExT-QA, with options and without, are accepted."""
    with (data / "nextqa" / "val.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[::40]
    with Sandbox(workers=1) as sandbox:
        for row in rows:
            choices = tuple(row[f"a{number}"] for number in range(5))
            for options in (choices, None):
                source = general_program(row["question"], options=options is not None)
                inputs = Inputs(frames=tuple(range(32)), query=row["question"], possible_answers=options)
                assert sandbox.check(source, inputs) == (), row["question"]
