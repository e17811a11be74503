"""STAR's situation graphs: what is annotated in each keyframe of a question, and the filters over it.

One graph holds a question's keyframes in time order: the actions under way, how the person stands to the
objects, and the boxes. Oracle models and the symbolic executor select and read keyframes through the same
few methods, so they cannot differ. Source of the format: STAR (NeurIPS 2021 Datasets and Benchmarks).

This file reads no file (`aotd.benchmarks.star` does), knows neither clip nor grid, and answers no
question.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from sys import intern
from typing import Annotated, Final, NamedTuple

from pydantic import BaseModel, ConfigDict, FiniteFloat, Strict

from aotd.traces.records import Box
from aotd.traces.star_vocabulary import ACTIONS_BY_ID, OBJECTS, RELATIONS

__all__ = ["PERSON", "Keyframe", "ReleaseFrame", "SituationGraph", "parse_situations"]

PERSON: Final = "o000"
"""The object id of the person, who is one side of every related pair."""


class Keyframe(NamedTuple):
    """What is annotated in one frame. Ids are STAR's: `a022`, `o017`, `r009`."""

    frame_id: int
    """Number of the frame in the original video, from 1."""
    actions: tuple[str, ...]
    """Actions under way, in annotation order."""
    relations: tuple[tuple[str, str], ...]
    """Relation and the object that the person stands in it to, in annotation order."""
    boxes: tuple[tuple[str, Box | None], ...]
    """Objects present, in annotation order, each with its box; None where an object is listed without one."""

    @property
    def objects(self) -> tuple[str, ...]:
        """Objects present, boxed or not, in annotation order."""
        return tuple(name for name, _ in self.boxes)

    def seconds(self, fps: float) -> float:
        """Time in the original video, `(frame_id - 1) / fps` seconds."""
        return (self.frame_id - 1) / fps


@dataclass(frozen=True)
class SituationGraph:
    """Keyframes in ascending order of frame id.

    The `with_*` methods give the part of the graph whose keyframes pass; they can be chained in any order.

    Raises
    ------
    ValueError
        If the frame ids do not ascend strictly.
    """

    keyframes: tuple[Keyframe, ...] = ()

    def __post_init__(self) -> None:
        ids = [k.frame_id for k in self.keyframes]
        if any(a >= b for a, b in pairwise(ids)):
            raise ValueError("keyframes must ascend strictly by frame id")

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the keyframes: equal for graphs with equal content."""
        return hashlib.sha256(json.dumps(self.keyframes, separators=(",", ":")).encode()).hexdigest()

    @cached_property
    def actions(self) -> tuple[str, ...]:
        """Distinct actions by first appearance; annotation order settles those that appear together."""
        return _distinct(a for k in self.keyframes for a in k.actions)

    @cached_property
    def objects(self) -> tuple[str, ...]:
        """Distinct objects present (the person among them, boxed or not) by first appearance."""
        return _distinct(o for k in self.keyframes for o in k.objects)

    @cached_property
    def relations(self) -> tuple[str, ...]:
        """Distinct relations by first appearance."""
        return _distinct(r for k in self.keyframes for r, _ in k.relations)

    def with_action(self, action: str) -> SituationGraph:
        """Keep the keyframes in which `action` is under way."""
        return SituationGraph(tuple(k for k in self.keyframes if action in k.actions))

    def with_relation(self, relation: str, obj: str | None = None) -> SituationGraph:
        """Keep the keyframes with `relation`; given `obj`, both must be on one pair."""
        return SituationGraph(
            tuple(
                k for k in self.keyframes if any(r == relation and obj in (None, o) for r, o in k.relations)
            )
        )

    def with_object(self, obj: str) -> SituationGraph:
        """Keep the keyframes in which `obj` is present, boxed or not."""
        return SituationGraph(tuple(k for k in self.keyframes if obj in k.objects))


# JSON has no tuples: a list of the right length is read as one, its members as strictly as the rest.
_Pair = Annotated[tuple[str, str], Strict(False)]
_Corners = Annotated[tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat], Strict(False)]


class ReleaseFrame(BaseModel):
    """One keyframe as the release's JSON writes it; a field may be absent or null."""

    model_config = ConfigDict(strict=True)

    actions: list[str] | None = None
    rel_pairs: list[_Pair] | None = None
    rel_labels: list[str] | None = None
    bbox: list[_Corners | None] | None = None
    """`x1, y1, x2, y2` in pixels, origin top-left."""
    bbox_labels: list[str] | None = None


def parse_situations(frames: Mapping[str, ReleaseFrame]) -> SituationGraph:
    """Make a graph of the release's `situations`.

    Box corners are rounded to the nearest whole pixel, halves to the even one (Python's `round`).

    Parameters
    ----------
    frames
        By frame id, a decimal text such as `000123`, in any order.

    Raises
    ------
    ValueError
        If a frame is inconsistent or names an id outside STAR's vocabulary; the message starts with
        `situations` and the frame's id.
    """
    keyframes: dict[int, Keyframe] = {}
    for key, frame in frames.items():
        where = f"situations {key}"
        if not (key.isascii() and key.isdigit() and int(key) > 0):
            raise ValueError(f"{where}: the key must be a frame number counted from 1, such as 000123")
        number = int(key)
        if number in keyframes:
            raise ValueError(f"{where}: frame {number} is annotated twice")
        keyframes[number] = _keyframe(number, frame, where)
    return SituationGraph(tuple(keyframes[n] for n in sorted(keyframes)))


def _keyframe(number: int, frame: ReleaseFrame, where: str) -> Keyframe:
    """Check one frame of the release and make its keyframe."""
    actions, labels = frame.actions or [], frame.bbox_labels or []
    pairs, relations, boxes = frame.rel_pairs or [], frame.rel_labels or [], frame.bbox or []
    if len(boxes) != len(labels):
        raise ValueError(f"{where}: bbox has {len(boxes)} boxes for {len(labels)} labels")
    if len(pairs) != len(relations):
        raise ValueError(f"{where}: rel_pairs has {len(pairs)} pairs for {len(relations)} labels")
    _check_known(where, "action", actions, ACTIONS_BY_ID)
    _check_known(where, "object", [*labels, *(o for pair in pairs for o in pair)], OBJECTS)
    _check_known(where, "relation", relations, RELATIONS)
    return Keyframe(
        number,
        # The same few ids stand in every frame of every graph: one text each is enough.
        tuple(intern(a) for a in actions),
        tuple((intern(r), intern(_other(pair, where))) for r, pair in zip(relations, pairs, strict=True)),
        tuple((intern(label), box and _rounded(box)) for label, box in zip(labels, boxes, strict=True)),
    )


def _check_known(where: str, kind: str, ids: Iterable[str], known: Mapping[str, object]) -> None:
    """Refuse an id outside the vocabulary."""
    for name in ids:
        if name not in known:
            span = f"{min(known)} to {max(known)}"
            raise ValueError(f"{where}: unknown {kind} {name!r}, STAR's are {span}")


def _other(pair: tuple[str, str], where: str) -> str:
    """Give the side of a pair that is not the person, whichever way round it is written."""
    first, second = pair
    if (first == PERSON) == (second == PERSON):
        raise ValueError(f"{where}: pair {first}, {second} must hold the person ({PERSON}) exactly once")
    return second if first == PERSON else first


def _rounded(box: tuple[float, float, float, float]) -> Box:
    """Round corners to whole pixels."""
    x1, y1, x2, y2 = box
    return round(x1), round(y1), round(x2), round(y2)


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    """Drop repeats; the first of each stays in its place."""
    return tuple(dict.fromkeys(names))
