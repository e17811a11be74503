"""Which episodes are for training, for validation and for the test, and what only the test shows.

A seed belongs to one split for good. Every object has a combination of class, shape, colour and kind of
room; a fifth of the combinations is kept for the test split, whose objects have no other. Each shape, colour
and room alone is seen in every split. Nothing is chosen here.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

from aotd.world.scene import THINGS, Colour

__all__ = ["COLOURS", "KINDS", "SPLITS", "Split", "colours", "episodes_of", "seed_of", "split_of"]

Split = Literal["train", "validation", "test"]
SPLITS: Final[tuple[Split, ...]] = get_args(Split)

_STARTS: Final = {"train": 0, "validation": 1_200_000, "test": 1_400_000}
_END: Final = 1_600_000
"""As many seeds as have names of their own, in round figures."""

KINDS: Final = 5
"""Kinds of room."""

COLOURS: Final[tuple[Colour, ...]] = (
    *((205, 45, 45), (40, 85, 200), (60, 150, 70), (235, 190, 50), (140, 60, 160)),
    *((235, 130, 45), (60, 170, 175), (235, 140, 170), (120, 80, 50), (90, 95, 105)),
)
"""Red, blue, green, yellow, purple, orange, teal, pink, brown, grey."""


def split_of(seed: int) -> Split:
    """Tell the split of an episode's seed; seeds out of range are counted round.

    Parameters
    ----------
    seed : int
        0 to 1,199,999 are for training, up to 1,399,999 for validation, up to 1,599,999 for the test.
    """
    place = seed % _END
    return next(split for split in reversed(SPLITS) if place >= _STARTS[split])


def seed_of(split: Split, number: int) -> int:
    """Give the seed of a split's episode `number`.

    Raises
    ------
    ValueError
        If the split has no such episode.
    """
    if not 0 <= number < episodes_of(split):
        raise ValueError(f"{split}: has no episode {number}; it has {episodes_of(split)}")
    return _STARTS[split] + number


def episodes_of(split: Split) -> int:
    """Count the episodes of a split."""
    ends = [*_STARTS.values(), _END]
    return ends[SPLITS.index(split) + 1] - _STARTS[split]


def colours(name: str, shape: int, kind: int, split: Split) -> tuple[Colour, ...]:
    """List the colours that an object of a shape may have in a kind of room: 8 of 10, the test's are 2."""
    offset = THINGS.index(name) + shape + 3 * kind
    return tuple(
        colour for number, colour in enumerate(COLOURS) if ((number + offset) % 5 == 0) == (split == "test")
    )
