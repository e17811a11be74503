"""Which frames a page shows for a call, and the boxes on them.

Pixels come through a function that is passed in; without it, or where it has none, boxes lie on an empty
canvas of the video's size, or of their own extent when that is unknown. A page shows a frame of the grid
many times but holds its picture once. This file decodes, scales and writes no picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

from aotd.traces.handles import clip_argument
from aotd.traces.page_text import in_seconds, shown
from aotd.traces.records import Box, Call, Clip, Sighting, Trace

__all__ = ["Album", "Canvas", "DrawnBox", "Frames", "Picture", "Shots", "canvas_of"]

Frames = Callable[[int], bytes | None]
"""Gives the JPEG of the frame at a position of the question's grid, or None if there is none."""

_PICTURES: Final = 8
"""Pictures of a call that are shown at once."""

_GLIMPSES: Final = 4
"""Pictures of a call that found no boxes."""

_SHOWN: Final = 320
_FOLDED: Final = 240
_BOXES: Final = 1600
"""Of one page: pictures that are shown, pictures that are folded away, boxes; a few hundred bytes each."""

_CROWDED: Final = 24
"""Boxes drawn on one picture."""

_COLOURS: Final = 6

_T = TypeVar("_T")


class Canvas(NamedTuple):
    """The size of a frame, in pixels."""

    width: int
    height: int

    @property
    def letters(self) -> float:
        """Size of a label's letters, in the same pixels."""
        return round(self.width * 0.062, 1)


class DrawnBox(NamedTuple):
    """A box on a picture: pixels of the frame, origin top-left."""

    x: int
    y: int
    width: int
    height: int
    label: str
    """Empty for a crop, which is where a call looked and not what it saw."""
    baseline: float
    """Vertical place of the label's letters."""
    colour: int
    """0 to 5, by name."""


class Picture(NamedTuple):
    """A frame of the grid with its boxes."""

    frame: int
    time: str
    has_image: bool
    boxes: tuple[DrawnBox, ...]
    unseen: int
    """Boxes that are left out."""

    @property
    def told(self) -> str:
        """What is on it, in words."""
        labels = ", ".join(box.label for box in self.boxes if box.label)
        return f"frame {self.frame}{f' with {labels}' if labels else ''}"


class Shots(NamedTuple):
    """The pictures of one call."""

    shown: tuple[Picture, ...] = ()
    folded: tuple[Picture, ...] = ()
    left: int = 0
    """Frames for which there is no more room."""


def canvas_of(traces: Iterable[Trace]) -> Canvas:
    """Give the size of the frames that some traces of one question speak of."""
    boxes: list[Box] = []
    for trace in traces:
        if trace.video.width and trace.video.height:
            return Canvas(trace.video.width, trace.video.height)
        boxes += (sighting.box for call in trace.calls for sighting in call.sightings)
        boxes += (crop for call in trace.calls if isinstance(call.result, Clip) for crop in call.result.crops)
    if not boxes:
        return Canvas(480, 270)
    return Canvas(max(1, *(box[2] for box in boxes)), max(1, *(box[3] for box in boxes)))


class Album:
    """The pictures of one page.

    Parameters
    ----------
    frames
        Gives pixels; None draws boxes on an empty canvas.
    canvas
        The size of the frames.
    calls
        Number of calls on the page.
    """

    def __init__(self, frames: Frames | None, canvas: Canvas, calls: int) -> None:
        self.canvas = canvas
        self._most = max(2, min(_PICTURES, _SHOWN // max(1, calls)))
        self._boxes = _BOXES
        self._frames = frames
        self._seen: dict[int, bytes | None] = {}
        self._colours: dict[str, int] = {}
        self._folded = 0

    def images(self) -> dict[int, bytes]:
        """Give the JPEGs of all frames that were asked for, those first that show at once."""
        return {frame: seen for frame, seen in self._seen.items() if seen is not None}

    def shots(self, call: Call, trace: Trace, named: Mapping[str, Clip]) -> Shots:
        """Choose the pictures of a call: frames with boxes, else a few of what it gave or looked at."""
        by_frame = _by_frame(call.sightings)
        looked = named.get(clip_argument(call) or "")
        crops = dict(zip(looked.grid_ids, looked.crops, strict=False)) if looked and looked.crops else {}
        if by_frame:
            first = _evenly(list(by_frame), self._most)
        elif self._frames is None or looked is None or call.local:
            return Shots()
        else:
            clip = call.result if isinstance(call.result, Clip) and call.result.grid_ids else looked
            first = _evenly(clip.grid_ids, min(_GLIMPSES, self._most))
        rest = [frame for frame in by_frame if frame not in first]
        room = max(0, _FOLDED - self._folded)
        self._folded += len(rest[:room])

        def pictures(ids: Sequence[int]) -> tuple[Picture, ...]:
            return tuple(self._picture(i, by_frame.get(i, ()), crops.get(i), trace) for i in ids)

        return Shots(pictures(first), pictures(rest[:room]), len(rest[room:]))

    def _picture(self, frame: int, seen: Sequence[Sighting], crop: Box | None, trace: Trace) -> Picture:
        drawn = seen[: min(_CROWDED, self._boxes)]
        self._boxes -= len(drawn)
        boxes = [*([self._box(crop, "", 0)] if crop else ()), *map(self._sighted, drawn)]
        return Picture(
            frame=frame,
            time=in_seconds([frame], trace.span).partition("\u2013")[0],
            has_image=self._image(frame) is not None,
            boxes=tuple(boxes),
            unseen=len(seen) - len(drawn),
        )

    def _image(self, frame: int) -> bytes | None:
        if frame not in self._seen:
            self._seen[frame] = self._frames(frame) if self._frames else None
        return self._seen[frame]

    def _sighted(self, sighting: Sighting) -> DrawnBox:
        colour = self._colours.setdefault(sighting.name, len(self._colours) % _COLOURS)
        score = "" if sighting.score == 1.0 else f" {sighting.score:.2f}"
        return self._box(sighting.box, f"{shown(sighting.name)[:40]}{score}", colour)

    def _box(self, box: Box, label: str, colour: int) -> DrawnBox:
        x1, y1, x2, y2 = box
        letters = self.canvas.letters
        above = y1 - letters * 0.3
        baseline = above if above > letters else min(y1 + letters, self.canvas.height - 1)
        return DrawnBox(x1, y1, max(0, x2 - x1), max(0, y2 - y1), label, round(baseline, 1), colour)


def _by_frame(sightings: Iterable[Sighting]) -> dict[int, list[Sighting]]:
    found: dict[int, list[Sighting]] = {}
    for sighting in sorted(sightings, key=lambda sighting: sighting.frame):
        found.setdefault(sighting.frame, []).append(sighting)
    return found


def _evenly(items: Sequence[_T], most: int) -> list[_T]:
    """Choose some of many, the first and the last among them."""
    return list(_spread(items, most)) if len(items) > most else list(items)


def _spread(items: Sequence[_T], most: int) -> Iterator[_T]:
    for place in range(most):
        yield items[place * (len(items) - 1) // (most - 1)]
