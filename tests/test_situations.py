"""Situation graphs: parsing of the release's frames, and the algebra of the filters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aotd.traces.situations import Keyframe, ReleaseFrame, SituationGraph, parse_situations

ACTIONS = ("a020", "a021", "a022")
OBJECTS = ("o000", "o017", "o024")
RELATIONS = ("r002", "r009")


def _frame(**fields: Any) -> ReleaseFrame:
    """A frame of the release with the given fields."""
    return ReleaseFrame.model_validate(fields)


def _keyframes(draw: st.DrawFn) -> SituationGraph:
    """Draw a small graph over few ids, so that repeats and ties are common."""
    ids = sorted(draw(st.sets(st.integers(1, 40), max_size=6)))
    some = st.lists(st.sampled_from(ACTIONS), max_size=3, unique=True)
    pairs = st.lists(st.tuples(st.sampled_from(RELATIONS), st.sampled_from(OBJECTS[1:])), max_size=3)
    box = st.one_of(st.none(), st.just((0, 0, 5, 5)))
    boxes = st.lists(st.tuples(st.sampled_from(OBJECTS), box), max_size=3, unique_by=lambda b: b[0])
    return SituationGraph(
        tuple(Keyframe(i, tuple(draw(some)), tuple(draw(pairs)), tuple(draw(boxes))) for i in ids)
    )


graphs = st.composite(_keyframes)()
FILTERS = (
    lambda g: g.with_action("a021"),
    lambda g: g.with_relation("r009"),
    lambda g: g.with_relation("r009", "o017"),
    lambda g: g.with_object("o024"),
)


@settings(deadline=None, max_examples=60)
@given(graphs)
def test_first_appearance_is_what_a_plain_walk_over_the_frames_finds(graph: SituationGraph) -> None:
    """Names come in the order in which a walk over frames, and over each frame's list, first meets them."""

    def walk(lists: list[tuple[str, ...]]) -> tuple[str, ...]:
        met: list[str] = []
        for names in lists:
            for name in names:
                if name not in met:
                    met.append(name)
        return tuple(met)

    assert graph.actions == walk([k.actions for k in graph.keyframes])
    assert graph.objects == walk([tuple(o for o, _ in k.boxes) for k in graph.keyframes])
    assert graph.relations == walk([tuple(r for r, _ in k.relations) for k in graph.keyframes])


@settings(deadline=None, max_examples=60)
@given(graphs, st.sampled_from(FILTERS), st.sampled_from(FILTERS))
def test_filters_are_idempotent_and_commute(graph: SituationGraph, f: Any, g: Any) -> None:
    """Filtering twice changes nothing more, and the order of two filters does not matter."""
    assert f(f(graph)) == f(graph)
    assert f(g(graph)) == g(f(graph))
    assert set(f(graph).keyframes) <= set(graph.keyframes)


def test_relation_and_object_must_be_on_one_pair() -> None:
    """Holding the book beside a dish in front is not holding the dish."""
    graph = SituationGraph(
        (
            Keyframe(3, (), (("r009", "o017"), ("r002", "o024")), ()),
            Keyframe(7, (), (("r009", "o024"),), ()),
        )
    )
    assert [k.frame_id for k in graph.with_relation("r009").keyframes] == [3, 7]
    assert [k.frame_id for k in graph.with_relation("r009", "o024").keyframes] == [7]


def test_a_frame_of_the_release_is_read_with_nulls_and_pairs_either_way_round() -> None:
    """Frames are sorted by number, boxes rounded, null boxes keep their label, absent fields are empty."""
    graph = parse_situations(
        {
            "000120": _frame(actions=None),
            "000031": _frame(
                actions=["a021", "a020"],
                rel_pairs=[["o000", "o017"], ["o024", "o000"]],
                rel_labels=["r009", "r002"],
                bbox=[[161.34, 127.62, 177.5, 136], None],
                bbox_labels=["o017", "o024"],
            ),
        }
    )
    first, second = graph.keyframes
    assert first == Keyframe(
        31,
        ("a021", "a020"),
        (("r009", "o017"), ("r002", "o024")),
        (("o017", (161, 128, 178, 136)), ("o024", None)),
    )
    assert second == Keyframe(120, (), (), ())
    assert graph.objects == ("o017", "o024")
    assert len(graph.with_object("o024").keyframes) == 1


def test_the_first_frame_of_a_video_is_at_time_zero() -> None:
    """Frame numbers count from 1: frame 1 is at 0 s, and frame 31 at 1 s of a 30 fps video."""
    assert Keyframe(1, (), (), ()).seconds(30.0) == 0.0
    assert Keyframe(31, (), (), ()).seconds(30.0) == 1.0


def test_the_digest_tells_content_and_not_the_order_of_keys() -> None:
    """Equal content has one digest whatever the order of the JSON's keys; any change gives another."""
    a, b = _frame(actions=["a020"]), _frame(actions=["a021"])
    digest = parse_situations({"000001": a, "000002": b}).digest
    assert len(digest) == 64
    assert parse_situations({"000002": b, "000001": a}).digest == digest
    assert parse_situations({"000001": b, "000002": a}).digest != digest
    assert parse_situations({"000001": a, "000003": b}).digest != digest


@pytest.mark.parametrize(
    ("key", "fields", "message"),
    [
        (
            "000123",
            {"bbox": [None] * 5, "bbox_labels": ["o001"] * 6},
            "situations 000123: bbox has 5 boxes for 6 labels",
        ),
        (
            "000123",
            {"rel_pairs": [["o000", "o017"]], "rel_labels": []},
            "situations 000123: rel_pairs has 1 pairs for 0 labels",
        ),
        (
            "000123",
            {"actions": ["a111"]},
            "situations 000123: unknown action 'a111', STAR's are a000 to a110",
        ),
        (
            "000123",
            {"bbox": [None], "bbox_labels": ["o037"]},
            "situations 000123: unknown object 'o037', STAR's are o000 to o036",
        ),
        (
            "000123",
            {"rel_pairs": [["o000", "o017"]], "rel_labels": ["r024"]},
            "situations 000123: unknown relation 'r024', STAR's are r000 to r023",
        ),
        (
            "000123",
            {"rel_pairs": [["o001", "o017"]], "rel_labels": ["r002"]},
            "situations 000123: pair o001, o017 must hold the person (o000) exactly once",
        ),
        (
            "000000",
            {},
            "situations 000000: the key must be a frame number counted from 1, such as 000123",
        ),
        ("12b", {}, "situations 12b: the key must be a frame number counted from 1, such as 000123"),
    ],
)
def test_a_faulty_frame_is_named(key: str, fields: dict[str, Any], message: str) -> None:
    """Each inconsistency of a frame is refused with its frame, the fault and what was expected."""
    with pytest.raises(ValueError, match="situations") as caught:
        parse_situations({key: _frame(**fields)})
    assert str(caught.value) == message


def test_a_frame_annotated_under_two_spellings_of_its_number_is_refused() -> None:
    """`000007` and `7` are one frame, and a frame has one annotation."""
    with pytest.raises(ValueError, match=r"^situations 7: frame 7 is annotated twice$"):
        parse_situations({"000007": _frame(), "7": _frame()})


def test_keyframes_out_of_order_are_refused() -> None:
    """A graph made by hand must already be in time order."""
    with pytest.raises(ValueError, match="ascend"):
        SituationGraph((Keyframe(2, (), (), ()), Keyframe(1, (), (), ())))


def test_real_graphs_hold_every_frame_box_and_pair_of_the_release(data: Path) -> None:
    """Nothing of the published annotation is lost: counts agree with the JSON, null boxes included."""
    for record in json.loads((data / "star" / "star_full_graphs.json").read_text()):
        frames = {k: ReleaseFrame.model_validate(f) for k, f in record["situations"].items()}
        graph = parse_situations(frames)
        raw = record["situations"].values()
        assert len(graph.keyframes) == len(raw)
        assert sum(len(k.relations) for k in graph.keyframes) == sum(len(f["rel_pairs"]) for f in raw)
        nulls = sum(box is None for k in graph.keyframes for _, box in k.boxes)
        assert nulls == sum(f["bbox"].count(None) for f in raw)
        assert set(graph.actions) == {a for f in raw for a in f["actions"]}
