"""The household in motion: the state of every frame of an episode, and the boxes that follow from it.

Boxes come from the same numbers that `draw.py` draws, so annotation and picture cannot disagree. How each
move goes is in `body.py`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from aotd.world.body import Body, Box, Frame, Gesture, thing_box
from aotd.world.figure import figure_box
from aotd.world.plan import Plan, plan
from aotd.world.scene import BACK_ROW, HEIGHT, TABLE, TABLE_TOP, WIDTH

__all__ = ["PERSON", "Episode", "boxes", "simulate"]

PERSON: Final = "person"


class Episode(NamedTuple):
    """A plan with all its frames; frame i is at i / FPS seconds."""

    plan: Plan
    frames: tuple[Frame, ...]


def simulate(seed: int) -> Episode:
    """Make the episode of a seed: always the same one.

    Parameters
    ----------
    seed : int
        Any integer; `split.seed_of` gives those of a split.

    Returns
    -------
    Episode
        12.4 to 14 seconds at `FPS` frames a second, with two to four events.
    """
    script = plan(seed)
    body = Body(script)
    frames: list[Frame] = []
    for event in script.events:
        frames += [body.frame(Gesture()) for _ in range(event.approach - len(frames))]
        walk, work = event.start - event.approach, event.end - event.start
        target = body.place_for(event)
        frames += [body.walk(target, i / (walk - 1)) for i in range(walk)]
        frames += [body.frame(body.act(event, i / (work - 1))) for i in range(work)]
        body.finish(event)
    frames += [body.frame(Gesture()) for _ in range(script.frames - len(frames))]
    return Episode(script, tuple(frames))


def boxes(episode: Episode, index: int) -> dict[str, Box]:
    """Give the boxes of the objects, the table and the person in one frame, cut at the frame's edge."""
    frame, room = episode.frames[index], episode.plan.room
    found = {thing.name: thing_box(thing) for thing in frame.things}
    found[TABLE] = (room.table[0], float(TABLE_TOP), room.table[1], float(BACK_ROW - 2))
    found[PERSON] = figure_box(frame.figure)
    if room.mirrored:
        found = {name: (WIDTH - 1 - x2, y1, WIDTH - 1 - x1, y2) for name, (x1, y1, x2, y2) in found.items()}
    return {
        name: (max(x1, 0.0), max(y1, 0.0), min(x2, WIDTH - 1.0), min(y2, HEIGHT - 1.0))
        for name, (x1, y1, x2, y2) in found.items()
    }
