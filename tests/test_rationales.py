"""Rationales read and scored: every number here is worked out by hand.

The question speaks of 1.0 to 4.2 s of a video at 10 frames per second: 32 frames, so that key frame 11 + p
lies on grid position p.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aotd.agent.pipeline import Item
from aotd.agent.prepare import Fault
from aotd.benchmarks.annotation import AnnotationError
from aotd.benchmarks.rationale_text import Origin, Size, read_rationale, unflip
from aotd.benchmarks.rationales import (
    RationaleReport,
    Setting,
    Which,
    load_rationales,
    score_rationales,
    setting_of,
)
from aotd.traces.records import Question
from aotd.traces.situations import Keyframe, SituationGraph
from aotd.traces.star_vocabulary import action_ids, object_id

PERSON, CUP, BOOK = (object_id(name) or "" for name in ("person", "cup/glass/bottle", "book"))
TAKE_CUP, PUT_BOOK, OPEN_BOX = (
    action_ids(*pair)[0] for pair in (("take", "cup/glass/bottle"), ("put", "book"), ("open", "box"))
)
GRAPH = SituationGraph(
    (
        Keyframe(15, (PUT_BOOK,), (), ((PERSON, (0, 0, 100, 200)), (BOOK, None))),  # position 4
        Keyframe(21, (PUT_BOOK, TAKE_CUP), (), ((PERSON, (0, 0, 100, 200)), (CUP, (10, 10, 20, 20)))),  # 10
        Keyframe(31, (TAKE_CUP,), (), ((CUP, (10, 10, 20, 20)),)),  # 20
        Keyframe(60, (OPEN_BOX,), (), ((PERSON, (0, 0, 9, 9)),)),  # after the end
    )
)


def setting(name: str = "q", video: str = "v", size: Size | None = None) -> Setting:
    """The hand-made question, settled."""
    question = Question(
        id=name, dataset="star", video_id=video, type="Sequence", span=(1.0, 4.2), fps=10.0,
        text="Which object did the person take after they put down the book?",
        options=("The cup/glass/bottle.", "The dish."), answer="The cup/glass/bottle.",
    )  # fmt: skip
    made = setting_of(Item(question, GRAPH), None)
    assert isinstance(made, Setting)
    return made._replace(size=size)


def scored(
    text: str | None, size: Size | None = None, origin: Origin = "top", window: Which = "first"
) -> RationaleReport:
    """The report on one rationale."""
    return score_rationales([setting(size=size)], {"q": text}, origin=origin, window=window)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It lasts from frame 3 to frame 9.", [(3, 9)]),
        ("It lasts from frame 3 to 9.", [(3, 9)]),
        ("Frames 3 to 9 show it.", [(3, 9)]),
        ("See frames 3-9, and frames 10 \u2013 12.", [(3, 9), (10, 12)]),
        ("It lies between frames 3 and 9.", [(3, 9)]),
        ("It lies between frame 3 and frame 9.", [(3, 9)]),
        ("Frames 3 and 9 bound it.", [(3, 9)]),
        ("From frame 3 until frame 9.", [(3, 9)]),
        ("It is in frame 7, at frame 8 and in frames 3, 5 and 9.", []),
        ("From frame 28 to frame 40.", [(28, 32)]),
        ("From frame 5 to frame 5.", [(5, 5)]),
        ("It takes 3 to 9 seconds.", []),
    ],
)
def test_windows_are_read(text: str, expected: list[tuple[int, int]]) -> None:
    """Windows need the word frame; single frames and lists are none; they are clamped to 0..32."""
    said = read_rationale(text)
    assert [told.window for told in said.windows] == expected
    assert said.invalid == {}


def test_a_window_that_runs_backwards_is_invalid() -> None:
    """It is counted and not used."""
    said = read_rationale("From frame 9 to frame 3. From frame 1 to frame 2.")
    assert [told.window for told in said.windows] == [(1, 2)]
    assert said.invalid == {"windows that end before they start": 1}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The person puts down the book from frame 3 to frame 9, then takes the cup.", (PUT_BOOK,)),
        ("Between frames 3 and 9, the person is taking the cup.", (TAKE_CUP,)),
        ("He put down the book. The cup is seen in frames 3 to 9.", ()),
        ('I look for "person is opening the box": frames 3 to 9.', (OPEN_BOX,)),
        ("The man takes the cup, puts down the book in frames 3 to 9.", (PUT_BOOK,)),
    ],
)
def test_a_window_belongs_to_the_event_of_its_sentence(text: str, expected: tuple[str, ...]) -> None:
    """The nearest event before it, else the nearest after it; other sentences do not count."""
    (told,) = read_rationale(text).windows
    assert told.actions == expected


def test_boxes_are_read_with_their_frame_and_object() -> None:
    """The object is the last one named before; in a list it is inherited; parts of slash names count."""
    said = read_rationale(
        "The person is at [1, 2, 30, 40] in frame 4, [2, 2, 30, 40] in frame 5 and "
        "(3, 2, 30.5, 40) at frame 6, while a glass lies at [5,5,9,9], [6,6,9,9] in frame 7. "
        "The bounding box [1, 1, 2, 2] in frame 8."
    )
    assert [(told.frame, told.name, told.box) for told in said.boxes] == [
        (4, "person", (1, 2, 30, 40)),
        (5, "person", (2, 2, 30, 40)),
        (6, "person", (3, 2, 30.5, 40)),
        (7, "cup/glass/bottle", (5, 5, 9, 9)),
        (7, "cup/glass/bottle", (6, 6, 9, 9)),
        (8, "cup/glass/bottle", (1, 1, 2, 2)),
    ]
    assert said.invalid == {}


def test_boxes_that_cannot_be_used_are_counted() -> None:
    """Without frame, object or area, or more than a tenth outside the frame."""
    said = read_rationale(
        "[1, 1, 9, 9] in frame 1. "
        "The person [1, 1, 9, 9] stays there for a long while, or so it seems, in frame 1. "
        "A person at [9, 1, 1, 9] in frame 2, [1, 9, 9, 1] in frame 2, [1, 1, 9, 1] in frame 2; "
        "[-9, 0, 109, 50] in frame 3, [-11, 0, 90, 50] in frame 3, [0, 0, 90, 56] in frame 3.",
        size=(100, 50),
    )
    assert [told.box for told in said.boxes] == [(-9, 0, 109, 50)]
    assert said.invalid == {
        "boxes without an object of STAR": 1,
        "boxes without a frame": 1,
        "boxes without area": 3,
        "boxes outside the frame": 2,
    }


def test_a_box_from_the_bottom_is_turned_over() -> None:
    """At height 200, 20 to 60 from the bottom is 140 to 180 from the top; twice is back."""
    assert unflip((1, 20, 9, 60), 200) == (1, 140, 9, 180)
    assert unflip(unflip((1, 20, 9, 60), 200), 200) == (1, 20, 9, 60)


@given(st.text(alphabet="frames 0123456789,[]()to-and.\nthe box person in", max_size=80))
def test_any_text_is_read(text: str) -> None:
    """What is read is in range, whatever the text."""
    said = read_rationale(text, (100, 100))
    assert all(0 <= told.window[0] <= told.window[1] <= 32 for told in said.windows)
    assert all(told.box[0] < told.box[2] and told.box[1] < told.box[3] for told in said.boxes)


def test_the_event_is_found_by_its_words() -> None:
    """Taking the cup is annotated on 10 and 20: window [10, 21); 14 to 24 shares 7 of 14, one key frame."""
    report = scored("The person takes the cup from frame 14 to frame 24.")
    assert report.temporal_iou.covered is not None
    assert report.recall.covered is not None
    assert report.temporal_iou.covered.mean == pytest.approx(50)
    assert report.recall.covered.mean == pytest.approx(50)
    assert report.counts == {"events by the rationale's words": 1}
    assert report.trivial["whole clip"] == pytest.approx({"temporal IoU": 100 * 11 / 32, "recall": 100})
    assert report.trivial["centre half"] == pytest.approx({"temporal IoU": 100 * 11 / 16, "recall": 100})


def test_without_words_the_questions_condition_is_the_event() -> None:
    """Putting down the book is on 4 and 10: window [4, 11); what is not annotated in the clip is no event."""
    for text in ("It happens in frames 4 to 11.", "The person opens the box in frames 4 to 11."):
        report = scored(text)
        assert report.temporal_iou.covered is not None
        assert report.temporal_iou.covered.mean == 100
        assert report.counts == {"events by the question's condition": 1}


def test_without_a_condition_the_answer_is_the_event() -> None:
    """The verb comes from the question, the object from the answer."""
    one = setting()
    question = one.question.model_copy(update={"text": "Which object was taken by the person?"})
    report = score_rationales([one._replace(question=question)], {"q": "In frames 10 to 21."})
    assert report.temporal_iou.covered is not None
    assert report.temporal_iou.covered.mean == 100
    assert report.counts == {"events by the answer": 1}
    question = question.model_copy(update={"answer": "The dish."})
    report = score_rationales([one._replace(question=question)], {"q": "In frames 10 to 21."})
    assert (report.temporal_iou.valid, report.temporal_iou.scored) == (1, 0)
    assert report.temporal_iou.zero_filled is None
    assert report.counts == {"windows without an annotated event": 1}


def test_the_first_window_counts_unless_the_best_is_asked_for() -> None:
    """0 to 4 shares nothing with [4, 11), 4 to 11 all of it."""
    text = "Nothing happens in frames 0 to 4. It happens in frames 4 to 11."
    for window, expected in (("first", 0), ("best", 100)):
        report = scored(text, window="first" if window == "first" else "best")
        assert report.temporal_iou.covered is not None
        assert report.temporal_iou.covered.mean == expected


def test_boxes_are_held_against_the_same_object_nearby() -> None:
    """Frame 4 and its neighbour 5 are key frame 4; frame 7 has none near; the book there has no box."""
    report = scored(
        "The person is at [0, 0, 100, 100] in frame 4, [0, 0, 100, 200] in frame 5, [0, 0, 1, 1] in frame 7, "
        "the book at [0, 0, 1, 1] in frame 4."
    )
    assert report.spatial_iou.covered is not None
    assert report.spatial_iou.covered.mean == pytest.approx(75)
    assert report.counts == {"boxes with no key frame near": 1, "boxes of what is not annotated there": 1}


def test_frames_beyond_the_grid_have_no_truth() -> None:
    """Frame 32 would be next to the last position; it is none of the 32."""
    assert scored("A cup at [10, 10, 20, 20] in frame 32.").counts == {"boxes with no key frame near": 1}


def test_means_are_by_question_first_and_uncovered_questions_count_as_0() -> None:
    """Boxes of 100 and 0 in one question, 100 in another, a third silent: 75, by box 66.7, filled 50."""
    settings = [setting(name, f"v{name}") for name in "abc"]
    report = score_rationales(
        settings,
        {
            "a": "The cup is at [10, 10, 20, 20] in frame 10, [50, 50, 60, 60] in frame 20.",
            "b": "The cup is at [10, 10, 20, 20] in frame 10.",
            "c": None,
        },
    )
    measure = report.spatial_iou
    assert measure.covered is not None
    assert measure.zero_filled is not None
    assert (measure.questions, measure.valid, measure.scored) == (3, 2, 2)
    assert measure.coverage == pytest.approx(200 / 3)
    assert measure.covered.mean == pytest.approx(75)
    assert measure.zero_filled.mean == pytest.approx(50)
    assert measure.items == pytest.approx(200 / 3)
    assert (report.rationales, report.counts["questions without a rationale"]) == (2, 1)
    assert report.trivial["mean box of the class, other videos"]["spatial IoU"] == 100


def test_the_origin_is_the_writers() -> None:
    """At height 240, [0, 40, 100, 240] from the bottom is the person's [0, 0, 100, 200] from the top."""
    text = "The person is at [0, 40, 100, 240] in frame 4."
    bottom = scored(text, size=(320, 240), origin="bottom")
    assert bottom.spatial_iou.covered is not None
    assert bottom.spatial_iou.covered.mean == 100
    assert bottom.other_origin == pytest.approx(100 * 160 / 240)
    top = scored(text, size=(320, 240))
    assert top.spatial_iou.covered is not None
    assert top.spatial_iou.covered.mean == pytest.approx(100 * 160 / 240)
    assert top.other_origin == 100
    assert scored(text).other_origin is None
    with pytest.raises(ValueError, match="heights: give --videos"):
        scored(text, origin="bottom")


def test_nothing_to_score_is_told() -> None:
    """No questions, no figures; and a question that cannot be placed is a fault."""
    with pytest.raises(ValueError, match="no questions"):
        score_rationales([], {})
    report = scored("Hello.")
    assert (report.temporal_iou.covered, report.temporal_iou.coverage) == (None, 0)
    question = setting().question.model_copy(update={"fps": None})
    assert isinstance(setting_of(Item(question, GRAPH), None), Fault)


def test_rows_of_several_layouts_are_read(tmp_path: Path) -> None:
    """Rows name the question and give a text; our canonical rows give a chain of thought or none."""
    rows = [{"question_id": "a", "text": "x"}, {"id": "b", "cot": None}, {"qid": 3, "rationale": "y"}]
    path = tmp_path / "r.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    assert load_rationales(path) == {"a": "x", "b": None, "3": "y"}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"question_id": "a", "text": "x"}\n{"question_id": "a", "text": "y"}', "two rationales, .* line 2"),
        ('{"question_id": "a", "words": "x"}', "line 1 gives no rationale"),
        ('{"question_id": "a", "text": 7}', "line 1 gives no rationale"),
        ("", "holds no rationales"),
    ],
)
def test_a_faulty_file_is_told_with_its_place(content: str, told: str, tmp_path: Path) -> None:
    """Each fault is one line that names the file and the place."""
    path = tmp_path / "r.jsonl"
    path.write_text(content)
    with pytest.raises(AnnotationError, match=told):
        load_rationales(path)
