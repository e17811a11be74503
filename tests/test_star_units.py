"""What each tool is asked: hand-worked units, and that no unit shows what comes after a question's end.

Hand-made questions speak of 1.0 to 4.2 s of a video at 10 frames per second: 32 frames, so that key frame
11 + p lies on grid position p.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from aotd.agent.pipeline import Item
from aotd.agent.prepare import Fault
from aotd.benchmarks.draw import draw
from aotd.benchmarks.placing import place
from aotd.benchmarks.star import load_star
from aotd.benchmarks.star_bench import frames_of, gather
from aotd.benchmarks.star_units import QuestionUnits, Switches, picture_units_of, units_of
from aotd.tools.library import Library
from aotd.tools.sampling import Timeline
from aotd.tools.video import probe
from aotd.traces.records import Box, Question
from aotd.traces.situations import Keyframe, SituationGraph
from aotd.traces.star_vocabulary import action_ids, object_id
from aotd.world.build import write_annotation, write_world

PERSON, CUP, BOOK = (object_id(name) or "" for name in ("person", "cup/glass/bottle", "book"))
TAKE_CUP, PUT_BOOK, TAKE_BOOK = (
    action_ids(*pair)[0] for pair in (("take", "cup/glass/bottle"), ("put", "book"), ("take", "book"))
)
BODY: Box = (0, 0, 50, 90)
MUG: Box = (5, 5, 15, 25)
GRAPH = SituationGraph(
    (
        Keyframe(9, (TAKE_BOOK,), (), ()),  # before the clip
        Keyframe(11, (TAKE_BOOK,), (), ((PERSON, BODY), (BOOK, (1, 1, 3, 3)))),
        Keyframe(15, (PUT_BOOK,), (), ((PERSON, BODY), (BOOK, None))),
        Keyframe(21, (PUT_BOOK, TAKE_CUP), (), ((PERSON, BODY), (CUP, MUG))),
        Keyframe(31, (TAKE_CUP,), (), ((CUP, MUG),)),
        Keyframe(60, (PUT_BOOK,), (), ((PERSON, BODY), (CUP, MUG))),  # after the clip
    )
)
ASKED = "Which object did the person take after they put down the book?"
EVERYTHING = Switches(objects="all", events="all")


def item(text: str, answer: str = "The cup/glass/bottle.", name: str = "q") -> Item:
    """A question about the hand-made graph."""
    options = ("The book.", "The cup/glass/bottle.", "The dish.", "Took.")
    question = Question(
        id=name, dataset="star", video_id="v", text=text, options=options, answer=answer,
        type="Sequence", span=(1.0, 4.2), fps=10.0,
    )  # fmt: skip
    return Item(question, GRAPH)


def units(text: str = ASKED, switches: Switches | None = None) -> QuestionUnits:
    """The units of a hand-made question."""
    made = units_of(item(text), None, switches or Switches())
    assert isinstance(made, QuestionUnits)
    return made


def test_detection_asks_for_person_and_what_question_and_answer_name() -> None:
    """A unit is a key frame of the clip and an object with a box; null boxes are none."""
    made = units().detection
    assert [(unit.id, unit.truth, unit.request.frame.index) for unit in made] == [
        ("v/11/person", BODY, 10),
        ("v/11/book", (1, 1, 3, 3), 10),
        ("v/15/person", BODY, 14),
        ("v/21/person", BODY, 20),
        ("v/21/cup/glass/bottle", MUG, 20),
        ("v/31/cup/glass/bottle", MUG, 30),
    ]
    named = units("What did the person do with the book?").detection
    assert {unit.name for unit in named} == {"person", "book", "cup/glass/bottle"}
    other = units_of(item("Will it rain?", "Took."), None, Switches())
    assert isinstance(other, QuestionUnits)
    assert {unit.name for unit in other.detection} == {"person"}
    assert len(units("Will it rain?", Switches(objects="all")).detection) == 6


def test_slash_names_may_be_asked_in_parts() -> None:
    """`names=parts` asks for each part of a name in one request; the truth stays the whole name's."""
    unit = units(switches=Switches(names="parts")).detection[-1]
    assert (unit.name, unit.request.names) == ("cup/glass/bottle", ("cup", "glass", "bottle"))


def test_grid_frames_stand_for_key_frames() -> None:
    """`frames=grid` asks about the sampled frame at the key frame's position."""
    question = item(ASKED).question.model_copy(update={"span": (1.0, 7.4)})  # 64 frames: every other one
    made = units_of(Item(question, GRAPH), None, Switches(frames="grid"))
    assert isinstance(made, QuestionUnits)
    assert [unit.request.frame.index for unit in made.detection[:4]] == [10, 10, 14, 20]
    exact = units_of(Item(question, GRAPH), None, Switches())
    assert isinstance(exact, QuestionUnits)
    assert exact.detection[-1].id == "v/60/cup/glass/bottle"
    assert (exact.detection[-1].request.frame.index, made.detection[-1].request.frame.index) == (59, 58)


def test_the_event_is_the_questions_condition() -> None:
    """Grounding asks for the condition's action; its window runs over its key frames in the clip alone."""
    (event,) = units().events
    assert event.request.text == "person is putting down the book"
    assert (event.action, event.positions, event.window) == (PUT_BOOK, (4, 10), (4, 11))
    assert event.seconds == pytest.approx((0.4, 1.1))
    assert event.length == pytest.approx(3.2)
    assert units("What did the person do with the book?").events == ()
    (short,) = units(switches=Switches(wording="phrase")).events
    assert short.request.text == "put down the book"


def test_all_events_of_a_clip_may_be_asked() -> None:
    """`events=all` asks for each action of the clip in order of first appearance."""
    assert [event.action for event in units(switches=EVERYTHING).events] == [TAKE_BOOK, PUT_BOOK, TAKE_CUP]


def test_an_action_unit_is_the_events_part() -> None:
    """The video model sees the event's window; lenient truth is what half of its key frames hold."""
    (unit,) = units().actions
    assert unit.request.clip.indices == tuple(range(14, 21))
    assert (unit.action, unit.around) == (PUT_BOOK, {PUT_BOOK, TAKE_CUP})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (ASKED, range(11, 32)),
        ("What happened before the person took the cup/glass/bottle?", range(10)),
        ("What happened before the person took the book?", range(1)),  # it begins the clip: up to its end
        ("What will the person do next?", range(32)),
        ("Which object did the person take after they opened the door?", range(32)),  # not annotated
    ],
)
def test_one_hop_questions_see_the_part_that_they_speak_of(text: str, expected: range) -> None:
    """After or before the condition's event; cut at its other edge where that leaves nothing."""
    (unit,) = units(text).qa
    assert unit.request.clip.indices == tuple(10 + position for position in expected)
    (whole,) = units(text, Switches(part="clip")).qa
    assert whole.request.clip.indices == tuple(range(10, 42))


def test_units_that_questions_share_are_kept_once() -> None:
    """Two questions about one clip name the same key frames, objects and events."""
    made = [units_of(item(ASKED, name=name), None, Switches()) for name in ("a", "b")]
    found = gather([m for m in made if isinstance(m, QuestionUnits)], ["detection", "grounding", "qa"])
    assert (len(found.detection), len(found.events), len(found.actions), len(found.qa)) == (6, 1, 0, 2)
    assert frames_of(found) == {"id:v": set(range(10, 42))}


def test_a_draw_is_even_and_repeatable() -> None:
    """As many of each kind as there are, in the given order; the seed decides which."""
    items = [f"{kind}{number}" for kind, count in (("a", 50), ("b", 3), ("c", 50)) for number in range(count)]
    drawn = draw(items, 13, 0, lambda name: name[0])
    assert [sum(name[0] == kind for name in drawn) for kind in "abc"] == [5, 3, 5]
    assert drawn == sorted(drawn, key=items.index) == draw(items, 13, 0, lambda name: name[0])
    assert drawn != draw(items, 13, 1, lambda name: name[0])
    assert draw(items, None, 0, lambda name: name[0]) == items == draw(items, 999, 0, lambda name: name[0])


def check_no_leak(items: list[Item], library: Library | None, switches: Switches) -> tuple[int, int]:
    """See that no unit shows or holds true what lies after the end; counts units and later key frames."""
    seen = later = 0
    for one in items:
        made = units_of(one, library, switches)
        if isinstance(made, Fault):
            continue
        fps, span = one.question.fps, one.question.span
        assert fps is not None
        assert span is not None
        assert one.graph is not None
        timeline = made.scene.timeline
        end = round(span[1] * fps) + 1
        shown = set(range(timeline.first, timeline.first + timeline.frames))
        units = gather([made], ["detection", "grounding", "action", "qa"])
        for indices in frames_of(units).values():
            assert indices <= shown
            assert max(indices) - timeline.first <= round((span[1] - span[0]) * fps)
        if library is None:
            assert timeline.first + timeline.frames <= end
        true = {int(unit.id.split("/")[1].split("@")[0]) for unit in units.detection}
        within = {k.frame_id for k in one.graph.keyframes if k.frame_id <= end}
        assert true <= within
        annotated = {a for k in one.graph.keyframes if k.frame_id in within for a in k.actions}
        assert {event.action for event in units.events} <= annotated
        assert all(unit.around <= annotated for unit in units.actions)
        seen += len(units.detection) + len(units.events) + len(units.actions) + len(units.qa)
        later += sum(k.frame_id > end for k in one.graph.keyframes)
    return seen, later


def all_switches() -> Iterator[Switches]:
    """Every choice that decides what a model is shown or what is true."""
    for objects in ("program", "all"):
        for frames in ("exact", "grid"):
            for part in ("part", "clip"):
                events = "condition" if objects == "program" else "all"
                yield Switches.model_validate(
                    {"objects": objects, "frames": frames, "part": part, "events": events}
                )


def test_no_unit_of_the_world_shows_what_comes_after_the_end(tmp_path: Path) -> None:
    """Though the annotation goes on after the end of some questions, no request and no truth does."""
    items = [Item(one.question, one.graph) for one in load_star(write_annotation(tmp_path, clips=12))]
    for switches in all_switches():
        seen, later = check_no_leak(items, None, switches)
        assert seen > 500
        assert later > 50


@pytest.mark.parametrize("name", ["star_full_graphs.json", "star_thinned_graphs.json"])
def test_no_unit_of_star_shows_what_comes_after_the_end(data: Path, name: str) -> None:
    """The same on published annotation, by its times and on its real clips."""
    folder = data / "star"
    items = [Item(one.question, one.graph) for one in load_star(folder / name)]
    library = Library(folder / "clips", folder)
    for switches in all_switches():
        seen, later = check_no_leak(items, None, switches)
        assert seen > 100
        assert later > 0
    seen, _ = check_no_leak(items, library, EVERYTHING)
    assert seen > 100


def test_the_whole_video_may_be_shown_to_the_localiser(tmp_path: Path) -> None:
    """`input=full_video` samples the whole file; true stays the event inside the question's clip."""
    annotations = write_world(tmp_path, clips=1)
    videos = tmp_path / "videos"
    library = Library(videos, tmp_path)
    total = probe(next(videos.iterdir())).frames
    seen = 0
    for one in load_star(annotations):
        asked = Item(one.question, one.graph)
        clip = units_of(asked, library, Switches(events="all"))
        full = units_of(asked, library, Switches(events="all", input="full_video"))
        assert isinstance(clip, QuestionUnits)
        assert isinstance(full, QuestionUnits)
        assert [event.action for event in full.events] == [event.action for event in clip.events]
        assert [unit[:5] for unit in full.actions] == [unit[:5] for unit in clip.actions]
        assert one.question.span is not None
        assert one.graph is not None
        for event in full.events:
            assert event.request.frames.indices == tuple(i * total // 32 for i in range(32))
            frames = [
                placed.frame
                for placed in place(
                    one.graph, Timeline(video="v", first=0, frames=total), 0.0, 10.0, (0, 1e3)
                )
                if event.action in placed.keyframe.actions
                and one.question.span[0] <= placed.frame / 10 <= one.question.span[1]
            ]
            assert event.seconds == pytest.approx((min(frames) / 10, (max(frames) + 1) / 10))
            seen += 1
    assert seen > 5


def test_without_the_whole_video_there_is_nothing_to_show(tmp_path: Path) -> None:
    """A clip alone is not taken for the whole video."""
    annotations = write_world(tmp_path, clips=1)
    (video,) = (tmp_path / "videos").iterdir()
    (one, *_) = load_star(annotations)
    video.rename(video.with_stem(one.question.id))
    library = Library(tmp_path / "videos", tmp_path)
    asked = Item(one.question, one.graph)
    assert isinstance(units_of(asked, library, Switches()), QuestionUnits)
    made = units_of(asked, library, Switches(input="full_video"))
    assert isinstance(made, Fault)
    assert made.outcome == "missing-video"


def test_images_of_key_frames_are_shown_as_they_are(data: Path) -> None:
    """A detection unit on an image names the image itself; key frames without one are counted."""
    folder = data / "star"
    library = Library(folder / "keyframes")
    items = [Item(one.question, one.graph) for one in load_star(folder / "star_thinned_graphs.json")]
    made = {one.question.id: picture_units_of(one, library, Switches()) for one in items}
    shown = {name: found for name, found in made.items() if isinstance(found, QuestionUnits)}
    assert len(shown) == 5
    for name, found in shown.items():
        images = sorted((folder / "keyframes" / name.removeprefix("pre_")).glob("*.png"))
        asked = {unit.id.split("/")[1] for unit in found.detection}
        assert asked <= {str(int(image.stem)) for image in images}
        for unit in found.detection:
            (image,) = (i for i in images if int(i.stem) == int(unit.id.split("/")[1]))
            seen = probe(image)
            assert (seen.width, seen.height, seen.frames) == (480, seen.height, 1)
            assert unit.request.frame.index == 0
            assert unit.truth[2] <= seen.width + 1
            assert unit.truth[3] <= seen.height + 1
            assert library.frames(unit.request.frame.video, [0]).shape == (1, seen.height, 480, 3)
