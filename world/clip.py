"""Clips for training: frames of an episode with labels for every frame, rendered on the fly as arrays.

The pictures are those that `write_world` encodes, before the encoder. Nothing is written and nothing is
augmented here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aotd.traces.star_vocabulary import CONTACT
from aotd.world.draw import draw
from aotd.world.motion import PERSON, Episode, boxes, simulate
from aotd.world.plan import Event
from aotd.world.scene import HEIGHT, TABLE, THINGS, VERBS, WIDTH

__all__ = ["CLASSES", "Clip", "render_clip", "render_frames"]

CLASSES: Final = (PERSON, TABLE, *THINGS)
"""Names of boxed classes by number, as STAR writes them; verbs are numbered by `scene.VERBS`."""
_NUMBERS: Final = {name: number for number, name in enumerate(CLASSES)}


class Clip(NamedTuple):
    """Frames of an episode and what is true in each: T frames, C classes.

    Attributes
    ----------
    seed : int
    indices : NDArray[np.int64]
        (T,): which frames of the episode; frame i is at i / `scene.FPS` seconds.
    frames : NDArray[np.uint8]
        (T, HEIGHT, WIDTH, 3): RGB.
    boxes : NDArray[np.float32]
        (T, C, 4): `x1, y1, x2, y2` in pixels, origin top-left, last pixels included; zeros where a class
        is not there. No class is there twice.
    present : NDArray[np.bool_]
        (T, C)
    held : NDArray[np.int64]
        (T,): class in the person's hands, -1 for none.
    verb, act_object : NDArray[np.int64]
        (T,): verb and class of the event under way, -1 between events.
    contact : NDArray[np.bool_]
        (T, C): whether the person touches it, with a hand or otherwise.
    opened : NDArray[np.float32]
        (T, C): how far it is open, or untidy, 0 to 1; 0 for what cannot be.
    events : tuple[Event, ...]
        With their frames [start, end) in the episode.
    """

    seed: int
    indices: NDArray[np.int64]
    frames: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    present: NDArray[np.bool_]
    held: NDArray[np.int64]
    verb: NDArray[np.int64]
    act_object: NDArray[np.int64]
    contact: NDArray[np.bool_]
    opened: NDArray[np.float32]
    events: tuple[Event, ...]


def render_clip(seed: int, indices: Sequence[int] | None = None) -> Clip:
    """Render frames of the episode of a seed, with labels.

    Parameters
    ----------
    seed : int
        `split.seed_of` gives those of a split.
    indices : Sequence[int] or None
        Which frames, each from 0 to one less than the episode has; all of them if None.

    Raises
    ------
    IndexError
        If the episode has no such frame.
    """
    episode = simulate(seed)
    return render_frames(episode, range(len(episode.frames)) if indices is None else indices)


def render_frames(episode: Episode, chosen: Sequence[int]) -> Clip:
    """Render frames of an episode that is at hand; errors as `render_clip`."""
    last = len(episode.frames) - 1
    if any(not 0 <= index <= last for index in chosen):
        raise IndexError(f"episode {episode.plan.seed} has frames 0 to {last}, not all of {chosen}")
    clip = _blank(episode, chosen)
    for row, index in enumerate(chosen):
        clip.frames[row] = np.asarray(draw(episode, index))
        _label(clip, row, episode, index)
    return clip


def _blank(episode: Episode, chosen: Sequence[int]) -> Clip:
    """Give the arrays of some frames, with nothing in them yet."""
    count, classes = len(chosen), len(CLASSES)
    return Clip(
        seed=episode.plan.seed,
        indices=np.array(chosen, np.int64),
        frames=np.zeros((count, HEIGHT, WIDTH, 3), np.uint8),
        boxes=np.zeros((count, classes, 4), np.float32),
        present=np.zeros((count, classes), np.bool_),
        held=np.full(count, -1, np.int64),
        verb=np.full(count, -1, np.int64),
        act_object=np.full(count, -1, np.int64),
        contact=np.zeros((count, classes), np.bool_),
        opened=np.zeros((count, classes), np.float32),
        events=episode.plan.events,
    )


def _label(clip: Clip, row: int, episode: Episode, index: int) -> None:
    """Write what is true in frame `index` of the episode into a row of the clip."""
    frame = episode.frames[index]
    for name, box in boxes(episode, index).items():
        clip.boxes[row, _NUMBERS[name]] = box
        clip.present[row, _NUMBERS[name]] = True
    for relation, name in frame.relations:
        clip.contact[row, _NUMBERS[name]] |= relation in CONTACT
    for thing in frame.things:
        clip.opened[row, _NUMBERS[thing.name]] = thing.open
    if frame.held is not None:
        clip.held[row] = _NUMBERS[frame.held]
    for event in episode.plan.events:
        if event.start <= index < event.end:
            clip.verb[row] = VERBS.index(event.move.verb)
            clip.act_object[row] = _NUMBERS[event.move.object]
