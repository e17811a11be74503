"""Oracle models, against a situation graph worked out by hand.

The span starts at 1.0 s of a video at 10 frames per second and holds 32 frames, so that frame id 11 is grid
position 0 and frame id 11 + p is position p.
"""

from __future__ import annotations

import pytest

from aotd.tools.models import (
    Detection,
    DetectRequest,
    FrameRef,
    Frames,
    GroundRequest,
    Moment,
    ToolError,
    VideoAnswer,
    VideoRequest,
)
from aotd.tools.oracle import OracleDetector, OracleGrounder, OracleVideoModel, Sheet
from aotd.tools.sampling import Timeline
from aotd.traces.situations import Keyframe, SituationGraph
from aotd.traces.star_phrases import action_phrase
from aotd.traces.star_vocabulary import action_ids, object_id, relation_id

PERSON, CUP, BOOK, DISH = (object_id(n) or "" for n in ("person", "cup/glass/bottle", "book", "dish"))
HOLDING, TOUCHING = (relation_id(n) or "" for n in ("holding", "touching"))
TAKE_CUP, PUT_BOOK, HOLD_DISH = (
    action_ids(v, o)[0] for v, o in (("take", "cup/glass/bottle"), ("put", "book"), ("hold", "dish"))
)
GRAPH = SituationGraph(
    (
        Keyframe(5, (TAKE_CUP,), (), ((CUP, (9, 9, 9, 9)),)),  # before the span: dropped
        Keyframe(13, (PUT_BOOK,), ((HOLDING, BOOK),), ((PERSON, (0, 0, 50, 90)), (BOOK, None))),
        Keyframe(16, (TAKE_CUP, PUT_BOOK), ((HOLDING, CUP),), ((CUP, (1, 2, 3, 4)), (CUP, (5, 6, 7, 8)))),
        Keyframe(20, (), ((TOUCHING, DISH),), ((DISH, (7, 7, 9, 9)),)),
        Keyframe(24, (TAKE_CUP,), ((HOLDING, DISH),), ((PERSON, (0, 0, 40, 80)),)),
        Keyframe(43, (PUT_BOOK,), (), ()),  # exactly at the end: read as the last frame
        Keyframe(44, (HOLD_DISH,), (), ()),  # after the end: dropped
    )
)
SHEET = Sheet("q", GRAPH, Timeline(video="id:v", first=10, frames=32), 1.0, 10.0, future=False)


def clip(*positions: int) -> Frames:
    """Frames at grid positions; all 32 when none is named."""
    return Frames(video="id:v", indices=tuple(10 + p for p in positions or range(32)))


def detect(position: int, name: str) -> tuple[Detection, ...]:
    """Detect once."""
    (found,) = OracleDetector(SHEET).detect(
        [DetectRequest(frame=FrameRef(video="id:v", index=10 + position), names=(name,))]
    )
    assert not isinstance(found, ToolError)
    return found


def ground(text: str, *positions: int) -> Moment | None:
    """Ground once."""
    (moments,) = OracleGrounder(SHEET).ground([GroundRequest(frames=clip(*positions), text=text)])
    assert not isinstance(moments, ToolError)
    return moments[0] if moments else None


def ask(
    task: str, *positions: int, subject: str | None = None, options: tuple[str, ...] | None = None
) -> VideoAnswer:
    """Ask the video model once."""
    request = VideoRequest.model_validate(
        {"clip": clip(*positions), "task": task, "subject": subject, "options": options}
    )
    (answer,) = OracleVideoModel(SHEET).answer([request])
    assert isinstance(answer, VideoAnswer)
    return answer


def test_boxes_are_the_first_annotated_ones_of_the_class_at_that_position() -> None:
    """Of several boxes the first counts; null boxes, other positions and unknown words give none."""
    assert [d.box for d in detect(5, "cup")] == [(1, 2, 3, 4)]
    assert detect(5, "cup")[0].name == "cup"
    assert detect(2, "book") == ()
    assert detect(3, "person") == ()
    assert detect(5, "unicorn") == ()
    assert [d.box for d in detect(2, "the person")] == [(0, 0, 50, 90)]


@pytest.mark.parametrize(
    ("text", "windows", "rule"),
    [
        (action_phrase(TAKE_CUP), ((5, 6), (13, 14)), "action class"),
        ("person is taking the cup", ((5, 6), (13, 14)), "verb and object"),
        ("person is putting down the book", ((2, 6), (31, 32)), "verb and object"),
        ("person is holding the dish", ((13, 14),), "relation and object"),
        ("holding the cup/glass/bottle", ((5, 6),), "relation and object"),
        ("the dish", ((9, 10),), "object"),
    ],
)
def test_a_text_is_grounded_by_its_first_reading_with_a_keyframe(
    text: str, windows: tuple[tuple[int, int], ...], rule: str
) -> None:
    """Windows join neighbouring annotated positions; an action that is absent gives way to the relation."""
    moment = ground(text)
    assert moment is not None
    assert (moment.windows, moment.notes[0]) == (windows, f"rule: {rule}")


def test_windows_count_positions_of_the_clip_asked_about() -> None:
    """In a clip of frames 4..9 the event at position 5 is the window [1, 2)."""
    moment = ground("person is taking the cup", *range(4, 10))
    assert moment is not None
    assert moment.windows == ((1, 2),)


@pytest.mark.parametrize("text", ["person is eating the sandwich", "touching the cup", "", "unicorn dancing"])
def test_what_is_not_annotated_in_the_clip_is_not_grounded(text: str) -> None:
    """No keyframe that fits is no moment, never the whole clip."""
    assert ground(text) is None
    assert ground("person is taking the cup", 9, 10) is None


def test_two_readings_with_other_frames_are_flagged() -> None:
    """A text that is an action and a relation, at different times, is marked ambiguous."""
    graph = SituationGraph((Keyframe(11, (HOLD_DISH,), (), ()), Keyframe(14, (), ((HOLDING, DISH),), ())))
    sheet = Sheet("q", graph, Timeline(video="id:v", first=10, frames=32), 1.0, 10.0, future=False)
    (moments,) = OracleGrounder(sheet).ground(
        [GroundRequest(frames=clip(), text="person is holding the dish")]
    )
    assert not isinstance(moments, ToolError)
    assert moments[0].windows == ((0, 1),)
    assert any("ambiguous: relation and object" in note for note in moments[0].notes)


def test_actions_come_by_first_appearance_and_list_order() -> None:
    """Keyframes outside the span are not seen, and one exactly at its end is the last frame."""
    assert ask("actions").texts == ("put down the book", "take the cup/glass/bottle")
    assert ask("actions", 5, 9).texts == ("take the cup/glass/bottle", "put down the book")
    assert ask("actions", subject="the cup").texts == ("take the cup/glass/bottle",)
    assert ask("actions", 31).texts == ("put down the book",)
    assert ask("actions", 9).texts == ()
    assert SHEET.outside == 2


def test_actions_and_objects_with_options_are_option_texts() -> None:
    """With options only those that fit are given, in the order of appearance."""
    assert ask("actions", options=("Took.", "Ate.", "Put down.")).texts == ("Put down.", "Took.")
    assert ask(
        "objects", subject="object taken by the person", options=("The book.", "The cup/glass/bottle.")
    ).texts == ("The cup/glass/bottle.",)


def test_objects_fit_the_verb_or_are_those_present() -> None:
    """A description with a verb means objects of such actions; without one, objects in view but no person."""
    assert ask("objects", subject="object put down by the person").texts == ("book",)
    assert ask("objects", subject="objects in view").texts == ("book", "cup/glass/bottle", "dish")


def test_is_this_and_choice_answer_from_the_clip_alone() -> None:
    """Presence is yes or no; a choice needs exactly one fitting option."""
    assert ask("is_this", 9, subject="dish").texts == ("yes",)
    assert ask("is_this", 5, subject="dish").texts == ("no",)
    assert ask("choice", 13, options=("Took the cup/glass/bottle.", "Ate the food.")).texts == (
        "Took the cup/glass/bottle.",
    )
    assert ask("choice", options=("Took the cup/glass/bottle.", "Put down the book.")).texts == ()


def test_an_oracle_tells_no_answer_in_prose() -> None:
    """Summaries, captions and open answers are empty, and say why."""
    for task in ("summary", "caption", "open"):
        answer = ask(task)
        assert answer.texts == ()
        assert "oracle" in answer.notes[0]


def test_identity_names_question_graph_and_future() -> None:
    """Oracles of other questions, graphs or views of the future never share an answer."""
    timeline = SHEET.timeline
    others = [
        Sheet("p", GRAPH, timeline, 1.0, 10.0, future=False),
        Sheet("q", SituationGraph(GRAPH.keyframes[:2]), timeline, 1.0, 10.0, future=False),
        Sheet("q", GRAPH, timeline, 1.0, 10.0, future=True),
    ]
    keys = {OracleDetector(sheet).identity.key for sheet in (SHEET, *others)}
    assert len(keys) == 4
