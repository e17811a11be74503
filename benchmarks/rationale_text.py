"""Read windows and boxes out of a rationale's prose: what it says of when and where.

A window is "frames 3 to 9", "from frame 3 to frame 9", "between frames 3 and 9", half-open, with the event
that its sentence speaks of. A box is four numbers in brackets with its frame soon after, and the object named
last before it. A single "in frame 5" is no window. This file knows neither question nor truth.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

from aotd.benchmarks.action_match import read_action
from aotd.traces.records import GRID
from aotd.traces.star_phrases import parse_phrase
from aotd.traces.star_vocabulary import OBJECT_NAMES

__all__ = ["Boxed", "Origin", "Said", "Size", "Windowed", "read_rationale", "unflip"]

Origin = Literal["top", "bottom"]
"""Where y is 0: STAR's boxes count from the top; traces of AoTD's released code count from the bottom."""

Size = tuple[int, int]
"""Width and height of the video, pixels."""

_FRAME: Final = r"\bframes?\s*(?:no\.?\s*|#\s*)?"
_COUNT: Final = r"(\d{1,9})\b"
_WINDOW: Final = re.compile(
    rf"\bbetween\s+{_FRAME}{_COUNT}\s+and\s+(?:{_FRAME})?{_COUNT}"
    rf"|{_FRAME}{_COUNT}\s*(?:\b(?:to|until|till|through)\b|[-\u2013\u2014])\s*(?:{_FRAME})?{_COUNT}"
    rf"|\bframes\s+{_COUNT}\s+and\s+(?:{_FRAME})?{_COUNT}",
    re.IGNORECASE,
)
_NUMBER: Final = r"\s*(-?\d{1,9}(?:\.\d{1,9})?)\s*"
_BOX: Final = re.compile(rf"[\[(]{_NUMBER},{_NUMBER},{_NUMBER},{_NUMBER}[\])]")
_AT: Final = re.compile(rf"\b(?:in|at)\s+{_FRAME}{_COUNT}", re.IGNORECASE)
_REACH: Final = 40
"""Characters after a box in which its frame must be told."""
_SENTENCE: Final = re.compile(r"(?<=[.!?;])\s+|\n+")
_WORD: Final = re.compile(r"[^\W\d_][\w/'-]*")
_IDIOM: Final = re.compile(r"\bbounding[\s-]+box(?:es)?\b|\b(?:time|temporal)[\s-]+windows?\b", re.IGNORECASE)
"""Words that are objects of STAR elsewhere and none here."""
_PEOPLE: Final = frozenset({"person", "people", "man", "woman", "boy", "girl", "child", "someone"})
_LONGEST_EVENT: Final = 8
"""Words of an event: "putting the cup/glass/bottle somewhere"."""
_OUTSIDE: Final = 0.1
"""Share of the frame's side by which a box may stand out."""


class Windowed(NamedTuple):
    """A window, and the actions that its sentence speaks of next to it."""

    window: tuple[int, int]
    """Half-open on the grid of 32; start = end is an empty one."""
    actions: tuple[str, ...]
    """Ids; empty if the sentence names none."""


class Boxed(NamedTuple):
    """A box of an object in one frame of the grid."""

    frame: int
    name: str
    box: tuple[float, float, float, float]
    """x1, y1, x2, y2, pixels, as told: the origin is the writer's."""


class Said(NamedTuple):
    """What a rationale says."""

    windows: tuple[Windowed, ...]
    boxes: tuple[Boxed, ...]
    invalid: dict[str, int]
    """What could not be used, by why."""


def read_rationale(text: str, size: Size | None = None) -> Said:
    """Read a rationale.

    Parameters
    ----------
    text
        Any English prose.
    size
        Of the video; a box that stands out of it by more than a tenth is not valid. Without it a box may be
        of any size.
    """
    invalid: dict[str, int] = {}
    windows = []
    for sentence in _SENTENCE.split(text):
        for found in _WINDOW.finditer(sentence):
            start, end = (int(number) for number in found.groups() if number is not None)
            if start > end:
                _count(invalid, "windows that end before they start")
                continue
            window = (min(start, GRID), min(end, GRID))
            windows.append(Windowed(window, _event_near(sentence, found.start(), found.end())))
    return Said(tuple(windows), tuple(_boxes(text, size, invalid)), invalid)


def unflip(box: tuple[float, float, float, float], height: int) -> tuple[float, float, float, float]:
    """Turn a box whose y counts from the bottom into one whose y counts from the top."""
    x1, y1, x2, y2 = box
    return x1, height - y2, x2, height - y1


def _count(counts: dict[str, int], what: str) -> None:
    counts[what] = counts.get(what, 0) + 1


class _Event(NamedTuple):
    start: int
    end: int
    actions: tuple[str, ...]


def _event_near(sentence: str, start: int, end: int) -> tuple[str, ...]:
    """Give the event told nearest before a window, else nearest after it."""
    events = list(_events(sentence))
    before = [event for event in events if event.end <= start]
    after = [event for event in events if event.start >= end]
    if before:
        return max(before, key=lambda event: event.end).actions
    return min(after, key=lambda event: event.start).actions if after else ()


def _events(sentence: str) -> Iterator[_Event]:
    words = list(_WORD.finditer(sentence))
    last = -1
    for place, word in enumerate(words):
        if place <= last:
            continue
        for length in range(2, _LONGEST_EVENT + 1):
            part = words[place : place + length]
            if len(part) < length or re.search(r"[\d\[\](),.]", sentence[word.start() : part[-1].end()]):
                break  # not one run of words
            actions = read_action(sentence[word.start() : part[-1].end()])
            if actions:
                last = place + length - 1
                yield _Event(word.start(), part[-1].end(), actions)
                break


def _boxes(text: str, size: Size | None, invalid: dict[str, int]) -> Iterator[Boxed]:
    plain = _IDIOM.sub(lambda found: " " * len(found[0]), text)
    name, end = "", 0
    for found in _BOX.finditer(plain):
        name = _last_object(plain[end : found.start()]) or name
        end = found.end()
        x1, y1, x2, y2 = (float(number) for number in found.groups())
        frame = _frame_after(plain, end)
        if frame is None:
            _count(invalid, "boxes without a frame")
        elif not name:
            _count(invalid, "boxes without an object of STAR")
        elif x2 <= x1 or y2 <= y1:
            _count(invalid, "boxes without area")
        elif size is not None and _outside((x1, y1, x2, y2), size):
            _count(invalid, "boxes outside the frame")
        else:
            yield Boxed(frame, name, (x1, y1, x2, y2))


def _frame_after(text: str, end: int) -> int | None:
    found = _AT.search(text, end)
    return int(found[1]) if found and found.start() - end <= _REACH else None


def _last_object(text: str) -> str:
    """Give the object of STAR that is named last, whole or by a part of its name; or nothing."""
    for word in reversed([found[0].lower().strip("'-") for found in _WORD.finditer(text)]):
        if word in _PEOPLE:
            return "person"
        phrase = parse_phrase(word)
        if phrase.obj in OBJECT_NAMES and phrase.verb is None and phrase.relation is None:
            return phrase.obj or ""
    return ""


def _outside(box: tuple[float, float, float, float], size: Size) -> bool:
    across, down = _OUTSIDE * size[0], _OUTSIDE * size[1]
    x1, y1, x2, y2 = box
    return x1 < -across or y1 < -down or x2 > size[0] + across or y2 > size[1] + down
