"""Scores of tools on STAR's units, each beside a hand-worked case."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aotd.benchmarks.action_match import MATCHES, Match, first_item, read_action
from aotd.benchmarks.star_scores import (
    FILLS,
    action_baseline,
    actions,
    against,
    detection,
    detection_baseline,
    events,
    events_baseline,
    mean_boxes,
    qa,
    qa_baseline,
)
from aotd.benchmarks.star_units import ActionUnit, DetectionUnit, EventUnit, QaUnit
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
from aotd.tools.oracle import Sheet
from aotd.tools.sampling import Timeline
from aotd.traces.records import Box
from aotd.traces.situations import SituationGraph
from aotd.traces.star_phrases import Form, action_phrase
from aotd.traces.star_vocabulary import ACTIONS, action_ids

SHEET = Sheet("q", SituationGraph(), Timeline(video="v", first=0, frames=32), 0.0, 10.0, future=False)
CLIP = Frames(video="v", indices=tuple(range(32)))
FAILED = ToolError(kind="bad-request", message="no")
TAKE_CUP, TAKE_BOOK, OPEN_BOX = (
    action_ids(*pair)[0] for pair in (("take", "cup/glass/bottle"), ("take", "book"), ("open", "box"))
)


def box_unit(name: str, truth: Box, video: str = "v") -> DetectionUnit:
    """A unit of detection."""
    request = DetectRequest(frame=FrameRef(video=video, index=0), names=(name,))
    return DetectionUnit(f"{video}/{name}/{truth}", video, name, request, truth, SHEET)


def found(*boxes: tuple[Box, float]) -> tuple[Detection, ...]:
    """What a detector gave."""
    return tuple(Detection(name="x", box=box, score=score) for box, score in boxes)


def test_the_most_confident_box_counts_and_a_miss_is_0() -> None:
    """Of two boxes the surer one is scored; nothing found and a failed request are misses."""
    square: Box = (0, 0, 10, 10)
    units = [box_unit("person", square), box_unit("cup/glass/bottle", square), box_unit("book", square)]
    units.append(box_unit("book", (1, 1, 2, 2), "w"))
    answers = [found((square, 0.3), ((5, 0, 15, 10), 0.9)), found((square, 1.0)), (), FAILED]
    score = detection(units, answers)
    assert score.values == pytest.approx((100 / 3, 100, 0, 0))
    assert score.mean == pytest.approx(400 / 12)
    assert score.by == pytest.approx({"person": 100 / 3, "cup/glass/bottle": 100, "book": 0})
    assert score.more["mean of classes"] == pytest.approx(400 / 9)
    assert score.more["without person"] == pytest.approx(100 / 3)
    assert (score.more["missed"], score.more["IoU >= 0.5"]) == (50, 25)
    assert (score.counts, score.sizes["book"]) == ({"no box": 2, "failed": 1}, 2)


def test_the_mean_box_comes_from_other_videos_alone() -> None:
    """A class that no other video shows has no guess; the own video never counts."""
    boxes: list[Box] = [(0, 0, 10, 10), (90, 90, 99, 99), (2, 2, 12, 12), (4, 4, 14, 14)]
    names = ["person", "book", "person", "person"]
    guesses = mean_boxes(boxes, names, ["a", "a", "b", "c"])
    assert guesses == [(3, 3, 13, 13), None, (2, 2, 12, 12), (1, 1, 11, 11)]
    units = [box_unit(n, b, v) for n, b, v in zip(names, boxes, "aabc", strict=True)]
    assert detection_baseline(units).counts["no box"] == 1


def event(positions: tuple[int, ...], video: str = "v") -> EventUnit:
    """An event at some grid positions of a clip of 32 frames at 10 frames per second."""
    return EventUnit(
        f"{video}/{positions}", video, "Sequence", TAKE_CUP, GroundRequest(frames=CLIP, text="x"),
        positions, (positions[0] / 10, (positions[-1] + 1) / 10), 3.2, SHEET,
    )  # fmt: skip


def moment(*windows: tuple[int, int]) -> Moment:
    """What a localiser gave."""
    return Moment(windows=windows, score=1.0)


def test_the_first_window_counts_on_a_half_open_grid() -> None:
    """Event 4 to 12 (8 positions) and answer 8 to 16 share 4 of 12; one of its three key frames is in."""
    units = [event((4, 6, 11)), event((0, 31))]
    score = events(units, [(moment((8, 16)), moment((4, 12))), (moment((-9, 3), (20, 99)),)])
    assert score.values == pytest.approx((100 / 3, 100))
    assert score.more["recall"] == pytest.approx(100 * (1 / 3 + 1) / 2)
    assert (score.more["R1@0.3"], score.more["R1@0.5"]) == (100, 50)
    assert score.more["mAP"] == pytest.approx((50 + 100) / 2)
    assert score.more["IoU in seconds"] == pytest.approx(100 * (1 / 3 + 1) / 2)
    assert score.counts == {"no window": 0, "failed": 0, FILLS: 1}


def test_no_window_an_empty_one_and_a_failure_are_misses() -> None:
    """Windows that are empty once they are clamped to the grid are none."""
    units = [event((4, 11), v) for v in "abcd"]
    score = events(units, [(), (moment((5, 5)),), (moment((40, 50)),), FAILED])
    assert (score.mean, score.more["recall"], score.more["mAP"]) == (0, 0, 0)
    assert (score.counts["no window"], score.counts["failed"]) == (4, 1)


def test_the_whole_clip_recalls_everything() -> None:
    """Its overlap is the event's share of the clip."""
    score = events_baseline([event((4, 11)), event((0, 31))], (0, 32))
    assert (score.values, score.more["recall"]) == ((25, 100), 100)


def action_unit(action: str, around: frozenset[str] = frozenset(), video: str = "v") -> ActionUnit:
    """A unit of action recognition."""
    request = VideoRequest(clip=CLIP, task="actions")
    return ActionUnit(f"{video}/{action}", video, request, action, around | {action}, SHEET)


def test_only_the_first_named_action_counts() -> None:
    """Lenient accepts another action under way; by class name is stricter than by verb and object."""
    units = [action_unit(TAKE_CUP, frozenset({TAKE_BOOK}), video) for video in "abcde"]
    said: list[VideoAnswer | ToolError] = [
        VideoAnswer(texts=("grabbing a cup", "take the book")),
        VideoAnswer(texts=("take the cup/glass/bottle",)),
        VideoAnswer(texts=("take the book", "take the cup/glass/bottle")),
        VideoAnswer(texts=("dancing",)),
        FAILED,
    ]
    score = actions(units, said)
    assert score.values == (100, 100, 0, 0, 0)
    assert score.more == {"lenient": 60, "by class-name": 20}
    assert score.counts == {"no class of STAR's": 2, "failed": 1}
    strict = actions(units, said, "class-name")
    assert (strict.mean, strict.more["by verb-object"]) == (20, 40)


def test_the_most_frequent_action_comes_from_other_videos() -> None:
    """Ties go to the smaller id; a video alone has no guess."""
    units = [action_unit(a, video=v) for a, v in ((TAKE_CUP, "a"), (TAKE_CUP, "b"), (OPEN_BOX, "b"))]
    assert OPEN_BOX < TAKE_CUP
    assert action_baseline(units).values == (0, 100, 0)
    assert action_baseline(units[:1]).values == (0,)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (("1. Opening the box\n2. Closing the box",), "Opening the box"),
        (("Here are five actions:\n- opens a box\n- eats",), "opens a box"),
        (("open the box, close the box",), "open the box"),
        (("(1) open the box (2) eat",), "open the box"),
        (("", "open the box"), "open the box"),
        ((), ""),
    ],
)
def test_the_first_item_of_a_list_is_taken(texts: tuple[str, ...], expected: str) -> None:
    """Lists are parted at line ends, commas, numbers and bullets; a heading is none of their items."""
    assert first_item(texts) == expected


@pytest.mark.parametrize(
    "text", ["open the box", "The man opens a box", "person is opening the box", "opened some box."]
)  # fmt: skip
def test_verb_and_object_are_matched_in_any_form(text: str) -> None:
    """Person, tense, article and number do not matter."""
    assert MATCHES["verb-object"]([text]) == {OPEN_BOX}


@pytest.mark.parametrize("text", ["", "box", "open", "laughing", "open the sky", "the box opens itself"])
def test_words_that_name_no_class_match_none(text: str) -> None:
    """Nothing is guessed from half of a class."""
    assert MATCHES["verb-object"]([text]) == set()


def test_a_particle_parts_classes() -> None:
    """Turning a light on is not turning it off; without the particle both fit."""
    on, off = action_ids("turn", "light")
    assert MATCHES["verb-object"](["turns on the light"]) == {on}
    assert MATCHES["verb-object"](["turn the light"]) == {on, off}


@given(
    st.sampled_from(ACTIONS), st.sampled_from(["base", "past", "gerund"]), st.sampled_from(["verb-object"])
)
def test_every_class_is_read_back_from_its_wording(action: object, form: Form, match: Match) -> None:
    """Class names and canonical phrases of all 111 actions name their class and no other."""
    one = next(known for known in ACTIONS if known == action)
    assert MATCHES[match]([f"person is {action_phrase(one.id, form)}"]) == {one.id}
    assert all(rule([one.label]) == {one.id} for rule in MATCHES.values())


@given(st.text(max_size=60))
def test_any_text_is_read_without_failing(text: str) -> None:
    """Whatever a model says, what is read are ids of actions."""
    known = {action.id for action in ACTIONS}
    assert all(rule([text]) <= known for rule in MATCHES.values())
    assert set(read_action(text)) <= known


def qa_unit(name: str, kind: str, options: tuple[str, ...] = ("A.", "B.", "C.", "D.")) -> QaUnit:
    """A question whose first option is right."""
    request = VideoRequest(clip=CLIP, task="choice", question="?", options=options)
    return QaUnit(name, f"v{name}", request, "A.", kind, SHEET)


def test_answers_are_counted_by_type_and_overall() -> None:
    """An abstention is wrong; equal options are one answer, and chance knows it."""
    units = [
        qa_unit("1", "Sequence"),
        qa_unit("2", "Sequence", ("A.", "A.", "B.", "C.")),
        qa_unit("3", "Pred"),
    ]
    score = qa(units, [VideoAnswer(texts=("A.",)), VideoAnswer(texts=("B.",)), VideoAnswer(texts=())])
    assert (score.values, score.by) == ((100, 0, 0), {"Pred": 0, "Sequence": 50})
    assert (score.more, score.counts) == ({"mean of types": 25}, {"abstained": 1, "failed": 0})
    assert qa_baseline(units).values == (25, 50, 25)
    assert qa(units[:1], [FAILED]).counts == {"abstained": 0, "failed": 1}


def test_two_systems_are_set_side_by_side() -> None:
    """What each has right alone, and the exact test: 5 to 0 has p = 2 / 32."""
    units = [qa_unit(str(i), "Sequence") for i in range(6)]
    right = qa(units, [VideoAnswer(texts=("A.",))] * 6)
    wrong = qa(units, [*[VideoAnswer(texts=("B.",))] * 5, VideoAnswer(texts=("A.",))])
    beside = against(wrong, "the other", right).against
    assert beside is not None
    assert (beside.only_this, beside.only_other, beside.p) == (0, 5, pytest.approx(1 / 16))
    assert beside.change == pytest.approx(-100 * 5 / 6)
    with pytest.raises(ValueError, match="6 answers of one system and 5"):
        against(wrong, "fewer", qa(units[:5], [FAILED] * 5))


def test_ten_thousand_units_are_scored() -> None:
    """Large samples are nothing special: every unit keeps its value, and trivial answers are found."""
    boxes = [box_unit("person", (0, 0, 10, 10 + i % 7), f"v{i // 9}") for i in range(10_000)]
    assert len(detection(boxes, [found(((0, 0, 10, 10), 1.0))] * 10_000).values) == 10_000
    assert detection_baseline(boxes).counts["no box"] == 0
    acts = [action_unit(ACTIONS[i % 111].id, video=f"v{i // 9}") for i in range(10_000)]
    assert len(action_baseline(acts).values) == 10_000
    timed = [event((i % 20, 20 + i % 11), f"v{i // 9}") for i in range(10_000)]
    assert len(events(timed, [(moment((3, 20)),)] * 10_000).values) == 10_000
