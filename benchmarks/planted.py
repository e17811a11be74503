"""Faults planted in chains of thought and in traces, to see how many of them the checks refuse.

A chain is falsified in one detail and held against its own trace; or it stays as it is and one detail of the
trace is falsified under it. Asks no model.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from aotd.agent.complete import check_complete
from aotd.agent.verify import check_faithful
from aotd.traces.records import Call, Example, Question, Rationale, Sighting, Trace
from aotd.traces.star_vocabulary import OBJECT_NAMES

__all__ = [
    "FAULTS",
    "Fault",
    "Told",
    "count_refused",
    "moved_edges",
    "shifted_frames",
    "swapped_boxes",
    "with_text",
]

BOX: Final = re.compile(r"\[\d+, \d+, \d+, \d+\]")
WINDOW: Final = re.compile(r"(?<=frames )(\d+) to (\d+)")
FRAME: Final = re.compile(r"(?<=in frame )\d+|(?<=frame )\d+(?=:)")
_SWAPS: Final = 8
"""Pairs of boxes that are tried in one chain."""
_MOVES: Final = (-2, -1, 1, 2)
_SHIFTS: Final = (*_MOVES, 9)


class Told(NamedTuple):
    """A question, the trace of its program, and a chain of thought of that trace."""

    question: Question
    trace: Trace
    rationale: Rationale


Fault = Callable[[Told, random.Random], Iterator[Told]]


def with_text(rationale: Rationale, index: int, text: str) -> Rationale:
    """Change the text of one sentence."""
    sentences = list(rationale.sentences)
    sentences[index] = sentences[index].model_copy(update={"text": text})
    return rationale.model_copy(update={"sentences": tuple(sentences)})


def swapped_boxes(told: Told, rng: random.Random) -> Iterator[Told]:
    """Swap two different boxes of the chain, in one sentence or across two."""
    texts = [sentence.text for sentence in told.rationale.sentences]
    places = [(i, m) for i, text in enumerate(texts) for m in BOX.finditer(text)]
    for (i, a), (j, b) in [rng.sample(places, 2) for _ in range(_SWAPS)] if len(places) > 1 else []:
        if a[0] != b[0] and _frame_after(texts[i], a) != _frame_after(texts[j], b):
            swapped = told.rationale
            # The later place first, so that the earlier one stays where it was found.
            for place, match, new in sorted(((i, a, b[0]), (j, b, a[0])), key=_order, reverse=True):
                text = swapped.sentences[place].text
                swapped = with_text(swapped, place, _replaced(text, match, new))
            yield told._replace(rationale=swapped)


def shifted_frames(told: Told, rng: random.Random) -> Iterator[Told]:
    """Tell a box or a caption for another frame; what stays true, since nothing moved, is no fault."""
    seen = {(s.frame, str(list(_shown(s.box)))) for call in told.trace.calls for s in call.sightings}
    for i, sentence in enumerate(told.rationale.sentences):
        for match in FRAME.finditer(sentence.text):
            frame = int(match[0]) + rng.choice(_SHIFTS)
            boxes = BOX.findall(sentence.text[: match.start()])
            if not boxes or (frame, boxes[-1]) not in seen:
                text = _replaced(sentence.text, match, str(frame))
                yield told._replace(rationale=with_text(told.rationale, i, text))


def moved_edges(told: Told, rng: random.Random) -> Iterator[Told]:
    """Move one edge of a window that the chain tells."""
    for i, sentence in enumerate(told.rationale.sentences):
        for match in WINDOW.finditer(sentence.text):
            edges = [int(match[1]), int(match[2])]
            edges[rng.randrange(2)] += rng.choice(_MOVES)
            text = _replaced(sentence.text, match, f"{edges[0]} to {edges[1]}")
            yield told._replace(rationale=with_text(told.rationale, i, text))


def boxes_swapped_in_trace(told: Told, rng: random.Random) -> Iterator[Told]:
    """Swap the boxes of two sightings of the trace that its chain tells."""
    places = _told_sightings(told)
    for (c, s), (d, t) in [rng.sample(places, 2) for _ in range(_SWAPS)] if len(places) > 1 else []:
        one, other = told.trace.calls[c].sightings[s], told.trace.calls[d].sightings[t]
        if _shown(one.box) != _shown(other.box) and (one.frame, one.name) != (other.frame, other.name):
            first = _with_sighting(told.trace, c, s, one.model_copy(update={"box": other.box}))
            yield told._replace(trace=_with_sighting(first, d, t, other.model_copy(update={"box": one.box})))


def frames_shifted_in_trace(told: Told, rng: random.Random) -> Iterator[Told]:
    """Move one sighting of the trace that its chain tells to another frame."""
    for c, s in _told_sightings(told):
        sightings = told.trace.calls[c].sightings
        moved = sightings[s].model_copy(update={"frame": sightings[s].frame + rng.choice(_SHIFTS)})
        if not any((o.frame, o.name, o.box) == (moved.frame, moved.name, moved.box) for o in sightings):
            yield told._replace(trace=_with_sighting(told.trace, c, s, moved))


FAULTS: Final[dict[str, Fault]] = {
    "boxes swapped in the chain": swapped_boxes,
    "frames shifted in the chain": shifted_frames,
    "edges of windows moved in the chain": moved_edges,
    "boxes swapped in the trace": boxes_swapped_in_trace,
    "frames shifted in the trace": frames_shifted_in_trace,
}


def count_refused(examples: Iterable[Example], seed: int) -> dict[str, tuple[int, int]]:
    """Plant faults in the chains that passed their checks.

    Returns
    -------
    dict of str to (int, int)
        For each kind of fault how many were planted, and how many of them `faithful` or `complete` refuse.
    """
    counts = dict.fromkeys(FAULTS, (0, 0))
    for example in examples:
        if not example.kept or example.rationale is None or example.trace is None:
            continue
        told = Told(example.question, example.trace, example.rationale)
        for name, fault in FAULTS.items():
            # Each example has choices of its own, whatever comes before it.
            rng = random.Random(f"{seed}/{name}/{example.question.id}")  # noqa: S311 (no secret)
            refused = [_refused(planted) for planted in fault(told, rng)]
            planted_so_far, refused_so_far = counts[name]
            counts[name] = (planted_so_far + len(refused), refused_so_far + sum(refused))
    return counts


def _refused(told: Told) -> bool:
    faithful = check_faithful(told.question, told.trace, told.rationale, OBJECT_NAMES)
    return not (faithful.passed and check_complete(told.question, told.trace, told.rationale).passed)


def _told_sightings(told: Told) -> list[tuple[int, int]]:
    """List the sightings whose boxes the chain tells, by call and place; of others it claims nothing."""
    return [
        (c, s)
        for c, call in enumerate(told.trace.calls)
        for s, sighting in enumerate(call.sightings)
        if str(list(_shown(sighting.box))) in told.rationale.text
    ]


def _with_sighting(trace: Trace, call: int, place: int, sighting: Sighting) -> Trace:
    calls: list[Call] = list(trace.calls)
    sightings = list(calls[call].sightings)
    sightings[place] = sighting
    calls[call] = calls[call].model_copy(update={"sightings": tuple(sightings)})
    return trace.model_copy(update={"calls": tuple(calls)})


def _frame_after(text: str, box: re.Match[str]) -> str:
    """Give the frame that is told after a box."""
    return text[box.end() :].partition("in frame ")[2].partition(",")[0]


def _order(place: tuple[int, re.Match[str], str]) -> tuple[int, int]:
    return place[0], place[1].start()


def _replaced(text: str, match: re.Match[str], new: str) -> str:
    return text[: match.start()] + new + text[match.end() :]


def _shown(box: tuple[float, float, float, float]) -> tuple[int, ...]:
    """Give a box as chains tell it, in whole pixels."""
    return tuple(round(edge) for edge in box)
